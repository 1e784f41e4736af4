//! What has arrived at a far side: how many, which of them, and when.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::stats::{Latency, now};

/// Without anything new for so long, nothing comes any more.
const SILENCE: Duration = Duration::from_secs(5);

/// Counts by the numbers that messages carry; a copy counts as received and not as new.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    received: AtomicU64,
    distinct: AtomicU64,
    timing: AtomicBool,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    seen: Vec<u64>,
    arrivals: Vec<(u64, Instant)>,
    newest: Option<Instant>,
}

impl Tally {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets everything. With `timing` each arrival is kept.
    pub(crate) fn begin(&self, timing: bool) {
        let mut kept = self.kept();
        *kept = Kept::default();
        self.timing.store(timing, Ordering::Relaxed);
        self.received.store(0, Ordering::Relaxed);
        self.distinct.store(0, Ordering::Release);
    }

    /// These have come.
    pub(crate) fn take(&self, numbers: &[u64]) {
        if numbers.is_empty() {
            return;
        }
        let at = now();
        let timing = self.timing.load(Ordering::Relaxed);
        let mut new = 0;
        let mut kept = self.kept();
        for &n in numbers {
            let word = usize::try_from(n / 64).expect("a small number");
            if kept.seen.len() <= word {
                kept.seen.resize((word + 1).next_power_of_two(), 0);
            }
            let bit = 1 << (n % 64);
            if kept.seen[word] & bit == 0 {
                kept.seen[word] |= bit;
                new += 1;
                if timing {
                    kept.arrivals.push((n, at));
                }
            }
        }
        if new > 0 {
            kept.newest = Some(at);
        }
        self.received.fetch_add(numbers.len() as u64, Ordering::Relaxed);
        self.distinct.fetch_add(new, Ordering::Release);
    }

    /// How many came, copies included.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// How many different ones came.
    pub(crate) fn distinct(&self) -> u64 {
        self.distinct.load(Ordering::Acquire)
    }

    /// Whether message `n` has come.
    pub(crate) fn has(&self, n: u64) -> bool {
        let word = usize::try_from(n / 64).expect("a small number");
        self.kept().seen.get(word).is_some_and(|bits| bits & (1 << (n % 64)) != 0)
    }

    /// Waits until `count` different ones have come, or nothing comes any more; when the last came.
    pub(crate) fn wait(&self, count: usize) -> Option<Instant> {
        let count = count as u64;
        let (mut last, mut since) = (self.distinct(), now());
        while last < count {
            std::thread::sleep(Duration::from_micros(500));
            let distinct = self.distinct();
            if distinct != last {
                (last, since) = (distinct, now());
            } else if since.elapsed() > SILENCE {
                break;
            }
        }
        self.kept().newest
    }

    /// How long each took since it was sent; `sent[n]` is when.
    pub(crate) fn since(&self, sent: &[Instant]) -> Latency {
        let mut took = Latency::default();
        for (n, at) in &self.kept().arrivals {
            if let Some(sent) = usize::try_from(*n).ok().and_then(|n| sent.get(n)) {
                took.add(at.saturating_duration_since(*sent));
            }
        }
        took
    }
}
