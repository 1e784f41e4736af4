//! What is measured, and how much of it.

use std::path::PathBuf;
use std::time::Duration;

/// How to use the benchmark.
pub(crate) const USAGE: &str = "\
cargo bench --bench end_to_end -- [options]

  --rounds N        rounds of outbound, inbound and peers, in turn (5)
  --deep N          rounds of offline and replay (2)
  --only A,B        these groups alone; see below
  --durability D    full,normal (both), or one of them
  --no-peers        leave mosquitto, Redis and NATS out
  --messages N      messages of one row (100000)
  --depth N         deepest queue of O5 and of the peers' memory, and events of I3 (1000000)
  --seconds N       of each row at 200 messages a second (5)
  --idle N          seconds of the idle measurement (60)
  --kills N         kill -9 of C1 (200)
  --smoke           all of it in seconds, to see that it works; the figures mean nothing
  --json FILE       write the result there, after each kind of groups what there is by then
  --render FILE     measure nothing: write docs/performance.md and its plots from this result

groups: outbound inbound peers offline replay backlog crash crowd notices footprint
HOLDLINE_TEST_PROGRAM names the program that is measured; else it is the one built along.
";

/// Groups that are repeated in turn …
pub(crate) const IN_TURN: [&str; 3] = ["outbound", "inbound", "peers"];
/// … deep ones, that take minutes …
pub(crate) const DEEP: [&str; 2] = ["offline", "replay"];
/// … and those measured once, which take turns by themselves where that matters.
pub(crate) const ONCE: [&str; 5] = ["backlog", "crash", "crowd", "notices", "footprint"];

/// How much of everything.
#[derive(Debug, Clone)]
pub(crate) struct Scale {
    pub(crate) rounds: usize,
    pub(crate) deep: usize,
    pub(crate) messages: usize,
    pub(crate) depths: Vec<usize>,
    pub(crate) replay: usize,
    pub(crate) paced: Duration,
    pub(crate) idle: Duration,
    pub(crate) kills: usize,
    pub(crate) durabilities: Vec<String>,
    pub(crate) peers: bool,
    pub(crate) smoke: bool,
}

impl Scale {
    /// Of what takes long for each: no more than `count`, and less where there is little of everything.
    pub(crate) fn few(&self, count: usize) -> usize {
        count.min(self.messages)
    }

    fn deepest(&mut self, deepest: usize) {
        self.depths =
            [1_000, 10_000, 100_000, 1_000_000].into_iter().filter(|depth| *depth < deepest).collect();
        self.depths.push(deepest);
        self.replay = deepest;
    }
}

/// What the command line says.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) scale: Scale,
    only: Vec<String>,
    pub(crate) json: Option<PathBuf>,
    pub(crate) render: Option<PathBuf>,
}

impl Options {
    /// Reads them; the error says what is wrong.
    pub(crate) fn read(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self { scale: full(), only: Vec::new(), json: None, render: None };
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or(format!("{arg} takes a value"));
            let scale = &mut options.scale;
            match arg.as_str() {
                "--rounds" => scale.rounds = number(&value()?)?,
                "--deep" => scale.deep = number(&value()?)?,
                "--messages" => scale.messages = number(&value()?)?,
                "--depth" => scale.deepest(number(&value()?)?),
                "--seconds" => scale.paced = Duration::from_secs(number(&value()?)? as u64),
                "--idle" => scale.idle = Duration::from_secs(number(&value()?)? as u64),
                "--kills" => scale.kills = number(&value()?)?,
                "--durability" => scale.durabilities = value()?.split(',').map(str::to_owned).collect(),
                "--no-peers" => scale.peers = false,
                "--smoke" => make_small(scale),
                "--only" => options.only = value()?.split(',').map(str::to_owned).collect(),
                "--json" => options.json = Some(value()?.into()),
                "--render" => options.render = Some(value()?.into()),
                "--bench" => {} // cargo says so
                _ => return Err(format!("`{arg}` is unknown")),
            }
        }
        let known = |group: &String| [&IN_TURN[..], &DEEP, &ONCE].concat().contains(&group.as_str());
        match options.only.iter().find(|group| !known(group)) {
            Some(group) => Err(format!("there is no group `{group}`")),
            None => Ok(options),
        }
    }

    /// Whether a group is to be measured.
    pub(crate) fn wants(&self, group: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == group)
    }
}

fn full() -> Scale {
    Scale {
        rounds: 5,
        deep: 2,
        messages: 100_000,
        depths: vec![1_000, 10_000, 100_000, 1_000_000],
        replay: 1_000_000,
        paced: Duration::from_secs(5),
        idle: Duration::from_mins(1),
        kills: 200,
        durabilities: vec!["full".to_owned(), "normal".to_owned()],
        peers: true,
        smoke: false,
    }
}

fn make_small(scale: &mut Scale) {
    scale.rounds = 1;
    scale.deep = 1;
    scale.messages = 2_000;
    scale.deepest(2_000);
    scale.paced = Duration::from_millis(300);
    scale.idle = Duration::from_secs(2);
    scale.kills = 2;
    scale.smoke = true;
}

fn number(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or(format!("`{text}` is no positive number"))
}
