//! Plays a script through the real session: what the dialect makes of frames, what the session
//! makes of that, a store that remembers, and virtual time.
//!
//! Long, for it is one loop over one state; what is looked for in it are the files beside it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use holdline::dialect::{Act, Dialect};
use holdline::model::{
    Delivery, DueRow, Failure, Frame, Instant, LinkState, MessageId, Moment, NewRow, Payload, Place, Resend,
    Secret, Timestamp, TypeRules, Verdict,
};
use holdline::session::{
    Change, HeartbeatMode, HeartbeatSettings, Input, OutboxSettings, Output, ReconnectSettings, Session,
    Settings,
};
use serde_json::{Value, json};

use crate::script::{Case, Line, Said, Script, Step};
use crate::shelf::Shelf;
use crate::spy::Spy;

/// How long is waited, in virtual time, for the session to dial or to send a heartbeat.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// What a line came to, as a transcript expects it.
#[derive(Debug, Clone)]
struct Came {
    /// More than one word, where the session cannot tell them apart.
    to: Vec<&'static str>,
    members: BTreeMap<&'static str, Value>,
}

/// What a connection began with: the dial, and what came before the first answer, but for messages.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Opening {
    pub query: Vec<(String, String)>,
    pub headers: Vec<(String, String)>,
    pub subprotocols: Vec<String>,
    pub frames: Vec<Frame>,
}

pub struct Player {
    pub spy: Arc<Spy>,
    pub session: Session,
    pub shelf: Shelf,
    token: Option<String>,
    began: Timestamp,
    elapsed: Duration,
    pub dialling: bool,
    pub dials: usize,
    pub up: bool,
    /// Whether pings are answered: a pong is a receipt for dialects that have no other.
    pub echoes: bool,
    policy_close: bool,
    /// Frames of ours on this connection that the script has not named yet.
    due: Vec<Frame>,
    pub opening: Opening,
    outcomes: Vec<Came>,
    deferred: usize,
    /// What was expected and did not come, or came and was not expected.
    pub faults: Vec<String>,
    /// All that a person may get to see.
    pub told: Vec<String>,
}

fn settings() -> Settings {
    Settings {
        url: "wss://server.example/".into(),
        server_key: "server".into(),
        heartbeat: HeartbeatSettings { mode: HeartbeatMode::Auto, interval: None, timeout: None },
        reconnect: ReconnectSettings {
            delays: [1, 2, 5].map(Duration::from_secs).to_vec(),
            jitter: 0.0,
            stable_after: Duration::from_secs(30),
            unavailable_after: 1000,
        },
        outbox: OutboxSettings {
            window: 256,
            window_bytes: 1 << 20,
            confirm_timeout: Duration::from_secs(3600),
            max_attempts: 1000,
            drain_rate: 0,
        },
        sign_in: None,
        types: Arc::new(TypeRules::default()),
        lanes: Vec::new(),
    }
}

impl Player {
    /// A daemon that was just started, for `script`, with what earlier ones left.
    pub fn new(dialect: Arc<dyn Dialect>, script: &Script, shelf: Shelf) -> Self {
        let spy = Arc::new(Spy::new(dialect));
        let (token, now) = match script.lines.first().map(|line| &line.step) {
            Some(Step::Set { token, now, .. }) => (token.clone(), *now),
            _ => (None, None),
        };
        let session = Session::new(settings(), Arc::clone(&spy) as Arc<dyn Dialect>, shelf.remembered(), 7);
        let mut player = Self {
            spy,
            session,
            shelf,
            token,
            began: now.unwrap_or(Timestamp::from_millis(1_767_225_600_000)),
            elapsed: Duration::ZERO,
            dialling: false,
            dials: 0,
            up: false,
            echoes: true,
            policy_close: false,
            due: Vec::new(),
            opening: Opening::default(),
            outcomes: Vec::new(),
            deferred: 0,
            faults: Vec::new(),
            told: Vec::new(),
        };
        player.input(Input::Start);
        player
    }

    /// The daemon dies and is started anew: only what is on the shelf is left, and the time.
    pub fn restart(&mut self, script: &Script) {
        let shelf = std::mem::take(&mut self.shelf);
        let dialect = Arc::clone(&self.spy) as Arc<dyn Dialect>;
        let mut next = Self::new(dialect, script, shelf);
        (next.began, next.elapsed, next.echoes) = (self.began, self.elapsed, self.echoes);
        *self = next;
    }

