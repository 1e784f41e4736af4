//! What the daemon says about itself: every line whole, none of them foreign, none of them waited for.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::support::canary::{Hunt, MARK};
use crate::support::daemon::Daemon;
use crate::support::server::{ScriptedServer, Upgrade};
use crate::support::until_blocking;
use crate::{blocking, config, start, wait_for_status};

const NOBODY: &str = "[server]\nurl = \"ws://127.0.0.1:9/\"\n[reconnect]\ndelays = [\"20ms\"]\n";

#[test]
fn the_last_line_is_written_before_the_end() {
    for format in ["text", "json"] {
        let mut daemon = Daemon::start(&format!("{NOBODY}[log]\nlevel = \"trace\"\nformat = \"{format}\"\n"));
        assert_eq!(daemon.stop().code(), Some(0));
        let log = daemon.log();
        let last = log.lines().last().expect("a line");
        assert!(last.contains("stopped") && !last.contains("stopping"), "{log}");
    }
}

#[test]
fn a_reader_who_has_stopped_reading_holds_nothing_up() {
    let daemon = Daemon::prepare(&format!("{NOBODY}[log]\nlevel = \"trace\"\n"));
    daemon.write_config(
        &NOBODY.replace("20ms", "1ms").replace("[reconnect]", "[log]\nlevel = \"trace\"\n[reconnect]"),
    );
    // A pipe that nobody reads.
    let mut child = daemon
        .command(&["run", "--config"])
        .arg(daemon.config_path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pipe = child.stderr.take().expect("a pipe");
    rustix::pipe::fcntl_setpipe_size(&pipe, 4_096).unwrap();
    until_blocking("the daemon to serve", || {
        std::os::unix::net::UnixStream::connect(daemon.socket_path()).ok()
    });
    let mut client = daemon.client();
    until_blocking("lines to be dropped", || {
        // Each call makes it dial anew, and say so.
        client.call("link.reconnect", &json!({})).expect("an answer");
        let receipt = client.call("messages.send", &json!({"type": "x", "data": 1})).expect("a receipt");
        assert_eq!(receipt["state"], "queued");
        (client.metric("holdline_log_lines_dropped_total") > 0.0).then_some(())
    });
    let pid = rustix::process::Pid::from_raw(child.id() as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let ended = until_blocking("the daemon to end although nobody reads", || child.try_wait().unwrap());
    assert_eq!(ended.code(), Some(0));
    drop(pipe);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn foreign_text_makes_no_lines_of_its_own() {
    const NASTY: &str = "x\r\n2026-01-01T00:00:00.000Z ERROR forged\u{1b}[2J\u{202e}gnp\u{2028}\u{85}y";
    let server = ScriptedServer::builder()
        .answer(|number, _| match number {
            1 => Upgrade::refuse(401, &[], NASTY),
            2 => Upgrade::refuse(503, &[("X", "y")], NASTY),
            _ => Upgrade::Accept(None),
        })
        .start()
        .await;
    for format in ["text", "json"] {
        let more = format!("[log]\nlevel = \"trace\"\nformat = \"{format}\"");
        let daemon = start(config(&server.url(), "json", &more)).await;
        let daemon = blocking(move || {
            let mut client = daemon.client();
            // Most of it is refused, which is no reason to quote it in the log.
            let _ = client.call("hello", &json!({"client": {"name": NASTY}}));
            let _ = client.call("messages.send", &json!({"type": NASTY, "data": {}}));
            let _ = client.call(NASTY, &json!({}));
            daemon
        })
        .await;
        let peer = reached(&server, &daemon).await;
        peer.send(&json!({"type": NASTY, "eventId": NASTY, "data": {}}).to_string());
        peer.send(&json!({"type": "error", "code": NASTY, "message": NASTY}).to_string());
        peer.send_message(Message::text(format!("{{{NASTY}")));
        peer.close(4_000, "x\ny\u{202e}");
        blocking(move || {
            until_blocking("the close to be told", || daemon.log().contains("4000").then_some(()));
            let log = daemon.log();
            assert!(!log.chars().any(|c| c != '\n' && holdline::model::misleads(c)), "{log:?}");
            for line in log.lines() {
                assert!(
                    line.starts_with(if format == "json" { "{\"timestamp\":\"2" } else { "2" }),
                    "{line}"
                );
                assert!(!line.contains("Z ERROR forged") || line.len() > 60, "{line}");
                if format == "json" {
                    let line: Value = serde_json::from_str(line).expect("JSON");
                    assert!(line["level"].is_string() && line["message"].is_string(), "{line}");
                }
            }
        })
        .await;
    }
}

/// The next connection of this daemon that is accepted, however it has to be nudged.
async fn reached(server: &ScriptedServer, daemon: &Daemon) -> crate::support::server::Peer {
    let socket = daemon.socket_path();
    let nudging = tokio::task::spawn_blocking(move || {
        let mut client = crate::support::daemon::Client::connect(&socket);
        wait_for_status(&mut client, "the link to be up", |status| {
            if status["link"]["state"] == "connected" {
                return true;
            }
            if !status["link"]["next_retry_at"].is_null() {
                let mut other = crate::support::daemon::Client::connect(&socket);
                other.call("link.reconnect", &json!({})).expect("an answer");
            }
            false
        });
    });
    let peer = server.accept().await;
    nudging.await.expect("no panic in there");
    peer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_apps_and_servers_say_to_each_other_is_not_logged() {
    let server = ScriptedServer::start().await;
    for level in ["info", "debug", "trace"] {
        let daemon = start(config(&server.url(), "json", &format!("[log]\nlevel = \"{level}\""))).await;
        let peer = server.accept().await;
        let payload = json!({"why": format!("{MARK} is private")});
        peer.send(&json!({"type": "note", "eventId": level, "data": payload}).to_string());
        peer.send(&format!("{MARK} no JSON"));
        blocking(move || {
            let mut client = daemon.client();
            client.call("messages.send", &json!({"type": "x", "data": payload})).expect("a receipt");
            client
                .call("messages.send", &json!({"type": "x", "id": MARK, "data": 5, "ttl_ms": -1}))
                .expect_err("bad");
            wait_for_status(&mut client, "both to be stored", |status| status["inbox"]["last_seq"] == 2);
            let mut hunt = Hunt::new();
            hunt.through(level, daemon.log().as_bytes());
            hunt.found_nothing();
        })
        .await;
    }
}

#[test]
fn an_outage_of_a_hundred_attempts_is_a_handful_of_lines() {
    let daemon = Daemon::start(&format!("{NOBODY}[log]\nlevel = \"info\"\n").replace("20ms", "1ms"));
    let mut client = daemon.client();
    wait_for_status(&mut client, "a hundred attempts", |status| {
        status["link"]["attempt"].as_u64() > Some(100)
    });
    let log = daemon.log();
    let told = log.lines().filter(|line| line.contains("state=")).count();
    assert!((2..=4).contains(&told), "{told} lines:\n{log}");
    let last = log.lines().rfind(|line| line.contains("state=")).expect("a line");
    assert!(
        last.contains(" WARN ") && last.contains("state=unavailable reason=connection_refused"),
        "{last}"
    );
}
