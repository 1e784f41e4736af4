//! Many at once become one.

use std::time::Duration;

use crate::model::Instant;

/// Lets a few through in each window of time. A window begins with the first one that comes after the
/// last window has ended.
#[derive(Debug, Default)]
pub(super) struct Burst {
    began: Option<Instant>,
    passed: u32,
}

impl Burst {
    /// Whether one more may pass now: no more than `most` in a window.
    pub(super) fn offer(&mut self, now: Instant, most: u32, window: Duration) -> bool {
        if self.ends(window).is_none_or(|end| now >= end) {
            self.began = Some(now);
            self.passed = 0;
        }
        let passes = self.passed < most;
        if passes {
            self.passed += 1;
        }
        passes
    }

    /// When the present window ends.
    pub(super) fn ends(&self, window: Duration) -> Option<Instant> {
        self.began.map(|began| began + window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn as_many_as_said_pass_in_a_window_and_not_one_more() {
        let mut burst = Burst::default();
        let window = Duration::from_secs(10);
        let passed =
            |burst: &mut Burst, from: u64| (0..100).filter(|n| burst.offer(at(from + n), 5, window)).count();
        assert_eq!(passed(&mut burst, 1_000), 5);
        assert_eq!(burst.ends(window), Some(at(11_000)));
        assert!(!burst.offer(at(10_999), 5, window));
        assert_eq!(passed(&mut burst, 11_000), 5, "a window later");
        assert_eq!(burst.ends(window), Some(at(21_000)));
    }
}
