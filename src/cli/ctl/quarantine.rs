//! `ctl quarantine`: frames of the server that could not be read, and events that do not fit their
//! schema.

use super::Ctl;
use crate::cli::show;
use crate::cli::words::{counted, plain};
use crate::cli::{Exit, Failed, Outcome};
use crate::model::{ErrorKind, QuarantineEntry, Seq};
use crate::rpc::api::{
    Empty, QuarantineDropParams, QuarantineListParams, QuarantineListResult, QuarantineRetryParams,
    QuarantineRetryResult,
};

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
    #[command(group = clap::ArgGroup::new("which").required(true))]
    /// Judge one anew, or all, with the dialect and the schemas of now: what fits becomes events
    Retry {
        /// Its number
        #[arg(value_name = "N", group = "which")]
        id: Option<i64>,
        /// All of them
        #[arg(long, group = "which")]
        all: bool,
    },
}

impl Args {
    pub(super) async fn run(self, ctl: &mut Ctl<'_>) -> Outcome {
        match self.what.unwrap_or(What::List) {
            What::List => list(ctl).await,
            What::Show { id } => show(ctl, Seq(id)).await,
            What::Drop { id, yes } => {
                ctl.shell.confirm(&format!("Remove #{id} from quarantine for good?"), yes)?;
                let _: Empty = ctl.call("quarantine.drop", &QuarantineDropParams { id: Seq(id) }).await?;
                ctl.done("dropped", &format!("#{id}"))
            }
            What::Retry { id: Some(id), all: _ } => retry_one(ctl, Seq(id)).await,
            What::Retry { id: None, all: _ } => retry_all(ctl).await,
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

/// The entry with this number, if there is one.
async fn find(ctl: &mut Ctl<'_>, id: Seq) -> Result<Option<QuarantineEntry>, Failed> {
    let params = QuarantineListParams { limit: Some(1), after: Some(Seq(id.0.saturating_sub(1))) };
    let page: QuarantineListResult = ctl.call("quarantine.list", &params).await?;
    Ok(page.entries.into_iter().find(|entry| entry.id == id))
}

async fn show(ctl: &mut Ctl<'_>, id: Seq) -> Outcome {
    let Some(entry) = find(ctl, id).await? else {
        return Err(Failed::new(Exit::NotFound, format!("there is no #{id} in quarantine"))
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

async fn retry_one(ctl: &mut Ctl<'_>, id: Seq) -> Outcome {
    let params = QuarantineRetryParams { id: Some(id), ..QuarantineRetryParams::default() };
    let result: QuarantineRetryResult = ctl.call("quarantine.retry", &params).await?;
    if result.kept > 0 {
        let why = find(ctl, id).await?.map(|entry| format!(": {}", plain(&entry.detail))).unwrap_or_default();
        return Err(Failed::new(Exit::Failure, format!("#{id} stays in quarantine{why}"))
            .hint("mend the schema or the dialect, reload, and try again"));
    }
    told(ctl, &result, &format!("#{id}"))
}

/// All that stands there now, page by page.
async fn retry_all(ctl: &mut Ctl<'_>) -> Outcome {
    let mut sum = QuarantineRetryResult::default();
    let mut params = QuarantineRetryParams::default();
    loop {
        let page: QuarantineRetryResult = ctl.call("quarantine.retry", &params).await?;
        sum.released += page.released;
        sum.events += page.events;
        sum.duplicates += page.duplicates;
        sum.kept += page.kept;
        params.after = page.next;
        if !page.more || page.next.is_none() {
            break;
        }
    }
    let what = format!("{} of {}", sum.released, sum.released + sum.kept);
    told(ctl, &sum, &what)
}

fn told(ctl: &mut Ctl<'_>, result: &QuarantineRetryResult, what: &str) -> Outcome {
    if ctl.shell.json() {
        ctl.shell.document(result)?;
        return Ok(Exit::Ok);
    }
    let mut text = format!("released: {what}, {}", counted(u64::from(result.events), "new event"));
    if result.duplicates > 0 {
        text.push_str(&format!(", {} there already or outdated", result.duplicates));
    }
    if result.kept > 0 {
        text.push_str(&format!("; {} still do not fit (`holdline ctl quarantine`)", result.kept));
    }
    ctl.shell.print(&(text + "\n"))?;
    Ok(Exit::Ok)
}