    fn now(&self) -> Moment {
        let nanos = u64::try_from(self.elapsed.as_nanos()).expect("within centuries");
        let wall = self.began.after(self.elapsed);
        Moment { instant: Instant::from_nanos(nanos), steady: wall, wall }
    }

    pub fn input(&mut self, input: Input) {
        let now = self.now();
        self.session.handle(now, input);
        self.carry_out();
    }

    fn carry_out(&mut self) {
        let mut answers = VecDeque::new();
        loop {
            while let Some(output) = self.session.poll_output() {
                match output {
                    Output::Dial { .. } => {
                        self.dialling = true;
                        self.dials += 1;
                    }
                    Output::AbandonDial => self.dialling = false,
                    Output::Write { ticket, frame } => {
                        self.due.push(frame);
                        answers.push_back(Input::Written(ticket));
                    }
                    Output::Ping(payload) if self.echoes => answers.push_back(Input::Pong(payload)),
                    Output::Ping(_) => {}
                    Output::HangUp { failure, .. } => {
                        self.told.push(format!("{failure} {:?} {failure:?}", failure.hint()));
                        self.up = false;
                        answers.push_back(Input::LinkDown(failure));
                    }
                    Output::LoadDue(query) => answers.push_back(Input::Due(self.shelf.due(query))),
                    Output::Record { ticket, record } => {
                        let outcome = self.shelf.record(record);
                        answers.push_back(Input::Recorded { ticket, outcome });
                    }
                    Output::Publish(change) => {
                        if let Change::Health { .. } = &change {
                            self.told.push(format!("{change:?}"));
                        }
                    }
                }
            }
            let Some(answer) = answers.pop_front() else { break };
            let now = self.now();
            self.session.handle(now, answer);
        }
        let status = serde_json::to_string(&self.session.link_status()).expect("JSON");
        if self.told.last() != Some(&status) {
            self.told.push(status);
        }
    }

    /// Lets time pass until `done`, or until the next hour has passed.
    fn wait_until(&mut self, done: impl Fn(&Self) -> bool) -> bool {
        let end = self.elapsed + LONGEST_WAIT;
        while !done(self) {
            let Some((due, _)) = self.session.poll_timeout() else { return false };
            let due = Duration::from_nanos(due.as_nanos());
            if due > end {
                return false;
            }
            self.pass(due);
        }
        true
    }

    fn pass(&mut self, until: Duration) {
        self.elapsed = self.elapsed.max(until);
        let now = self.now();
        self.session.handle_timeout(now);
        self.carry_out();
    }

    /// Lets `length` pass.
    pub fn wait(&mut self, length: Duration) {
        let end = self.elapsed + length;
        while let Some((due, _)) = self.session.poll_timeout() {
            let due = Duration::from_nanos(due.as_nanos());
            if due > end {
                break;
            }
            self.pass(due);
        }
        self.elapsed = end;
    }

    /// Waits until the session dials. One that waits for another credential is told of one.
    fn until_it_dials(&mut self) -> bool {
        if !self.dialling && self.session.link_state() == LinkState::Unauthorized {
            self.input(Input::CredentialChanged);
        }
        self.wait_until(|player| player.dialling)
    }

    fn secret(&self) -> Option<Secret> {
        self.token.as_ref().map(Secret::new)
    }

    /// The dial comes about. False where the session does not dial.
    pub fn open(&mut self) -> bool {
        self.settle();
        if self.up || !self.until_it_dials() {
            return false;
        }
        let (now, token) = (self.now(), self.secret());
        let connect = self.session.connect(now, token.as_ref());
        self.carry_out();
        self.dialling = false;
        self.up = true;
        let before = self.spy.look(|seen| seen.encoded.len());
        self.input(Input::LinkUp { token });
        let messages: Vec<Frame> =
            self.spy.look(|seen| seen.encoded[before..].iter().map(|(_, frame, _)| frame.clone()).collect());
        self.opening = Opening {
            query: connect.query,
            headers: connect.headers,
            subprotocols: connect.subprotocols,
            frames: self.due.iter().filter(|frame| !messages.contains(frame)).cloned().collect(),
        };
        true
    }

