//! `ctl request`: asks the server, and prints its reply.

use std::time::Duration;

use super::Ctl;
use super::send::{WAIT, data, millis};
use crate::cli::args::duration;
use crate::cli::words::plain;
use crate::cli::{Exit, Failed, Outcome};
use crate::client::CallError;
use crate::rpc::api::RequestParams;

const EXAMPLES: &str = r#"Examples:
  holdline ctl request get_order '{"orderId":"9123"}'
  holdline ctl request get_order '{"orderId":"9123"}' --timeout 2s && echo answered"#;

/// `ctl request`.
#[derive(Debug, clap::Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct Args {
    /// The request's type
    #[arg(value_name = "TYPE")]
    kind: String,
    /// Its data: JSON ({} where absent), or - to read it from standard input
    #[arg(value_name = "DATA", allow_negative_numbers = true)]
    data: Option<String>,
    /// How long to wait for the reply (default 30s)
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    timeout: Option<Duration>,
}

impl Args {
    pub(super) async fn run(self, ctl: &mut Ctl<'_>) -> Outcome {
        let params = RequestParams {
            kind: Some(self.kind),
            data: Some(data(self.data.as_deref())?),
            timeout_ms: Some(millis(self.timeout.unwrap_or(WAIT))),
            ..RequestParams::default()
        };
        let client = ctl.connected().await?.within(ctl.deadline);
        let json = ctl.shell.json();
        let result = client.request(&params).await.map_err(|error| refused(error, json))?;
        if json {
            ctl.shell.document(&result)?;
        } else if let Some(reply) = &result.reply {
            ctl.shell.print(&format!("{}\n", plain(reply.get())))?;
        } else {
            ctl.shell.note("The server took it, and its reply says nothing more.");
        }
        Ok(Exit::Ok)
    }
}

/// With what the server said in full, where it refused; programs have it as a member.
fn refused(error: CallError, json: bool) -> Failed {
    let failed = Failed::from(error);
    match failed.extra.get("reply").filter(|_| !json) {
        Some(reply) => {
            let said = format!("  the server said: {}", plain(&reply.to_string()));
            failed.detail(said)
        }
        None => failed,
    }
}
