//! The figures of one round, and of the whole run as it is written to the result file.

use std::time::Duration;

use serde_json::{Map, Value, json};

/// What one round has measured: row, what of it, of whom.
#[derive(Debug, Default)]
pub(crate) struct Figures(Vec<Figure>);

#[derive(Debug)]
struct Figure {
    row: &'static str,
    what: String,
    who: String,
    unit: &'static str,
    value: f64,
}

impl Figures {
    /// Keeps a figure, and prints it.
    pub(crate) fn put(
        &mut self,
        row: &'static str,
        what: impl Into<String>,
        who: impl Into<String>,
        unit: &'static str,
        value: f64,
    ) {
        let figure = Figure { row, what: what.into(), who: who.into(), unit, value };
        println!(
            "  {row:<7} {:<52} {:<34} {:>12} {unit}",
            figure.what,
            figure.who,
            crate::stats::human(value)
        );
        self.0.push(figure);
    }

    /// Keeps the median and the 99th percentile of a latency.
    pub(crate) fn latency(
        &mut self,
        row: &'static str,
        what: &str,
        who: &str,
        latency: &crate::stats::Latency,
    ) {
        self.put(row, format!("{what}, p50"), who, "µs", latency.percentile(50.0));
        self.put(row, format!("{what}, p99"), who, "µs", latency.percentile(99.0));
    }

    /// One of them.
    pub(crate) fn get(&self, row: &str, what: &str, who: &str) -> Option<f64> {
        let same = |figure: &&Figure| figure.row == row && figure.what == what && figure.who == who;
        self.0.iter().find(same).map(|figure| figure.value)
    }

    /// As they stand in the result file.
    pub(crate) fn values(&self) -> Vec<Value> {
        let value = |figure: &Figure| {
            json!({"row": figure.row, "what": figure.what, "who": figure.who, "unit": figure.unit,
                   "value": rounded(figure.value)})
        };
        self.0.iter().filter(|figure| figure.value.is_finite()).map(value).collect()
    }
}

/// Five digits say all there is to say.
fn rounded(value: f64) -> f64 {
    format!("{value:.4e}").parse().unwrap_or(value)
}

/// So many in that time.
pub(crate) fn rate(count: usize, took: Duration) -> f64 {
    number(count as u64) / took.as_secs_f64()
}

/// A count as a figure.
pub(crate) fn number(count: u64) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    let number = count as f64;
    number
}

/// Where and with what it was measured.
pub(crate) fn circumstances() -> Map<String, Value> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let cpu =
        cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map(|(_, name)| name);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let said = |program: &str, argument: &str| {
        let output = std::process::Command::new(program).arg(argument).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).lines().next()?.trim().to_owned();
        Some(text.chars().take(60).collect::<String>())
    };
    let mut versions = Map::new();
    versions.insert("holdline".into(), env!("CARGO_PKG_VERSION").into());
    versions.insert("SQLite".into(), rusqlite::version().into());
    for (name, program, argument) in [
        ("mosquitto", "mosquitto", "-h"),
        ("Redis", "redis-server", "--version"),
        ("NATS", "nats-server", "--version"),
    ] {
        if let Some(version) = crate::peers::program(program).and_then(|path| said(&path, argument)) {
            versions.insert(name.into(), version.into());
        }
    }
    let mut all = Map::new();
    all.insert("cpu".into(), cpu.unwrap_or("unknown").into());
    all.insert("cores".into(), cores.into());
    all.insert("kernel".into(), read("/proc/sys/kernel/osrelease").trim().into());
    all.insert("versions".into(), versions.into());
    all
}
