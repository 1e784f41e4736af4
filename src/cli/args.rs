//! The grammar of the command line, and nothing else.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::{completions, config, ctl, demo, dev_server, dialect, run, service};
use crate::config::units::parse_duration;

const EXAMPLES: &str = "\
Examples:
  holdline demo                            see everything at work, on this machine alone
  holdline config init --url wss://HOST/   write a first configuration
  holdline run                             hold the line (what a service manager starts)
  holdline ctl status                      how it stands";

/// Holds the one WebSocket session to a server for every app on this machine, and loses nothing.
#[derive(Debug, Parser)]
#[command(name = "holdline", version, before_help = EXAMPLES, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,

    /// How long a call may take (to the daemon 5s by default, to a service manager longer)
    #[arg(long, value_name = "DURATION", value_parser = duration, help_heading = "Global options")]
    pub(crate) timeout: Option<Duration>,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What can be asked for.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Hold the line: the daemon, in the foreground
    Run(run::Args),
    /// Ask and steer the running daemon
    Ctl(ctl::Args),
    /// Everything at work: a server, the daemon, apps, and what can go wrong
    Demo(demo::Args),
    /// A server to develop against, on this machine alone
    DevServer(dev_server::Args),
    /// Write, check and show the configuration
    Config(config::Args),
    /// The languages servers are spoken to in
    Dialect(dialect::Args),
    /// Run as a service of this user: install, uninstall, start, stop, status
    Service(service::Args),
    /// Print a completion script for a shell
    Completions(completions::Args),
    /// Print the manual page, or write one for each command
    Man(completions::ManArgs),
}

/// Options that every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Globals {
    /// Print JSON: one document, or one per line for streams
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Which profile: its own configuration, database and socket (also HOLDLINE_PROFILE)
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) profile: Option<String>,

    /// Where the daemon listens, instead of the profile's own socket (also HOLDLINE_SOCKET)
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,

    /// When to use colour; auto honours NO_COLOR
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: Color,

    /// Say more (twice: still more)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

/// Takes a duration as people write it: `250ms`, `10s`, `5m`, `1h`, `7d`.
///
/// # Errors
/// When it is none; the text says how one looks.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|error| format!("{}; {}", error.message, error.hint))
}

/// Says why the command line was not understood, or prints the help that was asked for.
#[must_use]
pub(crate) fn refused(error: &clap::Error) -> ExitCode {
    // A reader that went away needs no help any more.
    let _ = error.print();
    if error.use_stderr() { super::Exit::Usage.into() } else { super::Exit::Ok.into() }
}
