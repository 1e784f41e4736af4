//! What the server sent, on its way to disk.
//!
//! Nothing is acknowledged to the server before it is on disk, and what the next connection
//! begins with (cursors, kept names) is what is on disk, less what is to be forgotten. Too much on
//! its way there holds reading, and TCP pushes back.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::dialect::Given;
use crate::model::{
    Appended, Delivery, EventRow, Frame, GapReason, NewRow, Payload, Record, Remembered, RowKind, Secret,
    Timestamp, TypeRules, Unit, veiled,
};

use super::Change;
use super::turn::Turn;

/// Units on their way to disk, at most; then reading is held.
const MOST_UNITS: usize = 1024;
/// Their bytes, at most: what one commit takes, and what gathers meanwhile. One unit more may be
/// on top of it, and the largest messages are larger than all this.
const MOST_BYTES: usize = 2 << 20;

/// The connection of what is put down before there is one: cursors taken into use by the dial.
const NO_CONNECTION: u64 = 0;

type Values = Vec<(Arc<str>, Option<Arc<str>>)>;

/// What the server is told once something is on disk.
#[derive(Debug, Default)]
pub(super) struct Thanks {
    pub(super) frames: Vec<Frame>,
    /// The last one covers all before it.
    pub(super) cumulative: bool,
}

impl Thanks {
    /// Where the last one covers the others, it alone is left.
    pub(super) fn new(mut frames: Vec<Frame>, cumulative: bool) -> Self {
        if cumulative {
            frames.drain(..frames.len().saturating_sub(1));
        }
        Self { frames, cumulative }
    }

    /// What stands for both, `later` coming after.
    fn join(&mut self, later: Self) {
        if later.frames.is_empty() {
            return;
        }
        if later.cumulative && self.cumulative {
            self.frames.pop();
        }
        self.cumulative = later.cumulative;
        self.frames.extend(later.frames);
    }
}

struct Pending {
    connection: u64,
    bytes: usize,
    then: Thanks,
    cursors: Values,
    kept: Values,
}

/// Everything inbound that is not yet on disk, and what of it is.
pub(super) struct Inbound {
    pending: BTreeMap<u64, Pending>,
    /// To be said to this connection when all of this moment is looked at.
    thanks: Option<(u64, Thanks)>,
    bytes: usize,
    held: bool,
    /// The driver cannot hand anything to the store.
    blocked: bool,
    cursors: BTreeMap<Arc<str>, Arc<str>>,
    kept: BTreeMap<Arc<str>, Arc<str>>,
}

impl fmt::Debug for Inbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Kept values may be secret, and what waits for the disk has some among it.
        f.debug_struct("Inbound")
            .field("pending", &self.pending.len())
            .field("bytes", &self.bytes)
            .field("held", &self.held)
            .field("blocked", &self.blocked)
            .field("cursors", &self.cursors)
            .field("kept", &veiled(self.kept.keys().map(|name| &**name)))
            .finish_non_exhaustive()
    }
}

impl Inbound {
    pub(super) fn new(remembered: &Remembered) -> Self {
        Self {
            pending: BTreeMap::new(),
            thanks: None,
            bytes: 0,
            held: false,
            blocked: false,
            cursors: remembered.cursors.clone(),
            kept: remembered.kept.clone(),
        }
    }

    /// Another server: where it is to go on, and what is kept for it.
    pub(super) fn use_server(&mut self, remembered: &Remembered) {
        self.cursors = remembered.cursors.clone();
        self.kept = remembered.kept.clone();
        for pending in self.pending.values_mut() {
            // What the other server left behind is not for this one.
            pending.cursors.clear();
            pending.kept.clear();
        }
    }

