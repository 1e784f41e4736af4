//! Whether the writer is alive: it answers, or it waits for the disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Store;
use super::request::ClientAsk;
use crate::model::{Instant, Refusal};

/// Since when the writer waits for the disk; 0 while it does not. Copies share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Pulse(Arc<AtomicU64>);

/// The writer waits for the disk as long as this lives.
#[derive(Debug)]
pub(super) struct AtDisk(Pulse);

impl Pulse {
    /// From now on the disk is waited for.
    pub(super) fn at_disk(&self, now: Instant) -> AtDisk {
        self.0.store(now.as_nanos().max(1), Ordering::Relaxed);
        AtDisk(self.clone())
    }

    fn since(&self) -> Option<Instant> {
        Some(self.0.load(Ordering::Relaxed)).filter(|nanos| *nanos > 0).map(Instant::from_nanos)
    }
}

impl Drop for AtDisk {
    fn drop(&mut self) {
        self.0.0.store(0, Ordering::Relaxed);
    }
}

impl Store {
    /// Comes back once the writer has been through a transaction for it, whatever came of that: also a
    /// writer that can write nothing now answers.
    ///
    /// # Errors
    /// When there is no writer any more.
    pub async fn alive(&self) -> Result<(), Refusal> {
        match self.ask(ClientAsk::Alive).await {
            Err(refusal) if refusal.kind == crate::model::ErrorKind::ShuttingDown => Err(refusal),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// How long the writer has been waiting for the disk; none while it does something else.
    #[must_use]
    pub fn at_disk(&self) -> Option<Duration> {
        let since = self.inner.pulse.since()?;
        Some(self.inner.clock.instant().since(since))
    }
}
