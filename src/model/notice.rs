//! What became of notifications.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Seq, Timestamp};

/// What became of a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NoticeOutcome {
    /// The desktop took it.
    Shown,
    /// It is part of another one, which says how many there were.
    Collapsed,
    /// It was not to be shown.
    Suppressed,
    /// It was to be shown and could not be, or its command failed.
    Failed,
}

impl NoticeOutcome {
    /// The word as it is written in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shown => "shown",
            Self::Collapsed => "collapsed",
            Self::Suppressed => "suppressed",
            Self::Failed => "failed",
        }
    }
}

/// One line of what became of notifications.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NoticeEntry {
    /// When; of several the last.
    pub at: Timestamp,
    /// What became of it.
    pub outcome: NoticeOutcome,
    /// Why, in one word: `quiet`, `muted`, `burst`, `catch_up`, `replaced`, `behind`, `off`, `queue`,
    /// `service`, `command`, `template`, `test`. Absent where there is nothing to say.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// Why, as a sentence.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub detail: Option<String>,
    /// Type of the event; `link` for a change of the link.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its title, where it got as far as having one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub title: Option<String>,
    /// Number of the event; of several the last. `null` where it has none.
    pub seq: Option<Seq>,
    /// How many it stands for.
    pub count: u64,
}
