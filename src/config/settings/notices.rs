//! `[notifications]` and `[[notify]]`: checked for their shape and kept as data.

use std::time::Duration;

use serde_json::Value as Json;

use super::DAY;
use crate::config::Problem;
use crate::config::kinds::{Count, Data, Flag, JsonPointer, List, OneOf, Span, Text, Visible};
use crate::config::section::Section;
use crate::model::TypeGlob;
use crate::model::json::Pointer;
pub use crate::notify::Urgency;

/// `[notifications]` and `[[notify]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Notifications {
    /// Whether any are shown.
    pub enabled: bool,
    /// Quiet hours, in local time.
    pub quiet: Vec<QuietRange>,
    /// More than this many within `burst_window` become one.
    pub burst: u32,
    /// See `burst`.
    pub burst_window: Duration,
    /// The rules, in file order.
    pub rules: Vec<NotifyRule>,
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

/// `[[notify]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct NotifyRule {
    /// What it is about.
    pub on: NotifyOn,
    /// Each pointer into the data must find one of its values.
    pub when: Vec<(Pointer, Vec<Json>)>,
    /// Template of the title.
    pub title: Option<String>,
    /// Template of the body.
    pub body: Option<String>,
    /// How loud.
    pub urgency: Urgency,
    /// A newer notification with the same value here replaces the shown one.
    pub group: Option<Pointer>,
}

/// What a rule is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotifyOn {
    /// Events of these types.
    Type(TypeGlob),
    /// Changes of the link that need a person.
    Link,
}

/// Most rules.
const MAX_RULES: usize = 256;
/// Most ranges of quiet hours.
const MAX_QUIET: usize = 32;

const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

const TIME_OF_DAY: Text = Text {
    visible: Visible::All,
    name: "a time of day",
    check: |text| minutes(text).map(|_| ()).ok_or(("this is no time of day", "write it like \"22:00\"")),
};

fn minutes(text: &str) -> Option<u32> {
    let (hour, minute) = text.split_once(':')?;
    let two = |part: &str| {
        (part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit())).then(|| part.parse().ok())?
    };
    let (hour, minute): (u32, u32) = (two(hour)?, two(minute)?);
    (hour < 24 && minute < 60).then_some(hour * 60 + minute)
}

pub(super) fn read(root: &mut Section<'_, '_>) -> Notifications {
    let mut it = root.section("notifications");
    let enabled = it.value("enabled", &Flag, true, "Whether desktop notifications are shown at all.");
    let burst = it.value(
        "burst",
        &Count(1..=1000),
        5,
        "More than this many within `burst_window` become one with a count.",
    );
    let burst_window = it.value(
        "burst_window",
        &Span(Duration::from_millis(100)..=DAY),
        Duration::from_secs(10),
        "See `burst`.",
    );
    let ranges = it.listed("quiet", MAX_QUIET);
    let quiet = ranges.iter().filter_map(|range| quiet(it.child("quiet", range, true))).collect();
    it.end();
    let children = root.listed("notify", MAX_RULES);
    let rules = children.iter().filter_map(|child| rule(root.child("notify", child, true))).collect();
    Notifications { enabled, quiet, burst: u32::try_from(burst).unwrap_or(u32::MAX), burst_window, rules }
}

fn quiet(mut it: Section<'_, '_>) -> Option<QuietRange> {
    let from = it.required("from", &TIME_OF_DAY, "Local time at which the quiet begins.");
    let to = it.required(
        "to",
        &TIME_OF_DAY,
        "Local time at which it ends, on the next day where that is not later.",
    );
    let days = List { of: "days", item: OneOf(&DAYS), length: 1..=7 };
    let all = DAYS.iter().map(|(_, day)| *day).collect();
    let days = it.value("days", &days, all, "Days on which it begins.");
    it.end();
    Some(QuietRange { from: minutes(&from?)?, to: minutes(&to?)?, days })
}

fn rule(mut it: Section<'_, '_>) -> Option<NotifyRule> {
    let kind = it.optional("type", &Text::ANY, "Events of this type, or of the types that fit this glob …");
    let on = it.optional(
        "on",
        &OneOf(&[("link", NotifyLink)]),
        "… or changes of the link that need a person. Each rule has one of the two.",
    );
    let when = it.optional(
        "when",
        &Data { visible: Visible::All },
        "Only where each JSON Pointer into the data finds one of its values.",
    );
    let title =
        it.optional("title", &Text::ANY, "Template of the title; `{{ data.… }}` are values of the event.");
    let body = it.optional("body", &Text::ANY, "Template of the body.");
    let urgencies =
        OneOf(&[("low", Urgency::Low), ("normal", Urgency::Normal), ("critical", Urgency::Critical)]);
    let urgency =
        it.value("urgency", &urgencies, Urgency::Normal, "How loud. `critical` passes quiet hours.");
    let group =
        it.optional("group", &JsonPointer, "A newer one with the same value here replaces the one shown.");
    let when = when.map_or_else(Vec::new, |map| conditions(&mut it, map));
    let on = match (kind, on) {
        (Some(kind), None) => Some(NotifyOn::Type(TypeGlob::new(&kind))),
        (None, Some(NotifyLink)) => Some(NotifyOn::Link),
        (Some(_), Some(NotifyLink)) => {
            it.problem(
                "on",
                Problem::new("conflict", "a rule is about events or about the link", "keep `type` or `on`"),
            );
            None
        }
        (None, None) => {
            if !it.has("type") && !it.has("on") {
                it.section_problem(Problem::new(
                    "missing_key",
                    "this rule does not say what it is about",
                    "add `type = \"…\"` or `on = \"link\"`",
                ));
            }
            None
        }
    };
    it.end();
    Some(NotifyRule { on: on?, when, title, body, urgency, group })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct NotifyLink;

fn conditions(it: &mut Section<'_, '_>, map: serde_json::Map<String, Json>) -> Vec<(Pointer, Vec<Json>)> {
    let mut conditions = Vec::with_capacity(map.len());
    for (pointer, values) in map {
        match Pointer::parse(&pointer) {
            Ok(pointer) => {
                let values = if let Json::Array(values) = values { values } else { vec![values] };
                conditions.push((pointer, values));
            }
            Err(fault) => it.problem(
                "when",
                Problem::new("bad_value", fault, "write it like { \"/status\" = [\"delivered\"] }"),
            ),
        }
    }
    conditions
}
