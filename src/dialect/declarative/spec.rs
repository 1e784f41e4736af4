//! A dialect file as it is understood: everything checked, nothing left to look up by name.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::condition::{Condition, Subject};
use super::filing::Filing;
use super::hole::Base;
use super::template::Template;
use crate::model::json::Pointer;
use crate::model::{Confirm, TypeGlob};

/// Largest dialect file, in bytes.
pub(crate) const MAX_FILE: usize = 64 * 1024;
/// Most rules.
pub(crate) const MAX_RULES: usize = 128;
/// Most steps, of both kinds together.
pub(crate) const MAX_STEPS: usize = 32;
/// Most outbound shapes.
pub(crate) const MAX_OUT: usize = 16;
/// Most alternatives of one condition.
pub(crate) const MAX_ALTERNATIVES: usize = 16;
/// Deepest template.
pub(crate) const MAX_TEMPLATE_DEPTH: usize = 16;
/// Most filters of one hole.
pub(crate) const MAX_FILTERS: usize = 8;
/// Most items of one step's list.
pub(crate) const MAX_STEP_ITEMS: usize = 256;
/// Most items of one rule's list, and most messages of one frame.
pub(crate) const MAX_FRAME_ITEMS: usize = 10_000;
/// Most bytes that the items of one frame may become: each of them can name all of the frame it came in,
/// so that a frame of megabytes could become gigabytes.
pub(crate) const MAX_FRAME_MADE: usize = 64 * 1024 * 1024;
/// Most captured and kept names at one time, each.
pub(crate) const MAX_NAMES: usize = 64;
/// Largest captured or kept value, and largest cursor, in bytes.
pub(crate) const MAX_NAME_BYTES: usize = 16 * 1024;
/// Most streams with a cursor or a running number.
pub(crate) const MAX_STREAMS: usize = 4_096;

/// How messages stand in frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Codec {
    #[default]
    Json,
    JsonOrArray,
    JsonLines,
    HeadJson,
    Raw,
}

impl Codec {
    pub(crate) const NAMES: [&str; 5] = ["json", "json-or-array", "json-lines", "head-json", "raw"];

    pub(crate) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "json" => Self::Json,
            "json-or-array" => Self::JsonOrArray,
            "json-lines" => Self::JsonLines,
            "head-json" => Self::HeadJson,
            "raw" => Self::Raw,
            _ => return None,
        })
    }
}

/// Names of one's own and their values, as JSON text.
pub(crate) type Vars = BTreeMap<Arc<str>, Arc<str>>;

/// The whole file.
#[derive(Debug, Default)]
pub(crate) struct Spec {
    pub(crate) about: String,
    pub(crate) codec: Codec,
    pub(crate) vars: Arc<Vars>,
    pub(crate) require: Vec<String>,
    pub(crate) reserved: Vec<String>,
    pub(crate) window: Option<usize>,
    pub(crate) connect: ConnectSpec,
    /// The cursor before the first event of a stream.
    pub(crate) initial: Option<Template>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) filing: Filing,
    pub(crate) start: Vec<Step>,
    pub(crate) subscribe: Vec<Step>,
    pub(crate) out: Vec<Out>,
    pub(crate) heartbeat: HeartbeatSpec,
    /// Names the file gives a value to, and where (byte offset).
    pub(crate) own_names: BTreeMap<String, usize>,
    pub(crate) places: Places,
}

/// Where the file's own tables begin, as byte offsets.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Places {
    pub(crate) connect: usize,
    pub(crate) rules: usize,
    pub(crate) heartbeat: usize,
}

/// `connect`.
#[derive(Debug, Default)]
pub(crate) struct ConnectSpec {
    pub(crate) subprotocols: Vec<Template>,
    pub(crate) query: Vec<(String, Template)>,
    pub(crate) headers: Vec<(String, Template)>,
}

/// `heartbeat`.
#[derive(Debug)]
pub(crate) struct HeartbeatSpec {
    pub(crate) send: Option<Template>,
    pub(crate) every: Option<Length>,
    pub(crate) timeout: Option<Length>,
    pub(crate) beat: Option<Length>,
    pub(crate) ws_ping: bool,
}

impl Default for HeartbeatSpec {
    fn default() -> Self {
        Self { send: None, every: None, timeout: None, beat: None, ws_ping: true }
    }
}

/// A duration, written or taken from a name.
#[derive(Debug, Clone)]
pub(crate) enum Length {
    Fixed(Duration),
    Open(Template),
}

