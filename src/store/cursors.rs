//! Durable cursors of apps: a name, and the number acknowledged through. They only move forward.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::Cursor;
use super::desk::Desk;
use super::trouble::{Trouble, not_found};
use crate::model::{ErrorKind, Refusal, Seq, Timestamp};

/// Cursors at most.
const MAX_CURSORS: i64 = 1024;

/// Longest name, in bytes.
const MAX_NAME: usize = 128;

fn read(row: &Row<'_>) -> rusqlite::Result<Cursor> {
    Ok(Cursor {
        name: row.get(0)?,
        seq: Seq(row.get(1)?),
        last_seen: row.get::<_, Option<i64>>(2)?.map(Timestamp::from_millis),
    })
}

fn get(conn: &Connection, name: &str) -> rusqlite::Result<Option<Cursor>> {
    conn.prepare_cached("SELECT name, seq, last_seen FROM cursors WHERE name = ?1")?
        .query_row([name], read)
        .optional()
}

/// The cursor of this name; one that is not there is created before the first row kept.
pub(super) fn create_or_get(desk: &mut Desk, name: &str) -> Result<(Cursor, bool), Trouble> {
    if let Some(cursor) = get(&desk.conn, name)? {
        return Ok((cursor, false));
    }
    if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
        return Err(Refusal::new(
            ErrorKind::InvalidParams,
            format!("a cursor's name has 1 to {MAX_NAME} bytes and no control characters"),
        )
        .into());
    }
    let count: i64 =
        desk.conn.prepare_cached("SELECT count(*) FROM cursors")?.query_row([], |row| row.get(0))?;
    if count >= MAX_CURSORS {
        return Err(Refusal::new(
            ErrorKind::QueueFull,
            format!("there are {count} cursors, the most there can be"),
        )
        .hint("delete cursors that no app uses any more (cursors.delete)")
        .into());
    }
    let before_first = match desk.tally.first_seq {
        0 => desk.tally.last_seq,
        first => first - 1,
    };
    let now = desk.clock.now().wall;
    desk.conn
        .prepare_cached(
            "INSERT INTO cursors (name, seq, last_seen, seal) VALUES (?1, ?2, ?3, seal(?1, ?2, ?3))",
        )?
        .execute(params![name, before_first, now.as_millis()])?;
    Ok((Cursor { name: name.to_owned(), seq: Seq(before_first), last_seen: Some(now) }, true))
}

/// Moves a cursor forward; a lower number changes nothing.
pub(super) fn ack(desk: &Desk, name: &str, seq: Seq) -> Result<Cursor, Trouble> {
    if seq.0 > desk.tally.last_seq {
        return Err(Refusal::new(
            ErrorKind::InvalidParams,
            format!("{seq} was never handed out; the last number is {}", desk.tally.last_seq),
        )
        .into());
    }
    desk.conn
        .prepare_cached(
            "UPDATE cursors SET seq = ?2, seal = seal(name, ?2, last_seen) WHERE name = ?1 AND seq < ?2",
        )?
        .execute(params![name, seq.0])?;
    get(&desk.conn, name)?.ok_or_else(|| not_found("cursor", name).into())
}

/// Notes when an app last read with it. A cursor that is gone stays gone.
pub(super) fn touch(conn: &Connection, name: &str, at: Timestamp) -> rusqlite::Result<()> {
    conn.prepare_cached("UPDATE cursors SET last_seen = ?2, seal = seal(name, seq, ?2) WHERE name = ?1")?
        .execute(params![name, at.as_millis()])?;
    Ok(())
}

pub(super) fn list(conn: &Connection) -> rusqlite::Result<Vec<Cursor>> {
    conn.prepare_cached("SELECT name, seq, last_seen FROM cursors ORDER BY name")?
        .query_map([], read)?
        .collect()
}

pub(super) fn delete(conn: &Connection, name: &str) -> Result<(), Trouble> {
    let gone = conn.prepare_cached("DELETE FROM cursors WHERE name = ?1")?.execute([name])?;
    if gone == 0 {
        return Err(not_found("cursor", name).into());
    }
    Ok(())
}
