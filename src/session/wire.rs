//! What one connection carries: which answer speaks of which message. Gone with the connection.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use crate::dialect::About;
use crate::model::{DueRow, MessageId, MessageState, Place};

/// Finished messages whose late answers are still understood, at most.
const MOST_LATE: usize = 4096;
/// Messages that were read but may yet be answered, at most (see [`Wire::may_set_aside`]) …
const MOST_ASIDE: usize = 16_384;
/// … and their bytes.
const MOST_ASIDE_BYTES: usize = 4 << 20;

/// Messages and their bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Load {
    pub(super) messages: usize,
    pub(super) bytes: usize,
}

impl Load {
    pub(super) const fn add(&mut self, bytes: usize) {
        self.messages += 1;
        self.bytes += bytes;
    }

    pub(super) const fn remove(&mut self, bytes: usize) {
        self.messages -= 1;
        self.bytes -= bytes;
    }
}

/// What answers may call a message: by what its last attempt on this connection carried, and by those before.
#[derive(Debug, Default)]
pub(super) struct Names {
    last: Name,
    before: Vec<Name>,
}

#[derive(Debug, Default)]
struct Name {
    reference: Option<Arc<str>>,
    counter: Option<u64>,
}

/// A message that ended on this connection by less than the server's own word.
#[derive(Debug, Clone)]
pub(super) struct Late {
    pub(super) place: Place,
    pub(super) id: MessageId,
    pub(super) kind: Arc<str>,
    pub(super) lane: Arc<str>,
    pub(super) learned: bool,
    pub(super) tries: u32,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Wire {
    references: HashMap<Arc<str>, Place>,
    counters: BTreeMap<u64, Place>,
    /// Written, not flushed, by ticket.
    pub(super) flushing: BTreeMap<u64, Place>,
    /// Flushed, waiting for the pong of a ping behind them, by ticket.
    pub(super) unread: BTreeMap<u64, Place>,
    /// In the window.
    pub(super) window: Load,
    /// Read, but not finished: out of the window, for they could stay long.
    pub(super) aside: Load,
    late: HashMap<Arc<str>, Late>,
    late_order: VecDeque<Arc<str>>,
}

impl Wire {
    /// Whether one more message may be out of the window and yet unfinished.
    pub(super) const fn may_set_aside(&self, bytes: usize) -> bool {
        self.aside.messages < MOST_ASIDE && self.aside.bytes + bytes <= MOST_ASIDE_BYTES
    }

    /// Whether flushed messages wait for a pong.
    pub(super) fn awaits_pong(&self) -> bool {
        !self.unread.is_empty()
    }

    /// A message goes out under these names, which are added to `names`.
    pub(super) fn name(
        &mut self,
        place: Place,
        names: &mut Names,
        reference: Option<Arc<str>>,
        counter: Option<u64>,
    ) {
        if let Some(reference) = &reference {
            self.references.insert(Arc::clone(reference), place);
        }
        if let Some(counter) = counter {
            self.counters.insert(counter, place);
        }
        let before = std::mem::replace(&mut names.last, Name { reference, counter });
        if before.reference.is_some() || before.counter.is_some() {
            names.before.push(before);
        }
    }

    /// Whether a message that is not done goes by this name.
    pub(super) fn knows(&self, reference: &str) -> bool {
        self.references.contains_key(reference)
    }

    /// A message is done; its names mean nothing any more, or, with `late`, mean what is left.
    pub(super) fn unname(&mut self, place: Place, names: &Names, late: Option<&Late>) {
        for name in names.before.iter().chain([&names.last]) {
            // Another message may go by the same name since.
            if let Some(reference) = &name.reference
                && let Entry::Occupied(named) = self.references.entry(Arc::clone(reference))
                && *named.get() == place
            {
                named.remove();
                if let Some(late) = late {
                    self.remember_late(Arc::clone(reference), late.clone());
                }
            }
            if let Some(counter) = &name.counter {
                self.counters.remove(counter);
            }
        }
    }

    fn remember_late(&mut self, reference: Arc<str>, late: Late) {
        if self.late_order.len() >= MOST_LATE
            && let Some(oldest) = self.late_order.pop_front()
        {
            self.late.remove(&oldest);
        }
        self.late_order.push_back(Arc::clone(&reference));
        self.late.insert(reference, late);
    }

    /// The unfinished messages an answer speaks of, in the order they went out.
    pub(super) fn spoken_of(&self, about: &About) -> Vec<Place> {
        match about {
            About::One(reference) => self.references.get(&**reference).copied().into_iter().collect(),
            About::UpTo(counter) => self.counters.range(..=*counter).map(|(_, place)| *place).collect(),
        }
    }

    /// The finished message an answer speaks of; each is told of once.
    pub(super) fn take_late(&mut self, about: &About) -> Option<Late> {
        match about {
            About::One(reference) => self.late.remove(&**reference),
            About::UpTo(_) => None,
        }
    }
}

impl Late {
    /// What is kept of a row that ends in `state`, if a late answer can change it.
    pub(super) fn of(row: &DueRow, state: MessageState, tries: u32) -> Option<Self> {
        matches!(state, MessageState::Sent | MessageState::Received | MessageState::Uncertain).then(|| Self {
            place: row.place,
            id: row.id.clone(),
            kind: Arc::clone(&row.kind),
            lane: Arc::clone(&row.lane),
            learned: row.confirm == crate::model::Confirm::Learned,
            tries,
        })
    }
}
