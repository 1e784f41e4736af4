//! Names of things: messages, events, places in the queue.

use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

/// The id of an outbound message, the same on every attempt: at most [`MessageId::MAX`] bytes.
///
/// Ours are UUIDv7 (RFC 9562, 5.7); apps may choose their own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct MessageId(#[schemars(length(min = 1, max = 128))] Arc<str>);

impl MessageId {
    /// Longest id, in bytes.
    pub const MAX: usize = 128;

    /// Takes `text` as an id.
    ///
    /// # Errors
    /// When it is empty, longer than [`MessageId::MAX`] bytes, or holds control characters.
    pub fn new(text: &str) -> Result<Self, MessageIdError> {
        if text.is_empty() {
            return Err(MessageIdError::Empty);
        }
        if text.len() > Self::MAX {
            return Err(MessageIdError::TooLong(text.len()));
        }
        if text.chars().any(char::is_control) {
            return Err(MessageIdError::Control);
        }
        Ok(Self(text.into()))
    }

    /// The id's text, which is not copied.
    #[must_use]
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<uuid::Uuid> for MessageId {
    fn from(uuid: uuid::Uuid) -> Self {
        Self((&*uuid.hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer())).into())
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for MessageId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::new(&text).map_err(de::Error::custom)
    }
}

/// Why a text is no message id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MessageIdError {
    /// Nothing in it.
    #[error("a message id cannot be empty")]
    Empty,
    /// Over the limit; holds its length in bytes.
    #[error("a message id has at most 128 bytes, this one has {0}")]
    TooLong(usize),
    /// A control character in it.
    #[error("a message id cannot hold control characters")]
    Control,
}

/// The number of an event: only grows, never restarts within an epoch. Holes are legal.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct Seq(pub i64);

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A message's place in the outbound queue: the order of receipts. It is kept over retries; a
/// newer value of a `latest` key takes over the place of the one it supersedes.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct Place(pub i64);

/// Which database this is: changes only with a new or a salvaged one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Epoch(pub Arc<str>);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
