//! Rows on their way from the queue: which are held ready, and which are left for later.

use std::sync::Arc;

use crate::model::{Due, DueRow, MessageId, MessageState, Place};

use super::{Delivery, Entry, Stage};
use crate::session::lanes::Lanes;
use crate::session::loader::{Answer, MOST_BYTES};
use crate::session::turn::Turn;
use crate::session::wire::Names;

impl Delivery {
    /// Holds a row ready. Returns false where its lane cannot take it now.
    fn take(&mut self, turn: &mut Turn<'_>, row: DueRow, backlog: bool) -> bool {
        if self.rows.contains_key(&row.place) {
            return true;
        }
        if self.past.is_withdrawn(row.place) {
            self.lanes.at(&row.lane).failed.insert(row.place);
            return true;
        }
        let Some(row) = self.past.revise(row) else {
            return true;
        };
        let place = row.place;
        let spot = self.trails.spot(&row.id);
        let tries = self.trails.tries(&row.id, spot).max(row.attempts).max(u32::from(row.was_sent));
        let total = self.window(turn.settings);
        if self.lanes.stopped().any(|(_, stop)| stop == place) {
            // It stopped its lane once, and is queued all the same: somebody let it go.
            self.lanes.release(place, turn.out);
            self.tell_stopped(turn);
        }
        let first = row.attempts == 0 && !row.was_sent && tries == 0;
        if self.lanes.barred(&row.lane, place, first)
            || self.lanes.has_enough(turn.settings, &row.lane, total)
        {
            return false;
        }
        let not_before = self.past.setback(&row).map(|setback| setback.not_before);
        let rest = not_before.filter(|at| *at > turn.at.instant);
        let bytes = row.payload.len();
        self.bytes += bytes;
        let lane = self.lanes.at(&row.lane);
        if row.attempts > 0 {
            lane.failed.insert(place);
        }
        let stage = if rest.is_some() {
            Stage::Resting
        } else {
            lane.waiting += 1;
            self.waiting.insert(place);
            Stage::Waiting
        };
        let expires = row.expires_at.map(|at| turn.instant_of(at));
        let entry = Entry {
            bytes,
            expires,
            tries,
            doubt: false,
            claimed: false,
            backlog,
            deadline: None,
            names: Names::default(),
            spot,
            stage,
            row,
        };
        self.rows.insert(place, entry);
        self.set_deadline(place, rest.map(|at| expires.map_or(at, |expires| at.min(expires))));
        true
    }

    /// New rows were committed.
    pub(in crate::session) fn queued(
        &mut self,
        turn: &mut Turn<'_>,
        link: bool,
        previous: Place,
        rows: Vec<DueRow>,
    ) {
        let last = rows.last().map_or(previous, |row| row.place);
        if !self.loader.heard(previous, last) || !link {
            for row in &rows {
                self.lanes.passed(&row.lane, row.place);
            }
            return;
        }
        let most = self.most_rows(turn.settings);
        for row in rows {
            if self.rows.len() - self.wire.aside.messages >= most
                || self.bytes - self.wire.aside.bytes >= MOST_BYTES
            {
                self.loader.took(Place(row.place.0 - 1), false);
                return;
            }
            let (lane, place) = (Arc::clone(&row.lane), row.place);
            if self.lanes.apart(&lane).is_some() {
                self.lanes.passed(&lane, place);
            } else if !self.take(turn, row, false) {
                self.lanes.set_apart(&lane, Place(place.0 - 1), place);
            }
        }
        self.loader.took(last, true);
    }

    /// The store's answer.
    pub(in crate::session) fn due(&mut self, turn: &mut Turn<'_>, link: bool, due: Due) {
        // A lane that was taken back behind the question meanwhile is to be asked for again: else the
        // rows between would be passed over.
        let current = |answer: &Answer| {
            let lane = answer.lane.as_ref();
            lane.is_none_or(|lane| self.lanes.apart(lane).is_some_and(|apart| apart.after == answer.after))
        };
        let answer = self.loader.answered(due).filter(|answer| link && current(answer));
        if let Some(answer) = answer {
            let mut through = answer.through;
            let mut end = answer.end;
            for row in answer.rows {
                let (lane, place) = (Arc::clone(&row.lane), row.place);
                if answer.lane.is_some() {
                    if !self.take(turn, row, answer.backlog) {
                        (through, end) = (Place(place.0 - 1), false);
                        break;
                    }
                } else if self.lanes.apart(&lane).is_some() {
                    self.lanes.passed(&lane, place);
                } else if !self.take(turn, row, answer.backlog) {
                    self.lanes.set_apart(&lane, Place(place.0 - 1), place);
                }
            }
            if let Some(lane) = answer.lane {
                self.lanes.read(&lane, through, end);
            }
        }
        if !self.loader.is_waiting() {
            self.past.settle();
        }
    }

