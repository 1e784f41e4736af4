//! The world around one session: clock, network, store, server, apps, and what goes wrong in it.

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

#[derive(Debug, Clone)]
enum Wire {
    Frame(Frame),
    Ping(Vec<u8>),
    Close(u16),
}

#[derive(Debug)]
enum Event {
    App,
    ServerEvent,
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
    to_server: u64,
    to_client: u64,
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
            rng,
        }
    }

    /// Runs to the end. The error says what was broken, and when.
    pub fn run(mut self) -> Result<Stats, String> {
        self.start_daemon();
        self.after(Duration::from_millis(50), Event::App);
        self.after(Duration::from_secs(1), Event::ServerEvent);
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
        let moment = self.moment();
        self.with_session(|session| session.handle(moment, input));
    }

    fn carry_out(&mut self, output: Output) {
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
                self.to_server(Wire::Ping(payload));
            }
            Output::HangUp { code, failure } => {
                self.to_server(Wire::Close(code));
                let link = self.link.number;
                let wait = Duration::from_millis(self.rng.u64(0..500));
                self.link.open = false;
                self.after(wait, Event::Down { link, failure });
            }
            Output::LoadDue(query) => {
                // The answer may speak of a past moment by the time it is heard.
                let mut due = self.store.due(&query);
                if self.bug == Some(Bug::LostResend) {
                    due.rows.retain(|row| !row.was_sent);
                }
                let wait = Duration::from_micros(self.rng.u64(100..20_000));
                self.after(wait, Event::Store(vec![Input::Due(due)]));
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
        self.to_server(Wire::Frame(frame));
        let wait = Duration::from_micros(self.rng.u64(10..2_000));
        self.after(wait, Event::Flushed { link, ticket });
    }

    fn to_server(&mut self, wire: Wire) {
        let latency = nanos(Duration::from_millis(self.rng.u64(1..120)));
        self.link.to_server = self.link.to_server.max(self.now + latency);
        let (at, link) = (self.link.to_server, self.link.number);
        if !self.link.silent {
            self.at(at, Event::ToServer { link, wire });
        }
    }

    fn to_client(&mut self, wire: Wire) {
        let latency = nanos(Duration::from_millis(self.rng.u64(1..120)));
        self.link.to_client = self.link.to_client.max(self.now + latency);
        let (at, link) = (self.link.to_client, self.link.number);
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
            Event::ServerEvent => self.server_event(),
            Event::Fault => self.fault(),
            Event::Commit => self.commit(),
            Event::Store(inputs) => {
                for input in inputs {
                    self.feed(input);
                }
            }
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
                Reaction::Say(says) => self.to_client(Wire::Frame(render(&says))),
                Reaction::Close(code) => self.to_client(Wire::Close(code)),
            },
            Event::ToClient { link, wire } if self.is_open(link) && !self.link.silent => self.at_client(wire),
            Event::Down { link, failure } if link == self.link.number => {
                self.link.open = false;
                self.feed(Input::LinkDown(failure));
            }
            Event::Restart => self.start_daemon(),
            Event::Resume => {
                self.paused = false;
                self.feed(Input::Resume);
            }
            Event::Sweep => self.sweep(),
            Event::Noticed { link } if self.is_open(link) && self.session.is_some() => {
                self.fail("a dead peer was not noticed in time".to_owned());
            }
            Event::Dialed { .. }
            | Event::Flushed { .. }
            | Event::ToServer { .. }
            | Event::Reaction { .. }
            | Event::ToClient { .. }
            | Event::Down { .. }
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
                self.to_client(Wire::Ping(echo));
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

    fn check_arrival(&mut self, says: &ClientSays) {
        match says {
            ClientSays::Ack(number) if !self.store.has_event(*number) => {
                self.fail(format!("event {number} was acknowledged before it was on disk"));
            }
            ClientSays::Message { id, body, .. } => {
                self.stats.arrivals += 1;
                let number = self.numbers[id];
                let sent = &self.sent[&number];
                let (lane, resend) = (Arc::clone(&sent.lane), sent.resend);
                let arrival = self.server.arrivals.get(id).map(|arrival| (arrival.count, arrival.deferred));
                if *body != format!("{{\"n\":{number}}}") {
                    self.fail(format!("{id} came with {body}"));
                }
                if arrival.is_some_and(|(count, deferred)| count > deferred) && resend == Resend::Never {
                    let retried = self.row(number).is_some_and(|row| row.retried);
                    if !retried {
                        self.fail(format!("{id} must not be repeated"));
                    }
                }
                let row = self.row(number);
                let place = row.map(|row| row.due.place);
                let retried = row.is_some_and(|row| row.retried || row.inherits);
                if let (None, Some(place), false) = (arrival, place, retried) {
                    let latest = self.latest_arrival.entry(Arc::clone(&lane)).or_default();
                    if place < *latest {
                        let latest = *latest;
                        self.fail(format!("{id} at {place:?} of {lane} came after {latest:?}"));
                    } else {
                        *latest = place;
                    }
                }
            }
            ClientSays::Hello { .. } | ClientSays::Ack(_) | ClientSays::Beat => {}
        }
    }

    fn row(&self, number: u64) -> Option<&crate::store::Row> {
        self.store.find(self.sent[&number].place, &message_id(number))
    }

    fn commit(&mut self) {
        self.committing = false;
        let (told, receipts) = self.store.commit();
        for input in &told {
            let rows = match input {
                Input::Queued { rows, .. } => rows.as_slice(),
                Input::Superseded { row, .. } => std::slice::from_ref(row),
                _ => &[],
            };
            for row in rows {
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

    fn app(&mut self) {
        if self.healed {
            return;
        }
        let wait = if self.rng.u8(..4) > 0 { self.rng.u64(1..50) } else { self.rng.u64(500..12_000) };
        self.after(Duration::from_millis(wait), Event::App);
        if self.session.is_none() {
            return;
        }
        if self.rng.u8(..40) == 0 {
            self.cancel();
            return;
        }
        self.stats.messages += 1;
        let number = self.stats.messages;
        let id = message_id(number);
        let (kind, confirm) = match self.rng.u8(..10) {
            0..4 => ("reply", Confirm::Reply),
            4..6 => ("known", Confirm::Learned),
            6 => ("mute", Confirm::Learned),
            7..9 => ("barrier", Confirm::Barrier),
            _ => ("sent", Confirm::Sent),
        };
        let lane: Arc<str> = LANES[self.rng.usize(..LANES.len())].into();
        let latest = &*lane == "bulk" && self.rng.bool();
        let key: Option<Arc<str>> = latest.then(|| format!("k{}", self.rng.u8(..4)).into());
        let resend = if !latest && self.rng.u8(..15) == 0 { Resend::Never } else { Resend::Always };
        let at = self.moment();
        let ttl = Duration::from_secs(self.rng.u64(1..600));
        let expires = (self.rng.u8(..6) == 0).then(|| at.steady.after(ttl));
        if matches!(kind, "mute" | "barrier" | "sent") {
            self.server.mute.insert(id.as_str().to_owned());
        }
        if self.rng.u16(..800) == 0 {
            self.server.poison.insert(id.as_str().to_owned());
        }
        self.numbers.insert(id.as_str().to_owned(), number);
        let receipt = self.bug == Some(Bug::ReceiptBeforeCommit);
        let sent = Sent {
            lane: Arc::clone(&lane),
            place: None,
            confirm,
            resend,
            expires,
            receipt,
            kind,
            crashes: self.stats.crashes,
        };
        self.sent.insert(number, sent);
        let told = if self.bug == Some(Bug::NoTtl) { None } else { expires };
        let body = format!("{{\"n\":{number}}}");
        self.put(Op::Insert(new_row(id, kind, lane, key, confirm, resend, at.steady, told, body)));
    }

    /// An app takes one back.
    fn cancel(&mut self) {
        let queued: Vec<Place> = self
            .store
            .rows
            .iter()
            .rev()
            .filter(|(_, row)| row.state == MessageState::Queued)
            .map(|(place, _)| *place)
            .take(20)
            .collect();
        if queued.is_empty() {
            return;
        }
        let place = queued[self.rng.usize(..queued.len())];
        let mut taken = false;
        self.with_session(|session| taken = session.withdraw(place));
        if taken {
            self.put(Op::Cancel(place));
        }
    }

    fn sweep(&mut self) {
        self.after(Duration::from_secs(30), Event::Sweep);
        self.quiet = self.healed && self.is_quiet();
        if let Some(session) = &self.session {
            let skip: BTreeSet<Place> = session.wire_places().into_iter().collect();
            let now = self.moment().steady;
            self.put(Op::Sweep { now, skip });
        }
        if self.healed {
            self.person();
        }
    }

    /// In the end a person looks at what waits for one.
    fn person(&mut self) {
        let waiting: Vec<(Place, MessageId, MessageState)> = self
            .store
            .rows
            .iter()
            .filter(|(_, row)| row.state.waits_for_person() || row.state == MessageState::Rejected)
            .map(|(place, row)| (*place, row.due.id.clone(), row.state))
            .collect();
        for (place, id, state) in waiting {
            let poison = self.server.poison.contains(id.as_str());
            match state {
                MessageState::Parked if !poison => self.put(Op::Retry(place)),
                MessageState::Rejected if &*self.sent[&self.numbers[id.as_str()]].lane != "blocking" => {}
                _ => self.put(Op::Drop(place)),
            }
        }
    }

    fn server_event(&mut self) {
        if self.healed {
            return;
        }
        let wait = Duration::from_millis(self.rng.u64(10..8_000));
        self.after(wait, Event::ServerEvent);
        let open = self.link.open && self.server.welcomed;
        if self.rng.u8(..6) == 0 {
            if open {
                self.to_client(Wire::Frame(render(&ServerSays::Typing)));
            }
            return;
        }
        self.server.last_event += 1;
        if open {
            self.to_client(Wire::Frame(render(&ServerSays::Event(self.server.last_event))));
        }
    }

    fn fault(&mut self) {
        if self.healed {
            return;
        }
        let wait = Duration::from_secs(self.rng.u64(1..120));
        self.after(wait, Event::Fault);
        match self.rng.u8(..16) {
            0..4 => self.cut(),
            4..6 => self.go_silent(),
            6 => {
                if self.link.open {
                    let code = [1000, 1001, 1008, 1009, 1011, 1012, 1013][self.rng.usize(..7)];
                    self.to_client(Wire::Close(code));
                }
            }
            7..9 => self.crash(),
            9 => {
                if !self.paused && self.session.is_some() {
                    self.paused = true;
                    self.feed(Input::Pause);
                    let wait = Duration::from_secs(self.rng.u64(1..300));
                    self.after(wait, Event::Resume);
                }
            }
            10 => self.feed(Input::Woke),
            11 => {
                let usable = self.rng.bool();
                self.feed(Input::NetworkChanged { usable });
            }
            12 => self.feed(Input::CredentialChanged),
            13 => self.skew = self.rng.i64(-86_400_000..86_400_000),
            14 => {
                self.now += nanos(Duration::from_secs(self.rng.u64(1..600)));
                self.feed(Input::Woke);
            }
            _ => self.feed(Input::Reconnect(holdline::model::ReasonKind::Requested)),
        }
    }

    /// The connection breaks: what is on its way is lost, and both sides know.
    fn cut(&mut self) {
        if self.link.open {
            self.link.open = false;
            self.feed(Input::LinkDown(Failure::Lost { detail: String::new() }));
        }
    }

    /// The connection breaks, and nobody is told.
    fn go_silent(&mut self) {
        if self.link.open && !self.link.silent {
            self.link.silent = true;
            let link = self.link.number;
            self.after(NOTICED, Event::Noticed { link });
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

    /// From here on nothing goes wrong.
    fn heal(&mut self) {
        self.healed = true;
        if self.session.is_none() {
            self.start_daemon();
        }
        if self.paused {
            self.paused = false;
            self.feed(Input::Resume);
        }
        self.feed(Input::CredentialChanged);
        self.feed(Input::Reconnect(holdline::model::ReasonKind::Requested));
    }

    fn unfinished(&self) -> Vec<(u64, MessageState)> {
        let open = |number: &u64| {
            let state = self.row(*number)?.state;
            let over = !(state == MessageState::Queued || state.waits_for_person());
            (!over).then_some((*number, state))
        };
        self.sent.keys().filter_map(open).take(5).collect()
    }

    fn is_quiet(&self) -> bool {
        self.store.is_idle()
            && self.unfinished().is_empty()
            && (!self.server.manners.resumes || self.has_all())
    }

    fn has_all(&self) -> bool {
        (1..=self.server.last_event).all(|number| self.store.has_event(number))
    }

    fn check_ends(&mut self) {
        let mut broken = Vec::new();
        for (number, sent) in &self.sent {
            let id = message_id(*number);
            let Some(row) = self.row(*number) else {
                if sent.receipt {
                    broken.push(format!("{id} has a receipt and no row"));
                }
                continue;
            };
            if row.ends == 0 && row.state != MessageState::Dropped {
                broken.push(format!("{id} is {:?} without an end", row.state));
            }
            let arrived = self.server.arrivals.contains_key(id.as_str());
            let name = id.as_str();
            let right = match row.state {
                MessageState::Accepted => self.server.accepted.contains(name),
                MessageState::Received => arrived,
                MessageState::Sent => {
                    sent.confirm == Confirm::Sent
                        || !self.server.manners.echoes && sent.confirm != Confirm::Reply
                }
                MessageState::Rejected => {
                    self.server.rejected.contains(name) || row.reason.starts_with("too_large")
                }
                MessageState::Expired => {
                    let told = row.maybe_delivered || sent.crashes < self.stats.crashes;
                    let refused = self.server.arrivals.get(name).is_some_and(|arrival| arrival.deferred > 0);
                    sent.expires.is_some() && (!arrived || told || refused)
                }
                MessageState::Superseded | MessageState::Cancelled | MessageState::Dropped => true,
                MessageState::Queued
                | MessageState::Sending
                | MessageState::Parked
                | MessageState::Uncertain => false,
            };
            if !right {
                broken.push(format!(
                    "{id} ({}) ended {:?} ({}), arrived: {arrived}",
                    sent.kind, row.state, row.reason
                ));
            }
        }
        self.stats.events = self.store.events.len() as u64;
        let mut last = 0;
        let mut gap = true;
        for kept in &self.store.events {
            match kept {
                Kept::Event(number) => {
                    if *number <= last {
                        broken.push(format!("event {number} came after {last}"));
                    } else if *number != last + 1 && !gap {
                        broken.push(format!(
                            "events between {last} and {number} are missing, and nothing says so"
                        ));
                    }
                    (last, gap) = (*number, false);
                }
                Kept::Gap => gap = true,
                Kept::Other => {}
            }
        }
        if self.server.manners.resumes && !self.has_all() {
            broken.push("not every event arrived".to_owned());
        }
        if let Some(first) = broken.first() {
            self.broken = Some(format!("{first} ({} findings)", broken.len()));
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap()
}

fn settings(rng: &mut fastrand::Rng) -> Settings {
    let lane = |block, window| LaneSettings { block, window };
    Settings {
        url: "wss://server/".to_owned(),
        server_key: "wss://server/ lines".to_owned(),
        heartbeat: HeartbeatSettings { mode: HeartbeatMode::Auto, interval: None, timeout: None },
        reconnect: ReconnectSettings {
            delays: [2, 5, 10, 20, 30, 60].map(Duration::from_secs).to_vec(),
            jitter: 0.5,
            stable_after: Duration::from_secs(30),
            unavailable_after: 5,
        },
        outbox: OutboxSettings {
            window: [1, 4, 32, 256][rng.usize(..4)],
            window_bytes: [200, 1 << 20][rng.usize(..2)],
            confirm_timeout: Duration::from_secs(30),
            max_attempts: 10,
            drain_rate: [0, 0, 5][rng.usize(..3)],
        },
        sign_in: None,
        types: Arc::new(TypeRules(vec![TypeRule {
            glob: TypeGlob::new("typing"),
            delivery: Delivery::Ephemeral,
            key: None,
            ttl: None,
            lane: None,
            confirm: None,
            resend: Resend::Always,
        }])),
        lanes: vec![("strict".into(), lane(false, Some(1))), ("blocking".into(), lane(true, None))],
    }
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
