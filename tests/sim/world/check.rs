//! What must hold, whatever happens.

use super::*;

impl World {
    pub(super) fn check_arrival(&mut self, says: &ClientSays) {
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

    pub(super) fn unfinished(&self) -> Vec<(u64, MessageState)> {
        let open = |number: &u64| {
            let state = self.row(*number)?.state;
            let over = !(state == MessageState::Queued || state.waits_for_person());
            (!over).then_some((*number, state))
        };
        self.sent.keys().filter_map(open).take(5).collect()
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.store.is_idle()
            && self.unfinished().is_empty()
            && (!self.server.manners.resumes || self.has_all())
    }

    pub(super) fn has_all(&self) -> bool {
        (1..=self.server.last_event).all(|number| self.store.has_event(number))
    }

    pub(super) fn check_ends(&mut self) {
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
