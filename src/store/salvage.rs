//! A damaged database: set aside, never overwritten, never deleted. What can be read of it goes
//! into a new one with a new epoch, which says in its event sequence that something is missing.
//!
//! A note beside the database holds the name the damaged file gets. It is written first and
//! removed last, so whenever the process is killed the next start goes on where this one was.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, params_from_iter};

use super::codes::{self, int};
use super::files::{beside, create_private, remove_if_there, sync_folder};
use super::hop::next_readable;
use super::open::{OpenError, build, close_whole, open_sound, put_in_place};
use super::outbox_row::{OutRow, columns};
use super::wreck::open_damaged;
use super::{Settings, Stop, inbox, outbox, rescue, seal, suspicion};
use crate::clock::Clock;
use crate::model::GapReason;

/// Rows that stand for a missing one each, at most; beyond them the gap at the end speaks for all.
const GAPS: usize = 10_000;

/// Reads that may fail while looking for the next readable row of a table.
const TRIES: usize = 10_000;

fn note(database: &Path) -> PathBuf {
    beside(database, ".salvaging")
}

/// Whether a killed process was setting the database aside.
pub(super) fn is_unfinished(database: &Path) -> bool {
    note(database).exists()
}

/// Sets the database aside and puts a new one with what can be read of it in its place. Says what
/// came of it.
pub(super) fn salvage(settings: &Settings, clock: Clock, why: &str) -> Result<String, OpenError> {
    let path = &settings.path;
    let io = |error: std::io::Error| {
        OpenError::storage(path, format!("setting the damaged file aside failed: {error}"))
    };
    let aside = match std::fs::read_to_string(note(path)) {
        Ok(name) if !name.is_empty() => path.with_file_name(name),
        Ok(_) | Err(_) => {
            let aside = free_name(path, clock);
            let name = aside.file_name().unwrap_or_default().to_string_lossy().into_owned();
            remove_if_there(&note(path)).map_err(io)?;
            create_private(&note(path)).map_err(io)?;
            std::fs::write(note(path), name).map_err(io)?;
            std::fs::File::open(note(path)).and_then(|file| file.sync_all()).map_err(io)?;
            sync_folder(path).map_err(io)?;
            aside
        }
    };
    // Where both are there, the new file was already put in its place.
    let done = aside.exists() && path.exists();
    if !done {
        for suffix in ["-wal", "-shm", ""] {
            if beside(path, suffix).exists() {
                std::fs::rename(beside(path, suffix), beside(&aside, suffix)).map_err(io)?;
            }
        }
        sync_folder(path).map_err(io)?;
    }
    let told = if done {
        format!("the database was damaged ({why}) and is set aside as {}", aside.display())
    } else {
        let saved = rebuild(settings, clock, &aside, why)?;
        format!(
            "the database was damaged ({why}). It is set aside as {}; {} messages and {} events were salvaged, \
             {} rows could not be read",
            aside.display(),
            saved.messages,
            saved.events,
            saved.lost
        )
    };
    // What stands there now is sound, whatever was said of the old one.
    suspicion::lift(path);
    rescue::log_is_written_back(path);
    remove_if_there(&note(path)).map_err(io)?;
    Ok(told)
}

/// `name.corrupt-20261123T145012Z`, which no file has yet.
fn free_name(path: &Path, clock: Clock) -> PathBuf {
    let stamp = clock.now().wall.to_jiff().strftime("%Y%m%dT%H%M%SZ").to_string();
    let mut name = beside(path, &format!(".corrupt-{stamp}"));
    let mut counter = 1;
    while name.exists() {
        counter += 1;
        name = beside(path, &format!(".corrupt-{stamp}-{counter}"));
    }
    name
}

#[derive(Debug, Default)]
struct Saved {
    messages: usize,
    events: usize,
    lost: usize,
}

