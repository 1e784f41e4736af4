//! The loop itself: wait for whatever comes first, hand it to the session, carry out what follows.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use super::asks::Asks;
use super::dialing::{Dialled, Dialling};
use super::effects::Ended;
use super::expiry::Expiry;
use super::link::{flushed, has_room, receive};
use super::punctual::Punctual;
use super::requests::{Inbox, Requests};
use super::{Command, Fanout, NewServer, Waits};
use crate::clock::Clock;
use crate::link::credential::Credentials;
use crate::link::{Connection, Dialer, LinkCommand, LinkEvent};
use crate::model::{DueRow, EventRow, Failure, Instant, LinkState, Moment, Retried, Seq};
use crate::session::{Input, Session};
use crate::store::{Store, StoreEvent};

/// Link events taken in one turn, so that what they put on disk shares a commit.
const TURN: usize = 256;
/// How long a close may take before the connection is dropped without it.
const CLOSE_GRACE: Duration = Duration::from_secs(3);

/// How to reach the server: replaced as a whole by a reload.
#[derive(Debug, Clone)]
pub struct Route {
    /// Makes connections.
    pub dialer: Arc<Dialer>,
    /// Gives credentials.
    pub credentials: Arc<Credentials>,
    /// The dialect's own frames carry the credential, so the session must be given it.
    pub token_by_message: bool,
}

/// What the loop is made of.
#[derive(Debug)]
pub struct Parts {
    /// Tells the time.
    pub clock: Clock,
    /// The session; not started yet.
    pub session: Session,
    /// The store …
    pub store: Store,
    /// … and its news.
    pub store_events: mpsc::Receiver<StoreEvent>,
    /// The way to the server.
    pub route: watch::Receiver<Route>,
    /// The loop's inbox.
    pub commands: Inbox,
    /// What others look at.
    pub fanout: Arc<Fanout>,
    /// Callers that wait for messages.
    pub waits: Arc<Waits>,
}

/// How the loop ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// As asked.
    Stopped,
    /// The database cannot be trusted any more.
    StoreFailed(String),
}

/// A link being closed from our side.
#[derive(Debug)]
struct Closing {
    by: Instant,
    failure: Failure,
}

/// The loop's own state. `effects.rs` carries the session's outputs out into its queues.
#[derive(Debug)]
pub(super) struct Loop {
    pub(super) clock: Clock,
    pub(super) session: Session,
    pub(super) store: Store,
    pub(super) route: watch::Receiver<Route>,
    pub(super) fanout: Arc<Fanout>,
    pub(super) waits: Arc<Waits>,
    pub(super) dialling: Dialling,
    /// The dial may show an expired credential.
    pub(super) expired_too: bool,
    pub(super) link: Option<Connection>,
    /// The link's pump has ended; what it told last is still to be read.
    pump_ended: bool,
    /// Commands the pump has no room for yet. The session bounds it: it leaves only so many
    /// tickets unwritten.
    pub(super) writes: VecDeque<LinkCommand>,
    /// What the store has no room for yet. While it holds any, no further frames are read.
    pub(super) asks: Asks,
    /// The disk has too little room, or takes nothing: no further frames are read either.
    disk_low: bool,
    disk_stalled: bool,
    /// The session was told that the store has no room.
    store_full: bool,
    /// Comes into force with the next dial.
    pub(super) new_server: Option<NewServer>,
    pub(super) ephemerals: HashMap<u64, oneshot::Sender<Option<String>>>,
    pub(super) next_ephemeral: u64,
    pub(super) requests: Requests,
    pub(super) retries: HashMap<Seq, oneshot::Sender<Retried>>,
    /// Rows that are on disk, until all outputs of this turn are carried out: readers are woken once.
    pub(super) stored: Vec<Arc<EventRow>>,
    pub(super) link_changed: bool,
    /// Somebody waited for a message when this turn began.
    pub(super) somebody_waits: bool,
    /// Counted at the end of the turn.
    pub(super) ended: Ended,
    pub(super) punctual: Punctual,
    expiry: Expiry,
    closing: Option<Closing>,
    pub(super) stop_by: Option<Instant>,
    /// The machine is about to sleep: who waits for the link to be closed.
    pub(super) falling_asleep: Option<oneshot::Sender<()>>,
}

