//! What a rule does with a message: what it takes along, replies, and what the message is.

use std::sync::Arc;

use super::filter::duration_of;
use super::hole::{Said, Scope};
use super::spec::{Effects, MAX_NAME_BYTES, MAX_NAMES, MAX_STREAMS, Role, Rule, Sentence};
use super::talk::{Around, Came, Talk, verdict, words};
use super::tape::Doc;
use super::template::Template;
use super::value::Value;
use crate::dialect::{About, Act};
use crate::model::{
    Delivery, Failure, Frame, GapReason, Moment, NewRow, Payload, Severity, Unit, Verdict,
    json::{compact, has_line_breaks},
};

/// Longest text of a server that is shown to people, in bytes.
const MAX_WORDS: usize = 256;

/// What one frame comes to, until all of it was looked at.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) unit: Unit,
    /// Replies that wait for the commit.
    pub(super) then: Vec<Frame>,
    /// Some reply that waits stands for itself alone.
    single: bool,
    pub(crate) acts: Vec<Act>,
    verdict: Option<Failure>,
}

impl Findings {
    /// The store comes first, so that nothing else of the frame outruns its events; a verdict
    /// comes last, so that all of the frame was said.
    pub(crate) fn into_acts(self, acts: &mut Vec<Act>) {
        if !self.unit.is_empty() || !self.then.is_empty() {
            let cumulative = !self.then.is_empty() && !self.single;
            acts.push(Act::Store { unit: self.unit, then: self.then, cumulative });
        }
        acts.extend(self.acts);
        acts.extend(self.verdict.map(Act::HangUp));
    }

    pub(crate) fn event(&mut self, stream: Arc<str>, id: Option<String>, kind: String, payload: Payload) {
        if self.unit.rows.is_empty() {
            // Most frames are one event: room for more would be four times as large.
            self.unit.rows.reserve_exact(1);
        }
        self.unit.rows.push(event_row(stream, id, kind, payload));
    }

    pub(crate) fn send(&mut self, frame: Frame) {
        self.acts.push(Act::Send(frame));
    }

    /// The first verdict of a frame counts.
    pub(crate) fn judge(&mut self, failure: Failure) {
        self.verdict.get_or_insert(failure);
    }

    pub(crate) const fn is_judged(&self) -> bool {
        self.verdict.is_some()
    }

    pub(crate) fn health(&mut self, code: &'static str, severity: Severity, text: String, hint: &str) {
        self.acts.push(Act::Health { code, severity, text, hint: hint.to_owned() });
    }
}

/// A body as JSON text.
pub(super) fn shown(payload: &Payload) -> Option<Arc<str>> {
    match payload {
        Payload::Json(json) => Some(Arc::clone(json)),
        Payload::Text(text) => Some(Value::Text((&**text).into()).json().as_ref().into()),
        Payload::Binary(_) => None,
    }
}

fn event_row(stream: Arc<str>, id: Option<String>, kind: String, payload: Payload) -> NewRow {
    NewRow::Event { stream, id, kind, payload, delivery: Delivery::Durable, key: None }
}

/// A value as the body of an event. Line breaks between its tokens are taken out: bodies travel
/// in lines later on.
pub(crate) fn body(value: Value<'_>) -> Arc<str> {
    let json = value.into_json();
    if has_line_breaks(&json) { compact(&json).into() } else { json.into() }
}

/// A server's words as people may see them: one line, not too long.
pub(crate) fn clean(text: &str) -> String {
    let mut plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if plain.len() > MAX_WORDS {
        let end = (0..=MAX_WORDS).rev().find(|at| plain.is_char_boundary(*at)).unwrap_or(0);
        plain.truncate(end);
        plain.push('…');
    }
    plain
}

/// The message's own text.
pub(super) fn whole_text(around: Around<'_>) -> String {
    around.message.map_or_else(String::new, |said| match said {
        Said::Doc(doc) => doc.json().to_owned(),
        Said::Raw(text) => text.to_owned(),
    })
}

fn present(source: Option<&Template>, scope: &Scope<'_>) -> Option<String> {
    let value = source?.value(scope).filter(|value| !value.is_null())?;
    Some(value.into_text().into_owned())
}

impl Talk {
    /// Carries out `rule` for the message in `around`.
    pub(super) fn apply(&mut self, at: Moment, rule: &Rule, around: Around<'_>, findings: &mut Findings) {
        if let Some(pointer) = &rule.own.each {
            return self.each(at, (rule, pointer), around, findings);
        }
        let reply = self.effect(at, rule, around, findings);
        self.role(at, rule, around, findings);
        self.reply(reply, rule, findings);
    }

