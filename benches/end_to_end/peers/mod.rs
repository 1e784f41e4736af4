//! Others that do the same job, or a part of it, each as its own program with its own far side.

mod mosquitto;
mod mqtt;
mod nats;
mod redis;
mod resp;
mod shipper;

use std::path::Path;
use std::time::Duration;

use crate::figures::{Figures, rate};
use crate::options::Scale;
use crate::outbound::PACE;
use crate::process::Process;
use crate::stats::now;
use crate::tally::Tally;
use crate::wire::{Protocol, Socket, paced, pump};

/// Where a program is, if it is installed. Debian keeps some in `sbin`.
pub(crate) fn program(name: &str) -> Option<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/sbin"].map(std::path::PathBuf::from);
    let found =
        std::env::split_paths(&path).chain(usual).map(|folder| folder.join(name)).find(|path| path.is_file());
    found.and_then(|path| path.to_str().map(str::to_owned))
}

/// As [`program`]; says aloud that its rows are left out.
fn installed(name: &str) -> Option<String> {
    let found = program(name);
    if found.is_none() {
        println!("  SKIPPED: {name} is not installed, its rows are not measured");
    }
    found
}

/// All of them, each with what it is compared with.
pub(crate) fn rows(dir: &Path, scale: &Scale, figures: &mut Figures) {
    if installed("redis-server").is_some() {
        redis::rows(dir, scale, figures);
    }
    if installed("nats-server").is_some() {
        nats::rows(dir, scale, figures);
    }
    if installed("mosquitto").is_some() {
        mosquitto::rows(dir, scale, figures);
    }
}

/// Those that stand beside an app, with nothing to do.
pub(crate) fn idle(dir: &Path) -> Vec<(&'static str, Process)> {
    let mut all = Vec::new();
    if installed("mosquitto").is_some() {
        all.push(("mosquitto", mosquitto::idle(dir)));
    }
    if installed("redis-server").is_some() {
        all.push(("Redis always", redis::idle(dir)));
    }
    if installed("nats-server").is_some() {
        all.push(("NATS leaf", nats::idle(dir)));
    }
    all
}

/// What they take of memory while their far side is away.
pub(crate) fn backlog(dir: &Path, scale: &Scale, figures: &mut Figures) {
    if installed("mosquitto").is_some() {
        mosquitto::backlog(dir, scale, figures);
    }
    if installed("redis-server").is_some() {
        redis::backlog(dir, scale, figures);
    }
    if installed("nats-server").is_some() {
        nats::backlog(dir, scale, figures);
    }
}

/// An app of a peer, and what arrives at its far side.
struct Job<'a, S, P> {
    who: &'a str,
    socket: S,
    protocol: P,
    far: &'a Tally,
    /// Unanswered messages at most.
    window: usize,
}

impl<S: Socket, P: Protocol> Job<'_, S, P> {
    /// O1: all at once.
    fn throughput(&mut self, row: &'static str, count: usize, figures: &mut Figures) {
        self.far.begin(false);
        let begin = now();
        let receipts = pump(&mut self.socket, &mut self.protocol, 0, count, self.window);
        let arrived = self.far.wait(count).map_or(Duration::MAX, |at| at - begin);
        let took = arrived.max(receipts);
        let came = usize::try_from(self.far.distinct()).expect("a small number");
        figures.put(row, "window 1024, receipts", self.who, "msg/s", rate(count, receipts));
        figures.put(row, "window 1024, delivered", self.who, "msg/s", rate(came, took));
        let arrived = 100.0 * rate(came, Duration::from_secs(1)) / rate(count, Duration::from_secs(1));
        figures.put(row, "arrived of what had a receipt", self.who, "%", arrived);
    }

    /// O3: one after the other.
    fn one_by_one(&mut self, row: &'static str, names: [&str; 2], lasts: Duration, figures: &mut Figures) {
        self.far.begin(true);
        let took = paced(&mut self.socket, &mut self.protocol, PACE, lasts);
        self.far.wait(took.sent.len());
        figures.latency(row, names[0], self.who, &took.answered);
        figures.latency(row, names[1], self.who, &self.far.since(&took.sent));
    }

    /// R2: more and more of it, with nobody on the far side.
    fn pile_up(&mut self, process: &Process, depths: &[usize], figures: &mut Figures) {
        figures.put("R2", "nothing queued, resident", self.who, "MiB", process.rss());
        let mut queued = 0;
        for depth in depths {
            pump(&mut self.socket, &mut self.protocol, queued as u64, depth - queued, self.window);
            queued = *depth;
            figures.put("R2", format!("{depth} queued, resident"), self.who, "MiB", process.rss());
        }
    }
}

/// What O3 calls its two latencies.
const OUT: [&str; 2] = ["call to receipt, 200/s", "call to far side, 200/s"];
