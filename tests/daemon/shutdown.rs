//! The end, whatever is going on: within what a service manager grants, with the exit status that was
//! promised, and with a database that has everything.

use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use crate::support::daemon::{Client, Daemon};
use crate::support::frames::{FIN, TEXT, frame};
use crate::support::raw::RawServer;
use crate::support::server::{Ended, ScriptedServer, Upgrade};
use crate::support::until_blocking;
use crate::{config, send};

/// `TimeoutStopSec=` of the unit: then it is killed.
const GRANTED: Duration = Duration::from_secs(10);
const NOBODY: &str = "[server]\nurl = \"ws://127.0.0.1:9/\"\n";

/// Ends the daemon, which is to take less than it is granted.
#[allow(clippy::disallowed_methods, reason = "what is granted is granted by the clock")]
fn stop(daemon: &mut Daemon) -> ExitStatus {
    let start = std::time::Instant::now();
    let status = daemon.stop();
    let took = start.elapsed();
    eprintln!("ended after {} ms", took.as_millis());
    assert!(took < GRANTED, "it took {took:?}");
    status
}

/// The database is whole and needs no recovery; it holds so many messages that wait.
fn in_order(daemon: &Daemon, waiting: i64) {
    let log = daemon.database_path().with_extension("db-wal");
    let left = std::fs::metadata(&log).map_or(0, |found| found.len());
    assert_eq!(left, 0, "the log is written back");
    whole(daemon, waiting);
}

fn whole(daemon: &Daemon, waiting: i64) {
    let database = rusqlite::Connection::open(daemon.database_path()).expect("the database");
    let said: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("looked at");
    assert_eq!(said, "ok");
    let count: i64 = database
        .query_row("SELECT count(*) FROM outbox WHERE state IN (10, 11, 20, 21)", [], |row| row.get(0))
        .expect("rows");
    assert_eq!(count, waiting);
}

/// One that is to end in order, with these messages waiting.
fn ends_in_order(daemon: &mut Daemon, waiting: i64) {
    assert_eq!(stop(daemon).code(), Some(0), "{}", daemon.log());
    assert!(!daemon.socket_path().exists(), "the socket is gone");
    assert!(daemon.log().contains("INFO stopped"), "{}", daemon.log());
    in_order(daemon, waiting);
}

fn scripted() -> (tokio::runtime::Runtime, ScriptedServer) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("one");
    let server = runtime.block_on(ScriptedServer::start());
    (runtime, server)
}

#[test]
fn the_server_is_told_goodbye_and_ten_thousand_messages_wait_for_the_next_start() {
    let (runtime, server) = scripted();
    let mut daemon = Daemon::start(&config(&server.url(), "json", "[outbox]\nconfirm = \"reply\"\n"));
    let mut peer = runtime.block_on(server.accept());
    daemon.wait_for("connected");
    let mut client = daemon.client();
    let batch: Vec<_> = (0..100)
        .map(|n| json!({"jsonrpc": "2.0", "id": n, "method": "messages.send", "params": {"type": "t", "data": n}}))
        .collect();
    for _ in 0..100 {
        client.write_line(&serde_json::Value::from(batch.clone()).to_string());
        assert_eq!(client.read_line().expect("an answer").as_array().map(Vec::len), Some(100));
    }
    ends_in_order(&mut daemon, 10_000);
    assert_eq!(runtime.block_on(peer.ended()), Ended::Closed(Some(1001)));
}

#[test]
fn a_server_that_does_not_answer_the_goodbye_is_not_waited_for() {
    let (runtime, server) = scripted();
    let mut daemon = Daemon::start(&config(&server.url(), "json", ""));
    let peer = runtime.block_on(server.accept());
    daemon.wait_for("connected");
    peer.go_silent();
    ends_in_order(&mut daemon, 0);
}

