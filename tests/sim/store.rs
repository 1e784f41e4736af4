//! A model of the store: what is committed survives a crash, what is not is gone.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use holdline::model::{
    Appended, Confirm, Delivery, Due, DueQuery, DueRow, EventRow, MessageId, MessageState, NewRow, Place,
    Record, Recorded, Remembered, Resend, RowKind, Seq, Timestamp, Transition, Unit,
};
use holdline::session::Input;

/// One row of the outbox.
#[derive(Debug, Clone)]
pub struct Row {
    pub due: DueRow,
    pub state: MessageState,
    pub reason: String,
    pub maybe_delivered: bool,
    pub claimed: bool,
    pub on_wire: bool,
    pub ends: u32,
    pub retried: bool,
    /// It took the place of another one, which may have been sent from there.
    pub inherits: bool,
}

/// Something to be done in the next commit.
#[derive(Debug, Clone)]
pub enum Op {
    Record(u64, Record),
    Insert(DueRow),
    /// Takes a row back; or the store cannot just now.
    Cancel(Place, bool),
    Drop(Place),
    Retry(Place),
    Sweep {
        now: Timestamp,
        skip: BTreeSet<Place>,
    },
}

/// A row of the event sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    Event(u64),
    Gap,
    Other,
}

#[derive(Debug, Default)]
pub struct Store {
    pub rows: BTreeMap<Place, Row>,
    /// Every id that ever was inserted: superseded ones stay with their end.
    pub ended_elsewhere: HashMap<MessageId, Row>,
    queued: BTreeSet<Place>,
    last_place: i64,
    pub events: Vec<Kept>,
    seen: BTreeSet<u64>,
    cursors: BTreeMap<Arc<str>, Arc<str>>,
    values: BTreeMap<String, String>,
    pending: Vec<Op>,
    pub transitions: Vec<Transition>,
    pub broken: Option<String>,
}

impl Store {
    pub fn push(&mut self, op: Op) {
        self.pending.push(op);
    }

    pub fn is_idle(&self) -> bool {
        self.pending.is_empty()
    }

    pub fn has_event(&self, number: u64) -> bool {
        self.seen.contains(&number)
    }

    pub fn remembered(&self) -> Remembered {
        Remembered {
            values: self.values.clone(),
            cursors: self.cursors.clone(),
            kept: BTreeMap::new(),
            seen_before: false,
            others_before: false,
        }
    }

    /// The process died: what was not committed is gone, what was claimed is in doubt.
    pub fn crash(&mut self) {
        self.pending.clear();
        for (place, row) in &mut self.rows {
            row.on_wire = false;
            if row.claimed && row.state == MessageState::Queued {
                row.state = MessageState::Uncertain;
                row.reason = "crash".to_owned();
                self.queued.remove(place);
            }
        }
    }

    pub fn due(&self, query: &DueQuery) -> Due {
        let mut rows: Vec<DueRow> = Vec::new();
        let mut end = true;
        let mut bytes = 0;
        for place in self.queued.range(Place(query.after.0 + 1)..) {
            let row = &self.rows[place].due;
            let wanted =
                query.lane.as_ref().map_or(!query.skip.contains(&row.lane), |lane| *lane == row.lane);
            if !wanted {
                continue;
            }
            bytes += row.payload.len();
            if rows.len() >= query.limit || !rows.is_empty() && bytes > query.bytes {
                end = false;
                break;
            }
            rows.push(row.clone());
        }
        Due { query: query.clone(), rows, end }
    }

