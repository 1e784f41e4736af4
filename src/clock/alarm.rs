//! Waking up in time, and noticing what happened to the clocks meanwhile.
//!
//! The runtime's timers stand still while the machine sleeps: after a night a deadline of a minute
//! would be hours late. So an [`Alarm`] hangs on `CLOCK_BOOTTIME` where there is one to hang on
//! (Linux: a `timerfd`), and looks at the clock by ticks elsewhere. [`Vigil`] tells of sleep and of
//! a wall clock that was set. Neither wakes an idle process on Linux.

use std::time::Duration;

use super::{Clock, awake, wall};
use crate::model::{Instant, Timestamp};

/// A deadline that moved back by less than this leaves the timer as it is: it rings too early
/// once, which costs less than setting it anew for every frame that comes in.
const SLACK: Duration = Duration::from_secs(1);
/// Where no timer counts sleep: how often the clock is looked at while a deadline is ahead.
const TICK: Duration = Duration::from_secs(15);
/// A jump of a clock that is worth a word. Smaller ones are corrections, leap seconds, and the time
/// between two readings.
const JUMP: Duration = Duration::from_secs(5);

/// Rings at a point of the clock, also at one the machine slept over (then as soon as it wakes).
#[derive(Debug)]
pub struct Alarm {
    clock: Clock,
    at: Option<Instant>,
    armed: Option<Instant>,
    #[cfg(target_os = "linux")]
    timer: Option<timer::Timer>,
}

impl Alarm {
    /// One that is not set. To be made within the runtime.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            at: None,
            armed: None,
            #[cfg(target_os = "linux")]
            timer: timer::Timer::boottime()
                .inspect_err(|error| tracing::warn!("no timer that counts sleep ({error}): ticks instead"))
                .ok(),
        }
    }

    /// Sets it, or sets it off.
    pub fn set(&mut self, at: Option<Instant>) {
        self.at = at;
        let Some(at) = at else { return };
        let good = self.armed.is_some_and(|armed| armed <= at && at.since(armed) < SLACK);
        if !good {
            self.arm(at);
        }
    }

    /// Waits until it rings; for ever where it is not set. It may ring up to a second early and then
    /// has to be set again. Safe to drop and call again.
    pub async fn rung(&mut self) {
        let Some(at) = self.at else { return std::future::pending().await };
        self.ring(at).await;
        self.armed = None;
    }

    #[cfg(target_os = "linux")]
    fn arm(&mut self, at: Instant) {
        self.armed = Some(at);
        if let Some(timer) = &self.timer
            && let Err(error) = timer.set(at)
        {
            tracing::warn!("the timer that counts sleep cannot be set ({error}): ticks instead");
            self.timer = None;
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn arm(&mut self, at: Instant) {
        self.armed = Some(at);
    }

    async fn ring(&self, at: Instant) {
        #[cfg(target_os = "linux")]
        if let Some(timer) = &self.timer
            && timer.rung().await.is_ok()
        {
            return;
        }
        loop {
            let now = self.clock.instant();
            if at <= now {
                return;
            }
            tokio::time::sleep(at.since(now).min(TICK)).await;
        }
    }
}

/// What happened to the clocks between two looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shift {
    /// How long the machine slept; zero where it did not.
    pub slept: Duration,
    /// The wall clock was set: from what it would have shown to what it shows.
    pub set: Option<(Timestamp, Timestamp)>,
}

/// What the clocks showed at one look.
#[derive(Debug, Clone, Copy)]
struct Reading {
    /// Counts sleep.
    instant: Instant,
    /// Does not.
    awake: Instant,
    wall: Timestamp,
}

impl Reading {
    fn take(clock: Clock) -> Self {
        Self { instant: clock.instant(), awake: awake(), wall: wall() }
    }

