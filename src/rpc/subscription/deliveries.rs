//! `messages.watch`: each move of the messages asked for.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::{tell, tell_end};
use crate::model::{MessageId, Moved};
use crate::rpc::api::{DeliveryNote, EndReason};

use crate::rpc::connection::{Client, Registered};

/// A `messages.watch` subscription.
pub(in crate::rpc) struct Deliveries {
    pub(in crate::rpc) client: Arc<Client>,
    pub(in crate::rpc) registered: Registered,
    pub(in crate::rpc) moves: broadcast::Receiver<Moved>,
    /// Only these; none: all.
    pub(in crate::rpc) ids: Option<HashSet<MessageId>>,
}

impl Deliveries {
    /// Runs until it is ended, or ends itself where the app was too slow to be told every move.
    pub(in crate::rpc) async fn run(mut self) {
        let stop = self.registered.running.stop.clone();
        let slow = tokio::select! {
            biased;
            () = stop.cancelled() => false,
            slow = self.feed() => slow,
        };
        if slow {
            tell_end(&self.client, &self.registered, EndReason::Slow).await;
        }
    }

    async fn feed(&mut self) -> bool {
        loop {
            let moved = match self.moves.recv().await {
                Ok(moved) => moved,
                Err(RecvError::Lagged(_)) => return true,
                Err(RecvError::Closed) => return false,
            };
            if self.ids.as_ref().is_some_and(|ids| !ids.contains(&moved.id)) {
                continue;
            }
            let note = DeliveryNote {
                subscription: self.registered.name.clone(),
                id: moved.id,
                state: moved.state,
                attempt: moved.attempt,
                reason: moved.reason,
            };
            if tell(&self.client, "delivery", &note).await.is_err() {
                return false;
            }
        }
    }
}
