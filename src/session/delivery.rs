//! The way of queued messages to the server.
//!
//! The store holds the queue; here is what is under way: the rows held ready, in order of their
//! places, and what each waits for. Nothing here survives a connection. When it ends, everything
//! unconfirmed is put down as released and read again from its place, so a resend needs no memory
//! of its own and comes before everything newer.

mod answers;
mod ready;
mod release;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::dialect::Outgoing;
use crate::model::{
    Confirm, Delivery as Class, DueRow, Instant, MessageId, MessageState, Moment, Place, Record, Recorded,
    Resend, Severity,
};

use super::connection::Connection;
use super::drain::Drain;
use super::lanes::Lanes;
use super::learned::Learned;
use super::loader::{Loader, MOST_BYTES};
use super::past::Past;
use super::suspicion::Suspicion;
use super::trail::{Spot, Trails};
use super::turn::Turn;
use super::wire::{Names, Wire};
use super::{Change, Output, Settings, Timer};

pub(super) use answers::reason;

/// Frames handed to the link and not flushed, at most, before messages wait: control traffic never
/// has more than this before it.
const WRITE_AHEAD: u64 = 256;
/// Ends on their way to disk, at most, before messages wait.
const MOST_ENDING: usize = 4096;
/// Rows held ready where the window is no larger than half of it: what is committed while others
/// wait for the server need not be read from the disk again.
const READ_AHEAD: usize = 4096;
/// Rows asked for at once: the writer has others to serve as well, and the first rows of a long queue
/// are not to wait for the last ones.
const MOST_ASKED: usize = 512;
/// Rows asked for at the beginning of a connection: the first of a long queue is soon on its way, and
/// the question for more goes out with it.
const FIRST_ASKED: usize = 64;

/// What decides that a message has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// Being written.
    Write,
    /// The pong of a ping behind it.
    Pong,
    /// The server's reply.
    Reply,
    /// The pong, unless the server turns out to reply.
    Undecided,
}

/// A message on the wire.
#[derive(Debug)]
pub(super) struct Flight {
    /// Its frame.
    pub(super) ticket: u64,
    /// What ends it.
    pub(super) by: By,
    /// How far it is.
    pub(super) shown: MessageState,
    /// When it was flushed.
    pub(super) flushed: Instant,
    /// It is read, and left the window.
    pub(super) aside: bool,
    /// It is as far as it gets without an answer.
    pub(super) awaiting: bool,
    /// It had the time in which the server would have turned out to answer.
    pub(super) waited: bool,
}

/// Where a held row stands.
#[derive(Debug)]
pub(super) enum Stage {
    /// It may go out.
    Waiting,
    /// Its last attempt failed; it may go out later.
    Resting,
    /// It must not be written before the disk knows.
    Claiming,
    /// It is out.
    Wire(Flight),
}

/// A row the session holds.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) row: DueRow,
    pub(super) bytes: usize,
    pub(super) expires: Option<Instant>,
    /// Attempts in all, as far as this run knows.
    pub(super) tries: u32,
    /// It was written on this connection and not answered by a refusal.
    pub(super) doubt: bool,
    pub(super) claimed: bool,
    pub(super) backlog: bool,
    pub(super) deadline: Option<Instant>,
    pub(super) names: Names,
    pub(super) spot: Spot,
    pub(super) stage: Stage,
}

impl Entry {
    const fn first_attempt(&self) -> bool {
        self.row.attempts == 0 && !self.row.was_sent && self.tries == 0
    }

    /// Whether its TTL is over.
    fn expired(&self, at: Moment) -> bool {
        self.row.expires_at.is_some_and(|expires| expires <= at.steady)
    }

