//! What `status` answers, schema 1. Held in memory; asking for it never touches the store.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Durability, Epoch, LinkState, Reason, Seq, Timestamp};

/// The whole report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StatusReport {
    /// Version of this shape: 1.
    pub schema: u32,
    /// The process.
    pub daemon: DaemonStatus,
    /// The session with the server.
    pub link: LinkStatus,
    /// What goes out.
    pub outbox: OutboxStatus,
    /// What came in.
    pub inbox: InboxStatus,
    /// The durable cursors.
    pub cursors: Vec<CursorStatus>,
    /// The apps connected now, 32 of them at most.
    pub clients: Vec<ClientStatus>,
    /// How many there are.
    #[serde(default)]
    pub clients_total: u64,
    /// Desktop notifications.
    pub notifications: NotificationStatus,
    /// The database.
    pub store: StoreStatus,
    /// What is not as it should be.
    pub health: Vec<HealthEntry>,
}

/// The process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DaemonStatus {
    /// Version of holdline.
    pub version: String,
    /// Process id.
    pub pid: u32,
    /// Changes with every start.
    pub instance_id: String,
    /// Name of the profile.
    pub profile: String,
    /// When it started.
    pub started_at: Timestamp,
    /// Where its configuration is.
    pub config_path: String,
}

/// How the last connection was closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CloseStatus {
    /// Close code (RFC 6455, 7.4).
    pub code: u16,
    /// The server's reason.
    pub reason: String,
}

/// The session with the server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LinkStatus {
    /// For programs.
    pub state: LinkState,
    /// For people.
    pub label: String,
    /// Since when it is in this state.
    pub since: Timestamp,
    /// Why; `null` while connected.
    pub reason: Option<Reason>,
    /// Where to, without anything secret.
    pub url: String,
    /// Attempt number since the last connection; 0 while connected.
    pub attempt: u32,
    /// When the next attempt is due.
    pub next_retry_at: Option<Timestamp>,
    /// When it was last connected.
    pub last_connected_at: Option<Timestamp>,
    /// How the last connection was closed.
    pub last_close: Option<CloseStatus>,
    /// The last HTTP status of a refused upgrade.
    pub last_http_status: Option<u16>,
    /// Round trip of the last heartbeat, in milliseconds.
    pub rtt_ms: Option<f64>,
    /// Connections since the start of the daemon after the first.
    pub reconnects: u64,
    /// Whether the present connection resumed where the last one ended.
    pub resumed: Option<bool>,
    /// Name of the dialect.
    pub dialect: String,
    /// What confirms a message here: `reply`, `barrier`, `sent`, or `learning`.
    pub confirm: String,
}

/// What goes out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OutboxStatus {
    /// Waiting for their turn.
    pub queued: u64,
    /// Written and not confirmed.
    pub in_flight: u64,
    /// Waiting for a person after failures.
    pub parked: u64,
    /// Waiting for a person because it cannot be known whether they arrived.
    pub uncertain: u64,
    /// Bytes of all unfinished messages.
    pub bytes: u64,
    /// `outbox.max_messages`.
    pub limit_messages: u64,
    /// `outbox.max_bytes`.
    pub limit_bytes: u64,
    /// Receipt time of the oldest unfinished message.
    pub oldest_queued_at: Option<Timestamp>,
    /// Attempts written since this database began.
    pub sent_total: u64,
    /// Messages that ended well since this database began.
    pub confirmed_total: u64,
    /// Messages dropped since this database began.
    pub dropped_total: u64,
}

/// What came in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InboxStatus {
    /// First kept number.
    pub first_seq: Option<Seq>,
    /// Last number handed out.
    pub last_seq: Option<Seq>,
    /// Kept events.
    pub events: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Frames in quarantine.
    pub quarantined: u64,
    /// Events seen again and not stored twice, since this database began.
    pub duplicates_total: u64,
    /// When the last event came.
    #[serde(default)]
    pub last_event_at: Option<Timestamp>,
    /// Type of the last event.
    #[serde(default)]
    pub last_event_type: Option<String>,
}

/// A durable cursor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CursorStatus {
    /// Its name.
    pub name: String,
    /// Acknowledged through here.
    pub seq: Seq,
    /// Numbers between it and the last one.
    pub lag: u64,
    /// Whether an app reads with it now.
    pub connected: bool,
    /// When an app last did.
    pub last_seen: Option<Timestamp>,
}

/// An app connected now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClientStatus {
    /// What it called itself, or `""`.
    pub name: String,
    /// Its process id, for showing only.
    pub pid: Option<u32>,
    /// Since when.
    pub since: Timestamp,
    /// How many subscriptions it holds.
    pub subscriptions: u64,
}

/// Desktop notifications.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NotificationStatus {
    /// Whether they can be shown.
    pub available: bool,
    /// By whom.
    pub backend: Option<String>,
    /// Muted until then.
    pub muted_until: Option<Timestamp>,
    /// Shown.
    pub shown: u64,
    /// Collapsed into another one.
    pub collapsed: u64,
    /// Suppressed by quiet hours or mute.
    pub suppressed: u64,
    /// Failed.
    pub failed: u64,
    /// Why none can be shown.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// Whether they are switched on.
    #[serde(default)]
    pub enabled: bool,
    /// How many rules there are.
    #[serde(default)]
    pub rules: u64,
    /// Whether it is quiet now.
    #[serde(default)]
    pub quiet: bool,
    /// Templates and conditions that failed on an event.
    #[serde(default)]
    pub template_failed: u64,
    /// Commands that were run.
    #[serde(default)]
    pub commands: u64,
    /// Commands that failed, or found no place.
    #[serde(default)]
    pub commands_failed: u64,
}

/// The database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoreStatus {
    /// Where it is.
    pub path: String,
    /// Which one it is.
    pub epoch: Epoch,
    /// Size of its files, in bytes.
    pub bytes: u64,
    /// What a receipt stands for.
    pub durability: Durability,
}

/// How much a health entry matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Somebody should look.
    Warning,
    /// Something does not work.
    Error,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HealthEntry {
    /// One word.
    pub code: String,
    /// How much it matters.
    pub severity: Severity,
    /// Since when.
    pub since: Timestamp,
    /// A sentence.
    pub text: String,
    /// What to do.
    pub hint: String,
}
