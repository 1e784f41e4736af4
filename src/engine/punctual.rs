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
/// The system's word for a wake may come this long after the clocks showed it.
const SAME_WAKE: Duration = Duration::from_secs(30);

/// The loop's sense of time.
#[derive(Debug)]
pub(super) struct Punctual {
    pub(super) alarm: Alarm,
    pub(super) vigil: Vigil,
    /// What the alarm is set to.
    due: Option<Instant>,
    /// Nothing is judged before that.
    catch_up: Option<Instant>,
    /// When the system said that it would sleep.
    announced: Option<Instant>,
    /// When the session was last told of a wake.
    woke: Option<Instant>,
}

impl Punctual {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            alarm: Alarm::new(clock),
            vigil: Vigil::new(clock),
            due: None,
            catch_up: None,
            announced: None,
            woke: None,
        }
    }

    /// Sets the alarm for the next deadline.
    pub(super) fn set(&mut self, deadline: Option<Instant>) {
        self.due = self.catch_up.or(deadline);
        self.alarm.set(self.due);
    }

    /// The system says that it will sleep.
    pub(super) const fn sleep_announced(&mut self, now: Instant) {
        self.announced = Some(now);
    }

    /// The system says that it woke. False where the clocks told of this very wake before: one wake
    /// is one dial.
    fn is_news(&mut self, now: Instant) -> bool {
        let since = self.announced.take();
        let told = self.woke.is_some_and(|woke| match since {
            Some(announced) => woke >= announced,
            None => now.since(woke) < SAME_WAKE,
        });
        !told
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
            self.woke();
        }
        slept
    }

    /// Once in each turn: where nothing ran for long, the machine as good as slept, whatever it was
    /// that woke the loop first. (What lay in the socket may come before the alarm, and sets it anew.)
    pub(super) fn look_for_gaps(&mut self) {
        if self.look_at_clocks() {
            return;
        }
        let now = self.clock.instant();
        let late = self.punctual.due.map_or(Duration::ZERO, |due| now.since(due));
        if late >= AS_IF_ASLEEP {
            self.punctual.due = None;
            tracing::info!("nothing ran here for {} s", late.as_secs());
            self.woke();
        }
    }

    /// The system says that the machine woke.
    pub(super) fn told_of_wake(&mut self) {
        if !self.look_at_clocks() && self.punctual.is_news(self.clock.instant()) {
            tracing::info!("the system says that the machine is awake");
            self.woke();
        }
    }

    fn woke(&mut self) {
        self.punctual.woke = Some(self.clock.instant());
        self.input(Input::Woke);
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
    async fn a_wake_that_both_the_clocks_and_the_system_tell_of_is_one_wake() {
        let mut punctual = Punctual::new(Clock::start());
        assert!(punctual.is_news(at(1_000)), "nothing else told of it");
        punctual.sleep_announced(at(10_000));
        punctual.woke = Some(at(5_000));
        assert!(punctual.is_news(at(28_800_000)), "the last wake was another one");
        punctual.sleep_announced(at(30_000_000));
        punctual.woke = Some(at(60_000_000));
        assert!(!punctual.is_news(at(60_001_000)), "the clocks were first");
        assert!(!punctual.is_news(at(60_002_000)), "said twice");
        assert!(punctual.is_news(at(60_040_000)), "an announcement was missed");
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
