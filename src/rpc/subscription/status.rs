//! `status.watch`: the link as it is, then each change.

use std::sync::Arc;

use tokio::sync::watch;

use super::tell;
use crate::model::LinkStatus;
use crate::rpc::api::StatusNote;
use crate::rpc::connection::{Client, Registered};

/// A `status.watch` subscription.
pub(in crate::rpc) struct LinkStates {
    pub(in crate::rpc) client: Arc<Client>,
    pub(in crate::rpc) registered: Registered,
    pub(in crate::rpc) link: watch::Receiver<LinkStatus>,
}

impl LinkStates {
    /// Runs until it is ended. A slow app sees the newest state, not each one.
    pub(in crate::rpc) async fn run(mut self) {
        let stop = self.registered.running.stop.clone();
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = self.feed() => {}
        }
    }

    async fn feed(&mut self) {
        let mut last = None;
        loop {
            let link = self.link.borrow_and_update().clone();
            if last.as_ref() != Some(&link) {
                let note = StatusNote { subscription: self.registered.name.clone(), link: link.clone() };
                if tell(&self.client, "status", &note).await.is_err() {
                    return;
                }
                last = Some(link);
            }
            if self.link.changed().await.is_err() {
                return;
            }
        }
    }
}
