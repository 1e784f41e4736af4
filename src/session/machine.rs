//! The session: which part an input concerns, and what follows for the others.

use std::sync::Arc;
use std::time::Duration;

use crate::dialect::{Act, Connect, Dialect, Outgoing};
use crate::model::{
    Confirm, Failure, Frame, HistoryEntry, Instant, LinkState, LinkStatus, MessageId, MessageState, Moment,
    Payload, Place, ReasonKind, Record, Recorded, Remembered, Secret,
};

use super::barrier::Echo;
use super::connection::Connection;
use super::delivery::Delivery;
use super::inbound::Inbound;
use super::learned::Learned;
use super::passing::Passing;
use super::phase::{Phase, Stage};
use super::timers::Timers;
use super::turn::{Outputs, Turn};
use super::{Change, Input, Output, Settings, Timer};

/// How long our disk may hold reading before the link is given up.
const LONGEST_HOLD: Duration = Duration::from_secs(60);
/// While reading is held no connection is made; how soon after that one is.
const HELD_REDIAL: Duration = Duration::from_secs(1);
/// Frames of ours not flushed, at most, before reading is held: a server that does not read is not
/// read either.
const MOST_UNWRITTEN: u64 = 1024;

/// How long an answer may take after a wake or a change of the network: most likely there is none.
/// While there is no network at all it is given the usual time: one that is back by then may find the
/// connection alive.
const PROBE: Duration = Duration::from_secs(4);

/// Normal closure (RFC 6455, 7.4.1).
const NORMAL: u16 = 1000;
/// We go away.
const GOING_AWAY: u16 = 1001;
/// We cannot go on.
const INTERNAL: u16 = 1011;

/// The session with one server. See the module for its law.
#[derive(Debug)]
pub struct Session {
    settings: Settings,
    dialect: Arc<dyn Dialect>,
    rng: fastrand::Rng,
    out: Outputs,
    timers: Timers,
    phase: Phase,
    link: Option<Connection>,
    connections: u64,
    delivery: Delivery,
    passing: Passing,
    inbound: Inbound,
    learned: Learned,
    last_rtt: Option<Duration>,
    /// Empty between frames: its memory is used again.
    acts: Vec<Act>,
}

/// Borrows what a turn needs, and leaves the parts free.
macro_rules! turn {
    ($session:ident, $at:expr) => {
        Turn {
            at: $at,
            out: &mut $session.out,
            timers: &mut $session.timers,
            settings: &$session.settings,
            rng: &mut $session.rng,
        }
    };
}

mod acts;

impl Session {
    /// A session that has not begun ([`Input::Start`]). The same seed and the same inputs give the
    /// same outputs.
    #[must_use]
    pub fn new(settings: Settings, dialect: Arc<dyn Dialect>, remembered: Remembered, seed: u64) -> Self {
        let learned = Learned::new(&settings.server_key, &remembered);
        let delivery = Delivery::new(&remembered.values, dialect.traits().window);
        Self {
            phase: Phase::new(Phase::remembered_pause(&remembered.values)),
            inbound: Inbound::new(&remembered),
            settings,
            dialect,
            rng: fastrand::Rng::with_seed(seed),
            out: Outputs::default(),
            timers: Timers::default(),
            link: None,
            connections: 0,
            delivery,
            passing: Passing::default(),
            learned,
            last_rtt: None,
            acts: Vec::new(),
        }
    }

    /// Deals with one input.
    pub fn handle(&mut self, at: Moment, input: Input) {
        self.take(at, input);
        self.settle(at);
    }

