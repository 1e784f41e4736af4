//! What could not be read, and events that do not fit their schema, kept for people. Each has a row
//! in the event sequence; taking it away leaves that row, so the sequence keeps telling that
//! something was there.
//!
//! An event in quarantine does not count as seen: should it come again, it is judged again. One
//! that still does not fit is not put there twice.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::codes::{self, int};
use super::desk::Desk;
use super::inbox::{self, Again};
use super::outbox_row::DAMAGED;
use super::seal::{self, Sum};
use super::trouble::{Trouble, not_found};
use crate::model::{
    Appended, Frame, Held, HeldBody, Judged, MISFIT, Payload, QuarantineEntry, Recorded, Retried, RowKind,
    Seq, Timestamp,
};

/// Puts a frame there that could not be read.
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
    insert(desk, seq, received_at, (reason, detail), form, bytes)
}

/// An event that does not fit its schema.
#[derive(Debug, Clone, Copy)]
pub(super) struct Misfit<'a> {
    pub(super) stream: &'a str,
    pub(super) id: Option<&'a str>,
    pub(super) kind: &'a str,
    pub(super) payload: &'a Payload,
    pub(super) detail: &'a str,
}

/// Puts an event there that does not fit.
pub(super) fn put_misfit(
    desk: &mut Desk,
    seq: i64,
    received_at: Timestamp,
    event: Misfit<'_>,
) -> rusqlite::Result<()> {
    let (form, bytes) = (codes::payload_form(event.payload), codes::payload_bytes(event.payload));
    insert(desk, seq, received_at, (MISFIT, event.detail), form, bytes)?;
    desk.conn
        .prepare_cached(
            "INSERT INTO misfits (seq, server, stream, id, kind, seal)
             VALUES (?1, ?2, ?3, ?4, ?5, seal(?1, ?2, ?3, ?4, ?5))",
        )?
        .execute(params![seq, desk.settings.server_key, event.stream, event.id, event.kind])?;
    Ok(())
}

fn insert(
    desk: &mut Desk,
    seq: i64,
    received_at: Timestamp,
    (reason, detail): (&str, &str),
    form: i64,
    bytes: &[u8],
) -> rusqlite::Result<()> {
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

/// Whether an event of this server with this id stands there.
pub(super) fn holds(desk: &Desk, stream: &str, id: &str) -> rusqlite::Result<bool> {
    desk.conn
        .prepare_cached("SELECT 1 FROM misfits WHERE stream = ?1 AND id = ?2 AND server = ?3")?
        .exists(params![stream, id, desk.settings.server_key])
}

/// Whether the entry is of another server than the one of now.
fn is_foreign(desk: &Desk, id: Seq) -> rusqlite::Result<bool> {
    desk.conn
        .prepare_cached("SELECT 1 FROM misfits WHERE seq = ?1 AND server <> ?2")?
        .exists(params![id.0, desk.settings.server_key])
}

/// Bytes of frames in one page at most (one always fits).
const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// What is known of an event that does not fit, from column 7 on: seal, server, stream, id, type.
macro_rules! misfit_columns {
    () => {
        "misfits.seal, server, stream, misfits.id, kind
         FROM quarantine LEFT JOIN misfits ON misfits.seq = quarantine.seq"
    };
}

/// Entries behind `after`, oldest first, and whether there are more.
pub(super) fn list(
    conn: &Connection,
    limit: usize,
    after: Seq,
) -> rusqlite::Result<(Vec<QuarantineEntry>, bool)> {
    let mut statement = conn.prepare_cached(concat!(
        "SELECT quarantine.seq, received_at, reason, detail, frame, form, quarantine.seal, ",
        misfit_columns!(),
        " WHERE quarantine.seq > ?1 ORDER BY quarantine.seq"
    ))?;
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
                kind: row.get(11)?,
                event_id: row.get(10)?,
                raw: raw(frame),
            }
        } else {
            QuarantineEntry {
                id: Seq(row.get(0)?),
                received_at: Timestamp::from_millis(0),
                reason: DAMAGED.to_owned(),
                detail: "this entry is not what was written".to_owned(),
                kind: None,
                event_id: None,
                raw: String::new(),
            }
        });
    }
    Ok((entries, false))
}

/// Whether a row of [`list`] or [`held`] is what was written. Those of version 1 have no seal.
fn is_sound(row: &Row<'_>) -> rusqlite::Result<bool> {
    let text = |column| row.get_ref(column).map(|value| value.as_bytes().unwrap_or_default());
    if let Some(sealed) = seal::maybe_int(row, 7)? {
        let id = row.get_ref(10)?.as_bytes().ok();
        let mut sum = Sum::default();
        sum.int(seal::int(row, 0)?).text(text(8)?).text(text(9)?).maybe_text(id);
        if sum.text(text(11)?).seal() != sealed {
            return Ok(false);
        }
    }
    let Some(sealed) = seal::maybe_int(row, 6)? else {
        return Ok(true);
    };
    let sum = Sum::default()
        .int(seal::int(row, 0)?)
        .int(seal::int(row, 1)?)
        .text(text(2)?)
        .text(text(3)?)
        .int(seal::int(row, 5)?)
        .blob(text(4)?)
        .seal();
    Ok(sum == sealed)
}

