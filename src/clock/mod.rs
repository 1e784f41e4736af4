//! The only room that asks for the time.
//!
//! [`Clock::now`] gives all three senses of it at once ([`Moment`]): a monotonic instant that
//! counts sleep, the steady wall clock for TTLs, and the wall clock for showing. [`Alarm`] wakes at a
//! point of the first, [`Vigil`] tells of sleep and of a wall clock that was set.

mod alarm;

use crate::model::{Instant, Moment, Timestamp};

pub use alarm::{Alarm, Shift, Vigil};

/// Tells the time. Cheap to copy; all copies of one run agree.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    origin_instant: Instant,
    origin_wall: Timestamp,
}

impl Clock {
    /// Starts the clock of this run: the steady wall clock begins as the wall clock stands.
    #[must_use]
    pub fn start() -> Self {
        Self { origin_instant: monotonic(), origin_wall: wall() }
    }

    /// This clock, its steady time going on from `last` where it would begin before it: between two
    /// runs no time runs backwards, so a machine that starts in 1970 does not stretch deadlines.
    #[must_use]
    pub fn not_before(self, last: Timestamp) -> Self {
        Self { origin_wall: self.origin_wall.max(last), ..self }
    }

    /// What time it is.
    #[must_use]
    pub fn now(&self) -> Moment {
        let instant = monotonic();
        Moment { instant, steady: self.origin_wall.after(instant.since(self.origin_instant)), wall: wall() }
    }

    /// The monotonic instant alone.
    #[must_use]
    pub fn instant(&self) -> Instant {
        monotonic()
    }

    /// The runtime's timer point for `at`, for `tokio::time::sleep_until`.
    #[must_use]
    pub fn deadline(&self, at: Instant) -> tokio::time::Instant {
        tokio::time::Instant::now() + at.since(monotonic())
    }

    /// A fresh time-ordered id (UUIDv7, RFC 9562).
    #[must_use]
    pub fn uuid(&self) -> uuid::Uuid {
        uuid::Uuid::now_v7()
    }
}

/// Counts sleep and ignores steps of the wall clock: `CLOCK_BOOTTIME` on Linux, `CLOCK_MONOTONIC` on
/// macOS.
#[cfg(unix)]
fn monotonic() -> Instant {
    #[cfg(target_os = "linux")]
    let clock = rustix::time::ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    let clock = rustix::time::ClockId::Monotonic;
    let at = rustix::time::clock_gettime(clock);
    // The time since the start of the machine is never negative.
    let secs = u64::try_from(at.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(at.tv_nsec).unwrap_or(0);
    Instant::from_nanos(secs.saturating_mul(1_000_000_000).saturating_add(nanos))
}

/// Elsewhere the standard clock. On Windows it counts sleep.
#[cfg(not(unix))]
fn monotonic() -> Instant {
    awake()
}

/// The standard clock, which stands still while a Unix machine sleeps.
#[allow(clippy::disallowed_methods, reason = "this room is where the time is asked for")]
fn awake() -> Instant {
    use std::sync::OnceLock;
    static ORIGIN: OnceLock<std::time::Instant> = OnceLock::new();
    let origin = *ORIGIN.get_or_init(std::time::Instant::now);
    Instant::from_nanos(u64::try_from(origin.elapsed().as_nanos()).unwrap_or(u64::MAX))
}

#[allow(clippy::disallowed_methods, reason = "this room is where the time is asked for")]
fn wall() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
