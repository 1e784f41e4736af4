//! `ctl metrics`: the daemon's numbers, as Prometheus reads them.

use super::Ctl;
use crate::cli::{Exit, Outcome};
use crate::rpc::api::{Empty, MetricsResult};

/// `ctl metrics`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

impl Args {
    pub(super) async fn run(self, ctl: &mut Ctl<'_>) -> Outcome {
        let result: MetricsResult = ctl.call("metrics", &Empty {}).await?;
        if ctl.shell.json() {
            ctl.shell.document(&result)?;
        } else {
            ctl.shell.raw(result.text.as_bytes())?;
        }
        Ok(Exit::Ok)
    }
}
