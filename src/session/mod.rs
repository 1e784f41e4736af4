//! The session with the server, as a pure state machine.
//!
//! # The law
//! Hand in one input ([`Session::handle`] or [`Session::handle_timeout`]), then take outputs
//! until there are none ([`Session::poll_output`]), then look at [`Session::poll_timeout`]. The
//! session reads no clock, draws no randomness (jitter comes from a seed) and touches no socket
//! and no store: whoever drives it carries out its outputs and tells it what came of them.

use std::sync::Arc;
use std::time::Duration;

use crate::model::{
    Appended, Due, DueQuery, DueRow, EventRow, Failure, Frame, Judged, MessageId, MessageState, Payload,
    Place, ReasonKind, Record, Recorded, Refusal, Retried, Secret, Seq, Severity, TypeRules,
};

mod again;
mod backoff;
mod barrier;
mod connection;
mod credential;
mod delivery;
mod drain;
mod heartbeat;
mod inbound;
mod lanes;
mod learned;
mod loader;
mod machine;
mod passing;
mod past;
mod phase;
mod suspicion;
#[cfg(test)]
mod tests;
mod timers;
mod trail;
mod turn;
mod wire;

pub use again::look_again;
pub use machine::Session;

/// Requests that wait for a reply, at most; further ones are refused as `busy`.
pub const MOST_REQUESTS: usize = 256;

/// What drives the session.
#[derive(Debug, Clone)]
pub enum Input {
    /// Begin: the store is open, the first dial may go out.
    Start,
    /// The daemon stops: send nothing more, close the link.
    Stop,
    /// A person pauses the link. Survives a restart.
    Pause,
    /// A person resumes it.
    Resume,
    /// Dial anew at once, with fresh delays (a person, a reload). Ignored while paused.
    Reconnect(ReasonKind),
    /// The machine is about to sleep, and the link is to be closed for it. Nothing is dialled before
    /// it wakes, or has obviously stayed awake.
    Sleep,
    /// The machine woke from sleep, or this process stood still for as long.
    Woke,
    /// The wall clock was set: what is shown in its terms is shown anew.
    ClockSet,
    /// The network changed: a hint.
    NetworkChanged {
        /// Whether any network looks usable.
        usable: bool,
    },
    /// The credential's source changed.
    CredentialChanged,
    /// The dial asked for came about.
    LinkUp {
        /// The credential for the dialect's own frames, where the sign-in is by message.
        token: Option<Secret>,
    },
    /// The dial failed, or the link ended. After `HangUp` it comes too.
    LinkDown(Failure),
    /// A data frame came.
    Frame(Frame),
    /// A pong came.
    Pong(Vec<u8>),
    /// Bytes came that are no whole frame yet: a sign of life.
    Heard,
    /// The server takes what we write, bit by bit: a sign of life too, on a line so slow that its
    /// answer to a ping stands behind all that.
    Taken,
    /// Everything up to this ticket is written and flushed.
    Written(u64),
    /// The socket did not take what we wrote for this long … is reported as
    /// `LinkDown(WriteStalled)`; this is only: the pump's queue has room again.
    WriteRoom,
    /// New rows were committed to the queue, in order.
    Queued {
        /// The highest place before these: if the session has loaded through there it may take
        /// them from here, else it asks for them when it gets there.
        previous: Place,
        /// The rows.
        rows: Vec<DueRow>,
    },
    /// A queued `latest` row was superseded: `row` now has its place.
    Superseded {
        /// Which id ended.
        old: MessageId,
        /// What stands there now.
        row: DueRow,
    },
    /// Rows went back into the queue (`retry`): they keep their places.
    Requeued(Vec<DueRow>),
    /// The answer to `LoadDue`. Each question is answered once, in the order of the questions.
    Due(Due),
    /// The answer to `Record`, in the order of the tickets.
    Recorded {
        /// Which.
        ticket: u64,
        /// What came of it.
        outcome: Recorded,
    },
    /// These rows ended in the store without the session (expired, cancelled, dropped): forget
    /// them.
    Gone(Vec<Place>),
    /// A row that was withdrawn ([`Session::withdraw`]) stays in the queue after all.
    Kept(Place),
    /// The way to the store is full (or free again): the driver reads nothing from the link, so
    /// its silence means nothing.
    StoreFull(bool),
    /// An ephemeral message: sent now or dropped.
    Ephemeral {
        /// Names the answer ([`Change::Ephemeral`]).
        ticket: u64,
        /// Its id.
        id: MessageId,
        /// Its type.
        kind: Arc<str>,
        /// Its body.
        payload: Payload,
    },
    /// A request: not kept, one attempt, answered by [`Change::Replied`] in any case.
    Request {
        /// Names the answer.
        ticket: u64,
        /// Its id.
        id: MessageId,
        /// Its type.
        kind: Arc<str>,
        /// Its body.
        payload: Payload,
    },
    /// Nobody waits for the reply to this request any longer.
    ForgetRequest(u64),
    /// A second look at an entry of the quarantine is to be put down; answered by
    /// [`Change::Retried`].
    Retried {
        /// Which.
        id: Seq,
        /// What it found.
        judged: Judged,
    },
    /// The configuration was reloaded.
    Reload(Box<Settings>),
}

