//! Socket.IO 5 over Engine.IO 4, on WebSocket alone (protocols: github.com/socketio, packages
//! `socket.io-parser` and `engine.io-parser`).
//!
//! No file can say it: digits stand before the JSON, one message may be several frames, an
//! acknowledgement names its message by a number, and what was missed may come before the answer
//! to the question for it. Otherwise it is a dialect like any other: what comes is stored before it
//! is acknowledged, what cannot be read is a bad row, and nothing is dropped.

mod binary;
mod findings;
mod outbound;
mod packet;
mod refusal;
mod rooms;
mod settings;
mod talk;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Map, Value};

use self::settings::Settings;
use self::talk::Talk;
use super::{Connect, Conversation, Dialect, Given, Outgoing, Problem, Traits};
use crate::model::{Confirm, MessageId, Moment, Payload, Refusal, Verdict};

pub(super) const NAME: &str = "socketio";
pub(super) const ABOUT: &str = "Socket.IO 4 servers (Engine.IO 4), namespaces, acknowledgements, recovery";

/// What one connection teaches, and the check of messages before the next one wants to know: most
/// bytes of one frame that the server takes; 0: not known.
#[derive(Debug, Default)]
struct Limit(AtomicU64);

impl Limit {
    fn get(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|limit| *limit > 0)
    }

    fn set(&self, limit: u64) {
        self.0.store(limit, Ordering::Relaxed);
    }

    /// From what an earlier run was told.
    fn recall(&self, given: &Given, settings: &Settings) {
        let kept = rooms::kept_limit(given, &settings.namespaces[0]);
        if let Some(limit) = kept.filter(|_| self.get().is_none()) {
            self.set(limit);
        }
    }
}

#[derive(Debug)]
struct SocketIo {
    traits: Traits,
    settings: Arc<Settings>,
    limit: Arc<Limit>,
}

/// The dialect, with `server.vars`.
///
/// # Errors
/// Everything that is wrong with `vars`.
pub fn load(vars: &Map<String, Value>) -> Result<Arc<dyn Dialect>, Vec<Problem>> {
    let settings = Arc::new(Settings::read(vars)?);
    let traits = Traits {
        name: NAME.to_owned(),
        about: ABOUT.to_owned(),
        uses_token: true,
        // It asks where it can, and says itself where the server did not go on.
        resumes: true,
        window: None,
    };
    Ok(Arc::new(SocketIo { traits, settings, limit: Arc::default() }))
}

impl Dialect for SocketIo {
    fn traits(&self) -> &Traits {
        &self.traits
    }

    fn connect(&self, given: &Given, _: Moment) -> Connect {
        self.limit.recall(given, &self.settings);
        let query = [("EIO", "4"), ("transport", "websocket")];
        let query = query.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Connect { query: query.into(), ..Connect::default() }
    }

    fn check(&self, kind: &str, payload: &Payload) -> Result<(), Refusal> {
        // The longest id and the longest number there may be, so that it fits on every attempt.
        let Ok(id) = MessageId::new(&"0".repeat(MessageId::MAX)) else {
            return Ok(());
        };
        let message = Outgoing { id: &id, kind, payload };
        outbound::encode(&self.settings, message, u64::MAX, self.limit.get()).map(|_| ())
    }

    fn confirm(&self, _: &str, _: &Payload) -> Confirm {
        // Whether a handler acknowledges is the server's affair, type by type.
        Confirm::Learned
    }

    fn answers(&self, _: &str, _: &Payload) -> bool {
        true
    }

    fn refused(&self, _: u16) -> Option<Verdict> {
        None
    }

    fn converse(&self, given: Given, _: u64) -> Box<dyn Conversation> {
        self.limit.recall(&given, &self.settings);
        Box::new(Talk::new(Arc::clone(&self.settings), Arc::clone(&self.limit), given))
    }
}
