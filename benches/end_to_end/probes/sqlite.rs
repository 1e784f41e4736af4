//! SQLite alone, in the shape that a plain queue would give it: WAL, a checkpoint every 8,000 pages,
//! numbers handed out by the program, no further index.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;

use crate::figures::rate;
use crate::message::body;
use crate::stats::{Latency, now};
use crate::wire::pace;

const INSERT: &str = "INSERT INTO t VALUES (?1, 'bench', ?2, 0, ?3)";

/// A database that ends with the probe.
struct Probe {
    db: Option<Connection>,
    path: PathBuf,
    text: String,
    next: i64,
}

impl Probe {
    fn open(dir: &Path, synchronous: &str) -> Self {
        let path = dir.join("probe.db");
        let mut this = Self { db: None, path, text: body(0), next: 1 };
        this.remove();
        let db = Connection::open(&this.path).expect("a probe database");
        db.execute_batch(&format!(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous={synchronous}; PRAGMA wal_autocheckpoint=8000;
             CREATE TABLE t (seq INTEGER PRIMARY KEY, kind TEXT, created INTEGER, state INTEGER, body TEXT) STRICT;"
        ))
        .expect("a probe table");
        this.db = Some(db);
        this
    }

    fn remove(&self) {
        for suffix in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{suffix}", self.path.display()));
        }
    }

    fn db(&self) -> &Connection {
        self.db.as_ref().expect("open until it is dropped")
    }

    /// One commit of `rows` rows, and of the oldest ones going where `out` says so.
    fn commit(&mut self, rows: usize, out: Option<i64>) {
        let mut next = self.next;
        let tx = self.db().unchecked_transaction().expect("begun");
        {
            let mut insert = tx.prepare_cached(INSERT).expect("prepared");
            for _ in 0..rows {
                insert.execute((next, 1_795_000_000_000_i64 + next, &self.text)).expect("inserted");
                next += 1;
            }
            if let Some(upto) = out {
                let mut delete = tx.prepare_cached("DELETE FROM t WHERE seq <= ?1").expect("prepared");
                delete.execute([upto]).expect("deleted");
            }
        }
        tx.commit().expect("committed");
        self.next = next;
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.db = None;
        self.remove();
    }
}

/// Rows a second with `per_commit` rows in each commit.
pub(crate) fn rows_per_second(dir: &Path, synchronous: &str, rows: usize, per_commit: usize) -> f64 {
    let mut probe = Probe::open(dir, synchronous);
    let begin = now();
    let mut done = 0;
    while done < rows {
        probe.commit(per_commit, None);
        done += per_commit;
    }
    rate(done, begin.elapsed())
}

/// One insert per commit at a steady pace: what a lone caller meets at best.
pub(crate) fn paced(dir: &Path, synchronous: &str, per_second: u32, lasts: Duration) -> Latency {
    let mut probe = Probe::open(dir, synchronous);
    let mut took = Latency::default();
    let begin = now();
    let mut n = 0;
    while begin.elapsed() < lasts {
        n += 1;
        pace(begin, n, per_second);
        let at = now();
        probe.commit(1, None);
        took.add(at.elapsed());
    }
    took
}

/// Rows a second of a plain `SELECT` over `rows` rows, 500 at a time.
pub(crate) fn replay(dir: &Path, rows: usize) -> f64 {
    let mut probe = Probe::open(dir, "OFF");
    while usize::try_from(probe.next).expect("positive") <= rows {
        probe.commit(4096, None);
    }
    let mut select = probe
        .db()
        .prepare("SELECT seq, body FROM t WHERE seq > ?1 ORDER BY seq LIMIT 500")
        .expect("prepared");
    let begin = now();
    let (mut after, mut seen, mut bytes) = (0_i64, 0, 0);
    loop {
        let before = seen;
        let mut page = select.query([after]).expect("a query");
        while let Some(row) = page.next().expect("a row") {
            after = row.get(0).expect("a number");
            bytes += row.get_ref(1).expect("a text").as_str().expect("a text").len();
            seen += 1;
        }
        if seen == before {
            break;
        }
    }
    assert!(bytes >= seen * 200, "all bodies were read");
    rate(seen, begin.elapsed())
}

/// What a message costs with `depth` of them waiting: 64 in and the 64 oldest out per commit, in µs.
pub(crate) fn standing_queue(dir: &Path, synchronous: &str, depth: usize, count: usize) -> f64 {
    let mut probe = Probe::open(dir, synchronous);
    while usize::try_from(probe.next).expect("positive") <= depth {
        probe.commit(depth.min(4096), None);
    }
    let mut oldest = 0;
    let begin = now();
    for _ in 0..count.div_ceil(64) {
        oldest += 64;
        probe.commit(64, Some(oldest));
    }
    1e6 / rate(count.div_ceil(64) * 64, begin.elapsed())
}
