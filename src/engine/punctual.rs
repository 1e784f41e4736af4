//! Time as the loop sees it: its alarm, what happened to the clocks, and what a wake-up that comes
//! late means.

use std::time::Duration;

use super::run::Loop;
use crate::clock::{Alarm, Clock, Vigil};
use crate::model::{Instant, Timestamp};
use crate::session::Input;

/// A deadline met this late: the process was stopped, starved, or slept over it.
const LATE: Duration = Duration::from_secs(1);
/// What came meanwhile is read for this long before deadlines are judged by it: an answer that lies
/// in the socket's buffer did come in time.
const CATCH_UP: Duration = Duration::from_millis(300);
/// So late that the machine slept, or as good as that.
const AS_IF_ASLEEP: Duration = Duration::from_secs(5);

/// The loop's sense of time.
#[derive(Debug)]
pub(super) struct Punctual {
    pub(super) alarm: Alarm,
    pub(super) vigil: Vigil,
    /// What the alarm is set to.
    due: Option<Instant>,
    /// Nothing is judged before that.
    catch_up: Option<Instant>,
}

impl Punctual {
    pub(super) fn new(clock: Clock) -> Self {
        Self { alarm: Alarm::new(clock), vigil: Vigil::new(clock), due: None, catch_up: None }
    }

    /// Sets the alarm for the next deadline.
    pub(super) fn set(&mut self, deadline: Option<Instant>) {
        self.due = self.catch_up.or(deadline);
        self.alarm.set(self.due);
    }

    /// The alarm rang. How late it is; none where the deadlines may be judged now.
    fn held_up(&mut self, now: Instant) -> Option<Duration> {
        if self.catch_up.is_some_and(|until| now < until) {
            return Some(Duration::ZERO);
        }
        let caught_up = self.catch_up.take().is_some();
        let late = self.due.map_or(Duration::ZERO, |due| now.since(due));
        if caught_up || late < LATE {
            return None;
        }
        self.catch_up = Some(now + CATCH_UP);
        Some(late)
    }
}

impl Loop {
    /// Whether the deadlines may be judged now that the alarm rang. Where the loop comes late, what
    /// waits on the link is read first.
    pub(super) fn may_judge(&mut self, now: Instant) -> bool {
        let Some(late) = self.punctual.held_up(now) else { return true };
        if !late.is_zero() {
            tracing::debug!(late_ms = late.as_millis(), "woken late: what came meanwhile is read first");
            if !self.look_at_clocks() && late >= AS_IF_ASLEEP {
                tracing::info!("nothing ran here for {} s", late.as_secs());
                self.input(Input::Woke);
            }
        }
        false
    }

    /// Tells the session of sleep and of a wall clock that was set. True where the machine slept.
    pub(super) fn look_at_clocks(&mut self) -> bool {
        let Some(shift) = self.punctual.vigil.look() else { return false };
        if let Some((from, to)) = shift.set {
            tracing::warn!("the clock was set from {} to {}", shown(from), shown(to));
            self.input(Input::ClockSet);
        }
        let slept = !shift.slept.is_zero();
        if slept {
            tracing::info!("the machine slept for {} s", shift.slept.as_secs());
            self.input(Input::Woke);
        }
        slept
    }
}

/// To the second: that is how exact the words are.
fn shown(at: Timestamp) -> String {
    format!("{:.0}", at.to_jiff())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    #[tokio::test]
    async fn who_comes_late_reads_first_and_judges_then_once_per_delay() {
        let mut punctual = Punctual::new(Clock::start());
        punctual.set(Some(at(10_000)));
        assert_eq!(punctual.held_up(at(10_900)), None, "in time");
        punctual.set(Some(at(20_000)));
        assert_eq!(punctual.held_up(at(80_000)), Some(Duration::from_secs(60)));
        punctual.set(Some(at(20_000)));
        assert_eq!(punctual.held_up(at(80_100)), Some(Duration::ZERO), "still reading");
        punctual.set(Some(at(20_000)));
        assert_eq!(punctual.held_up(at(80_300)), None, "has read");
        punctual.set(Some(at(90_000)));
        assert_eq!(punctual.held_up(at(92_000)), Some(Duration::from_secs(2)));
    }
}
