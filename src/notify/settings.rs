//! What the configuration says of notifications: `[notifications]` and `[[notify]]`.

use std::sync::Arc;
use std::time::Duration;

use super::rules::Rule;

/// All of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Whether any are shown.
    pub enabled: bool,
    /// Quiet hours, in local time.
    pub quiet: Vec<QuietRange>,
    /// More than this many within `burst_window` become one.
    pub burst: u32,
    /// See `burst`.
    pub burst_window: Duration,
    /// What comes within this time after the link is up is gathered into one.
    pub catch_up: Duration,
    /// The rules, in file order.
    pub rules: Arc<[Rule]>,
}

/// A range of quiet hours. Where `to` is not after `from` it ends on the next day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuietRange {
    /// Minutes after midnight.
    pub from: u32,
    /// Minutes after midnight.
    pub to: u32,
    /// The days on which it begins.
    pub days: Vec<Weekday>,
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Weekday {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}