#[test]
fn a_server_that_reads_nothing_is_not_waited_for() {
    let server = RawServer::start();
    let mut daemon = Daemon::start(&config(&server.url(), "json", "[outbox]\nconfirm = \"reply\"\n"));
    let mut peer = server.accept();
    daemon.wait_for("connected");
    let mut client = daemon.client();
    for n in 0..64 {
        send(&mut client, "t", &json!({"n": n, "pad": "x".repeat(256 << 10)}));
    }
    // It speaks all the same.
    peer.write(&frame(FIN | TEXT, br#"{"type":"e","eventId":"1"}"#));
    crate::wait_for_status(&mut client, "the event", |status| status["inbox"]["events"] == 1);
    ends_in_order(&mut daemon, 64);
}

#[test]
fn a_dial_that_hangs_is_given_up_wherever_it_hangs() {
    // Before the upgrade …
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("ws://{}/", listener.local_addr().expect("its address"));
    let mut daemon = Daemon::start(&config(&url, "json", ""));
    let _taken = listener.accept().expect("a dial");
    ends_in_order(&mut daemon, 0);
    // … within it …
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("one");
    let server = runtime.block_on(ScriptedServer::builder().answer(|_, _| Upgrade::Silence).start());
    let mut daemon = Daemon::start(&config(&server.url(), "json", ""));
    until_blocking("a request", || (!server.requests().is_empty()).then_some(()));
    ends_in_order(&mut daemon, 0);
    // … and in the command that gives the token, which has started something itself.
    let mut daemon = Daemon::prepare("");
    let pids = daemon.path("pids");
    let command = format!("sleep 1000 & echo $$ $! > {}.new; mv {0}.new {0}; wait", pids.display());
    daemon.write_config(&format!(
        "{NOBODY}[auth]\ntoken_command = [\"sh\", \"-c\", \"{command}\"]\nmethod = \"header\"\n"
    ));
    daemon.restart();
    let pids = until_blocking("the command to run", || std::fs::read_to_string(&pids).ok());
    ends_in_order(&mut daemon, 0);
    for pid in pids.split_whitespace() {
        until_blocking(&format!("{pid} to be gone"), || has_gone(pid).then_some(()));
    }
}

/// Whether no such process runs; what nobody has asked how it ended does not run either.
fn has_gone(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
}

#[test]
fn apps_are_told_whether_they_read_or_not() {
    let mut daemon = Daemon::start(&format!("{NOBODY}[ipc]\nmax_clients = 128\n"));
    let mut clients: Vec<Client> = (0..128).map(|_| daemon.client()).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        let from = if n % 2 == 0 { json!("now") } else { json!("earliest") };
        client.call("events.subscribe", &json!({"from": from})).expect("a subscription");
    }
    // Half of them ask for more than they will ever read.
    for client in clients.iter_mut().skip(64) {
        for id in 0..200 {
            client.write_line(&json!({"jsonrpc": "2.0", "id": id, "method": "rpc.discover"}).to_string());
        }
    }
    ends_in_order(&mut daemon, 0);
    for client in clients.iter_mut().take(64) {
        let mut told = false;
        while let Some(line) = client.read_line() {
            told |= line["method"] == "closing" || line.to_string().contains("shutting_down");
        }
        assert!(told, "an app that reads is told");
    }
}

#[test]
fn a_doctor_at_work_is_sent_home() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("ws://{}/", listener.local_addr().expect("its address"));
    let mut daemon = Daemon::start(&config(&url, "json", ""));
    let mut clients = [daemon.client(), daemon.client()];
    for client in &mut clients {
        client.write_line(&json!({"jsonrpc": "2.0", "id": 1, "method": "doctor", "params": {}}).to_string());
    }
    // One of them is told that the other has the doctor.
    until_blocking("the doctor to be at work", || clients.iter_mut().any(Client::has_line).then_some(()));
    ends_in_order(&mut daemon, 0);
}

#[test]
fn buses_that_take_a_connection_and_say_nothing_hold_nothing_up() {
    let mut daemon = Daemon::prepare(NOBODY);
    let mut silent = Vec::new();
    for (name, variable) in [("system", "DBUS_SYSTEM_BUS_ADDRESS"), ("session", "DBUS_SESSION_BUS_ADDRESS")] {
        let path = daemon.path(name);
        silent.push(UnixListener::bind(&path).expect("a socket"));
        daemon.set_variable(variable, &format!("unix:path={}", path.display()));
    }
    daemon.restart();
    let _taken = silent[0].accept().expect("it is asked");
    ends_in_order(&mut daemon, 0);
}

#[test]
fn who_asks_twice_does_not_wait_and_loses_nothing() {
    let (runtime, server) = scripted();
    let mut daemon = Daemon::start(&config(&server.url(), "json", "[outbox]\nconfirm = \"reply\"\n"));
    let peer = runtime.block_on(server.accept());
    daemon.wait_for("connected");
    let mut client = daemon.client();
    for n in 0..100 {
        send(&mut client, "t", &json!({"n": n}));
    }
    // The close alone would take two seconds.
    peer.go_silent();
    daemon.signal(Signal::TERM);
    until_blocking("it to begin", || daemon.log().contains("INFO stopping").then_some(()));
    daemon.signal(Signal::INT);
    assert_eq!(daemon.wait_for_end().code(), Some(0));
    assert!(daemon.log().contains("stopped at once"), "{}", daemon.log());
    whole(&daemon, 100);
    daemon.restart();
    let outbox = daemon.client().call("status", &json!({})).expect("an answer")["outbox"].clone();
    // It may have dialled already, and then they are on their way.
    let left = |state: &str| outbox[state].as_u64().expect("a number");
    assert_eq!(left("queued") + left("in_flight"), 100, "{outbox}");
}

#[test]
fn an_end_at_any_moment_of_the_start_is_an_end_in_order() {
    let mut daemon = Daemon::start(NOBODY);
    let mut client = daemon.client();
    for n in 0..50 {
        send(&mut client, "t", &json!({"n": n}));
    }
    daemon.kill9();
    let mut early = 0;
    for step in 0..25 {
        daemon.spawn();
        // Each time a little later: that is what is tried.
        std::thread::sleep(Duration::from_millis(step * 2));
        let status = stop(&mut daemon);
        // Before it listens to signals it has touched nothing.
        let by_signal = std::os::unix::process::ExitStatusExt::signal(&status) == Some(15);
        assert!(by_signal || status.code() == Some(0), "{status}: {}", daemon.log());
        early += u32::from(by_signal);
        whole(&daemon, 50);
    }
    eprintln!("{early} of 25 ended before they listened to signals");
    daemon.restart();
    assert_eq!(daemon.client().call("status", &json!({})).expect("an answer")["outbox"]["queued"], 50);
}
