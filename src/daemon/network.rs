//! Watches the network, and tells the loop when it changed: a hint to dial, or to ask a line that is up
//! whether it lives. Never a verdict: a network that changed may carry the line all the same.
//!
//! On Linux the kernel tells ([`kernel`]), in every state of the line, and an idle daemon is not woken
//! for it. Elsewhere, and where a sandbox forbids listening, the network is looked at by the clock
//! while the line is down, and a line that is up finds out by its heartbeat.

#[cfg(target_os = "linux")]
mod kernel;

use std::time::Duration;

use tokio::sync::watch;

use crate::engine::{Command, Handle, Route};
use crate::link::Outlook;
use crate::model::{LinkState, LinkStatus};
use crate::session::Input;

/// How often the network is looked at while the link is down: a few calls into the system.
const LOOK: Duration = Duration::from_secs(1);
/// The same where the network is the least likely cause.
const SELDOM: Duration = Duration::from_secs(5);

/// How often to look in this state where nobody tells; none: not at all. A link that is up finds out
/// by its heartbeat, and an idle daemon is not to be woken.
const fn every(state: LinkState) -> Option<Duration> {
    match state {
        LinkState::Connecting | LinkState::Reconnecting | LinkState::Offline | LinkState::Unavailable => {
            Some(LOOK)
        }
        LinkState::Unauthorized | LinkState::Misconfigured => Some(SELDOM),
        LinkState::Authenticating | LinkState::Connected | LinkState::Paused | LinkState::Stopping => None,
    }
}

/// Runs until the loop is gone.
pub(super) async fn watch_network(
    link: watch::Receiver<LinkStatus>,
    route: watch::Receiver<Route>,
    engine: Handle,
) {
    let watch = Watch { link, route, engine, seen: None };
    #[cfg(target_os = "linux")]
    let watch = match kernel::Kernel::listen() {
        Ok(kernel) => match watch.by_word(kernel).await {
            Some(watch) => watch,
            None => return,
        },
        Err(error) => {
            tracing::info!(
                "the system does not tell when the network changes ({error}): it is looked at while the line is down"
            );
            watch
        }
    };
    watch.by_the_clock().await;
}

/// What watching needs.
struct Watch {
    link: watch::Receiver<LinkStatus>,
    route: watch::Receiver<Route>,
    engine: Handle,
    /// How the network looked last.
    seen: Option<Outlook>,
}

impl Watch {
    /// Looks at the network. How it looks, if that is another way than before.
    fn look(&mut self) -> Option<Outlook> {
        // Towards another server the same network looks different.
        if self.route.has_changed().unwrap_or(false) {
            self.seen = None;
        }
        let outlook = self.route.borrow_and_update().dialer.outlook();
        let before = self.seen.replace(outlook);
        before.is_some_and(|before| before != outlook).then_some(outlook)
    }

    /// False once the loop is gone.
    async fn tell(&self, outlook: &Outlook) -> bool {
        let usable = outlook.usable();
        tracing::debug!(usable, "the network changed");
        self.engine.tell_soon(Command::Hint(Input::NetworkChanged { usable })).await.is_ok()
    }

    /// Where nobody tells.
    async fn by_the_clock(mut self) {
        loop {
            let state = self.link.borrow_and_update().state;
            let Some(pause) = every(state) else {
                self.seen = None;
                if self.link.changed().await.is_err() {
                    return;
                }
                continue;
            };
            if let Some(outlook) = self.look()
                && !self.tell(&outlook).await
            {
                return;
            }
            tokio::time::sleep(pause).await;
        }
    }
}

#[cfg(target_os = "linux")]
impl Watch {
    /// Where the kernel tells; none once the loop is gone. Gives itself back where it tells no more.
    async fn by_word(mut self, mut kernel: kernel::Kernel) -> Option<Self> {
        /// One change comes in many words: routes go with addresses, addresses with links.
        const SETTLES: Duration = Duration::from_millis(200);
        /// Before the next look, however much there is to tell.
        const REST: Duration = Duration::from_millis(500);
        self.look();
        loop {
            let mut news = match kernel.news().await {
                Ok(news) => news,
                Err(error) => {
                    tracing::warn!("the system tells no more when the network changes: {error}");
                    return Some(self);
                }
            };
            tokio::time::sleep(SETTLES).await;
            news |= kernel.rest_of_the_news();
            let changed = self.look();
            let up = matches!(self.link.borrow().state, LinkState::Authenticating | LinkState::Connected);
            // What looks the same may be another network all the same. That is worth a question over a
            // line that is up, and no dial: somewhere on a machine something changes all the time.
            let hint = changed.or(self.seen.filter(|_| news == kernel::News::Stirred && up));
            if let Some(outlook) = hint
                && !self.tell(&outlook).await
            {
                return None;
            }
            tokio::time::sleep(REST).await;
        }
    }
}
