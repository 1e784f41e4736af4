//! `[heartbeat]`, `[reconnect]`, `[outbox]`, `[inbox]`, `[types]`, `[lanes]`: how messages and
//! events are moved and kept.

use std::sync::Arc;
use std::time::Duration;

use super::{DAY, TEN_YEARS, schema};
use crate::config::Problem;
use crate::config::kinds::{Count, FilePath, Fraction, JsonPointer, List, OneOf, Size, Span, Text, clip};
use crate::config::section::Section;
use crate::model::{Confirm, Delivery, Resend, TypeGlob, TypeRule, TypeRules};

/// `[heartbeat]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heartbeat {
    /// How.
    pub mode: HeartbeatMode,
    /// Idle time after which one is sent; none: the dialect's, else 20 s.
    pub interval: Option<Duration>,
    /// How long to wait then; none: the dialect's, else 10 s.
    pub timeout: Option<Duration>,
}

/// `heartbeat.mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeartbeatMode {
    /// WebSocket Ping, and the dialect's own with it if it has one.
    Auto,
    /// WebSocket Ping only.
    Ping,
    /// The dialect's own only.
    Message,
    /// None.
    Off,
}

/// `[reconnect]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Reconnect {
    /// Delay before each try; the last repeats. Never empty, never zero.
    pub delays: Vec<Duration>,
    /// Each delay times uniform(1 - jitter, 1).
    pub jitter: f64,
    /// Connected this long: the delays begin anew.
    pub stable_after: Duration,
    /// Failures in a row until the state says `unavailable`.
    pub unavailable_after: u32,
}

/// `[outbox]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outbox {
    /// Unfinished messages at most.
    pub max_messages: u64,
    /// Their bytes at most.
    pub max_bytes: u64,
    /// `overflow = "drop_oldest"`.
    pub drop_oldest: bool,
    /// Finished messages kept.
    pub keep_finished: u64,
    /// And for how long.
    pub keep_finished_age: Duration,
    /// Unconfirmed messages on the wire.
    pub window: usize,
    /// What confirms a message; none: as the dialect says (`auto`).
    pub confirm: Option<Confirm>,
    /// How long a confirmation may take.
    pub confirm_timeout: Duration,
    /// Attempts until a message is parked.
    pub max_attempts: u32,
    /// Messages a second after a reconnect; 0: no limit.
    pub drain_rate: u32,
}

/// `[inbox]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inbox {
    /// Events kept.
    pub max_events: u64,
    /// For how long.
    pub max_age: Duration,
    /// Bytes kept.
    pub max_bytes: u64,
}

/// `[lanes."NAME"]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lane {
    /// `on_failure = "block"`.
    pub block: bool,
    /// Unconfirmed messages of this lane on the wire; none: as many as `outbox.window`.
    pub window: Option<usize>,
}

/// Most delays.
const MAX_DELAYS: usize = 32;
/// Largest window, in messages.
const MAX_WINDOW: u64 = 65_536;
/// Longest name of a type or a lane, in bytes.
const MAX_NAME: usize = 256;

pub(super) fn heartbeat(mut it: Section<'_, '_>) -> Heartbeat {
    let modes = OneOf(&[
        ("auto", HeartbeatMode::Auto),
        ("ping", HeartbeatMode::Ping),
        ("message", HeartbeatMode::Message),
        ("off", HeartbeatMode::Off),
    ]);
    let span = Span(Duration::from_millis(10)..=DAY);
    let heartbeat = Heartbeat {
        mode: it.value("mode", &modes, HeartbeatMode::Auto, "`auto`: WebSocket Ping, and the dialect's heartbeat if it has one. `ping`, `message`: only the one or the other."),
        interval: it.optional_or("interval", &span, "as the dialect says, else `\"20s\"`", "Idle time after which a heartbeat is sent. Any byte from the server counts as life."),
        timeout: it.optional_or("timeout", &span, "as the dialect says, else `\"10s\"`", "How long to wait for a sign of life then, before the line counts as dead."),
    };
    it.end();
    heartbeat
}

