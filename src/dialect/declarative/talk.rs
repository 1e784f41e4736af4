//! One connection's talk: frames in, acts out. Here is the way of a frame; what a rule does with
//! it stands in `roles`, how start-up goes on in `steps`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::condition::{Facts, Subject};
use super::filter::duration_of;
use super::hole::{Base, Drawn, Names, Said, Scope};
use super::roles::{Findings, clean};
use super::scalars::Digits;
use super::spec::{Codec, Length, MAX_FRAME_ITEMS, Sentence, Spec, Vars};
use super::steps::Steps;
use super::tape::Tape;
use super::template::{Spread, Template};
use super::{codec, odd, outbound, veil};
use crate::dialect::{Act, Conversation, Encoded, Given, Outgoing, Pulse};
use crate::model::{Frame, Instant, Moment, NewRow, Payload, Refusal, Secret, Unit, Verdict};

/// Somebody who looks on, and may put recorded values in place of drawn ones (`replay`).
pub(crate) trait Watch: Send {
    /// A frame is about to be made from `template`: `drawn` may be changed.
    fn draw(&mut self, template: &Template, scope: &Scope<'_>, drawn: &mut Drawn);
    /// A message came to this.
    fn came(&mut self, came: Came);
}

/// What one message came to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Came {
    /// A role, `unrecognised` or `quarantine`.
    pub(crate) to: &'static str,
    pub(crate) kind: Option<String>,
    pub(crate) id: Option<String>,
    /// JSON text.
    pub(crate) data: Option<Arc<str>>,
    /// JSON text.
    pub(crate) cursor: Option<Arc<str>>,
    pub(crate) code: Option<String>,
    pub(crate) message: Option<String>,
}

/// A [`Conversation`] by a dialect file.
pub(crate) struct Talk {
    pub(super) spec: Arc<Spec>,
    pub(super) token: Option<Secret>,
    pub(super) sign_in: Option<crate::dialect::SignIn>,
    pub(super) names: Names,
    pub(super) cursors: BTreeMap<Arc<str>, Arc<str>>,
    /// The last running number of each stream.
    pub(super) numbers: BTreeMap<Arc<str>, i128>,
    pub(super) steps: Steps,
    /// The stream of servers that have one only.
    pub(super) lone: Arc<str>,
    pub(super) watch: Option<Box<dyn Watch>>,
    counter: u64,
    seed: u64,
    tape: Tape,
    /// What the close put on disk, until it is asked for.
    left: Unit,
}

impl fmt::Debug for Talk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names and cursors may be secret.
        f.debug_struct("Talk")
            .field("steps", &self.steps)
            .field("counter", &self.counter)
            .finish_non_exhaustive()
    }
}

/// What stands around a message while it is looked at.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Around<'a> {
    pub(super) message: Option<Said<'a>>,
    pub(super) outer: Option<Said<'a>>,
    pub(super) item: Option<&'a str>,
}

impl Talk {
    pub(crate) fn new(spec: Arc<Spec>, given: Given, seed: u64) -> Self {
        let vars: Arc<Vars> = Arc::clone(&spec.vars);
        Self {
            spec,
            token: given.token,
            sign_in: given.sign_in,
            names: Names { kept: given.kept, vars, ..Names::default() },
            cursors: given.cursors,
            numbers: BTreeMap::new(),
            steps: Steps::default(),
            lone: Arc::from(""),
            watch: None,
            counter: 0,
            seed,
            tape: Tape::default(),
            left: Unit::default(),
        }
    }

    pub(super) fn scope<'a>(&'a self, at: Moment, around: Around<'a>) -> Scope<'a> {
        let mut scope = Scope::new(&self.names, at.wall);
        scope.message = around.message;
        scope.outer = around.outer;
        scope.item = around.item;
        scope.token = self.token.as_ref();
        scope
    }

