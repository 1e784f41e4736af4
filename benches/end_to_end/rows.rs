//! The rows of the table: what is measured, and against what.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::probes::{fdatasync, pace, sqlite, sqlite_paced};
use crate::stats::{Latency, now};
use crate::subject::{Subject, binary_size, cpu_ticks, rss, switches};

/// One figure of one round.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) value: f64,
}

pub(crate) const fn row(name: &'static str, unit: &'static str, value: f64) -> Row {
    Row { name, unit, value }
}

/// A body that makes the data 256 bytes long.
fn body(n: usize) -> String {
    let mut text = format!(r#"{{"n":{n},"pad":""#);
    while text.len() < 254 {
        text.push('x');
    }
    text.push_str("\"}");
    text
}

fn send_line(out: &mut String, n: usize) {
    let _ = writeln!(
        out,
        r#"{{"jsonrpc":"2.0","id":{n},"method":"messages.send","params":{{"type":"bench","data":{}}}}}"#,
        body(n)
    );
}

fn rate(count: usize, took: Duration) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / took.as_secs_f64()
}

/// Everything that is repeated: probes and subject, in turn.
pub(crate) fn round(messages: usize, wanted: impl Fn(&str) -> bool) -> Vec<Row> {
    let dir = tempfile::tempdir().expect("a folder");
    let mut rows = Vec::new();
    if wanted("outbound") || wanted("inbound") || wanted("crowd") {
        let batched = sqlite(dir.path(), "FULL", messages, 512, &body(0));
        rows.push(row("probe: SQLite FULL, 512 rows per commit", "msg/s", batched));
        let subject = Subject::start(dir.path(), "full");
        if wanted("outbound") {
            rows.extend(outbound_rows(dir.path(), &subject, messages, batched));
        }
        if wanted("inbound") {
            let inbound = inbound(&subject, messages);
            rows.push(row("I1 one subscriber: events stored and delivered", "events/s", inbound));
            rows.push(row("I1 / SQLite FULL 512", "ratio", inbound / batched));
        }
        if wanted("crowd") {
            rows.extend(crate::crowd::crowd(&subject));
        }
    }
    if wanted("notices") {
        rows.extend(crate::notices::notices());
    }
    rows
}

/// What apps send.
fn outbound_rows(dir: &Path, subject: &Subject, messages: usize, batched: f64) -> Vec<Row> {
    let mut rows = Vec::new();
    let text = body(0);
    let sync = fdatasync(dir, 1_000);
    rows.push(row("probe: fdatasync 4 KiB in place, p50", "µs", sync.percentile(50.0)));
    rows.push(row("probe: fdatasync 4 KiB in place, p99", "µs", sync.percentile(99.0)));
    let single = sqlite(dir, "FULL", 3_000, 1, &text);
    rows.push(row("probe: SQLite FULL, 1 row per commit", "msg/s", single));
    let paced = sqlite_paced(dir, "FULL", 200, Duration::from_secs(4), &text);
    rows.push(row("probe: SQLite FULL, 1 row per commit at 200/s, p50", "µs", paced.percentile(50.0)));

    let (receipts, delivered) = outbound(subject, messages, 1024);
    rows.push(row("O1 window 1024: durable receipts", "msg/s", receipts));
    rows.push(row("O1 window 1024: delivered and acknowledged", "msg/s", delivered));
    rows.push(row("O1 delivered / SQLite FULL 512", "ratio", delivered / batched));
    let (receipts, _) = outbound(subject, 3_000, 1);
    rows.push(row("O2 window 1: durable receipts", "msg/s", receipts));
    rows.push(row("O2 / SQLite FULL 1", "ratio", receipts / single));
    let reply = outbound_paced(subject, 200, Duration::from_secs(4));
    rows.push(row("O3 200/s: call to durable reply, p50", "µs", reply.percentile(50.0)));
    rows.push(row("O3 200/s: call to durable reply, p99", "µs", reply.percentile(99.0)));
    rows.push(row("O3 p50 - paced SQLite p50", "µs", reply.percentile(50.0) - paced.percentile(50.0)));
    rows
}

/// What is measured once: the footprint.
pub(crate) fn once(idle_seconds: u64) -> Vec<Row> {
    let dir = tempfile::tempdir().expect("a folder");
    let subject = Subject::start(dir.path(), "full");
    let pid = subject.daemon.id();
    std::thread::sleep(Duration::from_secs(3));
    let (switches, ticks) = (switches(pid), cpu_ticks(pid));
    std::thread::sleep(Duration::from_secs(idle_seconds));
    let ticks = cpu_ticks(pid) - ticks;
    // A thread that ended meanwhile (a blocking one, gone after its rest) is not counted.
    let switched: u64 = crate::subject::switches(pid)
        .iter()
        .map(|(thread, after)| after - switches.get(thread).unwrap_or(&0))
        .sum();
    let per_second =
        |n: u64| rate(usize::try_from(n).unwrap_or(usize::MAX), Duration::from_secs(idle_seconds));
    vec![
        row("R1 idle and connected: resident memory", "MiB", rss(pid)),
        row("R1 idle and connected: context switches", "per s", per_second(switched)),
        row(
            "R1 idle and connected: CPU ticks in all",
            "ticks",
            rate(usize::try_from(ticks).unwrap_or(0), Duration::from_secs(1)),
        ),
        row("R3 release binary, stripped", "MB", binary_size()),
    ]
}

/// Sends `count` messages with `window` receipts outstanding: receipts per second, and messages
/// delivered and acknowledged by the server per second.
fn outbound(subject: &Subject, count: usize, window: usize) -> (f64, f64) {
    let mut app = subject.app().expect("it serves");
    let mut lines = String::new();
    let mut sent = 0;
    let mut answered = 0;
    let begin = now();
    while answered < count {
        lines.clear();
        while sent < count && sent - answered < window {
            send_line(&mut lines, sent);
            sent += 1;
        }
        if !lines.is_empty() {
            app.write(lines.as_bytes());
        }
        answered += app.read_some();
    }
    let receipts = begin.elapsed();
    let drained = subject.drained() - begin;
    (rate(count, receipts), rate(count, drained))
}

/// One send at a time, `per_second` of them: how long the durable reply takes.
fn outbound_paced(subject: &Subject, per_second: u32, lasts: Duration) -> Latency {
    let mut app = subject.app().expect("it serves");
    let mut took = Latency::default();
    let begin = now();
    let mut n = 0;
    let mut line = String::new();
    while begin.elapsed() < lasts {
        n += 1;
        pace(begin, n, per_second);
        line.clear();
        send_line(&mut line, usize::try_from(n).unwrap_or(0));
        let at = now();
        app.write(line.as_bytes());
        app.read_line();
        took.add(at.elapsed());
    }
    took
}

/// The server pushes `count` events; one subscriber reads them all.
pub(crate) fn inbound(subject: &Subject, count: usize) -> f64 {
    let mut control = subject.app().expect("it serves");
    let mut app = subject.app().expect("it serves");
    app.call("events.subscribe", &json!({"from": "now", "types": ["tick"]})).expect("subscribed");
    let begin = now();
    let mut line = json!({"jsonrpc":"2.0","method":"messages.send","params":{"type":"dev.control","delivery":"ephemeral",
        "data":{"do":"push","event":"tick","count":count,"data":serde_json::from_str::<serde_json::Value>(&body(1)).expect("JSON")}}})
    .to_string();
    line.push('\n');
    control.write(line.as_bytes());
    let mut seen = 0;
    while seen < count {
        seen += app.read_some();
    }
    rate(count, begin.elapsed())
}