    /// Deals with one of several inputs of one moment: what all of them make possible, and when the
    /// session is to be woken, is looked at once they are all in. So [`Session::settle`] must follow
    /// before the outputs are taken.
    pub fn take(&mut self, at: Moment, input: Input) {
        match input {
            Input::Start => {
                self.phase.start(&mut turn!(self, at));
                self.delivery.tell_stopped(&mut turn!(self, at));
            }
            Input::Stop => {
                if self.phase.stop(&mut turn!(self, at)) {
                    self.hang_up(at, GOING_AWAY, Failure::Redial(ReasonKind::ShuttingDown));
                }
            }
            Input::Pause => {
                if self.phase.pause(&mut turn!(self, at)) {
                    self.hang_up(at, NORMAL, Failure::Redial(ReasonKind::Requested));
                }
            }
            Input::Resume => self.phase.resume(&mut turn!(self, at)),
            Input::Reconnect(kind) => {
                if self.phase.reconnect(&mut turn!(self, at), kind) {
                    self.hang_up(at, NORMAL, Failure::Redial(kind));
                }
            }
            Input::Sleep => {
                if self.phase.sleep(&mut turn!(self, at)) {
                    self.hang_up(at, GOING_AWAY, Failure::Redial(ReasonKind::Sleeping));
                }
            }
            Input::Woke => {
                self.phase.woke();
                if let Some(link) = &mut self.link {
                    link.heartbeat.absent_until(at.instant);
                }
                self.hint(at, true);
            }
            Input::ClockSet => self.phase.clock_set(&mut turn!(self, at)),
            Input::NetworkChanged { usable } => self.hint(at, usable),
            Input::CredentialChanged => self.phase.credential_changed(&mut turn!(self, at)),
            Input::LinkUp { token } => self.link_up(at, token),
            Input::LinkDown(failure) => self.link_down(at, failure),
            Input::Frame(frame) => self.frame(at, frame),
            Input::Pong(payload) => self.pong(at, &payload),
            Input::Heard => self.heard(at),
            Input::Taken => {
                if let Some(link) = &mut self.link {
                    link.heartbeat.taken(at.instant);
                    link.barrier.taken(at.instant);
                }
            }
            Input::Written(ticket) => self.written(at, ticket),
            Input::WriteRoom => {}
            Input::Queued { previous, rows } => {
                let up = self.is_started();
                self.delivery.queued(&mut turn!(self, at), up, previous, rows);
            }
            Input::Superseded { old, row } => {
                let up = self.is_started();
                self.delivery.superseded(&mut turn!(self, at), up, &old, row);
            }
            Input::Requeued(rows) => self.delivery.requeued(&mut turn!(self, at), &rows),
            Input::Due(due) => {
                let up = self.is_started();
                self.delivery.due(&mut turn!(self, at), up, due);
            }
            Input::Recorded { ticket, outcome } => self.recorded(at, ticket, outcome),
            Input::Gone(places) => self.delivery.gone(&mut turn!(self, at), &places),
            Input::Kept(place) => self.delivery.kept(place),
            Input::StoreFull(full) => self.inbound.set_blocked(full),
            Input::Ephemeral { ticket, id, kind, payload } => {
                let link = self.link.as_mut();
                self.passing.ephemeral(&mut turn!(self, at), link, ticket, &id, &kind, &payload);
            }
            Input::Request { ticket, id, kind, payload } => {
                let link = self.link.as_mut();
                let outgoing = Outgoing { id: &id, kind: &kind, payload: &payload };
                let delivery = &self.delivery;
                self.passing.request(&mut turn!(self, at), link, ticket, outgoing, |name| {
                    delivery.awaits_answer(name)
                });
            }
            Input::Retried { id, judged } => {
                self.out.record(Record::Retried { id, judged });
            }
            Input::ForgetRequest(ticket) => self.passing.forget_request(ticket),
            Input::Reload(settings) => {
                let before = std::mem::replace(&mut self.settings, *settings);
                self.phase.reloaded(&mut turn!(self, at), &before.reconnect);
                self.delivery.reloaded(&mut turn!(self, at));
            }
        }
    }

    /// Deals with every timer that is due.
    pub fn handle_timeout(&mut self, at: Moment) {
        while let Some(timer) = self.timers.take_due(at.instant) {
            match timer {
                // Nothing that a new connection brings could be taken in.
                Timer::Redial if self.inbound.held() => {
                    self.timers.set(Timer::Redial, Some(at.instant + HELD_REDIAL));
                }
                Timer::Redial => self.phase.redial_due(&mut turn!(self, at)),
                Timer::Stable => self.phase.settled(&mut turn!(self, at)),
                Timer::Heartbeat => self.beat(at),
                Timer::Dead => self.dead(at),
                Timer::Start => self.step_timed_out(at),
                Timer::Barrier => self.barrier_due(at),
                Timer::Confirm | Timer::Deferred | Timer::Decide => {
                    if let Some(link) = &self.link {
                        self.delivery.deadlines_due(&mut turn!(self, at), link, &self.learned);
                    }
                }
                Timer::Drain => {}
                Timer::Held => {
                    self.hang_up(at, INTERNAL, Failure::StoreStalled { after: LONGEST_HOLD });
                }
            }
        }
        self.settle(at);
    }

