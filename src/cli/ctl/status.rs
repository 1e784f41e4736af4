//! `ctl status`: how it stands.

use super::Ctl;
use crate::cli::show;
use crate::cli::{Exit, Outcome};
use crate::model::{LinkState, Severity, StatusReport, Transition};
use crate::rpc::api::{Empty, SubscriptionResult};

const EXAMPLES: &str = "\
Examples:
  holdline ctl status                 one look
  holdline ctl status --watch         stays, and follows every change
  holdline ctl status --check         for scripts: exit 0 only while all is well";

/// `ctl status`.
#[derive(Debug, clap::Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct Args {
    /// Follow every change: in place on a terminal, one line each in a pipe
    #[arg(long, conflicts_with_all = ["check", "why"])]
    watch: bool,
    /// Exit 4 unless connected and nothing is wrong
    #[arg(long)]
    check: bool,
    /// Tell also how it came to this, as `ctl why` does
    #[arg(long)]
    why: bool,
}

/// Longest time a report on a terminal stands still: the ages in it grow.
const REDRAW: std::time::Duration = std::time::Duration::from_secs(1);

impl Args {
    pub(super) async fn run(self, ctl: &mut Ctl<'_>) -> Outcome {
        if self.watch {
            return watch(ctl).await;
        }
        let report: StatusReport = ctl.call("status", &Empty {}).await?;
        let history = match self.why {
            true => Some(super::why::history(ctl).await?),
            false => None,
        };
        if ctl.shell.json() {
            ctl.shell.document(&Whole { report: &report, history: history.as_deref() })?;
        } else {
            let reader = ctl.reader();
            let mut text = show::status::report(&report, &reader, ctl.shell.globals().verbose > 0);
            if let Some(history) = &history {
                text.push('\n');
                text.push_str(&show::history::story(history, &report.link, &reader));
            }
            ctl.shell.print(&text)?;
        }
        Ok(if self.check && !healthy(&report) { Exit::Unhealthy } else { Exit::Ok })
    }
}

/// The report, and with `--why` its history beside it.
#[derive(serde::Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    report: &'a StatusReport,
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<&'a [Transition]>,
}

/// What `--check` asks: connected, and nothing that somebody should look at.
fn healthy(report: &StatusReport) -> bool {
    report.link.state == LinkState::Connected
        && report.health.iter().all(|entry| entry.severity < Severity::Warning)
}

async fn watch(ctl: &mut Ctl<'_>) -> Outcome {
    let (_, mut changes): (SubscriptionResult, _) = ctl.subscribe("status.watch", &Empty {}).await?;
    let in_place = ctl.shell.watched() && !ctl.shell.json();
    let mut said = String::new();
    loop {
        // Only that it changed matters: the report holds the link too.
        if in_place {
            ctl.next_within(&mut changes, REDRAW).await?;
        } else {
            ctl.next(&mut changes).await?;
        }
        let report: StatusReport = ctl.call("status", &Empty {}).await?;
        let reader = ctl.reader();
        if ctl.shell.json() {
            ctl.shell.document(&report)?;
        } else if in_place {
            let text = show::status::report(&report, &reader, ctl.shell.globals().verbose > 0);
            ctl.shell.redraw(&text)?;
        } else {
            let line = show::status::sentence(&report.link, &report.outbox, &reader);
            if line != said {
                ctl.shell.print(&format!("{} {line}\n", reader.clock(reader.now)))?;
                said = line;
            }
        }
    }
}
