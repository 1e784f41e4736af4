//! `[notifications]` and `[[notify]]`: checked, and their templates compiled.

use std::time::Duration;

use serde_json::Value as Json;

use super::DAY;
use crate::config::Problem;
use crate::config::kinds::{Command, Count, Data, Flag, JsonPointer, List, OneOf, Span, Text, Visible};
use crate::config::section::Section;
use crate::model::TypeGlob;
use crate::model::json::Pointer;
use crate::notify::Run;
use crate::notify::template::{Condition, Fault, Template};
pub use crate::notify::{
    On as NotifyOn, QuietRange, Rule as NotifyRule, Settings as Notifications, Urgency, Weekday,
};

/// Most rules.
const MAX_RULES: usize = 256;
/// Most ranges of quiet hours.
const MAX_QUIET: usize = 32;
/// Longest wait for what was missed: later than that it is no news.
const MAX_CATCH_UP: Duration = Duration::from_secs(600);
/// Longest a command of a rule may take.
const MAX_RUN: Duration = Duration::from_secs(3_600);
/// Values of one pointer.
const MAX_VALUES: usize = 256;

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

const SOUND: Text = Text {
    visible: Visible::All,
    name: "the name of a sound",
    check: |text| {
        let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if (1..=100).contains(&text.len()) && text.chars().all(name) {
            Ok(())
        } else {
            Err(("this names no sound", "write it like \"message-new-instant\""))
        }
    },
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
    let catch_up = it.value(
        "catch_up",
        &Span(Duration::ZERO..=MAX_CATCH_UP),
        Duration::from_secs(5),
        "What comes within this time after the link is up becomes one with a count; `0s` leaves that to `burst`.",
    );
    let ranges = it.listed("quiet", MAX_QUIET);
    let quiet = ranges.iter().filter_map(|range| quiet(it.child("quiet", range, true))).collect();
    it.end();
    let children = root.listed("notify", MAX_RULES);
    let rules = children.iter().filter_map(|child| rule(root.child("notify", child, true))).collect();
    let burst = u32::try_from(burst).unwrap_or(u32::MAX);
    Notifications { enabled, quiet, burst, burst_window, catch_up, rules }
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
    let condition = it.optional(
        "if",
        &Text::ANY,
        "Only where this holds as well: `data.price > 10 and type == 'trade'`. What cannot be said of an event does not hold.",
    );
    let title = it.optional_or(
        "title",
        &Text::ANY,
        "the type",
        "Template of the title; `{{ data.… }}` are values of the event.",
    );
    let body = it.optional("body", &Text::ANY, "Template of the body.");
    let urgencies =
        OneOf(&[("low", Urgency::Low), ("normal", Urgency::Normal), ("critical", Urgency::Critical)]);
    let urgency =
        it.value("urgency", &urgencies, Urgency::Normal, "How loud. `critical` passes quiet hours.");
    let sound = it.optional("sound", &SOUND, "A sound of the desktop's theme, by its name.");
    let group =
        it.optional("group", &JsonPointer, "A newer one with the same value here replaces the one shown.");
    let run = it.optional(
        "run",
        &Command,
        "A command to run for it, without a shell; the event is one line of JSON on its standard input.",
    );
    let timeout = it.value(
        "run_timeout",
        &Span(Duration::from_millis(100)..=MAX_RUN),
        Duration::from_secs(10),
        "How long the command may take; then it is ended.",
    );
    let show = it.optional_or(
        "show",
        &Flag,
        "true, but false with `run` and neither `title` nor `body`",
        "Whether it is shown.",
    );
    let show = show.unwrap_or(run.is_none() || title.is_some() || body.is_some());
    if !show && run.is_none() {
        it.problem(
            "show",
            Problem::new("conflict", "this rule does nothing", "give it `run`, or take the rule out"),
        );
    }
    let when = when.map_or_else(Vec::new, |map| conditions(&mut it, map));
    let condition = condition.and_then(|text| compiled(&mut it, "if", Condition::compile(&text)));
    let title = title.and_then(|text| compiled(&mut it, "title", Template::compile(&text)));
    let body = body.and_then(|text| compiled(&mut it, "body", Template::compile(&text)));
    let run = run.map(|argv| Run { argv: argv.into(), timeout });
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
    Some(NotifyRule { on: on?, when, condition, show, title, body, urgency, sound, group, run })
}

/// What was compiled; a fault is told with its place inside the text.
fn compiled<T>(it: &mut Section<'_, '_>, name: &str, outcome: Result<T, Fault>) -> Option<T> {
    match outcome {
        Ok(compiled) => Some(compiled),
        Err(Fault { range, message, hint }) => {
            let message = format!("`{}`: {message}", it.key(name));
            it.problem_inside(name, &range, Problem::new("bad_template", message, hint));
            None
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct NotifyLink;

fn conditions(it: &mut Section<'_, '_>, map: serde_json::Map<String, Json>) -> Vec<(Pointer, Vec<Json>)> {
    let mut conditions = Vec::with_capacity(map.len());
    for (pointer, values) in map {
        match Pointer::parse(&pointer) {
            Ok(pointer) => {
                let values = if let Json::Array(values) = values { values } else { vec![values] };
                if values.len() > MAX_VALUES {
                    let message = format!("`{pointer}` has {} values", values.len());
                    it.problem(
                        "when",
                        Problem::new("bad_value", message, format!("there may be {MAX_VALUES}")),
                    );
                }
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