    /// The next of the connection's random numbers (SplitMix64).
    fn random(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.seed;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// What the next frame draws, where it asks for it.
    fn draw(&mut self, template: &Template, reference: Option<&Template>) -> Drawn {
        let needs = |base| template.names(base) || reference.is_some_and(|reference| reference.names(base));
        let mut drawn = Drawn::default();
        if needs(&Base::Counter) {
            self.counter += 1;
            drawn.number = Some(Digits::of(self.counter));
        }
        if needs(&Base::Uuid) {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&self.random().to_le_bytes());
            bytes[8..].copy_from_slice(&self.random().to_le_bytes());
            let uuid = uuid::Builder::from_random_bytes(bytes).into_uuid();
            drawn.uuid = Some(format!("\"{uuid}\"").into());
        }
        drawn
    }

    /// A frame of our own; none where the template has no value now.
    pub(super) fn say(
        &mut self,
        at: Moment,
        template: &Template,
        around: Around<'_>,
        cursor: Option<&str>,
    ) -> (Option<Frame>, Drawn) {
        let mut drawn = self.draw(template, None);
        let mut watch = self.watch.take();
        let mut scope = self.scope(at, around);
        scope.cursor = cursor;
        if let Some(watch) = &mut watch {
            watch.draw(template, &scope, &mut drawn);
        }
        scope.drawn = Some(&drawn);
        let text = template.frame(&scope, Spread::Lenient).ok().flatten();
        self.watch = watch;
        (text.map(|text| codec::outbound(self.spec.codec, text)), drawn)
    }

    pub(super) fn note(&mut self, came: impl FnOnce() -> Came) {
        if let Some(watch) = &mut self.watch {
            watch.came(came());
        }
    }

    fn length(&self, length: Option<&Length>) -> Option<Duration> {
        match length? {
            Length::Fixed(length) => Some(*length),
            Length::Open(template) => {
                let scope = Scope::new(&self.names, crate::model::Timestamp::default());
                template
                    .value(&scope)
                    .and_then(|value| duration_of(&value))
                    .filter(|length| !length.is_zero())
            }
        }
    }

    /// A frame that cannot be read, or has too much in it.
    pub(super) fn bad(
        &mut self,
        findings: &mut Findings,
        reason: &'static str,
        detail: String,
        frame: Frame,
    ) {
        self.note(|| Came { to: "quarantine", ..Came::default() });
        findings.unit.rows.push(NewRow::Bad { reason, detail, frame });
    }

    fn event(&mut self, findings: &mut Findings, kind: &'static str, payload: Payload) {
        self.note(|| Came {
            to: if kind == "unrecognised" { kind } else { "event" },
            kind: Some(kind.to_owned()),
            data: super::roles::shown(&payload),
            ..Came::default()
        });
        findings.event(Arc::clone(&self.lone), None, kind.to_owned(), payload);
    }

    fn text(&mut self, at: Moment, text: &str, findings: &mut Findings) {
        match self.spec.codec {
            Codec::Raw => {
                if !self.raw(at, text, findings) {
                    self.event(findings, "text", Payload::Text(text.into()));
                }
            }
            Codec::Json | Codec::JsonOrArray => self.json(at, text, text, findings),
            Codec::HeadJson => match codec::with_head(text) {
                Some(json) => self.json(at, &json, text, findings),
                None => self.json(at, text, text, findings),
            },
            Codec::JsonLines => {
                for (index, line) in text.lines().map(str::trim).filter(|line| !line.is_empty()).enumerate() {
                    if index == MAX_FRAME_ITEMS {
                        let detail = format!("more than {MAX_FRAME_ITEMS} messages in one frame");
                        self.bad(findings, "too_many_items", detail, Frame::Text(text.to_owned()));
                        return;
                    }
                    self.json(at, line, line, findings);
                }
            }
        }
    }

    /// A frame that is not looked into: whether somebody wanted it.
    fn raw(&mut self, at: Moment, text: &str, findings: &mut Findings) -> bool {
        let spec = Arc::clone(&self.spec);
        let around = Around { message: Some(Said::Raw(text)), ..Around::default() };
        let answered = self.answer(at, around, Some(text), findings);
        let scope = self.scope(at, around);
        let hit = spec.rules.iter().find(|rule| match &rule.when {
            None => true,
            Some(when) => match when.subject {
                Subject::Raw => when.holds(&scope, Facts::Raw(text)),
                Subject::Frame => when.holds(&scope, Facts::Message),
                Subject::Close | Subject::Status => false,
            },
        });
        if let Some(rule) = hit {
            let around = Around { item: answered.as_ref().and_then(|item| item.as_deref()), ..around };
            self.apply(at, rule, around, findings);
        }
        self.go_on(at, findings);
        hit.is_some() || answered.is_some()
    }

