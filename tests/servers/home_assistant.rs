//! Home Assistant: numbers instead of ids, an answer to each message, and no way to ask for what was missed.
//!
//! It takes 400 MB, so it is there on request alone: `HOLDLINE_HOME_ASSISTANT=1` installs it from PyPI into
//! `target/home-assistant/` where it is not yet, and runs these tests.

use std::io::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::cutter::Cutter;
use crate::harness::program::Program;
use crate::harness::stream::{Arrival, Scale, Server, recorded, run};
use crate::harness::{daemon, http, refused_twice, write_token};
use crate::support::daemon::Daemon;
use crate::support::until_blocking;

/// What is installed: the last release that runs on Debian's Python, and what the parts of it that are used
/// here ask for. Left to itself it fetches those at its first start, which takes as long as it takes.
const PACKAGES: [&str; 11] = [
    "homeassistant==2024.3.3",
    "josepy<2",
    "fnv-hash-fast==0.5.0",
    "home-assistant-frontend==20240307.0",
    "janus==1.0.0",
    "pillow==10.2.0",
    "psutil-home-assistant==0.0.1",
    "pyotp==2.8.0",
    "PyQRCode==1.2.1",
    "securetar==2024.2.1",
    "SQLAlchemy==2.0.27",
];

/// Where it is installed.
fn venv() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/home-assistant/venv")
}

/// Whether it was asked for; then it is installed.
fn wanted() -> bool {
    if std::env::var_os("HOLDLINE_HOME_ASSISTANT").is_none() {
        // Nothing is missing here: nobody asked.
        let _ = writeln!(std::io::stderr(), "SKIPPED: HOLDLINE_HOME_ASSISTANT is not set");
        return false;
    }
    static INSTALLED: std::sync::Once = std::sync::Once::new();
    INSTALLED.call_once(|| {
        let mark = venv().join("installed");
        if std::fs::read_to_string(&mark).is_ok_and(|packages| packages == PACKAGES.join("\n")) {
            return;
        }
        let run = |program: &Path, arguments: &[&str]| {
            let status = Command::new(program).args(arguments).status().expect("it starts");
            assert!(status.success(), "{} {arguments:?}: {status}", program.display());
        };
        std::fs::create_dir_all(venv()).expect("a folder");
        run(Path::new("python3"), &["-m", "venv", venv().to_str().expect("a path")]);
        let pip = venv().join("bin/pip");
        run(&pip, &[&["install", "--quiet", "--no-input"][..], &PACKAGES].concat());
        std::fs::write(mark, PACKAGES.join("\n")).expect("a mark");
    });
    true
}

struct HomeAssistant {
    program: Program,
    /// For its HTTP interface, and for the daemon.
    token: String,
}

impl HomeAssistant {
    fn start() -> Self {
        let program = Program::start(
            |port, folder| {
                let text = format!(
                    "http:\n  server_host: 127.0.0.1\n  server_port: {port}\napi:\nwebsocket_api:\nonboarding:\n\
                     holdline_tests:\n"
                );
                std::fs::write(folder.join("configuration.yaml"), text).expect("a configuration");
                let component = folder.join("custom_components/holdline_tests");
                std::fs::create_dir_all(&component).expect("a folder");
                let manifest = json!({"domain": "holdline_tests", "name": "Tests", "version": "1.0.0",
                    "documentation": "", "codeowners": [], "requirements": [], "dependencies": []});
                std::fs::write(component.join("manifest.json"), manifest.to_string()).expect("a manifest");
                std::fs::write(component.join("__init__.py"), include_str!("home_assistant.py"))
                    .expect("a component");
            },
            |_, folder| {
                let mut command = Command::new(venv().join("bin/hass"));
                command.arg("--skip-pip").arg("-c").arg(folder);
                command
            },
        );
        let port = program.port();
        let client = format!("http://127.0.0.1:{port}/");
        let user =
            json!({"client_id": client, "name": "a", "username": "a", "password": "b", "language": "en"});
        let mut code = Value::Null;
        // It listens before all of it is there.
        until_blocking("the first user to be made", || {
            let headers = "Content-Type: application/json\r\n";
            let (status, body) = http::post_as(port, "/api/onboarding/users", headers, &user.to_string());
            code = serde_json::from_str::<Value>(&body).ok()?["auth_code"].take();
            (status == 200).then_some(())
        });
        let form = format!(
            "grant_type=authorization_code&code={}&client_id=http%3A%2F%2F127.0.0.1%3A{port}%2F",
            code.as_str().expect("a code")
        );
        let headers = "Content-Type: application/x-www-form-urlencoded\r\n";
        let (status, body) = http::post_as(port, "/auth/token", headers, &form);
        assert_eq!(status, 200, "{body}");
        let tokens: Value = serde_json::from_str(&body).expect("JSON");
        let token = tokens["access_token"].as_str().expect("a token").to_owned();
        Self { program, token }
    }
}

