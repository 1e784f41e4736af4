//! What the daemon tells without being asked each time.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::{Epoch, Event, GapReason, LinkStatus, MessageId, MessageState, Seq};

/// Notification `event`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct EventNote {
    /// Whose.
    pub subscription: String,
    /// Which database.
    pub epoch: Epoch,
    /// The event.
    pub event: Event,
    /// The number told before on this subscription (a gap's last one counts); for the first one
    /// the number before the subscription's `from`. `null` for ephemeral events.
    pub prev: Option<Seq>,
    /// It was there before the subscription caught up with the newest event.
    pub replay: bool,
}

/// Notification `caught_up`: once, when all that was there is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CaughtUpNote {
    /// Whose.
    pub subscription: String,
    /// Everything through this number is told.
    pub seq: Seq,
}

/// Notification `gap`: events are missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GapNote {
    /// Whose.
    pub subscription: String,
    /// First missing number, or the gap's own one.
    pub from: Seq,
    /// Last missing number, or the gap's own one.
    pub to: Seq,
    /// Why.
    pub reason: GapReason,
}

/// Notification `lagged`: ephemeral events were dropped because this reader was slow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LaggedNote {
    /// Whose.
    pub subscription: String,
    /// How many of all types, at most.
    pub missed: u64,
}

/// Notification `status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StatusNote {
    /// Whose.
    pub subscription: String,
    /// The link as it is now.
    pub link: LinkStatus,
}

/// Notification `delivery`: a message moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeliveryNote {
    /// Whose.
    pub subscription: String,
    /// Which message.
    pub id: MessageId,
    /// Where to.
    pub state: MessageState,
    /// In which attempt.
    pub attempt: u32,
    /// Why, where there is a why.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
}

/// Why a subscription ended without being asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// Another subscription reads with its cursor now.
    TakenOver,
    /// The reader was too slow to be told every change.
    Slow,
    /// The events could not be read from the database.
    StoreFailed,
}

/// Notification `ended`: nothing further comes on this subscription.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EndedNote {
    /// Whose.
    pub subscription: String,
    /// Why.
    pub reason: EndReason,
}

/// Notification `closing`: the daemon stops and closes the connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClosingNote {
    /// Why, in words.
    pub reason: String,
}
