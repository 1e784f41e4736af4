//! `ctl notify`: mute notifications, try them, and see what became of them.

use std::time::Duration;

use super::Ctl;
use crate::cli::args::duration;
use crate::cli::show;
use crate::cli::{Exit, Outcome};
use crate::rpc::api::{Empty, HistoryParams, MuteParams, NotificationsHistoryResult, NotificationsResult};

/// `ctl notify`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Show none, over restarts too; those that come meanwhile are counted and not shown later
    Mute {
        /// For so long; without it until `unmute`
        #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
        span: Option<Duration>,
    },
    /// Show them again
    Unmute,
    /// Show one now, muted or not
    Test,
    /// Show what became of the newest ones
    History {
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: u32,
    },
}

impl Args {
    pub(super) async fn run(self, ctl: &mut Ctl<'_>) -> Outcome {
        let (result, said): (NotificationsResult, _) = match self.what {
            What::Mute { span } => {
                let for_ms = span.map(|span| u64::try_from(span.as_millis()).unwrap_or(u64::MAX));
                let result: NotificationsResult =
                    ctl.call("notifications.mute", &MuteParams { for_ms }).await?;
                let text = result.muted_until.map(|until| show::notice::muted(until, &ctl.reader()));
                (result, format!("Notifications are {}.\n", text.unwrap_or_default()))
            }
            What::Unmute => {
                let result = ctl.call("notifications.unmute", &Empty {}).await?;
                (result, "Notifications are shown.\n".to_owned())
            }
            What::Test => {
                let result: NotificationsResult = ctl.call("notifications.test", &Empty {}).await?;
                let who = result.backend.as_deref().map(crate::cli::words::plain);
                (result, format!("Shown by {}.\n", who.unwrap_or_else(|| "the desktop".to_owned())))
            }
            What::History { limit } => return history(ctl, limit).await,
        };
        if ctl.shell.json() {
            ctl.shell.document(&result)?;
        } else {
            ctl.shell.print(&said)?;
        }
        Ok(Exit::Ok)
    }
}

async fn history(ctl: &mut Ctl<'_>, limit: u32) -> Outcome {
    let params = HistoryParams { limit: Some(limit) };
    let result: NotificationsHistoryResult = ctl.call("notifications.history", &params).await?;
    if ctl.shell.json() {
        ctl.shell.document(&result)?;
    } else if result.history.is_empty() {
        ctl.shell.print("No notifications in this run.\n")?;
    } else {
        let text = show::notice::lines(&result.history, &ctl.reader());
        ctl.shell.print(&text)?;
    }
    Ok(Exit::Ok)
}
