//! The contract: parameters, results and notifications, as they stand in JSON.
//!
//! Parameters refuse members they do not know; results and notifications may grow members in
//! later versions, so readers skip what they do not know.

use std::fmt;

use schemars::JsonSchema;
use serde::de::{self, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::model::{
    CursorStatus, Delivery, Epoch, Event, Gap, Level, LinkState, Message, MessageId, MessageState,
    QuarantineEntry, Seq, Transition,
};

mod doctor;
mod notes;
mod notices;

pub use doctor::{Check, DoctorParams, DoctorResult};
pub use notes::{
    CaughtUpNote, ClosingNote, DeliveryNote, EndReason, EndedNote, EventNote, GapNote, LaggedNote, StatusNote,
};

pub use notices::{MuteParams, NotificationsHistoryResult, NotificationsResult};

/// Version of this interface, as `hello` names it.
pub const PROTOCOL: u32 = 1;

/// No parameters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Empty {}

/// No result: it is done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Done {}

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientInfo {
    /// Its name, as `status` shows it.
    pub name: String,
    /// Its version.
    #[serde(default)]
    pub version: String,
}

/// Parameters of `hello`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HelloParams {
    /// Who calls.
    pub client: ClientInfo,
}

/// What the daemon takes at most, and how long it remembers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HelloLimits {
    /// Bytes of one request line.
    pub max_line: u64,
    /// Requests in one batch.
    pub max_batch: u64,
    /// Nesting of JSON.
    pub max_depth: u64,
    /// Unanswered requests of one connection at which the daemon stops reading it.
    pub max_unanswered: u64,
    /// Subscriptions of one connection.
    pub max_subscriptions: u64,
    /// Connections at the same time.
    pub max_clients: u64,
    /// Bytes of one message on the wire to the server.
    pub max_message: u64,
    /// Finished messages that are remembered …
    pub keep_finished: u64,
    /// … and for how many milliseconds, whichever ends first.
    pub keep_finished_age_ms: u64,
}

/// Result of `hello`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HelloResult {
    /// Version of this interface.
    pub protocol: u32,
    /// Version of the daemon.
    pub daemon_version: String,
    /// Which database: event numbers mean nothing across epochs.
    pub epoch: Epoch,
    /// Changes with every start of the daemon.
    pub instance_id: String,
    /// What is taken at most.
    pub limits: HelloLimits,
    /// What this daemon can do beyond the plain methods.
    pub features: Vec<String>,
}

/// A binary body in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Binary {
    /// How `data` is written.
    pub encoding: Encoding,
    /// The bytes.
    pub data: String,
}

/// How bytes are written in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// RFC 4648, 4: the standard alphabet, with padding.
    Base64,
}

/// Parameters of `messages.send`: exactly one of `data`, `text`, `binary`; `type` with `data` only.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SendParams {
    /// Type of the message; goes with `data` only.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none", default)]
    pub kind: Option<String>,
    /// A JSON body: any value, `null` too.
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "present")]
    #[schemars(with = "Option<serde_json::Value>")]
    pub data: Option<Box<RawValue>>,
    /// The body of a raw text frame.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub text: Option<String>,
    /// The body of a raw binary frame.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub binary: Option<Binary>,
    /// The id of your choice (use a UUID): the same id and body again give the same receipt.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub id: Option<MessageId>,
    /// Never send it later than this many milliseconds from now.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ttl_ms: Option<u64>,
    /// Its key, instead of the one the configuration finds in `data`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key: Option<String>,
    /// The lane whose order it keeps.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub lane: Option<String>,
    /// Its class, instead of the configured one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub delivery: Option<Delivery>,
    /// How far to wait before answering; `queued` where absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub wait: Option<Level>,
    /// How long to wait for that; 30,000 where absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub timeout_ms: Option<u64>,
}

/// Parameters of `messages.request`: exactly one of `data`, `text`, `binary`; `type` with `data` only.
/// What speaks of a place in the queue (`ttl_ms`, `key`, `lane`, `delivery`, `wait`) has no meaning here.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestParams {
    /// Type of the request; goes with `data` only.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none", default)]
    pub kind: Option<String>,
    /// A JSON body: any value, `null` too.
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "present")]
    #[schemars(with = "Option<serde_json::Value>")]
    pub data: Option<Box<RawValue>>,
    /// The body of a raw text frame, where the dialect has replies for such.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub text: Option<String>,
    /// The body of a raw binary frame, where the dialect has replies for such.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub binary: Option<Binary>,
    /// The id it goes out with; the daemon makes one where absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub id: Option<MessageId>,
    /// How long to wait for the reply; 30,000 where absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub timeout_ms: Option<u64>,
}

