//! From the text of a dialect file to a [`Spec`], with everything that is wrong on the way.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::super::problem::nearest;
use super::condition::{Condition, Subject};
use super::filing::Filing;
use super::filter::parse_duration;
use super::hole::Base;
use super::reader::{Item, Keys, Notes, plain_json};
use super::spec::{
    Codec, ConnectSpec, Effects, HeartbeatSpec, Length, MAX_FILE, MAX_NAMES, MAX_OUT, MAX_RULES, MAX_STEPS,
    Out, Own, Role, Rule, Sentence, Spec, Step, Vars,
};
use super::template::Template;
use super::written::{Site, Written};
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
const EFFECT_KEYS: [&str; 4] = ["capture", "keep", "forget", "cursor"];
const OWN_KEYS: [&str; 10] =
    ["type", "data", "id", "seq", "reply_to", "up_to", "code", "message", "retry_after", "each"];
const STEP_KEYS: [&str; 17] = [
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
            let mut written = Written { notes, names };
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
            match item.get_ref() {
                DeValue::Integer(number) => {
                    spec.window = usize::from_str_radix(number.as_str(), number.radix())
                        .ok()
                        .filter(|window| *window > 0);
                }
                _ => {}
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
        if spec.start.len() + spec.subscribe.len() > MAX_STEPS {
            self.notes.error("limit", 0, format!("a dialect has at most {MAX_STEPS} steps"), "");
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
        let mut effects = Effects::default();
        effects.capture = self.captures(keys, "capture", site);
        effects.keep = self.captures(keys, "keep", site);
        for (name, at) in keys.texts("forget", false, &mut self.notes) {
            if self.names.contains_key(name) {
                effects.forget.push(name.into());
            } else {
                let known: Vec<String> = self.names.keys().cloned().collect();
                self.no_such("name", name, at, &known.iter().map(String::as_str).collect::<Vec<_>>());
            }
        }
        effects.cursor = keys.take("cursor").and_then(|item| self.source(item, site));
        effects
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

    fn rules(&mut self, keys: &mut Keys<'_, '_>, codec: Codec) -> Vec<Rule> {
        let tables = keys.tables("in", &mut self.notes);
        if tables.len() > MAX_RULES {
            self.notes.error(
                "limit",
                tables[MAX_RULES].1,
                format!("a dialect has at most {MAX_RULES} rules"),
                "",
            );
        }
        let mut rules = Vec::new();
        for (index, (table, at)) in tables.into_iter().take(MAX_RULES).enumerate() {
            self.notes.rule = Some(format!("in[{}]", index + 1));
            rules.extend(self.rule(Keys::new(table, at), codec));
        }
        self.notes.rule = None;
        rules
    }

    fn rule(&mut self, mut keys: Keys<'_, '_>, codec: Codec) -> Option<Rule> {
        let at = keys.at;
        keys.take("note");
        let Some((name, name_at)) = keys.text("as", &mut self.notes) else {
            self.notes.error("bad_value", at, "a rule says what the frame is: `as` is missing", "");
            return None;
        };
        let Some(role) = Role::parse(name) else {
            self.no_such("role", name, name_at, &Role::NAMES);
            return None;
        };
        let when = match keys.take("when") {
            Some(item) => Some(self.condition(item, "when", Site::Rule)?),
            None => None,
        };
        let own_keys = role.own_keys();
        let each = if own_keys.contains(&"each") {
            keys.take("each").and_then(|item| self.lone_pointer(item, "each"))
        } else {
            None
        };
        let site = Site::RuleSource { each: each.is_some() };
        let mut effects = self.effects(&mut keys, site);
        effects.stream = keys.take("stream").and_then(|item| self.source(item, site));
        let reply =
            keys.take("reply").and_then(|item| self.template(item, Site::Reply { each: each.is_some() }));
        let mut own = |key: &str| {
            if own_keys.contains(&key) {
                keys.take(key).and_then(|item| self.source(item, site))
            } else {
                None
            }
        };
        let own = Own {
            kind: own("type"),
            data: own("data"),
            id: own("id"),
            seq: own("seq"),
            reply_to: own("reply_to"),
            up_to: own("up_to"),
            code: own("code"),
            message: own("message"),
            retry_after: own("retry_after"),
            each,
        };
        if role == Role::Event && own.kind.is_none() {
            self.notes.error("bad_value", at, "an event needs a `type`", "a pointer, or a fixed word");
        }
        let rule = Rule { when, role, effects, reply, own, at };
        self.leftover(&mut keys, role);
        let known: Vec<&str> = ["note", "as", "when", "stream", "reply"]
            .into_iter()
            .chain(EFFECT_KEYS)
            .chain(own_keys.iter().copied())
            .collect();
        keys.finish(&known, &mut self.notes);
        self.speaks(&rule, codec);
        Some(rule)
    }

    /// Keys that belong to other roles.
    fn leftover(&mut self, keys: &mut Keys<'_, '_>, role: Role) {
        let foreign: Vec<&str> = keys.names().filter(|name| OWN_KEYS.contains(name)).collect();
        for key in foreign {
            let at = keys.take(key).map_or(keys.at, |item| item.span().start);
            let roles: Vec<&str> = Role::NAMES
                .into_iter()
                .filter(|name| Role::parse(name).is_some_and(|role| role.own_keys().contains(&key)))
                .collect();
            self.notes.error(
                "key_of_other_role",
                at,
                format!("a rule with `as = \"{}\"` has no `{key}`", role.name()),
                format!("`{key}` belongs to {}", roles.join(", ")),
            );
        }
    }

    /// Closes and refusals have no frame: what a rule for them can say is less.
    fn speaks(&mut self, rule: &Rule, codec: Codec) {
        let verdict = matches!(rule.role, Role::Verdict(_));
        let effects = &rule.effects;
        let changes = !effects.capture.is_empty()
            || !effects.keep.is_empty()
            || !effects.forget.is_empty()
            || effects.cursor.is_some();
        let fault = match rule.subject() {
            Subject::Frame if codec == Codec::Raw && rule.when.as_ref().is_some_and(looks_into) => {
                Some("with `codec = \"raw\"` a frame has no places to point at: test `raw`")
            }
            Subject::Frame | Subject::Raw => None,
            Subject::Close if !verdict && rule.role != Role::CursorLost => {
                Some("of a close only a verdict on the link, or `cursor_lost`, can be said")
            }
            Subject::Status if !verdict => {
                Some("of a refused upgrade only a verdict on the link can be said")
            }
            Subject::Status if changes => {
                Some("a refused upgrade brings nothing along: it captures, keeps and forgets nothing")
            }
            Subject::Close | Subject::Status if rule.reply.is_some() => {
                Some("there is nobody to reply to any more")
            }
            Subject::Close | Subject::Status => None,
        };
        if let Some(fault) = fault {
            self.notes.error("key_of_other_role", rule.at, fault, "");
        }
    }

    fn steps(&mut self, keys: &mut Keys<'_, '_>, kind: &'static str, codec: Codec) -> Vec<Step> {
        let tables = keys.tables(kind, &mut self.notes);
        let mut steps = Vec::new();
        for (index, (table, at)) in tables.into_iter().take(MAX_STEPS + 1).enumerate() {
            let label = format!("{kind}[{}]", index + 1);
            self.notes.rule = Some(label.clone());
            steps.extend(self.step(Keys::new(table, at), label, codec));
        }
        self.notes.rule = None;
        steps
    }

    fn answer(&mut self, keys: &mut Keys<'_, '_>, key: &str, site: Site, codec: Codec) -> Option<Condition> {
        let item = keys.take(key)?;
        let condition = self.condition(item, key, site)?;
        if matches!(condition.subject, Subject::Close | Subject::Status) {
            let advice = "write a rule: `in = [{ as = \"unauthorized\", when = { close = 4401 } }]`";
            self.notes.error(
                "mixed_condition",
                item.span().start,
                format!("`{key}` speaks of a frame"),
                advice,
            );
        } else if codec == Codec::Raw && looks_into(&condition) {
            let message = "with `codec = \"raw\"` a frame has no places to point at: test `raw`";
            self.notes.error("mixed_condition", item.span().start, message, "");
        }
        Some(condition)
    }

    fn step(&mut self, mut keys: Keys<'_, '_>, label: String, codec: Codec) -> Option<Step> {
        let at = keys.at;
        keys.take("note");
        let only_if = match keys.take("if") {
            Some(item) => {
                let condition = self.condition(item, "if", Site::Before)?;
                if condition.subject != Subject::Frame || looks_into(&condition) {
                    self.notes.error("mixed_condition", item.span().start, "`if` tests `$names` only", "");
                }
                Some(condition)
            }
            None => None,
        };
        let each = keys.take("each").and_then(|item| match self.template(item, Site::Before)? {
            hole @ Template::Hole(_) => Some(hole),
            _ => {
                self.notes.wrong(item, "each", "the hole of a list (`\"$topics\"`)");
                None
            }
        });
        let wait = self.answer(&mut keys, "wait", Site::Wait, codec);
        let send =
            keys.take("send").and_then(|item| self.template(item, Site::Send { waits: wait.is_some() }));
        let ok = self.answer(&mut keys, "ok", Site::Answer, codec);
        let fail = self.answer(&mut keys, "fail", Site::Answer, codec);
        if wait.is_none() && send.is_none() {
            self.notes.error("bad_value", at, "a step has a `send`, a `wait`, or both", "");
        }
        let fail_as = keys.text("fail_as", &mut self.notes).and_then(|(name, at)| {
            let sentence = Sentence::parse(name);
            if sentence.is_none() {
                self.no_such("verdict", name, at, &Sentence::NAMES);
            }
            sentence
        });
        let code = keys.take("code").and_then(|item| self.source(item, Site::StepSource));
        let message = keys.take("message").and_then(|item| self.source(item, Site::StepSource));
        let timeout =
            keys.take("timeout").and_then(|item| self.fixed_length(item, "timeout")).unwrap_or(STEP_TIMEOUT);
        let go_on = match keys.text("on_timeout", &mut self.notes) {
            Some(("continue", _)) => true,
            Some(("fail", _)) | None => false,
            Some((other, at)) => {
                self.no_such("way", other, at, &["fail", "continue"]);
                false
            }
        };
        let mut effects = self.effects(&mut keys, Site::StepSource);
        effects.stream = keys.take("stream").and_then(|item| self.template(item, Site::Stream));
        keys.finish(&STEP_KEYS, &mut self.notes);
        Some(Step {
            only_if,
            each,
            wait,
            send,
            ok,
            fail,
            fail_as,
            code,
            message,
            timeout,
            go_on,
            effects,
            label,
            at,
        })
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
        table.finish(&["send", "every", "timeout", "beat", "ws_ping"], &mut self.notes);
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
    use super::condition::Place;
    condition.any.iter().flatten().any(|test| matches!(test.place, Place::Pointer(_)))
}
