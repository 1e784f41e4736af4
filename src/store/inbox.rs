//! The event sequence: appending what a frame of the server brought, and reading rows back.

use std::sync::Arc;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::codes::{self, Form, int};
use super::dedupe;
use super::desk::Desk;
use super::quarantine::Misfit;
use super::seal::{self, Sum};
use crate::model::{Appended, Delivery, EventRow, GapReason, NewRow, Payload, RowKind, Seq, Timestamp, Unit};

/// Columns as [`read`] wants them.
macro_rules! event_columns {
    () => {
        "seq, received_at, form, checksum, kind, id, key, body, stream"
    };
}
pub(super) use event_columns;

/// Appends what one frame put down; what became of its rows, in order. `replaced` collects the
/// numbers whose rows were replaced by newer values of their keys.
pub(super) fn append(
    desk: &mut Desk,
    received_at: Timestamp,
    unit: &Unit,
    replaced: &mut Vec<i64>,
) -> rusqlite::Result<Vec<Appended>> {
    let appended = append_rows(desk, received_at, &unit.rows, None, replaced)?;
    for (stream, cursor) in &unit.cursors {
        desk.resume.insert(stream.clone(), cursor.clone());
    }
    let server = &desk.settings.server_key;
    for (name, value) in &unit.kept {
        match value {
            Some(value) => desk
                .conn
                .prepare_cached(
                    "INSERT OR REPLACE INTO kept (server, name, value, seal)
                     VALUES (?1, ?2, ?3, seal(?1, ?2, ?3))",
                )?
                .execute(params![server, name, value])?,
            None => desk
                .conn
                .prepare_cached("DELETE FROM kept WHERE server = ?1 AND name = ?2")?
                .execute(params![server, name])?,
        };
    }
    Ok(appended)
}

/// Puts down where to go on at the server: of each stream the last word of the batch.
pub(super) fn put_down_resume(desk: &mut Desk) -> rusqlite::Result<()> {
    let server = &desk.settings.server_key;
    for (stream, cursor) in std::mem::take(&mut desk.resume) {
        match cursor {
            Some(cursor) => desk
                .conn
                .prepare_cached(
                    "INSERT OR REPLACE INTO resume (server, stream, cursor, seal)
                     VALUES (?1, ?2, ?3, seal(?1, ?2, ?3))",
                )?
                .execute(params![server, stream, cursor])?,
            None => desk
                .conn
                .prepare_cached("DELETE FROM resume WHERE server = ?1 AND stream = ?2")?
                .execute(params![server, stream])?,
        };
    }
    Ok(())
}

/// Rows come of an entry of the quarantine.
#[derive(Debug, Clone, Copy)]
pub(super) struct Again {
    /// Its number: they may be older than what came since.
    pub(super) seq: i64,
    /// It is of another server, and so are their ids.
    pub(super) foreign: bool,
}

/// Appends rows.
pub(super) fn append_rows(
    desk: &mut Desk,
    received_at: Timestamp,
    rows: &[NewRow],
    again: Option<Again>,
    replaced: &mut Vec<i64>,
) -> rusqlite::Result<Vec<Appended>> {
    let mut appended = Vec::with_capacity(rows.len());
    for row in rows {
        appended.push(match row {
            NewRow::Event { stream, id, kind, payload, delivery, key } => {
                let event = NewEvent {
                    stream,
                    id: id.as_deref(),
                    kind,
                    payload,
                    delivery: *delivery,
                    key: key.as_deref(),
                    again,
                };
                append_event(desk, received_at, event, replaced)?
            }
            NewRow::Gap { reason, detail } => {
                Appended::Stored(append_gap(desk, received_at, *reason, detail)?)
            }
            NewRow::Bad { reason, detail, frame } => {
                let row = append_bad(desk, received_at)?;
                super::quarantine::put(desk, row.0, received_at, reason, detail, frame)?;
                Appended::Stored(row.1)
            }
            NewRow::Misfit { stream, id, kind, payload, detail } => {
                let event = Misfit { stream, id: id.as_deref(), kind, payload, detail };
                append_misfit(desk, received_at, event)?
            }
        });
    }
    Ok(appended)
}

