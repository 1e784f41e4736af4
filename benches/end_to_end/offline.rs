//! A queue that grows while the server is away: O5, R2, R4 and R5.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::figures::{Figures, number, rate};
use crate::options::Scale;
use crate::outbound::send;
use crate::probes;
use crate::server::Server;
use crate::stats::{Latency, now};
use crate::subject::Subject;
use crate::wire::{Sends, pump};

/// Messages under way to the daemon while the queue fills.
const WINDOW: usize = 1024;
/// Messages at the end of the filling that say what one more costs there, at most.
const SLICE: usize = 50_000;
/// Times the status is asked for.
const ASKED: usize = 200;
/// Restarts of the server.
const RESTARTS: usize = 5;

/// All of it; durability is full.
pub(crate) fn rows(dir: &Path, scale: &Scale, figures: &mut Figures) {
    let who = "holdline full";
    let mut server = Server::start();
    let mut subject = Subject::start(&dir.join("offline"), server.port, "full");
    figures.put("R2", "nothing queued, resident", who, "MiB", subject.daemon.rss());
    let online = send(&subject, &server, scale.messages, WINDOW);
    figures.put("O5", "O1 before it, delivered", who, "msg/s", rate(scale.messages, online.delivered));
    restarts(&subject, &mut server, figures);
    for depth in &scale.depths {
        let last = Some(depth) == scale.depths.last();
        deeper(&mut subject, &mut server, *depth, last, figures);
        let cost = probes::standing_queue(dir, "FULL", *depth, scale.messages);
        figures.put("O5", format!("{depth} rows, 64 in and 64 out"), "SQLite full", "µs/msg", cost);
    }
}

/// Fills the queue up to `depth` and lets it drain, a shallow one several times.
fn deeper(subject: &mut Subject, server: &mut Server, depth: usize, last: bool, figures: &mut Figures) {
    let who = "holdline full";
    let cycles = (20_000 / depth).clamp(1, 10);
    let slice = if depth > 20_000 { SLICE.min(depth / 2) } else { depth };
    let (mut filling, mut draining) = (Cost::default(), Cost::default());
    let (mut peak, mut resident) = (0.0_f64, 0.0_f64);
    let mut asked = Latency::default();
    let mut first = Latency::default();
    for cycle in 0..cycles {
        server.go_down();
        subject.disconnected();
        server.tally().begin(false);
        subject.daemon.forget_peak();
        let mut app = subject.app().socket();
        pump(&mut app, &mut Sends, 0, depth - slice, WINDOW);
        filling.of(subject, slice, || pump(&mut app, &mut Sends, (depth - slice) as u64, slice, WINDOW));
        drop(app);
        resident = resident.max(subject.daemon.rss());
        if cycle == 0 {
            ask(subject, depth, &mut asked);
        }
        if last && cycle == 0 {
            start_again(subject, depth, figures);
        }
        server.moments();
        server.come_up();
        draining.of(subject, depth, || drain(subject, server, depth, &mut first));
        peak = peak.max(subject.daemon.peak());
    }
    figures.put("O5", format!("{depth} rows, filling"), who, "msg/s", filling.rate());
    figures.put("O5", format!("{depth} rows, draining"), who, "msg/s", draining.rate());
    figures.put("O5", format!("{depth} rows, in and out"), who, "µs/msg", filling.wall() + draining.wall());
    figures.put(
        "O5",
        format!("{depth} rows, in and out, CPU"),
        who,
        "µs/msg",
        filling.cpu() + draining.cpu(),
    );
    figures.put(
        "O5",
        format!("{depth} rows, first row after the connection"),
        who,
        "µs",
        first.percentile(50.0),
    );
    figures.put("O5", format!("{depth} rows, status call, p50"), who, "µs", asked.percentile(50.0));
    figures.put("R2", format!("{depth} queued, resident"), who, "MiB", resident);
    figures.put("R2", format!("{depth} queued and drained, most resident"), who, "MiB", peak);
}

/// Time and CPU time of so many messages.
#[derive(Default)]
struct Cost {
    count: usize,
    took: Duration,
    cpu: Duration,
}

impl Cost {
    fn of(&mut self, subject: &Subject, count: usize, work: impl FnOnce() -> Duration) {
        let before = subject.daemon.cpu();
        self.took += work();
        self.cpu += subject.daemon.cpu().saturating_sub(before);
        self.count += count;
    }

    fn rate(&self) -> f64 {
        rate(self.count, self.took)
    }

    fn wall(&self) -> f64 {
        self.took.as_secs_f64() * 1e6 / number(self.count as u64)
    }

    fn cpu(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / number(self.count as u64)
    }
}

/// From the moment the server has accepted the connection to the confirmation of the last message.
fn drain(subject: &Subject, server: &Server, depth: usize, first: &mut Latency) -> Duration {
    let arrived = server.tally().wait(depth).expect("something came");
    let end = arrived.max(subject.drained());
    assert_eq!(server.tally().distinct(), depth as u64, "every message arrives");
    let moments = server.moments();
    let accepted = moments.accepted.expect("it came back");
    first.add(moments.first_row.expect("a message came") - accepted);
    end - accepted
}

fn ask(subject: &Subject, depth: usize, took: &mut Latency) {
    let mut app = subject.app();
    for _ in 0..ASKED {
        let begin = now();
        let status = app.call("status", &json!({}));
        took.add(begin.elapsed());
        assert_eq!(status["outbox"]["queued"], depth, "all of them wait");
    }
}

/// R4: a daemon that was killed with all of it in its queue, from its start to its first answer.
fn start_again(subject: &mut Subject, depth: usize, figures: &mut Figures) {
    let begin = now();
    subject.crash();
    let mut app = subject.app();
    let took = begin.elapsed();
    let status = app.call("status", &json!({}));
    assert_eq!(status["outbox"]["queued"], depth, "all of them are still there");
    figures.put(
        "R4",
        format!("start to first answer, {depth} queued"),
        "holdline full",
        "ms",
        took.as_secs_f64() * 1e3,
    );
    figures.put(
        "R2",
        format!("{depth} queued, resident after a restart"),
        "holdline full",
        "MiB",
        subject.daemon.rss(),
    );
}

/// R5: the server restarts while one message waits; from its `accept` to that message, at the median.
fn restarts(subject: &Subject, server: &mut Server, figures: &mut Figures) {
    let mut first = Latency::default();
    for _ in 0..RESTARTS {
        server.go_down();
        subject.disconnected();
        server.tally().begin(false);
        pump(&mut subject.app().socket(), &mut Sends, 0, 1, 1);
        server.moments();
        server.come_up();
        drain(subject, server, 1, &mut first);
    }
    figures.latency("R5", "server back: connection to first row", "holdline full", &first);
}
