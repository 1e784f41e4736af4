//! When the log is written back into the database.

use std::sync::atomic::{AtomicI32, Ordering};

use rusqlite::Connection;

/// Pages in the log after which it is written back. The file is kept at its size: overwriting in
/// place syncs faster than growing.
const PAGES: i32 = 8000;

/// The same where commits are small: there what a commit waits for is the sync, and a log that is
/// soon written over has stopped growing soon.
const PAGES_AT_EASE: i32 = 1000;

/// Requests in a small commit.
const SMALL: usize = 32;

/// Writes the log back once it has grown, after a commit of so many requests. SQLite would do so by
/// itself, but it hides a failed sync of the database file, and after one of those nothing is to be
/// trusted.
pub(super) fn write_back(conn: &Connection, pages: &AtomicI32, requests: usize) -> rusqlite::Result<()> {
    let enough = if requests <= SMALL { PAGES_AT_EASE } else { PAGES };
    if pages.load(Ordering::Relaxed) >= enough {
        conn.prepare_cached("PRAGMA wal_checkpoint(PASSIVE)")?.query_row([], |_| Ok(()))?;
    }
    Ok(())
}
