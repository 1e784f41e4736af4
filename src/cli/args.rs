//! The grammar of the command line, and nothing else.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::{completions, dev_server};

const EXAMPLES: &str = "\
Examples:
  holdline demo                            see everything at work, on this machine alone
  holdline config init --url wss://HOST/   write a first configuration
  holdline run                             hold the line (what a service manager starts)
  holdline ctl status                      how it stands";

/// Holds the one WebSocket session to a server for every app on this machine, and loses nothing.
#[derive(Debug, Parser)]
#[command(name = "holdline", version, before_help = EXAMPLES, propagate_version = true, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,

    /// How long a call to the daemon may take (default 5s)
    #[arg(long, value_name = "DURATION", value_parser = duration, help_heading = "Global options")]
    pub(crate) timeout: Option<Duration>,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What can be asked for.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// A server to develop against, on this machine alone
    DevServer(dev_server::Args),
    /// Print a completion script for a shell
    Completions(completions::Args),
    /// Print the manual page
    Man,
}

/// Options that every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Globals {
    /// Print JSON: one document, or one per line for streams
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Which profile: its own configuration, database and socket
    #[arg(long, global = true, value_name = "NAME", env = "HOLDLINE_PROFILE")]
    pub(crate) profile: Option<String>,

    /// Where the daemon listens, instead of the profile's own socket
    #[arg(long, global = true, value_name = "PATH", env = "HOLDLINE_SOCKET")]
    pub(crate) socket: Option<PathBuf>,

    /// When to use colour
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: Color,

    /// Say more (twice: still more)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal that can, unless `NO_COLOR` is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// Takes a duration as people write it: `250ms`, `10s`, `5m`, `1h`, `7d`.
///
/// # Errors
/// When it is none; the text says how one looks.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let millis = match unit.trim_start() {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err("write it as 250ms, 10s, 5m, 1h or 7d".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "write it as 250ms, 10s, 5m, 1h or 7d".to_owned())?;
    number.checked_mul(millis).map(Duration::from_millis).ok_or_else(|| "that is too long".to_owned())
}

/// Says why the command line was not understood, or prints the help that was asked for.
#[must_use]
pub(crate) fn refused(error: &clap::Error) -> ExitCode {
    // A reader that went away needs no help any more.
    let _ = error.print();
    if error.use_stderr() { super::Exit::Usage.into() } else { super::Exit::Ok.into() }
}