/// Builds the new database under another name, fills it, and puts it in its place.
fn rebuild(settings: &Settings, clock: Clock, aside: &Path, why: &str) -> Result<Saved, OpenError> {
    let path = &settings.path;
    let fresh = beside(path, ".new");
    let stopped = |stop: Stop| match stop {
        Stop::Refused(error) => error,
        Stop::Damaged(detail) => OpenError::storage(path, detail),
    };
    build(&fresh, clock).map_err(stopped)?;
    let scratch = beside(path, ".scratch");
    let old = open_damaged(aside, &fresh, &scratch);
    let there = Settings { path: fresh.clone(), ..settings.clone() };
    let mut found = open_sound(&there, clock, super::migrations::MIGRATIONS).map_err(stopped)?;
    drop(found.reader);
    let desk = &mut found.desk;
    let failed = |error: rusqlite::Error| OpenError::storage(path, format!("salvaging failed: {error}"));

    desk.conn.execute_batch("BEGIN IMMEDIATE").map_err(failed)?;
    let mut saved = Saved::default();
    if let Some(old) = &old {
        messages(old, desk, &mut saved).map_err(failed)?;
        events(old, desk, &mut saved).map_err(failed)?;
        for table in SMALL_TABLES {
            copy(old, &desk.conn, table, |_| true, &mut saved.lost).map_err(failed)?;
        }
        seal::seal_all(&desk.conn).map_err(failed)?;
        desk.tally.last_transition = highest(&desk.conn, "transitions", "number").map_err(failed)?;
    }
    let now = clock.now().wall;
    inbox::append_gap(desk, now, GapReason::Corruption, &format!("the database was damaged: {why}"))
        .map_err(failed)?;
    desk.tally.low_is_stale = true;
    desk.tally.low_place = 1;
    outbox::settle_low(desk).map_err(failed)?;
    desk.tally.save(&desk.conn).map_err(failed)?;
    desk.conn.execute_batch("COMMIT").map_err(failed)?;
    close_whole(found.desk.conn).map_err(failed)?;
    drop(old);

    for leftover in ["", "-wal", "-shm"] {
        let io = |error: std::io::Error| OpenError::storage(path, error);
        remove_if_there(&beside(&scratch, leftover)).map_err(io)?;
    }
    put_in_place(&fresh, path)?;
    Ok(saved)
}

/// Calls `each` for every row of `table` that can be read, in the order of `key`, and gives the
/// holes: keys from and to which nothing could be read.
fn rows(
    old: &Connection,
    table: &str,
    key: &str,
    columns: &str,
    last: i64,
    mut each: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<()>,
) -> Vec<(i64, i64)> {
    let sql = format!("SELECT {columns} FROM {table} WHERE {key} > ?1 ORDER BY {key}");
    let first = format!("SELECT {key} FROM {table} WHERE {key} >= ?1 ORDER BY {key} LIMIT 1");
    let last = old
        .query_row(&format!("SELECT {key} FROM {table} ORDER BY {key} DESC LIMIT 1"), [], |row| row.get(0))
        .unwrap_or(0)
        .max(last);
    let (mut after, mut holes) = (i64::MIN, Vec::new());
    for _ in 0..TRIES {
        let mut read = || -> rusqlite::Result<()> {
            let mut statement = old.prepare(&sql)?;
            let mut found = statement.query([after])?;
            while let Some(row) = found.next()? {
                let at: i64 = row.get(0)?;
                if at <= after {
                    // A damaged tree may lead in a circle.
                    return Err(rusqlite::Error::QueryReturnedNoRows);
                }
                each(row)?;
                after = at;
            }
            Ok(())
        };
        if read().is_ok() {
            return holes;
        }
        let from = after.max(0) + 1;
        let readable = |at: i64| {
            old.query_row(&first, [at], |row| row.get::<_, i64>(0))
                .optional()
                .is_ok_and(|found| found.is_none_or(|found| found >= at))
        };
        match next_readable(from, last, readable) {
            Some(next) if next > from => {
                holes.push((from, next - 1));
                after = next - 1;
            }
            // The row can be found but not read: it alone is left out.
            Some(_) => {
                holes.push((from, from));
                after = from;
            }
            None => {
                if from <= last {
                    holes.push((from, last));
                }
                return holes;
            }
        }
    }
    holes
}

