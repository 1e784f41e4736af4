//! `ctl quarantine`: frames of the server that could not be read.

use super::Ctl;
use crate::cli::show;
use crate::cli::{Exit, Failed, Outcome};
use crate::model::{ErrorKind, QuarantineEntry, Seq};
use crate::rpc::api::{Empty, QuarantineDropParams, QuarantineListParams, QuarantineListResult};

/// `ctl quarantine`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// List them, oldest first
    List,
    /// Show one whole
    Show {
        /// Its number
        #[arg(value_name = "N")]
        id: i64,
    },
    /// Remove one for good; that something was missing there stays told
    Drop {
        /// Its number
        #[arg(value_name = "N")]
        id: i64,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

impl Args {
    pub(super) async fn run(self, ctl: &mut Ctl<'_>) -> Outcome {
        match self.what.unwrap_or(What::List) {
            What::List => list(ctl).await,
            What::Show { id } => show(ctl, Seq(id)).await,
            What::Drop { id, yes } => {
                ctl.shell.confirm(&format!("Remove frame #{id} from quarantine for good?"), yes)?;
                let _: Empty = ctl.call("quarantine.drop", &QuarantineDropParams { id: Seq(id) }).await?;
                ctl.done("dropped", &format!("#{id}"))
            }
        }
    }
}

async fn list(ctl: &mut Ctl<'_>) -> Outcome {
    let mut entries: Vec<QuarantineEntry> = Vec::new();
    let mut params = QuarantineListParams::default();
    loop {
        let page: QuarantineListResult = ctl.call("quarantine.list", &params).await?;
        params.after = page.entries.last().map(|entry| entry.id);
        entries.extend(page.entries);
        if !page.more || params.after.is_none() {
            break;
        }
    }
    if ctl.shell.json() {
        ctl.shell.document(&QuarantineListResult { entries, more: false })?;
    } else {
        let text = show::event::quarantine(&entries, &ctl.reader());
        ctl.shell.print(&text)?;
    }
    Ok(Exit::Ok)
}

async fn show(ctl: &mut Ctl<'_>, id: Seq) -> Outcome {
    let params = QuarantineListParams { limit: Some(1), after: Some(Seq(id.0.saturating_sub(1))) };
    let page: QuarantineListResult = ctl.call("quarantine.list", &params).await?;
    let Some(entry) = page.entries.into_iter().find(|entry| entry.id == id) else {
        return Err(Failed::new(Exit::NotFound, format!("there is no frame #{id} in quarantine"))
            .kind(ErrorKind::NotFound)
            .hint("`holdline ctl quarantine` lists them"));
    };
    if ctl.shell.json() {
        ctl.shell.document(&entry)?;
    } else {
        let text = show::event::quarantined(&entry, &ctl.reader());
        ctl.shell.print(&text)?;
    }
    Ok(Exit::Ok)
}
