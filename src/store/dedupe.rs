//! Which ids of a stream were seen before.
//!
//! A window of the last [`WINDOW`] ids per stream is kept as hashes, refilled from the tables when
//! a stream is first heard of after a start. A hash that fits is only a suspicion: the id itself
//! is compared before anything is dropped. Another server has streams of its own, whatever it calls
//! them: its ids say nothing of those of the one before. The id stands in its inbox row, or in `seen` where that
//! row was replaced or pruned while its id was still in the window.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, params};

/// Ids remembered per stream.
pub(super) const WINDOW: usize = 65_536;

/// Streams with a window in memory; a stream that was pushed out is refilled when it is heard of.
const STREAMS_IN_MEMORY: usize = 64;

/// How many ids may leave a window before its beginning is written down again. The beginning on
/// disk may lag: it only bounds how far a refill reads.
const MARK_EVERY: usize = 4096;

/// The windows of all streams.
#[derive(Debug, Default)]
pub(super) struct Windows {
    server: String,
    hasher: RandomState,
    windows: HashMap<Arc<str>, Window>,
    clock: u64,
}

#[derive(Debug)]
struct Window {
    stream: i64,
    order: VecDeque<(u64, i64)>,
    by_hash: HashMap<u64, i64>,
    left_since_mark: usize,
    used: u64,
}

impl Windows {
    /// For the streams of this server.
    pub(super) fn of(server: &str) -> Self {
        Self { server: server.to_owned(), ..Self::default() }
    }

    /// Forgets everything; what is needed is refilled from the tables. For rollbacks.
    pub(super) fn forget(&mut self) {
        self.windows.clear();
    }

    /// The number of `stream`, and whether `id` was seen in it within the window.
    pub(super) fn seen(
        &mut self,
        conn: &Connection,
        stream: &Arc<str>,
        id: &str,
    ) -> rusqlite::Result<(i64, bool)> {
        let hash = self.hasher.hash_one(id);
        let window = self.window(conn, stream)?;
        let number = window.stream;
        let Some(seq) = window.by_hash.get(&hash) else {
            return Ok((number, false));
        };
        Ok((number, holds(conn, *seq, number, id)?))
    }

    /// Notes that `id` came with number `seq`.
    pub(super) fn note(
        &mut self,
        conn: &Connection,
        stream: &Arc<str>,
        id: &str,
        seq: i64,
    ) -> rusqlite::Result<()> {
        let hash = self.hasher.hash_one(id);
        let window = self.window(conn, stream)?;
        window.push(hash, seq);
        if window.left_since_mark >= MARK_EVERY {
            window.left_since_mark = 0;
            let from = window.order.front().map_or(0, |(_, seq)| *seq);
            mark(conn, window.stream, from)?;
        }
        Ok(())
    }

    /// Whether the id of a row that leaves the inbox must still be remembered. Where the window is
    /// not in memory it must: marking its beginning cleans up later.
    pub(super) fn still_wanted(&self, stream: i64, seq: i64) -> bool {
        self.windows
            .values()
            .find(|window| window.stream == stream)
            .is_none_or(|window| window.order.front().is_some_and(|(_, first)| seq >= *first))
    }

    fn window(&mut self, conn: &Connection, stream: &Arc<str>) -> rusqlite::Result<&mut Window> {
        self.clock += 1;
        if !self.windows.contains_key(stream) {
            if self.windows.len() >= STREAMS_IN_MEMORY {
                let oldest = self.windows.iter().min_by_key(|(_, window)| window.used);
                if let Some(name) = oldest.map(|(name, _)| name.clone()) {
                    self.windows.remove(&name);
                }
            }
            let filled = Window::refill(conn, &self.hasher, &format!("{}\n{stream}", self.server))?;
            self.windows.insert(stream.clone(), filled);
        }
        let window = self.windows.get_mut(stream).expect("it was inserted above");
        window.used = self.clock;
        Ok(window)
    }
}

impl Window {
    fn push(&mut self, hash: u64, seq: i64) {
        if self.order.len() == WINDOW
            && let Some((old, old_seq)) = self.order.pop_front()
        {
            if self.by_hash.get(&old) == Some(&old_seq) {
                self.by_hash.remove(&old);
            }
            self.left_since_mark += 1;
        }
        self.order.push_back((hash, seq));
        self.by_hash.insert(hash, seq);
    }

    fn refill(conn: &Connection, hasher: &RandomState, name: &str) -> rusqlite::Result<Self> {
        let known = conn
            .prepare_cached("SELECT number, window_from FROM streams WHERE name = ?1")?
            .query_row([name], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let (number, from): (i64, i64) = match known {
            Some(known) => known,
            None => {
                conn.prepare_cached("INSERT INTO streams (name, window_from) VALUES (?1, 0)")?
                    .execute([name])?;
                (conn.last_insert_rowid(), 0)
            }
        };
        let mut window = Self {
            stream: number,
            order: VecDeque::new(),
            by_hash: HashMap::new(),
            left_since_mark: 0,
            used: 0,
        };
        if known.is_none() {
            return Ok(window);
        }
        let mut newest = Vec::new();
        for table in ["inbox", "seen"] {
            let mut statement = conn.prepare(&format!(
                "SELECT seq, id FROM {table} WHERE seq >= ?1 AND stream = ?2 AND id IS NOT NULL
                 ORDER BY seq DESC LIMIT ?3"
            ))?;
            let mut rows = statement.query(params![from, number, super::codes::int(WINDOW)])?;
            while let Some(row) = rows.next()? {
                let seq: i64 = row.get(0)?;
                newest.push((seq, hasher.hash_one(row.get_ref(1)?.as_str().unwrap_or_default())));
            }
        }
        newest.sort_unstable();
        let surplus = newest.len().saturating_sub(WINDOW);
        for (seq, hash) in newest.into_iter().skip(surplus) {
            window.push(hash, seq);
        }
        Ok(window)
    }
}

/// Whether the row with number `seq` came with this very id in this stream.
fn holds(conn: &Connection, seq: i64, stream: i64, id: &str) -> rusqlite::Result<bool> {
    for sql in [
        "SELECT 1 FROM inbox WHERE seq = ?1 AND stream = ?2 AND id = ?3",
        "SELECT 1 FROM seen WHERE seq = ?1 AND stream = ?2 AND id = ?3",
    ] {
        if conn.prepare_cached(sql)?.exists(params![seq, stream, id])? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Remembers the id of a row that leaves the inbox.
pub(super) fn keep(conn: &Connection, seq: i64, stream: i64, id: &str) -> rusqlite::Result<()> {
    conn.prepare_cached("INSERT OR IGNORE INTO seen (seq, stream, id) VALUES (?1, ?2, ?3)")?
        .execute(params![seq, stream, id])?;
    Ok(())
}

/// Writes down where a window begins now, and forgets what is before it.
fn mark(conn: &Connection, stream: i64, from: i64) -> rusqlite::Result<()> {
    conn.prepare_cached("UPDATE streams SET window_from = ?2 WHERE number = ?1")?.execute([stream, from])?;
    conn.prepare_cached("DELETE FROM seen WHERE seq < ?2 AND stream = ?1")?.execute([stream, from])?;
    Ok(())
}
