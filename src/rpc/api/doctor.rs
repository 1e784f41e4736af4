//! What the doctor looks at, and what it says.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Parameters of `doctor`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DoctorParams {
    /// Look the whole database through now, instead of telling what the daily look found. Takes
    /// seconds for each GiB, in which questions to the database wait.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub full: Option<bool>,
}

/// Result of `doctor`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DoctorResult {
    /// From the configuration over the way to the server to the disk; always the same ones, but
    /// for one entry each for what `health` holds.
    pub checks: Vec<Check>,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// What: `configuration`, `name`, `tls`, `store`, …
    pub code: String,
    /// Whether it is in order; `null` where it was not tried, or there is nothing to try.
    pub ok: Option<bool>,
    /// What was found, for people.
    pub detail: String,
    /// What to do; absent where there is nothing to do.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hint: Option<String>,
    /// How long it took, where that says something.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub took_ms: Option<u64>,
}

impl Check {
    /// It is in order.
    #[must_use]
    pub fn good(code: &str, detail: impl Into<String>) -> Self {
        Self { code: code.into(), ok: Some(true), detail: detail.into(), hint: None, took_ms: None }
    }

    /// It is not, and this is what to do.
    #[must_use]
    pub fn bad(code: &str, detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { ok: Some(false), ..Self::good(code, detail) }.hint(hint)
    }

    /// Nobody knows, or it does not matter here.
    #[must_use]
    pub fn open(code: &str, detail: impl Into<String>) -> Self {
        Self { ok: None, ..Self::good(code, detail) }
    }

    /// With what to do, unless that is nothing.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into()).filter(|hint| !hint.is_empty());
        self
    }

    /// With how long it took.
    #[must_use]
    pub fn took(mut self, took: std::time::Duration) -> Self {
        self.took_ms = Some(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
        self
    }
}
