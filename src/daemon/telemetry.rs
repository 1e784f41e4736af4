//! Logs: one line per thing that happened, to standard error.
//!
//! Levels: `error` – something is lost or will be unless a person acts; `warn` – something a
//! person should know; `info` – one line per change of state; `debug` – what the daemon does
//! about it; `trace` – each step. Payloads are never logged at `info` and above, credentials never.

use std::io::IsTerminal as _;

use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{EnvFilter, LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::LogFormat;

/// Libraries whose `debug` and `trace` lines hold headers or frames, and so credentials. Whatever
/// a person asks for, they stay at `info`.
const CAPPED: [&str; 6] = ["tungstenite", "tokio_tungstenite", "rustls", "hyper", "hyper_util", "mio"];

/// The level asked for, one step finer for each `-v`. A filter with targets is taken as it is.
pub(super) fn level(configured: &str, verbosity: u8) -> String {
    const STEPS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];
    match STEPS.iter().position(|step| step.eq_ignore_ascii_case(configured)) {
        Some(at) => STEPS[(at + usize::from(verbosity)).min(STEPS.len() - 1)].to_owned(),
        None => configured.to_owned(),
    }
}

/// Begins logging. Only the first call counts.
///
/// # Errors
/// A sentence, when `level` is no filter.
pub(super) fn start(level: &str, format: LogFormat) -> Result<(), String> {
    let filter = EnvFilter::builder()
        .parse(level)
        .map_err(|error| format!("`{level}` is no log level or filter: {error}"))?;
    let cap = CAPPED.iter().fold(Targets::new().with_default(LevelFilter::TRACE), |cap, name| {
        cap.with_target(*name, LevelFilter::INFO)
    });
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
        .with_target(false);
    // Under systemd the journal has its own clock.
    let journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let layer = match (format, journal) {
        (LogFormat::Json, _) => lines.json().flatten_event(true).boxed(),
        (LogFormat::Auto | LogFormat::Text, true) => lines.without_time().boxed(),
        (LogFormat::Auto | LogFormat::Text, false) => lines.boxed(),
    };
    let _ = tracing_subscriber::registry().with(layer.with_filter(cap).with_filter(filter)).try_init();
    Ok(())
}