/// Result of `messages.request`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct RequestResult {
    /// The id it went out with.
    pub id: MessageId,
    /// The body of the server's reply, as that of an event; null where it has none.
    #[serde(default)]
    #[schemars(with = "Option<serde_json::Value>")]
    pub reply: Option<Box<RawValue>>,
}

/// Parameters of `messages.get`, `.cancel`, `.retry`, `.drop`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MessageParams {
    /// Which message.
    pub id: MessageId,
}

/// Parameters of `messages.list`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MessagesListParams {
    /// Only these states; absent: all.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub state: Option<Vec<MessageState>>,
    /// Only types that fit one of these globs; absent: all.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none", default)]
    pub kind: Option<Vec<String>>,
    /// At most this many; 100 where absent, never more than 1,000.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub limit: Option<u32>,
    /// Go on behind this message.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub after: Option<MessageId>,
}

/// Result of `messages.list`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct MessagesListResult {
    /// By their places in the queue, oldest first, without history.
    pub messages: Vec<Message>,
    /// Whether there are more behind the last one.
    pub more: bool,
}

/// Parameters of `messages.watch`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WatchParams {
    /// Only these messages; absent: all.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ids: Option<Vec<MessageId>>,
}

/// Result of `status.watch` and `messages.watch`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SubscriptionResult {
    /// Names the subscription in its notifications; holds for this connection.
    pub subscription: String,
}

/// Where to begin reading events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Start {
    /// A named place.
    At(Anchor),
    /// The first event with at least this number.
    Seq(Seq),
}

impl<'de> Deserialize<'de> for Start {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;
        impl Visitor<'_> for Written {
            type Value = Start;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the number of an event, \"now\", \"earliest\" or \"cursor\"")
            }

            fn visit_i64<E>(self, seq: i64) -> Result<Start, E> {
                Ok(Start::Seq(Seq(seq)))
            }

            fn visit_u64<E>(self, seq: u64) -> Result<Start, E> {
                Ok(Start::Seq(Seq(i64::try_from(seq).unwrap_or(i64::MAX))))
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<Start, E> {
                match word {
                    "now" => Ok(Start::At(Anchor::Now)),
                    "earliest" => Ok(Start::At(Anchor::Earliest)),
                    "cursor" => Ok(Start::At(Anchor::Cursor)),
                    _ => Err(E::invalid_value(Unexpected::Str(word), &self)),
                }
            }
        }
        deserializer.deserialize_any(Written)
    }
}

/// A named place in the sequence of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Anchor {
    /// Behind the newest event.
    Now,
    /// The oldest kept event.
    Earliest,
    /// Behind what the cursor has acknowledged.
    Cursor,
}

/// Parameters of `events.list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EventsListParams {
    /// Where to begin: a number, `"earliest"` or `"now"`.
    pub from: Start,
    /// Only types that fit one of these globs; absent: all.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub types: Option<Vec<String>>,
    /// At most this many; 100 where absent, never more than 1,000.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub limit: Option<u32>,
    /// Fail with `wrong_epoch` where the database is another one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub epoch: Option<Epoch>,
}

/// Result of `events.list`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct EventsListResult {
    /// The oldest that fit, by number.
    pub events: Vec<Event>,
    /// What is missing between them.
    pub gaps: Vec<Gap>,
    /// Where to go on: goes back in as `from`.
    pub next: Seq,
    /// Whether there is more to be had there now.
    pub more: bool,
    /// Which database.
    pub epoch: Epoch,
    /// The oldest kept number.
    pub first_seq: Option<Seq>,
    /// The newest number.
    pub last_seq: Option<Seq>,
}

/// Who moves a cursor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AckMode {
    /// The daemon, once the event was written to the socket.
    #[default]
    Auto,
    /// The app, by `events.ack`.
    Manual,
}

/// Parameters of `events.subscribe`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SubscribeParams {
    /// Where to begin; absent: `"cursor"` where a cursor is named, else `"now"`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub from: Option<Start>,
    /// Only types that fit one of these globs; absent: all.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub types: Option<Vec<String>>,
    /// Name of a durable cursor; created where it does not exist.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cursor: Option<String>,
    /// Who moves the cursor; `auto` where absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ack: Option<AckMode>,
    /// Unacknowledged events at which the daemon stops feeding (`manual` only); 1,000 where absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub max_inflight: Option<u32>,
    /// Fail with `wrong_epoch` where the database is another one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub epoch: Option<Epoch>,
}

