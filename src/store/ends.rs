//! Ends of messages as the session saw them.

use rusqlite::OptionalExtension as _;

use super::codes;
use super::desk::Desk;
use super::outbox::set_state;
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
    let brief = desk
        .conn
        .prepare_cached("SELECT state, id, length(body) FROM outbox WHERE place = ?1")?
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
            Ok((codes::state(row.get(0)?), same, row.get::<_, i64>(2)?))
        })
        .optional()?;
    let Some((Some(from), true, size)) = brief else {
        return Ok(());
    };
    if !may_end(from, ended.state) {
        return Ok(());
    }
    let maybe_sent = ended.state == MessageState::Expired && ended.place <= desk.maybe_sent;
    let maybe_delivered = ended.maybe_delivered || maybe_sent;
    set_state(desk, ended.place, from, ended.state, size, ended.attempts, ended.reason, maybe_delivered)
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
