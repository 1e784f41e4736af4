//! npm's Socket.IO 4.8: the dialect in code, with and without connection state recovery.

use std::ops::Range;

use serde_json::{Value, json};

use crate::harness::cutter::Cutter;
use crate::harness::program::Program;
use crate::harness::stream::{Arrival, Scale, Server, recorded, run};
use crate::harness::{
    daemon, daemon_that_waits, everything, http, is_far, node, npm_installed, refused_twice, wait_for_status,
    write_token,
};
use crate::support::daemon::Daemon;
use crate::support::until_blocking;

const TOKEN: &str = "correct horse";

struct SocketIo {
    program: Program,
    /// A server that is started anew has forgotten all sessions; one that stays has not.
    kills: bool,
}

impl SocketIo {
    fn start(recovers: bool, kills: bool) -> Self {
        Self::with(if recovers { "recovers" } else { "forgetful" }, kills)
    }

    /// `how`: the name of the file that tells the server what it is.
    fn with(how: &'static str, kills: bool) -> Self {
        let program = Program::start(
            |_, folder| {
                std::fs::write(folder.join("token"), TOKEN).expect("a token");
                std::fs::write(folder.join(how), "").expect("a file");
            },
            |port, folder| {
                let mut command = node("socketio.mjs");
                command.arg(port.to_string()).arg(folder);
                command
            },
        );
        Self { program, kills }
    }

    fn post(&self, path: &str) {
        assert_eq!(http::post(self.program.port(), path, ""), 200);
    }

    fn set_token(&self, token: &str) {
        std::fs::write(self.program.path("token"), token).expect("a token");
    }
}

impl Server for SocketIo {
    fn kill_and_start(&mut self) {
        if self.kills {
            self.program.again();
        } else {
            self.post("/kick");
        }
    }

    fn push(&mut self, numbers: Range<u64>) {
        self.post(&format!("/push?to={}", numbers.end));
    }

    fn received(&self) -> Vec<Arrival> {
        recorded(&self.program.path("received"))
    }

    fn message(&self, number: u64) -> (String, Value) {
        ("say".to_owned(), json!({"n": number, "text": "x".repeat(100)}))
    }

    fn number(&self, event: &Value) -> Option<u64> {
        (event["type"] == "order").then(|| event["data"]["n"].as_u64())?
    }
}

/// The configuration that docs/servers.md shows.
fn config(port: u16, query: &str, vars: &str) -> String {
    format!(
        r#"[server]
url = "ws://127.0.0.1:{port}/socket.io/{query}"
dialect = "socketio"
vars = {{ message_id = "argument", reject = "/error"{vars} }}

[auth]
token_file = "token"
"#
    )
}

fn connected(server: &SocketIo, vars: &str) -> (Daemon, Cutter) {
    let cutter = Cutter::before(server.program.port());
    let daemon = daemon(&config(cutter.port(), "", vars), TOKEN);
    daemon.wait_for("connected");
    (daemon, cutter)
}

#[test]
fn with_recovery_only_what_a_killed_server_forgot_is_missing_and_that_is_told() {
    if !npm_installed() {
        return;
    }
    let mut server = SocketIo::start(true, true);
    let (daemon, cutter) = connected(&server, "");
    let figures = run(&mut server, &daemon, &cutter, Scale::of_environment());
    figures.expect_kept_promises();
    assert_eq!(figures.twice_other_id, 0, "{figures}");
    assert_eq!(figures.events_twice, 0, "{figures}");
    assert_eq!(figures.gaps, figures.kills, "a session is recovered unless the server was killed: {figures}");
}

#[test]
fn without_recovery_each_new_connection_is_a_gap() {
    if !npm_installed() {
        return;
    }
    let mut server = SocketIo::start(false, false);
    let (daemon, cutter) = connected(&server, "");
    let figures = run(&mut server, &daemon, &cutter, Scale { cuts: 2, messages: 200 });
    figures.expect_kept_promises();
    assert_eq!(figures.gaps, figures.cuts, "{figures}");
    assert_eq!(figures.twice_other_id, 0, "{figures}");
}

