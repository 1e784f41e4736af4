//! Carrying out what the session wants, in order.

use std::sync::atomic::Ordering;

use super::Outcome;
use super::dialing::Dialling;
use super::run::Loop;
use crate::link::LinkCommand;
use crate::model::{Appended, Failure, HealthEntry, MessageId, MessageState, Moved, Severity};
use crate::session::{Change, Output};

/// Ends of messages by what they are counted as: name and kind.
pub(super) type Ended = Vec<((&'static str, &'static str), u64)>;

impl Loop {
    /// Takes outputs until there are none.
    pub(super) fn carry_out(&mut self) {
        self.look_who_waits();
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Dial { attempt, fresh_credential, expired_too } => {
                    tracing::debug!(attempt, fresh_credential, expired_too, "dialling");
                    self.expired_too = expired_too;
                    // It stays until the store has looked it up: a dial may be given up before.
                    self.dialling = match self.new_server.clone() {
                        Some(server) => Dialling::server(self.store.clone(), server),
                        None => self.begin_dial(),
                    };
                }
                Output::AbandonDial => self.dialling = Dialling::Idle,
                Output::Write { ticket, frame } => {
                    self.writes.push_back(LinkCommand::Write { ticket, frame });
                }
                Output::Ping(payload) => self.writes.push_back(LinkCommand::Ping(payload)),
                Output::HangUp { code, failure } => self.hang_up(code, failure),
                Output::LoadDue(query) => self.asks.due(query),
                Output::Record { ticket, record } => self.asks.record(ticket, record),
                Output::Publish(change) => self.publish(change),
            }
        }
        self.count_ends();
        if !self.stored.is_empty() {
            self.fanout.count_rows(&self.stored);
            self.fanout.tail.append(self.stored.drain(..));
        }
    }

    /// Reads the credential, which is where a dial begins.
    pub(super) fn begin_dial(&self) -> Dialling {
        Dialling::begin(self.route.borrow().credentials.clone(), self.clock, self.expired_too)
    }

    fn publish(&mut self, change: Change) {
        match change {
            Change::Link => self.link_changed = true,
            Change::Message { id, state, attempt, finished, reason, reply: _ } => {
                if state == MessageState::Sent {
                    self.fanout.sent.fetch_add(1, Ordering::Relaxed);
                }
                self.tell(Outcome { moved: Moved { id, state, attempt, reason }, finished });
            }
            Change::Ephemeral { ticket, dropped } => {
                if let Some(answer) = self.ephemerals.remove(&ticket) {
                    // A caller that has gone meanwhile needs no answer.
                    let _ = answer.send(dropped);
                }
            }
            Change::Replied { ticket, outcome } => self.replied(ticket, outcome),
            Change::EphemeralEvent(row) => {
                self.fanout.count("inbox_ephemeral_total");
                // No receiver is no error: nobody listens for it now.
                let _ = self.fanout.ephemeral.send(row);
            }
            Change::Appended(rows) => {
                let stored = rows.into_iter().filter_map(|row| match row {
                    Appended::Stored(row) => Some(row),
                    Appended::Duplicate | Appended::Conflated => None,
                });
                self.stored.extend(stored);
            }
            Change::Retried { id, outcome } => {
                if let Some(answer) = self.retries.remove(&id) {
                    // A caller that has gone meanwhile needs no answer.
                    let _ = answer.send(outcome);
                }
            }
            Change::Health { code, entry } => self.put_health(code, entry),
            Change::Count(name) => self.fanout.count(name),
        }
    }

    /// The disk has no room, or takes nothing; none: it does again.
    pub(super) fn disk_trouble(&self, code: &'static str, why: Option<String>) {
        match &why {
            Some(why) => tracing::error!("{why}"),
            None => tracing::info!("the disk takes everything again"),
        }
        let hint = "make room, or mend the disk; it goes on by itself then";
        self.put_health(code, why.map(|text| (Severity::Error, text, hint.to_owned())));
    }

    /// A message ended in the store, without the session.
    pub(super) fn tell_ended(&mut self, id: &MessageId, state: MessageState, reason: Option<&str>) {
        self.look_who_waits();
        let reason = reason.map(str::to_owned);
        self.tell(Outcome { moved: Moved { id: id.clone(), state, attempt: 0, reason }, finished: true });
        self.count_ends();
    }

    /// Once for all that is told after an input: whoever begins to wait later asks the session where the
    /// message is, and that is answered behind this.
    fn look_who_waits(&mut self) {
        self.somebody_waits = !self.waits.is_empty();
    }

    fn tell(&mut self, change: Outcome) {
        let state = change.moved.state;
        if matches!(state, MessageState::Parked | MessageState::Uncertain) {
            self.count_end("outbox_set_aside_total", state.as_str());
        } else if change.finished {
            self.count_end("outbox_ended_total", state.as_str());
        }
        if self.somebody_waits {
            self.waits.tell(&change);
        }
        // Asked each time: nothing brings back what a feed missed that began within a turn.
        if self.fanout.changes.receiver_count() > 0 {
            // Lossy by design: a receiver that lags is told how many it missed.
            let _ = self.fanout.changes.send(change.moved);
        }
    }

    /// Counts the end of a message: all of a turn are added to the metrics at once.
    fn count_end(&mut self, name: &'static str, of: &'static str) {
        match self.ended.iter_mut().find(|(counted, _)| *counted == (name, of)) {
            Some((_, count)) => *count += 1,
            None => self.ended.push(((name, of), 1)),
        }
    }

    fn count_ends(&mut self) {
        for ((name, of), more) in self.ended.drain(..) {
            self.fanout.count_more(name, of, more);
        }
    }

    /// For the metrics.
    pub(super) fn note_failure(&self, failure: &Failure) {
        self.fanout.count_as("link_failures_total", failure.reason_kind().as_str());
        if matches!(failure, Failure::TooLarge { .. }) {
            self.fanout.count_as("limit_hits_total", "server.max_message");
        }
    }

    /// Puts an entry into `health`, or takes it away.
    pub(super) fn put_health(&self, code: &'static str, entry: Option<(Severity, String, String)>) {
        match entry {
            Some((severity, text, hint)) => {
                let since = self.clock.now().wall;
                self.fanout.health.put(HealthEntry { code: code.to_owned(), severity, since, text, hint });
            }
            None => self.fanout.health.clear(code),
        }
    }
}
