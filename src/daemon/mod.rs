//! The daemon: puts the rooms together, serves, and ends in order.
//!
//! Start: configuration → folders and lock → store → loop and local socket → ready. Nothing
//! touches the network or the database before the configuration is known to be right. End, by one
//! cancellation token: the socket stops taking apps and tells those connected → the loop closes
//! the link → the store commits what is left and closes → socket and lock are given up.

mod assemble;
mod backend;
mod contents;
mod cursors;
mod descriptors;
pub mod doctor;
mod handed;
mod link_log;
mod lock;
mod metrics;
mod network;
mod notices;
mod pages;
mod policy;
#[cfg(target_os = "linux")]
mod power;
mod quarantine;
mod ready;
pub mod record;
mod reload;
mod renewal;
#[cfg(target_os = "linux")]
mod replaced;
mod report;
mod request;
mod sends;
mod serve;
mod shield;
mod shutdown;
mod signals;
mod standing;
mod telemetry;
mod watchdog;

use std::path::PathBuf;
use std::pin::Pin;

use self::handed::Handed;
use crate::config::{self, Config, Problem, Sources};

/// What the command line says.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// `--config`, `--profile`, `--socket`, and the environment.
    pub sources: Sources,
    /// `-v`: one level more, each.
    pub verbosity: u8,
}

/// Why the daemon did not start, or how it ended.
#[derive(Debug)]
pub struct Failed {
    /// Exit code.
    pub exit: u8,
    /// What happened.
    pub message: String,
    /// Problems of the configuration as a person reads them, rendered whole; empty for other
    /// causes.
    pub problems: String,
    /// What to do; empty where there is nothing.
    pub hint: String,
    /// Nobody reads standard error: whoever writes to it would wait for ever.
    pub unheard: bool,
}

impl Failed {
    fn new(exit: u8, message: impl std::fmt::Display, hint: impl std::fmt::Display) -> Self {
        Self {
            exit,
            message: message.to_string(),
            problems: String::new(),
            hint: hint.to_string(),
            unheard: false,
        }
    }

    /// In one line: what happened, or the first problem and its place.
    fn line(&self) -> String {
        if !self.message.is_empty() {
            return self.message.lines().next().unwrap_or_default().to_owned();
        }
        let mut lines = self.problems.lines().map(str::trim);
        let what = lines.next().unwrap_or_default().trim_start_matches("error: ");
        match lines.next().and_then(|line| line.strip_prefix("--> ")) {
            Some(place) => format!("{place}: {what}"),
            None => what.to_owned(),
        }
    }

    fn of_problems(problems: &[Problem], home: Option<&std::path::Path>) -> Self {
        let first = problems.iter().find(|problem| problem.severity == config::Severity::Error);
        let exit = first.or(problems.first()).map_or(EXIT_BUG, |problem| problem.exit);
        let problems = config::render(problems, home);
        Self { exit, message: String::new(), problems, hint: String::new(), unheard: false }
    }
}

/// A fault of ours.
const EXIT_BUG: u8 = 70;
/// The storage failed.
const EXIT_STORAGE: u8 = 74;
/// Another daemon runs for this profile.
const EXIT_RUNNING: u8 = 75;
/// Worker threads: two keep pings alive while one reads a large message.
const WORKERS: usize = 2;
/// Threads for what blocks (name lookups, credential files).
const BLOCKING: usize = 4;

/// Whether the daemon could start with this configuration: the dialect, the certificates, the
/// credential's way. Touches no network and no database.
///
/// # Errors
/// What keeps it from starting.
pub fn check(config: &Config) -> Result<(), Vec<Problem>> {
    assemble::Assembly::of(config).map(drop)
}

/// Runs until it is told to end. Call it while the process has one thread.
///
/// # Errors
/// With the exit code and the words for a person.
pub fn run(options: &Options) -> Result<(), Failed> {
    let result = Handed::take().and_then(|mut handed| {
        let result = run_with(options, &mut handed);
        let hopeless = [EXIT_RUNNING, config::EXIT_UNSAFE, config::EXIT_INVALID];
        if result.as_ref().is_err_and(|failed| hopeless.contains(&failed.exit)) {
            // No start heals it: nobody will serve whoever waits.
            handed.turn_away();
        }
        result
    });
    if let Err(failed) = &result {
        ready::status(&failed.line());
    }
    result
}

fn run_with(options: &Options, handed: &mut Handed) -> Result<(), Failed> {
    let bare = shield::raise();
    let home: Option<PathBuf> = options.sources.environment.home.clone();
    let config =
        config::load(&options.sources).map_err(|problems| Failed::of_problems(&problems, home.as_deref()))?;
    telemetry::start(&config.log, options.verbosity)
        .map_err(|message| Failed::new(config::EXIT_INVALID, message, "see log.level in the manual"))?;
    for what in bare {
        tracing::warn!("{what}");
    }
    for warning in &config.warnings {
        tracing::warn!("{}", warning.message);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(BLOCKING)
        .thread_name("holdline")
        .enable_all()
        .build()
        .map_err(|error| Failed::new(EXIT_BUG, format!("the runtime cannot start: {error}"), ""))?;
    // Behind a pointer: the runtime has several copies of whatever it runs to its end.
    let life: Pin<Box<dyn Future<Output = Result<(), Failed>>>> =
        Box::pin(serve::serve(config, options, handed));
    let mut result = runtime.block_on(life);
    // A name lookup that hangs in the system must not hold the end up.
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    let heard = telemetry::finish();
    if let Err(failed) = &mut result {
        failed.unheard = !heard;
    }
    result
}
