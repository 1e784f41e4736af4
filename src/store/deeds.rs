//! What apps and people do to a message, and what its time to live does.

use rusqlite::Connection;

use super::StoreEvent;
use super::desk::Desk;
use super::outbox::{at, end, find, has_newer, set_state};
use super::outbox_row::{DAMAGED, OutRow, columns, resealed};
use super::trouble::{Trouble, not_found};
use crate::model::{ErrorKind, Message, MessageId, MessageState, Place, Refusal, Timestamp};

/// What a person or an app does to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    Cancel,
    Retry,
    Drop,
}

/// Cancels, retries or drops, where the state allows it.
pub(super) fn act(desk: &mut Desk, id: &MessageId, deed: Deed) -> Result<Message, Trouble> {
    let Some(row) = find(&desk.conn, id)? else {
        return Err(not_found("message", id)
            .hint("finished messages are forgotten after outbox.keep_finished")
            .into());
    };
    if row.state == MessageState::Sending || desk.on_wire.contains(&row.place) {
        return Err(Refusal::new(ErrorKind::Busy, format!("{id} is on the wire"))
            .hint("try again when its outcome is known")
            .into());
    }
    let waits = row.state.waits_for_person();
    let allowed = match deed {
        Deed::Cancel => waits || row.state == MessageState::Queued,
        Deed::Retry | Deed::Drop => waits || row.state == MessageState::Rejected,
    };
    if !allowed {
        let (word, states) = match deed {
            Deed::Cancel => ("cancelled", "queued, parked and uncertain"),
            Deed::Retry => ("retried", "parked, uncertain and rejected"),
            Deed::Drop => ("dropped", "parked, uncertain and rejected"),
        };
        return Err(Refusal::new(
            ErrorKind::Conflict,
            format!("{id} is {} and cannot be {word}", row.state.as_str()),
        )
        .hint(format!("only {states} messages can be {word}"))
        .with("id", id.as_str())
        .with("state", row.state.as_str())
        .into());
    }
    match deed {
        Deed::Cancel => end(desk, &row, MessageState::Cancelled, None)?,
        Deed::Drop => end(desk, &row, MessageState::Dropped, None)?,
        Deed::Retry => retry(desk, &row)?,
    }
    Ok(at(&desk.conn, row.place)?.unwrap_or(row).message())
}

fn retry(desk: &mut Desk, row: &OutRow) -> Result<(), Trouble> {
    let id = row.id.message_id();
    if row.damaged {
        return Err(Refusal::new(ErrorKind::Conflict, format!("{id} is damaged on disk and cannot be sent"))
            .hint("drop it and send the message anew")
            .into());
    }
    if has_newer(&desk.conn, row)? {
        return Err(Refusal::new(ErrorKind::Conflict, format!("a newer value than {id} is queued"))
            .hint("drop it: the newer value goes out")
            .with("id", id.as_str())
            .with("state", row.state.as_str())
            .into());
    }
    set_state(desk, row.place, row.state, MessageState::Queued, row.size(), 0, None, false)?;
    desk.conn
        .prepare_cached(concat!(
            "UPDATE outbox SET strikes = 0, ",
            resealed!("state", "attempts", "0", "changed_at", "was_sent", "maybe_delivered", "reason"),
            " WHERE place = ?1",
        ))?
        .execute([row.place])?;
    let tally = &mut desk.tally;
    if tally.oldest_queued_at.is_none() || row.place < tally.low_place {
        tally.low_place = row.place;
        tally.oldest_queued_at = Some(row.queued_at.as_millis());
        tally.low_is_stale = false;
    }
    let mut queued = row.clone();
    (queued.state, queued.attempts, queued.strikes) = (MessageState::Queued, 0, 0);
    desk.told.event(StoreEvent::Requeued(vec![queued.due()]));
    Ok(())
}

/// Puts messages aside whose rows are not what was written. Where a state changed on disk the
/// counts are off by it, so they are taken anew.
pub(super) fn mend(desk: &mut Desk, places: &[Place]) -> rusqlite::Result<()> {
    for place in places {
        if let Some(row) = at(&desk.conn, place.0)?.filter(|row| row.damaged) {
            end(desk, &row, MessageState::Parked, Some(DAMAGED))?;
        }
    }
    desk.tally.recount_messages(&desk.conn)
}

/// Rows ended by one call of [`expire`] at most; the next one is due at once then.
const EXPIRE_STEP: usize = 1024;

/// Ends rows whose time is over, but those in `skip`, and says when the next one is.
pub(super) fn expire(desk: &mut Desk, now: Timestamp, skip: &[Place]) -> rusqlite::Result<Option<Timestamp>> {
    let overdue: Vec<OutRow> = {
        let mut statement = desk.conn.prepare_cached(concat!(
            "SELECT ",
            columns!(),
            " FROM outbox
             WHERE expires_at IS NOT NULL AND (state = 10 OR state = 20 OR state = 21)
               AND expires_at <= ?1
             ORDER BY expires_at"
        ))?;
        let mut rows = statement.query([now.as_millis()])?;
        let mut overdue = Vec::new();
        while let Some(row) = rows.next()? {
            let place: i64 = row.get(0)?;
            if skip.contains(&Place(place)) {
                continue;
            }
            if overdue.len() == EXPIRE_STEP {
                break;
            }
            overdue.push(OutRow::read(row)?);
        }
        overdue
    };
    let more = overdue.len() == EXPIRE_STEP;
    for row in overdue {
        end(desk, &row, MessageState::Expired, Some("its time to live ended first"))?;
    }
    if more { Ok(Some(now)) } else { next_expiry(&desk.conn, now) }
}

/// When the next row's time is over, of those whose time is not over at `after`.
pub(super) fn next_expiry(conn: &Connection, after: Timestamp) -> rusqlite::Result<Option<Timestamp>> {
    let at: Option<i64> = conn
        .prepare_cached(
            "SELECT min(expires_at) FROM outbox
             WHERE expires_at IS NOT NULL AND (state = 10 OR state = 20 OR state = 21)
               AND expires_at > ?1",
        )?
        .query_row([after.as_millis()], |row| row.get(0))?;
    Ok(at.map(Timestamp::from_millis))
}
