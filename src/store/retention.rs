//! Pruning, oldest first, in small steps: events by count, bytes and age; finished messages by
//! count and age. An unfinished message is never touched.
//!
//! How ages are measured, so that a clock that is wrong or set prunes nothing early, is
//! `clockwork.rs`'s matter. A look at the oldest row says when the next look is worth it.

use rusqlite::{OptionalExtension as _, params};

use super::codes::{self, int, limit};
use super::desk::Desk;
use super::{clockwork, dedupe, inbox, memory, quarantine};
use crate::model::Timestamp;

/// Rows taken away in one transaction at most, of each kind.
pub(super) const STEP: usize = 256;

/// How far pruning has looked.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Progress {
    /// No finished message stands before this place.
    finished_from: i64,
    /// Until then nothing gets too old.
    finished_young_until: Timestamp,
    /// The same for events.
    events_young_until: Timestamp,
    /// Finished messages that are kept whatever the limits say, as of the last look.
    kept: i64,
}

impl Progress {
    /// A message ended at this place, perhaps as the only one that is kept.
    pub(super) fn message_finished_at(&mut self, place: i64, alone: bool) {
        self.finished_from = if alone { place } else { self.finished_from.min(place) };
    }

    /// Looks at everything anew.
    pub(super) fn restart(&mut self) {
        *self = Self::default();
    }
}

/// Whether a step would (as far as is known) take something away.
pub(super) fn is_due(desk: &Desk) -> bool {
    events_are_due(desk) || finished_are_due(desk)
}

fn events_are_due(desk: &Desk) -> bool {
    let settings = &desk.settings.inbox;
    let tally = &desk.tally;
    tally.inbox_rows > limit(settings.max_events)
        || (tally.inbox_bytes > limit(settings.max_bytes) && tally.inbox_rows > 0)
        || (tally.inbox_rows > 0 && is_past(desk, desk.retention.events_young_until))
}

fn finished_are_due(desk: &Desk) -> bool {
    let tally = &desk.tally;
    let finished = tally.finished - desk.retention.kept;
    finished > limit(desk.settings.outbox.keep_finished)
        || (finished > 0 && is_past(desk, desk.retention.finished_young_until))
}

fn is_past(desk: &Desk, at: Timestamp) -> bool {
    clockwork::now_for_ages(desk).is_some_and(|now| now > at)
}

/// Takes away at most [`STEP`] rows of each kind.
pub(super) fn step(desk: &mut Desk) -> rusqlite::Result<()> {
    if events_are_due(desk) {
        prune_events(desk)?;
    }
    if finished_are_due(desk) {
        prune_finished(desk)?;
    }
    Ok(())
}

struct Oldest {
    seq: i64,
    received_at: Timestamp,
    is_event: bool,
    stream: Option<i64>,
    id: Option<String>,
    body: i64,
    frame: Option<i64>,
}