struct NewEvent<'a> {
    stream: &'a Arc<str>,
    id: Option<&'a str>,
    kind: &'a str,
    payload: &'a Payload,
    delivery: Delivery,
    key: Option<&'a str>,
    again: Option<Again>,
}

fn append_event(
    desk: &mut Desk,
    received_at: Timestamp,
    mut new: NewEvent<'_>,
    replaced: &mut Vec<i64>,
) -> rusqlite::Result<Appended> {
    let mut stream = None;
    let named = new.id.filter(|_| !new.again.is_some_and(|again| again.foreign));
    if let Some(id) = named {
        let (number, seen) = desk.windows.seen(&desk.conn, new.stream, id)?;
        if seen {
            desk.tally.duplicates_total += 1;
            return Ok(Appended::Duplicate);
        }
        stream = Some(number);
    }
    if let (Some(again), Some(key)) = (new.again, new.key)
        && newest_of(&desk.conn, new.kind, key)?.is_some_and(|newest| newest > again.seq)
    {
        // A newer value came meanwhile: this one is history, and the newer one stays the newest.
        if new.delivery == Delivery::Latest {
            return Ok(Appended::Conflated);
        }
        new.key = None;
    }
    if new.delivery == Delivery::Latest
        && let Some(key) = new.key
    {
        replaced.extend(remove_value(desk, new.kind, key)?);
    }
    let form = codes::payload_form(new.payload);
    let bytes = codes::payload_bytes(new.payload);
    let row = RowText { form, stream, kind: Some(new.kind), id: new.id, key: new.key, body: bytes };
    let seq = push(desk, received_at, &row)?;
    desk.tally.events += 1;
    if let Some(id) = named {
        desk.windows.note(&desk.conn, new.stream, id, seq)?;
    }
    Ok(Appended::Stored(Arc::new(EventRow {
        seq: Some(Seq(seq)),
        received_at,
        kind: RowKind::Event {
            id: new.id.map(str::to_owned),
            kind: new.kind.to_owned(),
            payload: new.payload.clone(),
        },
    })))
}

/// Appends a row that says that events are missing.
pub(super) fn append_gap(
    desk: &mut Desk,
    received_at: Timestamp,
    reason: GapReason,
    detail: &str,
) -> rusqlite::Result<Arc<EventRow>> {
    let form = codes::gap_code(reason);
    let row = RowText { form, stream: None, kind: None, id: None, key: None, body: detail.as_bytes() };
    let seq = push(desk, received_at, &row)?;
    Ok(Arc::new(EventRow { seq: Some(Seq(seq)), received_at, kind: RowKind::Gap(reason) }))
}

/// Appends a row that stands for something in quarantine.
fn append_bad(desk: &mut Desk, received_at: Timestamp) -> rusqlite::Result<(i64, Arc<EventRow>)> {
    let row = RowText { form: codes::BAD, stream: None, kind: None, id: None, key: None, body: &[] };
    let seq = push(desk, received_at, &row)?;
    Ok((seq, Arc::new(EventRow { seq: Some(Seq(seq)), received_at, kind: RowKind::Bad })))
}

fn append_misfit(desk: &mut Desk, received_at: Timestamp, event: Misfit<'_>) -> rusqlite::Result<Appended> {
    if let Some(id) = event.id {
        let (_, seen) = desk.windows.seen(&desk.conn, &event.stream.into(), id)?;
        if seen || super::quarantine::holds(desk, event.stream, id)? {
            desk.tally.duplicates_total += 1;
            return Ok(Appended::Duplicate);
        }
    }
    let (seq, row) = append_bad(desk, received_at)?;
    super::quarantine::put_misfit(desk, seq, received_at, event)?;
    Ok(Appended::Stored(row))
}

/// The number of the newest row of a key.
fn newest_of(conn: &Connection, kind: &str, key: &str) -> rusqlite::Result<Option<i64>> {
    conn.prepare_cached("SELECT max(seq) FROM inbox WHERE key IS NOT NULL AND kind = ?1 AND key = ?2")?
        .query_row(params![kind, key], |row| row.get(0))
}

