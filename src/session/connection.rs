//! What belongs to one connection and ends with it.

use crate::dialect::{Conversation, SignIn};
use crate::model::Instant;

use super::Settings;
use super::barrier::{Barrier, Echo};
use super::heartbeat::{Heartbeat, Plan};
use super::learned::Learned;

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    /// Tells it from earlier ones.
    pub(super) number: u64,
    /// The dialect's talk on it.
    pub(super) talk: Box<dyn Conversation>,
    /// Messages may flow.
    pub(super) started: bool,
    /// Whether the server goes on where the last connection ended.
    pub(super) resumed: Option<bool>,
    /// Signs of life.
    pub(super) heartbeat: Heartbeat,
    /// Pings behind messages.
    pub(super) barrier: Barrier,
    /// A data frame came.
    pub(super) heard_frame: bool,
    /// Answers to messages of ours that came.
    pub(super) replies: u64,
    /// What came before this connection may be missing, why, and that is not yet said.
    pub(super) hole: Option<&'static str>,
}

impl Connection {
    pub(super) fn new(
        number: u64,
        talk: Box<dyn Conversation>,
        now: Instant,
        nonce: u64,
        learned: &Learned,
    ) -> Self {
        let echo = if learned.no_echo() { Echo::Missing } else { Echo::Expected };
        Self {
            number,
            talk,
            started: false,
            resumed: None,
            heartbeat: Heartbeat::new(now),
            barrier: Barrier::new(nonce, echo),
            heard_frame: false,
            replies: 0,
            hole: None,
        }
    }

    /// How it is kept alive.
    pub(super) fn plan(&self, settings: &Settings) -> Plan {
        Plan::new(&settings.heartbeat, &self.talk.pulse())
    }

    /// Whether a pong means that messages were let in. A server that need not answer the sign-in
    /// may answer pings and yet throw us out the next moment.
    pub(super) fn trusts_pongs(&self, sign_in: Option<SignIn>) -> bool {
        self.heard_frame || sign_in.is_none_or(|sign_in| sign_in.required)
    }
}
