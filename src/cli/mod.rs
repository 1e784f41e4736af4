//! The command line: what a person or a script types, what they read, how it exits.
//!
//! - `args` is the grammar and nothing else; what a command does lives in a file of its name.
//! - Commands of `ctl` are clients of the running daemon like any app: they know the RPC
//!   contract, never the store or the session.
//! - What a person reads is made by pure functions from a value to a `String`; only `output`
//!   touches the terminal. Text that came from a server or an app is made harmless first.
//! - Data goes to standard output, everything else to standard error. A reader that has gone
//!   away (`| head`) is no failure.
//! - A command is a file with its `Args` and `fn run(&Args, &mut Shell) -> Outcome`, one variant of
//!   `args::Command` and one arm below.
//! - A command ends as an `Exit` or a `Failed`; both know their exit code, the same with and
//!   without `--json`.

mod args;
mod completions;
mod config;
mod ctl;
mod demo;
mod dev_server;
mod dialect;
mod exit;
mod output;
mod run;
mod service;
mod show;
mod words;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use self::args::{Cli, Command};
pub(crate) use self::exit::{Exit, Failed, Outcome};
pub(crate) use self::output::Shell;

/// Reads the command line, does what it says, and tells how it ended.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return args::refused(&error),
    };
    let mut shell = Shell::new(cli.globals);
    let outcome = dispatch(cli.command, cli.timeout, &mut shell);
    shell.finish(outcome).into()
}

fn dispatch(command: Command, timeout: Option<Duration>, shell: &mut Shell) -> Outcome {
    match command {
        Command::Run(args) => run::run(&args, shell),
        Command::Ctl(args) => ctl::run(args, timeout, shell),
        Command::Demo(args) => demo::run(&args, shell),
        Command::DevServer(args) => dev_server::run(&args, shell),
        Command::Config(args) => config::run(&args, shell),
        Command::Dialect(args) => dialect::run(&args, shell),
        Command::Service(args) => service::run(&args, timeout, shell),
        Command::Completions(args) => completions::run(&args, shell),
        Command::Man(args) => completions::man(&args, shell),
    }
}
