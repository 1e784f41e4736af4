//! Events as they go out: many notifications in one piece, put together once and written to all
//! who listen in the same way.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use super::framing::Framing;
use super::message::{notification, to_json, write_json};
use super::splice;
use crate::model::{Epoch, EventRow, Gap, Seq, TypeGlob};

/// Bytes at which a piece is whole.
pub(super) const CHUNK: usize = 64 * 1024;

/// Pieces that are kept for those who come by the same place a little later …
const KEPT: usize = 64;

/// … each of at most so many bytes …
const KEPT_BYTES: usize = 2 * CHUNK;

/// … and all of them. Whoever is not farther behind than this needs no page of its own from the disk.
const KEPT_ALL: usize = 2 * 1024 * 1024;

/// How a subscription is told things.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Voice {
    pub(super) subscription: String,
    pub(super) types: Vec<TypeGlob>,
    pub(super) framing: Framing,
}

/// Notifications in order, with what tells them apart.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) text: Vec<u8>,
    /// What is told in it: numbers, and whether each is an event.
    pub(super) told: Vec<(Seq, bool)>,
    /// The number told last, the one before where nothing is told.
    pub(super) prev: Seq,
    /// Where to go on.
    pub(super) next: Seq,
}

/// Puts notifications together.
#[derive(Debug)]
pub(super) struct Composer {
    framing: Framing,
    subscription: String,
    /// What stands before each event …
    head: String,
    /// … and behind its `prev`.
    replay: bool,
    chunk: Chunk,
}

impl Composer {
    /// Begins behind `prev`, at `next`. `replay`: what is told was there before the subscription had
    /// caught up.
    pub(super) fn new(voice: &Voice, epoch: &Epoch, replay: bool, prev: Seq, next: Seq) -> Self {
        let head = format!(
            r#"{{"jsonrpc":"2.0","method":"event","params":{{"subscription":{},"epoch":{},"event":"#,
            to_json(&voice.subscription),
            to_json(epoch),
        );
        Self {
            framing: voice.framing,
            subscription: voice.subscription.clone(),
            head,
            replay,
            chunk: Chunk { text: Vec::new(), told: Vec::new(), prev, next },
        }
    }

    /// Tells the event in `row`; nothing where it is none.
    pub(super) fn event(&mut self, row: &EventRow) {
        let (head, replay, prev) = (&self.head, self.replay, row.seq.map(|_| self.chunk.prev));
        self.framing.frame_with(&mut self.chunk.text, |out| {
            out.extend_from_slice(head.as_bytes());
            splice::write_event(row, out);
            out.extend_from_slice(b",\"prev\":");
            write_json(&prev, out);
            out.extend_from_slice(if replay { b",\"replay\":true}}" } else { b",\"replay\":false}}" });
        });
        if let Some(seq) = row.seq {
            self.chunk.prev = seq;
            self.chunk.told.push((seq, true));
        }
    }

    /// Tells a gap.
    pub(super) fn gap(&mut self, gap: Gap) {
        let note = super::api::GapNote {
            subscription: self.subscription.clone(),
            from: gap.from,
            to: gap.to,
            reason: gap.reason,
        };
        self.framing.frame(&notification("gap", &to_json(&note)), &mut self.chunk.text);
        self.chunk.prev = gap.to;
        self.chunk.told.push((gap.to, false));
    }

    /// Whether it is time to hand it on.
    pub(super) fn is_full(&self) -> bool {
        self.chunk.text.len() >= CHUNK
    }

    /// The piece so far; what follows goes into a new one. The next look is at `next`.
    pub(super) fn cut(&mut self, next: Seq) -> Chunk {
        let begin = Chunk { text: Vec::new(), told: Vec::new(), prev: self.chunk.prev, next };
        Chunk { next, ..std::mem::replace(&mut self.chunk, begin) }
    }
}

