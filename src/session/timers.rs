//! One slot per reason to be woken.

use crate::model::Instant;

use super::Timer;

/// When each [`Timer`] goes off; an empty slot is a timer that is not set.
#[derive(Debug, Default)]
pub(super) struct Timers([Option<Instant>; Timer::ALL.len()]);

impl Timers {
    /// Sets or clears one.
    pub(super) const fn set(&mut self, timer: Timer, at: Option<Instant>) {
        self.0[timer as usize] = at;
    }

    /// When one goes off.
    pub(super) const fn get(&self, timer: Timer) -> Option<Instant> {
        self.0[timer as usize]
    }

    /// The one that goes off first.
    pub(super) fn next(&self) -> Option<(Instant, Timer)> {
        Timer::ALL.into_iter().filter_map(|timer| Some((self.get(timer)?, timer))).min()
    }

    /// Takes one that is due, the earliest first.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Timer> {
        let (at, timer) = self.next()?;
        if at > now {
            return None;
        }
        self.set(timer, None);
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_timer_is_told_with_its_reason_and_taken_once() {
        let mut timers = Timers::default();
        timers.set(Timer::Dead, Some(Instant::from_nanos(30)));
        timers.set(Timer::Barrier, Some(Instant::from_nanos(20)));
        assert_eq!(timers.next(), Some((Instant::from_nanos(20), Timer::Barrier)));
        assert_eq!(timers.take_due(Instant::from_nanos(19)), None);
        assert_eq!(timers.take_due(Instant::from_nanos(40)), Some(Timer::Barrier));
        assert_eq!(timers.take_due(Instant::from_nanos(40)), Some(Timer::Dead));
        assert_eq!(timers.take_due(Instant::from_nanos(40)), None);
    }
}
