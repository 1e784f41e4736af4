//! How a server speaks: what it wants at the start, what its frames mean, how ours look.
//!
//! The room is pure. A [`Dialect`] is made once from configuration; a [`Conversation`] is made
//! for each connection and turns frames into [`Act`]s. It reads no clock (it is told the
//! [`Moment`]), draws no randomness (its ids come from a seed), and touches neither socket nor
//! store. After each call the caller looks at [`Conversation::poll_timeout`].
//!
//! Nothing in a frame is an error of ours and nothing is dropped: what cannot be read is a bad
//! row, what nobody knows is an event `unrecognised`. An acknowledgement to the server is only
//! ever handed out in [`Act::Store`], to follow the commit.

pub mod builtin;
pub mod coded;
pub mod declarative;
mod load;
mod problem;
pub mod record;
pub mod socketio;

pub use load::{Options, load, read, replay, text_of};
pub use problem::{Grade, Problem};

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::model::{
    Confirm, Failure, Frame, Instant, MessageId, Moment, NewRow, Payload, Refusal, Secret, Severity, Unit,
    Verdict, veiled,
};

/// What a server wants and how it is spoken to.
pub trait Dialect: Send + Sync + fmt::Debug {
    /// What is fixed for all connections.
    fn traits(&self) -> &Traits;

    /// What the dial carries: query, headers, sub-protocols.
    fn connect(&self, given: &Given, at: Moment) -> Connect;

    /// Whether an app may send this. Called before the message is queued.
    ///
    /// # Errors
    /// `InvalidParams` for a reserved type, `Unsupported` for what no outbound rule fits, or for
    /// data that clashes with the frame's own members.
    fn check(&self, kind: &str, payload: &Payload) -> Result<(), Refusal>;

    /// What `confirm = "auto"` means for messages of this type.
    fn confirm(&self, kind: &str, payload: &Payload) -> Confirm;

    /// Whether the server can reply to such a message by its name, so that it can be a request.
    fn answers(&self, kind: &str, payload: &Payload) -> bool;

    /// What a refused upgrade with this HTTP status means; none: the default of the status.
    fn refused(&self, status: u16) -> Option<Verdict>;

    /// Begins a conversation for a new connection. `seed` feeds its random ids.
    fn converse(&self, given: Given, seed: u64) -> Box<dyn Conversation>;
}

/// What is fixed for all connections of a dialect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traits {
    /// Its name, or the file's path.
    pub name: String,
    /// One line for people.
    pub about: String,
    /// It has a place for the credential in its own frames, query or headers (`$token`).
    pub uses_token: bool,
    /// It asks the server to go on where the last connection ended.
    pub resumes: bool,
    /// Most unconfirmed messages the server bears; none: the configuration's window.
    pub window: Option<usize>,
}

/// What a connection begins with.
#[derive(Clone, Default)]
pub struct Given {
    /// The credential, only where the sign-in is by message or the dialect names it.
    pub token: Option<Secret>,
    /// Kept names (JSON text).
    pub kept: BTreeMap<Arc<str>, Arc<str>>,
    /// Resume cursors by stream (JSON text).
    pub cursors: BTreeMap<Arc<str>, Arc<str>>,
    /// `[auth] reply` and `reply_timeout`, where set: they stand over the steps that send the
    /// credential.
    pub sign_in: Option<SignIn>,
}

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Given")
            .field("token", &self.token)
            .field("kept", &veiled(self.kept.keys().map(|name| &**name)))
            .field("cursors", &self.cursors)
            .field("sign_in", &self.sign_in)
            .finish()
    }
}

/// How long a step that sends the credential waits, and what then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignIn {
    /// `true`: without an answer the session does not start.
    pub required: bool,
    /// How long.
    pub timeout: Duration,
}

/// What the dial carries, all values ready (not yet percent-encoded).
#[derive(Clone, Default)]
pub struct Connect {
    /// Query parameters to add to the URL; may hold the credential.
    pub query: Vec<(String, String)>,
    /// Headers to add; may hold the credential.
    pub headers: Vec<(String, String)>,
    /// Sub-protocols to offer.
    pub subprotocols: Vec<String>,
    /// Cursors taken into use for the first time (`cursor.initial`): to be stored now.
    pub baseline: Vec<(Arc<str>, Arc<str>)>,
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |pairs: &[(String, String)]| -> Vec<String> {
            pairs.iter().map(|(name, _)| format!("{name}: ***")).collect()
        };
        // A sub-protocol may be a bearer of the credential as well.
        f.debug_struct("Connect")
            .field("query", &names(&self.query))
            .field("headers", &names(&self.headers))
            .field("subprotocols", &self.subprotocols.len())
            .field("baseline", &self.baseline)
            .finish()
    }
}

