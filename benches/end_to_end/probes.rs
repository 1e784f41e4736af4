//! Raw limits of this machine, taken in the same round as the subject: what the disk and SQLite
//! do without anything of ours around them.

use std::fs::OpenOptions;
use std::io::{Seek as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::stats::{Latency, now};

/// `fdatasync` of 4 KiB written in place, back to back.
pub(crate) fn fdatasync(dir: &Path, count: usize) -> Latency {
    let path = dir.join("probe.fdatasync");
    let mut file =
        OpenOptions::new().create(true).truncate(true).write(true).open(&path).expect("a probe file");
    let block = [0x5a_u8; 4096];
    file.write_all(&block).expect("written");
    file.sync_data().expect("synced");
    let mut took = Latency::default();
    for _ in 0..count {
        let begin = now();
        file.rewind().expect("in place");
        file.write_all(&block).expect("written");
        file.sync_data().expect("synced");
        took.add(begin.elapsed());
    }
    std::fs::remove_file(&path).expect("removed");
    took
}

/// What a database for a probe looks like.
fn open(path: &Path, synchronous: &str) -> Connection {
    let db = Connection::open(path).expect("a probe database");
    db.execute_batch(&format!(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous={synchronous}; PRAGMA wal_autocheckpoint=8000;
         CREATE TABLE t (seq INTEGER PRIMARY KEY, kind TEXT, created INTEGER, state INTEGER, body TEXT) STRICT;"
    ))
    .expect("a probe table");
    db
}

fn remove(path: &Path) {
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{suffix}", path.display()));
    }
}

/// Rows per second with `per_commit` rows in each commit.
pub(crate) fn sqlite(dir: &Path, synchronous: &str, rows: usize, per_commit: usize, body: &str) -> f64 {
    let path = dir.join("probe.db");
    remove(&path);
    let mut db = open(&path, synchronous);
    let begin = now();
    let mut seq = 0_i64;
    while usize::try_from(seq).expect("positive") < rows {
        let tx = db.transaction().expect("begun");
        {
            let mut insert =
                tx.prepare_cached("INSERT INTO t VALUES (?1, 'bench', ?2, 0, ?3)").expect("prepared");
            for _ in 0..per_commit {
                seq += 1;
                insert.execute((seq, 1_795_000_000_000_i64 + seq, body)).expect("inserted");
            }
        }
        tx.commit().expect("committed");
    }
    let rate = f64::from(u32::try_from(seq).expect("small")) / begin.elapsed().as_secs_f64();
    drop(db);
    remove(&path);
    rate
}

/// Latency of one insert per commit at a steady pace: what a lone caller meets at best.
pub(crate) fn sqlite_paced(
    dir: &Path,
    synchronous: &str,
    per_second: u32,
    lasts: Duration,
    body: &str,
) -> Latency {
    let path = dir.join("probe.db");
    remove(&path);
    let db = open(&path, synchronous);
    let mut took = Latency::default();
    let begin = now();
    let mut seq = 0_i64;
    while begin.elapsed() < lasts {
        seq += 1;
        pace(begin, seq, per_second);
        let at = now();
        db.prepare_cached("INSERT INTO t VALUES (?1, 'bench', ?2, 0, ?3)")
            .expect("prepared")
            .execute((seq, seq, body))
            .expect("inserted");
        took.add(at.elapsed());
    }
    drop(db);
    remove(&path);
    took
}

/// Sleeps until the `n`-th beat since `begin`.
pub(crate) fn pace(begin: Instant, n: i64, per_second: u32) {
    let due = begin + Duration::from_secs(1) / per_second * u32::try_from(n).expect("small");
    std::thread::sleep(due.saturating_duration_since(now()));
}
