//! The loop around the session: it carries out what the session wants and tells it what came of it.
//!
//! One task owns the [`Session`](crate::session::Session). Everything that can wake it is one
//! arm of one `select!`: calls from apps, news from the store, news from the link, the end of a
//! dial, a deadline. Its law: **it never awaits a send**. What a neighbour cannot take now stays
//! in a bounded queue here, and while such a queue is full the input that would fill it further
//! is not read, so no two tasks can wait on each other.
//!
//! What others may see of it goes out through [`Fanout`]: the live edge of the event sequence,
//! message changes, and a snapshot of the link.

mod asks;
mod commands;
mod dialing;
mod effects;
mod expiry;
mod fanout;
mod link;
mod punctual;
mod requests;
mod run;
mod waits;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tokio::sync::{mpsc, oneshot};

use crate::dialect::Dialect;
use crate::model::{
    ErrorKind, HistoryEntry, Judged, LinkState, MessageId, MessageState, Payload, Place, Refusal, Retried,
    Seq,
};
use crate::session;

pub use commands::STOP_GRACE;
pub use dialing::Dialling;
pub use fanout::{EphemeralFeed, Fanout, Health, Tail};
pub use requests::{Inbox, Reply, Request};
pub use run::{Ending, Parts, Route, run};
pub use waits::{Outcome, Waits};

/// Calls waiting for the loop at most; more are told `busy`.
pub const COMMANDS: usize = 64;

/// What apps and people ask of the loop. Everything else goes to the store directly.
#[derive(Debug)]
pub enum Command {
    /// Send a message that is never stored, now or not at all. The answer: why it was dropped.
    Ephemeral {
        /// Its id.
        id: MessageId,
        /// Its type.
        kind: Arc<str>,
        /// Its body.
        payload: Payload,
        /// None: written.
        answer: oneshot::Sender<Option<String>>,
    },
    /// Send a request, which is never stored, and answer with the server's reply.
    Request(Request),
    /// Whoever made the request with this ticket has gone.
    Forget(u64),
    /// Pause, resume, reconnect. The answer: the state now.
    Link {
        /// What.
        order: LinkOrder,
        /// The state, or why not.
        answer: oneshot::Sender<Result<LinkState, Refusal>>,
    },
    /// Take a message out of the session's hands so that the store may end it.
    Release {
        /// Which.
        place: Place,
        /// False: it is on the wire.
        answer: oneshot::Sender<bool>,
    },
    /// What this run knows of a message that the store does not (being sent, sent, received).
    Look {
        /// Which.
        id: MessageId,
        /// Its state and history in this run, if the session holds it.
        answer: oneshot::Sender<Option<View>>,
    },
    /// Put a second look at an entry of the quarantine down. The answer: what became of it.
    Retried {
        /// Which.
        id: Seq,
        /// What it found.
        judged: Judged,
        /// See [`Retried`].
        answer: oneshot::Sender<Retried>,
    },
    /// New settings for the session.
    Reload {
        /// All of them.
        settings: Box<session::Settings>,
        /// The link must be made anew: with this dialect, and with what the store knows of this
        /// server.
        server: Option<NewServer>,
    },
    /// Answer: to see that the loop goes round.
    Alive(oneshot::Sender<()>),
    /// The network changed, the credential changed.
    Hint(session::Input),
    /// The machine is about to sleep.
    Sleep {
        /// To be told once the link is closed and what the loop knows is with the store; none: the
        /// link stays.
        closed: Option<oneshot::Sender<()>>,
    },
    /// The system says that the machine woke, or stays awake after all.
    Woke,
    /// End the session: close the link, then end the loop.
    Stop,
}

/// What a reload puts in the place of the server that was.
#[derive(Debug, Clone)]
pub struct NewServer {
    /// How it is spoken to.
    pub dialect: Arc<dyn Dialect>,
    /// Names it in the store.
    pub key: String,
}

/// What this run knows of a message.
#[derive(Debug, Clone)]
pub struct View {
    /// Where it stands.
    pub state: MessageState,
    /// In which attempt.
    pub attempt: u32,
    /// What happened to it in this run, oldest first.
    pub history: Vec<HistoryEntry>,
}

/// What a person may tell the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkOrder {
    /// Hang up and stay down, over restarts too.
    Pause,
    /// Go on.
    Resume,
    /// Dial anew, now.
    Reconnect,
}

/// The way to the loop. Cheap to copy.
#[derive(Debug, Clone)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
    /// A place for each request that waits, for the case that its caller goes away.
    gone: mpsc::Sender<u64>,
    tickets: Arc<AtomicU64>,
}