    fn refuse(&mut self, status: u16) -> bool {
        self.settle();
        if self.up || !self.until_it_dials() {
            return false;
        }
        let (now, token) = (self.now(), self.secret());
        self.session.connect(now, token.as_ref());
        self.carry_out();
        self.dialling = false;
        self.input(Input::LinkDown(Failure::Refused {
            status,
            retry_after: None,
            detail: String::new(),
            ruled: None,
        }));
        true
    }

    /// The connection breaks.
    pub fn cut(&mut self) {
        self.up = false;
        self.due.clear();
        self.input(Input::LinkDown(Failure::Lost { detail: String::new() }));
    }

    pub fn frame(&mut self, frame: Frame) {
        self.input(Input::Frame(frame));
    }

    /// Frames that were due and never named.
    fn settle(&mut self) {
        // Heartbeats are due at any time, and what was cut off or deferred goes out again: a transcript
        // has neither.
        let (heartbeats, again) = self.spy.look(|seen| {
            let known = |at: usize, id: &String| seen.encoded[..at].iter().any(|(before, ..)| before == id);
            let again: Vec<Frame> = seen
                .encoded
                .iter()
                .enumerate()
                .filter(|(at, (id, ..))| known(*at, id))
                .map(|(_, (_, frame, _))| frame.clone())
                .collect();
            (std::mem::take(&mut seen.heartbeats), again)
        });
        for frame in std::mem::take(&mut self.due) {
            if !heartbeats.contains(&frame) && !again.contains(&frame) {
                self.faults.push(format!("we sent what the script lacks: {frame:?}"));
            }
        }
    }

    fn send(&mut self, kind: &str, id: &str, payload: &Payload) {
        if let Err(refusal) = self.spy.check(kind, payload) {
            let members = BTreeMap::from([("message", json!(refusal.message))]);
            self.outcomes.push(Came { to: vec!["refused"], members });
            return;
        }
        let now = self.now();
        let row = DueRow {
            place: Place(0),
            id: MessageId::new(id).expect("an id"),
            kind: kind.into(),
            lane: "default".into(),
            key: None,
            delivery: Delivery::Durable,
            confirm: self.spy.confirm(kind, payload),
            resend: Resend::Always,
            attempts: 0,
            strikes: 0,
            queued_at: now.wall,
            expires_at: None,
            was_sent: false,
            payload: payload.clone(),
        };
        let (previous, row) = self.shelf.insert(row);
        self.input(Input::Queued { previous, rows: vec![row] });
    }

    /// Plays one line. What does not fit is among the faults.
    pub fn play(&mut self, line: &Line) {
        if !line.step.follows() {
            self.outcomes.clear();
        }
        let faults = self.faults.len();
        match &line.step {
            Step::Set { .. } => {}
            Step::Open { query, headers } => {
                if self.open() {
                    for (what, recorded, ours) in
                        [("query", query, &self.opening.query), ("headers", headers, &self.opening.headers)]
                    {
                        let ours: serde_json::Map<String, Value> =
                            ours.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
                        if recorded.as_ref().is_some_and(|recorded| *recorded != Value::Object(ours.clone()))
                        {
                            self.faults.push(format!("the {what} differs: ours is {ours:?}"));
                        }
                    }
                } else {
                    self.faults.push("the session does not dial".to_owned());
                }
            }
            Step::Refused(status) => {
                if !self.refuse(*status) {
                    self.faults.push("the session does not dial".to_owned());
                }
            }
            Step::In(frame) if self.up => self.frame(frame.clone()),
            Step::In(_) => self.faults.push("a frame came, and there is no connection".to_owned()),
            Step::Out(said) => self.out(said),
            Step::Send { kind, id, payload } => self.send(kind, id, payload),
            Step::Close { code, reason, ours } => self.close(*code, reason, *ours),
            Step::Wait(length) => self.wait(*length),
            Step::Expect(expected) => self.expect(expected),
        }
        self.take_outcomes();
        for fault in &mut self.faults[faults..] {
            fault.insert_str(0, &format!("line {}: ", line.number));
        }
    }