    /// The next thing to be carried out.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.poll()
    }

    /// When [`Session::handle_timeout`] is to be called next, and why.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        self.timers.next()
    }

    /// What the dial carries. To be called between [`Output::Dial`] and the dial itself, once the
    /// credential is there; `token` only where the dialect is to have it.
    pub fn connect(&mut self, at: Moment, token: Option<&Secret>) -> Connect {
        let given = self.inbound.given(token.cloned(), self.settings.sign_in);
        let connect = self.dialect.connect(&given, at);
        self.inbound.baseline(&mut turn!(self, at), connect.baseline.clone());
        connect
    }

    /// Whether frames may be handed in. While not, the link is not to be read (pongs and signs of
    /// life are always welcome).
    #[must_use]
    pub fn accepts_frames(&self) -> bool {
        !self.inbound.held() && self.out.unwritten() < MOST_UNWRITTEN
    }

    /// Messages written and not confirmed.
    #[must_use]
    pub const fn in_flight(&self) -> usize {
        self.delivery.in_flight()
    }

    /// Whether a message is on the wire, or may be in the server's hands undecided: it cannot be
    /// taken back.
    #[must_use]
    pub fn on_wire(&self, id: &MessageId) -> bool {
        self.delivery.holds_on_wire(id)
    }

    /// The places of messages whose outcome the server may yet decide: those on the wire, and those
    /// that rest after an attempt without an answer. No TTL sweep may end them; the session does.
    #[must_use]
    pub fn wire_places(&self) -> Vec<Place> {
        self.delivery.wire_places()
    }

    /// Somebody is about to take this row out of the queue. True: it goes out no more, and
    /// [`Input::Gone`] is to follow, or [`Input::Kept`] where it came to nothing. False: it is on
    /// the wire.
    pub fn withdraw(&mut self, place: Place) -> bool {
        self.delivery.withdraw(place)
    }

    /// Where a message stands that moved lately in this run: its state, attempt, and way.
    #[must_use]
    pub fn message_state(&self, id: &MessageId) -> Option<(MessageState, u32, Vec<HistoryEntry>)> {
        self.delivery.message_state(id)
    }

    /// What the link is doing.
    #[must_use]
    pub fn link_state(&self) -> LinkState {
        self.phase.state()
    }

    /// Another server, or another dialect, from the next connection on: to be called while there
    /// is no link, with what is remembered of that server.
    pub fn use_server(&mut self, dialect: Arc<dyn Dialect>, remembered: &Remembered) {
        self.learned = Learned::new(&self.settings.server_key, remembered);
        self.inbound.use_server(remembered);
        self.delivery.use_server(dialect.traits().window);
        self.dialect = dialect;
    }

    /// The link's state, for people and programs.
    #[must_use]
    pub fn link_status(&self) -> LinkStatus {
        let phase = &self.phase;
        let facts = phase.facts();
        LinkStatus {
            state: phase.state(),
            label: phase.state().label().to_owned(),
            since: phase.since(),
            reason: phase.reason().cloned(),
            url: self.settings.url.clone(),
            attempt: phase.attempt(),
            next_retry_at: phase.next_retry_at(),
            last_connected_at: facts.last_connected_at,
            last_close: facts.last_close.clone(),
            last_http_status: facts.last_http_status,
            rtt_ms: self.rtt().map(|rtt| rtt.as_secs_f64() * 1000.0),
            reconnects: facts.connections.saturating_sub(1),
            resumed: self.link.as_ref().and_then(|link| link.resumed),
            dialect: self.dialect.traits().name.clone(),
            confirm: self.confirm().to_owned(),
        }
    }

    fn rtt(&self) -> Option<Duration> {
        self.link.as_ref().and_then(|link| link.heartbeat.rtt()).or(self.last_rtt)
    }

    /// What confirms an ordinary message here.
    fn confirm(&self) -> &'static str {
        let barrier = self.link.as_ref().map_or(!self.learned.no_echo(), |link| link.barrier.usable());
        match self.dialect.confirm("message", &Payload::Json("{}".into())) {
            Confirm::Reply => "reply",
            Confirm::Learned if self.learned.answers_any() => "reply",
            Confirm::Learned => "learning",
            Confirm::Barrier if barrier => "barrier",
            Confirm::Barrier | Confirm::Sent => "sent",
        }
    }

    fn is_started(&self) -> bool {
        self.link.as_ref().is_some_and(|link| link.started)
    }

    fn link_up(&mut self, at: Moment, token: Option<Secret>) {
        if !self.phase.opened() {
            return;
        }
        self.connections += 1;
        let given = self.inbound.given(token, self.settings.sign_in);
        let talk = self.dialect.converse(given, self.rng.u64(..));
        let nonce = self.rng.u64(..);
        let mut link = Connection::new(self.connections, talk, at.instant, nonce, &self.learned);
        link.hole = self.learned.hole(self.dialect.traits().resumes);
        let mut acts = Vec::new();
        link.talk.begin(at, &mut acts);
        self.link = Some(link);
        self.act(at, acts);
        if self.link.as_ref().is_some_and(|link| !link.started) {
            self.phase.signing_in(&mut turn!(self, at));
        }
    }

    fn link_down(&mut self, at: Moment, mut failure: Failure) {
        if let Failure::Closed { code, reason, ruled: ruled @ None, .. } = &mut failure
            && let Some(link) = &mut self.link
        {
            *ruled = link.talk.closed(*code, reason);
            let unit = link.talk.left_behind();
            if !unit.is_empty() {
                self.act(at, vec![Act::Store { unit, then: Vec::new(), cumulative: false }]);
            }
        }
        if let Failure::Refused { status, ruled: ruled @ None, .. } = &mut failure {
            *ruled = self.dialect.refused(*status);
        }
        self.drop_link(at, &failure);
        self.phase.failed(&mut turn!(self, at), failure);
    }

    /// We end the link. What the driver then says of its end changes nothing any more.
    fn hang_up(&mut self, at: Moment, code: u16, failure: Failure) {
        if self.phase.stage() == Stage::Open {
            self.drop_link(at, &failure);
            self.phase.hang_up(&mut turn!(self, at), code, failure);
        }
    }

    fn drop_link(&mut self, at: Moment, failure: &Failure) {
        let Some(link) = self.link.take() else { return };
        self.last_rtt = link.heartbeat.rtt().or(self.last_rtt);
        self.out.forget_frames();
        self.delivery.link_lost(&mut turn!(self, at), failure);
        self.passing.link_lost(&mut turn!(self, at));
    }

    /// The machine woke, or the network changed.
    fn hint(&mut self, at: Moment, usable: bool) {
        if let Some(link) = &mut self.link {
            let plan = link.plan(&self.settings);
            let patience = if usable { plan.timeout.min(PROBE) } else { plan.timeout };
            if plan.asks() {
                link.heartbeat.hurry(at.instant, patience, !usable);
                self.beat(at);
            } else if let Some(beat) = plan.beat {
                // Nothing can be asked, but a server that lives will speak by itself within its beat.
                link.heartbeat.hurry(at.instant, beat + patience, !usable);
            }
        } else if usable {
            self.phase.hint(&mut turn!(self, at));
        }
    }

    fn heard(&mut self, at: Moment) {
        let Some(link) = &mut self.link else { return };
        link.heartbeat.heard(at.instant);
        if link.barrier.heard() {
            self.pong_missing(at);
        }
    }

    /// A pong never came on a link that delivers.
    fn pong_missing(&mut self, at: Moment) {
        let Some(link) = &mut self.link else { return };
        if link.barrier.echo() == Echo::Expected {
            link.barrier.set_echo(Echo::Missing);
            self.learned.set_no_echo(true, &mut self.out);
            self.delivery.pongs_missing(&mut turn!(self, at));
        } else if self.delivery.awaits_pong() {
            link.barrier.flushed(at.instant);
        }
    }

    fn frame(&mut self, at: Moment, frame: Frame) {
        self.heard(at);
        let Some(link) = &mut self.link else { return };
        let mut acts = std::mem::take(&mut self.acts);
        link.talk.frame(at, frame, &mut acts);
        let first = !std::mem::replace(&mut link.heard_frame, true);
        self.act(at, acts);
        if first && self.link.is_some() {
            self.delivery.pongs_trusted(&mut turn!(self, at));
        }
    }

    fn pong(&mut self, at: Moment, payload: &[u8]) {
        let echoed = self.link.as_mut().and_then(|link| link.barrier.pong(at.instant, payload));
        self.heard(at);
        let (Some(link), Some(echoed)) = (&mut self.link, echoed) else { return };
        link.heartbeat.measured(echoed.rtt);
        if link.barrier.echo() != Echo::Seen {
            link.barrier.set_echo(Echo::Seen);
            self.learned.set_no_echo(false, &mut self.out);
        }
        self.delivery.read(&mut turn!(self, at), link, echoed.covers);
    }

    fn written(&mut self, at: Moment, ticket: u64) {
        let Some(link) = &mut self.link else { return };
        self.out.flushed(ticket);
        self.delivery.flushed(&mut turn!(self, at), link, ticket);
        self.passing.flushed(&mut turn!(self, at), ticket);
    }

    fn recorded(&mut self, at: Moment, ticket: u64, outcome: Recorded) {
        match outcome {
            Recorded::Inbound(appended) => {
                let connection = self.link.as_ref().map(|link| link.number);
                self.inbound.recorded(&mut turn!(self, at), connection, ticket, appended);
            }
            Recorded::Retried { id, outcome, appended } => {
                if !appended.is_empty() {
                    self.out.publish(Change::Appended(appended));
                }
                self.out.publish(Change::Retried { id, outcome });
            }
            Recorded::Done | Recorded::Released { .. } => {
                self.delivery.recorded(&mut turn!(self, at), ticket, &outcome);
            }
        }
    }

    fn step_timed_out(&mut self, at: Moment) {
        let Some(link) = &mut self.link else { return };
        let mut acts = Vec::new();
        link.talk.handle_timeout(at, &mut acts);
        self.act(at, acts);
    }

    /// A heartbeat is due.
    fn beat(&mut self, at: Moment) {
        let Some(link) = &mut self.link else { return };
        let plan = link.plan(&self.settings);
        let message = if plan.message { link.talk.heartbeat(at) } else { None };
        link.heartbeat.asked(at.instant, message.is_some());
        if let Some(frame) = message {
            self.out.write(frame);
        }
        // One ping at a time: the barrier's serves as well.
        if plan.ping && !link.barrier.is_out() {
            let payload = link.barrier.ping(at.instant, self.out.written());
            self.out.push(Output::Ping(payload));
        }
    }

    fn dead(&mut self, at: Moment) {
        let Some(link) = &self.link else { return };
        // Both timers may be due at once, where the loop came late: asked only now, it is given the
        // time to answer.
        if link.heartbeat.dead_at(&link.plan(&self.settings)).is_none_or(|dead| at.instant < dead) {
            return;
        }
        let silence = at.instant - link.heartbeat.last_heard();
        self.hang_up(at, GOING_AWAY, Failure::HeartbeatTimeout { silence });
    }

    /// The barrier's ping is due, or its pong overdue.
    fn barrier_due(&mut self, at: Moment) {
        let Some(link) = &mut self.link else { return };
        let overdue = link.barrier.overdue_at(link.plan(&self.settings).timeout);
        if overdue.is_some_and(|overdue| overdue <= at.instant) && link.barrier.overdue() {
            self.pong_missing(at);
        }
        let Some(link) = &self.link else { return };
        let due = link.barrier.due(self.delivery.window_full);
        if due.is_some_and(|due| due <= at.instant) {
            self.ping(at);
        }
    }

    fn ping(&mut self, at: Moment) {
        let Some(link) = &mut self.link else { return };
        let payload = link.barrier.ping(at.instant, self.out.written());
        self.out.push(Output::Ping(payload));
    }

    /// What every input may have made possible, and the timers after it. To follow
    /// [`Session::take`]; the other calls see to it themselves.
    pub fn settle(&mut self, at: Moment) {
        let number = self.link.as_ref().map(|link| link.number);
        self.inbound.settle(&mut turn!(self, at), number);
        let accepts = self.accepts_frames();
        let held = self.inbound.held();
        if let Some(link) = &mut self.link {
            link.heartbeat.freeze(at.instant, !accepts);
            if link.started {
                self.delivery.pump(&mut turn!(self, at), link, &self.learned);
            }
            let plan = link.plan(&self.settings);
            let barrier =
                link.barrier.overdue_at(plan.timeout).or(link.barrier.due(self.delivery.window_full));
            self.timers.set(Timer::Barrier, barrier);
            self.timers.set(Timer::Heartbeat, link.heartbeat.next_beat(&plan));
            self.timers.set(Timer::Dead, link.heartbeat.dead_at(&plan));
            // A server we do not listen to is not late with its answer.
            self.timers.set(Timer::Start, link.talk.poll_timeout().filter(|_| accepts));
            let held_until = self.timers.get(Timer::Held).unwrap_or(at.instant + LONGEST_HOLD);
            self.timers.set(Timer::Held, held.then_some(held_until));
            self.delivery.set_timers(&mut turn!(self, at));
        } else {
            for timer in [Timer::Barrier, Timer::Heartbeat, Timer::Dead, Timer::Start, Timer::Held] {
                self.timers.set(timer, None);
            }
        }
    }
}
