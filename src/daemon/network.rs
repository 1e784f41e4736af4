//! Looks at the network while the link waits for it, and tells the loop when it changed.

use std::time::Duration;

use tokio::sync::watch;

use crate::engine::{Command, Handle, Route};
use crate::model::{LinkState, LinkStatus};
use crate::session::Input;

/// How often the network is looked at while the link is down: a few calls into the system.
const LOOK: Duration = Duration::from_secs(1);
/// The same where the network is the least likely cause.
const SELDOM: Duration = Duration::from_secs(5);

/// How often to look in this state; none: not at all. A link that is up finds out by its
/// heartbeat, and an idle daemon is not to be woken.
const fn every(state: LinkState) -> Option<Duration> {
    match state {
        LinkState::Connecting | LinkState::Reconnecting | LinkState::Offline | LinkState::Unavailable => {
            Some(LOOK)
        }
        LinkState::Unauthorized | LinkState::Misconfigured => Some(SELDOM),
        LinkState::Authenticating | LinkState::Connected | LinkState::Paused | LinkState::Stopping => None,
    }
}

/// Runs until the loop is gone. What it tells is a hint to dial, never a verdict on the link.
pub(super) async fn watch_network(
    mut link: watch::Receiver<LinkStatus>,
    route: watch::Receiver<Route>,
    engine: Handle,
) {
    let mut seen = None;
    loop {
        let state = link.borrow_and_update().state;
        let Some(pause) = every(state) else {
            seen = None;
            if link.changed().await.is_err() {
                return;
            }
            continue;
        };
        let outlook = route.borrow().dialer.outlook();
        if seen.replace(outlook).is_some_and(|before| before != outlook) {
            let usable = outlook.usable();
            tracing::debug!(usable, "the network changed");
            let hint = Command::Hint(Input::NetworkChanged { usable });
            if engine.tell_soon(hint).await.is_err() {
                return;
            }
        }
        tokio::time::sleep(pause).await;
    }
}