/// Runs until it is told to stop, or the store fails.
pub async fn run(parts: Parts) -> Ending {
    let Parts { clock, session, store, mut store_events, route, mut commands, fanout, waits } = parts;
    let mut this = Loop {
        clock,
        session,
        store,
        route,
        fanout,
        waits,
        dialling: Dialling::Idle,
        expired_too: false,
        link: None,
        pump_ended: false,
        writes: VecDeque::new(),
        asks: Asks::default(),
        disk_low: false,
        disk_stalled: false,
        store_full: false,
        new_server: None,
        ephemerals: HashMap::new(),
        next_ephemeral: 0,
        requests: Requests::new(),
        retries: HashMap::new(),
        stored: Vec::new(),
        link_changed: true,
        somebody_waits: false,
        ended: Ended::new(),
        punctual: Punctual::new(clock),
        expiry: Expiry::default(),
        closing: None,
        stop_by: None,
        falling_asleep: None,
    };
    let begin = this.now();
    this.expiry.look_soon(begin);
    this.input(Input::Start);
    loop {
        this.look_for_gaps();
        this.flush();
        if this.is_done() {
            return Ending::Stopped;
        }
        this.say_good_night();
        let deadline = this.deadline();
        this.punctual.set(deadline);
        // A pump that has ended has nothing to say but its last words.
        let read_link = this.pump_ended || (this.session.accepts_frames() && this.asks.is_empty());
        let (events, written, room) = match this.link.as_mut() {
            Some(link) => (Some(&mut link.events), Some(&mut link.written), Some(&link.commands)),
            None => (None, None, None),
        };
        tokio::select! {
            biased;
            command = commands.recv() => match command {
                Some(command) => this.command(command),
                None => this.command(Command::Stop),
            },
            event = store_events.recv() => match event {
                Some(StoreEvent::Fatal(why)) => return Ending::StoreFailed(why),
                Some(event) => {
                    let now = this.now();
                    this.store_event(now, event);
                    // What one commit brought is looked at in one turn.
                    for _ in 1..TURN {
                        match store_events.try_recv() {
                            Ok(StoreEvent::Fatal(why)) => return Ending::StoreFailed(why),
                            Ok(event) => this.store_event(now, event),
                            Err(_) => break,
                        }
                    }
                    this.settle(now);
                }
                None => return Ending::StoreFailed("the store's writer thread has ended".into()),
            },
            dialled = this.dialling.step() => this.dialled(dialled),
            swept = this.expiry.swept() => this.swept(swept),
            ticket = flushed(written), if !this.pump_ended => match ticket {
                Some(ticket) => this.input(Input::Written(ticket)),
                None => this.pump_ended = true,
            },
            event = receive(events), if read_link => this.link_events(event),
            () = has_room(room), if !this.writes.is_empty() => {}
            () = this.store.room(), if !this.asks.is_empty() => {}
            () = this.punctual.alarm.rung() => this.time_is_up(),
            () = this.punctual.vigil.stirred() => {}
        }
    }
}

impl Loop {
    fn now(&self) -> Moment {
        self.clock.now()
    }

    /// One input, then all that follows from it.
    pub(super) fn input(&mut self, input: Input) {
        let now = self.now();
        self.session.take(now, input);
        self.settle(now);
    }

    /// What follows from the inputs the session has taken at this moment.
    fn settle(&mut self, now: Moment) {
        self.session.settle(now);
        self.carry_out();
    }

    fn deadline(&self) -> Option<Instant> {
        let session = self.session.poll_timeout().map(|(at, _)| at);
        let closing = self.closing.as_ref().map(|closing| closing.by);
        let expiry = self.expiry.deadline(self.now());
        [session, closing, expiry, self.stop_by].into_iter().flatten().min()
    }

