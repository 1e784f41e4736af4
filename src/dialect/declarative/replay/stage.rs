//! The other side of the talk: a store, a clock and a server that follow the recording.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::super::talk::Came;
use super::super::value::Value;
use super::super::{codec, roles};
use super::coded::{came_of, tells};
use super::desk::{Desk, Watcher};
use super::told::{blank, dir, link, spelled};
use super::transcript::{Entry, Expected, Line, Message, Open, Recorded, Set};
use super::{Played, Replay, ReplayLine};
use crate::dialect::{Act, Conversation, Dialect, Given, Outgoing};
use crate::model::{Failure, Frame, Instant, LinkState, MessageId, Moment, Secret, Timestamp, Unit};

/// A frame we would send.
struct Due {
    frame: Frame,
    /// The recorded frame it was made to fit.
    line: Option<usize>,
    secret: bool,
}

/// All that stands around the talk.
pub(super) struct Stage<'t> {
    played: Played,
    lines: &'t [Line],
    lenient: bool,
    token: Option<String>,
    kept: BTreeMap<Arc<str>, Arc<str>>,
    cursors: BTreeMap<Arc<str>, Arc<str>>,
    start: Timestamp,
    elapsed: Duration,
    desk: Arc<Mutex<Desk>>,
    talk: Option<Box<dyn Conversation>>,
    due: Vec<Due>,
    /// Messages handed in before they may flow.
    waiting: Vec<(MessageId, usize)>,
    started: bool,
    judged: bool,
    last_close: Option<u16>,
    state: Option<LinkState>,
    outcomes: VecDeque<Came>,
    result: Replay,
    now: ReplayLine,
}

impl<'t> Stage<'t> {
    pub(super) fn new(played: Played, set: &Set, lines: &'t [Line], lenient: bool) -> Self {
        let mut desk = Desk { lenient, ..Desk::default() };
        if let Played::File(dialect) = &played {
            let spec = &dialect.spec;
            let effects =
                spec.rules.iter().map(|rule| &rule.effects).chain(spec.steps().map(|step| &step.effects));
            desk.kept =
                effects.flat_map(|effects| effects.keep.iter().map(|(name, _)| Arc::clone(name))).collect();
            desk.codec = spec.codec;
        }
        Self {
            played,
            lines,
            lenient,
            token: set.token.clone(),
            kept: BTreeMap::new(),
            cursors: BTreeMap::new(),
            // 2026-01-01T00:00:00Z: any time will do, as long as it is always the same.
            start: set.now.unwrap_or(Timestamp::from_millis(1_767_225_600_000)),
            elapsed: Duration::ZERO,
            desk: Arc::new(Mutex::new(desk)),
            talk: None,
            due: Vec::new(),
            waiting: Vec::new(),
            started: false,
            judged: false,
            last_close: None,
            state: None,
            outcomes: VecDeque::new(),
            result: Replay { lines: Vec::new(), mismatches: 0 },
            now: blank(0, ""),
        }
    }

    fn dialect(&self) -> &dyn Dialect {
        match &self.played {
            Played::File(dialect) => dialect.as_ref(),
            Played::Code(dialect) => dialect.as_ref(),
        }
    }

    /// A new connection's talk; one by a file lets itself be watched.
    fn converse(&self) -> Box<dyn Conversation> {
        match &self.played {
            Played::File(dialect) => {
                let mut talk = dialect.talk(self.given(), 1);
                talk.watch = Some(Box::new(Watcher(Arc::clone(&self.desk))));
                Box::new(talk)
            }
            Played::Code(dialect) => dialect.converse(self.given(), 1),
        }
    }

    fn moment(&self) -> Moment {
        let nanos = u64::try_from(self.elapsed.as_nanos()).unwrap_or(u64::MAX);
        let wall = self.start.after(self.elapsed);
        Moment { instant: Instant::from_nanos(nanos), steady: wall, wall }
    }

    fn given(&self) -> Given {
        Given {
            token: self.token.as_ref().map(Secret::new),
            kept: self.kept.clone(),
            cursors: self.cursors.clone(),
            sign_in: None,
        }
    }

