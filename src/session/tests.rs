//! The session's rules under virtual time.

#![allow(clippy::wildcard_enum_match_arm, reason = "a test picks what it looks at")]

mod inbound;
mod link;
mod outbound;
mod parcels;
mod requests;
mod sleep;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::dialect::{
    About, Act, Connect, Conversation, Dialect, Encoded, Given, Outgoing, Pulse, SignIn, Traits,
};
use crate::model::*;

/// A dialect of one word and its object per frame.
#[derive(Debug)]
struct Words {
    traits: Traits,
    /// The session begins by itself, without a welcome.
    eager: bool,
    pulse: Pulse,
}

impl Dialect for Words {
    fn traits(&self) -> &Traits {
        &self.traits
    }
    fn connect(&self, _: &Given, _: Moment) -> Connect {
        Connect { baseline: vec![("start".into(), "7".into())], ..Connect::default() }
    }
    fn check(&self, _: &str, _: &Payload) -> Result<(), Refusal> {
        Ok(())
    }
    fn confirm(&self, _: &str, _: &Payload) -> Confirm {
        Confirm::Learned
    }
    fn answers(&self, _: &str, _: &Payload) -> bool {
        true
    }
    fn refused(&self, status: u16) -> Option<Verdict> {
        (status == 418).then_some(Verdict::Misconfigured)
    }
    fn converse(&self, given: Given, _: u64) -> Box<dyn Conversation> {
        Box::new(Talk { given, eager: self.eager, pulse: self.pulse, counter: 0 })
    }
}

#[derive(Debug)]
struct Talk {
    given: Given,
    eager: bool,
    pulse: Pulse,
    counter: u64,
}

impl Conversation for Talk {
    fn begin(&mut self, _: Moment, acts: &mut Vec<Act>) {
        let cursor = self.given.cursors.get("").map_or("none", |cursor| cursor);
        acts.push(Act::Send(Frame::Text(format!("hello {cursor}"))));
        if let Some(session) = self.given.kept.get("session") {
            acts.push(Act::Send(Frame::Text(format!("session {session}"))));
        }
        if self.eager {
            acts.push(Act::Started { resumed: None });
        }
    }
    fn frame(&mut self, _: Moment, frame: Frame, acts: &mut Vec<Act>) {
        let Frame::Text(text) = frame else { return };
        let mut words = text.split(' ');
        let word = words.next().unwrap();
        let name = words.next().unwrap_or_default().to_owned();
        let about = About::One(name.clone());
        let act = match word {
            "welcome" => Act::Started { resumed: Some(true) },
            "ok" => Act::Accepted { about, data: Some("{}".into()) },
            "upto" => Act::Accepted { about: About::UpTo(name.parse().unwrap()), data: None },
            "done" => Act::Accepted { about, data: None },
            "got" => Act::Received { about, data: words.next().map(Into::into) },
            "no" => Act::Rejected {
                about,
                code: Some("bad".into()),
                message: Some("it is bad".into()),
                otherwise: event_row("error", None),
            },
            "later" => Act::Deferred { about, code: None, message: None, retry_after: None },
            "event" => Act::Store {
                unit: Unit {
                    rows: vec![event_row("order", Some(&name))],
                    cursors: vec![("".into(), Some(name.as_str().into()))],
                    kept: Vec::new(),
                },
                then: vec![Frame::Text(format!("ack {name}"))],
                cumulative: words.next() == Some("all"),
            },
            "typing" => Act::Store {
                unit: Unit { rows: vec![event_row("typing", None)], ..Unit::default() },
                then: vec![Frame::Text("ack typing".into())],
                cumulative: false,
            },
            "session" => Act::Store {
                unit: Unit { kept: vec![("session".into(), Some(name.as_str().into()))], ..Unit::default() },
                then: Vec::new(),
                cumulative: false,
            },
            "unknown" => {
                let unit = Unit {
                    rows: Vec::new(),
                    cursors: vec![("".into(), None)],
                    kept: vec![("session".into(), None)],
                };
                acts.push(Act::Store { unit, then: Vec::new(), cumulative: false });
                Act::HangUp(Failure::Ruled { verdict: Verdict::Reconnect, code: None, message: None })
            }
            "expelled" => {
                Act::HangUp(Failure::Ruled { verdict: Verdict::Unauthorized, code: None, message: None })
            }
            _ => return,
        };
        acts.push(act);
    }
    fn closed(&mut self, code: u16, _: &str) -> Option<Verdict> {
        (code == 4000).then_some(Verdict::Reconnect)
    }
    fn encode(&mut self, _: Moment, message: Outgoing<'_>) -> Result<Encoded, Refusal> {
        if message.kind == "unspeakable" {
            return Err(Refusal::new(ErrorKind::Unsupported, "no rule fits"));
        }
        self.counter += 1;
        Ok(Encoded {
            frame: Frame::Text(match message.payload {
                Payload::Json(data) if message.kind == "whole" => data.to_string(),
                _ => message.id.as_str().to_owned(),
            }),
            behind: match message.kind {
                "parcel" => vec![Frame::Binary(vec![1]), Frame::Binary(vec![2])],
                _ => Vec::new(),
            },
            reference: (message.kind != "raw").then(|| message.id.shared()),
            counter: Some(self.counter),
        })
    }
    fn pulse(&self) -> Pulse {
        self.pulse
    }
    fn heartbeat(&mut self, _: Moment) -> Option<Frame> {
        Some(Frame::Text("beat".into()))
    }
    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
    fn handle_timeout(&mut self, _: Moment, _: &mut Vec<Act>) {}
}