    /// What a connection begins with.
    pub(super) fn given(&self, token: Option<Secret>, sign_in: Option<crate::dialect::SignIn>) -> Given {
        let (mut kept, mut cursors) = (self.kept.clone(), self.cursors.clone());
        // A new connection may be there before the disk is. What was taken from the last one waits for
        // it, with its events; what the server no longer knows would only be refused once more.
        for pending in self.pending.values() {
            let in_use = pending.connection == NO_CONNECTION;
            forget(&mut kept, &pending.kept, in_use);
            forget(&mut cursors, &pending.cursors, in_use);
        }
        Given { token, kept, cursors, sign_in }
    }

    /// Cursors taken into use for the first time.
    pub(super) fn baseline(&mut self, turn: &mut Turn<'_>, baseline: Vec<(Arc<str>, Arc<str>)>) {
        if baseline.is_empty() {
            return;
        }
        // Used from now on even if the disk is slow: lost, they would be taken anew.
        self.cursors.extend(baseline.iter().cloned());
        let cursors = baseline.into_iter().map(|(name, value)| (name, Some(value))).collect();
        self.put(turn, NO_CONNECTION, Unit { cursors, ..Unit::default() }, Thanks::default());
    }

    /// A frame's unit: ephemeral events are told at once, the rest is put down, and `then` goes
    /// out once it is on disk.
    pub(super) fn store(&mut self, turn: &mut Turn<'_>, connection: u64, mut unit: Unit, then: Thanks) {
        unit.rows.retain_mut(|row| {
            let Stamped { class, without_key } = stamp(row, &turn.settings.types);
            if without_key {
                turn.out.publish(Change::Count("inbox_events_without_key_total"));
            }
            if class != Delivery::Ephemeral {
                return true;
            }
            if let Some(event) = ephemeral(row, turn.at.wall) {
                turn.out.publish(Change::EphemeralEvent(Arc::new(event)));
            } else {
                // Not worth storing, and so not worth keeping out of the way either.
                turn.out.publish(Change::Count("inbox_ephemeral_misfits_total"));
            }
            false
        });
        if !unit.is_empty() {
            self.put(turn, connection, unit, then);
        } else if let Some(mut last) =
            self.pending.last_entry().filter(|last| last.get().connection == connection)
        {
            // An acknowledgement may be cumulative: it must not overtake what is not on disk.
            last.get_mut().then.join(then);
        } else {
            self.thank(connection, then);
            self.settle(turn, Some(connection));
        }
    }

    /// A hole that only we know of.
    pub(super) fn gap(&mut self, turn: &mut Turn<'_>, connection: u64, detail: &str) {
        let rows = vec![NewRow::Gap { reason: GapReason::Server, detail: detail.to_owned() }];
        self.put(turn, connection, Unit { rows, ..Unit::default() }, Thanks::default());
    }

    fn put(&mut self, turn: &mut Turn<'_>, connection: u64, unit: Unit, then: Thanks) {
        let pending = Pending {
            connection,
            bytes: size(&unit),
            then,
            cursors: unit.cursors.clone(),
            kept: unit.kept.clone(),
        };
        self.bytes += pending.bytes;
        let ticket = turn.out.record(Record::Inbound { received_at: turn.at.wall, unit });
        self.pending.insert(ticket, pending);
        if self.pending.len() >= MOST_UNITS || self.bytes >= MOST_BYTES {
            self.held = true;
        }
    }

    /// A unit is on disk. `connection`: the present one, if any.
    pub(super) fn recorded(
        &mut self,
        turn: &mut Turn<'_>,
        connection: Option<u64>,
        ticket: u64,
        appended: Vec<Appended>,
    ) {
        let Some(done) = self.pending.remove(&ticket) else {
            return;
        };
        self.bytes -= done.bytes;
        if self.pending.len() <= MOST_UNITS / 2 && self.bytes <= MOST_BYTES / 2 {
            self.held = false;
        }
        update(&mut self.cursors, done.cursors);
        update(&mut self.kept, done.kept);
        if connection == Some(done.connection) {
            self.thank(done.connection, done.then);
        }
        if !appended.is_empty() {
            turn.out.publish(Change::Appended(appended));
        }
    }

