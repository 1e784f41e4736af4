//! The shape of the database over its versions.
//!
//! `user_version` says which one a file has. A newer one than ours is refused before anything is
//! written. An older one is copied beside itself first, then brought up in one transaction:
//! whenever the process is killed, the file is the old one or the new one.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, TransactionBehavior};

use super::seal;

/// Each brings a file from its index to the next version.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("migrations/001_initial.sql"),
    include_str!("migrations/002_seals.sql"),
    include_str!("migrations/003_of_servers.sql"),
    include_str!("migrations/004_cheap_indexes.sql"),
];

/// Marks a file as ours (`PRAGMA application_id`): "hold".
pub(super) const APPLICATION_ID: i64 = 0x686f_6c64;

/// The version of this build.
pub(super) fn version_of(migrations: &[&str]) -> i64 {
    super::codes::int(migrations.len())
}

/// Brings a file of version `from` up, all steps in one transaction.
pub(super) fn apply(conn: &mut Connection, from: i64, migrations: &[&str]) -> rusqlite::Result<()> {
    seal::teach(conn)?;
    let transaction = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for sql in migrations.iter().skip(usize::try_from(from).unwrap_or(0)) {
        transaction.execute_batch(sql)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", version_of(migrations))?;
    transaction.commit()
}

/// Where the copy of a file of version `version` is put.
pub(super) fn backup_path(database: &Path, version: i64) -> PathBuf {
    let mut name = OsString::from(database);
    name.push(format!(".v{version}.backup"));
    name.into()
}

/// Copies the database beside itself, whole and synced. A copy that is there already stays: it
/// is from a start that was killed, and holds the same.
pub(super) fn back_up(conn: &Connection, database: &Path, version: i64) -> rusqlite::Result<PathBuf> {
    let target = backup_path(database, version);
    if !target.exists() {
        copy_to(conn, &target)?;
    }
    Ok(target)
}

/// Copies the database as `conn` sees it to `target`: whole and synced, or not at all.
pub(super) fn copy_to(conn: &Connection, target: &Path) -> rusqlite::Result<()> {
    let mut unfinished = OsString::from(target);
    unfinished.push(".new");
    let unfinished = PathBuf::from(unfinished);
    let io = |error: std::io::Error| {
        rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR),
            Some(format!("the copy of the database at {} failed: {error}", target.display())),
        )
    };
    super::files::remove_if_there(&unfinished).map_err(io)?;
    super::files::create_private(&unfinished).map_err(io)?;
    conn.backup("main", &unfinished, None::<fn(rusqlite::backup::Progress)>)?;
    std::fs::File::open(&unfinished).and_then(|file| file.sync_all()).map_err(io)?;
    std::fs::rename(&unfinished, target).map_err(io)?;
    super::files::sync_folder(target).map_err(io)
}