    /// One transaction. Returns what the session is told after it, and the ids that have their
    /// receipt now.
    pub fn commit(&mut self) -> (Vec<Input>, Vec<MessageId>) {
        let mut told = Vec::new();
        let mut receipts = Vec::new();
        for op in std::mem::take(&mut self.pending) {
            match op {
                Op::Record(ticket, record) => {
                    let outcome = self.record(record);
                    told.push(Input::Recorded { ticket, outcome });
                }
                Op::Insert(row) => {
                    receipts.push(row.id.clone());
                    told.push(self.insert(row));
                }
                Op::Cancel(place, fails) if fails => told.push(Input::Kept(place)),
                Op::Cancel(place, _) => {
                    self.finish(place, MessageState::Cancelled, "cancel");
                    told.push(Input::Gone(vec![place]));
                }
                Op::Drop(place) => {
                    if let Some(row) = self.rows.get_mut(&place) {
                        row.state = MessageState::Dropped;
                        told.push(Input::Gone(vec![place]));
                    }
                }
                Op::Retry(place) => {
                    if let Some(row) = self.rows.get_mut(&place)
                        && matches!(row.state, MessageState::Parked | MessageState::Uncertain)
                    {
                        row.state = MessageState::Queued;
                        row.retried = true;
                        row.claimed = false;
                        row.due.attempts = 0;
                        row.due.strikes = 0;
                        self.queued.insert(place);
                        told.push(Input::Requeued(vec![row.due.clone()]));
                    }
                }
                Op::Sweep { now, skip } => {
                    let over = |place: &Place| {
                        self.rows[place].due.expires_at.is_some_and(|at| at <= now) && !skip.contains(place)
                    };
                    let gone: Vec<Place> = self.queued.iter().copied().filter(over).collect();
                    for place in &gone {
                        let maybe = self.rows[place].due.was_sent;
                        self.finish(*place, MessageState::Expired, "sweep");
                        self.rows.get_mut(place).unwrap().maybe_delivered = maybe;
                    }
                    if !gone.is_empty() {
                        told.push(Input::Gone(gone));
                    }
                }
            }
        }
        (told, receipts)
    }

    fn insert(&mut self, mut row: DueRow) -> Input {
        if row.delivery == Delivery::Latest {
            let same = self.queued.iter().copied().find(|place| {
                let other = &self.rows[place];
                other.due.key == row.key && other.due.delivery == Delivery::Latest && !other.on_wire
            });
            if let Some(place) = same {
                row.place = place;
                let mut old = self.rows.insert(place, fresh(row.clone())).unwrap();
                old.state = MessageState::Superseded;
                old.ends += 1;
                self.rows.get_mut(&place).unwrap().inherits = true;
                let id = old.due.id.clone();
                self.ended_elsewhere.insert(id.clone(), old);
                return Input::Superseded { old: id, row };
            }
        }
        let previous = Place(self.last_place);
        self.last_place += 1;
        row.place = Place(self.last_place);
        self.rows.insert(row.place, fresh(row.clone()));
        self.queued.insert(row.place);
        Input::Queued { previous, rows: vec![row] }
    }

    fn finish(&mut self, place: Place, state: MessageState, reason: &str) {
        if let Some(row) = self.rows.get_mut(&place)
            && row.state == MessageState::Queued
        {
            row.state = state;
            row.reason = reason.to_owned();
            row.ends += 1;
            self.queued.remove(&place);
        }
    }

    fn record(&mut self, record: Record) -> Recorded {
        match record {
            Record::Ended { place, id, state, reason, attempts: _, maybe_delivered } => {
                self.end(place, &id, state, reason, maybe_delivered);
            }
            Record::EndedTogether { rows, state, attempts: _ } => {
                for (place, id) in rows {
                    self.end(place, &id, state, None, false);
                }
            }
            Record::Failed { place, attempts, strikes } => {
                if let Some(row) = self.rows.get_mut(&place) {
                    row.due.attempts = attempts;
                    row.due.strikes = strikes;
                    row.claimed = false;
                }
            }
            Record::Claimed { place } => {
                if let Some(row) = self.rows.get_mut(&place) {
                    row.claimed = true;
                }
            }
            Record::OnWire { place } => {
                if let Some(row) = self.rows.get_mut(&place) {
                    row.on_wire = true;
                }
            }
            Record::Released { places } => return self.release(&places),
            Record::Inbound { received_at, unit } => return self.inbound(received_at, unit),
            Record::Retried { id, .. } => unreachable!("nobody looks at the quarantine here: {id}"),
            Record::Transition(transition) => self.transitions.push(transition),
            Record::Remember { name, value: Some(value) } => {
                self.values.insert(name, value);
            }
            Record::Remember { name, value: None } => {
                self.values.remove(&name);
            }
        }
        Recorded::Done
    }

