//! Callers that wait for a message to reach a level.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::mpsc;

use crate::model::{MessageId, Moved};

/// What a waiting caller is told.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The move.
    pub moved: Moved,
    /// Whether that is the message's end (or it waits for a person).
    pub finished: bool,
}

/// Changes one waiter can fall behind: more than a message can make between two looks, as every
/// level is told once per attempt.
const PER_WAIT: usize = 64;

/// Those who wait for one message, each under a number of its own.
type Waiters = Vec<(u64, mpsc::Sender<Outcome>)>;

/// Who waits for which message. Shared by the loop, which tells, and the callers, who ask.
#[derive(Debug, Default)]
pub struct Waits {
    by_id: Mutex<HashMap<MessageId, Waiters>>,
    next: std::sync::atomic::AtomicU64,
}

impl Waits {
    /// Registers for the changes of `id`. Look at its present state after this call, not before:
    /// then nothing falls between.
    pub fn register(&self, id: &MessageId) -> Wait<'_> {
        let (tell, changes) = mpsc::channel(PER_WAIT);
        let ticket = self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.lock().entry(id.clone()).or_default().push((ticket, tell));
        Wait { waits: self, id: id.clone(), ticket, changes }
    }

    /// Tells those who wait for this message. A waiter that does not look loses the change, never
    /// the loop's time.
    pub fn tell(&self, change: &Outcome) {
        let by_id = self.lock();
        for (_, waiter) in by_id.get(&change.moved.id).into_iter().flatten() {
            let _ = waiter.try_send(change.clone());
        }
    }

    /// Whether nobody waits for anything: the usual case, worth a short cut.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<MessageId, Waiters>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A registration; dropped, it is gone.
#[derive(Debug)]
pub struct Wait<'a> {
    waits: &'a Waits,
    id: MessageId,
    ticket: u64,
    changes: mpsc::Receiver<Outcome>,
}

impl Wait<'_> {
    /// The next change.
    pub async fn next(&mut self) -> Option<Outcome> {
        self.changes.recv().await
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        let mut by_id = self.waits.lock();
        if let Some(waiters) = by_id.get_mut(&self.id) {
            waiters.retain(|(ticket, _)| *ticket != self.ticket);
            if waiters.is_empty() {
                by_id.remove(&self.id);
            }
        }
    }
}