    fn close(&mut self, code: Option<u16>, reason: &str, ours: bool) {
        self.settle();
        if !self.up {
            // Only the consequence of a verdict.
            return;
        }
        if ours {
            self.faults.push("we did not hang up".to_owned());
            return;
        }
        self.up = false;
        let repeated_policy = code == Some(1008) && self.policy_close;
        self.policy_close = code == Some(1008);
        self.input(Input::LinkDown(match code {
            Some(code) => Failure::Closed { code, reason: reason.to_owned(), ruled: None, repeated_policy },
            None => Failure::Lost { detail: String::new() },
        }));
    }

    fn out(&mut self, said: &Said) {
        let here = |player: &Self| player.due.iter().position(|frame| is(frame, said));
        let mut at = here(self);
        if at.is_none() && self.up {
            // A heartbeat is due at any time.
            let before = self.spy.look(|seen| seen.heartbeats.len());
            self.wait_until(|player| player.spy.look(|seen| seen.heartbeats.len()) > before || !player.up);
            at = here(self);
        }
        match at {
            Some(at) => {
                self.due.remove(at);
            }
            None => self.faults.push(format!("we did not send {said:?}; due are {:?}", self.due)),
        }
    }

    fn take_outcomes(&mut self) {
        let (acts, verdicts) =
            self.spy.look(|seen| (std::mem::take(&mut seen.acts), std::mem::take(&mut seen.verdicts)));
        for act in acts {
            self.deferred += usize::from(matches!(act, Act::Deferred { .. }));
            self.outcomes.extend(came_of(act));
        }
        for verdict in verdicts {
            self.outcomes.push(Came { to: vec![word(verdict)], members: BTreeMap::new() });
        }
    }

    fn expect(&mut self, expected: &BTreeMap<String, Value>) {
        let wanted = expected.get("as").and_then(Value::as_str);
        match wanted {
            // Both leave no trace in what the session gets.
            Some("ping" | "ignore") | None => return,
            Some("link") => {
                let state = self.session.link_state().as_str();
                if expected.get("state").is_some_and(|wanted| wanted != state) {
                    self.faults.push(format!("the link is {state}, not {}", expected["state"]));
                }
                return;
            }
            Some(_) => {}
        }
        let fits = |came: &Came| {
            came.to.iter().any(|to| Some(*to) == wanted)
                && expected.iter().filter(|(name, _)| *name != "as").all(|(name, wanted)| {
                    match came.members.get(name.as_str()) {
                        None => name == "cursor" || came.to.contains(&"error"),
                        Some(Value::Array(any)) if name == "cursor" => any.contains(wanted),
                        Some(ours) => ours == wanted || text(ours) == text(wanted),
                    }
                })
        };
        match self.outcomes.iter().position(fits) {
            Some(at) => {
                self.outcomes.remove(at);
            }
            None => {
                self.faults.push(format!("{expected:?} did not come about; what did: {:?}", self.outcomes))
            }
        }
    }

    /// Plays all of `script`; the first line that fails ends it.
    pub fn play_all(&mut self, script: &Script) -> Result<(), String> {
        for line in &script.lines {
            self.play(line);
            self.healthy(script)?;
        }
        self.settle();
        self.healthy(script)
    }

    pub fn healthy(&self, script: &Script) -> Result<(), String> {
        match self.faults.first() {
            Some(fault) => Err(format!("{}: {fault}", script.name)),
            None => Ok(()),
        }
    }

    /// A new connection, answered as the script's first one was, until messages flow. Frames of
    /// ours are not compared: there may be a cursor in them now.
    pub fn reopen(&mut self, script: &Script) -> Result<(), String> {
        self.due.clear();
        if !self.open() {
            return Err("the session does not dial".to_owned());
        }
        let start = script.of(Case::Start).ok_or("no start was recorded")?;
        for line in &script.lines[start] {
            if self.session.link_state() == LinkState::Connected {
                break;
            }
            if let Step::In(frame) = &line.step {
                self.frame(frame.clone());
            }
        }
        self.take_outcomes();
        self.outcomes.clear();
        match self.session.link_state() {
            LinkState::Connected => Ok(()),
            state => Err(format!("the session is {} and not connected", state.as_str())),
        }
    }

    /// How many messages the server put off so far.
    pub fn put_off(&self) -> usize {
        self.deferred
    }

    /// All rows as they can be compared.
    pub fn rows(&self) -> Vec<String> {
        self.shelf.rows.iter().map(|row| format!("{row:?}")).collect()
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

const fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Retry { .. } | Verdict::Offline => "retry",
        Verdict::Unavailable { .. } => "unavailable",
        Verdict::Reconnect => "reconnect",
        Verdict::Unauthorized => "unauthorized",
        Verdict::Misconfigured => "misconfigured",
    }
}

