//! How the model's words are written in the tables: small numbers, and a checksum per row.
//!
//! States begin at 10 on purpose: SQLite keeps 0 and 1 in no byte at all, and a row whose size
//! does not change is overwritten in place when its state does.

use std::sync::Arc;

use crate::model::{Confirm, Delivery, GapReason, MessageState, Payload, Resend};

pub(super) const QUEUED: i64 = 10;
pub(super) const SENDING: i64 = 11;
pub(super) const PARKED: i64 = 20;
pub(super) const UNCERTAIN: i64 = 21;

pub(super) const fn state_code(state: MessageState) -> i64 {
    match state {
        MessageState::Queued => QUEUED,
        MessageState::Sending => SENDING,
        MessageState::Sent => 12,
        MessageState::Received => 13,
        MessageState::Accepted => 14,
        MessageState::Rejected => 15,
        MessageState::Expired => 16,
        MessageState::Superseded => 17,
        MessageState::Cancelled => 18,
        MessageState::Dropped => 19,
        MessageState::Parked => PARKED,
        MessageState::Uncertain => UNCERTAIN,
    }
}

pub(super) fn state(code: i64) -> Option<MessageState> {
    MessageState::ALL.into_iter().find(|state| state_code(*state) == code)
}

/// Whether a row in this state on disk still awaits its end. (On disk `sent` and `received` are
/// ends: while a message is on its way they live in memory.)
pub(super) const fn unfinished(state: MessageState) -> bool {
    matches!(
        state,
        MessageState::Queued | MessageState::Sending | MessageState::Parked | MessageState::Uncertain
    )
}

/// Whether a row ended well.
pub(super) const fn confirmed(state: MessageState) -> bool {
    matches!(state, MessageState::Sent | MessageState::Received | MessageState::Accepted)
}

pub(super) const fn delivery_code(delivery: Delivery) -> i64 {
    match delivery {
        Delivery::Durable => 0,
        Delivery::Latest => 1,
        Delivery::Ephemeral => 2,
    }
}

pub(super) const fn delivery(code: i64) -> Delivery {
    match code {
        1 => Delivery::Latest,
        2 => Delivery::Ephemeral,
        _ => Delivery::Durable,
    }
}

pub(super) const fn confirm_code(confirm: Confirm) -> i64 {
    match confirm {
        Confirm::Reply => 0,
        Confirm::Learned => 1,
        Confirm::Barrier => 2,
        Confirm::Sent => 3,
    }
}

pub(super) const fn confirm(code: i64) -> Confirm {
    match code {
        0 => Confirm::Reply,
        2 => Confirm::Barrier,
        3 => Confirm::Sent,
        _ => Confirm::Learned,
    }
}

pub(super) const fn resend_code(resend: Resend) -> i64 {
    match resend {
        Resend::Always => 0,
        Resend::Never => 1,
    }
}

pub(super) const fn resend(code: i64) -> Resend {
    match code {
        0 => Resend::Always,
        _ => Resend::Never,
    }
}

/// The form of a gap row of the inbox.
pub(super) const fn gap_code(reason: GapReason) -> i64 {
    match reason {
        GapReason::Retention => 10,
        GapReason::Server => 11,
        GapReason::Quarantine => 12,
        GapReason::Corruption => 13,
    }
}

/// The form of a row that stands for a frame in quarantine.
pub(super) const BAD: i64 = 20;

/// What kind of row of the inbox a form is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Event,
    Gap(GapReason),
    Bad,
}

pub(super) const fn form(code: i64) -> Option<Form> {
    match code {
        JSON | TEXT | BINARY => Some(Form::Event),
        10 => Some(Form::Gap(GapReason::Retention)),
        11 => Some(Form::Gap(GapReason::Server)),
        12 => Some(Form::Gap(GapReason::Quarantine)),
        13 => Some(Form::Gap(GapReason::Corruption)),
        BAD => Some(Form::Bad),
        _ => None,
    }
}

pub(super) const JSON: i64 = 1;
pub(super) const TEXT: i64 = 2;
pub(super) const BINARY: i64 = 3;

pub(super) const fn payload_form(payload: &Payload) -> i64 {
    match payload {
        Payload::Json(_) => JSON,
        Payload::Text(_) => TEXT,
        Payload::Binary(_) => BINARY,
    }
}

pub(super) fn payload_bytes(payload: &Payload) -> &[u8] {
    match payload {
        Payload::Json(text) | Payload::Text(text) => text.as_bytes(),
        Payload::Binary(bytes) => bytes,
    }
}

/// The payload written as `form` and `bytes`; none where they do not fit together.
pub(super) fn payload(form: i64, bytes: &[u8]) -> Option<Payload> {
    let text = || std::str::from_utf8(bytes).ok().map(Arc::<str>::from);
    match form {
        JSON => text().map(Payload::Json),
        TEXT => text().map(Payload::Text),
        BINARY => Some(Payload::Binary(bytes.into())),
        _ => None,
    }
}

/// A checksum over the texts of a row, so that a damaged one is told from a sound one.
pub(super) fn checksum(form: i64, parts: &[Option<&[u8]>], body: &[u8]) -> i64 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&form.to_le_bytes());
    for part in parts {
        // A length before each part: texts that moved from one column to the next differ.
        let length = part.map_or(u64::MAX, |part| part.len() as u64);
        sum.update(&length.to_le_bytes());
        sum.update(part.unwrap_or_default());
    }
    sum.update(body);
    i64::from(sum.finalize())
}

/// A count or size as SQLite takes it.
pub(super) fn int(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A limit of the configuration as SQLite takes it.
pub(super) fn limit(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A count of the database as the model shows it; never negative.
pub(super) fn count(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{checksum, state, state_code};
    use crate::model::MessageState;

    #[test]
    fn every_state_is_read_as_it_was_written() {
        for known in MessageState::ALL {
            assert_eq!(state(state_code(known)), Some(known));
        }
    }

    #[test]
    fn the_checksum_tells_texts_that_changed_columns() {
        let one = checksum(1, &[Some(b"ab"), Some(b"c")], b"x");
        assert_ne!(one, checksum(1, &[Some(b"a"), Some(b"bc")], b"x"));
        assert_ne!(one, checksum(1, &[Some(b"ab"), Some(b"c")], b"y"));
        assert_ne!(checksum(1, &[None], b""), checksum(1, &[Some(b"")], b""));
    }
}