    fn end(
        &mut self,
        place: Place,
        id: &MessageId,
        state: MessageState,
        reason: Option<String>,
        maybe_delivered: bool,
    ) {
        use MessageState::{Accepted, Queued, Received, Rejected, Sent, Uncertain};
        let Some(row) = self.rows.get_mut(&place).filter(|row| row.due.id == *id) else { return };
        let lift = matches!(row.state, Received | Sent | Uncertain) && matches!(state, Accepted | Rejected);
        if row.state == Queued {
            row.ends += 1;
        } else if !lift {
            if row.state != MessageState::Expired {
                self.broken = Some(format!("{id}: {:?} after it was {:?}", state, row.state));
            }
            return;
        }
        row.state = state;
        row.reason = reason.unwrap_or_default();
        row.maybe_delivered = maybe_delivered;
        row.on_wire = false;
        self.queued.remove(&place);
    }

    fn release(&mut self, places: &[Place]) -> Recorded {
        let mut gone = Vec::new();
        for place in places {
            let newer = |row: &Row| {
                row.due.delivery == Delivery::Latest
                    && self.queued.range(Place(place.0 + 1)..).any(|other| {
                        let other = &self.rows[other].due;
                        other.delivery == Delivery::Latest && other.key == row.due.key
                    })
            };
            let Some(row) = self.rows.get(place).filter(|row| row.state == MessageState::Queued) else {
                continue;
            };
            let end = if row.claimed {
                Some(MessageState::Uncertain)
            } else if newer(row) {
                Some(MessageState::Superseded)
            } else {
                None
            };
            let id = row.due.id.clone();
            if let Some(state) = end {
                self.finish(*place, state, "released");
                gone.push((*place, id, state));
            } else if let Some(row) = self.rows.get_mut(place) {
                row.on_wire = false;
                row.due.was_sent = true;
            }
        }
        Recorded::Released { gone }
    }

    fn inbound(&mut self, received_at: Timestamp, unit: Unit) -> Recorded {
        let mut appended = Vec::new();
        for row in unit.rows {
            let kept = match &row {
                NewRow::Event { kind, id: Some(id), .. } if kind == "order" => {
                    Kept::Event(id.parse().unwrap())
                }
                NewRow::Event { .. } | NewRow::Bad { .. } | NewRow::Misfit { .. } => Kept::Other,
                NewRow::Gap { .. } => Kept::Gap,
            };
            if let Kept::Event(number) = kept
                && !self.seen.insert(number)
            {
                appended.push(Appended::Duplicate);
                continue;
            }
            self.events.push(kept);
            appended.push(Appended::Stored(Arc::new(EventRow {
                seq: Some(Seq(i64::try_from(self.events.len()).unwrap())),
                received_at,
                kind: RowKind::Bad,
            })));
        }
        for (name, value) in unit.cursors {
            if let Some(value) = value {
                self.cursors.insert(name, value);
            }
        }
        Recorded::Inbound(appended)
    }

    /// Every message that has a receipt, with where it stands.
    pub fn find(&self, place: Option<Place>, id: &MessageId) -> Option<&Row> {
        let here = place.and_then(|place| self.rows.get(&place)).filter(|row| row.due.id == *id);
        here.or_else(|| self.ended_elsewhere.get(id))
    }
}

fn fresh(due: DueRow) -> Row {
    Row {
        due,
        state: MessageState::Queued,
        reason: String::new(),
        maybe_delivered: false,
        claimed: false,
        on_wire: false,
        ends: 0,
        retried: false,
        inherits: false,
    }
}

/// A row as an app hands it in.
#[allow(clippy::too_many_arguments, reason = "every field matters to some run")]
pub fn new_row(
    id: MessageId,
    kind: &str,
    lane: Arc<str>,
    key: Option<Arc<str>>,
    confirm: Confirm,
    resend: Resend,
    queued_at: Timestamp,
    expires_at: Option<Timestamp>,
    body: String,
) -> DueRow {
    DueRow {
        place: Place(0),
        id,
        kind: kind.into(),
        lane,
        delivery: if key.is_some() { Delivery::Latest } else { Delivery::Durable },
        key,
        confirm,
        resend,
        attempts: 0,
        strikes: 0,
        queued_at,
        expires_at,
        was_sent: false,
        payload: holdline::model::Payload::Json(body.into()),
    }
}
