//! Opening the database: refusing what must not be touched, creating what is not there, bringing
//! up what is old, and setting aside what is damaged.
//!
//! A new file is built under another name and renamed when it is whole, so a file under the right
//! name is never half made.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};

use super::desk::{Desk, Told};
use super::files::{beside, create_private, remove_if_there, sync_folder};
use super::migrations::{self, APPLICATION_ID, MIGRATIONS};
use super::tally::Tally;
use super::trouble::{damaged, is_damage};
use super::wal::{self, Log};
use super::{Settings, clockwork, disk, outbox, recover, rescue, salvage, seal, suspicion};
use crate::clock::Clock;
use crate::model::{Durability, Epoch};

/// How long a lock of another process is waited for.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// A version beyond this one that differs from ours by one bit is a changed bit, not a newer file.
const LIKELY: i64 = 1000;

/// Prepared statements kept by each connection.
const STATEMENTS: usize = 64;

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A newer holdline wrote it. Nothing was changed.
    #[error(
        "{path} has database version {found}, this holdline knows up to {ours}: run the newer holdline, or \
         set store.path to another file"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest one known here.
        ours: i64,
    },
    /// It is a database, but not one of ours. Nothing was changed.
    #[error("{path} is a database of another program: set store.path to another file")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file system cannot do what a write-ahead log needs (shared memory, locks).
    #[error(
        "the file system of {path} cannot hold the database ({detail}): set store.path to a local disk, not \
         a network or FUSE folder"
    )]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What did not work.
        detail: String,
    },
    /// Reading or writing failed.
    #[error("the database {path} cannot be opened: {detail}")]
    Storage {
        /// The file.
        path: PathBuf,
        /// What failed.
        detail: String,
    },
}

impl OpenError {
    /// The exit code of a daemon that ends for this: 78 where a person must change something,
    /// 74 where the storage failed.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Newer { .. } | Self::Foreign { .. } | Self::Unsupported { .. } => 78,
            Self::Storage { .. } => 74,
        }
    }

    pub(super) fn storage(path: &Path, detail: impl std::fmt::Display) -> Self {
        Self::Storage { path: path.to_owned(), detail: detail.to_string() }
    }
}

/// Why opening stopped.
#[derive(Debug)]
pub(super) enum Stop {
    /// The content is damaged, in these words.
    Damaged(String),
    /// It is not to be used.
    Refused(OpenError),
}

impl From<OpenError> for Stop {
    fn from(error: OpenError) -> Self {
        Self::Refused(error)
    }
}

fn weigh(path: &Path, error: &rusqlite::Error) -> Stop {
    use rusqlite::ErrorCode::Unknown;
    use rusqlite::ffi::{
        SQLITE_IOERR_SHMLOCK, SQLITE_IOERR_SHMMAP, SQLITE_IOERR_SHMOPEN, SQLITE_IOERR_SHMSIZE,
    };
    match error.sqlite_error() {
        // A schema, a row or a value that a sound file of ours has.
        None => Stop::Damaged(error.to_string()),
        Some(_) if is_damage(error) => Stop::Damaged(error.to_string()),
        Some(sqlite) if sqlite.code == Unknown => Stop::Damaged(error.to_string()),
        Some(sqlite)
            if [SQLITE_IOERR_SHMLOCK, SQLITE_IOERR_SHMMAP, SQLITE_IOERR_SHMOPEN, SQLITE_IOERR_SHMSIZE]
                .contains(&sqlite.extended_code) =>
        {
            OpenError::Unsupported { path: path.to_owned(), detail: error.to_string() }.into()
        }
        Some(_) => OpenError::storage(path, error).into(),
    }
}

/// What [`open`] found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) desk: Desk,
    pub(super) reader: Connection,
    pub(super) epoch: Epoch,
    pub(super) wal_pages: Arc<AtomicI32>,
    /// The last process did not close it.
    pub(super) unclean: bool,
    pub(super) notes: Vec<String>,
}

