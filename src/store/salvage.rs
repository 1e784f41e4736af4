//! A damaged database: set aside, never overwritten, never deleted. What can be read of it goes
//! into a new one with a new epoch, which says in its event sequence that something is missing.
//!
//! A note beside the database holds the name the damaged file gets. It is written first and
//! removed last, so whenever the process is killed the next start goes on where this one was.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, params_from_iter};

use super::codes::{self, int};
use super::open::{
    OpenError, beside, build, create_private, open_sound, put_in_place, remove_if_there, sync_folder,
};
use super::outbox_row::{OutRow, columns};
use super::{Settings, Stop, inbox, outbox, rescue, suspicion};
use crate::clock::Clock;
use crate::model::GapReason;

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
    found.desk.conn.close().map_err(|(_, error)| failed(error))?;
    drop(old);

    for leftover in ["", "-wal", "-shm"] {
        let io = |error: std::io::Error| OpenError::storage(path, error);
        remove_if_there(&beside(&scratch, leftover)).map_err(io)?;
    }
    put_in_place(&fresh, path)?;
    Ok(saved)
}

/// A connection to what is left, that writes nothing. Where the first page is gone, which says
/// what is where, a copy gets that of a new file: all files of a version begin alike.
fn open_damaged(aside: &Path, fresh: &Path, scratch: &Path) -> Option<Connection> {
    let readable = |conn: &Connection| {
        conn.prepare("SELECT place FROM outbox LIMIT 1").is_ok()
            && conn.prepare("SELECT seq FROM inbox LIMIT 1").is_ok()
    };
    let open = |path: &Path| {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Connection::open_with_flags(path, flags).ok().filter(readable)
    };
    if let Some(conn) = open(aside) {
        return Some(conn);
    }
    let patched = (|| -> std::io::Result<()> {
        use std::io::{Seek as _, SeekFrom, Write as _};
        const PAGE: usize = 4096;
        for suffix in ["", "-wal", "-shm"] {
            remove_if_there(&beside(scratch, suffix))?;
        }
        create_private(scratch)?;
        std::fs::copy(aside, scratch)?;
        if beside(aside, "-wal").exists() {
            std::fs::copy(beside(aside, "-wal"), beside(scratch, "-wal"))?;
        }
        let mut page = std::fs::read(fresh)?;
        page.truncate(PAGE);
        let pages = std::fs::metadata(scratch)?.len() / PAGE as u64;
        let pages = u32::try_from(pages).unwrap_or(u32::MAX).max(1).to_be_bytes();
        // File format, 1.3: size in pages at 28, free list at 32 and 36, and what makes 28 valid.
        page[28..32].copy_from_slice(&pages);
        page[32..40].fill(0);
        let change_counter: [u8; 4] = [page[24], page[25], page[26], page[27]];
        page[92..96].copy_from_slice(&change_counter);
        let mut file = std::fs::OpenOptions::new().write(true).open(scratch)?;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&page)
    })();
    patched.ok().and_then(|()| open(scratch))
}

/// Calls `each` for every row of `table` that can be read, in the order of `key`; hops over what
/// cannot. Gives the number of hops.
fn rows(
    old: &Connection,
    table: &str,
    key: &str,
    columns: &str,
    mut each: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<()>,
) -> usize {
    let sql = format!("SELECT {columns} FROM {table} WHERE {key} > ?1 ORDER BY {key}");
    let last: i64 = old
        .query_row(&format!("SELECT {key} FROM {table} ORDER BY {key} DESC LIMIT 1"), [], |row| row.get(0))
        .unwrap_or(i64::MAX);
    let (mut after, mut hop, mut hops) = (i64::MIN, 1_i64, 0);
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
                (after, hop) = (at, 1);
            }
            Ok(())
        };
        if read().is_ok() {
            return hops;
        }
        hops += 1;
        after = after.max(0).saturating_add(hop);
        hop = hop.saturating_mul(2);
        if after >= last {
            return hops;
        }
    }
    hops
}