/// Pieces at the live edge, for all subscriptions of the house: whoever comes to a place first
/// puts the piece together, the others write the very same one.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    listeners: AtomicUsize,
    fetching: Mutex<Vec<Arc<Place>>>,
    kept: Mutex<VecDeque<Kept>>,
}

#[derive(Debug)]
struct Kept {
    voice: Voice,
    from: Seq,
    prev: Seq,
    chunk: Arc<Chunk>,
}

/// What is being fetched.
#[derive(Debug)]
struct Place {
    voice: Voice,
    from: Seq,
    prev: Seq,
    done: CancellationToken,
}

/// Who fetches what is not kept.
#[derive(Debug)]
pub(super) enum Fetch {
    /// Whoever asked.
    Ours(Fetching),
    /// Another, until this is cancelled.
    Theirs(CancellationToken),
}

/// A piece that is being fetched, until this is dropped. To be let go of before an app is waited for.
#[derive(Debug)]
pub(super) struct Fetching {
    chunks: Arc<Chunks>,
    place: Arc<Place>,
}

impl Drop for Fetching {
    fn drop(&mut self) {
        let mut fetching = self.chunks.fetching.lock().unwrap_or_else(PoisonError::into_inner);
        fetching.retain(|place| !Arc::ptr_eq(place, &self.place));
        self.place.done.cancel();
    }
}

/// A subscription that may find pieces here.
#[derive(Debug)]
pub(super) struct Listener(Arc<Chunks>);

impl Drop for Listener {
    fn drop(&mut self) {
        if self.0.listeners.fetch_sub(1, Ordering::Relaxed) <= 2 {
            self.0.lock().clear();
        }
    }
}

impl Chunks {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn listen(self: &Arc<Self>) -> Listener {
        self.listeners.fetch_add(1, Ordering::Relaxed);
        Listener(Arc::clone(self))
    }

    /// A turn to fetch what is not kept at this place. Many come to one at the same time: the first
    /// fetches, the others wait until it is done, and look again.
    pub(super) fn fetch(self: &Arc<Self>, voice: &Voice, from: Seq, prev: Seq) -> Fetch {
        let mut fetching = self.fetching.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |place: &&Arc<Place>| place.from == from && place.prev == prev && place.voice == *voice;
        if let Some(place) = fetching.iter().find(same) {
            return Fetch::Theirs(place.done.clone());
        }
        let done = CancellationToken::new();
        let place = Arc::new(Place { voice: voice.clone(), from, prev, done });
        fetching.push(Arc::clone(&place));
        Fetch::Ours(Fetching { chunks: Arc::clone(self), place })
    }

    /// The piece that begins at `from` for a subscription that was told `prev` before.
    pub(super) fn get(&self, voice: &Voice, from: Seq, prev: Seq) -> Option<Arc<Chunk>> {
        let kept = self.lock();
        let found =
            kept.iter().rev().find(|kept| kept.from == from && kept.prev == prev && kept.voice == *voice)?;
        Some(Arc::clone(&found.chunk))
    }

    /// Where the first piece behind `from` begins: whoever ends there goes on together with others.
    pub(super) fn joint(&self, voice: &Voice, from: Seq) -> Option<Seq> {
        self.lock().iter().filter(|kept| kept.from > from && kept.voice == *voice).map(|kept| kept.from).min()
    }