    fn thank(&mut self, connection: u64, then: Thanks) {
        match &mut self.thanks {
            Some((whom, thanks)) if *whom == connection => thanks.join(then),
            Some(_) | None => self.thanks = Some((connection, then)),
        }
    }

    /// Says what is due. `connection`: the present one, if any.
    pub(super) fn settle(&mut self, turn: &mut Turn<'_>, connection: Option<u64>) {
        let due = self.thanks.take().filter(|(whom, _)| connection == Some(*whom));
        for frame in due.into_iter().flat_map(|(_, thanks)| thanks.frames) {
            turn.out.write(frame);
        }
    }

    /// The driver cannot hand anything to the store, or can again.
    pub(super) const fn set_blocked(&mut self, blocked: bool) {
        self.blocked = blocked;
    }

    /// Whether too much is on its way to disk.
    pub(super) const fn held(&self) -> bool {
        self.held || self.blocked
    }
}

fn update(values: &mut BTreeMap<Arc<str>, Arc<str>>, changes: Values) {
    for (name, value) in changes {
        match value {
            Some(value) => values.insert(name, value),
            None => values.remove(&name),
        };
    }
}

/// What `changes` will take away, before they are on disk. `in_use`: what they set counts already.
fn forget(values: &mut BTreeMap<Arc<str>, Arc<str>>, changes: &Values, in_use: bool) {
    for (name, value) in changes {
        match value {
            Some(value) if in_use => values.insert(Arc::clone(name), Arc::clone(value)),
            Some(_) => None,
            None => values.remove(name),
        };
    }
}

/// What the type rules say of a row.
pub(super) struct Stamped {
    /// Rows that are no events are durable.
    pub(super) class: Delivery,
    /// It should have had a key.
    pub(super) without_key: bool,
}

/// Sets a row's class and key by the type rules. An event that does not fit its schema becomes a
/// row that says so.
pub(super) fn stamp(row: &mut NewRow, rules: &TypeRules) -> Stamped {
    let stamped = |class, without_key| Stamped { class, without_key };
    let NewRow::Event { stream, id, kind, payload, delivery, key } = row else {
        return stamped(Delivery::Durable, false);
    };
    let Some(rule) = rules.find(kind) else {
        return stamped(*delivery, false);
    };
    if let Some(misfit) = rule.schema.as_ref().and_then(|schema| schema.misfit(payload)) {
        *row = NewRow::Misfit {
            stream: Arc::clone(stream),
            id: id.take(),
            kind: std::mem::take(kind),
            payload: payload.clone(),
            detail: misfit.to_string(),
        };
        return stamped(rule.delivery, false);
    }
    *delivery = rule.delivery;
    let mut without_key = false;
    if rule.key.is_some() {
        let found = rule.key_of(payload);
        without_key = found.is_none();
        *key = Some(found.unwrap_or_default());
    }
    stamped(rule.delivery, without_key)
}

/// The event in `row`, which is left empty.
fn ephemeral(row: &mut NewRow, received_at: Timestamp) -> Option<EventRow> {
    match row {
        NewRow::Event { id, kind, payload, .. } => {
            let kind = RowKind::Event { id: id.take(), kind: std::mem::take(kind), payload: payload.clone() };
            Some(EventRow { seq: None, received_at, kind })
        }
        NewRow::Gap { .. } | NewRow::Bad { .. } | NewRow::Misfit { .. } => None,
    }
}

fn size(unit: &Unit) -> usize {
    let row = |row: &NewRow| match row {
        NewRow::Event { payload, .. } | NewRow::Misfit { payload, .. } => Payload::len(payload),
        NewRow::Gap { .. } => 0,
        NewRow::Bad { frame, .. } => frame.len(),
    };
    let value = |(_, value): &(Arc<str>, Option<Arc<str>>)| value.as_ref().map_or(0, |text| text.len());
    unit.rows.iter().map(row).sum::<usize>() + unit.cursors.iter().chain(&unit.kept).map(value).sum::<usize>()
}
