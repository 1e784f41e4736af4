//! `ctl why`: how the link, or a message, came to where it is.

use super::Ctl;
use crate::cli::show;
use crate::cli::{Exit, Failed, Outcome};
use crate::model::{Message, MessageId, StatusReport, Transition};
use crate::rpc::api::{Empty, HistoryParams, HistoryResult, MessageParams, NotificationsHistoryResult};

/// Changes of the link that are told.
const TOLD: u32 = 20;

/// Notifications of which is told what became of them.
const NOTICES: u32 = 5;

/// `ctl why`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The story of this message instead of the link's
    #[arg(value_name = "MESSAGE_ID", value_parser = super::message_id)]
    id: Option<MessageId>,
}

impl Args {
    pub(super) async fn run(self, ctl: &mut Ctl<'_>) -> Outcome {
        match self.id {
            Some(id) => message(ctl, id).await,
            None => link(ctl).await,
        }
    }
}

/// The newest changes of the link's state, oldest first.
pub(super) async fn history(ctl: &mut Ctl<'_>) -> Result<Vec<Transition>, Failed> {
    let result: HistoryResult = ctl.call("link.history", &HistoryParams { limit: Some(TOLD) }).await?;
    Ok(result.history)
}

/// The story of a message.
pub(super) async fn message(ctl: &mut Ctl<'_>, id: MessageId) -> Outcome {
    let message: Message = ctl.call("messages.get", &MessageParams { id }).await?;
    if ctl.shell.json() {
        ctl.shell.document(&message)?;
    } else {
        let text = show::message::story(&message, &ctl.reader());
        ctl.shell.print(&text)?;
    }
    Ok(Exit::Ok)
}

async fn link(ctl: &mut Ctl<'_>) -> Outcome {
    let history = history(ctl).await?;
    let report: StatusReport = ctl.call("status", &Empty {}).await?;
    let params = HistoryParams { limit: Some(NOTICES) };
    let notices: NotificationsHistoryResult = ctl.call("notifications.history", &params).await?;
    let notices = notices.history;
    if ctl.shell.json() {
        let story = serde_json::json!({ "history": history, "link": report.link, "notices": notices });
        ctl.shell.document(&story)?;
    } else {
        let mut text = show::history::story(&history, &report.link, &ctl.reader());
        if !notices.is_empty() {
            text.push_str("\nNotifications\n");
            text.push_str(&show::notice::lines(&notices, &ctl.reader()));
        }
        ctl.shell.print(&text)?;
    }
    Ok(Exit::Ok)
}
