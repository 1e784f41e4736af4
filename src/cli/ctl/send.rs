//! `ctl send`: hands a message to the daemon.

use std::io::Read;
use std::time::Duration;

use base64::Engine;
use serde_json::value::RawValue;

use super::Ctl;
use crate::cli::args::duration;
use crate::cli::show::{FAINT, styled};
use crate::cli::words::plain;
use crate::cli::{Exit, Failed, Outcome};
use crate::model::{Delivery, Durability, Level, MessageId, MessageState, Receipt};
use crate::rpc::api::{Binary, Encoding, SendParams};

const EXAMPLES: &str = r#"Examples:
  holdline ctl send chat '{"text":"Hello"}'
  holdline ctl send chat '{"text":"Hello"}' --wait accepted --timeout 1m
  generate-report | holdline ctl send report - --ttl 1h
  holdline ctl send --text 'a raw text frame'"#;

/// How long is waited for the server where nothing is said.
pub(super) const WAIT: Duration = Duration::from_secs(30);
/// Most that is read from standard input: more than any server or daemon takes.
const MAX_INPUT: u64 = 64 * 1024 * 1024;

/// `ctl send`.
#[derive(Debug, clap::Args)]
#[command(before_help = EXAMPLES, override_usage = "holdline ctl send [OPTIONS] TYPE [DATA|-]\n       \
    holdline ctl send [OPTIONS] --text|--binary PAYLOAD|-")]
pub(crate) struct Args {
    /// The message's type; with --text or --binary the payload, and no data
    #[arg(value_name = "TYPE")]
    first: String,
    /// Its data: JSON ({} where absent), or - to read it from standard input
    #[arg(value_name = "DATA", allow_negative_numbers = true)]
    second: Option<String>,
    /// Send a raw text frame
    #[arg(long, conflicts_with = "binary")]
    text: bool,
    /// Send a raw binary frame
    #[arg(long)]
    binary: bool,
    /// Your id for it: sent again with the same id, it is queued once
    #[arg(long, value_name = "ID", value_parser = super::message_id)]
    id: Option<MessageId>,
    /// Never send it later than this
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    ttl: Option<Duration>,
    /// Its key, instead of the one the configuration finds in the data
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// The lane whose order it keeps
    #[arg(long, value_name = "LANE")]
    lane: Option<String>,
    /// Never store it; without a link it is dropped
    #[arg(long)]
    ephemeral: bool,
    /// Return only when it has come this far
    #[arg(long, value_name = "LEVEL", value_parser = super::level())]
    wait: Option<Level>,
    /// How long to wait for that (default 30s)
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    timeout: Option<Duration>,
}

impl Args {
    pub(super) async fn run(self, ctl: &mut Ctl<'_>) -> Outcome {
        let wait = self.wait.map(|_| self.timeout.unwrap_or(WAIT));
        let params = self.params(ctl)?;
        let id = params.id.clone();
        let deadline = ctl.deadline + wait.unwrap_or_default();
        let sent: Result<Receipt, Failed> = match &id {
            Some(_) => ctl.call_twice_within("messages.send", &params, deadline).await,
            None => ctl.call_within("messages.send", &params, deadline).await,
        };
        let receipt = sent.map_err(|failed| unanswered(failed, id.as_ref()))?;
        if ctl.shell.json() {
            ctl.shell.document(&receipt)?;
        } else {
            ctl.shell.print(&told(&receipt))?;
        }
        Ok(Exit::Ok)
    }

    fn params(self, ctl: &Ctl<'_>) -> Result<SendParams, Failed> {
        // An id of ours, so that after a lost answer the same call can be made again.
        let id = if self.ephemeral { self.id } else { self.id.or_else(|| Some(ctl.clock.uuid().into())) };
        let mut params = SendParams {
            id,
            ttl_ms: self.ttl.map(millis),
            key: self.key,
            lane: self.lane,
            delivery: self.ephemeral.then_some(Delivery::Ephemeral),
            wait: self.wait,
            timeout_ms: self.wait.map(|_| millis(self.timeout.unwrap_or(WAIT))),
            ..SendParams::default()
        };
        let (first, second) = (self.first, self.second);
        if self.text || self.binary {
            if second.is_some() {
                return Err(Failed::usage("a raw frame has a payload and no type")
                    .hint("write `holdline ctl send --text PAYLOAD`"));
            }
            let payload = if first == "-" { input()? } else { first.into_bytes() };
            if self.binary {
                let data = base64::engine::general_purpose::STANDARD.encode(payload);
                params.binary = Some(Binary { encoding: Encoding::Base64, data });
            } else {
                let text = String::from_utf8(payload);
                params.text = Some(text.map_err(|_| Failed::usage("the payload is no UTF-8 text"))?);
            }
        } else {
            params.kind = Some(first);
            params.data = Some(data(second.as_deref())?);
        }
        Ok(params)
    }
}