    /// One frame's JSON: `raw` is its text as it came.
    fn json(&mut self, at: Moment, json: &str, raw: &str, findings: &mut Findings) {
        let spec = Arc::clone(&self.spec);
        let scope = self.scope(at, Around { message: Some(Said::Raw(raw)), ..Around::default() });
        let raw_rule = spec.filing.raw.iter().copied().find(|index| {
            spec.rules[*index].when.as_ref().is_some_and(|when| when.holds(&scope, Facts::Raw(raw)))
        });
        let unparsed = |talk: &mut Self, index: usize, findings: &mut Findings| {
            let around = Around { message: Some(Said::Raw(raw)), ..Around::default() };
            talk.apply(at, &spec.rules[index], around, findings);
        };
        // A rule for messages that stands before the raw one would come first.
        if let Some(index) = raw_rule
            && self.steps.idle()
            && spec.rules[..index].iter().all(|rule| rule.subject() != Subject::Frame)
        {
            return unparsed(self, index, findings);
        }
        let mut tape = std::mem::take(&mut self.tape);
        let read = tape.read(json).and_then(|()| odd::look(tape.doc(json))).map(|()| tape.set_unique());
        match read {
            Ok(()) => {
                let doc = tape.doc(json);
                if spec.codec == Codec::JsonOrArray && doc.json().starts_with('[') {
                    if doc.items().nth(MAX_FRAME_ITEMS).is_some() {
                        let detail = format!("more than {MAX_FRAME_ITEMS} messages in one frame");
                        self.bad(findings, "too_many_items", detail, Frame::Text(raw.to_owned()));
                    } else {
                        for item in doc.items() {
                            self.message(at, Said::Doc(item), raw, raw_rule, findings);
                        }
                    }
                } else {
                    self.message(at, Said::Doc(doc), raw, raw_rule, findings);
                }
            }
            Err(fault) => {
                let around = Around { message: Some(Said::Raw(raw)), ..Around::default() };
                let answered = self.answer(at, around, Some(raw), findings);
                match raw_rule {
                    Some(index) => unparsed(self, index, findings),
                    None if answered.is_some() => {}
                    None => {
                        let (reason, detail) = fault.told();
                        self.bad(findings, reason, detail, Frame::Text(raw.to_owned()));
                    }
                }
                self.go_on(at, findings);
            }
        }
        tape.trim();
        self.tape = tape;
    }

    /// One message: first the steps, then the rules, then what start-up makes of it.
    fn message(
        &mut self,
        at: Moment,
        said: Said<'_>,
        raw: &str,
        raw_rule: Option<usize>,
        findings: &mut Findings,
    ) {
        let spec = Arc::clone(&self.spec);
        let around = Around { message: Some(said), ..Around::default() };
        let answered = self.answer(at, around, Some(raw), findings);
        let around = Around { item: answered.as_ref().and_then(|item| item.as_deref()), ..around };
        let candidates = match said {
            Said::Doc(doc) => spec.filing.candidates(doc),
            Said::Raw(_) => &[],
        };
        let scope = self.scope(at, around);
        let hit =
            candidates.iter().copied().take_while(|index| raw_rule.is_none_or(|raw| *index < raw)).find(
                |index| {
                    spec.rules[*index].when.as_ref().is_none_or(|when| when.holds(&scope, Facts::Message))
                },
            );
        match hit.or(raw_rule) {
            Some(index) => self.apply(at, &spec.rules[index], around, findings),
            None if answered.is_some() => {}
            None => self.event(findings, "unrecognised", Payload::Json(super::roles::body(said.value()))),
        }
        self.go_on(at, findings);
    }
}

