//! Traffic in both directions that keeps book: which receipts an app has read, which events the
//! server has seen acknowledged. After a fault the book is compared with the disk.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use holdline::dev_server::DevServer;
use serde_json::{Value, json};

use crate::support::daemon::Daemon;

/// What an app has read so far.
#[derive(Debug, Default, Clone)]
pub(crate) struct Book {
    /// Ids with a receipt.
    pub(crate) receipts: BTreeSet<String>,
    /// Sends that were refused.
    pub(crate) refused: usize,
}

/// Sends one message after the other, under ids that begin with `prefix`, until `enough` says so
/// or the daemon is gone. A refused send is tried again with its id.
pub(crate) fn send(
    socket: &Path,
    prefix: &str,
    book: &Arc<Mutex<Book>>,
    mut enough: impl FnMut(&Book) -> bool,
) -> std::io::Result<()> {
    let mut out = UnixStream::connect(socket)?;
    out.set_read_timeout(Some(crate::support::PATIENCE))?;
    let mut lines = BufReader::new(out.try_clone()?);
    let mut number = 0;
    loop {
        if enough(&book.lock().expect("whole")) {
            return Ok(());
        }
        let id = format!("{prefix}-{number}");
        let call = json!({"jsonrpc": "2.0", "id": number, "method": "messages.send",
            "params": {"type": "t", "id": id, "data": {"n": number, "pad": "x".repeat(100)}}});
        writeln!(out, "{call}")?;
        let answer = loop {
            let mut line = String::new();
            if lines.read_line(&mut line)? == 0 || !line.ends_with('\n') {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            let answer: Value = serde_json::from_str(&line)?;
            if answer["id"] == number {
                break answer;
            }
        };
        let mut book = book.lock().expect("whole");
        match answer.get("error") {
            None => {
                assert_eq!(answer["result"]["id"], id.as_str(), "{answer}");
                book.receipts.insert(id);
                number += 1;
            }
            Some(error) => {
                let kind = error["data"]["kind"].as_str().unwrap_or_default();
                let known = ["store_failed", "busy", "shutting_down"].contains(&kind);
                assert!(known && error["data"]["retryable"] == true, "{answer}");
                book.refused += 1;
                drop(book);
                // No faster than a patient app.
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

/// Publishes numbered events until it is told to stop, once the daemon is there: to a client it
/// has never seen the server sends nothing that came before.
pub(crate) fn publish(
    server: Arc<DevServer>,
    first: u64,
    stop: Arc<AtomicBool>,
) -> std::thread::JoinHandle<u64> {
    std::thread::spawn(move || {
        while server.stats().resumes == 0 && !stop.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(3));
        }
        let mut number = first;
        while !stop.load(Ordering::Relaxed) {
            server.push("tick", &json!({"n": number}));
            number += 1;
            std::thread::sleep(Duration::from_millis(3));
        }
        number
    })
}

/// What is on disk, asked of a daemon that has no server to get anything again from.
#[derive(Debug)]
pub(crate) struct OnDisk {
    pub(crate) messages: BTreeSet<String>,
    pub(crate) events: BTreeSet<u64>,
    pub(crate) health: Value,
}

/// A configuration without a server, which keeps what fixtures of another year hold.
pub(crate) const NOBODY: &str = "[server]\nurl = \"ws://127.0.0.1:9/\"\n[reconnect]\ndelays = [\"1h\"]\n\
    [outbox]\nkeep_finished_age = \"3650d\"\n[inbox]\nmax_age = \"3650d\"\n";

pub(crate) fn on_disk(daemon: &Daemon) -> OnDisk {
    let mut client = daemon.client();
    let mut messages = BTreeSet::new();
    let mut after = None::<String>;
    loop {
        let mut question = json!({"limit": 1000});
        if let Some(after) = &after {
            question["after"] = json!(after);
        }
        let page = client.call("messages.list", &question).expect("a page");
        let rows = page["messages"].as_array().expect("messages");
        messages.extend(rows.iter().filter_map(|row| row["id"].as_str().map(str::to_owned)));
        after = rows.last().and_then(|row| row["id"].as_str().map(str::to_owned));
        if page["more"] != true {
            break;
        }
    }
    let mut events = BTreeSet::new();
    let mut from = json!("earliest");
    loop {
        let page = client.call("events.list", &json!({"from": from, "limit": 1000})).expect("a page");
        let rows = page["events"].as_array().expect("events");
        events.extend(rows.iter().filter_map(|row| row["data"]["n"].as_u64()));
        if page["more"] != true {
            break;
        }
        from = page["next"].clone();
    }
    let health = client.call("status", &json!({})).expect("a status")["health"].clone();
    OnDisk { messages, events, health }
}
