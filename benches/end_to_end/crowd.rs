//! Apps that ask while many others sit there.

use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;

use crate::probes::pace;
use crate::rows::{Row, row};
use crate::stats::{Latency, now};
use crate::subject::Subject;

/// Apps that do nothing.
const IDLE: usize = 1_000;
/// Apps that ask for the status, each so often a second …
const HOT: usize = 10;
const PER_SECOND: u32 = 50;
/// … for so long, in each turn.
const LASTS: Duration = Duration::from_secs(3);
/// Turns without and with the idle ones, one after the other, so that both meet the same machine.
const TURNS: usize = 3;

/// The same questions with and without a crowd of idle apps.
pub(crate) fn crowd(subject: &Subject) -> Vec<Row> {
    // Each of them is a file of this process too.
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).expect("up to the hard limit");
    let (mut alone, mut among) = (Latency::default(), Latency::default());
    let mut cost = 0;
    for _ in 0..TURNS {
        ask(subject, &mut alone);
        let before = subject.resident();
        let idle: Vec<UnixStream> = (0..IDLE).map(|number| sit_down(subject, number)).collect();
        cost = subject.resident().saturating_sub(before);
        ask(subject, &mut among);
        drop(idle);
        subject.alone();
    }
    let per_app = |bytes: u64| f64::from(u32::try_from(bytes / IDLE as u64).unwrap_or(u32::MAX));
    vec![
        row("C1 10 hot apps: status, p50", "µs", alone.percentile(50.0)),
        row("C1 10 hot apps: status, p99", "µs", alone.percentile(99.0)),
        row("C1 10 hot apps beside 1,000 idle ones: status, p50", "µs", among.percentile(50.0)),
        row("C1 10 hot apps beside 1,000 idle ones: status, p99", "µs", among.percentile(99.0)),
        row("C1 p99 with / without the idle ones", "ratio", among.percentile(99.0) / alone.percentile(99.0)),
        row("C2 resident memory of an idle app (0: it was there already)", "B", per_app(cost)),
    ]
}

fn sit_down(subject: &Subject, number: usize) -> UnixStream {
    let mut app = subject.app().expect("there is room");
    app.call("hello", &json!({"client": {"name": format!("idle-{number}")}})).expect("served");
    app.be_quiet()
}

/// All hot apps ask at their pace, each from a thread of its own.
fn ask(subject: &Subject, took: &mut Latency) {
    let each = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..HOT).map(|_| scope.spawn(|| one(subject))).collect();
        asking.into_iter().map(|one| one.join().expect("no panic")).collect::<Vec<_>>()
    });
    each.into_iter().for_each(|one| took.append(one));
}

fn one(subject: &Subject) -> Latency {
    let mut app = subject.app().expect("there is room");
    let mut took = Latency::default();
    let begin = now();
    let mut n = 0;
    while begin.elapsed() < LASTS {
        n += 1;
        pace(begin, n, PER_SECOND);
        let at = now();
        app.call("status", &json!({})).expect("an answer");
        took.add(at.elapsed());
    }
    took
}