    /// What comes before the role: the names and the cursor, then the words of the reply.
    fn effect(
        &mut self,
        at: Moment,
        rule: &Rule,
        around: Around<'_>,
        findings: &mut Findings,
    ) -> Option<Frame> {
        self.take_along(at, &rule.effects, around, false, findings);
        self.worded(at, rule, around)
    }

    pub(super) fn worded(&mut self, at: Moment, rule: &Rule, around: Around<'_>) -> Option<Frame> {
        let reply = rule.reply.as_ref()?;
        self.say(at, reply, around, None).0
    }

    pub(super) fn reply(&self, reply: Option<Frame>, rule: &Rule, findings: &mut Findings) {
        if let Some(frame) = reply {
            if rule.role == Role::Event {
                findings.then.push(frame);
                findings.single |= !rule.own.cumulative;
            } else {
                findings.send(frame);
            }
        }
    }

    /// The stream that a rule or step means.
    pub(super) fn stream(&self, source: Option<&Template>, scope: &Scope<'_>) -> Arc<str> {
        present(source, scope).map_or_else(|| Arc::clone(&self.lone), Arc::from)
    }

    /// `capture`, `keep`, `forget`, `cursor`. `baseline`: the cursor only where there is none.
    pub(super) fn take_along(
        &mut self,
        at: Moment,
        effects: &Effects,
        around: Around<'_>,
        baseline: bool,
        findings: &mut Findings,
    ) {
        let source_of = |talk: &Self, source: &Template| -> Option<Arc<str>> {
            let scope = talk.scope(at, around);
            Some(source.value(&scope).filter(|value| !value.is_null())?.json().as_ref().into())
        };
        for (name, source) in &effects.capture {
            if let Some(json) = source_of(self, source)
                && self.fits(name, &json, self.names.captured.len(), findings)
            {
                self.names.captured.insert(Arc::clone(name), json);
            }
        }
        for (name, source) in &effects.keep {
            if let Some(json) = source_of(self, source)
                && self.names.kept.get(name) != Some(&json)
                && self.fits(name, &json, self.names.kept.len(), findings)
            {
                self.names.keep(name, &json);
                findings.unit.kept.push((Arc::clone(name), Some(json)));
            }
        }
        for name in &effects.forget {
            if self.names.forget(name) {
                findings.unit.kept.push((Arc::clone(name), None));
            }
        }
        if let Some(source) = &effects.cursor {
            let scope = self.scope(at, around);
            let stream = self.stream(effects.stream.as_ref(), &scope);
            if let Some(json) = source_of(self, source)
                && !(baseline && self.cursors.contains_key(&stream))
            {
                let parts = matches!(source, Template::Table(_));
                let json = if parts { self.merged(&stream, json) } else { json };
                self.set_cursor(stream, json, findings);
            }
        }
    }

    fn fits(&self, name: &str, json: &str, count: usize, findings: &mut Findings) -> bool {
        let known = self.names.captured.contains_key(name) || self.names.kept.contains_key(name);
        let fits = json.len() <= MAX_NAME_BYTES && (known || count < MAX_NAMES);
        if !fits {
            let text = format!(
                "the server's value for `{name}` is larger than {MAX_NAME_BYTES} bytes and was not taken"
            );
            findings.health("dialect_limit", Severity::Warning, text, "capture a smaller part of the frame");
        }
        fits
    }

    /// New members over those of the cursor so far.
    fn merged(&self, stream: &str, json: Arc<str>) -> Arc<str> {
        let Some(old) = self.cursors.get(stream).filter(|old| old.starts_with('{')) else {
            return json;
        };
        let (old, new) = (Value::Json((&**old).into()), Value::Json((&*json).into()));
        let members = old.with_doc(|old| {
            new.with_doc(|new| {
                let name = |key: Doc<'_>| key.string().unwrap_or_default().into_owned();
                let kept = old.members().filter(|(key, _)| new.member(&name(*key)).is_none());
                let members: Vec<String> = kept
                    .chain(new.members())
                    .map(|(key, value)| format!("{}:{}", key.json(), value.json()))
                    .collect();
                format!("{{{}}}", members.join(","))
            })
        });
        members.flatten().map_or_else(|| Arc::clone(&json), Arc::from)
    }

