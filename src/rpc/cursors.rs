//! Who reads with which durable cursor now, and how far each may move.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::model::Seq;

/// What was told on a subscription and what of it is acknowledged.
///
/// A cursor stands at N when nothing through N need be told again: it moves over what nobody
/// asked for as soon as all that was told before it is acknowledged. Gaps are told too; they do
/// not count as events in flight, since an app need not acknowledge them by themselves.
#[derive(Debug)]
pub(super) struct Told {
    /// Told and not acknowledged, by number; gaps that follow each other are one.
    open: VecDeque<Open>,
    events: usize,
    /// Everything through here was looked at, and told where it was asked for.
    through: Seq,
    /// The store was told to move the cursor here.
    stored: Seq,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    first: Seq,
    last: Seq,
    event: bool,
}

impl Told {
    /// Nothing told yet; reading begins behind `through`, the cursor stands at `stored`. It does
    /// not move by being opened, wherever reading begins.
    pub(super) fn new(through: Seq, stored: Seq) -> Self {
        Self { open: VecDeque::new(), events: 0, through, stored: stored.max(through) }
    }

    /// An event (or a gap) is on its way to the app.
    pub(super) fn tell(&mut self, seq: Seq, event: bool) {
        self.through = self.through.max(seq);
        match self.open.back_mut() {
            Some(run) if !event && !run.event => run.last = seq,
            _ => self.open.push_back(Open { first: seq, last: seq, event }),
        }
        self.events += usize::from(event);
    }

    /// Everything through `seq` was looked at.
    pub(super) fn look(&mut self, seq: Seq) {
        self.through = self.through.max(seq);
    }

    /// The app is done with everything through `seq`.
    pub(super) fn acknowledge(&mut self, seq: Seq) {
        while let Some(open) = self.open.front_mut()
            && open.first <= seq
        {
            if open.last > seq {
                open.first = Seq(seq.0.saturating_add(1));
                return;
            }
            self.events -= usize::from(open.event);
            self.open.pop_front();
        }
    }

    /// The last number an app can know of.
    pub(super) fn through(&self) -> Seq {
        self.through
    }

    /// Events told and not acknowledged.
    pub(super) fn in_flight(&self) -> usize {
        self.events
    }

    /// Where to move the cursor, if it has to be moved; asked once, the store is told once.
    pub(super) fn advance(&mut self) -> Option<Seq> {
        let settled = self.open.front().map_or(self.through, |open| Seq(open.first.0.saturating_sub(1)));
        (settled > self.stored).then(|| {
            self.stored = settled;
            settled
        })
    }

    /// The store moved the cursor to `seq`, or stands there already.
    pub(super) fn stored(&mut self, seq: Seq) {
        self.stored = self.stored.max(seq);
    }
}

/// The subscription that reads with a cursor.
#[derive(Debug)]
pub(super) struct Holder {
    told: Mutex<Told>,
    /// Something was acknowledged.
    pub(super) changed: Notify,
    /// Another subscription took the cursor over.
    pub(super) taken: CancellationToken,
    /// It has let go of the cursor.
    pub(super) released: CancellationToken,
}

impl Holder {
    pub(super) fn lock(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The app is done with everything through `seq`.
    pub(super) fn acknowledge(&self, seq: Seq) {
        self.lock().acknowledge(seq);
        self.changed.notify_one();
    }
}

/// Which cursors are read with now, each by one subscription.
#[derive(Debug, Default)]
pub(super) struct LiveCursors(Mutex<HashMap<String, Arc<Holder>>>);

impl LiveCursors {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Holder>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The subscription that reads with `name` now.
    pub(super) fn get(&self, name: &str) -> Option<Arc<Holder>> {
        self.lock().get(name).cloned()
    }

    /// Whether an app reads with `name` now.
    pub(super) fn is_live(&self, name: &str) -> bool {
        self.lock().contains_key(name)
    }
}

/// A subscription's hold on a cursor; dropping it lets go, once all that was to be stored is.
#[derive(Debug)]
pub(super) struct Claim {
    live: Arc<LiveCursors>,
    pub(super) name: String,
    pub(super) holder: Arc<Holder>,
}

impl Claim {
    /// Takes `name` over for a new subscription. The one that had it is told so; the new one
    /// waits for its release before it looks at the cursor.
    pub(super) fn new(live: &Arc<LiveCursors>, name: &str) -> (Self, Option<Arc<Holder>>) {
        let holder = Arc::new(Holder {
            told: Mutex::new(Told::new(Seq(0), Seq(0))),
            changed: Notify::new(),
            taken: CancellationToken::new(),
            released: CancellationToken::new(),
        });
        let before = live.lock().insert(name.to_owned(), Arc::clone(&holder));
        if let Some(before) = &before {
            before.taken.cancel();
        }
        (Self { live: Arc::clone(live), name: name.to_owned(), holder }, before)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut table = self.live.lock();
        if table.get(&self.name).is_some_and(|now| Arc::ptr_eq(now, &self.holder)) {
            table.remove(&self.name);
        }
        drop(table);
        self.holder.released.cancel();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Claim, LiveCursors, Told};
    use crate::model::Seq;

    #[test]
    fn the_cursor_follows_what_is_acknowledged_and_no_further() {
        let mut told = Told::new(Seq(10), Seq(10));
        assert_eq!(told.advance(), None, "opening moves nothing");
        told.tell(Seq(12), true);
        told.tell(Seq(15), true);
        told.look(Seq(20));
        assert_eq!(told.advance(), Some(Seq(11)), "10 to 11 was asked for by nobody");
        assert_eq!(told.in_flight(), 2);
        told.acknowledge(Seq(12));
        assert_eq!(told.advance(), Some(Seq(14)));
        assert_eq!(told.advance(), None, "told once");
        told.acknowledge(Seq(15));
        assert_eq!(told.advance(), Some(Seq(20)), "over what nobody asked for");
        assert_eq!(told.in_flight(), 0);
    }

    #[test]
    fn a_gap_holds_the_cursor_but_is_not_in_flight() {
        let mut told = Told::new(Seq(0), Seq(0));
        for seq in 1..=1_000 {
            told.tell(Seq(seq), false);
        }
        assert_eq!(told.in_flight(), 0);
        assert_eq!(told.open.len(), 1, "a run of gaps takes no room");
        assert_eq!(told.advance(), None);
        told.tell(Seq(1_001), true);
        told.acknowledge(Seq(500));
        assert_eq!(told.advance(), Some(Seq(500)), "the rest of the run is not acknowledged");
        told.acknowledge(Seq(1_001));
        assert_eq!(told.advance(), Some(Seq(1_001)));
    }

    #[test]
    fn what_the_app_had_stored_itself_is_not_stored_again() {
        let mut told = Told::new(Seq(0), Seq(0));
        told.tell(Seq(1), true);
        told.acknowledge(Seq(1));
        told.stored(Seq(1));
        assert_eq!(told.advance(), None);
    }

    #[test]
    fn the_newer_subscription_takes_a_cursor_over_and_keeps_it_when_the_older_ends() {
        let live = Arc::new(LiveCursors::default());
        let (first, none) = Claim::new(&live, "c");
        assert!(none.is_none());
        let (second, before) = Claim::new(&live, "c");
        assert!(before.is_some() && first.holder.taken.is_cancelled());
        assert!(!second.holder.taken.is_cancelled());
        let gone = Arc::clone(&first.holder);
        drop(first);
        assert!(live.is_live("c") && gone.released.is_cancelled());
        drop(second);
        assert!(!live.is_live("c"));
    }
}
