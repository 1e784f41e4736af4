//! C1, small: `kill -9` at random moments while an app sends. `tests/torture` has it with a server
//! that is cut as well, with lanes, and with events; `tests/durability` looks with strace for a
//! receipt that leaves before its fdatasync (C2).

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::figures::{Figures, number};
use crate::message::body;
use crate::options::Scale;
use crate::process::PATIENCE;
use crate::server::Server;
use crate::subject::Subject;

/// Sends without a receipt at most.
const WINDOW: usize = 64;

/// All of it; durability is full.
pub(crate) fn rows(dir: &Path, scale: &Scale, figures: &mut Figures) {
    let who = "holdline full";
    let server = Server::start();
    let mut subject = Subject::start(&dir.join("crash"), server.port, "full");
    server.tally().begin(false);
    let mut receipts = Vec::new();
    for kill in 0..scale.kills {
        subject.connected();
        let app = subject.app().socket();
        let first = kill as u64 * 1_000_000;
        receipts.extend(std::thread::scope(|scope| {
            let sending = scope.spawn(move || send_until_it_dies(app, first));
            std::thread::sleep(Duration::from_millis(fastrand::u64(5..150)));
            subject.crash();
            sending.join().expect("no panic")
        }));
    }
    subject.connected();
    subject.drained();
    server.tally().wait(receipts.len());
    let lost = receipts.iter().filter(|n| !server.tally().has(**n)).count();
    figures.put("C1", "kill -9", who, "times", number(scale.kills as u64));
    figures.put("C1", "messages with a receipt", who, "", number(receipts.len() as u64));
    figures.put("C1", "of them lost", who, "", number(lost as u64));
    let copies = server.tally().received() - server.tally().distinct();
    figures.put("C1", "sent again with the same id", who, "", number(copies));
}

/// Sends until the connection breaks; the numbers that have a receipt.
fn send_until_it_dies(mut app: UnixStream, first: u64) -> Vec<u64> {
    let mut answers = BufReader::new(app.try_clone().expect("a socket"));
    app.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let (mut next, mut receipts) = (first, Vec::new());
    let mut line = String::new();
    loop {
        while next - first < (receipts.len() + WINDOW) as u64 {
            let call = format!(
                r#"{{"jsonrpc":"2.0","id":{next},"method":"messages.send","params":{{"type":"bench","data":{}}}}}"#,
                body(next)
            );
            if writeln!(app, "{call}").is_err() {
                return receipts;
            }
            next += 1;
        }
        line.clear();
        if answers.read_line(&mut line).is_err() || !line.ends_with('\n') {
            return receipts;
        }
        let answer: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        if answer["result"]["state"].is_string() {
            receipts.extend(answer["id"].as_u64());
        }
    }
}