pub(super) fn reconnect(mut it: Section<'_, '_>) -> Reconnect {
    let delay = Span(Duration::from_millis(1)..=DAY);
    let reconnect = Reconnect {
        delays: it.value(
            "delays",
            &List { of: "durations", item: delay, length: 1..=MAX_DELAYS },
            [2, 5, 10, 20, 30, 60].map(Duration::from_secs).to_vec(),
            "Delay before the first, second, … try. The last one repeats.",
        ),
        jitter: it.value("jitter", &Fraction, 0.5, "Each delay is multiplied with a random number from 1 − jitter to 1, so that not all come back at once."),
        stable_after: it.value("stable_after", &Span(Duration::ZERO..=DAY), Duration::from_secs(30), "Connected this long, or one reply of the server: the delays begin anew."),
        unavailable_after: narrow(it.value("unavailable_after", &Count(1..=1000), 5, "Failures in a row until the state says `unavailable` instead of `reconnecting`.")),
    };
    it.end();
    reconnect
}

/// The range of the key's kind fits into 32 bits.
fn narrow(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn window(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

const CONFIRM: OneOf<Option<Confirm>> = OneOf(&[
    ("auto", None),
    ("reply", Some(Confirm::Reply)),
    ("barrier", Some(Confirm::Barrier)),
    ("sent", Some(Confirm::Sent)),
]);

pub(super) fn outbox(mut it: Section<'_, '_>) -> Outbox {
    let overflow = OneOf(&[("reject", false), ("drop_oldest", true)]);
    let outbox = Outbox {
        max_messages: it.value("max_messages", &Count(1..=100_000_000), 100_000, "Unfinished messages at most, those waiting for a person included."),
        max_bytes: it.value("max_bytes", &Size(1024..=1 << 40), 256 << 20, "Their bytes at most."),
        drop_oldest: it.value("overflow", &overflow, false, "What a full queue does: refuse new messages, or drop the oldest one (counted and told)."),
        keep_finished: it.value("keep_finished", &Count(0..=100_000_000), 100_000, "Finished messages kept for questions and for recognising duplicates …"),
        keep_finished_age: it.value("keep_finished_age", &Span(Duration::ZERO..=TEN_YEARS), 7 * DAY, "… and for how long, whichever ends first."),
        window: window(it.value("window", &Count(1..=MAX_WINDOW), 256, "Unconfirmed messages on the wire at most.")),
        confirm: it.value("confirm", &CONFIRM, None, "What ends a message well: the server's `reply`, a `barrier` (the pong of a ping sent behind it), or being `sent`. `auto`: as the dialect says."),
        confirm_timeout: it.value("confirm_timeout", &Span(Duration::from_millis(10)..=DAY), Duration::from_secs(30), "How long that may take before the attempt counts as failed."),
        max_attempts: narrow(it.value("max_attempts", &Count(1..=1_000_000), 10, "Failed attempts on a living line until the message is parked for a person.")),
        drain_rate: narrow(it.value("drain_rate", &Count(0..=1_000_000), 0, "Messages a second at most while what gathered during an outage goes out; 0 is no limit.")),
    };
    it.end();
    outbox
}

pub(super) fn inbox(mut it: Section<'_, '_>) -> Inbox {
    let inbox = Inbox {
        max_events: it.value("max_events", &Count(1..=1_000_000_000), 1_000_000, "Events kept at most."),
        max_age: it.value(
            "max_age",
            &Span(Duration::from_secs(1)..=TEN_YEARS),
            30 * DAY,
            "How long they are kept.",
        ),
        max_bytes: it.value("max_bytes", &Size(64 << 10..=1 << 42), 1 << 30, "Their bytes at most."),
    };
    it.end();
    inbox
}

pub(super) fn types(root: &mut Section<'_, '_>, outbox: Option<Confirm>) -> TypeRules {
    let children = root.named("types");
    let mut rules = Vec::with_capacity(children.len());
    for child in &children {
        name_fits(root, "types", &child.name, child.span.clone());
        let glob = TypeGlob::new(&child.name);
        rules.push(type_rule(root.child("types", child, false), glob, outbox));
    }
    TypeRules(rules)
}

fn type_rule(mut it: Section<'_, '_>, glob: TypeGlob, outbox: Option<Confirm>) -> TypeRule {
    let delivery = OneOf(&[
        ("durable", Delivery::Durable),
        ("latest", Delivery::Latest),
        ("ephemeral", Delivery::Ephemeral),
    ]);
    let resend = OneOf(&[("always", Resend::Always), ("never", Resend::Never)]);
    let file = FilePath { env: it.env(), base: it.base() };
    let mut rule = TypeRule {
        glob,
        delivery: it.value("delivery", &delivery, Delivery::Durable, "`durable`: all are stored. `latest`: the newest per key. `ephemeral`: never stored. In both directions."),
        key: it.optional("key", &JsonPointer, "JSON Pointer into the data: which thing the message speaks of. `state` knows the newest per key."),
        ttl: it.optional_or("ttl", &Span(Duration::from_millis(1)..=TEN_YEARS), "none", "Outbound: not sent any more after this time, where the sender names none."),
        lane: it.optional_or("lane", &Text::ANY, "`\"default\"`", "Outbound: which lane it goes in, where the sender names none.").map(Arc::from),
        confirm: it.optional_or("confirm", &CONFIRM, "as `outbox.confirm`", "Outbound: what ends a message of this type well.").flatten(),
        resend: it.value("resend", &resend, Resend::Always, "Outbound: whether a message that was on the wire when the line broke goes out again, or waits as `uncertain` for a person."),
        schema: None,
    };
    let schema = it.optional("schema", &file, "Inbound: JSON Schema file that the data of such events has to fit; what does not goes to quarantine.");
    rule.schema = schema.and_then(|path| schema::judge(&mut it, "schema", &path));
    if rule.confirm.is_none() && it.has("confirm") && outbox.is_some() {
        let message = "`auto` for one type needs `auto` in [outbox], which says otherwise";
        let hint = "write `reply`, `barrier` or `sent` here, or take `outbox.confirm` out";
        it.problem("confirm", Problem::new("conflict", message, hint));
    }
    if let Some(lane) = &rule.lane
        && lane.len() > MAX_NAME
    {
        it.problem("lane", too_long("lane"));
    }
    it.end();
    rule
}

pub(super) fn lanes(root: &mut Section<'_, '_>) -> Vec<(Arc<str>, Lane)> {
    let on_failure = OneOf(&[("skip", false), ("block", true)]);
    let children = root.named("lanes");
    let mut lanes = Vec::with_capacity(children.len());
    for child in &children {
        name_fits(root, "lanes", &child.name, child.span.clone());
        let mut it = root.child("lanes", child, false);
        let lane = Lane {
            block: it.value("on_failure", &on_failure, false, "What a parked or rejected message does to those behind it: they go on (`skip`), or wait for a person (`block`)."),
            window: it
                .optional_or("window", &Count(1..=MAX_WINDOW), "as `outbox.window`", "Unconfirmed messages of this lane on the wire. 1 keeps strict order even over refusals.")
                .map(window),
        };
        it.end();
        lanes.push((Arc::from(child.name.as_str()), lane));
    }
    lanes
}

fn name_fits(root: &mut Section<'_, '_>, section: &str, name: &str, span: std::ops::Range<usize>) {
    let what = if section == "types" { "type" } else { "lane" };
    let problem = if name.is_empty() {
        Problem::new(
            "bad_value",
            format!("the name of a {what} is not empty"),
            "a glob like `*` fits all types",
        )
    } else if name.len() > MAX_NAME {
        too_long(what)
    } else {
        return;
    };
    root.key_problem(&format!("{section}.{}", clip(name)), span, problem);
}

fn too_long(what: &str) -> Problem {
    Problem::new(
        "bad_value",
        format!("the name of a {what} has {MAX_NAME} bytes at most"),
        "take a shorter one",
    )
}
