//! Logs: one line per thing that happened, to standard error or to the journal.
//!
//! Levels: `error` – something is lost or will be unless a person acts; `warn` – something a
//! person should know; `info` – one line per change of state; `debug` – what the daemon does
//! about it; `trace` – each step. Payloads are never logged at `info` and above, credentials never.
//!
//! Whoever logs never waits: a line goes into a bounded queue, and a thread of its own writes. What
//! does not fit because nobody reads is dropped and counted. Every record is one line: what foreign
//! text brings along is escaped and cut.

mod filter;
mod line;
mod queue;
mod repeats;
mod sink;

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::Registry;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt as _;

use self::line::Line;
use self::queue::Queue;
use self::repeats::Repeats;
use self::sink::Sink;
use crate::clock::Clock;
use crate::config;

/// How long the end waits for the last lines to be written.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What the running log is steered by.
#[derive(Debug)]
struct Control {
    filter: reload::Handle<Targets, Registry>,
    verbosity: u8,
    queue: Arc<Queue>,
}

static CONTROL: OnceLock<Control> = OnceLock::new();

/// The level asked for, one step finer for each `-v`. A filter with targets is taken as it is.
fn level(configured: &str, verbosity: u8) -> String {
    const STEPS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];
    match STEPS.iter().position(|step| step.eq_ignore_ascii_case(configured)) {
        Some(at) => STEPS[(at + usize::from(verbosity)).min(STEPS.len() - 1)].to_owned(),
        None => configured.to_owned(),
    }
}

/// Begins logging. Only the first call counts.
///
/// # Errors
/// A sentence, when the level is no filter.
pub(super) fn start(log: &config::Log, verbosity: u8) -> Result<(), String> {
    let (filter, handle) = reload::Layer::new(filter::of(&level(&log.level, verbosity))?);
    let queue = Arc::new(Queue::default());
    let lines = Lines { clock: Clock::start(), queue: Arc::clone(&queue), repeats: Mutex::default() };
    if tracing_subscriber::registry().with(lines.with_filter(filter)).try_init().is_err() {
        return Ok(());
    }
    let mut sink = Sink::of(log.format);
    let read = Arc::clone(&queue);
    std::thread::Builder::new()
        .name("holdline-log".into())
        .spawn(move || read.write_to(&mut sink))
        .map_err(|error| format!("the thread that writes the log cannot be started: {error}"))?;
    // It was not set before: only one subscriber can be the first.
    let _ = CONTROL.set(Control { filter: handle, verbosity, queue });
    tell_of_panics();
    Ok(())
}

/// Changes how much is logged, from the next line on. `-v` of the start counts on top.
///
/// # Errors
/// A sentence, when `configured` is no filter; the level stays as it was then.
pub(super) fn set_level(configured: &str) -> Result<(), String> {
    let Some(control) = CONTROL.get() else { return Ok(()) };
    let filter = filter::of(&level(configured, control.verbosity))?;
    control.filter.reload(filter).map_err(|error| format!("the log level cannot be changed: {error}"))
}

/// Waits a moment for what was logged to be written. False where nobody takes it: then nothing more
/// may be written to standard error either, it would wait for ever.
pub(super) fn finish() -> bool {
    CONTROL.get().is_none_or(|control| control.queue.drain(LAST_WORDS))
}

/// Lines that were dropped since the start because nobody took them.
pub(super) fn dropped() -> u64 {
    CONTROL.get().map_or(0, |control| control.queue.dropped())
}

/// A panic is a line like any other, so that it neither waits for a reader nor breaks a format.
fn tell_of_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let what = panic.payload_as_str().unwrap_or("no words");
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place, "a fault of ours, please report it: {what}");
        // Whoever asked for the call stack gets the usual output beside it.
        if std::env::var_os("RUST_BACKTRACE").is_some() {
            usual(panic);
        }
    }));
}

/// Turns what is logged into lines and hands them over.
#[derive(Debug)]
struct Lines {
    clock: Clock,
    queue: Arc<Queue>,
    repeats: Mutex<Repeats>,
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line::of(event, self.clock.now().wall);
        if line.level <= Level::INFO && !line.is_change_of_state() {
            let mut repeats = self.repeats.lock().unwrap_or_else(PoisonError::into_inner);
            match repeats.told(line.fingerprint(), self.clock.instant()) {
                None => return,
                Some(0) => {}
                Some(held_back) => line.repeated(held_back),
            }
        }
        self.queue.push(line);
    }
}

#[cfg(test)]
mod tests;