fn event_row(kind: &str, id: Option<&str>) -> NewRow {
    NewRow::Event {
        stream: "".into(),
        id: id.map(str::to_owned),
        kind: kind.to_owned(),
        payload: Payload::Json(r#"{"orderId":5}"#.into()),
        delivery: Delivery::Durable,
        key: None,
    }
}

/// A session, its clock, and a driver that does what it is told and nothing more.
struct Bench {
    session: Session,
    now: u64,
    outputs: VecDeque<(u64, Output)>,
}

/// How a bench is set up.
struct Setup {
    settings: Settings,
    eager: bool,
    resumes: bool,
    pulse: Pulse,
    remembered: Remembered,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            settings: settings(),
            eager: true,
            resumes: true,
            pulse: Pulse { message: false, ws_ping: true, every: None, timeout: None, beat: None },
            remembered: Remembered::default(),
        }
    }
}

fn settings() -> Settings {
    Settings {
        url: "wss://server/".into(),
        server_key: "server".into(),
        heartbeat: HeartbeatSettings { mode: HeartbeatMode::Auto, interval: None, timeout: None },
        reconnect: ReconnectSettings {
            delays: [2, 5, 10, 20, 30, 60].map(Duration::from_secs).to_vec(),
            jitter: 0.0,
            stable_after: Duration::from_secs(30),
            unavailable_after: 5,
        },
        outbox: OutboxSettings {
            window: 256,
            window_bytes: 1 << 20,
            confirm_timeout: Duration::from_secs(30),
            max_attempts: 3,
            drain_rate: 0,
        },
        sign_in: None,
        types: Arc::new(TypeRules::default()),
        lanes: Vec::new(),
    }
}

impl Setup {
    fn bench(self) -> Bench {
        let traits = Traits {
            name: "words".into(),
            about: String::new(),
            uses_token: false,
            resumes: self.resumes,
            window: None,
        };
        let dialect = Arc::new(Words { traits, eager: self.eager, pulse: self.pulse });
        let session = Session::new(self.settings, dialect, self.remembered, 1);
        Bench { session, now: 1_000, outputs: VecDeque::new() }
    }

    /// Started, connected, and the first ping answered.
    fn connected(self) -> Bench {
        let mut bench = self.bench();
        bench.input(Input::Start);
        bench.link_up();
        bench
    }
}

