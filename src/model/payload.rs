//! What a message or an event carries, and what a WebSocket carries.

use std::sync::Arc;

/// The body of a message or of an event.
///
/// JSON stays the very text that came in: it is checked once on arrival and spliced from then
/// on, so numbers keep all their digits and members their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// Valid JSON text, compact (no white space between tokens where it came from an app).
    Json(Arc<str>),
    /// A raw text frame.
    Text(Arc<str>),
    /// A raw binary frame.
    Binary(Arc<[u8]>),
}

impl Payload {
    /// Bytes of the body, as counted against limits.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Json(text) | Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One data frame (a whole message, RFC 6455, 5.6) as the link hands it in and takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// Text, valid UTF-8.
    Text(String),
    /// Binary.
    Binary(Vec<u8>),
}

impl Frame {
    /// Bytes of the frame's payload.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    /// Whether the frame carries nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
