//! What the loop waits for from its link, if it has one.

use tokio::sync::{mpsc, watch};

use crate::link::{LinkCommand, LinkEvent};

/// The next event of the link; waits for ever where there is no link.
pub(super) async fn receive(events: Option<&mut mpsc::Receiver<LinkEvent>>) -> Option<LinkEvent> {
    match events {
        Some(events) => events.recv().await,
        None => std::future::pending().await,
    }
}

/// The next word about what is flushed; none where the pump has ended.
pub(super) async fn flushed(written: Option<&mut watch::Receiver<u64>>) -> Option<u64> {
    match written {
        Some(written) => written.changed().await.is_ok().then(|| *written.borrow_and_update()),
        None => std::future::pending().await,
    }
}

/// Waits until the pump takes commands again (or is gone, which its events will tell).
pub(super) async fn has_room(commands: Option<&mpsc::Sender<LinkCommand>>) {
    match commands {
        Some(commands) => {
            if commands.reserve().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
        None => std::future::pending().await,
    }
}