/// How the link is kept alive, as this connection's dialect wants it. None: the configuration's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pulse {
    /// The dialect has a heartbeat frame of its own ([`Conversation::heartbeat`]).
    pub message: bool,
    /// WebSocket Pings may be sent.
    pub ws_ping: bool,
    /// Idle time after which a heartbeat is sent.
    pub every: Option<Duration>,
    /// How long to wait for a sign of life after that.
    pub timeout: Option<Duration>,
    /// The server lets itself be heard at least this often by itself.
    pub beat: Option<Duration>,
}

/// An outbound message as the dialect needs it.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// Its id, the same on every attempt.
    pub id: &'a MessageId,
    /// Its type.
    pub kind: &'a str,
    /// Its body.
    pub payload: &'a Payload,
}

/// A message as a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// What goes out.
    pub frame: Frame,
    /// Frames that belong to it (attachments): they go out right behind it, with nothing between.
    pub behind: Vec<Frame>,
    /// What the server's reply will name; none: it cannot be named, so only the barrier confirms it.
    pub reference: Option<Arc<str>>,
    /// Its number on this connection, where the frame carries one (for cumulative replies).
    pub counter: Option<u64>,
}

impl Encoded {
    /// Bytes of all its frames.
    #[must_use]
    pub fn len(&self) -> usize {
        self.frame.len() + self.behind.iter().map(Frame::len).sum::<usize>()
    }

    /// Whether it carries nothing at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One connection's talk with the server.
pub trait Conversation: Send + fmt::Debug {
    /// The link is up: the first steps.
    fn begin(&mut self, at: Moment, acts: &mut Vec<Act>);

    /// A frame came. Whatever is in it, it is never an error of ours.
    fn frame(&mut self, at: Moment, frame: Frame, acts: &mut Vec<Act>);

    /// What a close by the server means; none: the default of the code.
    fn closed(&mut self, code: u16, reason: &str) -> Option<Verdict>;

    /// What the close that [`Conversation::closed`] was asked about puts on disk (a session to
    /// be forgotten, a lost cursor). To be stored like any other unit; empty but for dialects
    /// that say so.
    fn left_behind(&mut self) -> Unit {
        Unit::default()
    }

    /// A message as a frame. Called for each attempt.
    ///
    /// # Errors
    /// When the message cannot be said in this dialect; it is then rejected with this reason.
    fn encode(&mut self, at: Moment, message: Outgoing<'_>) -> Result<Encoded, Refusal>;

    /// How this connection is kept alive (may change once start-up is through).
    fn pulse(&self) -> Pulse;

    /// The dialect's own heartbeat frame.
    fn heartbeat(&mut self, at: Moment) -> Option<Frame>;

    /// When a step's time is up.
    fn poll_timeout(&self) -> Option<Instant>;

    /// A step's time is up.
    fn handle_timeout(&mut self, at: Moment, acts: &mut Vec<Act>);
}

/// Which of our messages an answer speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    /// The one with this reference.
    One(String),
    /// All of this connection with a counter up to this one.
    UpTo(u64),
}

/// What a frame, or the passing of time, comes to. In the order they are to be carried out.
#[derive(Debug, Clone)]
pub enum Act {
    /// Goes out at once, before messages.
    Send(Frame),
    /// Start-up is through: messages may flow.
    Started {
        /// Whether the server goes on where the last connection ended, where it said.
        resumed: Option<bool>,
    },
    /// To be put on disk in one transaction; then, and not before, `then` goes out.
    Store {
        /// What.
        unit: Unit,
        /// The acknowledgements to the server.
        then: Vec<Frame>,
        /// The last of them covers all that came before it on this connection: where several are due
        /// at once, it is enough.
        cumulative: bool,
    },
    /// A message of ours is done.
    Accepted {
        /// Which.
        about: About,
        /// The reply's body (JSON text).
        data: Option<Arc<str>>,
    },
    /// The server has a message of ours; the last word comes later.
    Received {
        /// Which.
        about: About,
        /// What it said (JSON text).
        data: Option<Arc<str>>,
    },
    /// A message of ours is refused for good.
    Rejected {
        /// Which.
        about: About,
        /// The server's code.
        code: Option<String>,
        /// The server's words.
        message: Option<String>,
        /// The event it becomes where no message on the wire has that reference.
        otherwise: NewRow,
    },
    /// Not now: back into the queue.
    Deferred {
        /// Which.
        about: About,
        /// The server's code.
        code: Option<String>,
        /// The server's words.
        message: Option<String>,
        /// Not before.
        retry_after: Option<Duration>,
    },
    /// The answer to the dialect's own heartbeat.
    Pong,
    /// Something people should see in `health`.
    Health {
        /// One word.
        code: &'static str,
        /// How much it matters.
        severity: Severity,
        /// A sentence.
        text: String,
        /// What to do.
        hint: String,
    },
    /// The session with this server ends here: hang up.
    HangUp(Failure),
}