/// What a rule or a step changes, in this order.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    pub(crate) capture: Vec<(Arc<str>, Template)>,
    pub(crate) keep: Vec<(Arc<str>, Template)>,
    pub(crate) forget: Vec<Arc<str>>,
    pub(crate) cursor: Option<Template>,
    pub(crate) stream: Option<Template>,
}

impl Effects {
    pub(crate) fn each_template<'t>(&'t self, look: &mut dyn FnMut(&'t Template)) {
        for (_, template) in self.capture.iter().chain(&self.keep) {
            look(template);
        }
        self.cursor.iter().chain(&self.stream).for_each(look);
    }
}

/// One `[[in]]`.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) when: Option<Condition>,
    pub(crate) role: Role,
    pub(crate) effects: Effects,
    pub(crate) reply: Option<Template>,
    pub(crate) own: Own,
    /// Byte offset in the file.
    pub(crate) at: usize,
}

impl Rule {
    /// What it is held against; none: messages, and raw texts where there is nothing else.
    pub(crate) fn subject(&self) -> Subject {
        self.when.as_ref().map_or(Subject::Frame, |when| when.subject)
    }

    pub(crate) fn each_template<'t>(&'t self, look: &mut dyn FnMut(&'t Template)) {
        self.effects.each_template(look);
        self.reply.iter().for_each(&mut *look);
        self.own.each(look);
    }
}

/// Sources of the roles' own keys.
#[derive(Debug, Default)]
pub(crate) struct Own {
    pub(crate) kind: Option<Template>,
    pub(crate) data: Option<Template>,
    pub(crate) id: Option<Template>,
    pub(crate) seq: Option<Template>,
    pub(crate) reply_to: Option<Template>,
    pub(crate) up_to: Option<Template>,
    pub(crate) code: Option<Template>,
    pub(crate) message: Option<Template>,
    pub(crate) retry_after: Option<Template>,
    pub(crate) each: Option<Pointer>,
    /// The reply covers all events before it.
    pub(crate) cumulative: bool,
}

impl Own {
    pub(crate) fn each<'t>(&'t self, look: &mut dyn FnMut(&'t Template)) {
        let all = [
            &self.kind,
            &self.data,
            &self.id,
            &self.seq,
            &self.reply_to,
            &self.up_to,
            &self.code,
            &self.message,
            &self.retry_after,
        ];
        all.into_iter().flatten().for_each(look);
    }
}

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Role {
    Event,
    Accepted,
    Received,
    Rejected,
    Deferred,
    Error,
    Gap,
    CursorLost,
    Ping,
    Pong,
    Ignore,
    Verdict(Sentence),
}

/// A verdict on the link, without its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Sentence {
    Retry,
    Reconnect,
    Unauthorized,
    Unavailable,
    Misconfigured,
}

impl Sentence {
    pub(crate) const NAMES: [&str; 5] =
        ["retry", "reconnect", "unauthorized", "unavailable", "misconfigured"];

    pub(crate) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "retry" => Self::Retry,
            "reconnect" => Self::Reconnect,
            "unauthorized" => Self::Unauthorized,
            "unavailable" => Self::Unavailable,
            "misconfigured" => Self::Misconfigured,
            _ => return None,
        })
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Reconnect => "reconnect",
            Self::Unauthorized => "unauthorized",
            Self::Unavailable => "unavailable",
            Self::Misconfigured => "misconfigured",
        }
    }
}

impl Role {
    pub(crate) const NAMES: [&str; 16] = [
        "event",
        "accepted",
        "received",
        "rejected",
        "deferred",
        "error",
        "gap",
        "cursor_lost",
        "ping",
        "pong",
        "ignore",
        "retry",
        "reconnect",
        "unauthorized",
        "unavailable",
        "misconfigured",
    ];

