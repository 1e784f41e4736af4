//! The way of messages in this run: what `messages.get` shows beside what is on disk.

use std::collections::{HashMap, VecDeque};

use crate::model::{HistoryEntry, MessageId, MessageState, Timestamp};

/// Messages whose way is kept; the oldest is forgotten first.
const MESSAGES: usize = 4096;
/// Steps kept of one message; from the middle they are forgotten first.
const STEPS: usize = 32;

#[derive(Debug)]
struct Trail {
    id: MessageId,
    tries: u32,
    steps: Vec<HistoryEntry>,
}

/// Where the trail of a message lies, as long as it is kept: whoever notes much about one need not look
/// for it each time.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Spot(Option<u64>);

/// The trails of the messages that moved last.
#[derive(Debug, Default)]
pub(super) struct Trails {
    /// In the order they began.
    trails: VecDeque<Trail>,
    /// The number of the first of them.
    first: u64,
    by_id: HashMap<MessageId, u64>,
}

impl Trails {
    /// Where a message's trail lies, if it has one.
    pub(super) fn spot(&self, id: &MessageId) -> Spot {
        Spot(self.by_id.get(id).copied())
    }

    /// In which attempt a message is: 0 where none is known of.
    pub(super) fn tries(&self, id: &MessageId, spot: Spot) -> u32 {
        self.index(id, spot).map_or(0, |index| self.trails[index].tries)
    }

    fn index(&self, id: &MessageId, spot: Spot) -> Option<usize> {
        let index = usize::try_from(spot.0?.checked_sub(self.first)?).ok()?;
        self.trails.get(index).is_some_and(|trail| trail.id == *id).then_some(index)
    }

    /// A message moved. `spot`: where its trail was last; it is set right.
    pub(super) fn note(
        &mut self,
        spot: &mut Spot,
        id: &MessageId,
        state: MessageState,
        at: Timestamp,
        tries: u32,
        reason: Option<&str>,
    ) {
        let step = HistoryEntry { state, at, attempt: tries, reason: reason.map(str::to_owned) };
        let mut index = self.index(id, *spot);
        if index.is_none() {
            *spot = self.spot(id);
            index = self.index(id, *spot);
        }
        if let Some(index) = index {
            let trail = &mut self.trails[index];
            trail.tries = tries;
            if trail.steps.len() >= STEPS {
                trail.steps.remove(STEPS / 2);
            }
            trail.steps.push(step);
            return;
        }
        // The oldest one's memory is used again: most messages go the same way.
        let mut steps = Vec::new();
        if self.trails.len() >= MESSAGES
            && let Some(oldest) = self.trails.pop_front()
        {
            self.first += 1;
            self.by_id.remove(&oldest.id);
            steps = oldest.steps;
            steps.clear();
        }
        steps.push(step);
        let number = self.first + self.trails.len() as u64;
        self.trails.push_back(Trail { id: id.clone(), tries, steps });
        self.by_id.insert(id.clone(), number);
        *spot = Spot(Some(number));
    }

    /// Where a message stands, in which attempt, and how it came there.
    pub(super) fn get(&self, id: &MessageId) -> Option<(MessageState, u32, Vec<HistoryEntry>)> {
        let trail = &self.trails[self.index(id, self.spot(id))?];
        Some((trail.steps.last()?.state, trail.tries, trail.steps.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::{MESSAGES, Spot, Trails};
    use crate::model::{MessageId, MessageState, Timestamp};

    fn id(number: usize) -> MessageId {
        MessageId::new(&format!("m{number}")).expect("an id")
    }

    #[test]
    fn a_trail_is_found_by_its_spot_until_it_is_forgotten_and_then_begins_anew() {
        let mut trails = Trails::default();
        let note = |trails: &mut Trails, spot: &mut Spot, number, tries| {
            trails.note(spot, &id(number), MessageState::Sending, Timestamp::default(), tries, None);
        };
        let mut spots: Vec<Spot> = vec![Spot::default(); MESSAGES + 2];
        for (number, spot) in spots.iter_mut().enumerate() {
            note(&mut trails, spot, number, 1);
        }
        for (number, spot) in spots.iter().enumerate() {
            let known = u32::from(number >= 2);
            assert_eq!(trails.tries(&id(number), *spot), known, "{number}");
            assert_eq!(trails.get(&id(number)).is_some(), known == 1, "{number}");
        }
        // Somebody whose trail was forgotten does not go on in that of another one.
        note(&mut trails, &mut spots[0], 0, 7);
        assert_eq!(trails.tries(&id(0), spots[0]), 7);
        assert_eq!(trails.tries(&id(3), spots[3]), 1);
        // Who does not know where it lies goes on in the same one.
        note(&mut trails, &mut Spot::default(), 3, 2);
        note(&mut trails, &mut spots[3], 3, 3);
        let (_, tries, steps) = trails.get(&id(3)).expect("kept");
        assert_eq!((tries, steps.len()), (3, 3));
        assert_eq!(trails.by_id.len(), MESSAGES);
    }
}
