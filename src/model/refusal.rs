//! A call that cannot be done, in the words of the interface.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What clients branch on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The outbox is full and refuses (or reading is held for lack of space).
    QueueFull,
    /// Larger than what may be sent.
    TooLarge,
    /// No such message, cursor, event, entry.
    NotFound,
    /// The id is taken by another body, or the state forbids it.
    Conflict,
    /// The cursor belongs to another database.
    WrongEpoch,
    /// There is no link.
    NotConnected,
    /// The level was not reached in time; the message stays queued.
    Timeout,
    /// The message ended otherwise than it was waited for.
    Ended,
    /// It cannot be known whether the server has it.
    Uncertain,
    /// A `latest` message without a usable key.
    NoKey,
    /// Not allowed.
    Forbidden,
    /// On the wire, or the daemon has too much to do.
    Busy,
    /// The daemon stops.
    ShuttingDown,
    /// The database cannot take it now.
    StoreFailed,
    /// This dialect, or this build, cannot do it.
    Unsupported,
    /// The parameters do not fit the method; JSON-RPC's own -32602.
    InvalidParams,
    /// A fault of ours; JSON-RPC's own -32603.
    Internal,
}

/// Why a call was refused: a word for programs, a sentence for people, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// For programs.
    pub kind: ErrorKind,
    /// For people: what happened.
    pub message: String,
    /// For people: what to do. Empty where there is nothing.
    pub hint: String,
    /// Whether the same call may succeed later.
    pub retryable: bool,
    /// When, where that is known.
    pub retry_after_ms: Option<u64>,
    /// Further members of the error's `data` (`id`, `state`, …).
    pub extra: serde_json::Map<String, serde_json::Value>,
}

impl Refusal {
    /// A refusal of `kind`, retryable as that kind usually is, without a hint.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let retryable = matches!(
            kind,
            ErrorKind::QueueFull
                | ErrorKind::NotConnected
                | ErrorKind::Timeout
                | ErrorKind::Busy
                | ErrorKind::ShuttingDown
                | ErrorKind::StoreFailed
        );
        Self {
            kind,
            message: message.into(),
            hint: String::new(),
            retryable,
            retry_after_ms: None,
            extra: serde_json::Map::new(),
        }
    }

    /// With what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// With one more member of `data`.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<serde_json::Value>) -> Self {
        self.extra.insert(name.to_owned(), value.into());
        self
    }
}
