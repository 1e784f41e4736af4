//! `ctl wait`: until the link is in a state.

use std::time::Duration;

use super::Ctl;
use crate::cli::args::duration;
use crate::cli::show;
use crate::cli::words::length;
use crate::cli::{Exit, Failed, Outcome};
use crate::client::Note;
use crate::model::{ErrorKind, LinkState, LinkStatus, OutboxStatus};
use crate::rpc::api::{Empty, SubscriptionResult};

const EXAMPLES: &str = "\
Examples:
  holdline ctl wait --for connected
  holdline ctl wait --for connected --timeout 2m && ./send-the-report.sh";

/// `ctl wait`.
#[derive(Debug, clap::Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct Args {
    /// The state to wait for
    #[arg(long = "for", value_name = "STATE", value_parser = super::link_state())]
    state: LinkState,
    /// How long to wait, for the daemon to start too
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    timeout: Duration,
}

impl Args {
    pub(super) async fn run(self, ctl: &mut Ctl<'_>) -> Outcome {
        let deadline = ctl.clock.instant() + self.timeout;
        ctl.connect_until(deadline).await?;
        let (_, mut changes): (SubscriptionResult, _) = ctl.subscribe("status.watch", &Empty {}).await?;
        let mut last: Option<LinkStatus> = None;
        loop {
            let left = deadline.since(ctl.clock.instant());
            let link = match ctl.next_within(&mut changes, left).await? {
                Some(Note::Status(note)) => note.link,
                Some(_) => continue,
                None => return Err(self.too_late(ctl, last.as_ref())),
            };
            if link.state == self.state {
                if ctl.shell.json() {
                    ctl.shell.document(&serde_json::json!({ "state": link.state, "link": link }))?;
                } else if ctl.shell.globals().verbose > 0 {
                    ctl.shell.note(&format!("{} {}", show::status::dot(link.state), link.state.label()));
                }
                return Ok(Exit::Ok);
            }
            last = Some(link);
        }
    }

    fn too_late(&self, ctl: &Ctl<'_>, last: Option<&LinkStatus>) -> Failed {
        // Only the link counts here: the sentence is to say nothing of messages.
        let now = last.map(|link| show::status::sentence(link, &OutboxStatus::default(), &ctl.reader()));
        let message = format!("not {} within {}", self.state.as_str(), length(self.timeout));
        Failed::new(Exit::TimedOut, message).kind(ErrorKind::Timeout).detail(now.unwrap_or_default())
    }
}
