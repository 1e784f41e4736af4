//! Two mosquitto brokers, the near one with a bridge to the far one, QoS 1 all the way.
//!
//! By default it drops what exceeds its queue of 1,000 without a word; with the limits lifted it holds
//! all of it in memory; with `autosave_on_changes` it writes its whole store after each change. None of
//! the three waits for the disk before it acknowledges.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::mqtt::{Publishes, Receiver, sign_in};
use super::{Job, OUT, program};
use crate::figures::Figures;
use crate::options::Scale;
use crate::process::{PATIENCE, Process, folder, free_port};
use crate::stats::now;
use crate::tally::Tally;
use crate::wire::pump;

/// Unanswered publishes of the app.
const WINDOW: usize = 1000;
const LIFTED: &str = "max_queued_messages 0\nmax_inflight_messages 0\n";
const AUTOSAVE: &str =
    "max_queued_messages 0\nmax_inflight_messages 0\nautosave_on_changes true\nautosave_interval 1\n";

fn start(dir: &Path, port: u16, settings: &str, bridge_to: Option<u16>) -> Process {
    let dir = folder(dir, &format!("mosquitto-{port}"));
    let mut text = format!(
        "listener {port} 127.0.0.1\nallow_anonymous true\nlog_type none\nuser root\npersistence true\n\
         persistence_location {}/\n{settings}",
        dir.display()
    );
    if let Some(far) = bridge_to {
        let _ = write!(
            text,
            "connection far\naddress 127.0.0.1:{far}\nbridge_protocol_version mqttv311\ncleansession false\n\
             notifications false\nrestart_timeout 1\ntopic out/# out 1\ntopic in/# in 1\n"
        );
    }
    let config = dir.join("mosquitto.conf");
    std::fs::write(&config, text).expect("a configuration");
    let mut command = Command::new(program("mosquitto").expect("installed"));
    let process = Process::start(command.arg("-c").arg(&config));
    drop(crate::process::connect(port));
    process
}

/// Both brokers, with the bridge between them up.
struct Bridge {
    near: u16,
    far: u16,
    _brokers: [Process; 2],
}

impl Bridge {
    fn start(dir: &Path, settings: &str) -> Self {
        let (near, far) = (free_port(), free_port());
        let hub = start(dir, far, LIFTED, None);
        let leaf = start(dir, near, settings, Some(far));
        let this = Self { near, far, _brokers: [leaf, hub] };
        this.up(far, near, "in/up");
        this.up(near, far, "out/up");
        this
    }

    /// Waits until what is published at `from` arrives at `to`.
    fn up(&self, from: u16, to: u16, topic: &str) {
        let receiver = Receiver::start(to, topic);
        let begin = now();
        while receiver.tally.distinct() == 0 {
            assert!(begin.elapsed() < PATIENCE, "the bridge {} to {} does not come up", self.near, self.far);
            pump(&mut sign_in(from, "asks"), &mut Publishes::to(topic), 0, 1, 1);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn measure(
        &self,
        who: &str,
        inwards: bool,
        count: usize,
        paced: Option<Duration>,
        figures: &mut Figures,
    ) {
        let (from, to, topic) =
            if inwards { (self.far, self.near, "in/x") } else { (self.near, self.far, "out/x") };
        let receiver = Receiver::start(to, topic);
        let (row, late) = if inwards { ("I1", "I2") } else { ("O1", "O3") };
        let names = if inwards { IN } else { OUT };
        let protocol = Publishes::to(topic);
        let mut job =
            Job { who, socket: sign_in(from, "app"), protocol, far: &receiver.tally, window: WINDOW };
        job.throughput(row, count, figures);
        if let Some(lasts) = paced {
            job.one_by_one(late, names, lasts, figures);
        }
    }
}

/// What I2 calls its latencies.
const IN: [&str; 2] = ["server to its broker, 200/s", "server to subscriber, 200/s"];

/// O1 and O3 outwards, I1 and I2 inwards.
pub(crate) fn rows(dir: &Path, scale: &Scale, figures: &mut Figures) {
    let lifted = Bridge::start(dir, LIFTED);
    lifted.measure("mosquitto", false, scale.messages, Some(scale.paced), figures);
    lifted.measure("mosquitto", true, scale.messages, Some(scale.paced), figures);
    drop(lifted);
    Bridge::start(dir, "").measure("mosquitto defaults", false, scale.messages, None, figures);
    // Its cost grows with the queue; a few say enough.
    let autosave = Bridge::start(dir, AUTOSAVE);
    autosave.measure("mosquitto autosave", false, scale.few(5_000), Some(scale.paced), figures);
}

/// One that does nothing.
pub(crate) fn idle(dir: &Path) -> Process {
    start(dir, free_port(), LIFTED, None)
}

/// A bridge to a broker that is not there.
pub(crate) fn backlog(dir: &Path, scale: &Scale, figures: &mut Figures) {
    let port = free_port();
    let broker = start(dir, port, LIFTED, Some(free_port()));
    let far = Tally::default();
    let socket = sign_in(port, "app");
    let mut job =
        Job { who: "mosquitto", socket, protocol: Publishes::to("out/x"), far: &far, window: WINDOW };
    job.pile_up(&broker, &scale.depths, figures);
}
