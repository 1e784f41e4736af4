//! A row of the outbox, read with its checksum checked.

use std::sync::Arc;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Row, ToSql};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::codes;
use super::seal::{self, Sum, int, maybe_int};
use crate::model::{
    Confirm, Delivery, DueRow, HistoryEntry, Message, MessageId, MessageState, Payload, Place, Resend,
    Timestamp,
};

/// The columns [`OutRow::read`] wants, in its order.
macro_rules! columns {
    () => {
        "place, state, attempts, strikes, queued_at, changed_at, expires_at, delivery, confirm, resend, was_sent, \
         maybe_delivered, form, checksum, lane, kind, key, id, reason, body"
    };
}
pub(super) use columns;

/// An id as the table holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RowId {
    /// One of ours: 16 bytes that lead to the place, in no index.
    Own(Uuid),
    /// An app's, or one of ours whose place was taken: in the index.
    Named(MessageId),
}

impl RowId {
    pub(super) fn message_id(&self) -> MessageId {
        match self {
            Self::Own(uuid) => MessageId::from(*uuid),
            Self::Named(id) => id.clone(),
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Own(uuid) => uuid.as_bytes(),
            Self::Named(id) => id.as_str().as_bytes(),
        }
    }
}

impl ToSql for RowId {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Own(uuid) => ValueRef::Blob(uuid.as_bytes()),
            Self::Named(id) => ValueRef::Text(id.as_str().as_bytes()),
        }))
    }
}

/// A message as it is kept.
#[derive(Debug, Clone)]
pub(super) struct OutRow {
    pub(super) place: i64,
    pub(super) state: MessageState,
    pub(super) attempts: u32,
    pub(super) strikes: u32,
    pub(super) queued_at: Timestamp,
    pub(super) changed_at: Timestamp,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) delivery: Delivery,
    pub(super) confirm: Confirm,
    pub(super) resend: Resend,
    pub(super) was_sent: bool,
    pub(super) maybe_delivered: bool,
    pub(super) lane: Arc<str>,
    pub(super) kind: Arc<str>,
    pub(super) key: Option<Arc<str>>,
    pub(super) id: RowId,
    pub(super) reason: Option<String>,
    pub(super) payload: Payload,
    /// The row is not what was written: its texts are shown as far as they can be read, its body
    /// never.
    pub(super) damaged: bool,
}

/// What of a row is never changed after the insert.
struct Fixed<'a> {
    place: i64,
    queued_at: i64,
    expires_at: Option<i64>,
    delivery: i64,
    confirm: i64,
    resend: i64,
    form: i64,
    lane: &'a [u8],
    kind: &'a [u8],
    key: Option<&'a [u8]>,
    id: &'a [u8],
    body: &'a [u8],
}

impl Fixed<'_> {
    fn seal(&self) -> i64 {
        Sum::default()
            .int(self.place)
            .int(self.queued_at)
            .maybe_int(self.expires_at)
            .int(self.delivery)
            .int(self.confirm)
            .int(self.resend)
            .int(self.form)
            .text(self.lane)
            .text(self.kind)
            .maybe_text(self.key)
            .text(self.id)
            .blob(self.body)
            .seal()
    }
}

/// What became of a row: the columns that change, in the order of [`resealed`].
pub(super) struct Fate<'a> {
    pub(super) state: i64,
    pub(super) attempts: i64,
    pub(super) strikes: i64,
    pub(super) changed_at: i64,
    pub(super) was_sent: i64,
    pub(super) maybe_delivered: i64,
    pub(super) reason: Option<&'a [u8]>,
}

impl Fate<'_> {
    pub(super) fn seal(&self) -> i64 {
        Sum::default()
            .int(self.state)
            .int(self.attempts)
            .int(self.strikes)
            .int(self.changed_at)
            .int(self.was_sent)
            .int(self.maybe_delivered)
            .maybe_text(self.reason)
            .seal()
    }
}

