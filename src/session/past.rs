//! What the session knows of rows better than an answer of the store that is still on its way.
//!
//! Ends are put down lazily, and questions are answered from a moment that is past when the answer
//! comes. Without this memory a finished message could come back to life, or a cancelled one go out.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::model::{DueRow, Instant, MessageId, Place};

/// Failed attempts remembered beside the store, at most.
const MOST_SETBACKS: usize = 4096;

#[derive(Debug)]
enum Known {
    /// Ended here, not yet on disk; the ticket of the last record of it.
    Ending(MessageId, u64),
    /// Ended on disk, but an answer from before may come.
    Ended(MessageId),
    /// Ended without us; an answer from before may come.
    Gone,
    /// Somebody is about to take it back.
    Withdrawn,
    /// Another message has this place now.
    Replaced(Box<DueRow>),
}

/// What an attempt that failed left behind.
#[derive(Debug, Clone)]
pub(super) struct Setback {
    id: MessageId,
    pub(super) attempts: u32,
    pub(super) strikes: u32,
    pub(super) not_before: Instant,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Past {
    rows: BTreeMap<Place, Known>,
    /// Which ends go by which ticket, and how many they are in all.
    tickets: BTreeMap<u64, Vec<Place>>,
    ending: usize,
    setbacks: BTreeMap<Place, Setback>,
}

impl Past {
    /// Ends on their way to disk.
    pub(super) const fn ending(&self) -> usize {
        self.ending
    }

    /// A message ended; its record has this ticket.
    pub(super) fn ended(&mut self, place: Place, id: MessageId, ticket: u64) {
        self.setbacks.remove(&place);
        self.tickets.entry(ticket).or_default().push(place);
        self.ending += 1;
        self.rows.insert(place, Known::Ending(id, ticket));
    }

    /// A record is on disk. `asking`: an answer from before may still come.
    pub(super) fn recorded(&mut self, ticket: u64, asking: bool) {
        let places = self.tickets.remove(&ticket).unwrap_or_default();
        self.ending -= places.len();
        for place in places {
            // A second end of the same message (received, then accepted) may still be on its way.
            let Entry::Occupied(mut known) = self.rows.entry(place) else { continue };
            let Known::Ending(id, last) = known.get() else { continue };
            if *last != ticket {
                continue;
            }
            if asking {
                let ended = Known::Ended(id.clone());
                known.insert(ended);
            } else {
                known.remove();
            }
        }
    }

    /// A row ended without us.
    pub(super) fn gone(&mut self, place: Place, asking: bool) {
        self.setbacks.remove(&place);
        if !matches!(self.rows.get(&place), Some(Known::Ending(..) | Known::Ended(_))) {
            self.rows.remove(&place);
            if asking {
                self.rows.insert(place, Known::Gone);
            }
        }
    }

    /// Somebody is about to take a row back.
    pub(super) fn withdrawn(&mut self, place: Place) {
        self.rows.insert(place, Known::Withdrawn);
    }

    /// Whether somebody is about to take a row back.
    pub(super) fn is_withdrawn(&self, place: Place) -> bool {
        matches!(self.rows.get(&place), Some(Known::Withdrawn))
    }

    /// What somebody was about to do is decided. Returns whether there was such a row.
    pub(super) fn kept(&mut self, place: Place) -> bool {
        let withdrawn = self.is_withdrawn(place);
        if withdrawn {
            self.rows.remove(&place);
        }
        withdrawn
    }

    /// A row is back in the queue.
    pub(super) fn requeued(&mut self, place: Place) {
        self.setbacks.remove(&place);
        if !matches!(self.rows.get(&place), Some(Known::Ending(..))) {
            self.rows.remove(&place);
        }
    }

    /// Another message has this place now, and an answer from before may come.
    pub(super) fn replaced(&mut self, row: DueRow) {
        self.setbacks.remove(&row.place);
        self.rows.insert(row.place, Known::Replaced(Box::new(row)));
    }

    /// No answer from before can come any more.
    pub(super) fn settle(&mut self) {
        self.rows.retain(|_, known| matches!(known, Known::Ending(..) | Known::Withdrawn));
    }

    /// What an answer's row really is by now: none where it is no more.
    pub(super) fn revise(&self, row: DueRow) -> Option<DueRow> {
        let mut row = match self.rows.get(&row.place) {
            Some(Known::Ending(id, _) | Known::Ended(id)) if *id == row.id => return None,
            Some(Known::Gone | Known::Withdrawn) => return None,
            Some(Known::Replaced(newer)) => (**newer).clone(),
            Some(Known::Ending(..) | Known::Ended(_)) | None => row,
        };
        if let Some(setback) = self.setback(&row) {
            row.attempts = row.attempts.max(setback.attempts);
            row.strikes = setback.strikes;
        }
        Some(row)
    }

    /// What the last failed attempt of a message left behind.
    pub(super) fn setback(&self, row: &DueRow) -> Option<&Setback> {
        self.setbacks.get(&row.place).filter(|setback| setback.id == row.id)
    }

    /// A row need not rest any longer.
    pub(super) fn rested(&mut self, place: Place, now: Instant) {
        if let Some(setback) = self.setbacks.get_mut(&place) {
            setback.not_before = now;
        }
    }

    /// An attempt failed.
    pub(super) fn failed(&mut self, row: &DueRow, not_before: Instant) {
        let setback =
            Setback { id: row.id.clone(), attempts: row.attempts, strikes: row.strikes, not_before };
        self.setbacks.insert(row.place, setback);
        if self.setbacks.len() > MOST_SETBACKS {
            self.setbacks.pop_first();
        }
    }
}