/// What the driver carries out, in order.
#[derive(Debug, Clone)]
pub enum Output {
    /// Get a credential, dial, answer with `LinkUp` or `LinkDown`.
    Dial {
        /// For the log.
        attempt: u32,
        /// The last credential was refused: read the source anew.
        fresh_credential: bool,
        /// Show the server even a credential that has expired by our clock.
        expired_too: bool,
    },
    /// Give the running dial up; no answer is wanted.
    AbandonDial,
    /// Write a frame, in order; flushed in batches; answered by `Written`.
    Write {
        /// Rises with every frame.
        ticket: u64,
        /// What.
        frame: Frame,
    },
    /// Write a WebSocket Ping behind all frames before it.
    Ping(Vec<u8>),
    /// Close the link. `LinkDown` with the very failure follows from the driver.
    HangUp {
        /// Close code to send.
        code: u16,
        /// Why, to be handed back in `LinkDown`.
        failure: Failure,
    },
    /// Ask the store for rows.
    LoadDue(DueQuery),
    /// Put something on disk.
    Record {
        /// Rises with every record; answered by `Recorded`.
        ticket: u64,
        /// What.
        record: Record,
    },
    /// Tell whoever is interested.
    Publish(Change),
}

/// What others may want to know.
#[derive(Debug, Clone)]
pub enum Change {
    /// The link's status changed ([`Session::link_status`] has it).
    Link,
    /// A message moved.
    Message {
        /// Which.
        id: MessageId,
        /// Where to. `Queued`: back into the queue.
        state: MessageState,
        /// In which attempt.
        attempt: u32,
        /// Whether the message is finished with this (by what confirms it).
        finished: bool,
        /// Why.
        reason: Option<String>,
        /// The server's reply body (JSON text), where it sent one.
        reply: Option<Arc<str>>,
    },
    /// What became of an ephemeral message: none, it was written; else why it was dropped.
    Ephemeral {
        /// As handed in.
        ticket: u64,
        /// Why it was dropped.
        dropped: Option<String>,
    },
    /// What became of a request: the server's reply (JSON text, where it has a body), or why there
    /// is none.
    Replied {
        /// As handed in.
        ticket: u64,
        /// `NotConnected`, `Uncertain` (the link died first), `Ended` (the server refused it, with
        /// `state`, and `code`, `reason` and `reply` where it sent them) …
        outcome: Result<Option<Arc<str>>, Refusal>,
    },
    /// An ephemeral event came.
    EphemeralEvent(Arc<EventRow>),
    /// An inbound unit is on disk: its rows, in order.
    Appended(Vec<Appended>),
    /// What became of an entry of the quarantine.
    Retried {
        /// Which.
        id: Seq,
        /// What.
        outcome: Retried,
    },
    /// Something for `health`: put there, or taken away.
    Health {
        /// One word; one entry per code.
        code: &'static str,
        /// None takes the entry away.
        entry: Option<(Severity, String, String)>,
    },
    /// Something to count, by its metric's name.
    Count(&'static str),
}

/// Why the session wants to be woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// When to dial next.
    Redial,
    /// When the connection counts as stable and the delays start anew.
    Stable,
    /// When to send a heartbeat.
    Heartbeat,
    /// When a silent link is dead.
    Dead,
    /// When a start-up step's time is up.
    Start,
    /// When to send the barrier's ping.
    Barrier,
    /// When an unanswered message counts as failed.
    Confirm,
    /// When a deferred message is due again.
    Deferred,
    /// When a message on hold (TTL, undecided pong) is to be decided.
    Decide,
    /// When the drain rate allows the next message.
    Drain,
    /// When held reading has lasted too long.
    Held,
}

