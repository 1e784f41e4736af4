//! The transaction that is open, and when it is to be committed.

use std::time::Duration;

use super::batch::{self, Urgency};
use super::request::Answers;
use super::tally::Tally;
use crate::model::{Due, Instant, LinkState, Record};

/// Requests in one commit, and bytes of bodies they bring, at most. (What the engine hands over as
/// one goes into one commit however much it is.)
pub(super) const BATCH: usize = 1024;
pub(super) const BATCH_BYTES: usize = 1024 * 1024;

/// Ends of messages at which a commit waits no longer for one to ride on: the session goes on only while
/// so many are not yet put down.
const ENDS: usize = 1024;

/// How long a record that nobody waits for may wait for a commit to ride on.
const RIDE: Duration = Duration::from_millis(100);

/// The transaction that is open.
#[derive(Debug)]
pub(super) struct Open {
    /// To be put back if it fails.
    pub(super) tally: Tally,
    pub(super) changes: u64,
    /// Done in it; to be done again if it fails.
    pub(super) records: Vec<(u64, Record)>,
    pub(super) answers: Answers,
    pub(super) replaced: Vec<i64>,
    urgency: Urgency,
    /// The link came up in it.
    connected: bool,
    /// Answers that are given once it is committed.
    pub(super) held: Vec<Due>,
    pub(super) requests: usize,
    bytes: usize,
    /// Messages that ended.
    ends: usize,
    since: Instant,
}

impl Open {
    /// One in which nothing was done yet.
    pub(super) fn new(tally: Tally, changes: u64, now: Instant) -> Self {
        Self {
            tally,
            changes,
            records: Vec::new(),
            answers: Answers::default(),
            replaced: Vec::new(),
            urgency: Urgency::Rides,
            connected: false,
            held: Vec::new(),
            requests: 0,
            bytes: 0,
            ends: 0,
            since: now,
        }
    }

    /// Counts a record of the session.
    pub(super) fn take_in(&mut self, record: &Record) {
        self.urgency = self.urgency.max(batch::urgency(record));
        self.connected |= matches!(record, Record::Transition(it) if it.to == LinkState::Connected);
        self.requests += 1;
        self.bytes += batch::weight(record);
        self.ends += batch::ends(record);
    }

    /// Counts a request of an app.
    pub(super) fn take_in_request(&mut self, bytes: usize, urgent: bool) {
        if urgent {
            self.urgency = Urgency::Now;
        }
        self.requests += 1;
        self.bytes += bytes;
    }

    /// Holds rows that are due back until the commit, where the link came up in it; else hands them back.
    /// That the link is up is on disk before the first message goes out on it: after a crash it is known
    /// that some may have.
    pub(super) fn hold_back(&mut self, due: Due) -> Option<Due> {
        if !self.connected {
            return Some(due);
        }
        self.urgency = Urgency::Now;
        self.held.push(due);
        None
    }

    /// When it is committed at the latest.
    pub(super) fn deadline(&self) -> Instant {
        self.since + RIDE
    }

    /// Whether it is time to commit: somebody waits, it is full, or it has waited long enough. Where
    /// it was only asked there is nothing to wait for.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        let full = self.requests >= BATCH || self.bytes >= BATCH_BYTES || self.ends >= ENDS;
        self.urgency == Urgency::Now || full || self.requests == 0 || now >= self.deadline()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{MessageState, Place};

    fn ended_together(count: usize) -> Record {
        let rows = (1..).take(count).map(|at| (Place(at), uuid::Uuid::nil().into()));
        Record::EndedTogether { rows: rows.collect(), state: MessageState::Accepted, attempts: 1 }
    }

    #[test]
    fn a_few_ends_wait_for_a_commit_to_ride_on() {
        let now = Instant::default();
        let mut open = Open::new(Tally::default(), 0, now);
        open.take_in(&ended_together(10));
        assert!(!open.is_due(now));
        assert!(open.is_due(open.deadline()));
    }

    #[test]
    fn a_drain_does_not_wait_for_a_commit_to_ride_on() {
        let now = Instant::default();
        let mut open = Open::new(Tally::default(), 0, now);
        for quarter in 1..=4 {
            open.take_in(&ended_together(ENDS / 4));
            assert_eq!(open.is_due(now), quarter == 4);
        }
    }

    #[test]
    fn what_somebody_waits_for_waits_for_nothing() {
        let now = Instant::default();
        let mut open = Open::new(Tally::default(), 0, now);
        open.take_in(&ended_together(1));
        open.take_in_request(1, false);
        assert!(!open.is_due(now));
        open.take_in_request(1, true);
        assert!(open.is_due(now));
    }
}
