//! A mark beside the database that says: check it before trusting it again.
//!
//! Damage is often found while running, in a page that an ordinary start never reads. The mark
//! makes the next start read all of it. Where a reason stands in the mark there is nothing left to
//! check: the file is damaged, or some of it is gone.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::files::{beside, remove_if_there, sync_folder};

fn mark(database: &Path) -> PathBuf {
    beside(database, ".suspect")
}

/// Best effort: the disk that failed may not take the mark either.
pub(super) fn raise(database: &Path) {
    if is_raised(database) {
        return;
    }
    if let Err(error) = File::create(mark(database)) {
        tracing::warn!(%error, "the mark for a check at the next start could not be written");
    }
}

/// Nothing is left to check: the next start sets the file aside for this reason.
pub(super) fn condemn(database: &Path, why: &str) {
    let written = std::fs::write(mark(database), why)
        .and_then(|()| File::open(mark(database))?.sync_all())
        .and_then(|()| sync_folder(database));
    if let Err(error) = written {
        tracing::warn!(%error, "the mark that sets the file aside at the next start could not be written");
    }
}

pub(super) fn is_raised(database: &Path) -> bool {
    mark(database).exists()
}

/// Why the file is condemned, if it is.
pub(super) fn verdict(database: &Path) -> Option<String> {
    std::fs::read_to_string(mark(database)).ok().filter(|why| !why.is_empty())
}

pub(super) fn lift(database: &Path) {
    if let Err(error) = remove_if_there(&mark(database)) {
        tracing::warn!(%error, "the mark for a check at this start could not be removed");
    }
}
