//! Frames that could not be read, kept for people. Each has a row in the event sequence; taking
//! the frame away leaves that row, so the sequence keeps telling that something was there.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::codes::{self, int};
use super::desk::Desk;
use super::outbox_row::DAMAGED;
use super::seal::{self, Sum};
use super::trouble::{Trouble, not_found};
use crate::model::{Frame, QuarantineEntry, Seq, Timestamp};

pub(super) fn put(
    desk: &mut Desk,
    seq: i64,
    received_at: Timestamp,
    reason: &str,
    detail: &str,
    frame: &Frame,
) -> rusqlite::Result<()> {
    let (form, bytes) = match frame {
        Frame::Text(text) => (codes::TEXT, text.as_bytes()),
        Frame::Binary(bytes) => (codes::BINARY, bytes.as_slice()),
    };
    desk.conn
        .prepare_cached(
            "INSERT INTO quarantine (seq, received_at, reason, detail, form, frame, seal)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, seal(?1, ?2, ?3, ?4, ?5, ?6))",
        )?
        .execute(params![seq, received_at.as_millis(), reason, detail, form, bytes])?;
    desk.tally.quarantined += 1;
    desk.tally.inbox_bytes += int(bytes.len());
    Ok(())
}

/// Bytes of frames in one page at most (one always fits).
const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// Entries behind `after`, oldest first, and whether there are more.
pub(super) fn list(
    conn: &Connection,
    limit: usize,
    after: Seq,
) -> rusqlite::Result<(Vec<QuarantineEntry>, bool)> {
    let mut statement = conn.prepare_cached(
        "SELECT seq, received_at, reason, detail, frame, form, seal FROM quarantine
         WHERE seq > ?1 ORDER BY seq",
    )?;
    let mut rows = statement.query([after.0])?;
    let (mut entries, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let frame = row.get_ref(4)?.as_bytes().unwrap_or_default();
        bytes += frame.len();
        if entries.len() >= limit || (bytes > PAGE_BYTES && !entries.is_empty()) {
            return Ok((entries, true));
        }
        entries.push(if is_sound(row)? {
            QuarantineEntry {
                id: Seq(row.get(0)?),
                received_at: Timestamp::from_millis(row.get(1)?),
                reason: row.get(2)?,
                detail: row.get(3)?,
                raw: raw(frame),
            }
        } else {
            QuarantineEntry {
                id: Seq(row.get(0)?),
                received_at: Timestamp::from_millis(0),
                reason: DAMAGED.to_owned(),
                detail: "this entry is not what was written".to_owned(),
                raw: String::new(),
            }
        });
    }
    Ok((entries, false))
}

/// Whether a row of [`list`] is what was written. Those of version 1 have no seal.
fn is_sound(row: &Row<'_>) -> rusqlite::Result<bool> {
    let Some(sealed) = seal::maybe_int(row, 6)? else {
        return Ok(true);
    };
    let text = |column| row.get_ref(column).map(|value| value.as_bytes().unwrap_or_default());
    let sum = Sum::default()
        .int(seal::int(row, 0)?)
        .int(seal::int(row, 1)?)
        .text(text(2)?)
        .text(text(3)?)
        .int(seal::int(row, 5)?)
        .blob(text(4)?);
    Ok(sum.seal() == sealed)
}

fn raw(frame: &[u8]) -> String {
    use base64::Engine as _;
    match std::str::from_utf8(frame) {
        Ok(text) => text.to_owned(),
        Err(_) => format!("base64:{}", base64::engine::general_purpose::STANDARD.encode(frame)),
    }
}

/// Takes a frame away for good.
pub(super) fn drop_entry(desk: &mut Desk, id: Seq) -> Result<(), Trouble> {
    let size: Option<i64> = desk
        .conn
        .prepare_cached("SELECT length(frame) FROM quarantine WHERE seq = ?1")?
        .query_row([id.0], |row| row.get(0))
        .optional()?;
    let Some(size) = size else {
        return Err(not_found("quarantine entry", id).into());
    };
    desk.conn.prepare_cached("DELETE FROM quarantine WHERE seq = ?1")?.execute([id.0])?;
    desk.tally.quarantined -= 1;
    desk.tally.inbox_bytes -= size;
    Ok(())
}