    /// Rows behind a message that stops its lane are not needed for now: they are read again when
    /// it goes on.
    pub(super) fn make_way(&mut self, name: &Arc<str>) {
        let barred = |place: &Place| {
            let entry = self.rows.get(place)?;
            (entry.row.lane == *name && self.lanes.barred(name, *place, entry.first_attempt()))
                .then_some(*place)
        };
        let behind: Vec<Place> = self.waiting.iter().filter_map(barred).collect();
        let (Some(first), Some(last)) = (behind.first().copied(), behind.last().copied()) else {
            return;
        };
        for place in behind {
            self.forget(place);
        }
        self.lanes.set_apart(name, Place(first.0 - 1), last);
    }

    /// A row has another message in its place now.
    pub(in crate::session) fn superseded(
        &mut self,
        turn: &mut Turn<'_>,
        link: bool,
        old: &MessageId,
        row: DueRow,
    ) {
        let place = row.place;
        if let Some(held) = self.rows.get(&place) {
            if held.row.id != row.id {
                let backlog = held.backlog;
                self.drop_row(place);
                self.take_or_rewind(turn, row, backlog);
            }
        } else if link && self.is_behind(&row) {
            self.take_or_rewind(turn, row, false);
        } else if self.loader.is_waiting() {
            self.past.replaced(row);
        }
        let mut spot = self.trails.spot(old);
        let tries = self.trails.tries(old, spot);
        self.trails.note(&mut spot, old, MessageState::Superseded, turn.at.wall, tries, None);
    }

    fn is_behind(&self, row: &DueRow) -> bool {
        let read = self.lanes.apart(&row.lane).map_or(self.loader.cursor(), |apart| apart.after);
        row.place <= read
    }

    fn take_or_rewind(&mut self, turn: &mut Turn<'_>, row: DueRow, backlog: bool) {
        let (lane, place) = (Arc::clone(&row.lane), row.place);
        if !self.take(turn, row, backlog) {
            self.lanes.set_apart(&lane, Place(place.0 - 1), place);
        }
    }

    /// Rows are back in the queue: they are read again from their places.
    pub(in crate::session) fn requeued(&mut self, turn: &mut Turn<'_>, rows: &[DueRow]) {
        for row in rows {
            self.past.requeued(row.place);
            self.unstop(turn, row.place);
            let mut spot = self.trails.spot(&row.id);
            let why = Some("retried on request");
            self.trails.note(&mut spot, &row.id, MessageState::Queued, turn.at.wall, 0, why);
            if self.lanes.apart(&row.lane).is_some() {
                self.lanes.set_apart(&row.lane, Place(row.place.0 - 1), row.place);
            }
            self.loader.rewind(row.place);
        }
    }

    /// Rows ended without us.
    pub(in crate::session) fn gone(&mut self, turn: &mut Turn<'_>, places: &[Place]) {
        for place in places {
            self.unstop(turn, *place);
            self.drop_row(*place);
            if self.past.kept(*place) {
                self.lanes.unbar(*place);
            }
            self.past.gone(*place, self.loader.is_waiting());
        }
    }

    pub(super) fn drop_row(&mut self, place: Place) -> Option<Entry> {
        let entry = self.forget(place)?;
        self.wire.unname(place, &entry.names, None);
        self.lanes.at(&entry.row.lane).failed.remove(&place);
        self.lanes.tidy(&entry.row.lane);
        Some(entry)
    }

    /// The configuration was reloaded: lanes that stop for nothing any more go on.
    pub(in crate::session) fn reloaded(&mut self, turn: &mut Turn<'_>) {
        let blocks = |lane: &str| Lanes::settings(turn.settings, lane).is_some_and(|lane| lane.block);
        let free: Vec<Place> =
            self.lanes.stopped().filter(|(lane, _)| !blocks(lane)).map(|(_, place)| place).collect();
        for place in free {
            self.unstop(turn, place);
        }
    }

    /// Another server, which bears so many unconfirmed messages.
    pub(in crate::session) const fn use_server(&mut self, bears: Option<usize>) {
        self.bears = bears;
    }
}
