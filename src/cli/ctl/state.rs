//! `ctl state`: the newest event of each key.

use super::Ctl;
use crate::cli::show;
use crate::cli::{Exit, Outcome};
use crate::model::Event;
use crate::rpc::api::{StateGetParams, StateListParams, StateListResult};

const EXAMPLES: &str = "\
Examples:
  holdline ctl state order_status          the newest of every order
  holdline ctl state order_status 9123     of this one";

/// `ctl state`.
#[derive(Debug, clap::Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct Args {
    /// Type of the events
    #[arg(value_name = "TYPE")]
    kind: String,
    /// The key; without it, all of them
    key: Option<String>,
}

impl Args {
    pub(super) async fn run(self, ctl: &mut Ctl<'_>) -> Outcome {
        let Some(key) = self.key else { return all(ctl, self.kind).await };
        let event: Event = ctl.call("state.get", &StateGetParams { kind: self.kind, key }).await?;
        ctl.event(&event)?;
        Ok(Exit::Ok)
    }
}

async fn all(ctl: &mut Ctl<'_>, kind: String) -> Outcome {
    let mut params = StateListParams { kind, limit: None, after: None };
    let mut none = true;
    loop {
        let page: StateListResult = ctl.call("state.list", &params).await?;
        for event in &page.events {
            ctl.event(event)?;
        }
        none &= page.events.is_empty();
        params.after = page.next;
        if !page.more || params.after.is_none() {
            break;
        }
    }
    if none && !ctl.shell.json() {
        ctl.shell.note(show::event::NO_STATE);
    }
    Ok(Exit::Ok)
}
