//! Time in the database, where the clock may be wrong or set at any moment.
//!
//! **Deadlines** are kept on the steady clock of the run that wrote them. How far that was from the
//! wall clock is kept beside them (the [`Mark`]), so that the next run can move them onto its own: a
//! message queued while the clock stood in 1970 does not expire because it is set to today, and a run
//! that begins in 1970 goes on from where the last one stopped.
//!
//! **Ages** only ever take something away for good, so they are believed late and seldom: some time
//! after the start, by the lower of both clocks, and with stamps that cannot be right left out.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _};

use super::desk::Desk;
use super::outbox_row;
use crate::clock::Clock;
use crate::model::{Moment, Timestamp};

/// The fact's name.
const NAME: &str = "clock";
/// A distance between the clocks that is worth moving deadlines for.
const APART: i64 = 1_000;
/// The mark is put down anew (with the next commit) once it is this old.
const STALE: Duration = Duration::from_secs(60 * 60);
/// The mark of the end is not worth a commit of its own if there is one as new as this.
const FRESH: Duration = Duration::from_secs(60);
/// 2026-01-01: nothing was received before this program existed. An older stamp was made by a clock
/// that stood wrong.
const FIRST: Timestamp = Timestamp::from_millis(1_767_225_600_000);
/// Stamps may be out of order, or ahead, by so much and still be right.
const LEEWAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How the two clocks of a run stood at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    steady: Timestamp,
    wall: Timestamp,
}

impl Mark {
    const fn of(now: Moment) -> Self {
        Self { steady: now.steady, wall: now.wall }
    }

    /// Milliseconds from the steady clock to the wall clock.
    const fn distance(self) -> i64 {
        self.wall.as_millis().saturating_sub(self.steady.as_millis())
    }

    fn read(conn: &Connection) -> rusqlite::Result<Option<Self>> {
        let question = "SELECT value FROM facts WHERE name = ?1 AND seal = seal(name, value)";
        let text: Option<String> = conn.query_row(question, [NAME], |row| row.get(0)).optional()?;
        Ok(text.as_deref().and_then(|text| {
            let (steady, wall) = text.split_once(' ')?;
            let at = |text: &str| text.parse().ok().map(Timestamp::from_millis);
            Some(Self { steady: at(steady)?, wall: at(wall)? })
        }))
    }

    fn write(self, conn: &Connection) -> rusqlite::Result<()> {
        let value = format!("{} {}", self.steady.as_millis(), self.wall.as_millis());
        conn.prepare_cached(
            "INSERT OR REPLACE INTO facts (name, value, seal) VALUES (?1, ?2, seal(?1, ?2))",
        )?
        .execute([NAME, &value])?;
        Ok(())
    }
}

/// Takes over from the last run, within the transaction of the start: moves its deadlines onto the
/// clock of this run, which is handed back.
pub(super) fn take_over(conn: &Connection, clock: Clock) -> rusqlite::Result<(Clock, Option<Mark>)> {
    let Some(last) = Mark::read(conn)? else { return Ok((clock, None)) };
    let moved = last.distance();
    if moved.saturating_abs() >= APART {
        outbox_row::move_deadlines(conn, moved)?;
    }
    let clock = clock.not_before(last.wall);
    let now = clock.now();
    if last.wall.since(now.wall) > LEEWAY {
        tracing::warn!(
            "the clock stands at {:.0}, before the last run at {:.0}: deadlines go on from there",
            now.wall.to_jiff(),
            last.wall.to_jiff()
        );
    }
    let mark = Mark::of(now);
    // A start that finds the clocks as they were writes nothing: the disk may be full.
    if mark.distance().abs_diff(moved) < APART.unsigned_abs() && moved.saturating_abs() < APART {
        return Ok((clock, None));
    }
    mark.write(conn)?;
    Ok((clock, Some(mark)))
}

/// Keeps the mark true, within a transaction that is committed anyway.
pub(super) fn keep(desk: &mut Desk) -> rusqlite::Result<()> {
    keep_within(desk, STALE)
}

/// The mark of the end: from here on no time passes backwards. A run that wrote nothing leaves the
/// file alone.
pub(super) fn put_down(desk: &mut Desk) -> rusqlite::Result<()> {
    if desk.mark.is_some() { keep_within(desk, FRESH) } else { Ok(()) }
}

fn keep_within(desk: &mut Desk, age: Duration) -> rusqlite::Result<()> {
    let mark = Mark::of(desk.clock.now());
    let good = desk.mark.is_some_and(|last| {
        let moved = mark.distance().abs_diff(last.distance()) >= APART.unsigned_abs();
        !moved && mark.steady.since(last.steady) < age
    });
    if !good {
        mark.write(&desk.conn)?;
        desk.mark = Some(mark);
    }
    Ok(())
}

/// What ages are counted to. None soon after the start, while a clock that is wrong at boot may not
/// yet be set.
pub(super) fn now_for_ages(desk: &Desk) -> Option<Timestamp> {
    let now = desk.clock.now();
    (now.instant >= desk.ages_from).then(|| now.steady.min(now.wall))
}

/// The times in `stamps`, which are in the order of receipt, with those that cannot be right
/// replaced by the next that can; `now` where there is none.
pub(super) fn believable(stamps: impl IntoIterator<Item = Timestamp>, now: Timestamp) -> Vec<Timestamp> {
    let mut latest = FIRST;
    let mut times: Vec<Option<Timestamp>> = stamps
        .into_iter()
        .map(|stamp| {
            let right = stamp.after(LEEWAY) >= latest && stamp <= now.after(LEEWAY);
            (right && stamp >= FIRST).then(|| {
                latest = latest.max(stamp);
                stamp
            })
        })
        .collect();
    let mut next = now;
    for time in times.iter_mut().rev() {
        next = *time.get_or_insert(next);
    }
    times.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(day: i64) -> Timestamp {
        Timestamp::from_millis(FIRST.as_millis() + day * 86_400_000)
    }

    fn believed(days: &[i64], now: i64) -> Vec<i64> {
        let times = believable(days.iter().map(|d| day(*d)), day(now));
        times.iter().map(|time| (time.as_millis() - FIRST.as_millis()) / 86_400_000).collect()
    }

    #[test]
    fn stamps_that_are_right_stand() {
        assert_eq!(believed(&[10, 11, 11, 30], 40), [10, 11, 11, 30]);
        assert_eq!(believed(&[], 40), [0_i64; 0]);
    }

    #[test]
    fn a_stamp_from_before_the_program_is_as_old_as_what_came_after_it() {
        assert_eq!(believed(&[-20_000, -20_000, 10, -20_000], 40), [10, 10, 10, 40]);
    }

    #[test]
    fn a_stamp_from_the_future_is_as_old_as_what_came_after_it_and_takes_nothing_along() {
        assert_eq!(believed(&[10, 9_000, 12, 13], 40), [10, 12, 12, 13]);
        assert_eq!(believed(&[9_000], 40), [40]);
    }

    #[test]
    fn a_clock_that_went_back_for_a_while_makes_nothing_old() {
        assert_eq!(believed(&[30, 2, 2, 31], 40), [30, 31, 31, 31]);
    }
}
