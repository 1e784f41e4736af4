//! `ctl cursors`: how far each app has read.

use super::Ctl;
use crate::cli::show;
use crate::cli::words::plain;
use crate::cli::{Exit, Outcome};
use crate::rpc::api::{CursorParams, CursorsListResult, Empty};

/// `ctl cursors`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// List them
    List,
    /// Delete one: an app that comes back with it begins at the earliest kept event
    Delete {
        /// Its name
        name: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

impl Args {
    pub(super) async fn run(self, ctl: &mut Ctl<'_>) -> Outcome {
        match self.what.unwrap_or(What::List) {
            What::List => {
                let result: CursorsListResult = ctl.call("cursors.list", &Empty {}).await?;
                if ctl.shell.json() {
                    ctl.shell.document(&result)?;
                } else {
                    let text = show::status::cursor_list(&result.cursors, &ctl.reader());
                    ctl.shell.print(&text)?;
                }
                Ok(Exit::Ok)
            }
            What::Delete { name, yes } => {
                ctl.shell.confirm(&format!("Delete the cursor {}?", plain(&name)), yes)?;
                let _: Empty = ctl.call("cursors.delete", &CursorParams { name: name.clone() }).await?;
                ctl.done("deleted", &plain(&name))
            }
        }
    }
}