    fn shift_until(self, now: Self) -> Option<Shift> {
        let passed = now.instant.since(self.instant);
        let slept = passed.saturating_sub(now.awake.since(self.awake));
        let slept = if slept >= JUMP { slept } else { Duration::ZERO };
        let due = self.wall.after(passed);
        let off = due.since(now.wall).max(now.wall.since(due));
        let set = (off >= JUMP).then_some((due, now.wall));
        (slept > Duration::ZERO || set.is_some()).then_some(Shift { slept, set })
    }
}

/// Watches for sleep and for a wall clock that is set.
#[derive(Debug)]
pub struct Vigil {
    clock: Clock,
    last: Reading,
    #[cfg(target_os = "linux")]
    timer: Option<timer::Timer>,
}

impl Vigil {
    /// Begins. To be made within the runtime.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            last: Reading::take(clock),
            #[cfg(target_os = "linux")]
            timer: timer::Timer::disturbed()
                .inspect_err(|error| tracing::debug!("the system does not tell when it wakes: {error}"))
                .ok(),
        }
    }

    /// What happened since the last look.
    pub fn look(&mut self) -> Option<Shift> {
        let now = Reading::take(self.clock);
        std::mem::replace(&mut self.last, now).shift_until(now)
    }

    /// Waits until a look is worth it: the machine woke, or the wall clock was set. Where the system
    /// does not tell, for ever. Safe to drop and call again.
    pub async fn stirred(&mut self) {
        #[cfg(target_os = "linux")]
        if let Some(timer) = &self.timer {
            match timer.stirred().await {
                Ok(()) => return,
                Err(error) => tracing::debug!("the system tells no longer when it wakes: {error}"),
            }
            self.timer = None;
        }
        std::future::pending().await
    }
}

#[cfg(target_os = "linux")]
mod timer {
    //! `timerfd` (timerfd_create(2)).

    use std::io;
    use std::os::fd::OwnedFd;

    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    use crate::model::Instant;

    const NANOS: u64 = 1_000_000_000;

    /// A timer of the system.
    #[derive(Debug)]
    pub(super) struct Timer(AsyncFd<OwnedFd>);

    impl Timer {
        /// One on the clock that counts sleep.
        pub(super) fn boottime() -> io::Result<Self> {
            Self::on(TimerfdClockId::Boottime)
        }

        /// One that never rings, but is disturbed when the wall clock jumps against the monotonic
        /// one: when it is set, and when the machine wakes (Linux 5.15).
        pub(super) fn disturbed() -> io::Result<Self> {
            let timer = Self::on(TimerfdClockId::Realtime)?;
            timer.wait_for_disturbance()?;
            Ok(timer)
        }

