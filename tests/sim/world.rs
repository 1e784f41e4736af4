//! The world around one session: clock, network, store, server, apps, and what goes wrong in it.
//!
//! Long, for it is one loop over one state; chaos and checks are files beside it.

mod chaos;
mod check;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use holdline::dialect::Dialect;
use holdline::model::{
    Confirm, ConnectFault, Delivery, Failure, Frame, Instant, LinkState, MessageId, MessageState, Moment,
    Place, Resend, Timestamp, TypeGlob, TypeRule, TypeRules,
};
use holdline::session::{
    Change, HeartbeatMode, HeartbeatSettings, Input, LaneSettings, OutboxSettings, Output, ReconnectSettings,
    Session, Settings, Timer,
};

use chaos::settings;

use crate::Bug;
use crate::server::{Manners, Reaction, Server};
use crate::speech::{ClientSays, Lines, ServerSays, message_id, parse, render};
use crate::store::{Kept, Op, Store, new_row};

/// How long things go wrong.
const CHAOS: Duration = Duration::from_secs(3600);
/// How long it may take after that until everything has its end.
const HEALING: Duration = Duration::from_secs(6 * 3600);
/// Most outputs in one virtual second.
const BUSY: u64 = 20_000;
const LANES: [&str; 5] = ["default", "chat", "strict", "blocking", "bulk"];
/// Heartbeat interval and timeout, and a second for scheduling.
const NOTICED: Duration = Duration::from_secs(31);
/// How long a peer may take over the question after a wake, and a second for scheduling.
const ANSWERED_AFTER_WAKE: Duration = Duration::from_secs(5);

#[derive(Debug, Clone)]
enum Wire {
    Frame(Frame),
    Ping(Vec<u8>),
    Close(u16),
}

#[derive(Debug)]
enum Event {
    App,
    News,
    Fault,
    Commit,
    Store(Vec<Input>),
    Dialed { dial: u64, outcome: Option<Failure> },
    Flushed { link: u64, ticket: u64 },
    ToServer { link: u64, wire: Wire },
    Reaction { link: u64, reaction: Reaction },
    ToClient { link: u64, wire: Wire },
    Down { link: u64, failure: Failure },
    Restart,
    Resume,
    Sweep,
    Noticed { link: u64 },
}

/// What is known of a message beside what the store has.
#[derive(Debug)]
struct Sent {
    lane: Arc<str>,
    place: Option<Place>,
    confirm: Confirm,
    resend: Resend,
    expires: Option<Timestamp>,
    receipt: bool,
    kind: &'static str,
    /// Crashes before it: a later one takes the memory of what was sent with it.
    crashes: u64,
}

#[derive(Debug, Default)]
struct Link {
    number: u64,
    open: bool,
    /// Nothing gets through any more, and nobody says so.
    silent: bool,
    up_to: u64,
    down_to: u64,
}

#[derive(Debug, Default, Clone, Copy)]
pub struct Stats {
    pub messages: u64,
    pub arrivals: u64,
    pub events: u64,
    pub connections: u64,
    pub outputs: u64,
    pub crashes: u64,
}

pub struct World {
    bug: Option<Bug>,
    rng: fastrand::Rng,
    now: u64,
    skew: i64,
    /// When the machine last woke from sleep.
    woken: u64,
    order: u64,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    events: HashMap<u64, Event>,
    session: Option<Session>,
    settings: Settings,
    dialect: Arc<dyn Dialect>,
    dials: u64,
    link: Link,
    server: Server,
    store: Store,
    committing: bool,
    store_clock: u64,
    reader_clock: u64,
    sent: BTreeMap<u64, Sent>,
    numbers: HashMap<String, u64>,
    latest_arrival: HashMap<Arc<str>, Place>,
    paused: bool,
    healed: bool,
    /// Looked at in the end: everything has its end.
    quiet: bool,
    held_back: Option<(u64, Frame)>,
    second: (u64, u64),
    same_instant: (u64, u32),
    stats: Stats,
    broken: Option<String>,
    traced: bool,
}