#[test]
fn attachments_acknowledgements_and_namespaces_work_both_ways() {
    if !npm_installed() {
        return;
    }
    let server = SocketIo::start(true, true);
    let (daemon, cutter) = connected(&server, ", namespaces = [\"/\", \"/files\"]");
    let mut client = daemon.client();
    let mut request =
        |kind: &str, data: Value| client.call("messages.request", &json!({"type": kind, "data": data}));

    let file = json!({"$binary": "AP8="});
    let back = request("/files,mirror", json!({"file": file})).expect("an answer");
    assert_eq!(back["reply"], json!({"back": {"$binary": "AP8="}, "bytes": 2}), "{back}");
    let refused = request("refuse", json!({})).expect_err("refused");
    assert!(refused.to_string().contains("the shop is closed"), "{refused}");

    server.post("/file");
    server.post("/ask");
    let mut client = daemon.client();
    let rows = until_blocking("both events", || {
        let rows = everything(&mut client);
        (rows.len() == 2).then_some(rows)
    });
    let file = rows.iter().find(|row| row["type"] == "/files,file").expect("the file");
    assert_eq!(file["data"], json!({"parts": [{"$binary": "AP8="}, {"$binary": "aGk="}]}));
    assert!(file["id"].is_string(), "its offset is its id: {file}");
    assert!(rows.iter().any(|row| row["type"] == "ask" && row["data"] == json!({"question": 1})));
    let acks = until_blocking("our acknowledgement", || {
        std::fs::read_to_string(server.program.path("acks")).ok().filter(|acks| acks.ends_with('\n'))
    });
    assert!(acks.starts_with("{\"error\":false"), "{acks}");

    // A handler that never acknowledges: the pong behind the message is its receipt.
    let sent = client.call("messages.send", &json!({"type": "silent", "data": {"n": 1}, "wait": "received"}));
    assert_eq!(sent.expect("a receipt")["state"], "received");
    assert_eq!(server.received()[0].number, 1);

    // What the server would hang up at is refused before it is queued.
    let connections = cutter.connections();
    let large = json!({"type": "say", "data": {"text": "x".repeat(10_000)}});
    let refused = client.call("messages.send", &large).expect_err("too large");
    assert!(refused.to_string().contains("the server takes"), "{refused}");
    assert_eq!(cutter.connections(), connections);
}

#[test]
fn a_refused_sign_in_says_so_and_recovers_when_the_token_changes() {
    if !npm_installed() {
        return;
    }
    let server = SocketIo::start(true, true);
    let (daemon, cutter) = connected(&server, "");
    server.set_token("another");
    server.post("/kick");
    let mut client = daemon.client();
    let status = refused_twice(&mut client);
    let reason = &status["link"]["reason"];
    assert_eq!(reason["kind"], "auth_refused", "{reason}");
    assert_eq!(reason["text"], "the server refused the sign-in: 401 \"not authorized\"", "{reason}");
    let connections = cutter.connections();
    write_token(&daemon, "another");
    daemon.wait_for("connected");
    assert_eq!(cutter.connections(), connections + 1, "nothing was dialled in vain");
}

#[test]
fn another_protocol_version_is_a_configuration_problem_and_no_loop() {
    if !npm_installed() {
        return;
    }
    let server = SocketIo::with("old", true);
    let cutter = Cutter::before(server.program.port());
    // Each connection opens and is greeted: none of that is a success from which the delays begin anew.
    let delays = ["10ms", "20ms", "30ms", "10m"];
    let daemon = daemon_that_waits(&config(cutter.port(), "", ""), TOKEN, &delays);
    let mut client = daemon.client();
    let status = wait_for_status(&mut client, "the last delay", |status| {
        status["link"]["state"] == "misconfigured" && is_far(&status["link"])
    });
    let text = status["link"]["reason"]["text"].as_str().expect("a reason");
    assert!(text.contains("it speaks Socket.IO 2"), "{text}");
    assert_eq!(cutter.connections(), delays.len() as u64, "one for each delay: {status:#}");
    // Tried by hand the delays begin anew, and end as before.
    client.call("link.reconnect", &json!({})).expect("it dials");
    let twice = 2 * delays.len() as u64;
    wait_for_status(&mut client, "the last delay again", |status| {
        is_far(&status["link"]) && cutter.connections() >= twice
    });
    assert_eq!(cutter.connections(), twice);
}

#[test]
fn the_version_we_speak_stands_over_one_in_the_url() {
    if !npm_installed() {
        return;
    }
    let server = SocketIo::start(true, true);
    let daemon = daemon(&config(server.program.port(), "?EIO=3", ""), TOKEN);
    daemon.wait_for("connected");
}

#[test]
fn a_namespace_that_is_not_there_is_named() {
    if !npm_installed() {
        return;
    }
    let server = SocketIo::start(true, true);
    let daemon = daemon(&config(server.program.port(), "", ", namespaces = [\"/nowhere\"]"), TOKEN);
    let mut client = daemon.client();
    let status =
        wait_for_status(&mut client, "the refusal", |status| status["link"]["state"] == "misconfigured");
    let text = status["link"]["reason"]["text"].as_str().expect("a reason");
    assert!(text.contains("Invalid namespace (namespace /nowhere)"), "{text}");
}