fn messages(old: &Connection, desk: &mut super::desk::Desk, saved: &mut Saved) -> rusqlite::Result<()> {
    let mut failed = None;
    let lost = &mut saved.lost;
    let kept = &mut saved.messages;
    let hops = rows(old, "outbox", "place", columns!(), |row| {
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
    saved.lost += hops;
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
    let mut kept = HashSet::new();
    let tally = &mut desk.tally;
    copy(
        old,
        &desk.conn,
        &INBOX,
        |row| {
            let (Value::Integer(seq), Value::Integer(form), Value::Integer(sum)) =
                (&row[0], &row[2], &row[3])
            else {
                return false;
            };
            let (seq, form, sum) = (*seq, *form, *sum);
            let (Some(form_of), body) = (codes::form(form), bytes(&row[8]).unwrap_or_default()) else {
                return false;
            };
            if codes::checksum(form, &[bytes(&row[5]), bytes(&row[6]), bytes(&row[7])], body) != sum {
                return false;
            }
            tally.inbox_rows += 1;
            tally.events += i64::from(form_of == codes::Form::Event);
            tally.inbox_bytes += int(body.len());
            if !matches!(&row[4], Value::Integer(stream) if streams.contains(stream)) {
                row[4] = Value::Null;
            }
            tally.last_seq = tally.last_seq.max(seq);
            tally.first_seq = if tally.first_seq == 0 { seq } else { tally.first_seq.min(seq) };
            kept.insert(seq);
            true
        },
        &mut saved.lost,
    )?;
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
    // Numbers go on where they were, as far as that can be known.
    let marks = "SELECT last_seq, pruned_through, last_place FROM tally WHERE one = 1";
    if let Ok((last, pruned, place)) =
        old.query_row(marks, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
    {
        tally.last_seq = tally.last_seq.max(last);
        tally.pruned_through = pruned;
        tally.last_place = tally.last_place.max(place);
    }
    tally.tail = tally.last_place;
    Ok(())
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
const SMALL_TABLES: &[Table] = &[
    Table { name: "seen", columns: "seq, stream, id", count: 3, numbered: true },
    Table { name: "cursors", columns: "name, seq, last_seen", count: 3, numbered: false },
    Table { name: "servers", columns: "server, connected_at", count: 2, numbered: false },
    Table { name: "resume", columns: "server, stream, cursor", count: 3, numbered: false },
    Table { name: "kept", columns: "server, name, value", count: 3, numbered: false },
    Table { name: "remembered", columns: "name, value", count: 2, numbered: false },
    Table { name: "transitions", columns: "number, body", count: 2, numbered: true },
];

/// Copies the rows of a table that can be read and that `wanted` takes (it may change them).
fn copy(
    old: &Connection,
    new: &Connection,
    table: &Table,
    mut wanted: impl FnMut(&mut [Value]) -> bool,
    lost: &mut usize,
) -> rusqlite::Result<()> {
    let places = vec!["?"; table.count].join(", ");
    let Table { name, columns, count, numbered } = *table;
    let mut insert = new.prepare(&format!("INSERT OR IGNORE INTO {name} ({columns}) VALUES ({places})"))?;
    let mut failed = None;
    let mut skipped = 0;
    let mut each = |row: &rusqlite::Row<'_>| -> rusqlite::Result<()> {
        let mut values =
            (0..count).map(|column| row.get(column)).collect::<rusqlite::Result<Vec<Value>>>()?;
        if !wanted(&mut values) {
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
    if numbered {
        let key = columns.split(',').next().unwrap_or_default();
        *lost += rows(old, name, key, columns, each);
    } else {
        let mut read = || -> rusqlite::Result<()> {
            let mut statement = old.prepare(&format!("SELECT {columns} FROM {name}"))?;
            let mut found = statement.query([])?;
            while let Some(row) = found.next()? {
                each(row)?;
            }
            Ok(())
        };
        *lost += usize::from(read().is_err());
    }
    *lost += skipped;
    failed.map_or(Ok(()), Err)
}

fn highest(conn: &Connection, table: &str, key: &str) -> rusqlite::Result<i64> {
    conn.query_row(&format!("SELECT coalesce(max({key}), 0) FROM {table}"), [], |row| row.get(0))
}
