//! What is to be sent: by the command line, and by lines of standard input.

use std::io::{self, BufRead as _, Read as _};

use serde_json::Value;
use tokio::sync::mpsc;

use crate::cli::Failed;
use crate::cli::words::plain;
use crate::dialect::declarative::Handed;
use crate::dialect::record::message;

/// Messages of standard input that wait for their turn.
const TO_SEND: usize = 16;
/// Longest line of standard input: more than any server takes.
const MOST_INPUT: u64 = 64 << 20;

/// The messages of `--send TYPE JSON`.
pub(super) fn typed(words: &[String]) -> Result<Vec<Handed>, Failed> {
    words
        .chunks(2)
        .map(|pair| {
            let [kind, data] = pair else { return Err(Failed::usage("--send takes a type and its data")) };
            let data = serde_json::from_str::<&serde_json::value::RawValue>(data).map_err(|error| {
                Failed::usage(format!("the data of --send {} is not JSON: {error}", plain(kind)))
                    .hint(r#"write it as JSON, a text as '"text"'"#)
            })?;
            message(&format!("{{\"type\":{},\"data\":{data}}}", Value::from(kind.as_str())))
                .map_err(Failed::usage)
        })
        .collect()
}

/// Lines of standard input, read by a thread of its own: nothing else waits for a person's typing.
pub(super) fn standard_input() -> Option<mpsc::Receiver<Result<Handed, String>>> {
    let (read, lines) = mpsc::channel(TO_SEND);
    let reading = move || {
        let mut input = io::stdin().lock();
        loop {
            let mut line = String::new();
            let taken = match input.by_ref().take(MOST_INPUT).read_line(&mut line) {
                Ok(0) | Err(_) => return,
                Ok(taken) => taken as u64,
            };
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let handed = if taken == MOST_INPUT {
                Err("a line of standard input has more than 64 MiB".to_owned())
            } else {
                message(line).map_err(|why| {
                    format!("a line is a message like {{\"type\":\"chat\",\"data\":{{}}}}: {why}")
                })
            };
            if read.blocking_send(handed).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new().name("stdin".to_owned()).spawn(reading).ok()?;
    Some(lines)
}

/// The next of them; for ever none where nothing is read.
pub(super) async fn next_line(
    lines: &mut Option<mpsc::Receiver<Result<Handed, String>>>,
) -> Option<Result<Handed, String>> {
    match lines {
        Some(lines) => lines.recv().await,
        None => std::future::pending().await,
    }
}
