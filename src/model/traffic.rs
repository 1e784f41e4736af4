//! What travels between the session and the store: rows that are due, and what is to be recorded.

use std::sync::Arc;
use std::time::Duration;

use super::{
    Confirm, Delivery, EventRow, Frame, GapReason, MessageId, MessageState, Payload, Place, Resend, Seq,
    Timestamp, Transition,
};

/// A message as an app handed it in, resolved by the type rules: what the store inserts.
#[derive(Debug, Clone)]
pub struct NewMessage {
    /// The app's id; none: one is made.
    pub id: Option<MessageId>,
    /// Its type.
    pub kind: Arc<str>,
    /// Its lane; `default` where nothing names one.
    pub lane: Arc<str>,
    /// Its key.
    pub key: Option<Arc<str>>,
    /// `Durable` or `Latest`; ephemeral ones never get here.
    pub delivery: Delivery,
    /// What confirms it, stamped now.
    pub confirm: Confirm,
    /// What a lost link does to it, stamped now.
    pub resend: Resend,
    /// Its TTL.
    pub ttl: Option<Duration>,
    /// Its body; JSON is compact.
    pub payload: Payload,
}

/// A queued row as the session needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueRow {
    /// Its place in the queue.
    pub place: Place,
    /// Its id.
    pub id: MessageId,
    /// Its type.
    pub kind: Arc<str>,
    /// Its lane.
    pub lane: Arc<str>,
    /// Its key.
    pub key: Option<Arc<str>>,
    /// Its class.
    pub delivery: Delivery,
    /// What confirms it.
    pub confirm: Confirm,
    /// What a lost link does to it.
    pub resend: Resend,
    /// Attempts that count so far (semantics of `max_attempts`).
    pub attempts: u32,
    /// Deaths of a connection it was alone on.
    pub strikes: u32,
    /// When its receipt was given.
    pub queued_at: Timestamp,
    /// When its TTL ends, on the steady clock.
    pub expires_at: Option<Timestamp>,
    /// It was on the wire before: a lost confirmation may be why it is here again.
    pub was_sent: bool,
    /// Its body.
    pub payload: Payload,
}

/// Which queued rows to load, in the order of their places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueQuery {
    /// Only places behind this one.
    pub after: Place,
    /// Only this lane; none: all but `skip`.
    pub lane: Option<Arc<str>>,
    /// Not these lanes.
    pub skip: Vec<Arc<str>>,
    /// At most this many rows …
    pub limit: usize,
    /// … and this many bytes of bodies (one row always fits).
    pub bytes: usize,
}

/// What a [`DueQuery`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The question.
    pub query: DueQuery,
    /// Queued rows, by place.
    pub rows: Vec<DueRow>,
    /// There was nothing further behind the last row when it was asked.
    pub end: bool,
}

/// One row to be appended to the event sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewRow {
    /// An event.
    Event {
        /// The server's stream it belongs to, `""` where there is one only.
        stream: Arc<str>,
        /// The server's id, for dropping what comes twice within the stream.
        id: Option<String>,
        /// Its type.
        kind: String,
        /// Its body.
        payload: Payload,
        /// `Durable` or `Latest` (ephemeral ones are never stored). The dialect leaves it
        /// `Durable`, the session sets it by the type rules.
        delivery: Delivery,
        /// Its key by the type rules; `""` where a keyed type carries none.
        key: Option<String>,
    },
    /// Something is missing here.
    Gap {
        /// Why.
        reason: GapReason,
        /// For people.
        detail: String,
    },
    /// A frame that could not be read.
    Bad {
        /// One word.
        reason: &'static str,
        /// A sentence.
        detail: String,
        /// The frame as it came.
        frame: Frame,
    },
    /// An event whose body does not fit the schema of its type. The session puts it in the place
    /// of the event.
    Misfit {
        /// As of an event.
        stream: Arc<str>,
        /// As of an event.
        id: Option<String>,
        /// As of an event.
        kind: String,
        /// As of an event.
        payload: Payload,
        /// What does not fit.
        detail: String,
    },
}

/// Begins the name under which a stopped lane is remembered; the value is the place of the message
/// that a person is to deal with. That message is kept until then.
pub const STOPPED_LANE: &str = "stopped_lane ";

/// The word for events that do not fit their schema.
pub const MISFIT: &str = "schema";

/// What stands in quarantine, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Its number.
    pub id: Seq,
    /// What it is.
    pub body: HeldBody,
}

/// See [`Held`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeldBody {
    /// A frame that could not be read.
    Frame(Frame),
    /// An event that was read, and does not fit.
    Event {
        /// As of an event.
        stream: Arc<str>,
        /// As of an event.
        id: Option<String>,
        /// As of an event.
        kind: String,
        /// As of an event.
        payload: Payload,
    },
}

