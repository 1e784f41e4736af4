//! What can go wrong with the database, and whom it concerns.

use rusqlite::ErrorCode;

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

/// `SQLITE_IOERR_WRITE`: a write was refused (`EROFS`, `EFBIG`) before anything was synced.
const IOERR_WRITE: i32 = rusqlite::ffi::SQLITE_IOERR_WRITE;

pub(super) fn weigh(error: &rusqlite::Error) -> Weight {
    let Some(sqlite) = error.sqlite_error() else {
        return Weight::Statement;
    };
    if sqlite.extended_code == IOERR_WRITE {
        return Weight::Stall;
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
