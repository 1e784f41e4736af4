//! `holdline run`: the daemon, in the foreground, as a service manager starts it.

use std::path::PathBuf;

use super::{Exit, Failed, Outcome, Shell};
use crate::config::{Environment, Sources};
use crate::daemon;

const EXAMPLES: &str = "\
Examples:
  holdline run                         the default profile
  holdline run --profile work          reads work.toml, has its own database and socket
  holdline run --config ./try.toml -v  another file, and more in the log";

/// `holdline run`.
#[derive(Debug, clap::Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct Args {
    /// Read this configuration instead of the profile's own (also HOLDLINE_CONFIG)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Runs until it is told to end.
pub(crate) fn run(args: &Args, shell: &mut Shell) -> Outcome {
    let globals = shell.globals();
    let options = daemon::Options {
        sources: Sources {
            config: args.config.clone(),
            profile: globals.profile.clone(),
            socket: globals.socket.clone(),
            environment: Environment::of_process(),
        },
        verbosity: globals.verbose,
    };
    match daemon::run(&options) {
        Ok(()) => Ok(Exit::Ok),
        Err(failed) if failed.unheard => Ok(Exit::Daemon(failed.exit)),
        // Problems of the configuration are rendered whole, with their lines.
        Err(failed) if !failed.problems.is_empty() => {
            let exit = Exit::Daemon(failed.exit);
            if shell.json() {
                return Err(Failed::new(exit, "the configuration is not valid").detail(failed.problems));
            }
            shell.note(failed.problems.trim_end());
            Ok(exit)
        }
        Err(failed) => Err(Failed::new(Exit::Daemon(failed.exit), failed.message).hint(failed.hint)),
    }
}