    pub(super) fn set_cursor(&mut self, stream: Arc<str>, json: Arc<str>, findings: &mut Findings) {
        if self.cursors.get(&stream) == Some(&json) {
            return;
        }
        let room = self.cursors.contains_key(&stream) || self.cursors.len() < MAX_STREAMS;
        if json.len() > MAX_NAME_BYTES || !room {
            let text = format!(
                "the server's cursor was not taken: more than {MAX_NAME_BYTES} bytes, or more than {MAX_STREAMS} streams"
            );
            findings.health(
                "dialect_limit",
                Severity::Warning,
                text,
                "after a reconnect events may come twice",
            );
            return;
        }
        self.cursors.insert(Arc::clone(&stream), Arc::clone(&json));
        findings.unit.cursors.push((stream, Some(json)));
    }

    pub(super) fn role(&mut self, at: Moment, rule: &Rule, around: Around<'_>, findings: &mut Findings) {
        let own = &rule.own;
        let scope = self.scope(at, around);
        let text = |source: &Option<Template>| present(source.as_ref(), &scope);
        let people = |source: &Option<Template>| words(source.as_ref(), &scope);
        let data =
            |source: &Option<Template>| -> Option<Arc<str>> { Some(body(source.as_ref()?.value(&scope)?)) };
        let about = || text(&own.reply_to).map(About::One);
        let mut came = Came { to: rule.role.name(), ..Came::default() };
        match rule.role {
            Role::Event => return self.new_event(at, rule, around, findings),
            Role::Accepted => {
                let up_to = || text(&own.up_to).and_then(|number| number.parse().ok()).map(About::UpTo);
                let data = data(&own.data);
                came.data.clone_from(&data);
                if let Some(about) = about().or_else(up_to) {
                    findings.acts.push(Act::Accepted { about, data });
                }
            }
            Role::Received => {
                let data = data(&own.data);
                came.data.clone_from(&data);
                if let Some(about) = about() {
                    findings.acts.push(Act::Received { about, data });
                }
            }
            Role::Rejected | Role::Error => {
                let (code, message) = (people(&own.code), people(&own.message));
                let payload = match (&own.data, around.message) {
                    (None, Some(Said::Raw(text))) => Payload::Text(text.into()),
                    (None, Some(said)) => Payload::Json(body(said.value())),
                    (source, _) => Payload::Json(data(source).unwrap_or_else(|| "null".into())),
                };
                came.code.clone_from(&code);
                came.message.clone_from(&message);
                came.data = shown(&payload);
                let stream = self.stream(rule.effects.stream.as_ref(), &scope);
                let row = event_row(stream, None, "error".to_owned(), payload);
                match about().filter(|_| rule.role == Role::Rejected) {
                    Some(about) => findings.acts.push(Act::Rejected { about, code, message, otherwise: row }),
                    None => {
                        findings.unit.rows.push(row);
                        let text = complaint(code.as_deref(), message.as_deref());
                        findings.health(
                            "server_error",
                            Severity::Info,
                            text,
                            "the event `error` has all of it",
                        );
                    }
                }
            }
            Role::Deferred => {
                let (code, message) = (people(&own.code), people(&own.message));
                came.code.clone_from(&code);
                came.message.clone_from(&message);
                let retry_after =
                    own.retry_after.as_ref().and_then(|source| duration_of(&source.value(&scope)?));
                if let Some(about) = about() {
                    findings.acts.push(Act::Deferred { about, code, message, retry_after });
                }
            }
            Role::Gap | Role::CursorLost => {
                let message = people(&own.message);
                came.message.clone_from(&message);
                let stream = self.stream(rule.effects.stream.as_ref(), &scope);
                self.gap(message, findings);
                if rule.role == Role::CursorLost {
                    self.lose_cursor(&stream, findings);
                    findings.judge(Failure::Ruled {
                        verdict: Verdict::Reconnect,
                        code: None,
                        message: came.message.clone(),
                    });
                }
            }
            Role::Pong => findings.acts.push(Act::Pong),
            Role::Ping | Role::Ignore => {}
            Role::Verdict(sentence) => {
                let (code, message) = (people(&own.code), people(&own.message));
                came.code.clone_from(&code);
                came.message.clone_from(&message);
                let after = own.retry_after.as_ref().and_then(|source| duration_of(&source.value(&scope)?));
                findings.judge(Failure::Ruled { verdict: verdict(sentence, after), code, message });
            }
        }
        self.note(|| came);
    }

    fn gap(&mut self, message: Option<String>, findings: &mut Findings) {
        self.steps.lost_events();
        let detail = message.unwrap_or_else(|| "the server says that events were lost".to_owned());
        findings.unit.rows.push(NewRow::Gap { reason: GapReason::Server, detail });
    }

