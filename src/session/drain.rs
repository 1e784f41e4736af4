//! The pace at which an outage's backlog goes out: a token bucket.

use std::time::Duration;

use crate::model::Instant;

/// See the module.
#[derive(Debug)]
pub(super) struct Drain {
    tokens: f64,
    filled: Instant,
}

impl Drain {
    /// Full: a whole window may go at once.
    pub(super) fn new(now: Instant, burst: usize) -> Self {
        #[allow(clippy::cast_precision_loss, reason = "a window is a small number")]
        let tokens = burst as f64;
        Self { tokens, filled: now }
    }

    /// Whether one more may go now; if not, when.
    pub(super) fn ask(&mut self, now: Instant, rate: u32, burst: usize) -> Result<(), Instant> {
        if rate == 0 {
            return Ok(());
        }
        let rate = f64::from(rate);
        #[allow(clippy::cast_precision_loss, reason = "a window is a small number")]
        let burst = burst as f64;
        self.tokens = (self.tokens + (now - self.filled).as_secs_f64() * rate).min(burst);
        self.filled = now;
        // A token short by rounding only is a token: else the same moment would be asked for again.
        if self.tokens >= 1.0 - 1e-6 {
            return Ok(());
        }
        let missing = Duration::from_secs_f64((1.0 - self.tokens) / rate);
        Err(now + missing.max(Duration::from_millis(1)))
    }

    /// One goes.
    pub(super) fn take(&mut self) {
        self.tokens = (self.tokens - 1.0).max(0.0);
    }
}
