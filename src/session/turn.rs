//! One turn of the machine: the moment it happens in, and what its parts may reach for.

use std::collections::VecDeque;

use crate::model::{Frame, Instant, MessageId, MessageState, Moment, Place, Record, Timestamp};

use super::timers::Timers;
use super::{Change, Output, Settings};

/// Ends in one record at most: a commit is not to grow long by it.
const MOST_TOGETHER: usize = 512;

/// What every part is handed while an input is dealt with.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    /// Now.
    pub(super) at: Moment,
    /// What the driver is to carry out.
    pub(super) out: &'a mut Outputs,
    /// When to be woken.
    pub(super) timers: &'a mut Timers,
    /// The configuration.
    pub(super) settings: &'a Settings,
    /// Jitter and nonces.
    pub(super) rng: &'a mut fastrand::Rng,
}

impl Turn<'_> {
    /// Where a deadline of the steady clock lies on the monotonic one.
    pub(super) fn instant_of(&self, deadline: Timestamp) -> Instant {
        self.at.instant + deadline.since(self.at.steady)
    }
}

/// The outputs in their order, and the tickets they carry.
#[derive(Debug, Default)]
pub(super) struct Outputs {
    queue: VecDeque<Output>,
    frames: u64,
    written: u64,
    records: u64,
    /// Ends that share a record, which is not in the queue yet: more may join it.
    ends: Option<Ends>,
}

/// Messages that came to the same end one right after the other.
#[derive(Debug)]
struct Ends {
    ticket: u64,
    rows: Vec<(Place, MessageId)>,
    state: MessageState,
    attempts: u32,
}

impl Outputs {
    /// The next output to be carried out.
    pub(super) fn poll(&mut self) -> Option<Output> {
        if self.queue.is_empty() {
            self.close_ends();
        }
        self.queue.pop_front()
    }

    /// Adds one that carries no ticket.
    pub(super) fn push(&mut self, output: Output) {
        if matches!(output, Output::LoadDue(_)) {
            // The answer is to know all that was recorded before the question.
            self.close_ends();
        }
        self.queue.push_back(output);
    }

    /// Tells whoever is interested.
    pub(super) fn publish(&mut self, change: Change) {
        self.push(Output::Publish(change));
    }

    /// Hands a frame to the link; its ticket comes back when it is flushed.
    pub(super) fn write(&mut self, frame: Frame) -> u64 {
        self.frames += 1;
        self.push(Output::Write { ticket: self.frames, frame });
        self.frames
    }

    /// Hands a message to the link, all its frames one right after the other; the ticket of the last
    /// one comes back when all are flushed.
    pub(super) fn write_message(&mut self, frame: Frame, behind: Vec<Frame>) -> u64 {
        let first = self.write(frame);
        behind.into_iter().fold(first, |_, frame| self.write(frame))
    }

    /// Hands something to the store; its ticket comes back when it is on disk.
    pub(super) fn record(&mut self, record: Record) -> u64 {
        self.close_ends();
        self.records += 1;
        self.push(Output::Record { ticket: self.records, record });
        self.records
    }

    /// A message ended as the server or we wanted it, with nothing to say about it. Such ends share a
    /// record as long as no other one comes between, so its ticket may come back for several.
    pub(super) fn record_end(
        &mut self,
        place: Place,
        id: MessageId,
        state: MessageState,
        attempts: u32,
    ) -> u64 {
        match &mut self.ends {
            Some(ends)
                if ends.state == state && ends.attempts == attempts && ends.rows.len() < MOST_TOGETHER =>
            {
                ends.rows.push((place, id));
            }
            Some(_) | None => {
                self.close_ends();
                self.records += 1;
                self.ends = Some(Ends { ticket: self.records, rows: vec![(place, id)], state, attempts });
            }
        }
        self.records
    }

    fn close_ends(&mut self) {
        let Some(Ends { ticket, mut rows, state, attempts }) = self.ends.take() else { return };
        let record = match rows.pop() {
            Some((place, id)) if rows.is_empty() => {
                Record::Ended { place, id, state, reason: None, attempts, maybe_delivered: false }
            }
            last => {
                rows.extend(last);
                Record::EndedTogether { rows, state, attempts }
            }
        };
        self.queue.push_back(Output::Record { ticket, record });
    }

    /// Frames handed out and not flushed.
    pub(super) const fn unwritten(&self) -> u64 {
        self.frames - self.written
    }

    /// The ticket of the last frame that is flushed.
    pub(super) const fn written(&self) -> u64 {
        self.written
    }

    /// Everything up to `ticket` is flushed. Tickets from the past or out of thin air change nothing.
    pub(super) fn flushed(&mut self, ticket: u64) {
        self.written = self.written.max(ticket.min(self.frames));
    }

    /// The link is gone: nothing of what was handed to it will be flushed, and what it was not
    /// yet given is not to be given to the next one.
    pub(super) fn forget_frames(&mut self) {
        self.written = self.frames;
        self.queue.retain(|output| !matches!(output, Output::Write { .. } | Output::Ping(_)));
    }
}
