//! Outbound messages: how they are delivered, how far they are, what an app is told of them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{MessageId, Timestamp};

/// How much holdline does for a type of message or event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// On disk, every one of them, until it has an end.
    #[default]
    Durable,
    /// On disk, the newest per key.
    Latest,
    /// Never stored; dropped where there is no link.
    Ephemeral,
}

/// What ends a message well. What `auto` stood for is decided before this type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Confirm {
    /// The server's own reply.
    Reply,
    /// The reply, once this server has been seen to send one; until then the barrier.
    Learned,
    /// The pong of a WebSocket ping sent behind it.
    Barrier,
    /// The write to the socket.
    Sent,
}

/// What becomes of a message that was on the wire when the link died.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Resend {
    /// It goes out again, with the same id.
    #[default]
    Always,
    /// It becomes `uncertain` and waits for a person.
    Never,
}

/// How safe a message is by the time its receipt is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// Survives power loss (`synchronous=FULL`).
    #[default]
    Full,
    /// Survives the end of the process, not of the machine (`synchronous=NORMAL`).
    Normal,
    /// Not stored.
    None,
}

/// How far a sender wants to wait. Levels only rise.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// On disk.
    #[default]
    Queued,
    /// Written to the socket.
    Sent,
    /// The next WebSocket hop has read it, or the server says it has it.
    Received,
    /// The server's own word that it is done.
    Accepted,
}

/// Where a message stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MessageState {
    /// On disk, not on the wire.
    Queued,
    /// Being written.
    Sending,
    /// Written and flushed.
    Sent,
    /// Read by the next hop, or so the server says.
    Received,
    /// Done, says the server.
    Accepted,
    /// The server refused it; kept and listed.
    Rejected,
    /// Its TTL ended first.
    Expired,
    /// A newer value of its key took its place.
    Superseded,
    /// An app or a person took it back.
    Cancelled,
    /// Removed by `overflow = "drop_oldest"`, by a person, or ephemeral without a link.
    Dropped,
    /// Set aside after `max_attempts` or as poison; waits for a person.
    Parked,
    /// Was on the wire when the link died and must not be repeated; waits for a person.
    Uncertain,
}

impl MessageState {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 12] = [
        Self::Queued,
        Self::Sending,
        Self::Sent,
        Self::Received,
        Self::Accepted,
        Self::Rejected,
        Self::Expired,
        Self::Superseded,
        Self::Cancelled,
        Self::Dropped,
        Self::Parked,
        Self::Uncertain,
    ];

    /// The state as it is written in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::Received => "received",
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Superseded => "superseded",
            Self::Cancelled => "cancelled",
            Self::Dropped => "dropped",
            Self::Parked => "parked",
            Self::Uncertain => "uncertain",
        }
    }

    /// Whether it waits for a person: neither on its way nor ended.
    #[must_use]
    pub const fn waits_for_person(self) -> bool {
        matches!(self, Self::Parked | Self::Uncertain)
    }
}

/// The answer to `messages.send`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Receipt {
    /// The message's id, given or made.
    pub id: MessageId,
    /// Where it stands now.
    pub state: MessageState,
    /// How safe it is.
    pub durability: Durability,
    /// The same id with the same body was handed in before; this is its present state.
    pub duplicate: bool,
    /// Why an ephemeral message was dropped.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
}

/// A message moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// Which.
    pub id: MessageId,
    /// Where to.
    pub state: MessageState,
    /// In which attempt.
    pub attempt: u32,
    /// Why.
    pub reason: Option<String>,
}

/// One step in the life of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HistoryEntry {
    /// The state it came to.
    pub state: MessageState,
    /// When.
    pub at: Timestamp,
    /// In which attempt; 0 before the first.
    pub attempt: u32,
    /// Why, where there is a why.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
}

/// An outbound message as apps see it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Message {
    /// Its id.
    pub id: MessageId,
    /// Its type; `text` and `binary` for raw frames.
    #[serde(rename = "type")]
    pub kind: String,
    /// The lane whose order it keeps.
    pub lane: String,
    /// Its key, where it has one.
    pub key: Option<String>,
    /// Its class.
    pub delivery: Delivery,
    /// Where it stands.
    pub state: MessageState,
    /// Attempts so far.
    pub attempts: u32,
    /// When its receipt was given.
    pub queued_at: Timestamp,
    /// When its TTL ends.
    pub expires_at: Option<Timestamp>,
    /// Why it stands where it stands.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// It expired when it would have needed a resend: the server may have it.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub maybe_delivered: bool,
    /// The JSON body.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(with = "Option<serde_json::Value>")]
    pub data: Option<Box<RawValue>>,
    /// The body of a raw text message.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub text: Option<String>,
    /// The body of a raw binary message: `{"encoding":"base64","data":"…"}`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(with = "Option<serde_json::Value>")]
    pub binary: Option<Box<RawValue>>,
    /// What happened to it, oldest first; only in `messages.get`.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub history: Vec<HistoryEntry>,
}