struct RowText<'a> {
    form: i64,
    stream: Option<i64>,
    kind: Option<&'a str>,
    id: Option<&'a str>,
    key: Option<&'a str>,
    body: &'a [u8],
}

/// Writes a row under the next number.
fn push(desk: &mut Desk, received_at: Timestamp, row: &RowText<'_>) -> rusqlite::Result<i64> {
    let seq = desk.tally.last_seq + 1;
    insert(&desk.conn, seq, received_at, row)?;
    let tally = &mut desk.tally;
    tally.last_seq = seq;
    if tally.first_seq == 0 {
        tally.first_seq = seq;
    }
    tally.inbox_rows += 1;
    tally.inbox_bytes += int(row.body.len());
    Ok(seq)
}

/// Writes a row that stands for one that was damaged, under its number.
pub(super) fn insert_damaged(desk: &mut Desk, seq: i64, at: Timestamp) -> rusqlite::Result<()> {
    let form = codes::gap_code(GapReason::Corruption);
    let row = RowText { form, stream: None, kind: None, id: None, key: None, body: &[] };
    insert(&desk.conn, seq, at, &row)?;
    desk.tally.inbox_rows += 1;
    Ok(())
}

fn insert(conn: &Connection, seq: i64, received_at: Timestamp, row: &RowText<'_>) -> rusqlite::Result<()> {
    let written = Written {
        seq,
        received_at: received_at.as_millis(),
        form: row.form,
        stream: row.stream,
        kind: row.kind.map(str::as_bytes),
        id: row.id.map(str::as_bytes),
        key: row.key.map(str::as_bytes),
        body: row.body,
    };
    // All columns, in the order of the table: the shorter the text, the sooner the statement is found.
    conn.prepare_cached("INSERT INTO inbox VALUES (?,?,?,?,?,?,?,?,?)")?.execute(params![
        seq,
        received_at.as_millis(),
        row.form,
        written.seal(),
        row.stream,
        row.kind,
        row.id,
        row.key,
        row.body
    ])?;
    Ok(())
}

/// A row as it is written, for its seal.
pub(super) struct Written<'a> {
    pub(super) seq: i64,
    pub(super) received_at: i64,
    pub(super) form: i64,
    pub(super) stream: Option<i64>,
    pub(super) kind: Option<&'a [u8]>,
    pub(super) id: Option<&'a [u8]>,
    pub(super) key: Option<&'a [u8]>,
    pub(super) body: &'a [u8],
}

impl Written<'_> {
    fn seal(&self) -> i64 {
        Sum::default()
            .int(self.seq)
            .int(self.received_at)
            .int(self.form)
            .maybe_int(self.stream)
            .maybe_text(self.kind)
            .maybe_text(self.id)
            .maybe_text(self.key)
            .blob(self.body)
            .seal()
    }

    /// Whether `sum` is what was written with it: a seal, or a checksum of version 1.
    pub(super) fn fits(&self, sum: i64) -> bool {
        if seal::is_one(sum) {
            self.seal() == sum
        } else {
            codes::checksum(self.form, &[self.kind, self.id, self.key], self.body) == sum
        }
    }
}

/// Takes away the row that held the value of a key until now, and gives its number.
fn remove_value(desk: &mut Desk, kind: &str, key: &str) -> rusqlite::Result<Option<i64>> {
    let old = desk
        .conn
        .prepare_cached(
            "SELECT seq, stream, id, length(body) FROM inbox
             WHERE key IS NOT NULL AND kind = ?1 AND key = ?2 ORDER BY seq DESC LIMIT 1",
        )?
        .query_row(params![kind, key], |row| {
            Ok((
                row.get(0)?,
                row.get::<_, Option<i64>>(1)?,
                row.get::<_, Option<String>>(2)?,
                row.get::<_, i64>(3)?,
            ))
        })
        .optional()?;
    let Some((seq, stream, id, size)) = old else {
        return Ok(None);
    };
    if let (Some(stream), Some(id)) = (stream, id)
        && desk.windows.still_wanted(stream, seq)
    {
        dedupe::keep(&desk.conn, seq, stream, &id)?;
    }
    desk.conn.prepare_cached("DELETE FROM inbox WHERE seq = ?1")?.execute([seq])?;
    desk.tally.inbox_rows -= 1;
    desk.tally.events -= 1;
    desk.tally.inbox_bytes -= size;
    if desk.tally.first_seq == seq {
        settle_first(desk)?;
    }
    Ok(Some(seq))
}