    /// Whether the server may have it.
    pub(super) const fn maybe_delivered(&self) -> bool {
        self.row.was_sent || self.doubt
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Delivery {
    rows: BTreeMap<Place, Entry>,
    bytes: usize,
    waiting: BTreeSet<Place>,
    deadlines: BTreeSet<(Instant, Place)>,
    lanes: Lanes,
    loader: Loader,
    past: Past,
    wire: Wire,
    claims: HashMap<u64, Place>,
    releases: BTreeMap<u64, Vec<Place>>,
    trails: Trails,
    suspicion: Suspicion,
    drain: Drain,
    bears: Option<usize>,
    pass: u64,
    /// The window, and nothing else, keeps messages from going out.
    pub(super) window_full: bool,
}

impl Delivery {
    /// `bears`: most unconfirmed messages the server bears.
    pub(super) fn new(values: &BTreeMap<String, String>, bears: Option<usize>) -> Self {
        Self {
            rows: BTreeMap::new(),
            bytes: 0,
            waiting: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            lanes: Lanes::new(values),
            loader: Loader::default(),
            past: Past::default(),
            wire: Wire::default(),
            claims: HashMap::new(),
            releases: BTreeMap::new(),
            trails: Trails::default(),
            suspicion: Suspicion::default(),
            drain: Drain::new(Instant::default(), 0),
            bears,
            pass: 0,
            window_full: false,
        }
    }

    /// Most unconfirmed messages, caution left aside.
    fn window(&self, settings: &Settings) -> usize {
        self.bears.map_or(settings.outbox.window, |most| most.min(settings.outbox.window)).max(1)
    }

    /// Rows held at most, those aside not counted.
    fn most_rows(&self, settings: &Settings) -> usize {
        (2 * self.window(settings)).max(READ_AHEAD)
    }

    /// Messages may flow: read the queue from its beginning.
    pub(super) fn link_up(&mut self, turn: &Turn<'_>) {
        self.loader.reset();
        self.drain = Drain::new(turn.at.instant, self.window(turn.settings));
    }

    /// Sends what may go, and asks for more where there is room.
    pub(super) fn pump(&mut self, turn: &mut Turn<'_>, link: &mut Connection, learned: &Learned) {
        self.window_full = false;
        if !self.releases.is_empty() {
            return;
        }
        self.send_waiting(turn, link, learned);
        let most = self.most_rows(turn.settings);
        let held = self.rows.len() - self.wire.aside.messages;
        let rows = most.saturating_sub(held);
        let bytes = MOST_BYTES.saturating_sub(self.bytes - self.wire.aside.bytes);
        if rows >= MOST_ASKED || self.waiting.is_empty() {
            let at_once = if self.loader.cursor() == Place::default() { FIRST_ASKED } else { MOST_ASKED };
            let (total, rows) = (self.window(turn.settings), rows.min(at_once));
            if let Some(query) = self.loader.next(&self.lanes, turn.settings, total, rows, bytes) {
                turn.out.push(Output::LoadDue(query));
            }
        }
    }

    fn send_waiting(&mut self, turn: &mut Turn<'_>, link: &mut Connection, learned: &Learned) {
        let total = self.window(turn.settings);
        let window = if self.suspicion.cautious() { 1 } else { total };
        self.pass += 1;
        turn.timers.set(Timer::Drain, None);
        let mut next = self.waiting.first().copied();
        while let Some(place) = next {
            next = self.waiting.range(Place(place.0.saturating_add(1))..).next().copied();
            if turn.out.unwritten() >= WRITE_AHEAD || self.past.ending() >= MOST_ENDING {
                return;
            }
            let Some(entry) = self.rows.get(&place) else {
                self.waiting.remove(&place);
                continue;
            };
            let load = self.wire.window;
            // With caution, what is read and may yet be answered counts too: it is not confirmed.
            let aside = if self.suspicion.cautious() { self.wire.aside.messages } else { 0 };
            if load.messages + aside >= window
                || load.messages > 0 && load.bytes + entry.bytes > turn.settings.outbox.window_bytes
            {
                self.window_full = true;
                return;
            }
            let name = Arc::clone(&entry.row.lane);
            let (first, backlog) = (entry.first_attempt(), entry.backlog);
            let barred = self.lanes.barred(&name, place, first);
            let lane_window = Lanes::window(turn.settings, &name, total);
            let pass = self.pass;
            let lane = self.lanes.at(&name);
            if lane.passed_in == pass {
                continue;
            }
            if barred || lane.claiming > 0 || lane.wire >= lane_window {
                lane.passed_in = pass;
                continue;
            }
            if entry.expired(turn.at) {
                let maybe = entry.maybe_delivered();
                self.end(turn, place, MessageState::Expired, Some("ttl".to_owned()), maybe);
                continue;
            }
            if backlog
                && let Err(at) = self.drain.ask(turn.at.instant, turn.settings.outbox.drain_rate, total)
            {
                turn.timers.set(Timer::Drain, Some(at));
                self.lanes.at(&name).passed_in = pass;
                continue;
            }
            if entry.row.resend == Resend::Never && !entry.claimed {
                self.claim(turn, place);
            } else {
                self.send(turn, link, learned, place);
            }
        }
    }

    fn claim(&mut self, turn: &mut Turn<'_>, place: Place) {
        let Some(entry) = self.rows.get_mut(&place) else { return };
        entry.stage = Stage::Claiming;
        self.waiting.remove(&place);
        let lane = self.lanes.at(&entry.row.lane);
        lane.waiting -= 1;
        lane.claiming += 1;
        let ticket = turn.out.record(Record::Claimed { place });
        self.claims.insert(ticket, place);
    }

    fn send(&mut self, turn: &mut Turn<'_>, link: &mut Connection, learned: &Learned, place: Place) {
        let Some(entry) = self.rows.get_mut(&place) else { return };
        let row = &entry.row;
        let outgoing = Outgoing { id: &row.id, kind: &row.kind, payload: &row.payload };
        let encoded = match link.talk.encode(turn.at, outgoing) {
            Ok(encoded) => encoded,
            Err(refusal) => {
                self.end(turn, place, MessageState::Rejected, Some(refusal.message), false);
                return;
            }
        };
        let by = match row.confirm {
            Confirm::Sent => By::Write,
            Confirm::Barrier => By::Pong,
            Confirm::Reply | Confirm::Learned if encoded.reference.is_none() => By::Pong,
            Confirm::Reply => By::Reply,
            Confirm::Learned if learned.answers(&row.kind) => By::Reply,
            Confirm::Learned => By::Undecided,
        };
        if row.delivery == Class::Latest {
            turn.out.record(Record::OnWire { place });
        }
        let ticket = turn.out.write_message(encoded.frame, encoded.behind);
        entry.tries = entry.tries.saturating_add(1);
        entry.doubt = true;
        let shown = MessageState::Sending;
        entry.stage = Stage::Wire(Flight {
            ticket,
            by,
            shown,
            flushed: turn.at.instant,
            aside: false,
            awaiting: false,
            waited: false,
        });
        self.wire.name(place, &mut entry.names, encoded.reference, encoded.counter);
        self.wire.flushing.insert(ticket, place);
        self.wire.window.add(entry.bytes);
        self.waiting.remove(&place);
        let lane = self.lanes.at(&entry.row.lane);
        lane.waiting -= 1;
        lane.wire += 1;
        if entry.backlog {
            self.drain.take();
        }
        self.tell(turn, place, shown, None);
    }

    /// Tells where an unfinished message stands.
    pub(super) fn tell(&mut self, turn: &mut Turn<'_>, place: Place, state: MessageState, why: Option<&str>) {
        let Some(entry) = self.rows.get_mut(&place) else { return };
        self.trails.note(&mut entry.spot, &entry.row.id, state, turn.at.wall, entry.tries, why);
        turn.out.publish(Change::Message {
            id: entry.row.id.clone(),
            state,
            attempt: entry.tries,
            finished: false,
            reason: why.map(str::to_owned),
            reply: None,
        });
    }

    /// Sets or clears when a row is looked at.
    pub(super) fn set_deadline(&mut self, place: Place, at: Option<Instant>) {
        let Some(entry) = self.rows.get_mut(&place) else { return };
        if let Some(old) = entry.deadline.take() {
            self.deadlines.remove(&(old, place));
        }
        if let Some(at) = at {
            entry.deadline = Some(at);
            self.deadlines.insert((at, place));
        }
    }

    /// Takes a row out of all that is here. What it leaves behind in the lane's memory of failures
    /// is for the caller to clear.
    pub(super) fn forget(&mut self, place: Place) -> Option<Entry> {
        self.set_deadline(place, None);
        let entry = self.rows.remove(&place)?;
        self.bytes -= entry.bytes;
        let lane = self.lanes.at(&entry.row.lane);
        match &entry.stage {
            Stage::Waiting => {
                self.waiting.remove(&place);
                lane.waiting -= 1;
            }
            Stage::Resting => {}
            Stage::Claiming => lane.claiming -= 1,
            Stage::Wire(flight) => {
                self.wire.flushing.remove(&flight.ticket);
                self.wire.unread.remove(&flight.ticket);
                if flight.aside {
                    self.wire.aside.remove(entry.bytes);
                } else {
                    self.wire.window.remove(entry.bytes);
                    lane.wire -= 1;
                }
            }
        }
        Some(entry)
    }

    /// A message took itself off the wire: it is to go out again, at once or after its rest.
    pub(super) fn off_wire(&mut self, place: Place, stage: Stage) {
        let Some(entry) = self.rows.get_mut(&place) else { return };
        let lane = self.lanes.at(&entry.row.lane);
        if let Stage::Wire(flight) = &entry.stage {
            self.wire.flushing.remove(&flight.ticket);
            self.wire.unread.remove(&flight.ticket);
            if flight.aside {
                self.wire.aside.remove(entry.bytes);
            } else {
                self.wire.window.remove(entry.bytes);
                lane.wire -= 1;
            }
        }
        if matches!(stage, Stage::Waiting) {
            lane.waiting += 1;
            self.waiting.insert(place);
        }
        entry.stage = stage;
    }

    /// A message is read and waits for nothing that holds others up: it leaves the window.
    pub(super) fn set_aside(&mut self, place: Place) {
        let Some(entry) = self.rows.get_mut(&place) else { return };
        let may = self.wire.may_set_aside(entry.bytes);
        if let Stage::Wire(flight) = &mut entry.stage
            && !flight.aside
            && may
        {
            flight.aside = true;
            self.wire.window.remove(entry.bytes);
            self.wire.aside.add(entry.bytes);
            self.lanes.at(&entry.row.lane).wire -= 1;
        }
    }

    /// Somebody wants to take a row back: true where it is not on the wire and goes out no more.
    pub(super) fn withdraw(&mut self, place: Place) -> bool {
        if self.on_wire(place) || matches!(self.rows.get(&place), Some(Entry { stage: Stage::Claiming, .. }))
        {
            return false;
        }
        if let Some(entry) = self.drop_row(place) {
            // It may stay after all: what is behind it waits for that.
            self.lanes.at(&entry.row.lane).failed.insert(place);
        }
        self.past.withdrawn(place);
        true
    }

    /// A withdrawn row stays after all.
    pub(super) fn kept(&mut self, place: Place) {
        if self.past.kept(place) {
            // What waited behind it is read again too, after it.
            for name in self.lanes.barred_by(place) {
                self.make_way(&name);
            }
            self.lanes.unbar(place);
            self.lanes.rewind(place);
            self.loader.rewind(place);
        }
    }

    /// Whether a row is on the wire, or was until just now.
    pub(super) fn on_wire(&self, place: Place) -> bool {
        self.rows.get(&place).is_some_and(|entry| matches!(entry.stage, Stage::Wire(_)))
            || self.releases.values().any(|places| places.contains(&place))
    }

    /// All rows whose outcome the server may yet decide: those on the wire, and those that were on
    /// it and rest before the next attempt.
    pub(super) fn wire_places(&self) -> Vec<Place> {
        let held = self.rows.iter().filter(|(_, entry)| entry.doubt).map(|(place, _)| *place);
        held.chain(self.releases.values().flatten().copied()).collect()
    }

    /// Whether flushed messages wait for a pong.
    pub(super) fn awaits_pong(&self) -> bool {
        self.wire.awaits_pong()
    }

    /// Whether an answer under this name would be one to a message.
    pub(super) fn awaits_answer(&self, reference: &str) -> bool {
        self.wire.knows(reference)
    }

    /// Messages written and not confirmed.
    pub(super) const fn in_flight(&self) -> usize {
        self.wire.window.messages + self.wire.aside.messages
    }

    /// Whether that holds for a message.
    pub(super) fn holds_on_wire(&self, id: &MessageId) -> bool {
        self.rows.values().any(|entry| entry.row.id == *id && self.on_wire(entry.row.place))
    }

    fn unstop(&mut self, turn: &mut Turn<'_>, place: Place) {
        if self.lanes.release(place, turn.out).is_some() {
            self.tell_stopped(turn);
        }
    }

    /// Says in `health` which lanes wait for a person.
    pub(super) fn tell_stopped(&self, turn: &mut Turn<'_>) {
        let names: Vec<&str> = self.lanes.stopped().map(|(name, _)| &**name).collect();
        let entry = (!names.is_empty()).then(|| {
            (
                Severity::Warning,
                format!("nothing goes out in {}: a message there failed", names.join(", ")),
                "look at it with `holdline ctl messages`, then retry or drop it".to_owned(),
            )
        });
        turn.out.publish(Change::Health { code: "lane_stopped", entry });
    }

    /// A record is on disk.
    pub(super) fn recorded(&mut self, turn: &mut Turn<'_>, ticket: u64, outcome: &Recorded) {
        if let Some(place) = self.claims.remove(&ticket) {
            if let Some(entry) = self.rows.get_mut(&place)
                && matches!(entry.stage, Stage::Claiming)
            {
                entry.claimed = true;
                self.lanes.at(&entry.row.lane).claiming -= 1;
                self.off_wire(place, Stage::Waiting);
            }
        } else if self.releases.remove(&ticket).is_some() {
            if let Recorded::Released { gone } = outcome {
                for (_, id, state) in gone {
                    self.lost_for_good(turn, id, *state);
                }
            }
        } else {
            self.past.recorded(ticket, self.loader.is_waiting());
        }
    }

    /// When the next row is to be looked at, and why.
    pub(super) fn set_timers(&self, turn: &mut Turn<'_>) {
        let first = self.deadlines.first().and_then(|(at, place)| {
            let timer = match &self.rows.get(place)?.stage {
                Stage::Wire(flight) if flight.awaiting && !flight.waited => Timer::Decide,
                Stage::Wire(_) => Timer::Confirm,
                Stage::Waiting | Stage::Resting | Stage::Claiming => Timer::Deferred,
            };
            Some((*at, timer))
        });
        for timer in [Timer::Confirm, Timer::Deferred, Timer::Decide] {
            turn.timers.set(timer, first.filter(|(_, which)| *which == timer).map(|(at, _)| at));
        }
    }

    /// Where a message stands.
    pub(super) fn message_state(
        &self,
        id: &MessageId,
    ) -> Option<(MessageState, u32, Vec<crate::model::HistoryEntry>)> {
        self.trails.get(id)
    }
}
