//! `ctl link`: pause, resume, dial anew.

use super::Ctl;
use crate::cli::show;
use crate::cli::{Exit, Outcome};
use crate::rpc::api::{Empty, LinkResult};

/// `ctl link`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Close the link and keep it closed, over restarts too; messages are queued meanwhile
    Pause,
    /// Dial again after a pause
    Resume,
    /// Dial anew at once
    Reconnect,
}

impl Args {
    pub(super) async fn run(self, ctl: &mut Ctl<'_>) -> Outcome {
        let method = match self.what {
            What::Pause => "link.pause",
            What::Resume => "link.resume",
            What::Reconnect => "link.reconnect",
        };
        let result: LinkResult = ctl.call(method, &Empty {}).await?;
        if ctl.shell.json() {
            ctl.shell.document(&result)?;
        } else {
            let line = format!("{} {}\n", show::status::dot(result.state), result.state.label());
            ctl.shell.print(&line)?;
        }
        Ok(Exit::Ok)
    }
}
