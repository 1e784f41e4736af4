//! Rounds: the same groups of rows again and again, each round with a look at the disk.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::figures::Figures;
use crate::options::Scale;
use crate::probes::fdatasync;
use crate::stats::{Spread, human, now};
use crate::{crash, crowd, footprint, inbound, notices, offline, outbound, peers, replay};

/// A round whose disk is so many times slower or faster than at the median is measured again …
const OFF: f64 = 2.0;
/// … up to so often in a run, and marked from then on.
const AGAIN: usize = 2;
/// Flushes that tell how the disk does.
const FLUSHES: usize = 1_000;

/// What one round has measured, and how the machine was.
#[derive(Debug)]
pub(crate) struct Round {
    groups: Vec<&'static str>,
    figures: Figures,
    fdatasync: [f64; 2],
    load: String,
    took: Duration,
    off: bool,
}

impl Round {
    fn measure(groups: &[&'static str], scale: &Scale) -> Self {
        let dir = tempfile::Builder::new().prefix("hlb").tempdir().expect("a folder");
        let begin = now();
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load = load.split_whitespace().next().unwrap_or("?").to_owned();
        let disk = fdatasync(dir.path(), scale.few(FLUSHES));
        let mut figures = Figures::default();
        for group in groups {
            println!(" {group}");
            one(group, dir.path(), scale, &mut figures);
        }
        let fdatasync = [disk.percentile(50.0), disk.percentile(99.0)];
        Self { groups: groups.to_vec(), figures, fdatasync, load, took: begin.elapsed(), off: false }
    }

    /// As it stands in the result file.
    pub(crate) fn as_json(&self) -> Value {
        json!({"groups": self.groups, "fdatasync_p50": self.fdatasync[0].round(), "fdatasync_p99": self.fdatasync[1].round(),
            "load": self.load, "seconds": self.took.as_secs(), "off": self.off, "figures": self.figures.values()})
    }
}

fn one(group: &str, dir: &Path, scale: &Scale, figures: &mut Figures) {
    match group {
        "outbound" => {
            outbound::limits(dir, scale, figures);
            for durability in &scale.durabilities {
                outbound::rows(dir, durability, scale, figures);
            }
        }
        "inbound" => {
            if figures.get("limit", "commits of 512", "SQLite full").is_none() {
                outbound::limits(dir, scale, figures);
            }
            inbound::limits(scale, figures);
            for durability in &scale.durabilities {
                inbound::rows(dir, durability, scale, figures);
            }
        }
        "peers" if scale.peers => peers::rows(dir, scale, figures),
        "offline" => offline::rows(dir, scale, figures),
        "replay" => replay::rows(dir, scale, figures),
        "backlog" if scale.peers => peers::backlog(dir, scale, figures),
        "crash" => crash::rows(dir, scale, figures),
        "crowd" => crowd::rows(dir, scale, figures),
        "notices" => notices::rows(dir, scale, figures),
        "footprint" => footprint::rows(dir, scale, figures),
        _ => println!("  left out"),
    }
}

/// Measures the groups `times` times. A round on another disk than the others is measured again, and
/// marked where that does not help.
pub(crate) fn repeat(groups: &[&'static str], times: usize, scale: &Scale) -> Vec<Round> {
    let mut rounds = Vec::new();
    for number in 1..=times {
        println!("round {number} of {times}: {}", groups.join(", "));
        rounds.push(Round::measure(groups, scale));
    }
    for _ in 0..AGAIN {
        let Some(index) = off(&rounds) else { break };
        println!(
            "round {} again: its disk was another one (p50 {} µs)",
            index + 1,
            human(rounds[index].fdatasync[0])
        );
        rounds[index] = Round::measure(groups, scale);
    }
    while let Some(index) = off(&rounds) {
        rounds[index].off = true;
    }
    rounds
}

/// A round that is off and not marked yet.
fn off(rounds: &[Round]) -> Option<usize> {
    let syncs: Vec<f64> = rounds.iter().map(|round| round.fdatasync[0]).collect();
    let median = Spread::of(&syncs).median;
    let is_off = |round: &Round| !round.off && !(median / OFF..=median * OFF).contains(&round.fdatasync[0]);
    rounds.iter().position(is_off)
}
