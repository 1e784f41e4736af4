//! When the next TTL ends, and the sweep that ends it. The session looks at the TTL of what it is
//! about to send; this is for rows that only wait.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::model::{Instant, Moment, Place, Timestamp};
use crate::store::Store;

/// How soon to look where it is not known when the next TTL ends, or the last sweep failed.
const SOON: Duration = Duration::from_secs(1);

type Sweep = Pin<Box<dyn Future<Output = Result<Option<Timestamp>, ()>> + Send>>;

/// The sweep's state.
#[derive(Default)]
pub(super) struct Expiry {
    next: Option<Timestamp>,
    running: Option<Sweep>,
}

impl std::fmt::Debug for Expiry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Expiry").field("next", &self.next).finish_non_exhaustive()
    }
}

impl Expiry {
    /// Some row's TTL ends at `at`.
    pub(super) fn note(&mut self, at: Timestamp) {
        self.next = Some(self.next.map_or(at, |next| next.min(at)));
    }

    /// It is not known when the next one ends: look soon.
    pub(super) fn look_soon(&mut self, now: Moment) {
        self.note(now.steady.after(SOON));
    }

    /// When to sweep next.
    pub(super) fn deadline(&self, now: Moment) -> Option<Instant> {
        let next = self.next.filter(|_| self.running.is_none())?;
        Some(now.instant + next.since(now.steady))
    }

    /// Begins a sweep if one is due. Rows on the wire are left alone: their outcome counts.
    pub(super) fn sweep(&mut self, now: Moment, store: &Store, on_wire: Vec<Place>) {
        if self.running.is_some() || self.next.is_none_or(|next| next > now.steady) {
            return;
        }
        self.next = None;
        let store = store.clone();
        self.running = Some(Box::pin(async move {
            store.expire(now.steady, on_wire).await.map_err(|refusal| {
                tracing::warn!("messages past their TTL could not be ended: {refusal}");
            })
        }));
    }

    /// Waits for the running sweep; for ever where none runs. Safe to drop and call again.
    pub(super) async fn swept(&mut self) -> Result<Option<Timestamp>, ()> {
        let Some(running) = self.running.as_mut() else { return std::future::pending().await };
        let next = running.await;
        self.running = None;
        next
    }
}