/// What a second look at [`Held`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judged {
    /// It can be kept as these rows; at least one is an event.
    Fits(Vec<NewRow>),
    /// It stays where it is, for this reason now.
    Stays {
        /// One word.
        reason: &'static str,
        /// A sentence.
        detail: String,
    },
}

/// What became of an entry of the quarantine that was looked at again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retried {
    /// It is out: events that came of it, and those among them that were there already (or, of a
    /// `latest` type, were outdated).
    Out {
        /// New events.
        events: u32,
        /// Events that were not needed any more.
        duplicates: u32,
    },
    /// It still does not fit.
    Stays,
    /// It was not there any more.
    Gone,
}

/// All that one frame of the server puts on disk, in one transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unit {
    /// Rows, in order.
    pub rows: Vec<NewRow>,
    /// Resume cursors by stream, as JSON text; none forgets it.
    pub cursors: Vec<(Arc<str>, Option<Arc<str>>)>,
    /// Kept names, as JSON text (may be secret: stored, never shown); none forgets it.
    pub kept: Vec<(Arc<str>, Option<Arc<str>>)>,
}

impl Unit {
    /// Whether it would change nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.cursors.is_empty() && self.kept.is_empty()
    }
}

/// One thing for the store to put down for the session. All of one batch go into one commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A message came to an end, or waits for a person (`parked`, `uncertain`).
    Ended {
        /// Which.
        place: Place,
        /// Which: an end for a row that meanwhile carries another id is ignored.
        id: MessageId,
        /// To what.
        state: MessageState,
        /// Why, as a word and perhaps more.
        reason: Option<String>,
        /// Attempts in all.
        attempts: u32,
        /// It expired, and the server may have it.
        maybe_delivered: bool,
    },
    /// Messages came to the same end together, each as by [`Record::Ended`] without a reason: what a
    /// server that confirms all up to a number brings is one record.
    EndedTogether {
        /// Which, in the order in which they ended.
        rows: Vec<(Place, MessageId)>,
        /// To what, all of them.
        state: MessageState,
        /// Attempts in all, of each.
        attempts: u32,
    },
    /// An attempt failed and counts: the row stays queued.
    Failed {
        /// Which.
        place: Place,
        /// Attempts that count so far.
        attempts: u32,
        /// Deaths of a connection it was alone on.
        strikes: u32,
    },
    /// `resend = "never"`: `sending` must be on disk before the socket is written.
    Claimed {
        /// Which.
        place: Place,
    },
    /// A `latest` row is on the wire: a newer value must not take its place. No commit needed.
    OnWire {
        /// Which.
        place: Place,
    },
    /// The link died with these on the wire. `latest` rows that have a newer value end as
    /// `superseded`, claimed rows become `uncertain`, the others stay queued and are marked as
    /// sent before.
    Released {
        /// Which.
        places: Vec<Place>,
    },
    /// What one frame of the server puts down.
    Inbound {
        /// When it was read, by the wall clock.
        received_at: Timestamp,
        /// What.
        unit: Unit,
    },
    /// A second look at an entry of the quarantine.
    Retried {
        /// Which.
        id: Seq,
        /// What it found.
        judged: Judged,
    },
    /// The link's state changed.
    Transition(Transition),
    /// A value under a name, for the session alone (`paused`, what was learned of a server).
    Remember {
        /// Its name.
        name: String,
        /// Its value; none forgets it.
        value: Option<String>,
    },
}

/// What became of one row of a [`Unit`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Appended {
    /// It is on disk, with its number.
    Stored(Arc<EventRow>),
    /// Its id was seen before in its stream.
    Duplicate,
    /// A newer value of its key came within the same commit.
    Conflated,
}

/// The store's answer to a [`Record`], given after the commit that holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recorded {
    /// It is on disk (or needed no disk).
    Done,
    /// An inbound unit is on disk; what became of its rows, in order.
    Inbound(Vec<Appended>),
    /// After [`Record::Retried`].
    Retried {
        /// Which entry.
        id: Seq,
        /// What became of it.
        outcome: Retried,
        /// What became of its rows, in order.
        appended: Vec<Appended>,
    },
    /// After [`Record::Released`]: these ended as superseded or became uncertain, the others of
    /// the list are queued again.
    Released {
        /// Places that are no longer to be sent, and their new state.
        gone: Vec<(Place, MessageId, MessageState)>,
    },
}

/// What the session begins with: what earlier runs left in the store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Remembered {
    /// Values of [`Record::Remember`].
    pub values: std::collections::BTreeMap<String, String>,
    /// Resume cursors by stream (JSON text), for this server and dialect.
    pub cursors: std::collections::BTreeMap<Arc<str>, Arc<str>>,
    /// Kept names (JSON text), for this server and dialect.
    pub kept: std::collections::BTreeMap<Arc<str>, Arc<str>>,
    /// Whether this server and dialect ever were connected (semantics: resume).
    pub seen_before: bool,
    /// Whether another server, or the same one in another dialect, ever was.
    pub others_before: bool,
}
