//! Messages of apps on their way in: past the rules into the store or, where they are not to be
//! stored, to the loop; and what is said of them.

use std::sync::Arc;
use std::time::Duration;

use super::backend::Daemon;
use super::policy::word;
use crate::engine::level_of;
use crate::model::{
    Delivery, Durability, ErrorKind, Level, MessageId, MessageState, NewMessage, Receipt, Refusal,
};
use crate::rpc::backend::{Outgoing, Pending, Told};
use crate::store;

impl Daemon {
    /// Hands a message in at once and without a future: what comes of it goes to `told`. Hands both
    /// back where that cannot be without waiting.
    pub(super) fn post(self: &Arc<Self>, message: Outgoing, told: Told) -> Result<(), (Outgoing, Told)> {
        let Some(slot) = self.store.slot() else {
            return Err((message, told));
        };
        let policy = self.policy();
        let (wait, timeout) = (message.wait, message.timeout);
        let new = match policy.apply(message) {
            Ok(new) => new,
            Err(refusal) => {
                self.note_limit(&refusal);
                told.now(Err(refusal));
                return Ok(());
            }
        };
        if new.delivery == Delivery::Ephemeral {
            match self.ephemeral(new, wait) {
                Ok(pending) => told.later(pending),
                Err(refusal) => told.now(Err(refusal)),
            }
            return Ok(());
        }
        let durability = policy.durability;
        let daemon = Arc::clone(self);
        slot.post(new, move |outcome, few| match outcome {
            Err(refusal) => {
                daemon.note_limit(&refusal);
                told.now(Err(refusal));
            }
            Ok(inserted) if inserted.duplicate || wait.is_some_and(|level| level > Level::Queued) => {
                told.later(Box::pin(
                    async move { daemon.receipt(inserted, durability, wait, timeout).await },
                ));
            }
            Ok(store::Inserted { id, state, duplicate }) => {
                let receipt = Ok(Receipt { id, state, durability, duplicate, reason: None });
                if few { told.at_once(receipt) } else { told.now(receipt) }
            }
        });
        Ok(())
    }

    /// Hands an ephemeral message to the loop: its place in the order of sends is taken now.
    pub(super) fn ephemeral(
        &self,
        message: NewMessage,
        wait: Option<Level>,
    ) -> Result<Pending<Receipt>, Refusal> {
        let NewMessage { id, kind, payload, .. } = message;
        let id = id.unwrap_or_else(|| self.clock.uuid().into());
        let answer = self.engine.ephemeral(id.clone(), kind, payload)?;
        Ok(Box::pin(async move {
            let dropped = answer.await?;
            if let (Some(why), Some(_)) = (&dropped, wait) {
                return Err(Refusal::new(ErrorKind::NotConnected, format!("the message was dropped: {why}"))
                    .hint("ephemeral messages go out only while the link is up")
                    .with("id", id.as_str())
                    .with("state", MessageState::Dropped.as_str()));
            }
            let state = if dropped.is_some() { MessageState::Dropped } else { MessageState::Sent };
            Ok(Receipt { id, state, durability: Durability::None, duplicate: false, reason: dropped })
        }))
    }

    /// The receipt of a message that is on disk, once it is as far as `wait` says.
    pub(super) async fn receipt(
        &self,
        inserted: store::Inserted,
        durability: Durability,
        wait: Option<Level>,
        timeout: Duration,
    ) -> Result<Receipt, Refusal> {
        let store::Inserted { id, mut state, duplicate } = inserted;
        if let Some(level) = wait.filter(|level| *level > Level::Queued) {
            state = self.wait(&id, level, timeout).await?;
        } else if duplicate && state == MessageState::Queued {
            // Where it really is: on the wire, perhaps.
            state = self.look(id.clone()).await.map_or(state, |message| message.state);
        }
        Ok(Receipt { id, state, durability, duplicate, reason: None })
    }

    /// Waits until `id` reaches `level`, or ends otherwise, or `timeout` is over.
    async fn wait(&self, id: &MessageId, level: Level, timeout: Duration) -> Result<MessageState, Refusal> {
        // Registered first, looked at second: nothing falls between.
        let mut wait = self.waits.register(id);
        let mut now = self.look(id.clone()).await?;
        let outcome = tokio::time::timeout(timeout, async {
            loop {
                match level_of(now.state) {
                    Some(reached) if reached >= level => return Ok(now.state),
                    None => return Err(ended(id, now.state, now.reason.as_deref())),
                    Some(_) => {}
                }
                let Some(change) = wait.next().await else { return Ok(now.state) };
                now.state = change.moved.state;
                now.reason = change.moved.reason;
                if change.finished && level_of(now.state).is_some_and(|reached| reached < level) {
                    return Err(ended(id, now.state, now.reason.as_deref()));
                }
            }
        })
        .await;
        outcome.unwrap_or_else(|_| {
            Err(Refusal::new(
                ErrorKind::Timeout,
                format!("the message did not get as far as `{}` in time; it stays queued", word(level)),
            )
            .hint(format!("nothing is lost: `holdline ctl messages show {id}` says where it is"))
            .with("id", id.as_str())
            .with("state", now.state.as_str()))
        })
    }
}

fn ended(id: &MessageId, state: MessageState, reason: Option<&str>) -> Refusal {
    let why = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
    Refusal::new(ErrorKind::Ended, format!("the message ended as `{}`{why}", state.as_str()))
        .hint(format!("`holdline ctl messages show {id}` tells its story"))
        .with("id", id.as_str())
        .with("state", state.as_str())
}
