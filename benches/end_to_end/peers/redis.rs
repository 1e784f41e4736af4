//! Redis with an append-only file: a stream, and a shipper to the WebSocket server. With
//! `appendfsync always` it promises what holdline promises with full durability, with `everysec`
//! what it promises with normal.

use std::path::Path;
use std::process::Command;

use super::resp::Appends;
use super::shipper::Shipper;
use super::{Job, OUT, program};
use crate::figures::Figures;
use crate::options::Scale;
use crate::process::{Process, connect, folder, free_port};
use crate::server::Server;

/// Unanswered appends of the app.
const WINDOW: usize = 1024;

fn start(dir: &Path, fsync: &str) -> (Process, u16) {
    let port = free_port();
    let dir = folder(dir, &format!("redis-{port}"));
    let mut command = Command::new(program("redis-server").expect("installed"));
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"]);
    command.args(["--appendfsync", fsync, "--dir"]).arg(dir);
    let process = Process::start(&mut command);
    drop(connect(port));
    (process, port)
}

/// O1 and O3 with both settings.
pub(crate) fn rows(dir: &Path, scale: &Scale, figures: &mut Figures) {
    for (fsync, who) in [("always", "Redis always"), ("everysec", "Redis everysec")] {
        let (_redis, port) = start(dir, fsync);
        let server = Server::start();
        let _shipper = Shipper::start(port, server.port);
        let protocol = Appends::default();
        let mut job = Job { who, socket: connect(port), protocol, far: server.tally(), window: WINDOW };
        job.throughput("O1", scale.messages, figures);
        job.one_by_one("O3", OUT, scale.paced, figures);
    }
}

/// One that does nothing.
pub(crate) fn idle(dir: &Path) -> Process {
    start(dir, "always").0
}

/// A stream that nobody reads.
pub(crate) fn backlog(dir: &Path, scale: &Scale, figures: &mut Figures) {
    let (redis, port) = start(dir, "everysec");
    let far = crate::tally::Tally::default();
    let mut job =
        Job { who: "Redis", socket: connect(port), protocol: Appends::default(), far: &far, window: WINDOW };
    job.pile_up(&redis, &scale.depths, figures);
}