/// Looks up the first number that is kept.
pub(super) fn settle_first(desk: &mut Desk) -> rusqlite::Result<()> {
    let first: Option<i64> =
        desk.conn.prepare_cached("SELECT min(seq) FROM inbox")?.query_row([], |row| row.get(0))?;
    desk.tally.first_seq = first.unwrap_or(0);
    Ok(())
}

/// Reads a row of [`event_columns`]. One that is not what was written is told as a gap.
pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<EventRow> {
    let seq: i64 = row.get(0)?;
    let received_at = seal::int(row, 1)?;
    let form = seal::int(row, 2)?;
    let sum = seal::int(row, 3)?;
    let (kind, id, key) = (text(row, 4)?, text(row, 5)?, text(row, 6)?);
    let body = text(row, 7)?.unwrap_or_default();
    let stream = seal::maybe_int(row, 8)?;
    let sound = Written { seq, received_at, form, stream, kind, id, key, body }.fits(sum);
    let received_at = Timestamp::from_millis(if sound { received_at } else { 0 });
    let kind = match codes::form(form).filter(|_| sound) {
        Some(Form::Event) => event(form, kind, id, body),
        Some(Form::Gap(reason)) => Some(RowKind::Gap(reason)),
        Some(Form::Bad) => Some(RowKind::Bad),
        None => None,
    };
    Ok(EventRow {
        seq: Some(Seq(seq)),
        received_at,
        kind: kind.unwrap_or(RowKind::Gap(GapReason::Corruption)),
    })
}

/// Whether a row of [`event_columns`] is what was written.
pub(super) fn is_sound(row: &Row<'_>) -> rusqlite::Result<bool> {
    let damaged = RowKind::Gap(GapReason::Corruption);
    let told = codes::form(seal::int(row, 2)?) == Some(Form::Gap(GapReason::Corruption));
    Ok(told || read(row)?.kind != damaged)
}

fn event(form: i64, kind: Option<&[u8]>, id: Option<&[u8]>, body: &[u8]) -> Option<RowKind> {
    let string = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(str::to_owned);
    Some(RowKind::Event {
        id: match id {
            Some(id) => Some(string(id)?),
            None => None,
        },
        kind: string(kind?)?,
        payload: codes::payload(form, body)?,
    })
}

fn text<'a>(row: &'a Row<'_>, column: usize) -> rusqlite::Result<Option<&'a [u8]>> {
    Ok(match row.get_ref(column)? {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(bytes),
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => None,
    })
}

/// The newest row of a key.
pub(super) fn state_of(conn: &Connection, kind: &str, key: &str) -> rusqlite::Result<Option<Arc<EventRow>>> {
    conn.prepare_cached(concat!(
        "SELECT ",
        event_columns!(),
        " FROM inbox WHERE key IS NOT NULL AND kind = ?1 AND key = ?2 ORDER BY seq DESC LIMIT 1"
    ))?
    .query_row(params![kind, key], read)
    .optional()
    .map(|row| row.map(Arc::new))
}

/// The next key of a type behind `after`.
pub(super) fn next_key(
    conn: &Connection,
    kind: &str,
    after: Option<&str>,
) -> rusqlite::Result<Option<String>> {
    match after {
        Some(after) => conn
            .prepare_cached("SELECT min(key) FROM inbox WHERE key IS NOT NULL AND kind = ?1 AND key > ?2")?
            .query_row(params![kind, after], |row| row.get(0)),
        None => conn
            .prepare_cached("SELECT min(key) FROM inbox WHERE key IS NOT NULL AND kind = ?1")?
            .query_row(params![kind], |row| row.get(0)),
    }
}
