//! What survives: the outbox, the inbox, cursors, quarantine, link history. SQLite in WAL mode.
//!
//! One writer thread owns the only writing connection. It takes what has gathered in its two
//! inboxes (the engine's first), carries it out in one transaction, commits, and only then
//! answers. A reader thread answers questions from a connection of its own. After a failed sync
//! nothing is trusted: calls fail and [`StoreEvent::Fatal`] ends the daemon with exit 74.

//!
//! # Invariants
//! - No answer and no event leaves before its commit; nothing of a rolled-back batch is ever seen.
//! - A statement that fails refuses its caller alone; anything else fails all callers in the batch.
//!   The engine's records are never refused: after a full disk they are done again.
//! - Numbers and places are handed out in memory, with the highest one in the same commit.
//! - Nothing is ever counted: the numbers of `status` stand in one row, written in every commit.
//! - A damaged file is set aside, never overwritten or deleted.

mod batch;
mod care;
mod checkpoint;
mod checkup;
mod clockwork;
mod codes;
mod commits;
mod cursors;
mod dedupe;
mod deeds;
mod desk;
mod disk;
mod due;
mod ends;
mod files;
mod fresh;
mod glance;
mod handle;
mod hop;
mod ids;
mod inbox;
mod memory;
mod migrations;
mod open;
mod outbox;
mod outbox_row;
mod pulse;
mod quarantine;
mod reader;
mod recover;
mod request;
mod rescue;
mod retention;
mod salvage;
mod seal;
mod suspicion;
mod tally;
#[cfg(test)]
mod tests;
mod transaction;
mod trouble;
mod wal;
mod wreck;
mod writer;

pub use care::Probe;
pub use checkup::Checkup;
pub use commits::Commits;
pub use disk::FLOOR;
pub use glance::{Content, Glance, Ground, glance, ground};
pub use handle::{CLOSE_WAIT, Opened, Slot, Store};
pub use open::OpenError;
use open::Stop;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::model::{
    Due, DueRow, Durability, EventRow, Message, MessageId, MessageState, Place, QuarantineEntry, Recorded,
    Seq, Timestamp, TypeGlob,
};

/// What the store needs of the configuration.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The database file. Its folder exists, is ours and 0700.
    pub path: PathBuf,
    /// `[store] durability`: `Full` or `Normal`.
    pub durability: Durability,
    /// Names the server for cursors and kept names: URL without query, and dialect.
    pub server_key: String,
    /// `[outbox]`.
    pub outbox: OutboxSettings,
    /// `[inbox]`.
    pub inbox: InboxSettings,
    /// How long after the start ages begin to take rows away: by then a clock that is wrong at boot
    /// is set.
    pub ages_after: Duration,
}

/// `[outbox]`, as far as the store needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxSettings {
    /// Unfinished rows at most.
    pub max_messages: u64,
    /// Bytes of unfinished rows at most.
    pub max_bytes: u64,
    /// `overflow = "drop_oldest"`.
    pub drop_oldest: bool,
    /// Finished rows kept.
    pub keep_finished: u64,
    /// And for how long.
    pub keep_finished_age: Duration,
}

/// `[inbox]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxSettings {
    /// Events kept.
    pub max_events: u64,
    /// For how long.
    pub max_age: Duration,
    /// Bytes kept.
    pub max_bytes: u64,
}

/// What the writer tells the engine, over one bounded channel, always after the commit.
#[derive(Debug)]
pub enum StoreEvent {
    /// Rows were queued, in order of their places.
    Queued {
        /// The highest place before these.
        previous: Place,
        /// The rows (empty rows with a new `previous` are legal: "there is more, ask").
        rows: Vec<DueRow>,
    },
    /// A queued `latest` row ended as superseded: `row` now has its place.
    Superseded {
        /// Which id ended.
        old: MessageId,
        /// What stands there now.
        row: DueRow,
    },
    /// Rows that went back into the queue by `retry`.
    Requeued(Vec<DueRow>),
    /// Rows that ended without the session, with their new state: expired, cancelled, dropped.
    Gone(Vec<(Place, MessageId, MessageState, Option<String>)>),
    /// Answers to records, by ticket, in order.
    Recorded(Vec<(u64, Recorded)>),
    /// Answer to a load of due rows.
    Due(Due),
    /// The disk takes nothing now (full, read-only, locked), in these words: apps are refused, the
    /// engine's records wait and are tried again every second. None: it goes on.
    Stalled(Option<String>),
    /// The disk has less room than [`FLOOR`], in these words: sends are refused and nothing more
    /// is to be read; what is under way goes on. None: there is room again.
    Low(Option<String>),
    /// The database cannot be trusted any more: end with exit 74.
    Fatal(String),
}

