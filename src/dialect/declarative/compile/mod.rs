//! From the text of a dialect file to a [`Spec`], with everything that is wrong on the way.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "TOML has seven kinds of value and gets no more; a key takes one or two of them"
)]

mod rules;
mod steps;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::condition::{Condition, Place};
use super::filing::Filing;
use super::filter::parse_duration;
use super::hole::Base;
use super::reader::{Item, Keys, Notes, plain_json};
use super::spec::{
    Codec, ConnectSpec, Effects, HeartbeatSpec, Length, MAX_FILE, MAX_NAMES, MAX_OUT, MAX_STEPS, Out, Places,
    Spec, Vars,
};
use super::template::Template;
use super::written::{Site, Written};
use crate::dialect::problem::nearest;
use crate::model::{Confirm, TypeGlob};

/// How long a step waits for its answer.
const STEP_TIMEOUT: Duration = Duration::from_secs(10);

const FILE_KEYS: [&str; 13] = [
    "dialect",
    "about",
    "codec",
    "vars",
    "require",
    "reserved",
    "window",
    "connect",
    "cursor",
    "in",
    "start",
    "subscribe",
    "out",
];
pub(super) const HEARTBEAT_KEYS: [&str; 5] = ["send", "every", "timeout", "beat", "ws_ping"];
const EFFECT_KEYS: [&str; 4] = ["capture", "keep", "forget", "cursor"];
const OWN_KEYS: [&str; 11] = [
    "type",
    "data",
    "id",
    "seq",
    "reply_to",
    "up_to",
    "code",
    "message",
    "retry_after",
    "each",
    "cumulative",
];
pub(super) const STEP_KEYS: [&str; 17] = [
    "note",
    "if",
    "each",
    "stream",
    "wait",
    "send",
    "ok",
    "fail",
    "fail_as",
    "code",
    "message",
    "timeout",
    "on_timeout",
    "capture",
    "keep",
    "forget",
    "cursor",
];

/// Reads `text`. What comes back is whole only where no problem is an error.
pub(crate) fn compile<'s>(text: &'s str, file: &'s str) -> (Spec, Notes<'s>) {
    let mut notes = Notes::new(file, text);
    if text.len() > MAX_FILE {
        notes.error("limit", 0, format!("a dialect file has at most {MAX_FILE} bytes"), "");
        return (Spec::default(), notes);
    }
    match DeTable::parse(text) {
        Ok(table) => {
            let names = own_names(table.get_ref());
            let mut written = Written { notes, names, in_each: false };
            let spec = written.file(Keys::new(table.get_ref(), 0));
            (spec, written.notes)
        }
        Err(error) => {
            let at = error.span().map_or(0, |span| span.start);
            notes.error("bad_toml", at, error.message().trim_end(), "");
            (Spec::default(), notes)
        }
    }
}

/// All names that something in the file, or the configuration, gives a value to, and where.
fn own_names(file: &DeTable<'_>) -> BTreeMap<String, usize> {
    let mut names = BTreeMap::new();
    let mut add = |name: &str, at: usize| {
        names.entry(name.to_owned()).or_insert(at);
    };
    for (key, value) in file {
        match (&**key.get_ref(), value.get_ref()) {
            ("vars", DeValue::Table(vars)) => {
                vars.keys().for_each(|name| add(name.get_ref(), name.span().start))
            }
            ("require", DeValue::Array(required)) => {
                for name in required {
                    name.get_ref().as_str().into_iter().for_each(|text| add(text, name.span().start));
                }
            }
            ("in" | "start" | "subscribe", DeValue::Array(tables)) => {
                for (key, value) in tables.iter().filter_map(|table| table.get_ref().as_table()).flatten() {
                    if let ("capture" | "keep", DeValue::Table(set)) = (&**key.get_ref(), value.get_ref()) {
                        set.keys().for_each(|name| add(name.get_ref(), name.span().start));
                    }
                }
            }
            _ => {}
        }
    }
    names
}

