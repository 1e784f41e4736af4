//! The end-to-end benchmark: apps and a server in front of the daemon, beside the raw limits of the same
//! machine and beside others that do the job, in the same round.
//!
//! `cargo bench --bench end_to_end -- --help` tells the options. Absolute figures move with the
//! machine, its disk and its neighbours; the ratios within one round are what counts. "Durable" means
//! that `fdatasync` returned.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints its result")]

mod crash;
mod crowd;
mod figures;
mod footprint;
mod inbound;
mod message;
mod notices;
mod offline;
mod options;
mod outbound;
mod peers;
mod probes;
mod process;
mod replay;
mod report;
mod round;
mod server;
mod stats;
mod subject;
#[path = "../../tests/support/mod.rs"]
mod support;
mod tally;
mod wire;

use std::path::Path;
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::options::{DEEP, IN_TURN, ONCE, Options, USAGE};
use crate::report::{PAGE, Run};
use crate::round::Round;

fn main() -> ExitCode {
    if std::env::args().any(|arg| arg == "--help") {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let options = match Options::read(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("error: {problem}\n\n{USAGE}");
            return ExitCode::FAILURE;
        }
    };
    match &options.render {
        Some(path) => {
            render(path);
            ExitCode::SUCCESS
        }
        None => measure(&options),
    }
}

/// Missed goals are for people to look at; a lost message is a fault.
fn measure(options: &Options) -> ExitCode {
    let mut rounds = Vec::new();
    for (groups, times) in [(&IN_TURN[..], options.scale.rounds), (&DEEP, options.scale.deep), (&ONCE, 1)] {
        let groups: Vec<&'static str> = groups.iter().copied().filter(|group| options.wants(group)).collect();
        if groups.is_empty() {
            continue;
        }
        rounds.extend(round::repeat(&groups, times, &options.scale));
        // What there is so far, should the rest be too long for whoever waits.
        if let Some(path) = &options.json {
            let run = Run::read(document(options, &rounds));
            write(path, &format!("{:#}\n", run.complete()));
        }
    }
    let run = Run::read(document(options, &rounds));
    println!("\n{}", run.verdicts());
    if run.lost() > 0.0 {
        eprintln!("error: {} messages with a receipt did not arrive (C1)", run.lost());
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn document(options: &Options, rounds: &[Round]) -> Value {
    let scale = &options.scale;
    json!({
        "circumstances": figures::circumstances(),
        "scale": {
            "messages": scale.messages, "rounds": scale.rounds, "deep": scale.deep, "replay": scale.replay,
            "paced_seconds": scale.paced.as_secs_f64(), "idle_seconds": scale.idle.as_secs_f64(),
            "kills": scale.kills, "smoke": scale.smoke,
        },
        "settings": {
            "holdline full": "SQLite WAL, synchronous=FULL",
            "holdline normal": "SQLite WAL, synchronous=NORMAL",
            "SQLite full": "WAL, synchronous=FULL, wal_autocheckpoint=8000",
            "SQLite normal": "WAL, synchronous=NORMAL, wal_autocheckpoint=8000",
            "configuration": subject::SETTINGS,
        },
        "rounds": rounds.iter().map(Round::as_json).collect::<Vec<_>>(),
    })
}

/// Writes the page and its plots anew from a result file, which comes to lie beside them. Cargo runs a
/// benchmark in the folder of its project.
fn render(path: &Path) {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let document: Value = serde_json::from_str(&text).expect("a result file");
    let run = Run::read(document);
    let page = std::fs::read_to_string(PAGE).expect("the page, below the folder of the project");
    write(Path::new(report::RESULT), &format!("{:#}\n", run.complete()));
    write(Path::new(PAGE), &run.page(&page));
    for (place, svg) in run.plots() {
        write(&place, &svg);
    }
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    println!("written: {}", path.display());
}