fn messages(old: &Connection, desk: &mut super::desk::Desk, saved: &mut Saved) -> rusqlite::Result<()> {
    let mut failed = None;
    let lost = &mut saved.lost;
    let kept = &mut saved.messages;
    let holes = rows(old, "outbox", "place", columns!(), 0, |row| {
        let row = OutRow::read(row)?;
        if row.damaged {
            *lost += 1;
            return Ok(());
        }
        match outbox::write(&desk.conn, &row) {
            Ok(()) => {
                desk.tally.message_added(row.state, row.size());
                desk.tally.last_place = desk.tally.last_place.max(row.place);
                *kept += 1;
            }
            // The same id twice, in a damaged tree.
            Err(error) if super::trouble::weigh(&error) == super::trouble::Weight::Statement => *lost += 1,
            Err(error) => failed = Some(error),
        }
        Ok(())
    });
    saved.lost += holes.len();
    failed.map_or(Ok(()), Err)
}

fn events(old: &Connection, desk: &mut super::desk::Desk, saved: &mut Saved) -> rusqlite::Result<()> {
    let mut streams = HashSet::new();
    copy(
        old,
        &desk.conn,
        &STREAMS,
        |row| matches!(&row[0], Value::Integer(number) if streams.insert(*number)),
        &mut saved.lost,
    )?;
    let marks = "SELECT last_seq, pruned_through, last_place FROM tally WHERE one = 1";
    let marks: Option<(i64, i64, i64)> =
        old.query_row(marks, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).ok();
    let mut kept = HashSet::new();
    let mut unsound = Vec::new();
    let tally = &mut desk.tally;
    let mut holes = copy_to(
        old,
        &desk.conn,
        &INBOX,
        marks.map_or(0, |(last, ..)| last),
        |row| {
            let Value::Integer(seq) = row[0] else { return false };
            let (Value::Integer(received_at), Value::Integer(form), Value::Integer(sum)) =
                (&row[1], &row[2], &row[3])
            else {
                unsound.push(seq);
                return false;
            };
            let stream = if let Value::Integer(stream) = &row[4] { Some(*stream) } else { None };
            let body = bytes(&row[8]).unwrap_or_default();
            let written = inbox::Written {
                seq,
                received_at: *received_at,
                form: *form,
                stream,
                kind: bytes(&row[5]),
                id: bytes(&row[6]),
                key: bytes(&row[7]),
                body,
            };
            let Some(form_of) = codes::form(*form).filter(|_| written.fits(*sum)) else {
                unsound.push(seq);
                return false;
            };
            tally.inbox_rows += 1;
            tally.events += i64::from(form_of == codes::Form::Event);
            tally.inbox_bytes += int(body.len());
            tally.last_seq = tally.last_seq.max(seq);
            tally.first_seq = if tally.first_seq == 0 { seq } else { tally.first_seq.min(seq) };
            kept.insert(seq);
            true
        },
        &mut saved.lost,
    )?;
    holes.extend(unsound.iter().map(|seq| (*seq, *seq)));
    saved.events = usize::try_from(tally.events).unwrap_or(0);
    copy(
        old,
        &desk.conn,
        &QUARANTINE,
        |row| {
            let known = matches!(&row[0], Value::Integer(seq) if kept.contains(seq));
            if known {
                tally.quarantined += 1;
                tally.inbox_bytes += int(bytes(&row[5]).unwrap_or_default().len());
            }
            known
        },
        &mut saved.lost,
    )?;
    // Older versions had no such table.
    if old.prepare("SELECT seq FROM misfits LIMIT 0").is_ok() {
        let known = |row: &[Value]| matches!(&row[0], Value::Integer(seq) if kept.contains(seq));
        copy(old, &desk.conn, &MISFITS, known, &mut saved.lost)?;
    }
    // Numbers go on where they were, as far as that can be known.
    if let Some((last, pruned, place)) = marks {
        tally.last_seq = tally.last_seq.max(last);
        tally.pruned_through = pruned;
        tally.last_place = tally.last_place.max(place);
    }
    tally.tail = tally.last_place;
    // Each number that is missing is told where it would have stood. (Some of them may never have
    // been given to a row; that much less was lost.)
    let now = desk.clock.now().wall;
    let from = desk.tally.pruned_through + 1;
    let missing = holes.into_iter().flat_map(|(first, last)| first.max(from)..=last);
    for seq in missing.filter(|seq| !kept.contains(seq)).take(GAPS) {
        inbox::insert_damaged(desk, seq, now)?;
    }
    inbox::settle_first(desk)
}