    pub(crate) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "event" => Self::Event,
            "accepted" => Self::Accepted,
            "received" => Self::Received,
            "rejected" => Self::Rejected,
            "deferred" => Self::Deferred,
            "error" => Self::Error,
            "gap" => Self::Gap,
            "cursor_lost" => Self::CursorLost,
            "ping" => Self::Ping,
            "pong" => Self::Pong,
            "ignore" => Self::Ignore,
            other => Self::Verdict(Sentence::parse(other)?),
        })
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Accepted => "accepted",
            Self::Received => "received",
            Self::Rejected => "rejected",
            Self::Deferred => "deferred",
            Self::Error => "error",
            Self::Gap => "gap",
            Self::CursorLost => "cursor_lost",
            Self::Ping => "ping",
            Self::Pong => "pong",
            Self::Ignore => "ignore",
            Self::Verdict(sentence) => sentence.name(),
        }
    }

    /// The keys that only some roles have, for this one.
    pub(crate) const fn own_keys(self) -> &'static [&'static str] {
        match self {
            Self::Event => &["type", "data", "id", "seq", "reply_to", "each", "cumulative"],
            Self::Accepted => &["reply_to", "up_to", "data"],
            Self::Received => &["reply_to", "data"],
            Self::Rejected => &["reply_to", "data", "code", "message"],
            Self::Deferred => &["reply_to", "code", "message", "retry_after"],
            Self::Error => &["code", "message", "data"],
            Self::Gap | Self::CursorLost => &["message"],
            Self::Ping | Self::Pong | Self::Ignore => &[],
            Self::Verdict(_) => &["code", "message", "retry_after"],
        }
    }
}

/// One `[[start]]` or `[[subscribe]]`.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) only_if: Option<Condition>,
    pub(crate) each: Option<Template>,
    pub(crate) wait: Option<Condition>,
    pub(crate) send: Option<Template>,
    pub(crate) ok: Option<Condition>,
    pub(crate) fail: Option<Condition>,
    pub(crate) fail_as: Option<Sentence>,
    pub(crate) code: Option<Template>,
    pub(crate) message: Option<Template>,
    pub(crate) timeout: Duration,
    pub(crate) go_on: bool,
    pub(crate) effects: Effects,
    /// For people.
    pub(crate) label: String,
    pub(crate) at: usize,
}

impl Step {
    /// Whether what it sends names `base`.
    pub(crate) fn sends(&self, base: &Base) -> bool {
        self.send.as_ref().is_some_and(|send| send.names(base))
    }

    pub(crate) fn each_template<'t>(&'t self, look: &mut dyn FnMut(&'t Template)) {
        self.each.iter().chain(&self.send).chain(&self.code).chain(&self.message).for_each(&mut *look);
        self.effects.each_template(look);
    }

    pub(crate) fn conditions(&self) -> impl Iterator<Item = &Condition> {
        self.only_if.iter().chain(&self.wait).chain(&self.ok).chain(&self.fail)
    }
}

/// One `[[out]]`.
#[derive(Debug)]
pub(crate) struct Out {
    pub(crate) kinds: Vec<TypeGlob>,
    pub(crate) frame: Template,
    /// None: the message's own id.
    pub(crate) reference: Option<Template>,
    pub(crate) confirm: Option<Confirm>,
    /// The frame names `$text` or `$binary`.
    pub(crate) raw: bool,
    pub(crate) at: usize,
}

impl Spec {
    /// Every step, with the name of its kind.
    pub(crate) fn steps(&self) -> impl Iterator<Item = &Step> {
        self.start.iter().chain(&self.subscribe)
    }

    /// Every template of the file.
    pub(crate) fn each_template<'t>(&'t self, look: &mut dyn FnMut(&'t Template)) {
        let connect = &self.connect;
        connect.subprotocols.iter().for_each(&mut *look);
        connect.query.iter().chain(&connect.headers).for_each(|(_, template)| look(template));
        self.initial.iter().for_each(&mut *look);
        for rule in &self.rules {
            rule.each_template(look);
        }
        for step in self.steps() {
            step.each_template(look);
        }
        for out in &self.out {
            look(&out.frame);
            out.reference.iter().for_each(&mut *look);
        }
        self.heartbeat.send.iter().for_each(&mut *look);
        for length in
            [&self.heartbeat.every, &self.heartbeat.timeout, &self.heartbeat.beat].into_iter().flatten()
        {
            if let Length::Open(template) = length {
                look(template);
            }
        }
    }

    /// Every condition of the file.
    pub(crate) fn conditions(&self) -> impl Iterator<Item = &Condition> {
        self.rules.iter().filter_map(|rule| rule.when.as_ref()).chain(self.steps().flat_map(Step::conditions))
    }

    /// Whether any hole of the file is filled from `base`.
    pub(crate) fn names(&self, base: &Base) -> bool {
        let mut found = false;
        self.each_template(&mut |template| found |= template.names(base));
        for condition in self.conditions() {
            condition.each_hole(&mut |hole| found |= hole.base == *base);
        }
        found
    }
}