    /// Keeps a piece for a while, where there is anybody to whom it is of use.
    pub(super) fn keep(&self, voice: &Voice, from: Seq, prev: Seq, chunk: &Arc<Chunk>) {
        if self.listeners.load(Ordering::Relaxed) < 2 || chunk.text.len() > KEPT_BYTES {
            return;
        }
        let mut kept = self.lock();
        let mut bytes = kept.iter().map(|kept| kept.chunk.text.len()).sum::<usize>() + chunk.text.len();
        while kept.len() >= KEPT || bytes > KEPT_ALL {
            let Some(oldest) = kept.pop_front() else { break };
            bytes -= oldest.chunk.text.len();
        }
        kept.push_back(Kept { voice: voice.clone(), from, prev, chunk: Arc::clone(chunk) });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{CHUNK, Chunk, Chunks, Composer, Fetch, KEPT, KEPT_ALL, Voice};
    use crate::model::{Epoch, Gap, GapReason, Seq, TypeGlob};
    use crate::rpc::framing::Framing;

    fn voice(types: &[&str]) -> Voice {
        let types = types.iter().map(|glob| TypeGlob::new(glob)).collect();
        Voice { subscription: "1".into(), types, framing: Framing::Lines }
    }

    fn keep(chunks: &Chunks, voice: &Voice, from: i64) {
        let mut composer = Composer::new(voice, &Epoch("e".into()), false, Seq(from - 1), Seq(from));
        composer.gap(Gap { from: Seq(from), to: Seq(from), reason: GapReason::Server });
        chunks.keep(voice, Seq(from), Seq(from - 1), &Arc::new(composer.cut(Seq(from + 1))));
    }

    #[test]
    fn a_piece_is_for_those_who_stand_where_it_begins_and_ask_for_the_same() {
        let chunks = Arc::new(Chunks::default());
        let (all, some) = (voice(&[]), voice(&["a"]));
        let _alone = chunks.listen();
        keep(&chunks, &all, 5);
        assert!(chunks.get(&all, Seq(5), Seq(4)).is_none(), "of no use to one alone");
        let second = chunks.listen();
        keep(&chunks, &all, 5);
        let found = chunks.get(&all, Seq(5), Seq(4)).unwrap();
        assert_eq!((found.prev, found.next, &found.told[..]), (Seq(5), Seq(6), &[(Seq(5), false)][..]));
        assert!(chunks.get(&all, Seq(5), Seq(3)).is_none(), "another was told before");
        assert!(chunks.get(&all, Seq(6), Seq(4)).is_none());
        assert!(chunks.get(&some, Seq(5), Seq(4)).is_none());
        assert_eq!((chunks.joint(&all, Seq(3)), chunks.joint(&all, Seq(5))), (Some(Seq(5)), None));
        for from in 6..6 + i64::try_from(KEPT).unwrap() {
            keep(&chunks, &all, from);
        }
        assert!(chunks.get(&all, Seq(5), Seq(4)).is_none(), "the oldest makes room");
        assert_eq!(chunks.lock().len(), KEPT);
        let large = Chunk { text: vec![b'x'; CHUNK], told: Vec::new(), prev: Seq(100), next: Seq(101) };
        let large = Arc::new(large);
        (0..KEPT).for_each(|_| chunks.keep(&all, Seq(100), Seq(99), &large));
        assert_eq!(chunks.lock().len(), KEPT_ALL / CHUNK);
        drop(second);
        assert!(chunks.lock().is_empty(), "nothing is kept for one alone");
    }

    #[test]
    fn of_those_who_miss_the_same_piece_one_fetches_it() {
        let chunks = Arc::new(Chunks::default());
        let (all, some) = (voice(&[]), voice(&["a"]));
        let Fetch::Ours(first) = chunks.fetch(&all, Seq(5), Seq(4)) else { panic!("nobody is at it") };
        let Fetch::Theirs(done) = chunks.fetch(&all, Seq(5), Seq(4)) else { panic!("the first is at it") };
        for (voice, from, prev) in [(&all, 6, 4), (&all, 5, 3), (&some, 5, 4)] {
            assert!(matches!(chunks.fetch(voice, Seq(from), Seq(prev)), Fetch::Ours(_)));
        }
        assert!(!done.is_cancelled());
        // Whether it found something or not.
        drop(first);
        assert!(done.is_cancelled());
        assert!(matches!(chunks.fetch(&all, Seq(5), Seq(4)), Fetch::Ours(_)));
    }
}