fn bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::Text(text) => Some(text.as_bytes()),
        Value::Blob(bytes) => Some(bytes),
        Value::Null | Value::Integer(_) | Value::Real(_) => None,
    }
}

/// A table as it is copied: its name, its columns (the first is its key), and whether the key is
/// a number that can be hopped over.
#[derive(Debug, Clone, Copy)]
struct Table {
    name: &'static str,
    columns: &'static str,
    count: usize,
    numbered: bool,
}

const STREAMS: Table =
    Table { name: "streams", columns: "number, name, window_from", count: 3, numbered: true };
const INBOX: Table = Table {
    name: "inbox",
    columns: "seq, received_at, form, checksum, stream, kind, id, key, body",
    count: 9,
    numbered: true,
};
const QUARANTINE: Table = Table {
    name: "quarantine",
    columns: "seq, received_at, reason, detail, form, frame",
    count: 6,
    numbered: true,
};
const MISFITS: Table =
    Table { name: "misfits", columns: "seq, server, stream, id, kind, seal", count: 6, numbered: true };
const SMALL_TABLES: &[Table] = &[
    Table { name: "seen", columns: "seq, stream, id", count: 3, numbered: true },
    Table { name: "cursors", columns: "name, seq, last_seen", count: 3, numbered: false },
    Table { name: "servers", columns: "server, connected_at", count: 2, numbered: false },
    Table { name: "resume", columns: "server, stream, cursor", count: 3, numbered: false },
    Table { name: "kept", columns: "server, name, value", count: 3, numbered: false },
    Table { name: "remembered", columns: "name, value", count: 2, numbered: false },
    Table { name: "transitions", columns: "number, body", count: 2, numbered: true },
];

/// As [`copy_to`], where nobody asks for the holes.
fn copy(
    old: &Connection,
    new: &Connection,
    table: &Table,
    wanted: impl FnMut(&[Value]) -> bool,
    lost: &mut usize,
) -> rusqlite::Result<()> {
    copy_to(old, new, table, 0, wanted, lost).map(drop)
}

/// Copies the rows of a table that can be read and that `wanted` takes. Keys go up to `last` at
/// least. Gives the holes, where the key is a number.
fn copy_to(
    old: &Connection,
    new: &Connection,
    table: &Table,
    last: i64,
    mut wanted: impl FnMut(&[Value]) -> bool,
    lost: &mut usize,
) -> rusqlite::Result<Vec<(i64, i64)>> {
    let places = vec!["?"; table.count].join(", ");
    let Table { name, columns, count, .. } = *table;
    let mut insert = new.prepare(&format!("INSERT OR IGNORE INTO {name} ({columns}) VALUES ({places})"))?;
    let mut failed = None;
    let mut skipped = 0;
    let mut each = |row: &rusqlite::Row<'_>| -> rusqlite::Result<()> {
        let values = (0..count).map(|column| row.get(column)).collect::<rusqlite::Result<Vec<Value>>>()?;
        if !wanted(&values) {
            skipped += 1;
        } else if let Err(error) = insert.execute(params_from_iter(values)) {
            if super::trouble::weigh(&error) == super::trouble::Weight::Statement {
                skipped += 1;
            } else {
                failed = Some(error);
            }
        }
        Ok(())
    };
    let mut holes = Vec::new();
    if table.numbered {
        let key = columns.split(',').next().unwrap_or_default();
        holes = rows(old, name, key, columns, last, each);
        *lost += holes.len();
    } else {
        let sound = seal::sound_rows(old, name);
        let mut read = || -> rusqlite::Result<()> {
            let mut statement = old.prepare(&format!("SELECT {columns} FROM {name}{sound}"))?;
            let mut found = statement.query([])?;
            while let Some(row) = found.next()? {
                each(row)?;
            }
            Ok(())
        };
        *lost += usize::from(read().is_err());
    }
    *lost += skipped;
    failed.map_or(Ok(holes), Err)
}

fn highest(conn: &Connection, table: &str, key: &str) -> rusqlite::Result<i64> {
    conn.query_row(&format!("SELECT coalesce(max({key}), 0) FROM {table}"), [], |row| row.get(0))
}