/// A duration as the interface takes it.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The data as it was typed: JSON, `-` for what standard input gives, `{}` where there is none.
pub(super) fn data(typed: Option<&str>) -> Result<Box<RawValue>, Failed> {
    match typed {
        None => json("{}"),
        Some("-") => {
            let text = String::from_utf8(input()?);
            json(&text.map_err(|_| Failed::usage("what standard input gave is no UTF-8 text"))?)
        }
        Some(text) => json(text),
    }
}

/// `text` as JSON.
fn json(text: &str) -> Result<Box<RawValue>, Failed> {
    serde_json::from_str(text).map_err(|error| {
        Failed::usage(format!("DATA is not JSON: {error}"))
            .hint(r#"write it as JSON, a text as '"text"'; --text sends a raw text frame"#)
    })
}

fn input() -> Result<Vec<u8>, Failed> {
    let mut bytes = Vec::new();
    std::io::stdin()
        .lock()
        .take(MAX_INPUT + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failed::new(Exit::Failure, format!("cannot read standard input: {error}")))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_INPUT) {
        return Err(Failed::new(Exit::Limit, "standard input holds more than 64 MiB"));
    }
    Ok(bytes)
}

/// The answer is lost, the message perhaps not: says how to find out without sending it twice.
fn unanswered(mut failed: Failed, id: Option<&MessageId>) -> Failed {
    if let (true, Some(id)) = (failed.unanswered, id) {
        failed.hint =
            format!("send it again with `--id {id}`: it is queued once, whatever became of this call");
        failed.extra.insert("id".to_owned(), id.as_str().into());
    }
    failed
}

/// The receipt for people: how far it is, its id, and what that is worth.
fn told(receipt: &Receipt) -> String {
    let worth = match (receipt.duplicate, receipt.state, receipt.durability) {
        (true, ..) => "handed in before: this is where it stands",
        (_, MessageState::Queued, Durability::Full) => "on disk",
        (_, MessageState::Queued, Durability::Normal) => "stored; durability is normal",
        (_, MessageState::Dropped, _) => receipt.reason.as_deref().unwrap_or("ephemeral, and no link"),
        _ => "",
    };
    let mut text = format!("{} {}", receipt.state.as_str(), plain(receipt.id.as_str()));
    if !worth.is_empty() {
        text.push_str("  ");
        text.push_str(&styled(FAINT, &plain(worth)));
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt(state: MessageState, durability: Durability) -> Receipt {
        Receipt {
            id: MessageId::new("m1").expect("written here"),
            state,
            durability,
            duplicate: false,
            reason: None,
        }
    }

    fn shown(receipt: &Receipt) -> String {
        anstream::adapter::strip_str(&told(receipt)).to_string()
    }

    #[test]
    fn a_receipt_says_what_it_is_worth() {
        assert_eq!(shown(&receipt(MessageState::Queued, Durability::Full)), "queued m1  on disk\n");
        assert_eq!(shown(&receipt(MessageState::Accepted, Durability::Full)), "accepted m1\n");
        let dropped = Receipt {
            reason: Some("no link".to_owned()),
            ..receipt(MessageState::Dropped, Durability::None)
        };
        assert_eq!(shown(&dropped), "dropped m1  no link\n");
        let again = Receipt { duplicate: true, ..receipt(MessageState::Sent, Durability::Full) };
        assert_eq!(shown(&again), "sent m1  handed in before: this is where it stands\n");
    }

    #[test]
    fn data_that_is_not_json_is_a_usage_error() {
        let failed = json("Hello").expect_err("no JSON");
        assert_eq!(failed.exit, Exit::Usage);
        assert!(failed.hint.contains("--text"));
        assert_eq!(json(" [1, 2.50] ").expect("JSON").get(), "[1, 2.50]");
    }

    #[test]
    fn a_lost_answer_names_the_id_to_repeat_the_call_with() {
        let id = MessageId::new("m1").expect("written here");
        let mut lost = Failed::new(Exit::NotRunning, "no answer");
        assert_eq!(unanswered(lost.clone(), Some(&id)).hint, "");
        lost.unanswered = true;
        assert!(unanswered(lost, Some(&id)).hint.contains("--id m1"));
    }
}
