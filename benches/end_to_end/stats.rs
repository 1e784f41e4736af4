//! Percentiles, and the only place of the benchmark that asks for the time.

use std::time::{Duration, Instant};

pub(crate) use crate::report::{Spread, human};

/// The time, for measuring.
#[allow(clippy::disallowed_methods, reason = "a benchmark measures time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Durations of the same thing.
#[derive(Debug, Default, Clone)]
pub(crate) struct Latency(Vec<Duration>);

impl Latency {
    pub(crate) fn add(&mut self, took: Duration) {
        self.0.push(took);
    }

    /// Those of another one too.
    pub(crate) fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    /// The `p`-th percentile in microseconds.
    pub(crate) fn percentile(&self, p: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        if sorted.is_empty() {
            return f64::NAN;
        }
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a rank within a vector"
        )]
        let rank = ((sorted.len() - 1) as f64 * p / 100.0).round() as usize;
        sorted[rank].as_secs_f64() * 1e6
    }
}
