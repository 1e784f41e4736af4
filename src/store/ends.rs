//! Ends of messages as the session saw them.

use rusqlite::{OptionalExtension as _, Row, params};

use super::codes;
use super::desk::Desk;
use super::fresh;
use super::outbox::moved;
use super::outbox_row::Fate;
use super::seal::{self, int};
use crate::model::{MessageId, MessageState};

/// What the session says of a message's end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ended<'a> {
    pub(super) place: i64,
    pub(super) id: &'a MessageId,
    pub(super) state: MessageState,
    pub(super) reason: Option<&'a str>,
    pub(super) attempts: u32,
    pub(super) maybe_delivered: bool,
}

/// Puts down a message's end as the session saw it. A row that carries another id by now, or has
/// an end that cannot rise to this one, stays as it is.
pub(super) fn ended(desk: &mut Desk, ended: Ended<'_>) -> rusqlite::Result<()> {
    if fresh::ended(desk, &ended)? {
        return Ok(());
    }
    fresh::settle(desk)?;
    one(desk, ended)
}

/// As [`ended`], with a look at the row.
pub(super) fn one(desk: &mut Desk, ended: Ended<'_>) -> rusqlite::Result<()> {
    let brief = desk
        .conn
        .prepare_cached(
            "SELECT state, id, length(body), attempts, strikes, changed_at, was_sent, maybe_delivered, reason,
                    checksum FROM outbox WHERE place = ?1",
        )?
        .query_row([ended.place], |row| {
            let same = match row.get_ref(1)? {
                rusqlite::types::ValueRef::Blob(bytes) => uuid::Uuid::from_slice(bytes).is_ok_and(|uuid| {
                    let mut text = uuid::Uuid::encode_buffer();
                    uuid.hyphenated().encode_lower(&mut text) == ended.id.as_str()
                }),
                rusqlite::types::ValueRef::Text(bytes) => bytes == ended.id.as_str().as_bytes(),
                rusqlite::types::ValueRef::Null
                | rusqlite::types::ValueRef::Integer(_)
                | rusqlite::types::ValueRef::Real(_) => false,
            };
            Ok((codes::state(row.get(0)?), same, row.get::<_, i64>(2)?, Sealed::read(row)?))
        })
        .optional()?;
    let Some((Some(from), true, size, sealed)) = brief else {
        return Ok(());
    };
    if !may_end(from, ended.state) {
        return Ok(());
    }
    let maybe_sent = ended.state == MessageState::Expired && ended.place <= desk.maybe_sent;
    let maybe_delivered = ended.maybe_delivered || maybe_sent;
    let fate = Fate {
        state: codes::state_code(ended.state),
        attempts: ended.attempts.into(),
        strikes: sealed.strikes,
        changed_at: desk.now.wall.as_millis(),
        was_sent: sealed.was_sent,
        maybe_delivered: maybe_delivered.into(),
        reason: ended.reason.map(str::as_bytes),
    };
    desk.conn
        .prepare_cached(
            "UPDATE outbox SET state = ?2, changed_at = ?3, attempts = ?4, reason = ?5, maybe_delivered = ?6,
                    checksum = ?7 WHERE place = ?1",
        )?
        .execute(params![
            ended.place,
            fate.state,
            fate.changed_at,
            fate.attempts,
            ended.reason,
            fate.maybe_delivered,
            sealed.with(&fate),
        ])?;
    moved(desk, ended.place, from, ended.state, size);
    Ok(())
}

/// What of a row's seal is needed to seal it anew, without a look at its body.
struct Sealed {
    checksum: i64,
    fate: i64,
    strikes: i64,
    was_sent: i64,
}

impl Sealed {
    /// Reads the columns from the fourth on.
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let fate = Fate {
            state: int(row, 0)?,
            attempts: int(row, 3)?,
            strikes: int(row, 4)?,
            changed_at: int(row, 5)?,
            was_sent: int(row, 6)?,
            maybe_delivered: int(row, 7)?,
            reason: row.get_ref(8)?.as_bytes().ok(),
        };
        Ok(Self { checksum: int(row, 9)?, fate: fate.seal(), strikes: fate.strikes, was_sent: fate.was_sent })
    }

    /// The seal with another fate. A checksum of version 1 stays as it is.
    fn with(&self, fate: &Fate<'_>) -> i64 {
        if seal::is_one(self.checksum) {
            seal::both(seal::both(self.checksum, self.fate), fate.seal())
        } else {
            self.checksum
        }
    }
}

/// Levels only rise: a late word of the server lifts a row that ended without one, or refuses it.
const fn may_end(from: MessageState, to: MessageState) -> bool {
    match to {
        MessageState::Queued | MessageState::Sending => false,
        MessageState::Accepted | MessageState::Rejected => {
            codes::unfinished(from) || matches!(from, MessageState::Sent | MessageState::Received)
        }
        MessageState::Received => codes::unfinished(from) || matches!(from, MessageState::Sent),
        MessageState::Sent
        | MessageState::Expired
        | MessageState::Superseded
        | MessageState::Cancelled
        | MessageState::Dropped
        | MessageState::Parked
        | MessageState::Uncertain => codes::unfinished(from),
    }
}
