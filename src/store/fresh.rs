//! Messages to which nothing has happened since they were written, and their ends, many at a time.
//!
//! Most messages are written, sent once and end, in the order of their places. Of those that wait
//! untouched enough is known in memory to put their ends down without a look at their rows, and
//! neighbours that end alike with one statement. Whatever else happens to a message goes its own way,
//! row by row; then nothing is remembered of it here.

use std::collections::BTreeMap;

use rusqlite::params;

use super::codes::{self, int};
use super::desk::Desk;
use super::ends::{self, Ended};
use super::outbox::moved;
use super::outbox_row::{Fate, OutRow};
use super::seal;
use crate::model::{Delivery, MessageId, MessageState};

/// Messages remembered at most: of more, those with the lowest places, which end next. What is behind them
/// comes by here again when it is read to be sent.
const REMEMBERED: usize = 4096;

/// Ends in a row of messages that are not remembered, with so many that are: what is remembered waits for
/// long, and must not keep out what ends.
const MISSED: usize = 64;

/// What is remembered of one.
#[derive(Debug)]
struct Brief {
    id: MessageId,
    queued_at: i64,
    size: i64,
}

/// Messages that stand as they were written, by place.
#[derive(Debug, Default)]
pub(super) struct Fresh {
    rows: BTreeMap<i64, Brief>,
    /// Ends in a row that were not found in it.
    missed: usize,
}

impl Fresh {
    /// Remembers a row, which has this id, if nothing has happened to it.
    pub(super) fn note(&mut self, row: &OutRow, id: &MessageId) {
        let untouched = row.state == MessageState::Queued
            && row.delivery == Delivery::Durable
            && row.changed_at == row.queued_at
            && (row.attempts, row.strikes) == (0, 0)
            && !(row.was_sent || row.maybe_delivered || row.damaged || row.reason.is_some());
        if !untouched {
            return;
        }
        if self.rows.len() >= REMEMBERED {
            if self.rows.last_key_value().is_some_and(|(last, _)| *last < row.place) {
                return;
            }
            self.rows.pop_last();
        }
        let queued_at = row.queued_at.as_millis();
        self.rows.insert(row.place, Brief { id: id.clone(), queued_at, size: row.size() });
    }

    /// The message at this place ends: what is remembered of it.
    fn take(&mut self, place: i64, id: &MessageId) -> Option<Brief> {
        let brief = self.rows.remove(&place).filter(|brief| brief.id == *id);
        self.missed = if brief.is_some() { 0 } else { self.missed + 1 };
        if self.missed >= MISSED && self.rows.len() >= REMEMBERED {
            self.forget();
        }
        brief
    }

    /// Something happened to the message at this place.
    pub(super) fn touched(&mut self, place: i64) {
        if !self.rows.is_empty() {
            self.rows.remove(&place);
        }
    }

    pub(super) fn forget(&mut self) {
        self.rows.clear();
        self.missed = 0;
    }
}

/// Neighbours that end alike and are not yet put down.
#[derive(Debug)]
pub(super) struct Run {
    first: i64,
    queued_at: i64,
    state: MessageState,
    attempts: u32,
    ids: Vec<MessageId>,
}

impl Run {
    fn goes_on_with(&self, ended: &Ended<'_>, brief: &Brief) -> bool {
        ended.place == self.first + int(self.ids.len())
            && (ended.state, ended.attempts, brief.queued_at) == (self.state, self.attempts, self.queued_at)
    }
}

/// Takes an end that needs no look at its row. False where it does.
pub(super) fn ended(desk: &mut Desk, ended: &Ended<'_>) -> rusqlite::Result<bool> {
    if !codes::confirmed(ended.state) || ended.reason.is_some() || ended.maybe_delivered {
        return Ok(false);
    }
    let Some(brief) = desk.fresh.take(ended.place, ended.id) else {
        return Ok(false);
    };
    moved(desk, ended.place, MessageState::Queued, ended.state, brief.size);
    match &mut desk.ends {
        Some(run) if run.goes_on_with(ended, &brief) => run.ids.push(brief.id),
        _ => {
            settle(desk)?;
            desk.ends = Some(Run {
                first: ended.place,
                queued_at: brief.queued_at,
                state: ended.state,
                attempts: ended.attempts,
                ids: vec![brief.id],
            });
        }
    }
    Ok(true)
}