impl Conversation for Talk {
    fn begin(&mut self, at: Moment, acts: &mut Vec<Act>) {
        let mut findings = Findings::default();
        self.begin_steps();
        self.go_on(at, &mut findings);
        findings.into_acts(acts);
    }

    fn frame(&mut self, at: Moment, frame: Frame, acts: &mut Vec<Act>) {
        let mut findings = Findings::default();
        match frame {
            Frame::Text(text) => self.text(at, &text, &mut findings),
            Frame::Binary(bytes) => {
                let text = std::str::from_utf8(&bytes).ok().filter(|_| self.spec.codec != Codec::Raw);
                match text.filter(|text| codec::is_read(self.spec.codec, text)) {
                    Some(text) => self.text(at, text, &mut findings),
                    None => self.event(&mut findings, "binary", Payload::Binary(bytes.into())),
                }
            }
        }
        findings.into_acts(acts);
    }

    fn closed(&mut self, code: u16, reason: &str) -> Option<Verdict> {
        let spec = Arc::clone(&self.spec);
        let scope = self.scope(Moment::default(), Around::default());
        let rule = spec.rules.iter().find(|rule| {
            rule.when.as_ref().is_some_and(|when| {
                when.subject == Subject::Close && when.holds(&scope, Facts::Close { code, reason })
            })
        })?;
        let mut findings = Findings::default();
        let verdict = self.last_word(rule, &mut findings);
        self.left = std::mem::take(&mut findings.unit);
        self.note(|| Came { to: rule.role.name(), ..Came::default() });
        Some(verdict)
    }

    fn left_behind(&mut self) -> Unit {
        std::mem::take(&mut self.left)
    }

    fn encode(&mut self, at: Moment, message: Outgoing<'_>) -> Result<Encoded, Refusal> {
        let spec = Arc::clone(&self.spec);
        let Some(out) = outbound::shape(&spec, message.kind, message.payload)? else {
            return Ok(outbound::as_it_is(message.payload));
        };
        let mut drawn = self.draw(&out.frame, out.reference.as_ref());
        let mut watch = self.watch.take();
        let mut scope = self.scope(at, Around::default());
        scope.sending = Some(message);
        if let Some(watch) = &mut watch {
            watch.draw(&out.frame, &scope, &mut drawn);
        }
        scope.drawn = Some(&drawn);
        let encoded = outbound::encode(&spec, out, &scope);
        self.watch = watch;
        encoded
    }

    fn pulse(&self) -> Pulse {
        let heartbeat = &self.spec.heartbeat;
        Pulse {
            message: heartbeat.send.is_some(),
            ws_ping: heartbeat.ws_ping,
            every: self.length(heartbeat.every.as_ref()),
            timeout: self.length(heartbeat.timeout.as_ref()),
            beat: self.length(heartbeat.beat.as_ref()),
        }
    }

    fn heartbeat(&mut self, at: Moment) -> Option<Frame> {
        let spec = Arc::clone(&self.spec);
        let template = spec.heartbeat.send.as_ref()?;
        let cursor = self.cursors.get(&*self.lone).cloned();
        self.say(at, template, Around::default(), cursor.as_deref()).0
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.steps.deadline()
    }

    fn handle_timeout(&mut self, at: Moment, acts: &mut Vec<Act>) {
        let mut findings = Findings::default();
        self.time_is_up(at, &mut findings);
        self.go_on(at, &mut findings);
        findings.into_acts(acts);
    }
}

/// A verdict with the server's own time, where it names one.
pub(super) fn verdict(sentence: Sentence, after: Option<Duration>) -> Verdict {
    match sentence {
        Sentence::Retry => Verdict::Retry { after },
        Sentence::Reconnect => Verdict::Reconnect,
        Sentence::Unauthorized => Verdict::Unauthorized,
        Sentence::Unavailable => Verdict::Unavailable { after },
        Sentence::Misconfigured => Verdict::Misconfigured,
    }
}

/// What `source` says, for people: without what is secret in it, and cut only then.
pub(super) fn words(source: Option<&Template>, scope: &Scope<'_>) -> Option<String> {
    let value = source?.value(scope).filter(|value| !value.is_null())?;
    Some(clean(&veil::over(&value.text(), scope)))
}