/// Opens the database of `settings`, whatever state it is in.
pub(super) fn open(settings: Settings, clock: Clock) -> Result<Found, OpenError> {
    let path = settings.path.clone();
    let mut notes = Vec::new();
    if let Some(kind) = disk::network_file_system(&path) {
        return Err(OpenError::Unsupported {
            path,
            detail: format!("it is {kind}, which other machines share"),
        });
    }
    if salvage::is_unfinished(&path) {
        notes.push(salvage::salvage(&settings, clock, "setting it aside was interrupted")?);
    }
    if rescue::is_waiting(&path) {
        rescue::bring_back(&path)?;
        notes.push("the database file was removed while it was open; what it held is kept".to_owned());
    }
    notes.extend(look_at_log(&settings, clock)?);
    if path.exists() && rescue::log_is_missing(&path) {
        notes.push(salvage::salvage(&settings, clock, "its log, which held the newest of it, is gone")?);
    }
    if !path.exists() {
        // A log without its database would be played into the new one.
        if beside(&path, "-wal").exists() {
            notes.push(salvage::salvage(&settings, clock, "the file is gone, its log is not")?);
        } else {
            create(&path, clock)?;
        }
    }
    let unclean = std::fs::metadata(beside(&path, "-wal")).is_ok_and(|wal| wal.len() > 0);
    let mut found = match open_sound(&settings, clock, MIGRATIONS) {
        Ok(found) => found,
        Err(Stop::Refused(error)) => return Err(error),
        Err(Stop::Damaged(detail)) => {
            notes.push(salvage::salvage(&settings, clock, &detail)?);
            open_sound(&settings, clock, MIGRATIONS).map_err(|stop| match stop {
                Stop::Refused(error) => error,
                Stop::Damaged(detail) => OpenError::storage(&path, detail),
            })?
        }
    };
    suspicion::lift(&path);
    found.unclean = unclean;
    notes.append(&mut found.notes);
    found.notes = notes;
    Ok(found)
}

/// Sees that no commit of the log would be let go of in silence.
fn look_at_log(settings: &Settings, clock: Clock) -> Result<Option<String>, OpenError> {
    let path = &settings.path;
    if !path.exists() {
        return Ok(None);
    }
    let log = wal::look(&beside(path, "-wal")).map_err(|error| OpenError::storage(path, error))?;
    match log {
        Log::Whole => Ok(None),
        // With `normal` a power cut may take any number of commits; a receipt says so.
        Log::Broken(_) | Log::Cut if settings.durability != Durability::Full => Ok(None),
        Log::Cut => Ok(Some(
            "the last commit in the database's log was not whole, as after a power cut; everything before it is \
             there"
                .to_owned(),
        )),
        Log::Broken(commits) => {
            let why = format!("its log is broken, with {commits} commits behind the break");
            salvage::salvage(settings, clock, &why).map(Some)
        }
    }
}

/// Opens a file that must be sound.
pub(super) fn open_sound(settings: &Settings, clock: Clock, migrations: &[&str]) -> Result<Found, Stop> {
    let path = &settings.path;
    check_header(path)?;
    let opened = Connection::open_with_flags(path, write_flags()).map_err(|error| weigh(path, &error))?;
    let mut conn = opened;
    let mut notes = Vec::new();
    (|| -> Result<(), Stop> {
        let weigh = |error: rusqlite::Error| weigh(path, &error);
        conn.busy_timeout(LOCK_WAIT).map_err(weigh)?;
        // Should it be refused below, closing must not write the log back into it.
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(weigh)?;
        seal::teach(&conn).map_err(weigh)?;
        let version: i64 = pragma(&conn, "user_version").map_err(weigh)?;
        let ours = migrations::version_of(migrations);
        let mark = pragma(&conn, "application_id").map_err(weigh)?;
        if mark != APPLICATION_ID {
            return Err(match (mark ^ APPLICATION_ID).count_ones() {
                1 => Stop::Damaged("its header is not what was written".to_owned()),
                _ => OpenError::Foreign { path: path.clone() }.into(),
            });
        }
        if version > LIKELY && (version ^ ours).count_ones() == 1 {
            return Err(Stop::Damaged(format!("its header names version {version}")));
        }
        if version > ours {
            return Err(OpenError::Newer { path: path.clone(), found: version, ours }.into());
        }
        if let Some(why) = suspicion::verdict(path) {
            return Err(Stop::Damaged(why));
        }
        if suspicion::is_raised(path) {
            let said: String =
                conn.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(weigh)?;
            if said != "ok" {
                return Err(Stop::Damaged(said));
            }
        }
        write_ahead(&conn, path)?;
        set_up_writer(&conn, settings.durability).map_err(weigh)?;
        if version < ours {
            let copy = migrations::back_up(&conn, path, version).map_err(weigh)?;
            migrations::apply(&mut conn, version, migrations).map_err(weigh)?;
            notes.push(format!(
                "the database was brought from version {version} to {ours}; the old one is {}",
                copy.display()
            ));
        }
        Ok(())
    })()?;

    let wal_pages = Arc::new(AtomicI32::new(0));
    let pages = wal_pages.clone();
    conn.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, count| {
        pages.store(count, Ordering::Relaxed);
        Ok(())
    }))
    .map_err(|error| weigh(path, &error))?;

    if migrations.len() == MIGRATIONS.len() {
        check_shape(&conn).map_err(|error| weigh(path, &error))?;
    }
    let (desk, epoch) = load(conn, settings, clock).map_err(|error| weigh(path, &error))?;
    notes.extend(seal::weed(&desk.conn, desk.tally.first_seq).map_err(|error| weigh(path, &error))?);
    let reader = open_reader(path).map_err(|error| weigh(path, &error))?;
    desk.conn
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)
        .map_err(|error| weigh(path, &error))?;
    Ok(Found { desk, reader, epoch, wal_pages, unclean: false, notes })
}

