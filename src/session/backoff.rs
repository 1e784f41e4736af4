//! How long to wait before the next dial.

use std::time::Duration;

use super::ReconnectSettings;

/// Longest time a server may ask us to stay away.
pub(super) const LONGEST_WISH: Duration = Duration::from_secs(3600);
/// A wait somebody named is stretched by up to this share, so that not all clients are back in the
/// same moment; it is never shortened.
const STRETCH: f64 = 0.2;

/// Walks along the list of delays.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    step: usize,
}

impl Backoff {
    /// The delay of this step, with jitter, and on to the next step. The last delay repeats.
    pub(super) fn next(&mut self, settings: &ReconnectSettings, rng: &mut fastrand::Rng) -> Duration {
        let delay = delay_at(&settings.delays, self.step);
        self.step = self.step.saturating_add(1);
        shorten(delay, settings.jitter, rng)
    }

    /// The delay of the step before this one once more, with jitter.
    pub(super) fn again(&self, settings: &ReconnectSettings, rng: &mut fastrand::Rng) -> Duration {
        shorten(delay_at(&settings.delays, self.step.saturating_sub(1)), settings.jitter, rng)
    }

    /// Starts again from the first delay.
    pub(super) const fn reset(&mut self) {
        self.step = 0;
    }
}

/// The delay of a step; the last repeats.
pub(super) fn delay_at(delays: &[Duration], step: usize) -> Duration {
    delays.get(step).or(delays.last()).copied().unwrap_or(Duration::from_secs(1))
}

/// `delay` × uniform(1 - jitter, 1).
pub(super) fn shorten(delay: Duration, jitter: f64, rng: &mut fastrand::Rng) -> Duration {
    delay.mul_f64(1.0 - jitter.clamp(0.0, 1.0) * rng.f64())
}

/// `wait` × uniform(1, 1.2): never earlier than asked.
pub(super) fn stretch(wait: Duration, rng: &mut fastrand::Rng) -> Duration {
    wait.mul_f64(1.0 + STRETCH * rng.f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(jitter: f64) -> ReconnectSettings {
        ReconnectSettings {
            delays: [2, 5, 10, 20, 30, 60].map(Duration::from_secs).to_vec(),
            jitter,
            stable_after: Duration::from_secs(30),
            unavailable_after: 5,
        }
    }

    #[test]
    fn delays_follow_the_list_and_the_last_repeats() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut backoff = Backoff::default();
        let seconds: Vec<u64> = (0..8).map(|_| backoff.next(&settings(0.0), &mut rng).as_secs()).collect();
        assert_eq!(seconds, [2, 5, 10, 20, 30, 60, 60, 60]);
        backoff.reset();
        assert_eq!(backoff.next(&settings(0.0), &mut rng).as_secs(), 2);
    }

    #[test]
    fn jitter_shortens_after_the_cap_and_never_below_its_share() {
        let mut rng = fastrand::Rng::with_seed(2);
        let mut backoff = Backoff { step: 5 };
        let waits: Vec<f64> =
            (0..200).map(|_| backoff.next(&settings(0.5), &mut rng).as_secs_f64()).collect();
        assert!(waits.iter().all(|wait| (30.0..=60.0).contains(wait)));
        assert!(waits.iter().any(|wait| *wait < 40.0) && waits.iter().any(|wait| *wait > 50.0));
    }

    #[test]
    fn a_wait_that_was_asked_for_is_never_shortened() {
        let mut rng = fastrand::Rng::with_seed(3);
        for _ in 0..200 {
            let wait = stretch(Duration::from_secs(30), &mut rng).as_secs_f64();
            assert!((30.0..=36.0).contains(&wait));
        }
    }
}
