//! A small model of the store: what the session puts down, and hands out again to the next one.

use std::collections::BTreeMap;
use std::sync::Arc;

use holdline::model::{
    Appended, Due, DueQuery, DueRow, EventRow, MessageId, MessageState, NewRow, Place, Record, Recorded,
    Remembered, RowKind, Seq, Unit,
};

/// A message, and what became of it.
#[derive(Debug, Clone)]
pub struct Message {
    pub due: DueRow,
    pub state: MessageState,
    pub reason: Option<String>,
}

#[derive(Debug, Clone, Default)]
pub struct Shelf {
    pub messages: BTreeMap<Place, Message>,
    /// All rows, in order; an event whose id came before is not among them.
    pub rows: Vec<NewRow>,
    pub duplicates: usize,
    pub cursors: BTreeMap<Arc<str>, Arc<str>>,
    pub kept: BTreeMap<Arc<str>, Arc<str>>,
    values: BTreeMap<String, String>,
    seen: std::collections::BTreeSet<(Arc<str>, String)>,
    /// Why the link was what it was, for people.
    pub told: Vec<String>,
}

impl Shelf {
    pub fn remembered(&self) -> Remembered {
        Remembered {
            values: self.values.clone(),
            cursors: self.cursors.clone(),
            kept: self.kept.clone(),
            seen_before: self.values.keys().any(|name| name.starts_with("seen ")),
            others_before: false,
        }
    }

    pub fn insert(&mut self, mut row: DueRow) -> (Place, DueRow) {
        let previous = self.messages.keys().next_back().copied().unwrap_or(Place(0));
        row.place = Place(previous.0 + 1);
        let message = Message { due: row.clone(), state: MessageState::Queued, reason: None };
        self.messages.insert(row.place, message);
        (previous, row)
    }

    pub fn due(&self, query: DueQuery) -> Due {
        let waiting = self.messages.range(Place(query.after.0 + 1)..).map(|(_, message)| message);
        let rows = waiting
            .filter(|message| message.state == MessageState::Queued)
            .map(|message| message.due.clone())
            .filter(|row| match &query.lane {
                Some(lane) => *lane == row.lane,
                None => !query.skip.contains(&row.lane),
            })
            .collect();
        Due { query, rows, end: true }
    }

    /// Messages that have no end yet.
    pub fn open(&self) -> Vec<MessageId> {
        let open = |message: &&Message| message.state == MessageState::Queued;
        self.messages.values().filter(open).map(|message| message.due.id.clone()).collect()
    }

    pub fn record(&mut self, record: Record) -> Recorded {
        match record {
            Record::Ended { place, state, reason, .. } => {
                if let Some(message) = self.messages.get_mut(&place) {
                    (message.state, message.reason) = (state, reason);
                }
            }
            Record::EndedTogether { rows, state, .. } => {
                for (place, _) in rows {
                    if let Some(message) = self.messages.get_mut(&place) {
                        message.state = state;
                    }
                }
            }
            Record::Failed { place, attempts, strikes } => {
                if let Some(message) = self.messages.get_mut(&place) {
                    (message.due.attempts, message.due.strikes) = (attempts, strikes);
                }
            }
            Record::Released { places } => {
                for place in places {
                    if let Some(message) = self.messages.get_mut(&place) {
                        message.due.was_sent = true;
                    }
                }
                return Recorded::Released { gone: Vec::new() };
            }
            Record::Inbound { received_at, unit } => return self.inbound(received_at, unit),
            Record::Transition(transition) => self.told.push(format!("{transition:?}")),
            Record::Remember { name, value } => {
                match value {
                    Some(value) => self.values.insert(name, value),
                    None => self.values.remove(&name),
                };
            }
            Record::Claimed { .. } | Record::OnWire { .. } | Record::Retried { .. } => {}
        }
        Recorded::Done
    }

    fn inbound(&mut self, received_at: holdline::model::Timestamp, unit: Unit) -> Recorded {
        let mut appended = Vec::new();
        for row in unit.rows {
            if let NewRow::Event { stream, id: Some(id), .. } = &row
                && !self.seen.insert((Arc::clone(stream), id.clone()))
            {
                self.duplicates += 1;
                appended.push(Appended::Duplicate);
                continue;
            }
            self.rows.push(row);
            let seq = Some(Seq(i64::try_from(self.rows.len()).expect("few rows")));
            appended.push(Appended::Stored(Arc::new(EventRow { seq, received_at, kind: RowKind::Bad })));
        }
        for (stored, new) in [(&mut self.cursors, unit.cursors), (&mut self.kept, unit.kept)] {
            for (name, value) in new {
                match value {
                    Some(value) => stored.insert(name, value),
                    None => stored.remove(&name),
                };
            }
        }
        Recorded::Inbound(appended)
    }
}
