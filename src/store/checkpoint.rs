//! When the log is written back into the database.

use std::sync::atomic::{AtomicI32, Ordering};

use rusqlite::Connection;

/// Pages in the log after which it is written back. The file is kept at its size: overwriting in
/// place syncs faster than growing.
const PAGES: i32 = 8000;

/// Writes the log back once it has grown. SQLite would do so by itself, but it hides a failed sync of
/// the database file, and after one of those nothing is to be trusted.
pub(super) fn write_back(conn: &Connection, pages: &AtomicI32) -> rusqlite::Result<()> {
    if pages.load(Ordering::Relaxed) >= PAGES {
        conn.prepare_cached("PRAGMA wal_checkpoint(PASSIVE)")?.query_row([], |_| Ok(()))?;
    }
    Ok(())
}
