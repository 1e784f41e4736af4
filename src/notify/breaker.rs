//! Leaves a service that does not work alone for a while.

use std::time::Duration;

use crate::model::Instant;

/// Failures in a row after which it is left alone.
const FAILURES: u32 = 3;
/// For how long at first …
const FIRST: Duration = Duration::from_secs(60);
/// … up to this long: each time twice as long.
const LONGEST: Duration = Duration::from_secs(600);
/// For how long one that is not there. A desktop that comes up just now must not stay dark for long.
const ABSENT: Duration = Duration::from_secs(5);

/// Counts failures. While it is open nothing is tried; after that one try decides.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    failures: u32,
    open: Option<(Instant, Duration)>,
}

impl Breaker {
    /// Whether something may be tried now.
    pub(super) fn allows(&self, now: Instant) -> bool {
        self.open.is_none_or(|(until, _)| now >= until)
    }

    pub(super) fn worked(&mut self) {
        *self = Self::default();
    }

    /// A try failed. Gives whether it is open now. Who is `absent` is left alone at once, and never for
    /// longer: to see whether somebody is there costs next to nothing.
    pub(super) fn failed(&mut self, now: Instant, absent: bool) -> bool {
        self.failures = self.failures.saturating_add(1);
        if !absent && self.failures < FAILURES && self.open.is_none() {
            return false;
        }
        let pause = match self.open {
            _ if absent => ABSENT,
            Some((_, last)) => (last * 2).clamp(FIRST, LONGEST),
            None => FIRST,
        };
        self.open = Some((now + pause, pause));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn after_three_failures_it_is_left_alone_longer_each_time() {
        let mut breaker = Breaker::default();
        assert!(!breaker.failed(at(0), false) && !breaker.failed(at(1), false) && breaker.allows(at(1)));
        assert!(breaker.failed(at(2), false));
        let mut now = 2;
        for pause in [60, 120, 240, 480, 600, 600] {
            assert!(!breaker.allows(at(now + pause - 1)) && breaker.allows(at(now + pause)), "{pause}");
            now += pause;
            assert!(breaker.failed(at(now), false), "one try decides");
        }
        breaker.worked();
        assert!(breaker.allows(at(now)) && !breaker.failed(at(now), false), "all is forgotten");
    }

    #[test]
    fn a_failure_now_and_then_is_no_reason() {
        let mut breaker = Breaker::default();
        for now in 0..100 {
            assert!(!breaker.failed(at(now), false));
            assert!(!breaker.failed(at(now), false));
            breaker.worked();
        }
    }

    #[test]
    fn who_is_absent_is_looked_for_every_few_seconds() {
        let mut breaker = Breaker::default();
        for times in 0..20 {
            assert!(breaker.allows(at(times * 5)));
            assert!(breaker.failed(at(times * 5), true) && !breaker.allows(at(times * 5 + 4)));
        }
        assert!(breaker.failed(at(100), false) && !breaker.allows(at(159)), "there now, and hangs");
    }
}