fn prune_events(desk: &mut Desk) -> rusqlite::Result<()> {
    let max_events = limit(desk.settings.inbox.max_events);
    let max_bytes = limit(desk.settings.inbox.max_bytes);
    let max_age = desk.settings.inbox.max_age;
    let now = clockwork::now_for_ages(desk);
    let oldest: Vec<Oldest> = desk
        .conn
        .prepare_cached(
            "SELECT seq, received_at, form, stream, id, length(body),
                    (SELECT length(frame) FROM quarantine WHERE quarantine.seq = inbox.seq)
             FROM inbox ORDER BY seq LIMIT ?1",
        )?
        .query_map([int(STEP)], |row| {
            Ok(Oldest {
                seq: row.get(0)?,
                received_at: Timestamp::from_millis(row.get(1)?),
                is_event: codes::form(row.get(2)?) == Some(codes::Form::Event),
                stream: row.get(3)?,
                id: row.get(4)?,
                body: row.get(5)?,
                frame: row.get(6)?,
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    if oldest.is_empty() {
        // The count was wrong (a salvaged file may bring such a one).
        let tally = &mut desk.tally;
        (tally.inbox_rows, tally.events, tally.inbox_bytes, tally.quarantined) = (0, 0, 0, 0);
    }

    // Nothing left to look at: the next event is young for this long.
    desk.retention.events_young_until = now.unwrap_or_default().after(max_age);
    let mut through = None;
    let stamps = oldest.iter().map(|row| row.received_at);
    let times = clockwork::believable(stamps, now.unwrap_or_default());
    for (row, received_at) in oldest.into_iter().zip(times) {
        let too_much = desk.tally.inbox_rows > max_events || desk.tally.inbox_bytes > max_bytes;
        let dies_at = received_at.after(max_age);
        if !too_much && now.is_none_or(|now| dies_at >= now) {
            desk.retention.events_young_until = dies_at;
            break;
        }
        // Looked at anew by the next step, should the rows of this one not have been all.
        desk.retention.events_young_until = Timestamp::default();
        if let (Some(stream), Some(id)) = (row.stream, &row.id)
            && desk.windows.still_wanted(stream, row.seq)
        {
            dedupe::keep(&desk.conn, row.seq, stream, id)?;
        }
        desk.tally.inbox_rows -= 1;
        desk.tally.inbox_bytes -= row.body + row.frame.unwrap_or(0);
        desk.tally.events -= i64::from(row.is_event);
        desk.tally.quarantined -= i64::from(row.frame.is_some());
        through = Some(row.seq);
    }
    if let Some(through) = through {
        desk.conn.prepare_cached("DELETE FROM inbox WHERE seq <= ?1")?.execute([through])?;
        quarantine::prune(&desk.conn, through)?;
        desk.tally.pruned_through = through;
        inbox::settle_first(desk)?;
    }
    Ok(())
}

fn prune_finished(desk: &mut Desk) -> rusqlite::Result<()> {
    let keep = limit(desk.settings.outbox.keep_finished);
    let max_age = desk.settings.outbox.keep_finished_age;
    let now = clockwork::now_for_ages(desk);
    let mut oldest: Vec<(i64, Timestamp)> = desk
        .conn
        .prepare_cached(
            "SELECT place, changed_at FROM outbox WHERE place >= ?1 AND +state BETWEEN 12 AND 19
             ORDER BY place LIMIT ?2",
        )?
        .query_map(params![desk.retention.finished_from, int(STEP)], |row| {
            Ok((row.get(0)?, Timestamp::from_millis(row.get(1)?)))
        })?
        .collect::<rusqlite::Result<_>>()?;
    if oldest.is_empty() {
        // Nothing behind the mark: look from the beginning, and from there the count was wrong.
        if std::mem::take(&mut desk.retention.finished_from) == 0 {
            desk.tally.finished = 0;
        }
        return Ok(());
    }

    // By place they are nearly in the order of their ends. One that ended late (it was parked, or
    // its lane waited) is not to go before those that ended long ago.
    let full = oldest.len() == STEP;
    let in_order: Vec<i64> = oldest.iter().map(|(place, _)| *place).collect();
    let behind = oldest.last().map_or(0, |(place, _)| place + 1);
    // A lane that waits for a person waits for this message: it must be there to be dealt with.
    let mut stopping = Vec::new();
    for (_, place) in memory::stopping(&desk.conn)? {
        let finished = "SELECT 1 FROM outbox WHERE place = ?1 AND state BETWEEN 12 AND 19";
        if desk.conn.prepare_cached(finished)?.exists([place])? {
            stopping.push(place);
        }
    }
    desk.retention.kept = int(stopping.len());
    oldest.retain(|(place, _)| !stopping.contains(place));
    for (_, changed_at) in &mut oldest {
        // Each by itself: they are not in the order of these times.
        *changed_at = clockwork::believable([*changed_at], now.unwrap_or_default())[0];
    }
    oldest.sort_unstable_by_key(|(_, changed_at)| *changed_at);
    let mut gone = 0;
    desk.retention.finished_young_until = now.unwrap_or_default().after(max_age);
    for (_, changed_at) in &oldest {
        let dies_at = changed_at.after(max_age);
        if desk.tally.finished - desk.retention.kept <= keep && now.is_none_or(|now| dies_at >= now) {
            desk.retention.finished_young_until = dies_at;
            break;
        }
        desk.tally.finished -= 1;
        gone += 1;
    }
    let mut leaving: Vec<i64> = oldest[..gone].iter().map(|(place, _)| *place).collect();
    leaving.sort_unstable();
    delete_finished(desk, &in_order, &leaving)?;
    desk.retention.finished_from = oldest[gone..].iter().map(|(place, _)| *place).min().unwrap_or(behind);
    if full && gone > 0 {
        desk.retention.finished_young_until = Timestamp::default();
    }
    Ok(())
}

/// Takes `leaving` away, which are among the finished messages `in_order`; both by place. Neighbours go
/// together: what stands between two of them is not finished.
fn delete_finished(desk: &Desk, in_order: &[i64], leaving: &[i64]) -> rusqlite::Result<()> {
    let mut statement = desk
        .conn
        .prepare_cached("DELETE FROM outbox WHERE place BETWEEN ?1 AND ?2 AND state BETWEEN 12 AND 19")?;
    let runs = in_order
        .chunk_by(|one, next| leaving.binary_search(one).is_ok() == leaving.binary_search(next).is_ok());
    for run in runs {
        if let (Some(first), Some(last)) = (run.first(), run.last())
            && leaving.binary_search(first).is_ok()
        {
            statement.execute([first, last])?;
        }
    }
    Ok(())
}

/// Free pages given back to the file system in one go.
const VACUUM_PAGES: i64 = 4096;

/// Gives free pages back where they are more than a quarter of the file: some are soon used again.
pub(super) fn give_back_space(desk: &Desk) -> rusqlite::Result<()> {
    let number = |sql: &str| -> rusqlite::Result<i64> {
        Ok(desk.conn.query_row(sql, [], |row| row.get(0)).optional()?.unwrap_or(0))
    };
    let (free, all) = (number("PRAGMA freelist_count")?, number("PRAGMA page_count")?);
    if free > all / 4 {
        let pages = (free - all / 8).min(VACUUM_PAGES);
        let mut statement = desk.conn.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
        let mut rows = statement.query([])?;
        while rows.next()?.is_some() {}
    }
    Ok(())
}
