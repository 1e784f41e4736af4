//! The end-to-end benchmark: an app, the daemon and a server as processes of their own, beside
//! the raw limits of the same machine in the same round.
//!
//! `cargo bench --bench end_to_end [-- --rounds 7] [--messages 100000] [--idle 60] [--json FILE]`.
//! `-- --only outbound,inbound` takes these groups of rows alone (see `GROUPS`).
//! Absolute figures move with the machine, its disk and its neighbours; the ratios within one
//! round are what counts. "Durable" means that `fdatasync` returned.
#![allow(clippy::print_stdout, reason = "a benchmark prints its result")]

mod crowd;
mod notices;
mod probes;
mod rows;
mod stats;
mod subject;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::path::PathBuf;

use serde_json::json;

use crate::rows::Row;
use crate::stats::{Spread, human};

struct Options {
    rounds: usize,
    messages: usize,
    idle: u64,
    only: Vec<&'static str>,
    json: Option<PathBuf>,
}

fn options() -> Options {
    let mut options = Options { rounds: 3, messages: 100_000, idle: 20, only: Vec::new(), json: None };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().unwrap_or_default();
        match arg.as_str() {
            "--rounds" => options.rounds = value().parse().expect("--rounds takes a number"),
            "--messages" => options.messages = value().parse().expect("--messages takes a number"),
            "--idle" => options.idle = value().parse().expect("--idle takes seconds"),
            "--only" => options.only = value().split(',').map(group).collect(),
            "--json" => options.json = Some(value().into()),
            _ => {} // what cargo adds
        }
    }
    options
}

/// What can be measured by itself.
const GROUPS: [&str; 5] = ["outbound", "inbound", "crowd", "notices", "footprint"];

fn group(name: &str) -> &'static str {
    let found = GROUPS.into_iter().find(|group| *group == name);
    found.unwrap_or_else(|| panic!("--only takes some of {GROUPS:?}, with commas between"))
}

fn main() {
    let options = options();
    let wanted = |group: &str| options.only.is_empty() || options.only.contains(&group);
    let mut rounds: Vec<Vec<Row>> = Vec::new();
    for round in 1..=options.rounds {
        println!("round {round} of {}", options.rounds);
        rounds.push(rows::round(options.messages, wanted));
    }
    if wanted("footprint") {
        rounds.push(rows::once(options.idle));
    }
    let mut names: Vec<(&str, &str)> = Vec::new();
    for row in rounds.iter().flatten() {
        if !names.contains(&(row.name, row.unit)) {
            names.push((row.name, row.unit));
        }
    }
    println!("\n{:<64} {:>14}   {:>28}", "row (median over the rounds)", "median", "min – max");
    let mut result = Vec::new();
    for (name, unit) in names {
        let values: Vec<f64> =
            rounds.iter().flatten().filter(|row| row.name == name).map(|row| row.value).collect();
        let spread = Spread::of(&values);
        println!(
            "{name:<64} {:>14}   {:>28}  {unit}",
            human(spread.median),
            format!("{} – {}", human(spread.min), human(spread.max)),
        );
        result.push(
            json!({"row": name, "unit": unit, "median": spread.median, "min": spread.min, "max": spread.max}),
        );
    }
    if let Some(path) = options.json {
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let document = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "rounds": options.rounds,
            "messages": options.messages,
            "load": load.trim(),
            "durability": "full: journal_mode=WAL, synchronous=FULL",
            "rows": result,
        });
        std::fs::write(&path, format!("{document:#}\n")).expect("the result file");
        println!("\nwritten to {}", path.display());
    }
}