/// Puts down the ends that were taken. To be called before anything else looks at the table.
pub(super) fn settle(desk: &mut Desk) -> rusqlite::Result<()> {
    let Some(run) = desk.ends.take() else { return Ok(()) };
    let before = Fate {
        state: codes::QUEUED,
        attempts: 0,
        strikes: 0,
        changed_at: run.queued_at,
        was_sent: 0,
        maybe_delivered: 0,
        reason: None,
    };
    let after = Fate {
        state: codes::state_code(run.state),
        attempts: run.attempts.into(),
        changed_at: desk.now.wall.as_millis(),
        ..before
    };
    let last = run.first + int(run.ids.len()) - 1;
    // The sum of both fates is exchanged in each seal: `a | b` less `a & b` is what `a ^ b` is.
    let done = desk
        .conn
        .prepare_cached(
            "UPDATE outbox SET state = ?3, changed_at = ?4, attempts = ?5,
                    checksum = CASE WHEN checksum < 0
                        THEN ?6 - ((?6 - checksum) | ?7) + ((?6 - checksum) & ?7) ELSE checksum END
             WHERE place BETWEEN ?1 AND ?2 AND state = 10 AND changed_at = ?8 AND reason IS NULL
               AND attempts = 0 AND strikes = 0 AND was_sent = 0 AND maybe_delivered = 0",
        )?
        .execute(params![
            run.first,
            last,
            after.state,
            after.changed_at,
            after.attempts,
            seal::FIRST,
            seal::difference(before.seal(), after.seal()),
            before.changed_at,
        ])?;
    if done == run.ids.len() {
        return Ok(());
    }
    // Some rows are not what was written: each by itself then, and what was counted is counted anew.
    tracing::warn!(first = run.first, last, done, "rows changed on disk while they waited");
    let confirmed = desk.tally.confirmed_total;
    for (place, id) in (run.first..).zip(&run.ids) {
        let (state, attempts) = (run.state, run.attempts);
        ends::one(desk, Ended { place, id, state, reason: None, attempts, maybe_delivered: false })?;
    }
    desk.tally.confirmed_total = confirmed;
    desk.tally.recount_messages(&desk.conn)
}

#[cfg(test)]
mod tests {
    use super::super::outbox_row::RowId;
    use super::*;
    use crate::model::{Confirm, Payload, Resend, Timestamp};

    fn untouched(place: i64) -> OutRow {
        let at = Timestamp::from_millis(1);
        OutRow {
            place,
            state: MessageState::Queued,
            attempts: 0,
            strikes: 0,
            queued_at: at,
            changed_at: at,
            expires_at: None,
            delivery: Delivery::Durable,
            confirm: Confirm::Reply,
            resend: Resend::Always,
            was_sent: false,
            maybe_delivered: false,
            lane: "default".into(),
            kind: "x".into(),
            key: None,
            id: RowId::Named(MessageId::new(&format!("m{place}")).unwrap()),
            reason: None,
            payload: Payload::Text("x".into()),
            damaged: false,
        }
    }

    fn remembers(fresh: &Fresh, place: i64) -> bool {
        fresh.rows.contains_key(&place)
    }

    fn note(fresh: &mut Fresh, places: impl Iterator<Item = i64>) {
        for place in places {
            let row = untouched(place);
            let id = row.id.message_id();
            fresh.note(&row, &id);
        }
    }

    #[test]
    fn of_more_than_are_remembered_those_that_end_next_are() {
        let most = int(REMEMBERED);
        let mut fresh = Fresh::default();
        // An app is ahead of the server …
        note(&mut fresh, 1_000..1_000 + 2 * most);
        assert!(
            remembers(&fresh, 1_000) && remembers(&fresh, 999 + most) && !remembers(&fresh, 1_000 + most)
        );
        // … whom what came before is read for.
        note(&mut fresh, 500..510);
        assert!((500..510).all(|place| remembers(&fresh, place)));
        assert!(remembers(&fresh, 1_000) && !remembers(&fresh, 999 + most));
        assert_eq!(fresh.rows.len(), REMEMBERED);
    }

    #[test]
    fn what_waits_for_long_keeps_nothing_out_for_long() {
        let most = int(REMEMBERED);
        let mut fresh = Fresh::default();
        note(&mut fresh, 0..most);
        let mut ends = 0;
        for place in most.. {
            note(&mut fresh, place..=place);
            let id = untouched(place).id.message_id();
            if fresh.take(place, &id).is_some() {
                break;
            }
            ends += 1;
            assert!(ends <= MISSED);
        }
        assert_eq!(ends, MISSED);
    }
}