impl Timer {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Redial,
        Self::Stable,
        Self::Heartbeat,
        Self::Dead,
        Self::Start,
        Self::Barrier,
        Self::Confirm,
        Self::Deferred,
        Self::Decide,
        Self::Drain,
        Self::Held,
    ];
}

/// What the session needs of the configuration.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Shown in status; without anything secret.
    pub url: String,
    /// Names the server for what is remembered: URL without query, and dialect.
    pub server_key: String,
    /// `[heartbeat]`.
    pub heartbeat: HeartbeatSettings,
    /// `[reconnect]`.
    pub reconnect: ReconnectSettings,
    /// `[outbox]`.
    pub outbox: OutboxSettings,
    /// `[auth] reply`, `reply_timeout`, where set.
    pub sign_in: Option<crate::dialect::SignIn>,
    /// `[types]`.
    pub types: Arc<TypeRules>,
    /// `[lanes]`, by name.
    pub lanes: Vec<(Arc<str>, LaneSettings)>,
}

/// `[heartbeat]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeartbeatSettings {
    /// How.
    pub mode: HeartbeatMode,
    /// Idle time after which one is sent; none: the dialect's, else 20 s.
    pub interval: Option<Duration>,
    /// How long to wait then; none: the dialect's, else 10 s.
    pub timeout: Option<Duration>,
}

/// `heartbeat.mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeartbeatMode {
    /// Ping (unless the dialect forbids it), and the dialect's own with it.
    Auto,
    /// WebSocket Ping only.
    Ping,
    /// The dialect's only.
    Message,
    /// None.
    Off,
}

/// `[reconnect]`.
#[derive(Debug, Clone, PartialEq)]
pub struct ReconnectSettings {
    /// The last repeats. Never empty.
    pub delays: Vec<Duration>,
    /// Each delay times uniform(1 - jitter, 1), after the cap.
    pub jitter: f64,
    /// Connected this long, or one reply of the server: start from the first delay again.
    pub stable_after: Duration,
    /// Failures in a row until the state says `unavailable`.
    pub unavailable_after: u32,
}

/// `[outbox]`, as far as delivery needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxSettings {
    /// Unconfirmed messages on the wire.
    pub window: usize,
    /// Their bytes (1 MiB).
    pub window_bytes: usize,
    /// `confirm_timeout`.
    pub confirm_timeout: Duration,
    /// Then `parked`.
    pub max_attempts: u32,
    /// Messages per second after a reconnect; 0: no limit.
    pub drain_rate: u32,
}

/// `[lanes."name"]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneSettings {
    /// `on_failure = "block"`: a parked or rejected message stops the lane.
    pub block: bool,
    /// Unconfirmed messages of this lane on the wire; none: the outbox's.
    pub window: Option<usize>,
}