impl Bench {
    fn moment(&self) -> Moment {
        let millis = i64::try_from(self.now).unwrap();
        Moment {
            instant: Instant::from_nanos(self.now * 1_000_000),
            steady: Timestamp::from_millis(millis),
            wall: Timestamp::from_millis(millis),
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.session.poll_output() {
            self.outputs.push_back((self.now, output));
        }
    }

    fn input(&mut self, input: Input) {
        let at = self.moment();
        self.session.handle(at, input);
        self.drain();
    }

    fn frame(&mut self, text: &str) {
        self.input(Input::Frame(Frame::Text(text.to_owned())));
    }

    fn link_up(&mut self) {
        self.input(Input::LinkUp { token: None });
        self.flush();
        self.echo();
        self.no_rows();
        self.outputs.clear();
    }

    fn lose_link(&mut self) {
        self.input(Input::LinkDown(Failure::Lost { detail: String::new() }));
    }

    /// Lets time pass, timers included.
    fn pass(&mut self, seconds: f64) {
        let end = self.now + Duration::from_secs_f64(seconds).as_millis() as u64;
        while let Some((at, _)) =
            self.session.poll_timeout().filter(|(at, _)| at.as_nanos() <= end * 1_000_000)
        {
            self.now = self.now.max(at.as_nanos().div_ceil(1_000_000));
            let at = self.moment();
            self.session.handle_timeout(at);
            self.drain();
        }
        self.now = end;
    }

    /// Lets time pass on a link that delivers.
    fn pass_alive(&mut self, seconds: f64) {
        for _ in 0..4 {
            self.pass(seconds / 4.0);
            self.input(Input::Heard);
        }
    }

    fn take(&mut self) -> Vec<(u64, Output)> {
        self.outputs.drain(..).collect()
    }

    /// Everything handed out so far is flushed.
    fn flush(&mut self) {
        let last = self.outputs.iter().rev().find_map(|(_, output)| match output {
            Output::Write { ticket, .. } => Some(*ticket),
            _ => None,
        });
        if let Some(ticket) = last {
            self.input(Input::Written(ticket));
        }
    }

    /// The payload of the last ping handed out, if any.
    fn last_ping(&self) -> Option<Vec<u8>> {
        self.outputs.iter().rev().find_map(|(_, output)| match output {
            Output::Ping(payload) => Some(payload.clone()),
            _ => None,
        })
    }

    /// The last ping is answered.
    fn echo(&mut self) {
        if let Some(payload) = self.last_ping() {
            self.input(Input::Pong(payload));
        }
    }

    /// Questions to the store so far.
    fn questions(&self) -> Vec<DueQuery> {
        let questions = self.outputs.iter().filter_map(|(_, output)| match output {
            Output::LoadDue(query) => Some(query.clone()),
            _ => None,
        });
        questions.collect()
    }

    /// The last question is answered.
    fn due(&mut self, rows: Vec<DueRow>) {
        let query = self.questions().pop().expect("a question is out");
        self.input(Input::Due(Due { query, rows, end: true }));
    }

    fn no_rows(&mut self) {
        if !self.questions().is_empty() {
            self.due(Vec::new());
        }
    }

    /// An app's message is committed, and handed over directly.
    fn queue(&mut self, row: DueRow) {
        let previous = Place(row.place.0 - 1);
        self.input(Input::Queued { previous, rows: vec![row] });
    }

    /// Texts of frames handed out, since the last `take`.
    fn written(&self) -> Vec<&str> {
        let texts = self.outputs.iter().filter_map(|(_, output)| match output {
            Output::Write { frame: Frame::Text(text), .. } => Some(text.as_str()),
            _ => None,
        });
        texts.collect()
    }

    /// When dials went out, in milliseconds.
    fn dials(&self) -> Vec<u64> {
        let dials = self.outputs.iter().filter(|(_, output)| matches!(output, Output::Dial { .. }));
        dials.map(|(at, _)| *at).collect()
    }

    /// Records handed out, with their tickets.
    fn records(&self) -> Vec<(u64, Record)> {
        let records = self.outputs.iter().filter_map(|(_, output)| match output {
            Output::Record { ticket, record } => Some((*ticket, record.clone())),
            _ => None,
        });
        records.collect()
    }

    /// How messages ended or were set aside: id, state, reason.
    fn ends(&self) -> Vec<(String, MessageState, Option<String>)> {
        let ends = self.records().into_iter().flat_map(|(_, record)| match record {
            Record::Ended { id, state, reason, .. } => vec![(id.to_string(), state, reason)],
            Record::EndedTogether { rows, state, .. } => {
                rows.into_iter().map(|(_, id)| (id.to_string(), state, None)).collect()
            }
            _ => Vec::new(),
        });
        ends.collect()
    }

    fn ended(&self, id: &str) -> Option<MessageState> {
        self.ends().into_iter().rev().find(|(other, ..)| other == id).map(|(_, state, _)| state)
    }

    /// All records are on disk.
    fn commit(&mut self) {
        for (ticket, record) in self.records() {
            let outcome = match record {
                Record::Inbound { .. } => Recorded::Inbound(Vec::new()),
                Record::Released { .. } => Recorded::Released { gone: Vec::new() },
                _ => Recorded::Done,
            };
            self.input(Input::Recorded { ticket, outcome });
        }
    }

    /// The ticket of the last release.
    fn release(&self) -> u64 {
        let records = self.records().into_iter().rev();
        let mut releases = records.filter(|(_, record)| matches!(record, Record::Released { .. }));
        releases.next().expect("a release").0
    }

    fn hang_ups(&self) -> Vec<(u64, Failure)> {
        let hang_ups = self.outputs.iter().filter_map(|(at, output)| match output {
            Output::HangUp { failure, .. } => Some((*at, failure.clone())),
            _ => None,
        });
        hang_ups.collect()
    }

    fn state(&self) -> LinkState {
        self.session.link_status().state
    }

    fn reason(&self) -> (ReasonKind, String) {
        let reason = self.session.link_status().reason.expect("a reason");
        (reason.kind, reason.text)
    }
}

/// A message in the default lane, confirmed by a reply.
fn row(place: i64) -> DueRow {
    DueRow {
        place: Place(place),
        id: MessageId::new(&format!("m{place}")).unwrap(),
        kind: "order".into(),
        lane: "default".into(),
        key: None,
        delivery: Delivery::Durable,
        confirm: Confirm::Reply,
        resend: Resend::Always,
        attempts: 0,
        strikes: 0,
        queued_at: Timestamp::from_millis(0),
        expires_at: None,
        was_sent: false,
        payload: Payload::Json("{}".into()),
    }
}