fn load(conn: Connection, settings: &Settings, clock: Clock) -> rusqlite::Result<(Desk, Epoch)> {
    let (epoch, sound): (String, bool) = conn.query_row(
        "SELECT value, seal IS NULL OR seal = seal(name, value) FROM facts WHERE name = 'epoch'",
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    if !sound {
        return Err(damaged("its epoch is not what was written"));
    }
    let tally = Tally::load(&conn)?;
    conn.execute_batch("BEGIN IMMEDIATE")?;
    let before = conn.total_changes();
    let (clock, mark) = clockwork::take_over(&conn, clock)?;
    let mut desk = Desk {
        conn,
        tally,
        on_wire: std::collections::HashSet::new(),
        maybe_sent: 0,
        fresh: super::fresh::Fresh::default(),
        ends: None,
        resume: std::collections::BTreeMap::new(),
        windows: super::dedupe::Windows::of(&settings.server_key),
        retention: super::retention::Progress::default(),
        settings: settings.clone(),
        clock,
        now: clock.now(),
        ids: super::ids::Ids::default(),
        mark,
        ages_from: clock.instant() + settings.ages_after,
        told: Told::default(),
    };
    recover::recover(&mut desk)?;
    outbox::settle_low(&mut desk)?;
    let changed = desk.conn.total_changes() > before;
    if changed {
        desk.tally.save(&desk.conn)?;
    }
    desk.conn.execute_batch(if changed { "COMMIT" } else { "ROLLBACK" })?;
    // Nobody has heard of any row yet.
    desk.told = Told::default();
    Ok((desk, Epoch(epoch.into())))
}

/// Sees that tables and indexes are the ones that a file of ours has.
fn check_shape(conn: &Connection) -> rusqlite::Result<()> {
    let shape = |conn: &Connection| -> rusqlite::Result<Vec<(String, String, Option<String>)>> {
        conn.prepare("SELECT name, tbl_name, sql FROM sqlite_schema ORDER BY name")?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect()
    };
    let mut sound = Connection::open_in_memory()?;
    migrations::apply(&mut sound, 0, MIGRATIONS)?;
    let found = shape(conn)?;
    // More than that (somebody's own index, SQLite's statistics) does no harm.
    if shape(&sound)?.iter().all(|part| found.contains(part)) {
        return Ok(());
    }
    Err(damaged("its tables are not those of a database of ours"))
}

/// The first bytes of every database (the file format's own magic, and a whole header).
fn check_header(path: &Path) -> Result<(), Stop> {
    const HEADER: usize = 100;
    let mut header = Vec::with_capacity(HEADER);
    std::fs::File::open(path)
        .and_then(|file| file.take(HEADER as u64).read_to_end(&mut header))
        .map_err(|error| OpenError::storage(path, error))?;
    if header.len() < HEADER || !header.starts_with(b"SQLite format 3\0") {
        return Err(Stop::Damaged("its header is not that of a database".to_owned()));
    }
    // Both say that there is a write-ahead log. With others SQLite would only read the file.
    let versions = [header[18], header[19]];
    if versions != [2, 2] && versions.iter().any(|version| *version != 1) {
        return Err(Stop::Damaged("its header names another way of writing".to_owned()));
    }
    Ok(())
}

/// Creates an empty database under its name, whole or not at all.
pub(super) fn create(path: &Path, clock: Clock) -> Result<(), OpenError> {
    let unfinished = beside(path, ".new");
    build(&unfinished, clock).map_err(|stop| match stop {
        Stop::Refused(error) => error,
        Stop::Damaged(detail) => OpenError::storage(path, detail),
    })?;
    put_in_place(&unfinished, path)
}

/// Moves a finished file under its name.
pub(super) fn put_in_place(unfinished: &Path, path: &Path) -> Result<(), OpenError> {
    std::fs::rename(unfinished, path)
        .and_then(|()| sync_folder(path))
        .map_err(|error| OpenError::storage(path, error))
}

/// Builds an empty database at `path`, closed and synced.
pub(super) fn build(path: &Path, clock: Clock) -> Result<(), Stop> {
    for leftover in [path.to_owned(), beside(path, "-wal"), beside(path, "-shm"), beside(path, "-journal")] {
        remove_if_there(&leftover).map_err(|error| OpenError::storage(path, error))?;
    }
    create_private(path).map_err(|error| OpenError::storage(path, error))?;
    let weigh = |error: rusqlite::Error| weigh(path, &error);
    let mut conn = Connection::open_with_flags(path, write_flags()).map_err(weigh)?;
    // Only before the first table can this be chosen.
    conn.pragma_update(None, "auto_vacuum", "INCREMENTAL").map_err(weigh)?;
    write_ahead(&conn, path)?;
    set_up_writer(&conn, Durability::Full).map_err(weigh)?;
    migrations::apply(&mut conn, 0, MIGRATIONS).map_err(weigh)?;
    conn.execute(
        "INSERT INTO facts (name, value, seal) VALUES ('epoch', ?1, seal('epoch', ?1))",
        [clock.uuid().hyphenated().to_string()],
    )
    .map_err(weigh)?;
    Tally { low_place: 1, ..Tally::default() }.save(&conn).map_err(weigh)?;
    close_whole(conn).map_err(weigh)
}

/// Closes a database whose file is to stand alone: all of the log is in it. Closing alone would try
/// that too, but it does not say when it failed.
pub(super) fn close_whole(conn: Connection) -> rusqlite::Result<()> {
    let busy: i64 = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    if busy != 0 {
        return Err(damaged("its log could not be written back"));
    }
    conn.close().map_err(|(_, error)| error)
}

/// Sees that there is a write-ahead log. (A copy that somebody made of a database may have none.)
fn write_ahead(conn: &Connection, path: &Path) -> Result<(), Stop> {
    let mode: String = conn
        .query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))
        .map_err(|error| weigh(path, &error))?;
    if mode == "wal" {
        return Ok(());
    }
    let detail = format!("it offers journal mode {mode}, not wal");
    Err(OpenError::Unsupported { path: path.to_owned(), detail }.into())
}

