//! Inbound events, and the rows that stand for what is missing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Payload, Seq, Timestamp};

/// Why events are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// Pruned here by count, bytes or age.
    Retention,
    /// The server could not resume, or said so itself.
    Server,
    /// A frame that could not be read, or an event that does not fit its schema, stands in
    /// quarantine.
    Quarantine,
    /// The database was damaged here.
    Corruption,
}

impl GapReason {
    /// The word as it is written in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Retention => "retention",
            Self::Server => "server",
            Self::Quarantine => "quarantine",
            Self::Corruption => "corruption",
        }
    }
}

/// A told hole: `from` to `to`, both included. Both are the row's own number where no numbers
/// are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Gap {
    /// First missing number.
    pub from: Seq,
    /// Last missing number.
    pub to: Seq,
    /// Why.
    pub reason: GapReason,
}

/// What a row of the event sequence is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowKind {
    /// An event for apps.
    Event {
        /// The server's id for it.
        id: Option<String>,
        /// Its type.
        kind: String,
        /// Its body.
        payload: Payload,
    },
    /// Events are missing here.
    Gap(GapReason),
    /// What stands (or stood) in quarantine; told to apps as a gap.
    Bad,
}

/// One row of the event sequence as it is kept and handed to subscribers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRow {
    /// Its number; none for ephemeral ones, which are never stored.
    pub seq: Option<Seq>,
    /// When it was received here.
    pub received_at: Timestamp,
    /// What it is.
    pub kind: RowKind,
}

/// An event as apps see it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// Its number; `null` for ephemeral ones.
    pub seq: Option<Seq>,
    /// The server's id for it, or `null`.
    pub id: Option<String>,
    /// Its type; `text` and `binary` for raw frames.
    #[serde(rename = "type")]
    pub kind: String,
    /// The JSON body.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(with = "Option<serde_json::Value>")]
    pub data: Option<Box<RawValue>>,
    /// The body of a raw text frame.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub text: Option<String>,
    /// The body of a raw binary frame: `{"encoding":"base64","data":"…"}`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(with = "Option<serde_json::Value>")]
    pub binary: Option<Box<RawValue>>,
    /// When it was received here.
    pub received_at: Timestamp,
}

/// A frame that could not be read, or an event that does not fit its schema, kept for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QuarantineEntry {
    /// Its number in the event sequence.
    pub id: Seq,
    /// When it came.
    pub received_at: Timestamp,
    /// One word: what was wrong (`invalid_json`, `too_deep`, `schema`, …).
    pub reason: String,
    /// A sentence: what exactly. For `schema`: JSON Pointer, keyword, and what it says.
    pub detail: String,
    /// The type of an event that does not fit its schema.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none", default)]
    pub kind: Option<String>,
    /// The server's id of such an event.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub event_id: Option<String>,
    /// The frame as it came (of an event that does not fit: its body), as text where it is UTF-8,
    /// else `base64:…`.
    pub raw: String,
}
