//! The programs of `examples/` do what they say, against the real daemon and the development
//! server.
//!
//! They need `python3`, `node`, `sh` and `socat`. One that is missing skips its test, which is
//! said on standard error; with `CI=true` that is a failure (`socat` excepted).

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use holdline::dev_server::{DevServer, Options, Scenario, Stats};
use serde_json::json;
use support::PATIENCE;
use support::daemon::Daemon;
use tokio::runtime::Runtime;

/// A development server and a daemon that is connected to it.
struct World {
    daemon: Daemon,
    server: DevServer,
    runtime: Runtime,
}

impl World {
    fn with(scenario: Scenario) -> Self {
        let runtime = Runtime::new().unwrap();
        let pace = Duration::from_millis(20);
        let options = Options { scenario, pace, ..Options::default() };
        let server = runtime.block_on(DevServer::start(options)).unwrap();
        let daemon = Daemon::start(&format!("[server]\nurl = \"{}\"\n", server.url()));
        daemon.wait_for("connected");
        Self { daemon, server, runtime }
    }

    fn run(&self, program: &str, example: &str, arguments: &[&str]) -> Output {
        // `holdline` as scripts call it.
        let bin = Path::new(env!("CARGO_BIN_EXE_holdline")).parent().unwrap().display();
        let path = format!("{bin}:{}", std::env::var("PATH").unwrap_or_default());
        Command::new(program)
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(example))
            .args(arguments)
            .env("HOLDLINE_SOCKET", self.daemon.socket_path())
            .env("PATH", path)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    fn until(&self, condition: impl Fn(&Stats) -> bool) {
        self.runtime.block_on(self.server.until(PATIENCE, condition)).unwrap();
    }
}

fn installed(program: &str, needed: bool) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output().unwrap();
    if found.status.success() {
        return true;
    }
    let message = format!("SKIPPED: {program} is missing");
    assert!(!needed || std::env::var("CI").as_deref() != Ok("true"), "{message}");
    // Not captured by the test harness, unlike eprintln.
    let _ = writeln!(std::io::stderr(), "\n{message}\n");
    false
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn the_python_example_follows_orders_and_goes_on_where_it_was() {
    if !installed("python3", true) {
        return;
    }
    let world = World::with(Scenario::Orders);
    let numbers = || -> Vec<u64> {
        let said = text(&world.run("python3", "python/orders.py", &["5"]));
        let events = said.lines().filter_map(|line| line.strip_prefix('#'));
        events.map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect()
    };
    let (first, second) = (numbers(), numbers());
    assert_eq!((first.len(), second.len()), (5, 5));
    assert!(first.iter().chain(&second).is_sorted_by(|a, b| a < b), "{first:?} {second:?}");
    world.until(|stats| stats.received == 2);
    assert!(world.server.received().iter().all(|message| message.kind == "place_order"));
}

#[test]
fn the_node_example_says_something_and_prints_the_answer() {
    if !installed("node", true) {
        return;
    }
    let world = World::with(Scenario::Chat);
    let said = text(&world.run("node", "node/chat.mjs", &["Good morning", "2"]));
    assert!(said.contains("the server has "), "{said}");
    assert!(said.contains("typing"), "{said}");
    assert!(said.contains("You said: Good morning"), "{said}");
}

#[test]
fn the_shell_example_tells_how_a_command_ended_and_ends_the_same() {
    let world = World::with(Scenario::Quiet);
    let output = world.run("sh", "shell/notify-room.sh", &["sh", "-c", "exit 3"]);
    assert_eq!(output.status.code(), Some(3));
    world.until(|stats| stats.received == 1);
    let said = world.server.received()[0].data();
    assert!(said["text"].as_str().unwrap().ends_with("ended with 3"), "{said}");
}

#[test]
fn the_raw_example_calls_any_method() {
    if !installed("socat", false) {
        return;
    }
    let world = World::with(Scenario::Quiet);
    let status = text(&world.run("sh", "shell/raw.sh", &["status"]));
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["result"]["link"]["state"], "connected");
    let params = r#"{"type":"chat","data":{"text":"hi"}}"#;
    text(&world.run("sh", "shell/raw.sh", &["messages.send", params]));
    world.until(|stats| stats.received == 1);
    assert_eq!(world.server.received()[0].data(), json!({"text": "hi"}));
}
