//! A mark beside the database that says: check it before trusting it again.
//!
//! Damage is often found while running, in a page that an ordinary start never reads. The mark
//! makes the next start read all of it.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};

fn mark(database: &Path) -> PathBuf {
    let mut name = OsString::from(database);
    name.push(".suspect");
    name.into()
}

/// Best effort: the disk that failed may not take the mark either.
pub(super) fn raise(database: &Path) {
    if let Err(error) = File::create(mark(database)) {
        tracing::warn!(%error, "the mark for a check at the next start could not be written");
    }
}

pub(super) fn is_raised(database: &Path) -> bool {
    mark(database).exists()
}

pub(super) fn lift(database: &Path) {
    if is_raised(database)
        && let Err(error) = std::fs::remove_file(mark(database))
    {
        tracing::warn!(%error, "the mark for a check at this start could not be removed");
    }
}