    fn time_is_up(&mut self) {
        if !self.may_judge(self.clock.instant()) {
            return;
        }
        let now = self.now();
        if self.closing.as_ref().is_some_and(|closing| closing.by <= now.instant) {
            self.drop_link();
        }
        self.expiry.sweep(now, &self.store, self.session.wire_places());
        self.session.handle_timeout(now);
        self.carry_out();
    }

    fn swept(&mut self, next: Result<Option<crate::model::Timestamp>, ()>) {
        match next {
            Ok(Some(next)) => self.expiry.note(next),
            Ok(None) => {}
            Err(()) => self.expiry.look_soon(self.now()),
        }
    }

    /// Tells who waits that the link is closed and nothing is left here.
    fn say_good_night(&mut self) {
        if self.link.is_none()
            && self.asks.is_empty()
            && let Some(closed) = self.falling_asleep.take()
        {
            // Whoever asked may not have waited.
            let _ = closed.send(());
        }
    }

    fn is_done(&self) -> bool {
        let Some(by) = self.stop_by else { return false };
        (self.link.is_none() && self.asks.is_empty()) || by <= self.clock.instant()
    }

    pub(super) fn state(&self) -> LinkState {
        self.session.link_state()
    }

    /// News of the store, for the session to take in; [`Loop::settle`] follows.
    fn store_event(&mut self, now: Moment, event: StoreEvent) {
        match event {
            StoreEvent::Queued { previous, rows } => {
                if rows.is_empty() {
                    self.expiry.look_soon(now);
                }
                self.note_expiries(&rows);
                self.session.take(now, Input::Queued { previous, rows });
            }
            StoreEvent::Superseded { old, row } => {
                self.tell_ended(&old, crate::model::MessageState::Superseded, None);
                self.note_expiries(std::slice::from_ref(&row));
                self.session.take(now, Input::Superseded { old, row });
            }
            StoreEvent::Requeued(rows) => {
                self.note_expiries(&rows);
                self.session.take(now, Input::Requeued(rows));
            }
            StoreEvent::Gone(rows) => {
                for (_, id, state, reason) in &rows {
                    self.tell_ended(id, *state, reason.as_deref());
                }
                self.session.take(now, Input::Gone(rows.into_iter().map(|(place, ..)| place).collect()));
            }
            StoreEvent::Recorded(records) => {
                for (ticket, outcome) in records {
                    self.session.take(now, Input::Recorded { ticket, outcome });
                }
            }
            StoreEvent::Due(due) => self.session.take(now, Input::Due(due)),
            StoreEvent::Stalled(why) => {
                self.disk_stalled = why.is_some();
                let why = why.map(|why| format!("the disk takes nothing now: {why}"));
                self.disk_trouble("store_stalled", why);
            }
            StoreEvent::Low(why) => {
                self.disk_low = why.is_some();
                self.disk_trouble("store_low", why);
            }
            // Taken by the caller.
            StoreEvent::Fatal(_) => {}
        }
    }

    fn note_expiries(&mut self, rows: &[DueRow]) {
        if let Some(at) = rows.iter().filter_map(|row| row.expires_at).min() {
            self.expiry.note(at);
        }
    }

    fn dialled(&mut self, dialled: Dialled) {
        match dialled {
            Dialled::Server(dialect, remembered) => {
                self.new_server = None;
                self.session.use_server(dialect, &remembered);
                self.dialling = self.begin_dial();
            }
            Dialled::Credential(credential) => {
                let now = self.now();
                let route = self.route.borrow().clone();
                let by_message = credential.clone().filter(|_| route.token_by_message);
                let connect = self.session.connect(now, by_message.as_ref());
                self.carry_out();
                let plan = crate::link::Plan {
                    query: connect.query,
                    headers: connect.headers,
                    subprotocols: connect.subprotocols,
                };
                self.dialling = Dialling::connect(route.dialer, plan, credential);
            }
            Dialled::Connection(connection, credential) => {
                let token = credential.filter(|_| self.route.borrow().token_by_message);
                self.writes.clear();
                self.closing = None;
                self.link = Some(connection);
                self.pump_ended = false;
                self.input(Input::LinkUp { token });
            }
            Dialled::Failed(failure) => {
                self.note_failure(&failure);
                tracing::debug!(kind = failure.reason_kind().as_str(), "the dial failed: {failure}");
                self.input(Input::LinkDown(failure));
            }
        }
    }

