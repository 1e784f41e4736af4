//! R1 and R3: what a daemon that does nothing takes, beside peers that do nothing.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use crate::figures::{Figures, number, rate};
use crate::options::Scale;
use crate::peers;
use crate::process::Process;
use crate::server::Server;
use crate::subject::{Subject, program_size};

/// Until all have settled.
const SETTLES: Duration = Duration::from_secs(3);

/// All of it; everything idles at the same time.
pub(crate) fn rows(dir: &Path, scale: &Scale, figures: &mut Figures) {
    figures.put("R3", "the program", "holdline", "MB", program_size());
    let server = Server::start();
    let subject = Subject::start(&dir.join("footprint"), server.port, "full");
    let idle_peers = if scale.peers { peers::idle(dir) } else { Vec::new() };
    let mut all = vec![("holdline full", &subject.daemon)];
    all.extend(idle_peers.iter().map(|(who, process)| (*who, process)));
    std::thread::sleep(SETTLES);
    let before: Vec<_> = all.iter().map(|(_, process)| (process.switches(), process.ticks())).collect();
    std::thread::sleep(scale.idle);
    for ((who, process), (switches, ticks)) in all.into_iter().zip(before) {
        figures.put("R1", "idle, resident", who, "MiB", process.rss());
        figures.put("R1", "idle, context switches", who, "per s", per_second(process, &switches, scale.idle));
        figures.put("R1", "idle, CPU", who, "ticks", number(process.ticks() - ticks));
    }
}

/// A thread that ended meanwhile is not counted.
fn per_second(process: &Process, before: &BTreeMap<OsString, u64>, lasts: Duration) -> f64 {
    let after = process.switches();
    let switched: u64 = after.iter().map(|(thread, count)| count - before.get(thread).unwrap_or(&0)).sum();
    rate(usize::try_from(switched).unwrap_or(usize::MAX), lasts)
}
