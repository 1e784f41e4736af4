//! What the server sends: I1 to several subscribers, I2 at a pace, I4 beside one that never reads.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::figures::{Figures, rate};
use crate::message::{finder, number_after};
use crate::options::Scale;
use crate::outbound::PACE;
use crate::probes;
use crate::server::Server;
use crate::stats::{Latency, now};
use crate::subject::Subject;
use crate::wire::pace;

/// Subscribers of I1, and the part of the messages each of them gets: deliveries count, not messages.
pub(crate) const SUBSCRIBERS: [(usize, usize); 3] = [(1, 1), (10, 2), (100, 3)];
/// Those of I4 that read.
const READERS: usize = 9;
/// Turns of I4 without and with the one that does not, so that both meet the same machine.
const TURNS: usize = 3;

/// What Unix sockets do in this round.
pub(crate) fn limits(scale: &Scale, figures: &mut Figures) {
    for (readers, part) in SUBSCRIBERS {
        let rate = probes::fan_out(readers, scale.messages * 2 / part);
        figures.put("I1", deliveries(readers), "Unix socket", "events/s", rate);
    }
}

fn deliveries(subscribers: usize) -> String {
    if subscribers == 1 {
        "1 subscriber".to_owned()
    } else {
        format!("{subscribers} subscribers, deliveries")
    }
}

/// All of it with one durability.
pub(crate) fn rows(dir: &Path, durability: &str, scale: &Scale, figures: &mut Figures) {
    let who = format!("holdline {durability}");
    let server = Server::start();
    let subject = Subject::start(&dir.join(format!("inbound-{durability}")), server.port, durability);
    for (subscribers, part) in SUBSCRIBERS {
        let count = scale.messages / part;
        let took = push(&server, &subscribe(&subject, subscribers), count);
        figures.put("I1", deliveries(subscribers), &who, "events/s", rate(count * subscribers, took));
    }
    figures.latency("I2", "server to subscriber, 200/s", &who, &one_by_one(&subject, &server, scale.paced));
    if durability == "full" {
        beside_a_deaf_one(&subject, &server, scale, figures);
    }
}

fn subscribe(subject: &Subject, count: usize) -> Vec<UnixStream> {
    (0..count).map(|_| subject.subscriber().socket()).collect()
}

/// The server pushes `count` events; how long until all subscribers have read them all.
pub(crate) fn push(server: &Server, subscribers: &[UnixStream], count: usize) -> Duration {
    let begin = now();
    let newest = server.push(count);
    probes::read_all(subscribers, count);
    let took = begin.elapsed();
    server.confirmed(newest);
    took
}

/// One event at a time, from the server's hands into those of a subscriber.
pub(crate) fn one_by_one(subject: &Subject, server: &Server, lasts: Duration) -> Latency {
    let mut app = subject.subscriber();
    let finder = finder();
    let mut seen = Vec::new();
    server.moments();
    let begin = now();
    while begin.elapsed() < lasts {
        pace(begin, seen.len() as u64 + 1, PACE);
        let number = server.push(1);
        while number_after(app.read_line().as_bytes(), &finder) != Some(number) {}
        seen.push((number, now()));
    }
    let mut took = Latency::default();
    for (pushed, seen) in server.moments().pushed.iter().zip(&seen) {
        assert_eq!(pushed.0, seen.0, "each was pushed alone");
        took.add(seen.1 - pushed.1);
    }
    took
}

/// Nine subscribers, and nine beside one that never reads.
fn beside_a_deaf_one(subject: &Subject, server: &Server, scale: &Scale, figures: &mut Figures) {
    let count = scale.messages / 5;
    let (mut alone, mut beside) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..TURNS {
        alone += push(server, &subscribe(subject, READERS), count);
        subject.alone();
        let deaf = subject.subscriber();
        beside += push(server, &subscribe(subject, READERS), count);
        drop(deaf);
        subject.alone();
    }
    let all = count * READERS * TURNS;
    figures.put("I4", "9 subscribers, deliveries", "holdline full", "events/s", rate(all, alone));
    figures.put(
        "I4",
        "9 beside one that never reads, deliveries",
        "holdline full",
        "events/s",
        rate(all, beside),
    );
}
