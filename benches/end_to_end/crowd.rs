//! G1 and G2: apps that ask while many others sit there.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;

use crate::figures::{Figures, number};
use crate::options::Scale;
use crate::server::Server;
use crate::stats::{Latency, now};
use crate::subject::Subject;
use crate::wire::pace;

/// Apps that do nothing.
const IDLE: u32 = 1_000;
/// Apps that ask for the status, each so often a second, for as long as a paced row takes.
const HOT: usize = 10;
const PER_SECOND: u32 = 50;
/// Turns without and with the idle ones, one after the other, so that both meet the same machine.
const TURNS: usize = 3;

/// The same questions with and without a crowd of idle apps.
pub(crate) fn rows(dir: &Path, scale: &Scale, figures: &mut Figures) {
    let who = "holdline full";
    // Each of them is a file of this process too.
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).expect("up to the hard limit");
    let server = Server::start();
    let subject = Subject::start(&dir.join("crowd"), server.port, "full");
    let (mut alone, mut among) = (Latency::default(), Latency::default());
    let mut cost = 0.0_f64;
    for _ in 0..TURNS {
        ask(&subject, scale.paced, &mut alone);
        let before = subject.daemon.rss();
        let idle: Vec<UnixStream> = (0..IDLE).map(|number| sit_down(&subject, number)).collect();
        cost = cost.max(subject.daemon.rss() - before);
        ask(&subject, scale.paced, &mut among);
        drop(idle);
        subject.alone();
    }
    figures.latency("G1", "10 hot apps: status", who, &alone);
    figures.latency("G1", "10 hot apps beside 1,000 idle ones: status", who, &among);
    let ratio = among.percentile(99.0) / alone.percentile(99.0);
    figures.put("G1", "status p99, with / without the idle ones", who, "×", ratio);
    figures.put("G2", "resident memory of an idle app", who, "kB", cost * 1024.0 / number(IDLE.into()));
}

fn sit_down(subject: &Subject, number: u32) -> UnixStream {
    let mut app = subject.app();
    app.call("hello", &json!({"client": {"name": format!("idle-{number}")}}));
    app.socket()
}

/// All hot apps ask at their pace, each from a thread of its own.
fn ask(subject: &Subject, lasts: Duration, took: &mut Latency) {
    let each = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..HOT).map(|_| scope.spawn(|| one(subject, lasts))).collect();
        asking.into_iter().map(|one| one.join().expect("no panic")).collect::<Vec<_>>()
    });
    each.into_iter().for_each(|one| took.append(one));
}

fn one(subject: &Subject, lasts: Duration) -> Latency {
    let mut app = subject.app();
    let mut took = Latency::default();
    let begin = now();
    let mut n = 0;
    while begin.elapsed() < lasts {
        n += 1;
        pace(begin, n, PER_SECOND);
        let at = now();
        app.call("status", &json!({}));
        took.add(at.elapsed());
    }
    took
}
