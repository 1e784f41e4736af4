//! Receipts on their way from the commit to the app: they gather here, of one commit many, and
//! the task that writes takes them all at once. No task and no channel stands between. A few are
//! written at once where the task has laid the pen down.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;

use futures_util::task::AtomicWaker;
use tokio::sync::{Notify, Semaphore};

use super::backend::Pending;
use super::error::ErrorObject;
use super::framing::Framing;
use super::message::{Id, write_answer, write_refusal};
use super::pen::{Pen, Wrote};
use crate::model::{ErrorKind, Receipt, Refusal};

/// Bytes of a request's id with which it may go by here: as many ids are kept as requests may be
/// unanswered.
pub(super) const MAX_ID: usize = 64;

/// Room for so many is kept while there are none.
const KEPT: usize = 16;

/// What came of a message.
type Outcome = Result<Receipt, Refusal>;

/// The receipts of one connection.
#[derive(Debug)]
pub(super) struct Receipts {
    /// Not more than may be unanswered: each has taken a permit, given back once it is written.
    unanswered: Arc<Semaphore>,
    ready: Mutex<Vec<Ready>>,
    writer: AtomicWaker,
    pub(super) pen: Pen,
    framing: Arc<OnceLock<Framing>>,
    late: Mutex<Vec<Late>>,
    /// There is something in `late`.
    pub(super) lately: Notify,
}

/// An answer that may be written; to nobody, where none was wanted.
#[derive(Debug)]
pub(super) struct Ready {
    id: Option<Id>,
    outcome: Outcome,
}

impl Ready {
    /// Writes the answer behind what is in `out`.
    pub(super) fn write(self, framing: Framing, out: &mut Vec<u8>) {
        let Some(id) = self.id else { return };
        match self.outcome {
            Ok(receipt) => framing.frame_with(out, |out| write_answer(&id, &receipt, out)),
            Err(refusal) => {
                let error = ErrorObject::from(refusal);
                framing.frame_with(out, |out| write_refusal(&id, &error, out));
            }
        }
    }
}

/// An answer that needs more than the commit.
pub(super) struct Late {
    pub(super) told: Told,
    pub(super) rest: Pending<Receipt>,
}

impl std::fmt::Debug for Late {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Late").finish_non_exhaustive()
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Receipts {
    /// `framing` says how messages are told apart, where the app has shown it by then.
    pub(super) fn new(unanswered: Arc<Semaphore>, framing: Arc<OnceLock<Framing>>) -> Arc<Self> {
        Arc::new(Self {
            unanswered,
            ready: Mutex::default(),
            writer: AtomicWaker::new(),
            pen: Pen::default(),
            framing,
            late: Mutex::default(),
            lately: Notify::new(),
        })
    }

    /// How messages are told apart.
    pub(super) fn framing(&self) -> Framing {
        self.framing.get().copied().unwrap_or(Framing::Lines)
    }

    /// A place for one more, for a request with this id; none where too many are unanswered.
    pub(super) fn expect(self: &Arc<Self>, id: Option<&Id>) -> Option<Told> {
        self.unanswered.try_acquire().ok()?.forget();
        Some(Told { to: Some(Arc::clone(self)), id: id.cloned() })
    }

    /// Whose task writes; it is woken when there is something to take.
    pub(super) fn register(&self, writer: &Waker) {
        self.writer.register(writer);
    }

    /// Takes what may be written into `into`, which is empty.
    pub(super) fn take(&self, into: &mut Vec<Ready>) {
        let mut ready = lock(&self.ready);
        if ready.is_empty() {
            // What a busy hour needed is not kept over a quiet one.
            ready.shrink_to(KEPT);
        } else {
            std::mem::swap(&mut *ready, into);
        }
    }

    /// So many were written.
    pub(super) fn written(&self, count: usize) {
        if count > 0 {
            self.unanswered.add_permits(count);
        }
    }

    /// Takes those that need more than the commit.
    pub(super) fn take_late(&self) -> Vec<Late> {
        std::mem::take(&mut *lock(&self.late))
    }

    fn put(&self, ready: Ready) {
        lock(&self.ready).push(ready);
        self.writer.wake();
    }

    /// As [`Receipts::put`], but without the task where it has nothing else to write.
    fn write(&self, ready: Ready) {
        let mut ready = Some(ready);
        let none_before = || lock(&self.ready).is_empty();
        let wrote = self.pen.write(none_before, |out| {
            if let Some(ready) = ready.take() {
                ready.write(self.framing(), out);
            }
        });
        if let Some(ready) = ready {
            return self.put(ready);
        }
        self.written(1);
        if wrote != Wrote::All {
            self.writer.wake();
        }
    }
}

/// Takes what comes of one message to the app that sent it. Dropped without a word, it says that
/// the daemon stops.
#[derive(Debug)]
pub struct Told {
    to: Option<Arc<Receipts>>,
    id: Option<Id>,
}

impl Told {
    /// This came of it.
    pub fn now(mut self, outcome: Result<Receipt, Refusal>) {
        self.say(outcome);
    }

    /// The same, and the app is to have it from this very thread, if that needs no waiting: for
    /// answers that come one by one.
    pub fn at_once(mut self, outcome: Result<Receipt, Refusal>) {
        if let Some(to) = self.to.take() {
            to.write(Ready { id: self.id.take(), outcome });
        }
    }

    /// What comes of it takes longer than the commit: it is waited for beside all else.
    pub fn later(mut self, rest: Pending<Receipt>) {
        if let Some(to) = self.to.take() {
            let told = Self { to: Some(Arc::clone(&to)), id: self.id.take() };
            lock(&to.late).push(Late { told, rest });
            to.lately.notify_one();
        }
    }

    /// The message goes another way: nothing comes of this.
    pub(super) fn withdraw(mut self) {
        if let Some(to) = self.to.take() {
            to.written(1);
        }
    }

    fn say(&mut self, outcome: Outcome) {
        if let Some(to) = self.to.take() {
            to.put(Ready { id: self.id.take(), outcome });
        }
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        // A fault of ours ends the connection without further words.
        if self.to.is_some() && !std::thread::panicking() {
            let gone = Refusal::new(ErrorKind::ShuttingDown, "the message was not taken any more");
            self.say(Err(gone.hint("the daemon stops; call again when it runs")));
        }
    }
}