/// Result of `events.subscribe`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SubscribeResult {
    /// Names the subscription in its notifications; holds for this connection.
    pub subscription: String,
    /// The first number that can come.
    pub from: Seq,
    /// Which database.
    pub epoch: Epoch,
    /// The cursor was created by this call; absent without a cursor.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub created: Option<bool>,
}

/// Parameters of `events.ack`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AckParams {
    /// Name of the cursor.
    pub cursor: String,
    /// Everything through this number is done.
    pub seq: Seq,
    /// Fail with `wrong_epoch` where the database is another one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub epoch: Option<Epoch>,
}

/// Result of `events.ack`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AckResult {
    /// Name of the cursor.
    pub cursor: String,
    /// Where it stands now: never behind where it stood.
    pub seq: Seq,
}

/// Parameters of `state.get`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StateGetParams {
    /// Type of the event.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its key.
    pub key: String,
}

/// Parameters of `state.list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StateListParams {
    /// Type of the events.
    #[serde(rename = "type")]
    pub kind: String,
    /// At most this many; 100 where absent, never more than 1,000.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub limit: Option<u32>,
    /// Go on behind this key.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub after: Option<String>,
}

/// Result of `state.list`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct StateListResult {
    /// The newest event of each key, by key.
    pub events: Vec<Event>,
    /// Whether there are more keys behind the last one.
    pub more: bool,
    /// The last key of this page: goes back in as `after`. Absent on an empty page.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<String>,
}

/// Result of `cursors.list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CursorsListResult {
    /// By name.
    pub cursors: Vec<CursorStatus>,
}

/// Parameters of `cursors.delete`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CursorParams {
    /// Name of the cursor.
    pub name: String,
}

/// Parameters of `quarantine.list`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QuarantineListParams {
    /// At most this many; 100 where absent, never more than 1,000.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub limit: Option<u32>,
    /// Go on behind this entry.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub after: Option<Seq>,
}

/// Result of `quarantine.list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QuarantineListResult {
    /// Oldest first.
    pub entries: Vec<QuarantineEntry>,
    /// Whether there are more behind the last one.
    pub more: bool,
}

/// Parameters of `quarantine.drop`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QuarantineDropParams {
    /// Which entry.
    pub id: Seq,
}

/// Parameters of `quarantine.retry`: one entry, or all in pages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QuarantineRetryParams {
    /// Which entry; all where absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub id: Option<Seq>,
    /// Of all entries at most this many; 100 where absent, never more than 1,000.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub limit: Option<u32>,
    /// Of all entries those behind this one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub after: Option<Seq>,
}

/// Result of `quarantine.retry`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QuarantineRetryResult {
    /// Entries that fit now and are out of quarantine.
    pub released: u32,
    /// New events that came of them, at the end of the sequence.
    pub events: u32,
    /// Events among them that were there already, or are outdated by a newer value of their key.
    pub duplicates: u32,
    /// Entries that stay, with the reason of now.
    pub kept: u32,
    /// Whether there are entries that were not looked at.
    pub more: bool,
    /// The last entry looked at: goes back in as `after`. Absent where `id` was given, or nothing
    /// was there.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<Seq>,
}

/// Result of `link.pause`, `.resume`, `.reconnect`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LinkResult {
    /// What the link is doing now.
    pub state: LinkState,
}

/// Parameters of `link.history` and `notifications.history`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HistoryParams {
    /// At most this many; 100 where absent, never more than 1,000.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub limit: Option<u32>,
}

/// Result of `link.history`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HistoryResult {
    /// The newest changes of the link's state, oldest first.
    pub history: Vec<Transition>,
}

/// Result of `config.reload`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReloadResult {
    /// Keys that changed and hold now.
    pub changed: Vec<String>,
    /// Whether the link is dialled anew for it.
    pub reconnect: bool,
    /// Keys that changed and hold after a restart only.
    pub needs_restart: Vec<String>,
}

/// Result of `metrics`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MetricsResult {
    /// Prometheus text exposition.
    pub text: String,
}

/// Result of `daemon.stop`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StopResult {
    /// Always true.
    pub stopping: bool,
}

/// Parameters of `unsubscribe`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnsubscribeParams {
    /// As the subscribe call named it.
    pub subscription: String,
}

/// Keeps a `null` that was written apart from a member that was not.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(deserializer).map(Some)
}
