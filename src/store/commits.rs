//! How commits went since the start: how long they took, and how much shared one.

use std::time::Duration;

/// Counts by upper bound; each count includes those before it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Commits {
    /// All of them.
    pub count: u64,
    /// Their time together.
    pub time: Duration,
    /// Their requests together.
    pub requests: u64,
    /// Those that took no longer than each of [`Commits::MICROS`].
    pub by_time: [u64; Self::MICROS.len()],
    /// Those that held no more requests than each of [`Commits::SIZES`].
    pub by_size: [u64; Self::SIZES.len()],
}

impl Commits {
    /// Bounds of the time, in microseconds.
    pub const MICROS: [u32; 10] =
        [100, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 100_000, 500_000, 2_500_000];
    /// Bounds of the size, in requests.
    pub const SIZES: [u32; 6] = [1, 4, 16, 64, 256, 1_024];

    /// One more.
    pub(super) fn add(&mut self, took: Duration, requests: usize) {
        let requests = requests as u64;
        self.count += 1;
        self.time += took;
        self.requests += requests;
        for (bound, count) in Self::MICROS.iter().zip(&mut self.by_time) {
            *count += u64::from(took <= Duration::from_micros(u64::from(*bound)));
        }
        for (bound, count) in Self::SIZES.iter().zip(&mut self.by_size) {
            *count += u64::from(requests <= u64::from(*bound));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bound_counts_what_is_not_above_it() {
        let mut commits = Commits::default();
        commits.add(Duration::from_micros(100), 1);
        commits.add(Duration::from_micros(2_600), 5);
        commits.add(Duration::from_secs(60), 5_000);
        assert_eq!(commits.by_time, [1, 1, 1, 1, 2, 2, 2, 2, 2, 2]);
        assert_eq!(commits.by_size, [1, 1, 2, 2, 2, 2]);
        assert_eq!((commits.count, commits.requests), (3, 5_006));
        assert_eq!(commits.time, Duration::from_micros(60_002_700));
    }
}
