//! Files that vanish while they are open, and what is saved of them.
//!
//! A file without a name lives as long as somebody has it open, and its content with it. So what
//! had a receipt is written out once more, whole, before the process ends: where the name is free
//! it stands under its own name again, else beside it. And a log that is missing at a start is told
//! from one that was written back: a run that has something in its log says so beside it.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::disk::Fate;
use super::files::{Folder, beside, create_private, remove_if_there, sync_folder};
use super::open::put_in_place;
use super::{OpenError, migrations, suspicion};
use crate::clock::Clock;

/// The copy that takes the place of a database that is gone.
fn copy(database: &Path) -> PathBuf {
    beside(database, ".rescued")
}

/// Says that the log holds something that the database does not.
fn mark(database: &Path) -> PathBuf {
    beside(database, ".in-use")
}

/// The first commit of this run is in the log. To be called after it, so that even after a power
/// cut there is no mark without a log. Whether the mark stands: where it does not (no descriptor is
/// left, say), it is worth another try after the next commit.
///
/// # Errors
/// When the log's name could not be made to last. (SQLite tries too, but does not look whether it
/// worked, and a log that nobody finds is worth nothing.)
pub(super) fn log_is_in_use(folder: &Folder, database: &Path) -> std::io::Result<bool> {
    folder.sync()?;
    if !mark(database).exists()
        && let Err(error) = create_private(&mark(database))
    {
        tracing::debug!(%error, "the mark beside the log could not be written");
        return Ok(false);
    }
    Ok(true)
}

/// All of the log is about to be written back.
pub(super) fn log_is_written_back(database: &Path) {
    let removed = remove_if_there(&mark(database)).and_then(|()| sync_folder(database));
    if let Err(error) = removed {
        tracing::warn!(%error, "the mark beside the log could not be removed");
    }
}

/// Whether the last run left something in a log that is not there any more.
pub(super) fn log_is_missing(database: &Path) -> bool {
    const HEADER: u64 = 32;
    mark(database).exists()
        && std::fs::metadata(beside(database, "-wal")).map_or(true, |log| log.len() < HEADER)
}

/// Saves what the open connection still sees. Says what came of it.
pub(super) fn save(conn: &Connection, database: &Path, fate: Fate, clock: Clock) -> String {
    let saved = match fate {
        Fate::LogGone => write_back(conn, database),
        Fate::LogCut => {
            suspicion::condemn(database, fate.text());
            Ok("the next start sets the file aside and keeps what can be read".to_owned())
        }
        Fate::DatabaseGone => write_out(conn, database).and_then(|()| {
            bring_back(database).map_err(|error| error.to_string())?;
            Ok("all that had a receipt was written out again under its name".to_owned())
        }),
        Fate::DatabaseReplaced => write_out(conn, database).and_then(|()| {
            let stamp = clock.now().wall.to_jiff().strftime("%Y%m%dT%H%M%SZ").to_string();
            let kept = beside(database, &format!(".rescued-{stamp}"));
            std::fs::rename(copy(database), &kept).map_err(|error| error.to_string())?;
            // Played into the other file the log would spoil it.
            remove_log(database).map_err(|error| error.to_string())?;
            Ok(format!("all that the old one held was written to {}", kept.display()))
        }),
    };
    let outcome = match saved {
        Ok(saved) => saved,
        Err(error) => format!("what it held could not be saved: {error}"),
    };
    format!("{}; {outcome}", fate.text())
}

/// The log lives on without a name: all of it goes into the database.
fn write_back(conn: &Connection, database: &Path) -> Result<String, String> {
    let (busy, pages, written): (i64, i64, i64) = conn
        .query_row("PRAGMA wal_checkpoint(FULL)", [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .map_err(|error| error.to_string())?;
    if busy != 0 || pages != written {
        return Err("the log could not be written back".to_owned());
    }
    log_is_written_back(database);
    Ok("what it held was written into the database".to_owned())
}

fn write_out(conn: &Connection, database: &Path) -> Result<(), String> {
    migrations::copy_to(conn, &copy(database)).map_err(|error| error.to_string())
}

fn remove_log(database: &Path) -> std::io::Result<()> {
    for suffix in ["-wal", "-shm", ".in-use"] {
        remove_if_there(&beside(database, suffix))?;
    }
    sync_folder(database)
}

/// Puts a copy that was written out under the database's name, where nothing stands.
pub(super) fn bring_back(database: &Path) -> Result<(), OpenError> {
    // Its content is in the copy; beside the copy it would be played into it.
    remove_log(database).map_err(|error| OpenError::storage(database, error))?;
    put_in_place(&copy(database), database)
}

/// Files beside the database that people may look at and delete: damaged ones that were set aside,
/// and copies of ones that were replaced. With their sizes.
pub(super) fn left_for_people(database: &Path) -> Vec<(PathBuf, u64)> {
    let name = database.file_name().unwrap_or_default().to_string_lossy();
    let ours = [format!("{name}.corrupt-"), format!("{name}.rescued-")];
    let folder = database.parent().and_then(|folder| folder.read_dir().ok());
    let mut found: Vec<_> = folder
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| ours.iter().any(|begin| entry.file_name().to_string_lossy().starts_with(begin)))
        .map(|entry| (entry.path(), entry.metadata().map_or(0, |file| file.len())))
        .collect();
    found.sort();
    found
}

/// Whether a copy waits to be put in the place of a database that is gone.
pub(super) fn is_waiting(database: &Path) -> bool {
    !database.exists() && copy(database).exists()
}
