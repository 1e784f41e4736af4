//! What can go wrong with the database, and whom it concerns.

use rusqlite::ErrorCode;
use rusqlite::ffi::{
    SQLITE_IOERR_READ, SQLITE_IOERR_SHORT_READ, SQLITE_IOERR_WRITE, SQLITE_READONLY_DBMOVED,
};

use super::disk::{FLOOR, mebibytes};
use crate::model::{ErrorKind, Refusal};

/// Why one request was not carried out.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It concerns its caller alone.
    Refused(Box<Refusal>),
    /// It concerns everything in the same commit.
    Batch(rusqlite::Error),
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        match weigh(&error) {
            Weight::Statement => {
                Refusal::new(ErrorKind::StoreFailed, format!("the database refused it: {error}")).into()
            }
            Weight::Stall | Weight::Fatal => Self::Batch(error),
        }
    }
}

/// How much an error of SQLite spoils.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    /// The statement, whose effects SQLite itself has taken back.
    Statement,
    /// The transaction; the same may succeed later on the same handle (no space, locked, mounted
    /// read-only: nothing was half written, a WAL frame without its commit does not count).
    Stall,
    /// The handle. A second sync would succeed over lost pages, so there is none.
    Fatal,
}

pub(super) fn weigh(error: &rusqlite::Error) -> Weight {
    let Some(sqlite) = error.sqlite_error() else {
        return Weight::Statement;
    };
    match sqlite.extended_code {
        // A write was refused (`EROFS`, `EFBIG`) before anything was synced, or a page could not be
        // read: what is on disk is as it was.
        SQLITE_IOERR_WRITE | SQLITE_IOERR_READ => return Weight::Stall,
        SQLITE_READONLY_DBMOVED => return Weight::Fatal,
        _ => {}
    }
    #[allow(clippy::wildcard_enum_match_arm, reason = "an error nobody thought of is not to be trusted")]
    match sqlite.code {
        ErrorCode::ConstraintViolation
        | ErrorCode::TooBig
        | ErrorCode::TypeMismatch
        | ErrorCode::ParameterOutOfRange => Weight::Statement,
        ErrorCode::DiskFull
        | ErrorCode::DatabaseBusy
        | ErrorCode::DatabaseLocked
        | ErrorCode::ReadOnly
        | ErrorCode::OutOfMemory => Weight::Stall,
        _ => Weight::Fatal,
    }
}

/// Whether the content of the file is damaged (and not the way to it).
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// Whether the next start should read all of the file before it trusts it: damage, or an error
/// that a sound file of ours does not lead to (a table that is not there).
pub(super) fn is_suspicious(error: &rusqlite::Error) -> bool {
    is_damage(error)
        || error.sqlite_error().is_some_and(|sqlite| {
            sqlite.extended_code == SQLITE_IOERR_SHORT_READ
                || matches!(sqlite.code, ErrorCode::Unknown | ErrorCode::ConstraintViolation)
        })
}

/// Whether the disk did not give what it holds.
pub(super) fn is_unreadable(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|sqlite| sqlite.extended_code == SQLITE_IOERR_READ)
}

/// As SQLite would say that the open file has lost its name. (It looks for that itself only where
/// it has no write-ahead log.)
pub(super) fn moved(what: &str) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(SQLITE_READONLY_DBMOVED), Some(what.to_owned()))
}

/// As SQLite would say that a sync failed.
pub(super) fn unsynced(error: &std::io::Error) -> rusqlite::Error {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_DIR_FSYNC);
    rusqlite::Error::SqliteFailure(
        code,
        Some(format!("disk I/O error: the folder could not be synced: {error}")),
    )
}

/// As SQLite would say that the file is damaged.
pub(super) fn damaged(what: &str) -> rusqlite::Error {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
    rusqlite::Error::SqliteFailure(code, Some(what.to_owned()))
}

/// The answer to a send while the disk has too little room.
pub(super) fn too_little_room(free: u64) -> Refusal {
    let mut refusal = Refusal::new(ErrorKind::StoreFailed, little_room(free))
        .hint("free some space on the disk that holds the database; it goes on by itself")
        .with("free_bytes", free);
    refusal.retryable = true;
    refusal
}

/// The same in words.
pub(super) fn little_room(free: u64) -> String {
    format!(
        "only {} are free on the disk of the database: below {} nothing new is taken in",
        mebibytes(free),
        mebibytes(FLOOR)
    )
}

/// The answer to everyone whose request was in a transaction that failed.
pub(super) fn refusal_for(error: &rusqlite::Error) -> Refusal {
    if matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)) {
        return Refusal::new(ErrorKind::Busy, "the database is locked by another process")
            .hint("close whatever else has the database file open");
    }
    match weigh(error) {
        Weight::Stall => Refusal::new(
            ErrorKind::StoreFailed,
            format!("the database cannot be written: {error}"),
        )
        .hint(
            "free some space on the disk that holds the database, or make it writable; it goes on by itself",
        ),
        Weight::Statement | Weight::Fatal => {
            let mut refusal = Refusal::new(ErrorKind::StoreFailed, format!("the database failed: {error}"))
                .hint("the daemon ends and recovers at its next start");
            refusal.retryable = true;
            refusal
        }
    }
}

/// The answer once the store is closed or its thread is gone.
pub(super) fn gone() -> Refusal {
    Refusal::new(ErrorKind::ShuttingDown, "the store is closed")
        .hint("the daemon stops; call again when it runs")
}

/// No such thing.
pub(super) fn not_found(what: &str, name: impl std::fmt::Display) -> Refusal {
    Refusal::new(ErrorKind::NotFound, format!("there is no {what} {name}"))
}