    fn link_events(&mut self, first: Option<LinkEvent>) {
        let now = self.now();
        let mut next = first;
        let mut taken = 0;
        let down = loop {
            let input = match next {
                Some(LinkEvent::Frame(frame)) => Input::Frame(frame),
                Some(LinkEvent::Pong(payload)) => Input::Pong(payload),
                Some(LinkEvent::Heard) => Input::Heard,
                Some(LinkEvent::Taken) => Input::Taken,
                Some(LinkEvent::Down(failure)) => break Some(failure),
                None => break Some(Failure::Lost { detail: String::new() }),
            };
            self.session.take(now, input);
            taken += 1;
            if taken == TURN || !self.session.accepts_frames() {
                break None;
            }
            let Some(link) = self.link.as_mut() else { break None };
            next = match link.events.try_recv() {
                Ok(event) => Some(event),
                Err(mpsc::error::TryRecvError::Empty) => break None,
                Err(mpsc::error::TryRecvError::Disconnected) => None,
            };
        };
        self.settle(now);
        if let Some(failure) = down {
            self.link_down(failure);
        }
    }

    fn link_down(&mut self, failure: Failure) {
        self.link = None;
        self.writes.clear();
        let failure = self.closing.take().map_or(failure, |closing| closing.failure);
        self.note_failure(&failure);
        tracing::debug!(kind = failure.reason_kind().as_str(), "the link is down: {failure}");
        self.input(Input::LinkDown(failure));
    }

    /// Ends the link without waiting for the other side, and says so to the session.
    fn drop_link(&mut self) {
        if let Some(closing) = self.closing.take() {
            self.link_down(closing.failure);
        }
    }

    /// Closes the link for this reason. The session hears of the end by `LinkDown`, never from
    /// within this call: its outputs are still being taken.
    pub(super) fn hang_up(&mut self, code: u16, failure: Failure) {
        self.writes.clear();
        // A peer that is silent, or does not read, answers no close: waiting for it would only
        // delay the next dial.
        let deaf = matches!(failure, Failure::HeartbeatTimeout { .. } | Failure::WriteStalled { .. });
        let close = LinkCommand::Close { code, failure: failure.clone() };
        let told = !deaf && self.link.as_ref().is_some_and(|link| link.commands.try_send(close).is_ok());
        let grace = if told { CLOSE_GRACE } else { Duration::ZERO };
        self.closing = Some(Closing { by: self.clock.instant() + grace, failure });
    }

    /// Gives the queues of this turn to whoever has room, and shows the link if it changed.
    fn flush(&mut self) {
        if let Some(link) = self.link.as_ref() {
            while let Some(command) = self.writes.pop_front() {
                match link.commands.try_send(command) {
                    Ok(()) => {}
                    Err(mpsc::error::TrySendError::Full(command)) => {
                        self.writes.push_front(command);
                        break;
                    }
                    // Its end is on its way to us as an event.
                    Err(mpsc::error::TrySendError::Closed(_)) => {
                        self.writes.clear();
                        break;
                    }
                }
            }
        }
        self.asks.hand_over(&self.store);
        let full = !self.asks.is_empty() || self.disk_low || self.disk_stalled;
        if self.store_full != full {
            self.store_full = full;
            self.input(Input::StoreFull(full));
        }
        if std::mem::take(&mut self.link_changed) {
            self.fanout.show_link(self.session.link_status());
        }
        self.fanout.in_flight.store(self.session.in_flight() as u64, std::sync::atomic::Ordering::Relaxed);
    }
}