/// What an insert came to, after its commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inserted {
    /// The id, given or made.
    pub id: MessageId,
    /// The state now; for a duplicate the present one, as far as the store knows it.
    pub state: MessageState,
    /// Same id, same body, seen before.
    pub duplicate: bool,
}

/// Numbers the store keeps in one row, updated in each commit: nothing is ever counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// Unfinished rows, those waiting for a person included.
    pub unfinished: u64,
    /// Of them waiting for a person after failures.
    pub parked: u64,
    /// Of them waiting for a person because their fate is unknown.
    pub uncertain: u64,
    /// Bytes of unfinished rows.
    pub outbox_bytes: u64,
    /// Messages that ended well, ever.
    pub confirmed_total: u64,
    /// Messages dropped, ever.
    pub dropped_total: u64,
    /// Kept events (rows of kind event).
    pub events: u64,
    /// Bytes of kept rows.
    pub inbox_bytes: u64,
    /// Frames in quarantine.
    pub quarantined: u64,
    /// Events seen twice, ever.
    pub duplicates_total: u64,
    /// First kept number.
    pub first_seq: Option<Seq>,
    /// Last number handed out and committed.
    pub last_seq: Option<Seq>,
    /// Receipt time of the oldest unfinished row, as far as it is known without a search.
    pub oldest_queued_at: Option<Timestamp>,
    /// Size of the database's files.
    pub file_bytes: u64,
    /// How the commits of this run went.
    pub commits: Commits,
}

/// The writer's inbox is full: what was to be handed in comes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Full<T>(pub T);

/// A message and where it stands.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Its place, for paging and for finding what the session knows of it.
    pub place: Place,
    /// The message, with the part of its history that is on disk.
    pub message: Message,
}

/// Which messages to list.
#[derive(Debug, Clone, Default)]
pub struct MessageQuery {
    /// Only these states; empty: all.
    pub states: Vec<MessageState>,
    /// Only these types (any of them); empty: all.
    pub types: Vec<TypeGlob>,
    /// Only places behind this one.
    pub after: Place,
    /// At most so many.
    pub limit: usize,
}

/// A page of messages, by place.
#[derive(Debug, Clone, Default)]
pub struct MessagePage {
    /// Messages that fit.
    pub rows: Vec<Stored>,
    /// `after` of the next page: the last place looked at. A page may be empty and have a next
    /// one, where a filter fits little.
    pub next: Place,
    /// Whether there is more behind it.
    pub more: bool,
}

/// A page of newest values, by key.
#[derive(Debug, Clone, Default)]
pub struct StatePage {
    /// Keys and their newest events.
    pub rows: Vec<(String, Arc<EventRow>)>,
    /// Whether there are more keys behind the last one.
    pub more: bool,
}

/// A page of quarantined frames, oldest first.
#[derive(Debug, Clone, Default)]
pub struct QuarantinePage {
    /// The entries.
    pub entries: Vec<QuarantineEntry>,
    /// Whether there are more behind the last one.
    pub more: bool,
}

/// A durable cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// Its name.
    pub name: String,
    /// Acknowledged through here.
    pub seq: Seq,
    /// When an app last read with it.
    pub last_seen: Option<Timestamp>,
}

/// A page of the event sequence, oldest first.
#[derive(Debug, Clone, Default)]
pub struct EventPage {
    /// Rows, by number. Gap rows and bad rows are in it as rows.
    pub rows: Vec<Arc<EventRow>>,
    /// Where to go on: the number behind the last row looked at.
    pub next: Seq,
    /// Whether there is more behind it now.
    pub more: bool,
    /// First kept and last given number when it was read.
    pub first_seq: Option<Seq>,
    /// See `first_seq`.
    pub last_seq: Option<Seq>,
    /// The page began before what is kept: these numbers were pruned.
    pub pruned: Option<(Seq, Seq)>,
}

/// Which events to read.
#[derive(Debug, Clone)]
pub struct EventQuery {
    /// First number of interest.
    pub from: Seq,
    /// Only these types (any of them); empty: all. Gap and bad rows always come.
    pub types: Vec<TypeGlob>,
    /// At most so many rows …
    pub limit: usize,
    /// … and bytes (one row always fits).
    pub bytes: usize,
}