        #[allow(
            deprecated,
            reason = "its successor is unsafe for the sake of types that lend a descriptor; this one owns it"
        )]
        fn on(clock: TimerfdClockId) -> io::Result<Self> {
            let timer = timerfd_create(clock, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
            AsyncFd::with_interest(timer, Interest::READABLE).map(Self)
        }

        pub(super) fn set(&self, at: Instant) -> io::Result<()> {
            // Zero would set it off.
            let nanos = at.as_nanos().max(1);
            let value = Timespec {
                tv_sec: i64::try_from(nanos / NANOS).unwrap_or(i64::MAX),
                // Below a thousand million.
                tv_nsec: (nanos % NANOS) as _,
            };
            self.arm(TimerfdTimerFlags::ABSTIME, value)
        }

        fn wait_for_disturbance(&self) -> io::Result<()> {
            let never = Timespec { tv_sec: i64::MAX, tv_nsec: 0 };
            let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
            match self.arm(flags, never) {
                // Disturbed again meanwhile: it is set all the same.
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::CANCELED.raw_os_error()) => {
                    Ok(())
                }
                other => other,
            }
        }

        fn arm(&self, flags: TimerfdTimerFlags, it_value: Timespec) -> io::Result<()> {
            let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
            timerfd_settime(self.0.get_ref(), flags, &Itimerspec { it_interval, it_value })?;
            Ok(())
        }

        /// Waits until it rings.
        pub(super) async fn rung(&self) -> io::Result<()> {
            self.read().await.map(drop)
        }

        /// Waits until it is disturbed, and has it wait anew.
        pub(super) async fn stirred(&self) -> io::Result<()> {
            if !self.read().await? {
                self.wait_for_disturbance()?;
            }
            Ok(())
        }

        /// Waits for a word of the timer: true where it rang, false where it was disturbed.
        async fn read(&self) -> io::Result<bool> {
            self.0
                .async_io(Interest::READABLE, |timer| {
                    let mut count = [0_u8; 8];
                    match rustix::io::read(timer, &mut count) {
                        Ok(_) => Ok(true),
                        Err(rustix::io::Errno::CANCELED) => Ok(false),
                        Err(error) => Err(error.into()),
                    }
                })
                .await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(instant: u64, awake: u64, wall: i64) -> Reading {
        let at = |seconds: u64| Instant::from_nanos(seconds * 1_000_000_000);
        Reading { instant: at(instant), awake: at(awake), wall: Timestamp::from_millis(wall * 1000) }
    }

    #[test]
    fn a_night_of_sleep_is_seen_and_is_no_set_clock() {
        let shift = reading(100, 100, 5_000).shift_until(reading(28_910, 110, 33_810));
        assert_eq!(shift, Some(Shift { slept: Duration::from_secs(28_800), set: None }));
    }

    #[test]
    fn a_clock_that_is_set_is_seen_in_both_directions_and_is_no_sleep() {
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1000);
        for to in [33_810, -86_390, 0, 4_102_444_800] {
            let shift = reading(100, 100, 5_000).shift_until(reading(110, 110, to));
            assert_eq!(shift, Some(Shift { slept: Duration::ZERO, set: Some((at(5_010), at(to))) }));
        }
    }

    #[test]
    fn corrections_leap_seconds_and_time_that_just_passes_are_nothing() {
        for wall in [8_600, 8_599, 8_602] {
            assert_eq!(reading(100, 100, 5_000).shift_until(reading(3_700, 3_698, wall)), None);
        }
    }

    #[tokio::test]
    async fn an_alarm_rings_when_it_is_due_and_not_before() {
        let clock = Clock::start();
        let mut alarm = Alarm::new(clock);
        let at = clock.instant() + Duration::from_millis(30);
        alarm.set(Some(at));
        alarm.rung().await;
        assert!(clock.instant() >= at);
        // One that is past rings at once.
        alarm.set(Some(at));
        alarm.rung().await;
    }

    #[tokio::test]
    async fn a_deadline_that_moves_forward_is_met_and_one_that_was_taken_away_is_silent() {
        let clock = Clock::start();
        let mut alarm = Alarm::new(clock);
        let begin = clock.instant();
        alarm.set(Some(begin + Duration::from_secs(3600)));
        alarm.set(Some(begin + Duration::from_millis(20)));
        alarm.rung().await;
        assert!(clock.instant() < begin + Duration::from_secs(3000));
        alarm.set(Some(clock.instant()));
        alarm.set(None);
        let silent = tokio::time::timeout(Duration::from_millis(50), alarm.rung()).await;
        assert!(silent.is_err(), "it is not set");
    }

    #[tokio::test]
    async fn a_deadline_that_moves_back_a_little_rings_once_early_and_then_in_time() {
        let clock = Clock::start();
        let mut alarm = Alarm::new(clock);
        let first = clock.instant() + Duration::from_millis(10);
        let last = first + Duration::from_millis(200);
        alarm.set(Some(first));
        alarm.set(Some(last));
        let mut rings = 0;
        while clock.instant() < last {
            alarm.set(Some(last));
            alarm.rung().await;
            rings += 1;
        }
        assert!(rings <= 2, "{rings}");
    }
}