impl Written<'_> {
    fn file(&mut self, mut keys: Keys<'_, '_>) -> Spec {
        let mut spec = Spec::default();
        let place = |key| keys.place(key);
        spec.places = Places { connect: place("connect"), rules: place("in"), heartbeat: place("heartbeat") };
        self.version(&mut keys);
        if let Some((about, _)) = keys.text("about", &mut self.notes) {
            about.clone_into(&mut spec.about);
        }
        if let Some((codec, at)) = keys.text("codec", &mut self.notes) {
            match Codec::parse(codec) {
                Some(codec) => spec.codec = codec,
                None => self.no_such("codec", codec, at, &Codec::NAMES),
            }
        }
        spec.vars = Arc::new(self.vars(&mut keys));
        spec.require =
            keys.texts("require", false, &mut self.notes).into_iter().map(|(name, _)| name.into()).collect();
        spec.reserved =
            keys.texts("reserved", false, &mut self.notes).into_iter().map(|(name, _)| name.into()).collect();
        if let Some(item) = keys.take("window") {
            if let DeValue::Integer(number) = item.get_ref() {
                let window = usize::from_str_radix(number.as_str(), number.radix()).ok();
                spec.window = window.filter(|window| *window > 0);
            }
            if spec.window.is_none() {
                self.notes.wrong(item, "window", "a number from 1");
            }
        }
        spec.connect = self.connect(&mut keys);
        if let Some(item) = keys.take("cursor")
            && let Some(mut cursor) = Keys::of(item, "cursor", &mut self.notes)
        {
            spec.initial = cursor.take("initial").and_then(|item| self.template(item, Site::Initial));
            cursor.finish(&["initial"], &mut self.notes);
        }
        spec.rules = self.rules(&mut keys, spec.codec);
        spec.start = self.steps(&mut keys, "start", spec.codec);
        spec.subscribe = self.steps(&mut keys, "subscribe", spec.codec);
        if let Some(step) = spec.steps().nth(MAX_STEPS) {
            let at = step.at;
            self.notes.error("limit", at, format!("a dialect has at most {MAX_STEPS} steps"), "");
        }
        spec.out = self.outs(&mut keys);
        spec.heartbeat = self.heartbeat(&mut keys);
        let known: Vec<&str> = FILE_KEYS.into_iter().chain(["heartbeat"]).collect();
        keys.finish(&known, &mut self.notes);
        spec.filing = Filing::new(&spec.rules);
        spec.own_names = std::mem::take(&mut self.names);
        spec
    }

    fn no_such(&mut self, what: &str, name: &str, at: usize, known: &[&str]) {
        let advice = nearest(name, known.iter().copied())
            .map_or_else(|| format!("known: {}", known.join(", ")), |near| format!("did you mean `{near}`?"));
        self.notes.error("bad_value", at, format!("there is no {what} `{name}`"), advice);
    }

    fn version(&mut self, keys: &mut Keys<'_, '_>) {
        let Some(item) = keys.take("dialect") else {
            self.notes.error(
                "bad_value",
                0,
                "`dialect = 1` is missing",
                "write it at the top: the language's version",
            );
            return;
        };
        match item.get_ref() {
            DeValue::Integer(number) if number.as_str() == "1" => {}
            _ => self.notes.wrong(item, "dialect", "the language's version, 1"),
        }
    }

    fn vars(&mut self, keys: &mut Keys<'_, '_>) -> Vars {
        let mut vars = Vars::new();
        if let Some(item) = keys.take("vars")
            && let Some(table) = Keys::of(item, "vars", &mut self.notes)
        {
            for (name, at, item) in table.rest() {
                if let (Some(name), Some(json)) = (self.own_name(name, at), plain_json(item, &mut self.notes))
                {
                    vars.insert(name, json.into());
                }
            }
        }
        vars
    }

    fn connect(&mut self, keys: &mut Keys<'_, '_>) -> ConnectSpec {
        let mut connect = ConnectSpec::default();
        let Some(mut table) =
            keys.take("connect").and_then(|item| Keys::of(item, "connect", &mut self.notes))
        else {
            return connect;
        };
        if let Some(item) = table.take("subprotocols") {
            match item.get_ref() {
                DeValue::Array(items) => {
                    connect.subprotocols =
                        items.iter().filter_map(|item| self.template(item, Site::Connect)).collect();
                }
                _ => self.notes.wrong(item, "subprotocols", "a list of texts"),
            }
        }
        connect.query = self.pairs(&mut table, "query");
        connect.headers = self.pairs(&mut table, "headers");
        table.finish(&["subprotocols", "query", "headers"], &mut self.notes);
        connect
    }

    fn pairs(&mut self, table: &mut Keys<'_, '_>, key: &str) -> Vec<(String, Template)> {
        let Some(pairs) = table.take(key).and_then(|item| Keys::of(item, key, &mut self.notes)) else {
            return Vec::new();
        };
        pairs
            .rest()
            .filter_map(|(name, _, item)| Some((name.to_owned(), self.template(item, Site::Connect)?)))
            .collect()
    }

    /// `capture`, `keep`, `forget`, `cursor`.
    fn effects(&mut self, keys: &mut Keys<'_, '_>, site: Site) -> Effects {
        let capture = self.captures(keys, "capture", site);
        let keep = self.captures(keys, "keep", site);
        let mut forget = Vec::new();
        for (name, at) in keys.texts("forget", false, &mut self.notes) {
            if self.names.contains_key(name) {
                forget.push(name.into());
            } else {
                let known: Vec<String> = self.names.keys().cloned().collect();
                self.no_such("name", name, at, &known.iter().map(String::as_str).collect::<Vec<_>>());
            }
        }
        let cursor = keys.take("cursor").and_then(|item| self.source(item, site));
        Effects { capture, keep, forget, cursor, stream: None }
    }

    fn captures(&mut self, keys: &mut Keys<'_, '_>, key: &str, site: Site) -> Vec<(Arc<str>, Template)> {
        let Some(table) = keys.take(key).and_then(|item| Keys::of(item, key, &mut self.notes)) else {
            return Vec::new();
        };
        if table.len() > MAX_NAMES {
            self.notes.error("limit", table.at, format!("at most {MAX_NAMES} names are captured"), "");
        }
        table
            .rest()
            .filter_map(|(name, at, item)| Some((self.own_name(name, at)?, self.source(item, site)?)))
            .collect()
    }

    fn outs(&mut self, keys: &mut Keys<'_, '_>) -> Vec<Out> {
        let tables = keys.tables("out", &mut self.notes);
        if tables.len() > MAX_OUT {
            self.notes.error(
                "limit",
                tables[MAX_OUT].1,
                format!("a dialect has at most {MAX_OUT} `[[out]]`"),
                "",
            );
        }
        let mut outs = Vec::new();
        for (index, (table, at)) in tables.into_iter().take(MAX_OUT).enumerate() {
            self.notes.rule = Some(format!("out[{}]", index + 1));
            outs.extend(self.out(Keys::new(table, at)));
        }
        self.notes.rule = None;
        outs
    }

    fn out(&mut self, mut keys: Keys<'_, '_>) -> Option<Out> {
        let at = keys.at;
        keys.take("note");
        let kinds = keys
            .texts("type", true, &mut self.notes)
            .into_iter()
            .map(|(glob, _)| TypeGlob::new(glob))
            .collect();
        let frame = match keys.take("frame") {
            Some(item) => self.template(item, Site::Out),
            None => {
                self.notes.error(
                    "bad_value",
                    at,
                    "`frame` is missing",
                    "what the message looks like on the wire",
                );
                None
            }
        };
        let reference = keys.take("ref").and_then(|item| self.template(item, Site::Out));
        let confirm = keys.text("confirm", &mut self.notes).and_then(|(name, at)| match name {
            "reply" => Some(Confirm::Reply),
            "learned" => Some(Confirm::Learned),
            "barrier" => Some(Confirm::Barrier),
            "sent" => Some(Confirm::Sent),
            _ => {
                self.no_such("confirmation", name, at, &["reply", "learned", "barrier", "sent"]);
                None
            }
        });
        keys.finish(&["note", "type", "frame", "ref", "confirm"], &mut self.notes);
        let frame = frame?;
        let raw = frame.names(&Base::Text) || frame.names(&Base::Binary);
        Some(Out { kinds, frame, reference, confirm, raw, at })
    }

    fn heartbeat(&mut self, keys: &mut Keys<'_, '_>) -> HeartbeatSpec {
        let Some(mut table) =
            keys.take("heartbeat").and_then(|item| Keys::of(item, "heartbeat", &mut self.notes))
        else {
            return HeartbeatSpec::default();
        };
        let mut length = |key: &str| table.take(key).and_then(|item| self.length(item, key));
        let (every, timeout, beat) = (length("every"), length("timeout"), length("beat"));
        let send = table.take("send").and_then(|item| self.template(item, Site::Heartbeat));
        let ws_ping = table.flag("ws_ping", &mut self.notes).unwrap_or(true);
        table.finish(&HEARTBEAT_KEYS, &mut self.notes);
        HeartbeatSpec { send, every, timeout, beat, ws_ping }
    }

    fn length(&mut self, item: &Item<'_>, key: &str) -> Option<Length> {
        match item.get_ref() {
            DeValue::String(text) if text.starts_with('$') => {
                self.template(item, Site::Length).map(Length::Open)
            }
            _ => self.fixed_length(item, key).map(Length::Fixed),
        }
    }

    fn fixed_length(&mut self, item: &Item<'_>, key: &str) -> Option<Duration> {
        let length = item.get_ref().as_str().and_then(parse_duration).filter(|length| !length.is_zero());
        if length.is_none() {
            self.notes.wrong(item, key, "a duration (`\"10s\"`, `\"250ms\"`)");
        }
        length
    }
}

/// Whether the condition points into a message.
fn looks_into(condition: &Condition) -> bool {
    condition.any.iter().flatten().any(|test| matches!(test.place, Place::Pointer(_)))
}