impl World {
    pub fn new(seed: u64, bug: Option<Bug>) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let manners =
            Manners { resumes: rng.u8(..3) > 0, echoes: rng.u8(..5) > 0, cumulative: rng.u8(..5) == 0 };
        Self {
            bug,
            now: 1_000_000_000,
            skew: 0,
            woken: 0,
            order: 0,
            queue: BinaryHeap::new(),
            events: HashMap::new(),
            session: None,
            settings: settings(&mut rng),
            dialect: Arc::new(Lines::new(manners.resumes)),
            dials: 0,
            link: Link::default(),
            server: Server::new(manners),
            store: Store::default(),
            committing: false,
            store_clock: 0,
            reader_clock: 0,
            sent: BTreeMap::new(),
            numbers: HashMap::new(),
            latest_arrival: HashMap::new(),
            paused: false,
            healed: false,
            quiet: false,
            held_back: None,
            second: (0, 0),
            same_instant: (0, 0),
            stats: Stats::default(),
            broken: None,
            traced: std::env::var_os("HOLDLINE_SIM_TRACE").is_some(),
            rng,
        }
    }

    /// Runs to the end. The error says what was broken, and when.
    pub fn run(mut self) -> Result<Stats, String> {
        self.start_daemon();
        self.after(Duration::from_millis(50), Event::App);
        self.after(Duration::from_secs(1), Event::News);
        self.after(Duration::from_secs(20), Event::Fault);
        self.after(Duration::from_secs(30), Event::Sweep);
        let end = self.now + nanos(CHAOS);
        let deadline = end + nanos(HEALING);
        while self.broken.is_none() {
            if self.now >= end && !self.healed {
                self.heal();
            }
            if self.quiet && self.now >= end + nanos(Duration::from_secs(120)) {
                break;
            }
            if self.now >= deadline {
                let open = self.unfinished();
                self.fail(format!("not everything came to an end: {open:?}"));
                break;
            }
            self.step();
        }
        if self.broken.is_none() {
            self.check_ends();
        }
        let minutes = self.now / 60_000_000_000;
        match self.broken.or(self.store.broken) {
            Some(broken) => Err(format!("after {minutes} min: {broken}")),
            None => Ok(self.stats),
        }
    }

    fn fail(&mut self, what: String) {
        self.broken.get_or_insert(what);
    }

    /// With `HOLDLINE_SIM_TRACE` set: all that goes in and comes out.
    fn trace(&self, direction: &str, what: &dyn std::fmt::Debug) {
        if self.traced {
            #[allow(clippy::print_stderr, reason = "only where somebody asked for it")]
            {
                eprintln!("{:.6} {direction} {what:?}", self.now as f64 / 1e9);
            }
        }
    }

    fn moment(&self) -> Moment {
        let millis = i64::try_from(self.now / 1_000_000).unwrap() + 1_700_000_000_000;
        Moment {
            instant: Instant::from_nanos(self.now),
            steady: Timestamp::from_millis(millis),
            wall: Timestamp::from_millis(millis + self.skew),
        }
    }

    fn at(&mut self, at: u64, event: Event) {
        self.order += 1;
        self.queue.push(Reverse((at, self.order)));
        self.events.insert(self.order, event);
    }

    fn after(&mut self, wait: Duration, event: Event) {
        self.at(self.now + nanos(wait), event);
    }

    /// The next thing that happens: an event of the world, or a timer of the session.
    fn step(&mut self) {
        let timer = self.session.as_ref().and_then(Session::poll_timeout);
        let next = self.queue.peek().map(|Reverse((at, _))| *at);
        if let Some((at, which)) = timer
            && next.is_none_or(|next| at.as_nanos() <= next)
        {
            self.now = self.now.max(at.as_nanos());
            if self.same_instant.0 == self.now {
                self.same_instant.1 += 1;
                if self.same_instant.1 > 100 {
                    self.fail(format!("the timer {which:?} spins"));
                }
            } else {
                self.same_instant = (self.now, 0);
            }
            if self.bug == Some(Bug::Deaf) && which == Timer::Dead {
                // As if silence meant nothing.
                self.feed(Input::Heard);
            }
            let moment = self.moment();
            self.with_session(|session| session.handle_timeout(moment));
        } else if let Some(Reverse((at, order))) = self.queue.pop() {
            self.now = self.now.max(at);
            if let Some(event) = self.events.remove(&order) {
                self.happen(event);
            }
        }
    }

    fn with_session(&mut self, act: impl FnOnce(&mut Session)) {
        let Some(session) = &mut self.session else { return };
        act(session);
        let mut outputs = Vec::new();
        while let Some(output) = session.poll_output() {
            outputs.push(output);
        }
        for output in outputs {
            self.carry_out(output);
        }
        self.release_held_back();
    }

    fn feed(&mut self, input: Input) {
        self.trace("<", &input);
        let moment = self.moment();
        self.with_session(|session| session.handle(moment, input));
    }

    /// What one commit brought, as the driver hands it in.
    fn feed_together(&mut self, inputs: Vec<Input>) {
        for input in &inputs {
            self.trace("<", input);
        }
        let moment = self.moment();
        self.with_session(|session| {
            for input in inputs {
                session.take(moment, input);
            }
            session.settle(moment);
        });
    }

    fn carry_out(&mut self, output: Output) {
        self.trace(">", &output);
        self.stats.outputs += 1;
        let second = self.now / 1_000_000_000;
        self.second = if self.second.0 == second { (second, self.second.1 + 1) } else { (second, 1) };
        if self.second.1 > BUSY {
            self.fail("the session is busy with itself".to_owned());
        }
        match output {
            Output::Dial { .. } => self.dial(),
            Output::AbandonDial => self.dials += 1,
            Output::Write { ticket, frame } => self.write(ticket, frame),
            Output::Ping(payload) => {
                self.release_held_back();
                self.send_up(Wire::Ping(payload));
            }
            Output::HangUp { code, failure } => {
                self.send_up(Wire::Close(code));
                let link = self.link.number;
                let wait = Duration::from_millis(self.rng.u64(0..500));
                self.link.open = false;
                self.after(wait, Event::Down { link, failure });
            }
            Output::LoadDue(query) => {
                // Answers come in the order of the questions, each speaking of the moment it was asked.
                let mut due = self.store.due(&query);
                if self.bug == Some(Bug::LostResend) {
                    due.rows.retain(|row| !row.was_sent);
                }
                let wait = nanos(Duration::from_micros(self.rng.u64(100..20_000)));
                self.reader_clock = self.reader_clock.max(self.now + wait);
                self.at(self.reader_clock, Event::Store(vec![Input::Due(due)]));
            }
            Output::Record { ticket, record } => {
                let inbound = matches!(record, holdline::model::Record::Inbound { .. });
                self.put(Op::Record(ticket, record));
                if inbound && self.bug == Some(Bug::AckBeforeCommit) {
                    let outcome = holdline::model::Recorded::Inbound(Vec::new());
                    self.at(self.now, Event::Store(vec![Input::Recorded { ticket, outcome }]));
                }
            }
            Output::Publish(change) => self.hear(&change),
        }
    }

    fn hear(&mut self, change: &Change) {
        if let Change::Link = change {
            let status = self.session.as_ref().map(Session::link_status);
            if let Some(status) = status
                && (status.state == LinkState::Connected) != status.reason.is_none()
            {
                self.fail(format!("{:?} with reason {:?}", status.state, status.reason));
            }
        }
    }

    fn put(&mut self, op: Op) {
        self.store.push(op);
        if !self.committing {
            self.committing = true;
            let slow = !self.healed && self.rng.u32(..500) == 0;
            let wait = if slow { self.rng.u64(1_000_000..20_000_000) } else { self.rng.u64(200..10_000) };
            self.after(Duration::from_micros(wait), Event::Commit);
        }
    }

    fn dial(&mut self) {
        self.dials += 1;
        let dial = self.dials;
        let moment = self.moment();
        self.with_session(|session| drop(session.connect(moment, None)));
        let refused = |status, retry_after| Failure::Refused {
            status,
            retry_after,
            detail: String::new(),
            ruled: None,
        };
        let target = "server:443".to_owned();
        let outcome = if self.healed { 99 } else { self.rng.u32(..100) };
        let outcome = match outcome {
            0..15 => Some(Failure::Connect { target, fault: ConnectFault::Refused }),
            15..20 => Some(Failure::Connect { target, fault: ConnectFault::NoNetwork }),
            20..24 => Some(refused(503, Some(Duration::from_secs(30)))),
            24..26 => Some(refused(401, None)),
            26..27 => Some(refused(404, None)),
            _ => None,
        };
        let wait = Duration::from_millis(self.rng.u64(5..800));
        self.after(wait, Event::Dialed { dial, outcome });
    }

    fn write(&mut self, ticket: u64, frame: Frame) {
        if let ClientSays::Message { id, .. } = parse(&frame) {
            let sent = &self.sent[&self.numbers[&id]];
            if sent.expires.is_some_and(|at| at <= self.moment().steady) {
                self.fail(format!("{id} was sent after its time"));
            }
        }
        if self.bug == Some(Bug::LaneSwap) {
            if let Some((other, earlier)) = self.held_back.take() {
                self.flush(ticket, frame);
                self.flush(other, earlier);
            } else if self.rng.u8(..4) == 0 {
                self.held_back = Some((ticket, frame));
            } else {
                self.flush(ticket, frame);
            }
        } else {
            self.flush(ticket, frame);
        }
    }

    fn release_held_back(&mut self) {
        if let Some((ticket, frame)) = self.held_back.take() {
            self.flush(ticket, frame);
        }
    }

    fn flush(&mut self, ticket: u64, frame: Frame) {
        let link = self.link.number;
        self.send_up(Wire::Frame(frame));
        let wait = Duration::from_micros(self.rng.u64(10..2_000));
        self.after(wait, Event::Flushed { link, ticket });
    }

    fn send_up(&mut self, wire: Wire) {
        let latency = nanos(Duration::from_millis(self.rng.u64(1..120)));
        self.link.up_to = self.link.up_to.max(self.now + latency);
        let (at, link) = (self.link.up_to, self.link.number);
        if !self.link.silent {
            self.at(at, Event::ToServer { link, wire });
        }
    }

    fn send_down(&mut self, wire: Wire) {
        let latency = nanos(Duration::from_millis(self.rng.u64(1..120)));
        self.link.down_to = self.link.down_to.max(self.now + latency);
        let (at, link) = (self.link.down_to, self.link.number);
        if !self.link.silent {
            self.at(at, Event::ToClient { link, wire });
        }
    }

    fn is_open(&self, link: u64) -> bool {
        self.link.open && self.link.number == link
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::App => self.app(),
            Event::News => self.news(),
            Event::Fault => self.fault(),
            Event::Commit => self.commit(),
            Event::Store(inputs) => self.feed_together(inputs),
            Event::Dialed { dial, outcome } if dial == self.dials && self.session.is_some() => {
                match outcome {
                    Some(failure) => self.feed(Input::LinkDown(failure)),
                    None => {
                        self.stats.connections += 1;
                        let number = self.link.number + 1;
                        self.link = Link { number, open: true, ..Link::default() };
                        self.server.connected();
                        self.feed(Input::LinkUp { token: None });
                    }
                }
            }
            Event::Flushed { link, ticket } if self.is_open(link) => self.feed(Input::Written(ticket)),
            Event::ToServer { link, wire } if self.is_open(link) && !self.link.silent => self.at_server(wire),
            Event::Reaction { link, reaction } if self.is_open(link) => match reaction {
                Reaction::Say(says) => self.send_down(Wire::Frame(render(&says))),
                Reaction::Close(code) => self.send_down(Wire::Close(code)),
            },
            Event::ToClient { link, wire } if self.is_open(link) && !self.link.silent => self.at_client(wire),
            Event::Down { link, failure } if link == self.link.number => {
                self.link.open = false;
                self.feed(Input::LinkDown(failure));
            }
            Event::Restart if self.session.is_none() => self.start_daemon(),
            Event::Resume => {
                self.paused = false;
                self.feed(Input::Resume);
            }
            Event::Sweep => self.sweep(),
            Event::Noticed { link } if self.is_open(link) && self.session.is_some() => {
                // Asleep nobody notices anything: from the wake on the peer has its time to answer.
                let fair = self.woken + nanos(ANSWERED_AFTER_WAKE);
                if self.now < fair {
                    self.after(Duration::from_nanos(fair - self.now), Event::Noticed { link });
                } else {
                    self.fail("a dead peer was not noticed in time".to_owned());
                }
            }
            Event::Dialed { .. }
            | Event::Flushed { .. }
            | Event::ToServer { .. }
            | Event::Reaction { .. }
            | Event::ToClient { .. }
            | Event::Down { .. }
            | Event::Restart
            | Event::Noticed { .. } => {}
        }
    }

    fn at_server(&mut self, wire: Wire) {
        let link = self.link.number;
        match wire {
            Wire::Frame(frame) => {
                let says = parse(&frame);
                self.check_arrival(&says);
                let chaos = !self.healed;
                for (wait, reaction) in self.server.hears(&says, chaos, &mut self.rng) {
                    self.after(wait, Event::Reaction { link, reaction });
                }
            }
            Wire::Ping(payload) => {
                let echo = if self.server.manners.echoes { payload } else { Vec::new() };
                self.send_down(Wire::Ping(echo));
            }
            Wire::Close(_) => {}
        }
    }

    fn at_client(&mut self, wire: Wire) {
        match wire {
            Wire::Frame(frame) => {
                if self.session.as_ref().is_some_and(Session::accepts_frames) {
                    self.feed(Input::Frame(frame));
                } else {
                    let link = self.link.number;
                    self.after(Duration::from_millis(5), Event::ToClient { link, wire: Wire::Frame(frame) });
                }
            }
            Wire::Ping(payload) => self.feed(Input::Pong(payload)),
            Wire::Close(code) => {
                self.link.open = false;
                let reason = String::new();
                self.feed(Input::LinkDown(Failure::Closed {
                    code,
                    reason,
                    ruled: None,
                    repeated_policy: false,
                }));
            }
        }
    }

    fn row(&self, number: u64) -> Option<&crate::store::Row> {
        self.store.find(self.sent[&number].place, &message_id(number))
    }

    fn commit(&mut self) {
        self.committing = false;
        let (told, receipts) = self.store.commit();
        for input in &told {
            let row = if let Input::Queued { rows, .. } = input {
                rows.first()
            } else if let Input::Superseded { row, .. } = input {
                Some(row)
            } else {
                None
            };
            if let Some(row) = row {
                let number = self.numbers[row.id.as_str()];
                self.sent.get_mut(&number).unwrap().place = Some(row.place);
            }
        }
        for id in receipts {
            let number = self.numbers[id.as_str()];
            self.sent.get_mut(&number).unwrap().receipt = true;
        }
        // One channel, in order.
        let wait = nanos(Duration::from_micros(self.rng.u64(10..500)));
        self.store_clock = self.store_clock.max(self.now + wait);
        self.at(self.store_clock, Event::Store(told));
        if let Some(broken) = self.store.broken.take() {
            self.fail(broken);
        }
    }

    fn crash(&mut self) {
        if self.session.take().is_none() {
            return;
        }
        self.stats.crashes += 1;
        self.store.crash();
        self.link = Link { number: self.link.number + 1, ..Link::default() };
        self.held_back = None;
        self.dials += 1;
        // What was on its way to the dead process arrives nowhere.
        self.events.retain(|_, event| !matches!(event, Event::Store(_) | Event::Commit | Event::Resume));
        self.committing = false;
        self.paused = false;
        let wait = Duration::from_millis(self.rng.u64(10..30_000));
        self.after(wait, Event::Restart);
    }

    fn start_daemon(&mut self) {
        let remembered = self.store.remembered();
        let paused = remembered.values.contains_key("paused");
        let seed = self.rng.u64(..);
        self.session = Some(Session::new(self.settings.clone(), Arc::clone(&self.dialect), remembered, seed));
        self.feed(Input::Start);
        if paused {
            self.paused = true;
            let state = self.session.as_ref().map(|session| session.link_status().state);
            if state != Some(LinkState::Paused) {
                self.fail("a pause did not survive the restart".to_owned());
            }
            let wait = Duration::from_secs(self.rng.u64(1..60));
            self.after(wait, Event::Resume);
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap()
}

impl Stats {
    pub const fn plus(self, other: Self) -> Self {
        Self {
            messages: self.messages + other.messages,
            arrivals: self.arrivals + other.arrivals,
            events: self.events + other.events,
            connections: self.connections + other.connections,
            outputs: self.outputs + other.outputs,
            crashes: self.crashes + other.crashes,
        }
    }
}