    fn desk<T>(&self, look: impl FnOnce(&mut Desk) -> T) -> T {
        look(&mut self.desk.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn play(&mut self, index: usize) {
        let lines = self.lines;
        let line = &lines[index];
        self.now = blank(line.number, dir(&line.entry));
        if !matches!(line.entry, Entry::Out(_) | Entry::Expect(_)) {
            self.outcomes.clear();
        }
        let before = self.state;
        if let Some(at) = line.at {
            // Time that has passed does not come back.
            self.wait(Duration::from_millis(at).saturating_sub(self.elapsed));
        }
        match &line.entry {
            Entry::Set(_) => {}
            Entry::Open(open) => self.open(index, open),
            Entry::Refused { status } => self.refused(*status),
            Entry::In(frame) => self.frame(frame.clone()),
            Entry::Out(recorded) => self.out(index, recorded),
            Entry::Send(message) => self.send(index, message),
            Entry::Close { code, reason, ours } => self.close(*code, reason, *ours),
            Entry::Wait(length) => self.wait(*length),
            Entry::Expect(expected) => self.expect(expected),
            Entry::Torn => self.now.notes.push("the recording breaks off here".to_owned()),
        }
        let came = self.desk(|desk| std::mem::take(&mut desk.came));
        self.outcomes.extend(came.iter().cloned());
        self.now.came_to.extend(came.iter().map(spelled));
        if self.state != before
            && let Some(state) = self.state
        {
            self.outcomes.push_back(link(state));
            self.now.came_to.push(format!("link {}", state.as_str()));
        }
        self.end_line();
    }

    fn end_line(&mut self) {
        let line = std::mem::replace(&mut self.now, blank(0, ""));
        self.result.mismatches += line.mismatches.len();
        self.result.lines.push(line);
    }

    fn mismatch(&mut self, what: impl Into<String>) {
        self.now.mismatches.push(what.into());
    }

    /// Every frame that was due must have been recorded.
    fn settle(&mut self) {
        for due in std::mem::take(&mut self.due) {
            let text = format!("not in the recording: we would send {}", shown(&due));
            if self.lenient { self.now.notes.push(text) } else { self.mismatch(text) }
        }
        self.desk(|desk| {
            desk.open.clear();
            desk.fitted.clear();
        });
    }

    fn open(&mut self, index: usize, open: &Open) {
        self.settle();
        let connect = self.dialect().connect(&self.given(), self.moment());
        for (stream, cursor) in connect.baseline {
            self.cursors.insert(stream, cursor);
        }
        for (what, recorded, ours) in
            [("query", &open.query, &connect.query), ("headers", &open.headers, &connect.headers)]
        {
            let Some(recorded) = recorded else {
                continue;
            };
            let text =
                |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let mut recorded: Vec<_> =
                recorded.iter().map(|(name, value)| (name.clone(), text(value))).collect();
            let mut ours = ours.clone();
            recorded.sort();
            ours.sort();
            if recorded != ours {
                // Values may hold the credential.
                let names = |pairs: &[(String, String)]| {
                    pairs.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
                };
                let text = format!(
                    "the {what} differs: recorded are [{}], ours are [{}], or their values differ",
                    names(&recorded),
                    names(&ours)
                );
                if self.lenient { self.now.notes.push(text) } else { self.mismatch(text) }
            }
        }
        if open.subprotocols.as_ref().is_some_and(|recorded| *recorded != connect.subprotocols) {
            self.mismatch(format!("the sub-protocols differ: ours are {:?}", connect.subprotocols));
        }
        let upcoming = self.lines[index + 1..]
            .iter()
            .enumerate()
            .take_while(|(_, line)| !matches!(line.entry, Entry::Open(_) | Entry::Refused { .. }));
        let recorded = upcoming
            .filter_map(|(at, line)| {
                let Entry::Out(recorded) = &line.entry else {
                    return None;
                };
                Some((index + 1 + at, recorded.clone()))
            })
            .collect();
        self.desk(|desk| desk.open = recorded);
        let mut talk = self.converse();
        (self.started, self.judged) = (false, false);
        self.waiting.clear();
        self.state = Some(LinkState::Authenticating);
        let mut acts = Vec::new();
        talk.begin(self.moment(), &mut acts);
        self.talk = Some(talk);
        self.carry_out(acts);
    }

    fn refused(&mut self, status: u16) {
        self.settle();
        self.talk = None;
        let ruled = self.dialect().refused(status);
        let failure = Failure::Refused { status, retry_after: None, detail: String::new(), ruled };
        // Each refusal is told, also the second of its kind.
        self.state = None;
        self.judge(&failure);
    }

    fn judge(&mut self, failure: &Failure) {
        self.state = Some(failure.verdict().state());
    }

    fn frame(&mut self, frame: Frame) {
        let at = self.moment();
        let Some(talk) = &mut self.talk else {
            self.mismatch("a frame came, and there is no connection");
            return;
        };
        if self.judged {
            return self.mismatch("a frame came, and we had ended the connection by what came before");
        }
        let mut acts = Vec::new();
        talk.frame(at, frame, &mut acts);
        self.carry_out(acts);
    }

    fn put_down(&mut self, unit: Unit) {
        for (stored, new) in [(&mut self.cursors, unit.cursors), (&mut self.kept, unit.kept)] {
            for (name, value) in new {
                match value {
                    Some(value) => stored.insert(name, value),
                    None => stored.remove(&name),
                };
            }
        }
    }

    fn carry_out(&mut self, acts: Vec<Act>) {
        for act in acts {
            if let Played::Code(_) = self.played {
                // What a file's rules tell by themselves.
                let came = came_of(&act);
                self.desk(|desk| desk.came.extend(came));
            }
            match act {
                Act::Send(frame) => self.owe(frame),
                Act::Store { unit, then, cumulative: _ } => {
                    self.put_down(unit);
                    then.into_iter().for_each(|frame| self.owe(frame));
                }
                Act::Started { .. } => {
                    self.started = true;
                    self.state = Some(LinkState::Connected);
                    for (id, index) in std::mem::take(&mut self.waiting) {
                        self.encode(&id, index);
                    }
                }
                Act::HangUp(failure) => {
                    self.judged = true;
                    self.judge(&failure);
                }
                Act::Health { text, .. } => self.now.came_to.push(format!("health: {text}")),
                Act::Accepted { .. }
                | Act::Received { .. }
                | Act::Rejected { .. }
                | Act::Deferred { .. }
                | Act::Pong => {}
            }
        }
    }

    fn owe(&mut self, frame: Frame) {
        let (line, secret) = self.desk(|desk| {
            let fits = |text: &str| codec::outbound(desk.codec, text.to_owned()) == frame;
            let fitted = desk.fitted.iter().position(|(text, _)| fits(text));
            let secret = desk.secret.iter().any(|text| fits(text));
            (fitted.map(|at| desk.fitted.remove(at).1), secret)
        });
        let secret = secret
            || matches!(self.played, Played::Code(_))
                && tells(&frame, self.token.as_deref(), self.kept.values().map(|kept| &**kept));
        self.due.push(Due { frame, line, secret });
    }

    fn out(&mut self, index: usize, recorded: &Recorded) {
        if self.due_now(index, recorded) {
            return;
        }
        // A heartbeat is due at any time.
        let at = self.moment();
        let others = self.desk(|desk| std::mem::replace(&mut desk.open, vec![(index, recorded.clone())]));
        let heartbeat = self.talk.as_mut().and_then(|talk| talk.heartbeat(at));
        self.desk(|desk| desk.open = others);
        if let Some(frame) = heartbeat {
            self.owe(frame);
            if self.due_now(index, recorded) {
                self.now.came_to.push("heartbeat".to_owned());
                return;
            }
            self.due.pop();
        }
        let due: Vec<String> = self.due.iter().map(shown).collect();
        self.mismatch(match due.as_slice() {
            [] => "we would not send this: nothing is due".to_owned(),
            due => format!("we would not send this; due are {}", due.join(", ")),
        });
    }

    fn due_now(&mut self, index: usize, recorded: &Recorded) -> bool {
        let same = |due: &Due| match (&due.frame, recorded) {
            (Frame::Text(ours), Recorded::Json(json)) => {
                Value::Json(ours.as_str().into()).same(&Value::Json(json.into()))
            }
            (Frame::Text(ours), Recorded::Text(text)) => ours == text,
            (Frame::Binary(ours), Recorded::Binary(bytes)) => ours == bytes,
            _ => false,
        };
        let fitted = self.due.iter().position(|due| due.line == Some(index));
        let at = fitted.or_else(|| self.due.iter().position(|due| due.line.is_none() && same(due)));
        if let Some(at) = at {
            self.due.remove(at);
            self.desk(|desk| desk.open.retain(|(line, _)| *line != index));
        }
        at.is_some()
    }

    fn send(&mut self, index: usize, message: &Message) {
        let id = message.id.clone().unwrap_or_else(|| format!("message-{}", index + 1));
        let id = match MessageId::new(&id) {
            Ok(id) => id,
            Err(error) => return self.mismatch(error.to_string()),
        };
        if let Err(refusal) = self.dialect().check(&message.kind, &message.payload) {
            self.refuse(&refusal.message);
        } else if self.started {
            self.encode(&id, index);
        } else if self.talk.is_some() {
            self.waiting.push((id, index));
        } else {
            self.mismatch("a message is handed in, and there is no connection");
        }
    }

    fn refuse(&mut self, message: &str) {
        let came = Came { to: "refused", message: Some(message.to_owned()), ..Came::default() };
        self.desk(|desk| desk.came.push(came));
    }

    fn encode(&mut self, id: &MessageId, index: usize) {
        let at = self.moment();
        let lines = self.lines;
        let (Some(talk), Entry::Send(message)) = (&mut self.talk, &lines[index].entry) else {
            return;
        };
        match talk.encode(at, Outgoing { id, kind: &message.kind, payload: &message.payload }) {
            Ok(encoded) => {
                self.owe(encoded.frame);
                encoded.behind.into_iter().for_each(|frame| self.owe(frame));
            }
            Err(refusal) => self.refuse(&refusal.message),
        }
    }

    fn close(&mut self, code: Option<u16>, reason: &str, ours: bool) {
        self.settle();
        let Some(mut talk) = self.talk.take() else {
            return self.mismatch("a close, and there is no connection");
        };
        // After a verdict by a frame the close is only its consequence.
        if !ours && !self.judged {
            self.state = None;
            let failure = match code {
                Some(code) => {
                    let ruled = talk.closed(code, reason);
                    let repeated_policy = code == 1008 && self.last_close == Some(1008);
                    Failure::Closed { code, reason: reason.to_owned(), ruled, repeated_policy }
                }
                None => Failure::Lost { detail: String::new() },
            };
            let unit = talk.left_behind();
            self.put_down(unit);
            self.judge(&failure);
        }
        self.last_close = code;
    }

    fn wait(&mut self, length: Duration) {
        let end = self.elapsed + length;
        while let Some(deadline) = self.talk.as_ref().and_then(|talk| talk.poll_timeout()) {
            let due = Duration::from_nanos(deadline.as_nanos());
            if due > end {
                break;
            }
            self.elapsed = self.elapsed.max(due);
            let at = self.moment();
            let mut acts = Vec::new();
            if let Some(talk) = &mut self.talk {
                talk.handle_timeout(at, &mut acts);
            }
            self.carry_out(acts);
        }
        self.elapsed = end;
    }

    fn expect(&mut self, expected: &Expected) {
        let Some(came) = self.outcomes.pop_front() else {
            return self.mismatch("the line before came to nothing more");
        };
        if expected.to.as_ref().is_some_and(|to| *to != came.to) {
            let wanted = expected.to.as_deref().unwrap_or_default();
            return self.mismatch(format!("it came to {}, not to {wanted}", spelled(&came)));
        }
        let text = |text: &Option<String>| {
            text.as_ref().map(|text| Value::Text(text.as_str().into()).json().into_owned())
        };
        let json = |json: &Option<Arc<str>>| json.as_ref().map(ToString::to_string);
        let state = (came.to == "link").then(|| came.kind.clone()).flatten();
        let kind = if came.to == "link" { None } else { text(&came.kind) };
        for (name, wanted, ours) in [
            ("type", &expected.kind, kind),
            ("id", &expected.id, text(&came.id)),
            ("data", &expected.data, json(&came.data)),
            ("cursor", &expected.cursor, json(&came.cursor)),
            ("code", &expected.code, text(&came.code)),
            ("message", &expected.message, text(&came.message)),
            ("state", &expected.state, text(&state)),
        ] {
            let Some(wanted) = wanted else {
                continue;
            };
            let ours = ours.unwrap_or_else(|| "null".to_owned());
            let (mine, theirs) = (Value::Json(ours.as_str().into()), Value::Json(wanted.get().into()));
            // Types, ids and codes are texts here; a recording may have them as numbers.
            let alike = name != "data" && name != "cursor" && mine.text() == theirs.text();
            let forgiven = self.lenient && name == "cursor";
            if !(alike || forgiven || mine.same(&theirs)) {
                self.mismatch(format!("`{name}` is {ours}, not {}", wanted.get()));
            }
        }
    }

    pub(super) fn finish(mut self) -> Replay {
        let end = self.lines.last().map_or(1, |line| line.number + 1);
        self.now = blank(end, "end");
        self.settle();
        if !self.now.mismatches.is_empty() || !self.now.notes.is_empty() {
            self.end_line();
        }
        self.result
    }
}

fn shown(due: &Due) -> String {
    match &due.frame {
        _ if due.secret => "*** (it holds something secret)".to_owned(),
        Frame::Text(text) => roles::clean(text),
        Frame::Binary(bytes) => format!("{} bytes", bytes.len()),
    }
}
