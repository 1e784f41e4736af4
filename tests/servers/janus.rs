//! Janus: a dialect that was written from its documentation, against Debian's package. Its session outlives
//! the line, and is claimed.

use std::process::Command;

use serde_json::{Value, json};

use crate::harness::cutter::{Cut, Cutter};
use crate::harness::program::Program;
use crate::harness::{daemon, everything, wait_for_status, write_token};
use crate::support::daemon::Daemon;
use crate::support::{needs, until_blocking};

const SECRET: &str = "correct-horse";

fn start() -> Program {
    Program::start(
        |port, folder| {
            let lib = libraries();
            let all = |kind: &str, but: &str| {
                let names = std::fs::read_dir(lib.join(kind)).expect("its parts");
                let names =
                    names.map(|entry| entry.expect("a file").file_name().into_string().expect("text"));
                names
                    .filter(|name| name.ends_with(".so") && !name.contains(but))
                    .collect::<Vec<_>>()
                    .join(",")
            };
            let text = format!(
                "general: {{ configs_folder = \"{0}\"; plugins_folder = \"{1}/plugins\"; \
                 transports_folder = \"{1}/transports\"; api_secret = \"{SECRET}\"; \
                 reclaim_session_timeout = 60; }}\n\
                 plugins: {{ disable = \"{2}\" }}\ntransports: {{ disable = \"{3}\" }}\n",
                folder.display(),
                lib.display(),
                all("plugins", "videoroom"),
                all("transports", "websockets"),
            );
            std::fs::write(folder.join("janus.jcfg"), text).expect("a configuration");
            let text = format!(
                "general: {{ json = \"compact\"; ws = true; ws_port = {port}; ws_ip = \"127.0.0.1\"; wss = false; }}\n\
                 admin: {{ admin_ws = false; }}\n"
            );
            std::fs::write(folder.join("janus.transport.websockets.jcfg"), text).expect("a configuration");
        },
        |_, folder| {
            let mut command = Command::new("janus");
            command.arg("-F").arg(folder).arg("-C").arg(folder.join("janus.jcfg"));
            command
        },
    )
}

/// Where Debian keeps its plugins and transports.
fn libraries() -> std::path::PathBuf {
    let folders = std::fs::read_dir("/usr/lib").expect("a folder").map(|entry| entry.expect("one").path());
    folders.map(|folder| folder.join("janus")).find(|folder| folder.is_dir()).expect("the package of Debian")
}

fn connected(server: &Program, token: &str) -> (Daemon, Cutter) {
    let cutter = Cutter::before(server.port());
    let config = format!(
        "[server]\nurl = \"ws://127.0.0.1:{}/\"\ndialect = \"{}\"\n[auth]\ntoken_file = \"token\"\n",
        cutter.port(),
        concat!(env!("CARGO_MANIFEST_DIR"), "/examples/dialects/janus/dialect.toml")
    );
    (daemon(&config, token), cutter)
}

fn send(daemon: &Daemon, kind: &str, data: &Value) -> Result<Value, Value> {
    let params = json!({"type": kind, "data": data, "wait": "accepted", "timeout_ms": 30_000});
    daemon.client().call("messages.send", &params)
}

/// Who joined the room, as `daemon` was told.
fn joined(daemon: &Daemon) -> Vec<Value> {
    let events = everything(&mut daemon.client());
    events.iter().filter_map(|event| event["data"]["joining"].get("display").cloned()).collect()
}

#[test]
fn a_session_is_claimed_after_a_cut_and_goes_on() {
    if !needs::programs(&["janus"]) {
        return;
    }
    let mut server = start();
    let (daemon, cutter) = connected(&server, SECRET);
    daemon.wait_for("connected");
    send(&daemon, "create", &json!({"room": 7, "notify_joining": true})).expect("a room");
    send(&daemon, "join", &json!({"room": 7, "ptype": "publisher", "display": "me"})).expect("joined");
    let refused =
        send(&daemon, "join", &json!({"room": 8, "ptype": "publisher"})).expect_err("one room at a time");
    assert!(refused.to_string().contains("Already in"), "{refused}");

    let connections = cutter.connections();
    cutter.cut(Cut::Reset);
    until_blocking("another connection", || (cutter.connections() > connections).then_some(()));
    daemon.wait_for("connected");
    // Only who is still in the room is told who comes.
    let (other, _line) = connected(&server, SECRET);
    other.wait_for("connected");
    send(&other, "join", &json!({"room": 7, "ptype": "publisher", "display": "you"})).expect("joined");
    until_blocking("the other to be seen", || (joined(&daemon) == ["you"]).then_some(()));

    // One that is gone is made anew, and that something is missing is told.
    server.again();
    until_blocking("a message to come through", || {
        let listed = daemon.client().call("messages.request", &json!({"type": "list", "data": {}})).ok()?;
        (listed["reply"]["videoroom"] == "success").then_some(())
    });
    let gaps = everything(&mut daemon.client()).iter().filter(|row| row.get("gap").is_some()).count();
    assert!(gaps >= 1);
}

#[test]
fn a_refused_secret_waits_for_another_one() {
    if !needs::programs(&["janus"]) {
        return;
    }
    let server = start();
    let (daemon, _cutter) = connected(&server, "wrong horse");
    let mut client = daemon.client();
    let status =
        wait_for_status(&mut client, "the refusal", |status| status["link"]["state"] == "unauthorized");
    assert!(status["link"]["reason"].to_string().contains("wrong or missing secret"), "{status:#}");
    write_token(&daemon, SECRET);
    daemon.wait_for("connected");
}