/// For `SET checksum = …`: the seal with the fate of before taken out and this one put in. The
/// arguments are [`Fate`]'s, in its order, as SQL; a column's own name where it stays.
macro_rules! resealed {
    ($state:literal, $attempts:literal, $strikes:literal, $changed_at:literal, $was_sent:literal,
     $maybe_delivered:literal, $reason:literal) => {
        concat!(
            "checksum = resealed(checksum, \
             seal(state, attempts, strikes, changed_at, was_sent, maybe_delivered, reason), seal(",
            $state,
            ", ",
            $attempts,
            ", ",
            $strikes,
            ", ",
            $changed_at,
            ", ",
            $was_sent,
            ", ",
            $maybe_delivered,
            ", ",
            $reason,
            "))"
        )
    };
}
pub(super) use resealed;

/// Moves the deadlines of all messages that are not finished, and their seals with them: over what
/// [`Fixed`] holds, in its order and kinds.
pub(super) fn move_deadlines(conn: &rusqlite::Connection, by: i64) -> rusqlite::Result<()> {
    conn.execute(
        "UPDATE outbox SET
            checksum = resealed(checksum,
                seal(place, queued_at, expires_at, delivery, confirm, resend, form, CAST(lane AS TEXT),
                     CAST(kind AS TEXT), CAST(key AS TEXT), CAST(id AS TEXT), CAST(body AS BLOB)),
                seal(place, queued_at, expires_at + ?1, delivery, confirm, resend, form, CAST(lane AS TEXT),
                     CAST(kind AS TEXT), CAST(key AS TEXT), CAST(id AS TEXT), CAST(body AS BLOB))),
            expires_at = expires_at + ?1
         WHERE expires_at IS NOT NULL AND state IN (10, 11, 20, 21)",
        [by],
    )?;
    Ok(())
}

fn bytes<'a>(row: &'a Row<'_>, column: usize) -> rusqlite::Result<Option<&'a [u8]>> {
    Ok(match row.get_ref(column)? {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(bytes),
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => None,
    })
}

fn lossy(bytes: &[u8]) -> Arc<str> {
    String::from_utf8_lossy(bytes).into()
}

impl OutRow {
    /// The seal of the row as it stands. One that is damaged gets none that fits.
    pub(super) fn seal(&self) -> i64 {
        if self.damaged {
            return 0;
        }
        let fixed = Fixed {
            place: self.place,
            queued_at: self.queued_at.as_millis(),
            expires_at: self.expires_at.map(Timestamp::as_millis),
            delivery: codes::delivery_code(self.delivery),
            confirm: codes::confirm_code(self.confirm),
            resend: codes::resend_code(self.resend),
            form: codes::payload_form(&self.payload),
            lane: self.lane.as_bytes(),
            kind: self.kind.as_bytes(),
            key: self.key.as_deref().map(str::as_bytes),
            id: self.id.bytes(),
            body: codes::payload_bytes(&self.payload),
        };
        let fate = Fate {
            state: codes::state_code(self.state),
            attempts: self.attempts.into(),
            strikes: self.strikes.into(),
            changed_at: self.changed_at.as_millis(),
            was_sent: self.was_sent.into(),
            maybe_delivered: self.maybe_delivered.into(),
            reason: self.reason.as_deref().map(str::as_bytes),
        };
        seal::both(fixed.seal(), fate.seal())
    }

    /// Reads a row of [`columns`].
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let place: i64 = row.get(0)?;
        let form = int(row, 12)?;
        let sum = int(row, 13)?;
        let lane = bytes(row, 14)?.unwrap_or_default();
        let kind = bytes(row, 15)?.unwrap_or_default();
        let key = bytes(row, 16)?;
        let id = bytes(row, 17)?.unwrap_or_default();
        let body = bytes(row, 19)?.unwrap_or_default();
        let is_own = matches!(row.get_ref(17)?, ValueRef::Blob(_));

        let state = codes::state(int(row, 1)?);
        let expires_at = maybe_int(row, 6)?;
        let (delivery, confirm, resend) = (int(row, 7)?, int(row, 8)?, int(row, 9)?);
        let fixed = Fixed {
            place,
            queued_at: int(row, 4)?,
            expires_at,
            delivery,
            confirm,
            resend,
            form,
            lane,
            kind,
            key,
            id,
            body,
        };
        let fate = Fate {
            state: int(row, 1)?,
            attempts: int(row, 2)?,
            strikes: int(row, 3)?,
            changed_at: int(row, 5)?,
            was_sent: int(row, 10)?,
            maybe_delivered: int(row, 11)?,
            reason: bytes(row, 18)?,
        };
        let fits = if seal::is_one(sum) {
            seal::both(fixed.seal(), fate.seal()) == sum
        } else {
            codes::checksum(form, &[Some(lane), Some(kind), key, Some(id)], body) == sum
        };
        let payload = codes::payload(form, body);
        let row_id = if is_own {
            Uuid::from_slice(id).ok().map(RowId::Own)
        } else {
            std::str::from_utf8(id).ok().and_then(|id| MessageId::new(id).ok()).map(RowId::Named)
        };
        let damaged = state.is_none() || payload.is_none() || row_id.is_none() || !fits;

