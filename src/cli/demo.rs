//! `holdline demo`: a guided tour on this machine alone.
//!
//! Nothing is staged but the server: the daemon is the real one, a process of its own with a
//! configuration, a socket and a database in a temporary folder, and it is really killed. Every
//! figure is measured. What was queued and did not arrive makes the demo fail.

mod stage;
mod story;
mod tally;
mod tour;

use std::time::Duration;

use self::stage::Stage;
use self::story::Story;
use self::tally::Tally;
use self::tour::Tour;
use super::words::{count, length};
use super::{Exit, Failed, Outcome, Shell};
use crate::clock::Clock;

const EXAMPLES: &str = "\
Examples:
  holdline demo                        the tour, in about half a minute
  holdline demo --seconds 15           the same tour in a hurry
  holdline demo --scenario prices      with prices instead of an order";

/// `holdline demo`.
#[derive(Debug, clap::Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct Args {
    /// How long it may take
    #[arg(long, value_name = "SECONDS", default_value_t = 35, value_parser = clap::value_parser!(u64).range(10..=60))]
    seconds: u64,

    /// What the apps and the server talk about
    #[arg(long, value_name = "NAME", default_value = "orders")]
    scenario: Story,
}

/// Gives the tour, and cleans up however it ends.
pub(crate) fn run(args: &Args, shell: &mut Shell) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(give(args, shell))
}

async fn give(args: &Args, shell: &mut Shell) -> Outcome {
    let clock = Clock::start();
    let began = clock.instant();
    let within = Duration::from_secs(args.seconds);
    let mut stage = Stage::set(clock).await?;
    if !shell.json() {
        shell.print(&format!(
            "holdline demo: everything runs on this machine, in a temporary folder, for at most {}.\n",
            length(within)
        ))?;
    }
    let mut tour = Tour::new(&mut stage, shell, args.scenario, within);
    let outcome = tokio::select! {
        outcome = tour.give() => outcome,
        () = tokio::time::sleep(within) => {
            let message = format!("the tour was not over after {} s", args.seconds);
            Err(Failed::new(Exit::TimedOut, message).hint("give it more time: --seconds 60"))
        }
        what = interrupted() => Err(Failed::new(Exit::Failure, format!("the tour was broken off ({what})"))),
    };
    let log = stage.log();
    stage.strike().await;
    if outcome.is_err() && !shell.json() {
        // The step that failed has not ended its line.
        shell.print("\n")?;
    }
    match outcome {
        Ok(tally) => conclude(tally, clock.instant() - began, shell),
        Err(failed) if failed.detail.is_empty() => Err(failed.detail(log)),
        Err(failed) => Err(failed),
    }
}

fn conclude(tally: Tally, took: Duration, shell: &mut Shell) -> Outcome {
    if shell.json() {
        shell.document(&serde_json::json!({
            "queued": tally.queued,
            "delivered": tally.delivered,
            "lost": tally.lost(),
            "reordered": tally.reordered,
            "seconds": took.as_secs_f64(),
        }))?;
    } else {
        shell.print(&format!(
            "Try it yourself:  holdline dev-server &   \
             holdline config init --url ws://127.0.0.1:9800/   holdline run\n\
             Done in {}: {} queued, {} delivered, {} lost.\n",
            length(took),
            count(tally.queued),
            count(tally.delivered),
            count(tally.lost()),
        ))?;
    }
    tally.verdict()
}

/// Waits for the wish to end early; says whose.
async fn interrupted() -> &'static str {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            return tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = tokio::signal::ctrl_c() => "Ctrl-C",
            };
        }
    }
    if tokio::signal::ctrl_c().await.is_err() {
        // Nobody can interrupt it then but by killing it.
        std::future::pending::<()>().await;
    }
    "Ctrl-C"
}