impl Handle {
    /// A handle and the inbox it fills.
    #[must_use]
    pub fn new() -> (Self, Inbox) {
        let (commands, commands_in) = mpsc::channel(COMMANDS);
        let (gone, gone_in) = mpsc::channel(session::MOST_REQUESTS);
        (Self { commands, gone, tickets: Arc::default() }, Inbox { commands: commands_in, gone: gone_in })
    }

    /// Hands a command in without waiting for room.
    ///
    /// # Errors
    /// `busy` where the inbox is full, `shutting_down` where the loop has ended.
    pub fn tell(&self, command: Command) -> Result<(), Refusal> {
        self.commands.try_send(command).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                Refusal::new(ErrorKind::Busy, "the daemon has too many calls to answer right now")
                    .hint("try again in a moment")
            }
            mpsc::error::TrySendError::Closed(_) => shutting_down(),
        })
    }

    /// Hands a command in, waiting for room.
    ///
    /// # Errors
    /// `shutting_down` where the loop has ended.
    pub async fn tell_soon(&self, command: Command) -> Result<(), Refusal> {
        self.commands.send(command).await.map_err(|_| shutting_down())
    }

    /// Hands an ephemeral message in; what comes back waits for the answer: why it was dropped, if
    /// it was. Messages go out in the order of these calls.
    ///
    /// # Errors
    /// `busy` or `shutting_down`.
    pub fn ephemeral(
        &self,
        id: MessageId,
        kind: Arc<str>,
        payload: Payload,
    ) -> Result<impl Future<Output = Result<Option<String>, Refusal>> + Send + use<>, Refusal> {
        let (answer, wait) = oneshot::channel();
        self.tell(Command::Ephemeral { id, kind, payload, answer })?;
        Ok(async move { wait.await.map_err(|_| shutting_down()) })
    }

    /// Pauses, resumes or redials.
    ///
    /// # Errors
    /// `conflict` for a reconnect while paused; `busy` or `shutting_down`.
    pub async fn link(&self, order: LinkOrder) -> Result<LinkState, Refusal> {
        let (answer, wait) = oneshot::channel();
        self.tell(Command::Link { order, answer })?;
        wait.await.map_err(|_| shutting_down())?
    }

    /// Takes a message out of the session's hands; false where it is on the wire.
    ///
    /// # Errors
    /// `busy` or `shutting_down`.
    pub async fn release(&self, place: Place) -> Result<bool, Refusal> {
        let (answer, wait) = oneshot::channel();
        self.tell(Command::Release { place, answer })?;
        wait.await.map_err(|_| shutting_down())
    }

    /// Puts a second look at an entry of the quarantine down, and says what became of it. One at a
    /// time for each entry.
    ///
    /// # Errors
    /// `shutting_down`.
    pub async fn retried(&self, id: Seq, judged: Judged) -> Result<Retried, Refusal> {
        let (answer, wait) = oneshot::channel();
        self.tell_soon(Command::Retried { id, judged, answer }).await?;
        wait.await.map_err(|_| shutting_down())
    }

    /// Comes back once the loop has taken this up.
    ///
    /// # Errors
    /// `shutting_down`.
    pub async fn alive(&self) -> Result<(), Refusal> {
        let (answer, wait) = oneshot::channel();
        self.tell_soon(Command::Alive(answer)).await?;
        wait.await.map_err(|_| shutting_down())
    }

    /// What this run knows of a message beyond the store.
    ///
    /// # Errors
    /// `shutting_down`.
    pub async fn look(&self, id: MessageId) -> Result<Option<View>, Refusal> {
        let (answer, wait) = oneshot::channel();
        self.tell_soon(Command::Look { id, answer }).await?;
        wait.await.map_err(|_| shutting_down())
    }
}

fn shutting_down() -> Refusal {
    Refusal::new(ErrorKind::ShuttingDown, "the daemon is stopping").hint("try again once it runs again")
}

/// The level a state stands for, where it stands for one.
#[must_use]
pub const fn level_of(state: MessageState) -> Option<crate::model::Level> {
    use crate::model::Level;
    match state {
        MessageState::Queued | MessageState::Sending => Some(Level::Queued),
        MessageState::Sent => Some(Level::Sent),
        MessageState::Received => Some(Level::Received),
        MessageState::Accepted => Some(Level::Accepted),
        MessageState::Rejected
        | MessageState::Expired
        | MessageState::Superseded
        | MessageState::Cancelled
        | MessageState::Dropped
        | MessageState::Parked
        | MessageState::Uncertain => None,
    }
}