    fn lose_cursor(&mut self, stream: &Arc<str>, findings: &mut Findings) {
        self.cursors.remove(stream);
        findings.unit.cursors.push((Arc::clone(stream), None));
    }

    fn new_event(&mut self, at: Moment, rule: &Rule, around: Around<'_>, findings: &mut Findings) {
        let own = &rule.own;
        let scope = self.scope(at, around);
        let stream = self.stream(rule.effects.stream.as_ref(), &scope);
        let payload = match (&own.data, around.message) {
            (Some(source), _) => Payload::Json(source.value(&scope).map_or_else(|| "null".into(), body)),
            (None, Some(Said::Raw(text))) => Payload::Text(text.into()),
            (None, Some(said)) => Payload::Json(body(said.value())),
            (None, None) => Payload::Json("null".into()),
        };
        let Some(kind) = present(own.kind.as_ref(), &scope) else {
            return self.unrecognised(at, &rule.effects, around, findings);
        };
        let id = present(own.id.as_ref(), &scope);
        let number = present(own.seq.as_ref(), &scope).and_then(|text| text.parse::<i128>().ok());
        let reply_to = present(own.reply_to.as_ref(), &scope);
        if let Some(number) = number {
            self.count_on(&stream, number, findings);
        }
        self.note(|| Came {
            to: "event",
            kind: Some(kind.clone()),
            id: id.clone(),
            data: shown(&payload),
            cursor: findings.unit.cursors.last().and_then(|(_, cursor)| cursor.clone()),
            ..Came::default()
        });
        if let Some(reference) = reply_to {
            let data = match &payload {
                Payload::Json(json) => Some(Arc::clone(json)),
                Payload::Text(_) | Payload::Binary(_) => None,
            };
            findings.acts.push(Act::Accepted { about: About::One(reference), data });
        }
        findings.event(stream, id, kind, payload);
    }

    /// A rule took the message for an event, and it lacks what makes one.
    pub(super) fn unrecognised(
        &mut self,
        at: Moment,
        effects: &Effects,
        around: Around<'_>,
        findings: &mut Findings,
    ) {
        let stream = self.stream(effects.stream.as_ref(), &self.scope(at, around));
        let payload = match around.message {
            Some(Said::Raw(text)) => Payload::Text(text.into()),
            Some(said) => Payload::Json(body(said.value())),
            None => Payload::Json("null".into()),
        };
        self.note(|| Came { to: "unrecognised", data: shown(&payload), ..Came::default() });
        findings.event(stream, None, "unrecognised".to_owned(), payload);
    }

    /// A running number: a jump is a gap; a step back is a new count, or what came before.
    fn count_on(&mut self, stream: &Arc<str>, number: i128, findings: &mut Findings) {
        let last = self.numbers.get(stream).copied();
        if let Some(last) = last
            && number > last.saturating_add(1)
        {
            let jump = format!("the server's numbers jump from {last} to {number}");
            self.gap(Some(jump.clone()), findings);
            self.note(|| Came { to: Role::Gap.name(), message: Some(jump), ..Came::default() });
        }
        if last.is_some() || self.numbers.len() < MAX_STREAMS {
            self.numbers.insert(Arc::clone(stream), number);
        }
    }

    /// What a rule for a close does and means.
    pub(super) fn last_word(&mut self, rule: &Rule, findings: &mut Findings) -> Verdict {
        let at = Moment::default();
        self.take_along(at, &rule.effects, Around::default(), false, findings);
        let scope = self.scope(at, Around::default());
        match rule.role {
            Role::Verdict(sentence) => {
                let after =
                    rule.own.retry_after.as_ref().and_then(|source| duration_of(&source.value(&scope)?));
                verdict(sentence, after)
            }
            Role::CursorLost => {
                let stream = self.stream(rule.effects.stream.as_ref(), &scope);
                let message = words(rule.own.message.as_ref(), &scope);
                self.gap(message, findings);
                self.lose_cursor(&stream, findings);
                Verdict::Reconnect
            }
            Role::Event
            | Role::Accepted
            | Role::Received
            | Role::Rejected
            | Role::Deferred
            | Role::Error
            | Role::Gap
            | Role::Ping
            | Role::Pong
            | Role::Ignore => verdict(Sentence::Retry, None),
        }
    }
}

fn complaint(code: Option<&str>, message: Option<&str>) -> String {
    match (code, message) {
        (Some(code), Some(message)) => format!("the server complains: {code} \"{message}\""),
        (Some(word), None) | (None, Some(word)) => format!("the server complains: {word}"),
        (None, None) => "the server complains of something".to_owned(),
    }
}
