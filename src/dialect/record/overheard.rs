//! The layer between session and dialect.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::Recorder;
use super::hide::TOKEN;
use super::line::{Entry, Opened, Sent};
use crate::dialect::{About, Act, Connect, Conversation, Dialect, Encoded, Given, Outgoing, Pulse, Traits};
use crate::model::{Confirm, Frame, Instant, Moment, NewRow, Payload, Refusal, Secret, Unit, Verdict};

/// A dialect that is overheard.
#[derive(Debug)]
pub(super) struct Overheard {
    recorder: Arc<Recorder>,
    dialect: Arc<dyn Dialect>,
    /// What the last dial carried, until it stands or is refused, and when that was.
    dialled: Mutex<Option<(Moment, Opened)>>,
}

impl Overheard {
    pub(super) const fn new(recorder: Arc<Recorder>, dialect: Arc<dyn Dialect>) -> Self {
        Self { recorder, dialect, dialled: Mutex::new(None) }
    }

    fn take_dialled(&self) -> Option<(Moment, Opened)> {
        self.dialled.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Whether the dial with stand-ins in the place of secrets is the dial without secrets.
    fn is_alike(&self, given: &Given, at: Moment, connect: &Connect) -> bool {
        let recorder = &self.recorder;
        let state = recorder.state();
        let stand_in = |secret: &str| state.hidden.clean(secret);
        let kept: BTreeMap<_, _> =
            given.kept.iter().map(|(name, json)| (Arc::clone(name), stand_in(json).into())).collect();
        let given = Given {
            token: given
                .token
                .as_ref()
                .map(|token| Secret::new(state.hidden.stand_in(token.expose()).unwrap_or_default())),
            kept,
            ..given.clone()
        };
        let theirs = self.dialect.connect(&given, at);
        let clean = |pairs: &[(String, String)]| -> Vec<_> {
            pairs.iter().map(|(name, value)| (name.clone(), stand_in(value))).collect()
        };
        clean(&connect.query) == theirs.query && clean(&connect.headers) == theirs.headers
    }
}

impl Recorder {
    fn learn(&self, given: &Given) {
        let mut state = self.state();
        if let Some(token) = &given.token {
            state.hidden.hide(TOKEN, token.expose());
            state.token.get_or_insert_with(|| token.clone());
        }
        for (name, json) in &given.kept {
            state.hidden.hide_kept(name, json);
        }
    }

    fn learn_kept(&self, unit: &Unit) {
        let mut state = self.state();
        for (name, json) in &unit.kept {
            if let Some(json) = json {
                state.hidden.hide_kept(name, json);
            }
        }
    }
}

impl Dialect for Overheard {
    fn traits(&self) -> &Traits {
        self.dialect.traits()
    }

    fn connect(&self, given: &Given, at: Moment) -> Connect {
        self.recorder.learn(given);
        let connect = self.dialect.connect(given, at);
        let opened = Opened {
            query: connect.query.clone(),
            headers: connect.headers.clone(),
            subprotocols: connect.subprotocols.clone(),
            unlike: !self.is_alike(given, at, &connect),
        };
        *self.dialled.lock().unwrap_or_else(PoisonError::into_inner) = Some((at, opened));
        connect
    }

    fn check(&self, kind: &str, payload: &Payload) -> Result<(), Refusal> {
        self.dialect.check(kind, payload)
    }

    fn confirm(&self, kind: &str, payload: &Payload) -> Confirm {
        self.dialect.confirm(kind, payload)
    }

    fn answers(&self, kind: &str, payload: &Payload) -> bool {
        self.dialect.answers(kind, payload)
    }

    fn refused(&self, status: u16) -> Option<Verdict> {
        if let Some((at, _)) = self.take_dialled() {
            self.recorder.note(at, Entry::Refused(status));
            self.recorder.settle();
        }
        self.dialect.refused(status)
    }