fn raw(frame: &[u8]) -> String {
    use base64::Engine as _;
    match std::str::from_utf8(frame) {
        Ok(text) => text.to_owned(),
        Err(_) => format!("base64:{}", base64::engine::general_purpose::STANDARD.encode(frame)),
    }
}

/// As [`list`], whole, for a second look. Those that are not what was written are left alone.
pub(super) fn held(conn: &Connection, limit: usize, after: Seq) -> rusqlite::Result<(Vec<Held>, bool)> {
    let mut statement = conn.prepare_cached(concat!(
        "SELECT quarantine.seq, received_at, reason, detail, frame, form, quarantine.seal, ",
        misfit_columns!(),
        " WHERE quarantine.seq > ?1 ORDER BY quarantine.seq"
    ))?;
    let mut rows = statement.query([after.0])?;
    let (mut found, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        if !is_sound(row)? {
            continue;
        }
        let frame = row.get_ref(4)?.as_bytes().unwrap_or_default();
        bytes += frame.len();
        if found.len() >= limit || (bytes > PAGE_BYTES && !found.is_empty()) {
            return Ok((found, true));
        }
        let form: i64 = row.get(5)?;
        let event = match (row.get::<_, Option<String>>(9)?, row.get::<_, Option<String>>(11)?) {
            (Some(stream), Some(kind)) => codes::payload(form, frame).map(|payload| (stream, kind, payload)),
            _ => None,
        };
        let body = match event {
            Some((stream, kind, payload)) => {
                HeldBody::Event { stream: stream.into(), id: row.get(10)?, kind, payload }
            }
            None => HeldBody::Frame(match std::str::from_utf8(frame) {
                Ok(text) if form != codes::BINARY => Frame::Text(text.to_owned()),
                Ok(_) | Err(_) => Frame::Binary(frame.to_vec()),
            }),
        };
        found.push(Held { id: Seq(row.get(0)?), body });
    }
    Ok((found, false))
}

/// Takes an entry away for good.
pub(super) fn drop_entry(desk: &mut Desk, id: Seq) -> Result<(), Trouble> {
    if take(desk, id)?.is_none() {
        return Err(not_found("quarantine entry", id).into());
    }
    Ok(())
}

/// Takes an entry away and says when it was received; none where there is no such entry.
fn take(desk: &mut Desk, id: Seq) -> rusqlite::Result<Option<Timestamp>> {
    let found: Option<(i64, i64)> = desk
        .conn
        .prepare_cached("SELECT length(frame), received_at FROM quarantine WHERE seq = ?1")?
        .query_row([id.0], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((size, received_at)) = found else { return Ok(None) };
    desk.conn.prepare_cached("DELETE FROM quarantine WHERE seq = ?1")?.execute([id.0])?;
    desk.conn.prepare_cached("DELETE FROM misfits WHERE seq = ?1")?.execute([id.0])?;
    desk.tally.quarantined -= 1;
    desk.tally.inbox_bytes -= size;
    Ok(Some(Timestamp::from_millis(received_at)))
}

/// Forgets everything through `seq`; the caller has counted it.
pub(super) fn prune(conn: &Connection, through: i64) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM quarantine WHERE seq <= ?1")?.execute([through])?;
    conn.prepare_cached("DELETE FROM misfits WHERE seq <= ?1")?.execute([through])?;
    Ok(())
}

/// Puts down what a second look at an entry found. What fits now comes at the end of the sequence;
/// the entry's own row stays and goes on telling that something was missing there.
pub(super) fn retried(
    desk: &mut Desk,
    id: Seq,
    judged: &Judged,
    replaced: &mut Vec<i64>,
) -> rusqlite::Result<Recorded> {
    let mut appended = Vec::new();
    let outcome = match judged {
        Judged::Stays { reason, detail } => {
            let changed = desk
                .conn
                .prepare_cached(
                    "UPDATE quarantine SET reason = ?2, detail = ?3,
                            seal = seal(seq, received_at, ?2, ?3, form, frame)
                     WHERE seq = ?1",
                )?
                .execute(params![id.0, reason, detail])?;
            if changed == 0 { Retried::Gone } else { Retried::Stays }
        }
        Judged::Fits(rows) => {
            let again = Again { seq: id.0, foreign: is_foreign(desk, id)? };
            if let Some(received_at) = take(desk, id)? {
                appended = inbox::append_rows(desk, received_at, rows, Some(again), replaced)?;
                let (mut events, mut duplicates) = (0, 0);
                for row in &appended {
                    match row {
                        Appended::Stored(row) if matches!(row.kind, RowKind::Event { .. }) => events += 1,
                        Appended::Stored(_) => {}
                        Appended::Duplicate | Appended::Conflated => duplicates += 1,
                    }
                }
                Retried::Out { events, duplicates }
            } else {
                Retried::Gone
            }
        }
    };
    Ok(Recorded::Retried { id, outcome, appended })
}
