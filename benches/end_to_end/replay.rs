//! I3: events that are stored while nobody listens, and a subscriber who comes late.

use std::io::Write as _;
use std::path::Path;

use crate::figures::{Figures, number, rate};
use crate::options::Scale;
use crate::probes;
use crate::server::Server;
use crate::stats::now;
use crate::subject::Subject;

/// Events that say what one more costs at a depth.
const SLICE: usize = 10_000;

/// All of it; durability is full.
pub(crate) fn rows(dir: &Path, scale: &Scale, figures: &mut Figures) {
    let who = "holdline full";
    figures.put("I3", "replay", "SQLite SELECT", "rows/s", probes::replay(dir, scale.replay.min(200_000)));
    figures.put("I3", "replay", "Unix socket", "rows/s", probes::fan_out(1, scale.replay.min(200_000)));
    let server = Server::start();
    let subject = Subject::start(&dir.join("replay"), server.port, "full");
    let mut stored = 0;
    for depth in scale.depths.iter().copied().filter(|depth| *depth >= SLICE && *depth <= scale.replay) {
        let before = depth - SLICE;
        store(&server, before - stored);
        let (cpu, begin) = (subject.daemon.cpu(), now());
        store(&server, SLICE);
        let (cpu, took) = (subject.daemon.cpu() - cpu, begin.elapsed());
        stored = depth;
        figures.put("I3", format!("{depth} stored, storing"), who, "events/s", rate(SLICE, took));
        let each = cpu.as_secs_f64() * 1e6 / number(SLICE as u64);
        figures.put("I3", format!("{depth} stored, CPU of one more"), who, "µs", each);
    }
    store(&server, scale.replay - stored);
    subject.daemon.forget_peak();
    let mut app = subject.app().socket();
    let subscribe = r#"{"jsonrpc":"2.0","id":1,"method":"events.subscribe","params":{"from":"earliest","types":["tick"]}}"#;
    let begin = now();
    writeln!(app, "{subscribe}").expect("the daemon reads");
    // The answer comes before them, and behind them that this is all.
    probes::read_all(&[app], scale.replay + 2);
    figures.put("I3", "replay", who, "rows/s", rate(scale.replay, begin.elapsed()));
    figures.put(
        "I3",
        format!("replay of {}, most resident", scale.replay),
        who,
        "MiB",
        subject.daemon.peak(),
    );
}

fn store(server: &Server, count: usize) {
    let newest = server.push(count);
    server.confirmed(newest);
}
