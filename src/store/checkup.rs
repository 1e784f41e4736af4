//! A look through the whole file for damage, on a connection of its own so that nobody waits.
//!
//! Two kinds are told apart. Damage to the *structure* (a page that is not what it should be) ends
//! all trust: the file is to be set aside. Damage to a *row* (its checksum does not fit) costs
//! that row alone: it is never passed on, and told wherever it would have stood.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::inbox;
use super::outbox_row::{DAMAGED, OutRow, columns};
use crate::model::{MessageState, Place, Timestamp};

/// Sentences about damaged structure at most.
const SENTENCES: usize = 20;

/// Damaged messages put aside by one look at most; the next one goes on.
const MENDED: usize = 10_000;

/// What a look through the file found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkup {
    /// When it ended.
    pub at: Timestamp,
    /// Whether indexes were compared with their tables too.
    pub full: bool,
    /// Damage to the structure of the file, in SQLite's words; empty where all is well.
    pub problems: Vec<String>,
    /// Messages whose rows are not what was written.
    pub damaged_messages: u64,
    /// Events whose rows are not what was written; on replay each is a gap.
    pub damaged_events: u64,
}

impl Checkup {
    /// Whether nothing at all was found.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        self.problems.is_empty() && self.damaged_messages == 0 && self.damaged_events == 0
    }
}

/// What a look found, and which messages are still to be put aside for it.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) checkup: Checkup,
    pub(super) to_mend: Vec<Place>,
}

/// Reads all of it. `now` is only noted.
pub(super) fn look_through(path: &Path, full: bool, now: Timestamp) -> rusqlite::Result<Look> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    super::open::set_up(&conn, 1024)?;
    let mut checkup = Checkup { at: now, full, problems: Vec::new(), damaged_messages: 0, damaged_events: 0 };
    let pragma = if full { "integrity_check" } else { "quick_check" };
    let said: Vec<String> = conn
        .prepare(&format!("PRAGMA {pragma}({SENTENCES})"))?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let mut to_mend = Vec::new();
    if said != ["ok"] {
        checkup.problems = said;
        return Ok(Look { checkup, to_mend });
    }
    let mut statement = conn.prepare(concat!("SELECT ", columns!(), " FROM outbox"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let row = OutRow::read(row)?;
        if row.damaged {
            checkup.damaged_messages += 1;
            let told = row.state == MessageState::Parked && row.reason.as_deref() == Some(DAMAGED);
            let given_up = row.state == MessageState::Dropped;
            if !told && !given_up && to_mend.len() < MENDED {
                to_mend.push(Place(row.place));
            }
        }
    }
    let mut statement = conn.prepare(concat!("SELECT ", inbox::event_columns!(), " FROM inbox"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        checkup.damaged_events += u64::from(!inbox::is_sound(row)?);
    }
    Ok(Look { checkup, to_mend })
}
