//! What apps send: O1 with several windows, O2, O3, O4.

use std::path::Path;
use std::time::Duration;

use crate::figures::{Figures, number, rate};
use crate::options::Scale;
use crate::probes;
use crate::server::Server;
use crate::stats::now;
use crate::subject::Subject;
use crate::wire::{Sends, paced, pump};

/// Unanswered sends of the one app of O1; 1 is O2.
const WINDOWS: [usize; 4] = [1, 64, 1024, 8192];
/// Apps of O4, each with one unanswered send.
const APPS: [usize; 4] = [2, 4, 8, 16];
/// Messages a second of O3.
pub(crate) const PACE: u32 = 200;

/// What disk and SQLite do in this round.
pub(crate) fn limits(dir: &Path, scale: &Scale, figures: &mut Figures) {
    for durability in &scale.durabilities {
        let synchronous = durability.to_uppercase();
        let who = format!("SQLite {durability}");
        for (per_commit, rows) in [(1, scale.few(3_000)), (64, scale.messages), (512, scale.messages)] {
            let rows = probes::rows_per_second(dir, &synchronous, rows, per_commit);
            figures.put("limit", format!("commits of {per_commit}"), &who, "rows/s", rows);
        }
        let took = probes::paced(dir, &synchronous, PACE, scale.paced);
        figures.latency("limit", "one insert, 200/s", &who, &took);
    }
    let took = probes::fdatasync_paced(dir, PACE, scale.paced);
    figures.latency("limit", "fdatasync 4 KiB, 200/s", "disk", &took);
    figures.put("limit", "64 frames per flush", "WebSocket", "frames/s", probes::batches(scale.messages * 5));
}

/// All of it with one durability.
pub(crate) fn rows(dir: &Path, durability: &str, scale: &Scale, figures: &mut Figures) {
    let who = format!("holdline {durability}");
    let server = Server::start();
    let subject = Subject::start(&dir.join(format!("outbound-{durability}")), server.port, durability);
    for window in WINDOWS {
        let count = if window == 1 { scale.few(3_000) } else { scale.messages };
        let done = send(&subject, &server, count, window);
        figures.put("O1", format!("window {window}, receipts"), &who, "msg/s", rate(count, done.receipts));
        figures.put("O1", format!("window {window}, delivered"), &who, "msg/s", rate(count, done.delivered));
        if window == 1024 {
            let each = done.cpu.as_secs_f64() * 1e6 / number(count as u64);
            figures.put("O1", "window 1024, CPU of the daemon", &who, "µs/msg", each);
        }
    }
    for apps in APPS {
        let each = scale.few(3_000);
        figures.put(
            "O4",
            format!("{apps} apps, receipts"),
            &who,
            "msg/s",
            crowd(&subject, &server, apps, each),
        );
    }
    server.tally().begin(true);
    let mut app = subject.app().socket();
    let took = paced(&mut app, &mut Sends, PACE, scale.paced);
    server.tally().wait(took.sent.len());
    figures.latency("O3", "call to receipt, 200/s", &who, &took.answered);
    figures.latency("O3", "call to far side, 200/s", &who, &server.tally().since(&took.sent));
}

/// How long it took.
pub(crate) struct Done {
    /// Until the last receipt.
    pub(crate) receipts: Duration,
    /// Until the server had confirmed the last message.
    pub(crate) delivered: Duration,
    /// The daemon on a processor.
    pub(crate) cpu: Duration,
}

/// One app sends `count` messages with `window` of them unanswered.
pub(crate) fn send(subject: &Subject, server: &Server, count: usize, window: usize) -> Done {
    server.tally().begin(false);
    let mut app = subject.app().socket();
    let before = subject.daemon.cpu();
    let begin = now();
    let receipts = pump(&mut app, &mut Sends, 0, count, window);
    let arrived = server.tally().wait(count).expect("something came");
    let delivered = arrived.max(subject.drained()) - begin;
    assert_eq!(server.tally().distinct(), count as u64, "every message arrives");
    Done { receipts, delivered, cpu: subject.daemon.cpu() - before }
}

/// `apps` apps send `each` messages, each of them one after the other; receipts a second of all.
fn crowd(subject: &Subject, server: &Server, apps: usize, each: usize) -> f64 {
    server.tally().begin(false);
    let begin = now();
    std::thread::scope(|scope| {
        for number in 0..apps {
            scope.spawn(move || {
                let mut app = subject.app().socket();
                pump(&mut app, &mut Sends, (number * each) as u64, each, 1);
            });
        }
    });
    let took = begin.elapsed();
    server.tally().wait(apps * each);
    subject.drained();
    assert_eq!(server.tally().distinct(), (apps * each) as u64, "every message arrives");
    rate(apps * each, took)
}
