//! The end of a life in order, each step with a bound: apps are told, the loop closes the link, the
//! store commits what is left. All of them together take less than service managers grant before they
//! kill (systemd: `TimeoutStopSec=10`), whatever the server, the apps and the disk do meanwhile.

use std::time::Duration;

use tokio::task::{JoinError, JoinHandle};
use tokio::time::timeout;

use super::{EXIT_BUG, EXIT_STORAGE, Failed};
use crate::engine::{self, Command, Ending};
use crate::model::ErrorKind;
use crate::store::Store;

/// How long apps are given to read what was written to them.
const CLIENT_GRACE: Duration = Duration::from_secs(1);
/// How long the loop may take. It has its own bound within this; only a fault of ours exceeds it.
const LOOP_GRACE: Duration = engine::STOP_GRACE.saturating_add(Duration::from_millis(500));

/// How it went.
#[derive(Debug)]
pub(super) struct Ended {
    /// For the service manager.
    pub(super) result: Result<(), Failed>,
    /// The database is closed. While it is not, its lock has to be held for as long as the process
    /// lives: a thread of ours may still write.
    pub(super) closed: bool,
}

/// Waits for the apps' tasks, the loop and the store.
pub(super) async fn end(
    ended_early: Option<Result<Ending, JoinError>>,
    looped: JoinHandle<Ending>,
    serving: JoinHandle<()>,
    engine: &engine::Handle,
    store: &Store,
) -> Ended {
    if timeout(CLIENT_GRACE, serving).await.is_err() {
        tracing::debug!("some apps did not read to the end");
    }
    let ending = match ended_early {
        Some(ending) => Some(ending),
        None => {
            let stopping = async {
                // An inbox that is closed is that of a loop that ends by itself.
                let _ = engine.tell_soon(Command::Stop).await;
                looped.await
            };
            timeout(LOOP_GRACE, stopping).await.ok()
        }
    };
    let hint = "please report it";
    let mut result = match ending {
        Some(Ok(Ending::Stopped)) => Ok(()),
        Some(Ok(Ending::StoreFailed(why))) => Err(Failed::new(
            EXIT_STORAGE,
            format!("the database cannot be trusted any more: {why}"),
            "start again, which recovers what is on disk, and look at the disk",
        )),
        Some(Err(error)) => Err(Failed::new(EXIT_BUG, format!("a fault of ours: {error}"), hint)),
        None => Err(Failed::new(EXIT_BUG, "a fault of ours: the loop does not end", hint)),
    };
    let closing = store.close().await;
    let closed = !closing.as_ref().is_err_and(|refusal| refusal.kind == ErrorKind::Timeout);
    if let Err(refusal) = closing {
        tracing::warn!("the database was not closed in order: {refusal}");
        if !closed && result.is_ok() {
            result = Err(Failed::new(
                EXIT_STORAGE,
                format!("{refusal}: the disk hangs"),
                "look at the disk; nothing with a receipt is lost, the next start recovers what is there",
            ));
        }
    }
    Ended { result, closed }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store;

    #[test]
    fn all_steps_together_are_over_before_the_service_manager_kills() {
        let unit = include_str!("../../systemd/holdline.service");
        let granted = unit.lines().find_map(|line| line.strip_prefix("TimeoutStopSec="));
        let granted = Duration::from_secs(granted.and_then(|seconds| seconds.parse().ok()).expect("seconds"));
        // After the last step come the runtime's threads and the last lines of the log.
        let rest = Duration::from_millis(1_200);
        assert!(CLIENT_GRACE + LOOP_GRACE + store::CLOSE_WAIT + rest <= granted);
    }
}
