//! `ctl doctor`: look at one thing after the other, and say what is wrong and what to do.

use std::time::Duration;

use serde_json::json;

use super::Ctl;
use crate::cli::show;
use crate::cli::{Exit, Failed, Outcome};
use crate::daemon;
use crate::rpc::api::{Check, ClientInfo, DoctorParams, DoctorResult, HelloParams, HelloResult};

const EXAMPLES: &str = "\
Examples:
  holdline ctl doctor                 what is wrong, and what to do about it
  holdline ctl doctor --full          read the whole database as well
  holdline ctl doctor --json          for scripts: exit 0 where all is well, else 4";

/// `ctl doctor`.
#[derive(Debug, clap::Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct Args {
    /// Look the whole database through now; seconds for each GiB
    #[arg(long)]
    full: bool,
}

/// How long the daemon may take: half a minute, and a little.
const PATIENCE: Duration = Duration::from_secs(35);
/// With `--full`, on a large database and a slow disk.
const FULL_PATIENCE: Duration = Duration::from_secs(640);

impl Args {
    pub(super) async fn run(self, ctl: &mut Ctl<'_>) -> Outcome {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let hello = HelloParams { client: ClientInfo { name: "ctl".to_owned(), version } };
        let (checks, from_here) = match ctl.call::<HelloResult>("hello", &hello).await {
            Ok(daemon) => (self.ask(ctl, &daemon.daemon_version).await?, false),
            // Whether nobody listens or nobody answers: this is what a doctor is for.
            Err(failed) if failed.exit == Exit::NotRunning => {
                (daemon::doctor::offline(&ctl.sources).await, true)
            }
            Err(failed) => return Err(failed),
        };
        if ctl.shell.json() {
            ctl.shell.document(&json!({ "checks": checks, "daemon_asked": !from_here }))?;
        } else {
            ctl.shell.print(&show::doctor::report(&checks, from_here))?;
        }
        Ok(if checks.iter().any(|check| check.ok == Some(false)) { Exit::Unhealthy } else { Exit::Ok })
    }

    async fn ask(&self, ctl: &mut Ctl<'_>, running: &str) -> Result<Vec<Check>, Failed> {
        let version = env!("CARGO_PKG_VERSION");
        let least = if self.full { FULL_PATIENCE } else { PATIENCE };
        let patience = ctl.deadline.max(least);
        let params = DoctorParams { full: self.full.then_some(true) };
        let result: DoctorResult = ctl.call_within("doctor", &params, patience).await?;
        let mut checks = result.checks;
        if running != version
            && let Some(check) = checks.iter_mut().find(|check| check.code == "daemon")
        {
            let detail = format!("{}, but this command is of version {version}", check.detail);
            *check = Check::bad("daemon", detail, "restart the daemon, so that both are the same");
        }
        Ok(checks)
    }
}
