//! P1 seen from outside: by the system calls of the real program, no receipt leaves before the
//! `fdatasync` (or `fsync`) that covers its row.
#![cfg(target_os = "linux")]
#![allow(clippy::print_stderr, reason = "says what it measured, or that it was skipped")]

#[path = "support/mod.rs"]
mod support;

use std::collections::HashMap;
use std::process::{Command, Stdio};

use serde_json::json;
use support::daemon::Daemon;

const MESSAGES: usize = 200;

/// What one message went through, by line numbers of the trace.
#[derive(Debug, Default, Clone, Copy)]
struct Trail {
    /// Its body was written to the write-ahead log.
    row: Option<usize>,
    /// An `fdatasync` of the log that began after that has returned.
    synced: Option<usize>,
    /// Its receipt was written to the app's socket.
    receipt: Option<usize>,
}

/// Reads a trace of `strace -f -y` into the trails of the messages with these markers.
fn trails(trace: &str, markers: &[String]) -> HashMap<String, Trail> {
    let mut trails: HashMap<String, Trail> = HashMap::new();
    // Syncs under way, by thread: the trace line in which they began.
    let mut begun: HashMap<&str, usize> = HashMap::new();
    for (at, line) in trace.lines().enumerate() {
        let thread = line.split_whitespace().next().unwrap_or_default();
        let to_log = line.contains("-wal>");
        if to_log && line.contains("write") {
            for marker in markers.iter().filter(|marker| line.contains(marker.as_str())) {
                trails.entry(marker.clone()).or_default().row.get_or_insert(at);
            }
        }
        let sync = to_log && (line.contains("fdatasync(") || line.contains("fsync("));
        let whole = sync && line.ends_with("= 0");
        if sync && !whole {
            begun.insert(thread, at);
        }
        let resumed = line.contains("sync resumed>") && line.ends_with("= 0");
        let began = if whole {
            Some(at)
        } else if resumed {
            begun.remove(thread)
        } else {
            None
        };
        if let Some(began) = began {
            for trail in trails.values_mut().filter(|trail| trail.row.is_some_and(|row| row < began)) {
                trail.synced.get_or_insert(at);
            }
        }
        if !to_log && (line.contains("sendto(") || line.contains("write") || line.contains("sendmsg(")) {
            for marker in markers.iter().filter(|marker| line.contains(&format!("receipt-{marker}"))) {
                trails.entry(marker.clone()).or_default().receipt.get_or_insert(at);
            }
        }
    }
    trails
}

#[test]
fn p1_no_receipt_is_written_before_the_fdatasync_that_covers_its_row() {
    if Command::new("strace").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
        assert!(std::env::var_os("CI").is_none(), "strace is missing, and in CI nothing is skipped");
        eprintln!("SKIPPED: strace is not installed; `.ci/install` fetches it");
        return;
    }
    // Nobody listens there: only the way to the disk matters.
    let mut daemon = Daemon::start("[server]\nurl = \"ws://127.0.0.1:9/\"\n[reconnect]\ndelays = [\"1h\"]\n");
    let trace_path = daemon.path("trace");
    let mut strace = Command::new("strace")
        .args([
            "-f",
            "-qq",
            "-y",
            "-s",
            "1000000",
            "-e",
            "trace=write,writev,pwrite64,pwritev,sendto,sendmsg,fdatasync,fsync",
        ])
        .args(["-p", &daemon.pid().to_string(), "-o"])
        .arg(&trace_path)
        .spawn()
        .expect("strace runs");
    let mut client = daemon.client();
    // Tracing has begun when a call of ours shows in it.
    support::until_blocking("strace to be attached", || {
        client.call("hello", &json!({"client":{"name":"strace-probe","version":"1"}})).expect("an answer");
        let trace = std::fs::read_to_string(&trace_path).unwrap_or_default();
        trace.contains("daemon_version").then_some(())
    });
    let markers: Vec<String> = (0..MESSAGES).map(|n| format!("mark{n:06}")).collect();
    for (n, marker) in markers.iter().enumerate() {
        // Two at a time, so that commits are shared now and then.
        let line = json!({"jsonrpc":"2.0","id":format!("receipt-{marker}"),"method":"messages.send",
            "params":{"type":"traced","data":{"marker":marker}}});
        client.write_line(&line.to_string());
        if n % 2 == 1 {
            for _ in 0..2 {
                let answer = client.read_line().expect("a receipt");
                assert_eq!(answer["result"]["state"], "queued", "{answer}");
            }
        }
    }
    daemon.kill9();
    strace.wait().expect("strace ends with the daemon");
    let trace = std::fs::read_to_string(&trace_path).unwrap_or_default();
    let trails = trails(&trace, &markers);
    for marker in &markers {
        let trail = trails.get(marker).copied().unwrap_or_default();
        match (trail.row, trail.synced, trail.receipt) {
            (Some(row), Some(synced), Some(receipt)) => {
                assert!(row < synced && synced < receipt, "{marker}: receipt before the sync: {trail:?}");
            }
            _ => panic!("{marker}: not seen in the trace: {trail:?}"),
        }
    }
    eprintln!("{MESSAGES} receipts, each behind the fdatasync that covers its row");
}

#[test]
fn the_reader_of_traces_sees_a_receipt_that_came_too_early() {
    let early = "1 pwrite64(9</x.db-wal>, \"mark000000\", 10, 0) = 10\n\
                 2 sendto(11<socket>, \"receipt-mark000000\", 5) = 5\n\
                 1 fdatasync(9</x.db-wal>) = 0\n";
    let trail = trails(early, &["mark000000".into()])["mark000000"];
    assert!(trail.receipt < trail.synced, "{trail:?}");
    let stale = "1 fdatasync(9</x.db-wal> <unfinished ...>\n\
                 3 pwrite64(9</x.db-wal>, \"mark000000\", 10, 0) = 10\n\
                 1 <... fdatasync resumed>) = 0\n";
    let trail = trails(stale, &["mark000000".into()])["mark000000"];
    assert_eq!(trail.synced, None, "a sync that began before the row was written does not cover it");
}
