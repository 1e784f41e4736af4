//! Looking after the file: checks, measurements, and whether it is still where it was.

use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use super::checkup::{Checkup, look_through};
use super::handle::{Store, lock, spawn};
use super::request::ClientAsk;
use super::trouble::{gone, is_damage, refusal_for};
use super::{disk, suspicion};
use crate::model::Refusal;

/// What one commit took, and what the disk has to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// From asking for a commit of its own to its answer.
    pub commit: Duration,
    /// Size of the database and its log.
    pub file_bytes: u64,
    /// Free space on the disk; none where the system does not say.
    pub free_bytes: Option<u64>,
}

impl Store {
    /// Looks through the whole file quickly: structure and the checksums of all rows. What it
    /// finds in the structure ends the daemon ([`StoreEvent::Fatal`](super::StoreEvent::Fatal)):
    /// the next start sets the file aside. Damaged messages are parked.
    ///
    /// # Errors
    /// `store_failed` when the file cannot even be read.
    pub async fn quick_check(&self) -> Result<Checkup, Refusal> {
        self.check(false).await
    }

    /// As [`Store::quick_check`], with every index compared with its table.
    ///
    /// # Errors
    /// `store_failed` when the file cannot even be read.
    pub async fn full_check(&self) -> Result<Checkup, Refusal> {
        self.check(true).await
    }

    async fn check(&self, full: bool) -> Result<Checkup, Refusal> {
        let (path, clock) = (self.inner.path.clone(), self.inner.clock);
        let looked = tokio::task::spawn_blocking(move || look_through(&path, full, clock.now().wall)).await;
        let look = match looked {
            Ok(Ok(look)) => look,
            Ok(Err(error)) => {
                if is_damage(&error) {
                    self.condemn(&format!("it cannot be read: {error}")).await;
                }
                return Err(refusal_for(&error));
            }
            Err(_) => return Err(gone()),
        };
        *lock(&self.inner.last_check) = Some(look.checkup.clone());
        if !look.to_mend.is_empty() {
            self.ask(|reply| ClientAsk::Mend(look.to_mend, reply)).await?;
        }
        if !look.checkup.problems.is_empty() {
            self.condemn(&look.checkup.problems.join("; ")).await;
        }
        Ok(look.checkup)
    }

    /// Writes nothing into a file that is damaged: the next start sets it aside.
    async fn condemn(&self, why: &str) {
        suspicion::raise(&self.inner.path);
        // Where the writer is gone already it writes nothing either.
        let _ = self.hand_in(ClientAsk::Condemn(format!("the database is damaged: {why}"))).await;
    }

    /// What the last check found, in this run.
    #[must_use]
    pub fn last_check(&self) -> Option<Checkup> {
        lock(&self.inner.last_check).clone()
    }

    /// Makes one small commit and says how long it took, and how the disk is.
    ///
    /// # Errors
    /// As [`Store::value_set`].
    pub async fn probe(&self) -> Result<Probe, Refusal> {
        let clock = self.inner.clock;
        let began = clock.instant();
        self.value_set("probed_at", Some(clock.now().wall.to_string())).await?;
        Ok(Probe {
            commit: clock.instant().since(began),
            file_bytes: self.counters().file_bytes,
            free_bytes: disk::free_bytes(&self.inner.path),
        })
    }

    /// Sees that the open files still stand under their names. Cheap; call it every few seconds:
    /// where nothing is written nothing else would notice. Where they do not, the writer saves
    /// what it can and ends ([`StoreEvent::Fatal`](super::StoreEvent::Fatal)).
    pub async fn look(&self) {
        let fate = lock(&self.inner.files).as_mut().and_then(|files| files.fate(&self.inner.path));
        if fate.is_some() {
            // Where the writer is gone already there is nothing to save.
            let _ = self.hand_in(ClientAsk::Look).await;
        }
    }

    /// What reading the file ran into since the last call, in words.
    #[must_use]
    pub fn take_concern(&self) -> Option<String> {
        lock(&self.inner.concern).take()
    }
}

/// Waits for threads to be gone. On a thread of its own: those of the runtime may all be waiting for
/// something that hangs.
pub(super) async fn join(threads: Vec<JoinHandle<()>>) {
    let (over, joined) = oneshot::channel::<()>();
    let joining = spawn("holdline-end", move || {
        for thread in threads {
            // A thread that panicked has said so itself.
            let _ = thread.join();
        }
        drop(over);
    });
    if joining.is_ok() {
        // Told by its end.
        let _ = joined.await;
    }
}
