//! `ctl messages`: what is queued, what became of it, and what a person decides about it.

use super::Ctl;
use crate::cli::show;
use crate::cli::words::plain;
use crate::cli::{Exit, Outcome};
use crate::model::{Message, MessageId, MessageState};
use crate::rpc::api::{MessageParams, MessagesListParams, MessagesListResult};

const EXAMPLES: &str = "\
Examples:
  holdline ctl messages --state parked --state uncertain    what waits for a person
  holdline ctl messages show ID                             the story of one
  holdline ctl messages retry ID";

/// Messages asked for in one call.
const PAGE: u32 = 500;

/// `ctl messages`.
#[derive(Debug, clap::Args)]
#[command(before_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// List messages, oldest first
    List(ListArgs),
    /// Tell the story of one
    Show(OneArgs),
    /// Take back one that is not on the wire
    Cancel(OneArgs),
    /// Send one again that is parked, uncertain or rejected
    Retry(OneArgs),
    /// Give up one that is parked, uncertain or rejected, for good
    Drop(DropArgs),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// Only messages in this state (may be given more than once)
    #[arg(long, value_name = "STATE", value_parser = super::message_state())]
    state: Vec<MessageState>,
    /// Only types that fit this glob (may be given more than once)
    #[arg(long = "type", value_name = "GLOB")]
    kind: Vec<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: u32,
}

#[derive(Debug, clap::Args)]
struct OneArgs {
    /// The message's id
    #[arg(value_name = "ID", value_parser = super::message_id)]
    id: MessageId,
}

#[derive(Debug, clap::Args)]
struct DropArgs {
    #[command(flatten)]
    one: OneArgs,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl Args {
    pub(super) async fn run(self, ctl: &mut Ctl<'_>) -> Outcome {
        match self.what {
            None => list(ctl, self.list).await,
            Some(What::List(args)) => list(ctl, args).await,
            Some(What::Show(one)) => super::why::message(ctl, one.id).await,
            Some(What::Cancel(one)) => decide(ctl, "messages.cancel", one.id).await,
            Some(What::Retry(one)) => decide(ctl, "messages.retry", one.id).await,
            Some(What::Drop(args)) => {
                let id = plain(args.one.id.as_str());
                ctl.shell.confirm(&format!("Give up message {id} for good?"), args.yes)?;
                decide(ctl, "messages.drop", args.one.id).await
            }
        }
    }
}

async fn list(ctl: &mut Ctl<'_>, args: ListArgs) -> Outcome {
    let some = |list: Vec<String>| (!list.is_empty()).then_some(list);
    let mut params = MessagesListParams {
        state: (!args.state.is_empty()).then_some(args.state),
        kind: some(args.kind),
        ..MessagesListParams::default()
    };
    let mut messages: Vec<Message> = Vec::new();
    let mut left = args.limit;
    let more = loop {
        params.limit = Some(left.min(PAGE));
        let page: MessagesListResult = ctl.call("messages.list", &params).await?;
        left = left.saturating_sub(u32::try_from(page.messages.len()).unwrap_or(u32::MAX));
        messages.extend(page.messages);
        params.after = messages.last().map(|message| message.id.clone());
        if left == 0 || !page.more || params.after.is_none() {
            break page.more;
        }
    };
    if ctl.shell.json() {
        ctl.shell.document(&MessagesListResult { messages, more })?;
    } else {
        let text = show::message::list(&messages, &ctl.reader());
        ctl.shell.print(&text)?;
        if more {
            ctl.shell.note(&format!("There are more than these {}; --limit N shows them.", messages.len()));
        }
    }
    Ok(Exit::Ok)
}

/// Does what a person decided, and tells where the message stands now.
async fn decide(ctl: &mut Ctl<'_>, method: &'static str, id: MessageId) -> Outcome {
    let message: Message = ctl.call(method, &MessageParams { id }).await?;
    if ctl.shell.json() {
        ctl.shell.document(&message)?;
    } else {
        ctl.shell.print(&format!("{} {}\n", message.state.as_str(), plain(message.id.as_str())))?;
    }
    Ok(Exit::Ok)
}