fn write_flags() -> OpenFlags {
    OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX
}

fn pragma(conn: &Connection, name: &str) -> rusqlite::Result<i64> {
    Ok(conn.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0)).optional()?.unwrap_or(0))
}

fn set_up_writer(conn: &Connection, durability: Durability) -> rusqlite::Result<()> {
    let synchronous = match durability {
        Durability::Full => "FULL",
        Durability::Normal | Durability::None => "NORMAL",
    };
    conn.pragma_update(None, "synchronous", synchronous)?;
    if cfg!(target_os = "macos") {
        conn.pragma_update(None, "fullfsync", true)?;
        conn.pragma_update(None, "checkpoint_fullfsync", true)?;
    }
    // The writer does it itself, where it can see a failed sync.
    conn.query_row("PRAGMA wal_autocheckpoint = 0", [], |_| Ok(()))?;
    // The log keeps its size: writing over it is quicker than growing it.
    conn.query_row("PRAGMA journal_size_limit = -1", [], |_| Ok(()))?;
    set_up(conn, 2048)
}

pub(super) fn set_up(conn: &Connection, cache_kib: i64) -> rusqlite::Result<()> {
    conn.busy_timeout(LOCK_WAIT)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    // One plan for a statement, whatever is bound to it: else some are compiled anew at every use.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    conn.pragma_update(None, "cache_size", -cache_kib)?;
    conn.query_row("PRAGMA mmap_size = 0", [], |_| Ok(())).optional()?;
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    conn.pragma_update(None, "trusted_schema", false)?;
    conn.pragma_update(None, "cell_size_check", true)
}

pub(super) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    set_up(&conn, 1024)?;
    Ok(conn)
}