fn body(payload: &Payload) -> Value {
    match payload {
        Payload::Json(json) => serde_json::from_str(json).unwrap_or(Value::Null),
        Payload::Text(text) => json!(**text),
        Payload::Binary(_) => Value::Null,
    }
}

/// What an act is called in a transcript.
fn came_of(act: Act) -> Vec<Came> {
    let reply = |data: Option<Arc<str>>| {
        data.map(|data| serde_json::from_str(&data).unwrap_or(Value::Null)).unwrap_or(Value::Null)
    };
    let one = |to, members: Vec<(&'static str, Value)>| {
        vec![Came { to: vec![to], members: members.into_iter().collect() }]
    };
    match act {
        Act::Store { unit, .. } => {
            let values = |pairs: &[(Arc<str>, Option<Arc<str>>)]| -> Vec<Value> {
                let values = pairs.iter().filter_map(|(_, value)| value.as_ref());
                values.map(|value| serde_json::from_str(value).unwrap_or(Value::Null)).collect()
            };
            let cursors = Value::Array(values(&unit.cursors));
            let lost = unit.cursors.iter().any(|(_, cursor)| cursor.is_none());
            let came = |row: NewRow| match row {
                NewRow::Event { id, kind, payload, .. } => {
                    let mut members = BTreeMap::from([("type", json!(kind)), ("data", body(&payload))]);
                    members.insert("id", id.map_or(Value::Null, |id| json!(id)));
                    if cursors.as_array().is_some_and(|cursors| !cursors.is_empty()) {
                        members.insert("cursor", cursors.clone());
                    }
                    let to = match kind.as_str() {
                        "unrecognised" => vec!["unrecognised"],
                        "error" => vec!["event", "error", "rejected"],
                        _ => vec!["event"],
                    };
                    Came { to, members }
                }
                NewRow::Gap { detail, .. } => Came {
                    to: if lost { vec!["gap", "cursor_lost"] } else { vec!["gap"] },
                    members: BTreeMap::from([("message", json!(detail))]),
                },
                NewRow::Bad { .. } | NewRow::Misfit { .. } => {
                    Came { to: vec!["quarantine"], members: BTreeMap::new() }
                }
            };
            unit.rows.into_iter().map(came).collect()
        }
        Act::Accepted { data, .. } => one("accepted", vec![("data", reply(data))]),
        Act::Received { data, .. } => one("received", vec![("data", reply(data))]),
        Act::Rejected { code, message, .. } => {
            one("rejected", vec![("code", json!(code)), ("message", json!(message))])
        }
        Act::Deferred { code, message, .. } => {
            one("deferred", vec![("code", json!(code)), ("message", json!(message))])
        }
        Act::Pong => one("pong", Vec::new()),
        Act::HangUp(Failure::Ruled { verdict, code, message }) => {
            one(word(verdict), vec![("code", json!(code)), ("message", json!(message))])
        }
        Act::HangUp(_) | Act::Send(_) | Act::Started { .. } | Act::Health { .. } => Vec::new(),
    }
}

/// Whether `frame` is what was recorded. Times and random ids differ from run to run.
fn is(frame: &Frame, said: &Said) -> bool {
    match (frame, said) {
        (Frame::Text(ours), Said::Json(recorded)) => {
            serde_json::from_str(ours).is_ok_and(|ours: Value| alike(&ours, recorded))
        }
        (Frame::Text(ours), Said::Text(recorded)) => ours == recorded,
        (Frame::Binary(ours), Said::Binary(recorded)) => ours == recorded,
        _ => false,
    }
}

fn alike(ours: &Value, recorded: &Value) -> bool {
    match (ours, recorded) {
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter().all(|(name, value)| b.get(name).is_some_and(|other| alike(value, other)))
        }
        (Value::String(a), Value::String(b)) => {
            a == b
                || (uuid::Uuid::try_parse(a).is_ok() && uuid::Uuid::try_parse(b).is_ok())
                || (Timestamp::parse(a).is_ok() && Timestamp::parse(b).is_ok())
        }
        (a, b) => a == b,
    }
}