    fn converse(&self, given: Given, seed: u64) -> Box<dyn Conversation> {
        self.recorder.learn(&given);
        Box::new(Talk {
            recorder: Arc::clone(&self.recorder),
            talk: self.dialect.converse(given, seed),
            dialled: Some(self.take_dialled()),
            at: Moment::default(),
            over: false,
            ours: false,
        })
    }
}

/// A conversation that is overheard.
#[derive(Debug)]
struct Talk {
    recorder: Arc<Recorder>,
    talk: Box<dyn Conversation>,
    /// What the dial carried: to be noted as soon as the connection is taken up. What the dialect
    /// put into it is of the time of the dial.
    dialled: Option<Option<(Moment, Opened)>>,
    /// When something last happened.
    at: Moment,
    /// Its end is noted.
    over: bool,
    /// The dialect had us hang up.
    ours: bool,
}

impl Talk {
    /// Notes what goes out, and tells what things came to. `came` is what came before that.
    fn follow(&mut self, at: Moment, came: Option<Frame>, acts: &[Act]) {
        self.at = at;
        // What is kept from now on is secret in the very frame that brought it.
        for act in acts {
            if let Act::Store { unit, .. } = act {
                self.recorder.learn_kept(unit);
            }
        }
        if let Some(frame) = came {
            self.recorder.note(at, Entry::In(frame));
        }
        for act in acts {
            match act {
                Act::Send(frame) => self.recorder.note(at, Entry::Out(frame.clone())),
                Act::Store { unit, then, .. } => {
                    self.became(unit);
                    for frame in then {
                        self.recorder.note(at, Entry::Out(frame.clone()));
                    }
                }
                Act::Started { .. } => {
                    let mut state = self.recorder.state();
                    state.started = true;
                    state.held = None;
                    drop(state);
                    self.recorder.came_to("start-up is through");
                }
                Act::Accepted { about, .. } => self.recorder.came_to(&answer("accepted", about, &[])),
                Act::Received { about, .. } => self.recorder.came_to(&answer("received", about, &[])),
                Act::Rejected { about, code, message, .. } => {
                    self.recorder.came_to(&answer("rejected", about, &[code, message]));
                }
                Act::Deferred { about, code, message, .. } => {
                    self.recorder.came_to(&answer("deferred", about, &[code, message]));
                }
                Act::Pong => self.recorder.came_to("pong"),
                Act::Health { text, .. } => self.recorder.came_to(&format!("health: {text}")),
                Act::HangUp(failure) => {
                    self.ours = true;
                    self.recorder.came_to(&format!("hang up: {failure}"));
                }
            }
        }
        self.recorder.settle();
    }

    fn became(&self, unit: &Unit) {
        for row in &unit.rows {
            self.recorder.came_to(&match row {
                NewRow::Event { kind, id: Some(id), .. } => format!("event {kind}, id {id}"),
                NewRow::Event { kind, id: None, .. } => format!("event {kind}"),
                NewRow::Gap { detail, .. } => format!("gap: {detail}"),
                NewRow::Bad { detail, .. } | NewRow::Misfit { detail, .. } => {
                    format!("quarantine: {detail}")
                }
            });
        }
    }

    fn note_end(&mut self, code: Option<u16>, reason: &str) {
        if self.over || self.dialled.is_some() {
            return;
        }
        self.over = true;
        let ours = code.is_none() && (self.ours || self.recorder.state().ending);
        self.recorder.note(self.at, Entry::Close { code, reason: reason.to_owned(), ours });
        self.recorder.settle();
    }
}

/// A reply in words.
fn answer(role: &str, about: &About, more: &[&Option<String>]) -> String {
    let mut text = match about {
        About::One(reference) => format!("{role} {reference}"),
        About::UpTo(number) => format!("{role} up to {number}"),
    };
    for part in more.iter().copied().flatten() {
        text.push_str(": ");
        text.push_str(part);
    }
    text
}

impl Conversation for Talk {
    fn begin(&mut self, at: Moment, acts: &mut Vec<Act>) {
        let before = acts.len();
        self.talk.begin(at, acts);
        if let Some(dialled) = self.dialled.take() {
            let (dialled_at, opened) = dialled.unwrap_or_else(|| (at, Opened::default()));
            self.recorder.note(dialled_at, Entry::Open(opened));
        }
        self.follow(at, None, &acts[before..]);
    }

    fn frame(&mut self, at: Moment, frame: Frame, acts: &mut Vec<Act>) {
        let before = acts.len();
        self.talk.frame(at, frame.clone(), acts);
        self.follow(at, Some(frame), &acts[before..]);
    }

    fn closed(&mut self, code: u16, reason: &str) -> Option<Verdict> {
        self.note_end(Some(code), reason);
        self.talk.closed(code, reason)
    }

    fn left_behind(&mut self) -> Unit {
        let unit = self.talk.left_behind();
        self.recorder.learn_kept(&unit);
        self.became(&unit);
        self.recorder.settle();
        unit
    }

    fn encode(&mut self, at: Moment, message: Outgoing<'_>) -> Result<Encoded, Refusal> {
        self.at = at;
        let encoded = self.talk.encode(at, message);
        self.recorder.note(
            at,
            Entry::Send(Sent {
                id: Some(message.id.as_str().to_owned()),
                kind: message.kind.to_owned(),
                payload: message.payload.clone(),
            }),
        );
        match &encoded {
            Ok(encoded) => {
                for frame in std::iter::once(&encoded.frame).chain(&encoded.behind) {
                    self.recorder.note(at, Entry::Out(frame.clone()));
                }
            }
            Err(refusal) => self.recorder.came_to(&format!("refused: {}", refusal.message)),
        }
        self.recorder.settle();
        encoded
    }

    fn pulse(&self) -> Pulse {
        self.talk.pulse()
    }

    fn heartbeat(&mut self, at: Moment) -> Option<Frame> {
        self.at = at;
        let frame = self.talk.heartbeat(at);
        if let Some(frame) = &frame {
            self.recorder.note(at, Entry::Out(frame.clone()));
            self.recorder.settle();
        }
        frame
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.talk.poll_timeout()
    }

    fn handle_timeout(&mut self, at: Moment, acts: &mut Vec<Act>) {
        let before = acts.len();
        self.talk.handle_timeout(at, acts);
        self.follow(at, None, &acts[before..]);
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        self.note_end(None, "");
    }
}
