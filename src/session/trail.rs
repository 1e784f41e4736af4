//! The way of messages in this run: what `messages.get` shows beside what is on disk.

use std::collections::{HashMap, VecDeque};

use crate::model::{HistoryEntry, MessageId, MessageState, Timestamp};

/// Messages whose way is kept; the oldest is forgotten first.
const MESSAGES: usize = 4096;
/// Steps kept of one message; from the middle they are forgotten first.
const STEPS: usize = 32;

#[derive(Debug, Default)]
struct Trail {
    tries: u32,
    steps: Vec<HistoryEntry>,
}

/// The trails of the messages that moved last.
#[derive(Debug, Default)]
pub(super) struct Trails {
    by_id: HashMap<MessageId, Trail>,
    order: VecDeque<MessageId>,
}

impl Trails {
    /// In which attempt a message is: 0 where none is known of.
    pub(super) fn tries(&self, id: &MessageId) -> u32 {
        self.by_id.get(id).map_or(0, |trail| trail.tries)
    }

    /// A message moved.
    pub(super) fn note(
        &mut self,
        id: &MessageId,
        state: MessageState,
        at: Timestamp,
        tries: u32,
        reason: Option<&str>,
    ) {
        let step = HistoryEntry { state, at, attempt: tries, reason: reason.map(str::to_owned) };
        if let Some(trail) = self.by_id.get_mut(id) {
            trail.tries = tries;
            if trail.steps.len() >= STEPS {
                trail.steps.remove(STEPS / 2);
            }
            trail.steps.push(step);
            return;
        }
        // The oldest one's place is taken with all it has: most messages go the same way.
        let oldest = if self.order.len() >= MESSAGES { self.order.pop_front() } else { None };
        let mut trail = oldest.and_then(|id| self.by_id.remove(&id)).unwrap_or_default();
        trail.tries = tries;
        trail.steps.clear();
        trail.steps.push(step);
        self.order.push_back(id.clone());
        self.by_id.insert(id.clone(), trail);
    }

    /// Where a message stands, in which attempt, and how it came there.
    pub(super) fn get(&self, id: &MessageId) -> Option<(MessageState, u32, Vec<HistoryEntry>)> {
        let trail = self.by_id.get(id)?;
        Some((trail.steps.last()?.state, trail.tries, trail.steps.clone()))
    }
}
