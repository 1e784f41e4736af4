//! Of `notifications.*`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::{NoticeEntry, Timestamp};

/// Parameters of `notifications.mute`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MuteParams {
    /// For how many milliseconds; absent: until `notifications.unmute`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub for_ms: Option<u64>,
}

/// Result of `notifications.mute`, `.unmute`, `.test`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NotificationsResult {
    /// Until when they are muted; `null` where they are not. The beginning of the year 9999
    /// stands for no end.
    pub muted_until: Option<Timestamp>,
    /// Who showed it (`test` only).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub backend: Option<String>,
}

/// Result of `notifications.history`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NotificationsHistoryResult {
    /// What became of the newest notifications of this run, oldest first.
    pub history: Vec<NoticeEntry>,
}