impl Server for HomeAssistant {
    // Its events are in memory: killed, it loses what it has confirmed and not yet carried out.
    const KILL_EVERY: u64 = u64::MAX;

    fn kill_and_start(&mut self) {
        // It saves its users and their tokens a second after they change.
        let client = format!("http://127.0.0.1:{}/", self.program.port());
        until_blocking("its users to be on disk", || {
            let saved = std::fs::read_to_string(self.program.path(".storage/auth")).ok()?;
            saved.contains(&client).then_some(())
        });
        self.program.again();
    }

    fn push(&mut self, numbers: Range<u64>) {
        let headers = format!("Content-Type: application/json\r\nAuthorization: Bearer {}\r\n", self.token);
        let body = json!({"from": numbers.start, "to": numbers.end}).to_string();
        let path = "/api/services/holdline_tests/push";
        until_blocking("the component to be there", || {
            (http::post_as(self.program.port(), path, &headers, &body).0 == 200).then_some(())
        });
    }

    fn received(&self) -> Vec<Arrival> {
        recorded(&self.program.path("received"))
    }

    fn message(&self, number: u64) -> (String, Value) {
        // What the event says is the sender's business: an id of its own, here.
        let event = json!({"n": number, "id": format!("m-{number}"), "text": "x".repeat(100)});
        ("fire_event".to_owned(), json!({"event_type": "holdline_said", "event_data": event}))
    }

    fn number(&self, event: &Value) -> Option<u64> {
        (event["type"] == "holdline_order").then(|| event["data"]["n"].as_u64())?
    }
}

/// The configuration that docs/servers.md shows.
fn config(port: u16) -> String {
    format!(
        r#"[server]
url = "ws://127.0.0.1:{port}/api/websocket"
dialect = "home-assistant"
vars = {{ events = ["holdline_order"] }}

[auth]
token_file = "token"
"#
    )
}

fn connected(server: &HomeAssistant, token: &str) -> (Daemon, Cutter) {
    let cutter = Cutter::before(server.program.port());
    let daemon = daemon(&config(cutter.port()), token);
    (daemon, cutter)
}

#[test]
fn every_message_arrives_in_order_and_missed_events_are_told() {
    if !wanted() {
        return;
    }
    let mut server = HomeAssistant::start();
    let (daemon, cutter) = connected(&server, &server.token);
    daemon.wait_for("connected");
    let figures = run(&mut server, &daemon, &cutter, Scale::of_environment());
    figures.expect_kept_promises();
    // It knows no place to go on from; its events have no ids, and come once.
    assert_eq!(figures.events_twice, 0, "{figures}");
    assert!(figures.gaps > 0, "{figures}");
    assert_eq!(figures.twice_other_id, 0, "{figures}");

    // Started anew it knows the token still, and goes on.
    let connections = cutter.connections();
    server.kill_and_start();
    until_blocking("another connection", || (cutter.connections() > connections).then_some(()));
    let (kind, data) = server.message(u64::MAX);
    let sent = json!({"type": kind, "data": data, "wait": "accepted", "timeout_ms": 60_000});
    daemon.client().call("messages.send", &sent).expect("it goes on");
}

#[test]
fn a_refused_sign_in_waits_for_another_token_and_a_refused_message_says_why() {
    if !wanted() {
        return;
    }
    let server = HomeAssistant::start();
    let (daemon, cutter) = connected(&server, "no such token");
    let mut client = daemon.client();
    let status = refused_twice(&mut client);
    let reason = status["link"]["reason"].to_string();
    assert!(reason.contains("Invalid access token"), "{status:#}");
    assert_eq!(cutter.connections(), 2, "one try, and one with the token read anew");
    write_token(&daemon, &server.token);
    daemon.wait_for("connected");
    assert_eq!(cutter.connections(), 3, "one try with the new token");

    let sent = client.call(
        "messages.send",
        &json!({"type": "call_service",
        "data": {"domain": "nobody", "service": "nothing"}, "wait": "accepted", "timeout_ms": 30_000}),
    );
    let refusal = format!("{:?}", sent.expect_err("there is no such service"));
    assert!(refusal.contains("not_found"), "{refusal}");
    let reply = client.call("messages.request", &json!({"type": "get_config", "data": {}})).expect("a reply");
    assert_eq!(reply["reply"]["version"], "2024.3.3", "{reply}");
}
