//! `ctl stop`: end the daemon, and return when it has gone.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use tokio::time::sleep;

use super::Ctl;
use crate::cli::words::length;
use crate::cli::{Exit, Failed, Outcome};
use crate::model::StatusReport;
use crate::rpc::api::{Empty, StopResult};

/// `ctl stop`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// How long an orderly end may take at least: the last writes, the server's answer to the close.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks at the lock.
const LOOK: Duration = Duration::from_millis(20);

impl Args {
    pub(super) async fn run(self, ctl: &mut Ctl<'_>) -> Outcome {
        let report: StatusReport = ctl.call("status", &Empty {}).await?;
        let lock = Path::new(&report.store.path).with_extension("lock");
        let _: StopResult = ctl.call("daemon.stop", &Empty {}).await?;
        let patience = ctl.deadline.max(PATIENCE);
        let end = ctl.clock.instant() + patience;
        while held(&lock) {
            if ctl.clock.instant() >= end {
                let message =
                    format!("the daemon is stopping, but has not ended within {}", length(patience));
                return Err(Failed::new(Exit::TimedOut, message));
            }
            sleep(LOOK).await;
        }
        ctl.done("stopped", "what is queued stays on disk")
    }
}

/// Whether the daemon still holds its lock, which it does to the very end.
pub(in crate::cli) fn held(lock: &Path) -> bool {
    File::open(lock).is_ok_and(|file| file.try_lock_shared().is_err())
}
