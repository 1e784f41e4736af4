//! What the writer works on: its connection, its numbers, and what is to be told after the commit.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use rusqlite::Connection;

use super::dedupe::Windows;
use super::fresh::{Fresh, Run};
use super::tally::Tally;
use super::{Settings, StoreEvent};
use crate::clock::Clock;
use crate::model::{DueRow, Instant, MessageId, MessageState, Moment, Place, Recorded};

/// Bodies handed over with one [`StoreEvent::Queued`] at most; what is beyond is asked for.
const HANDED_OVER_BYTES: usize = 1024 * 1024;

/// Everything one batch may touch. Rolling back is: the tally of before, windows forgotten,
/// nothing told.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) conn: Connection,
    pub(super) tally: Tally,
    /// Places the session said are on the wire.
    pub(super) on_wire: HashSet<i64>,
    /// Messages up to this place may have been on the wire when a process was killed.
    pub(super) maybe_sent: i64,
    pub(super) fresh: Fresh,
    /// Ends that are still to be put down.
    pub(super) ends: Option<Run>,
    pub(super) windows: Windows,
    /// Where to go on at the server, as of this batch.
    pub(super) resume: BTreeMap<Arc<str>, Option<Arc<str>>>,
    pub(super) retention: super::retention::Progress,
    pub(super) settings: Settings,
    pub(super) clock: Clock,
    /// When what is carried out together is carried out.
    pub(super) now: Moment,
    pub(super) ids: super::ids::Ids,
    /// How its clocks stood when this run last put that down.
    pub(super) mark: Option<super::clockwork::Mark>,
    /// Before that no age takes anything away.
    pub(super) ages_from: Instant,
    pub(super) told: Told,
}

/// What is to be told once the commit succeeded.
#[derive(Debug, Default)]
pub(super) struct Told {
    queued: Vec<DueRow>,
    queued_bytes: usize,
    previous: i64,
    cut: bool,
    events: Vec<StoreEvent>,
    gone: Vec<(Place, MessageId, MessageState, Option<String>)>,
    pub(super) recorded: Vec<(u64, Recorded)>,
}

impl Told {
    /// A row was queued; `previous` is the highest place before it.
    pub(super) fn queued(&mut self, previous: i64, row: DueRow) {
        if self.queued.is_empty() && !self.cut {
            self.previous = previous;
        }
        self.queued_bytes = self.queued_bytes.saturating_add(row.payload.len());
        // Once one row is left out all behind it are: the session asks from the cut onwards.
        if self.cut || (self.queued_bytes > HANDED_OVER_BYTES && !self.queued.is_empty()) {
            self.cut = true;
        } else {
            self.queued.push(row);
        }
    }

    pub(super) fn gone(&mut self, place: i64, id: MessageId, state: MessageState, reason: Option<String>) {
        self.gone.push((Place(place), id, state, reason));
    }

    pub(super) fn event(&mut self, event: StoreEvent) {
        self.events.push(event);
    }

    /// All of it, in the order the engine is to hear it: answers, new rows, changes of rows, ends.
    pub(super) fn take(&mut self, tail: i64) -> Vec<StoreEvent> {
        let told = std::mem::take(self);
        let mut events = Vec::with_capacity(4);
        if !told.recorded.is_empty() {
            events.push(StoreEvent::Recorded(told.recorded));
        }
        if !told.queued.is_empty() {
            events.push(StoreEvent::Queued { previous: Place(told.previous), rows: told.queued });
        }
        if told.cut {
            events.push(StoreEvent::Queued { previous: Place(tail), rows: Vec::new() });
        }
        events.extend(told.events);
        if !told.gone.is_empty() {
            events.push(StoreEvent::Gone(told.gone));
        }
        events
    }
}