        Ok(Self {
            place,
            state: state.unwrap_or(MessageState::Parked),
            attempts: fate.attempts.try_into().unwrap_or(0),
            strikes: fate.strikes.try_into().unwrap_or(0),
            queued_at: Timestamp::from_millis(fixed.queued_at),
            changed_at: Timestamp::from_millis(fate.changed_at),
            expires_at: expires_at.map(Timestamp::from_millis),
            delivery: codes::delivery(delivery),
            confirm: codes::confirm(confirm),
            resend: codes::resend(resend),
            was_sent: fate.was_sent != 0,
            maybe_delivered: fate.maybe_delivered != 0,
            lane: lossy(lane),
            kind: lossy(kind),
            key: key.map(lossy),
            id: row_id.unwrap_or_else(|| RowId::Own(Uuid::nil())),
            reason: bytes(row, 18)?.map(|text| String::from_utf8_lossy(text).into_owned()),
            payload: payload.unwrap_or_else(|| Payload::Binary(body.into())),
            damaged,
        })
    }

    pub(super) fn size(&self) -> i64 {
        codes::int(self.payload.len())
    }

    pub(super) fn due(&self) -> DueRow {
        self.due_as(self.id.message_id())
    }

    /// As [`OutRow::due`], where its id is at hand: to make it once more is a part of what a row costs.
    pub(super) fn due_as(&self, id: MessageId) -> DueRow {
        DueRow {
            place: Place(self.place),
            id,
            kind: self.kind.clone(),
            lane: self.lane.clone(),
            key: self.key.clone(),
            delivery: self.delivery,
            confirm: self.confirm,
            resend: self.resend,
            attempts: self.attempts,
            strikes: self.strikes,
            queued_at: self.queued_at,
            expires_at: self.expires_at,
            was_sent: self.was_sent,
            payload: self.payload.clone(),
        }
    }

    /// The message as apps see it, with what the database knows of its history.
    pub(super) fn message(&self) -> Message {
        let (mut data, mut text, mut binary) = (None, None, None);
        match &self.payload {
            _ if self.damaged => {}
            Payload::Json(json) => data = RawValue::from_string(json.to_string()).ok(),
            Payload::Text(raw) => text = Some(raw.to_string()),
            Payload::Binary(raw) => binary = Some(base64_value(raw)),
        }
        let mut history =
            vec![HistoryEntry { state: MessageState::Queued, at: self.queued_at, attempt: 0, reason: None }];
        if self.state != MessageState::Queued {
            history.push(HistoryEntry {
                state: self.state,
                at: self.changed_at,
                attempt: self.attempts,
                reason: self.reason.clone(),
            });
        }
        Message {
            id: self.id.message_id(),
            kind: self.kind.to_string(),
            lane: self.lane.to_string(),
            key: self.key.as_deref().map(str::to_owned),
            delivery: self.delivery,
            state: self.state,
            attempts: self.attempts,
            queued_at: self.queued_at,
            expires_at: self.expires_at,
            reason: if self.damaged { Some(DAMAGED.to_owned()) } else { self.reason.clone() },
            maybe_delivered: self.maybe_delivered,
            data,
            text,
            binary,
            history,
        }
    }
}

/// The reason of a row whose checksum does not fit.
pub(super) const DAMAGED: &str = "damaged";

/// `{"encoding":"base64","data":"…"}`, the form of bytes in JSON.
fn base64_value(bytes: &[u8]) -> Box<RawValue> {
    use base64::Engine as _;
    let data = base64::engine::general_purpose::STANDARD.encode(bytes);
    RawValue::from_string(format!(r#"{{"encoding":"base64","data":"{data}"}}"#))
        .expect("base64 has no character that JSON escapes")
}
