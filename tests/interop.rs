//! The real daemon against protocol stacks that nobody here has written: WebSocket servers on
//! PyPI's `websockets` and npm's `ws`, apps on Python's standard library and npm's
//! `vscode-jsonrpc`.
//!
//! `tests/interop/install.sh` installs them. Where it has not been run the tests are skipped,
//! which they say on standard error; with `CI=true` that is a failure.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;
use support::daemon::Daemon;
use support::until_blocking;

/// Where the foreign programs are.
const HERE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop");

/// Whether the foreign stacks are installed. Says so where they are not.
fn installed() -> bool {
    let missing = ["venv/installed.txt", "node_modules/installed.json"]
        .into_iter()
        .find(|name| !Path::new(HERE).join(name).exists());
    let Some(missing) = missing else { return true };
    let message = format!("SKIPPED: tests/interop/{missing} is missing; run tests/interop/install.sh");
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{message}");
    // Not captured by the test harness, unlike eprintln.
    let _ = writeln!(std::io::stderr(), "\n{message}\n");
    false
}

fn python() -> Command {
    Command::new(Path::new(HERE).join("venv/bin/python"))
}

fn node() -> Command {
    Command::new("node")
}

/// A foreign WebSocket server.
#[derive(Clone, Copy, Debug)]
enum Stack {
    Websockets,
    Ws,
}

/// A foreign JSON-RPC app.
#[derive(Clone, Copy, Debug)]
enum App {
    Stdlib,
    VscodeJsonrpc,
}

impl App {
    fn run(self, daemon: &Daemon, arguments: &[&str]) -> Child {
        let mut command = match self {
            Self::Stdlib => python(),
            Self::VscodeJsonrpc => node(),
        };
        let program = match self {
            Self::Stdlib => "app_stdlib.py",
            Self::VscodeJsonrpc => "app_vscode_jsonrpc.mjs",
        };
        command
            .arg(Path::new(HERE).join(program))
            .arg(daemon.socket_path())
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Hands in messages and gives the ids of their receipts, in order.
    fn send(self, daemon: &Daemon, kind: &str, count: usize) -> Vec<String> {
        sent(self.run(daemon, &["send", kind, kind, &count.to_string()]))
    }

    /// Begins to listen; comes back when it is subscribed.
    fn listen(self, daemon: &Daemon, cursor: &str, count: usize) -> Listener {
        let mut child = self.run(daemon, &["listen", cursor, &count.to_string()]);
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut first = String::new();
        lines.read_line(&mut first).unwrap();
        assert!(first.contains("subscribed"), "{first}");
        Listener { child, lines }
    }
}

fn sent(child: Child) -> Vec<String> {
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "the app failed: {}", output.status);
    serde_json::from_slice(&output.stdout).unwrap()
}

struct Listener {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Listener {
    /// What it was told, once it has ended.
    fn heard(mut self) -> Vec<Value> {
        let heard = self.lines.lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
        assert!(self.child.wait().unwrap().success());
        heard
    }
}

struct Server {
    stack: Stack,
    record: PathBuf,
    child: Child,
    port: u16,
}

impl Server {
    fn start(stack: Stack, record: PathBuf) -> Self {
        let (child, port) = spawn(stack, 0, &record);
        Self { stack, record, child, port }
    }

    fn config(&self, dialect: &str) -> String {
        format!(
            "[server]\nurl = \"ws://127.0.0.1:{}/\"\ndialect = \"{dialect}\"\n\n\
             [reconnect]\ndelays = [\"100ms\", \"200ms\"]\n",
            self.port
        )
    }

    /// Kills it in the middle of things and starts it again.
    fn restart_by_kill(&mut self) {
        self.child.kill().unwrap();
        self.again();
    }

    /// Asks it to end, and starts it again.
    fn restart_by_term(&mut self) {
        let pid = rustix::process::Pid::from_raw(self.child.id() as i32).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.again();
    }

    fn again(&mut self) {
        self.child.wait().unwrap();
        (self.child, self.port) = spawn(self.stack, self.port, &self.record);
    }

    /// How many frames it has received so far.
    fn count(&self) -> usize {
        fs::read(&self.record).unwrap_or_default().iter().filter(|byte| **byte == b'\n').count()
    }

    /// All frames received so far.
    fn received(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.record).unwrap_or_default();
        // A line that is being written has no end yet.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Waits until it has received more than so many frames.
    fn wait_for_more_than(&self, frames: usize) {
        until_blocking("frames to flow", || (self.count() > frames).then_some(()));
    }

    /// Waits until the first arrivals, read by `identity`, are exactly `wanted`.
    fn wait_for(&self, wanted: &[String], identity: impl Fn(&Value) -> Option<String>) {
        // Fewer frames cannot hold them all; some may have come twice, so there may be more.
        let mut seen = wanted.len() - 1;
        loop {
            self.wait_for_more_than(seen);
            let received = self.received();
            seen = received.len();
            let got = first_arrivals(received.iter().filter_map(&identity));
            if got.len() >= wanted.len() {
                assert!(got == wanted, "{:?}: other messages, or in another order", self.stack);
                return;
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(stack: Stack, port: u16, record: &Path) -> (Child, u16) {
    let (mut command, program) = match stack {
        Stack::Websockets => (python(), "echo_websockets.py"),
        Stack::Ws => (node(), "echo_ws.mjs"),
    };
    let mut child = command
        .arg(Path::new(HERE).join(program))
        .arg(port.to_string())
        .arg(record)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let port = line.trim().parse().unwrap_or_else(|_| panic!("{stack:?} did not start: {line}"));
    (child, port)
}

/// Each text once, where it first stands.
fn first_arrivals(texts: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = std::collections::HashSet::new();
    texts.filter(|text| seen.insert(text.clone())).collect()
}

/// The `messageId` in a recorded frame.
fn message_id(line: &Value) -> Option<String> {
    let message: Value = serde_json::from_str(line["text"].as_str()?).ok()?;
    message["messageId"].as_str().map(str::to_owned)
}

/// A recorded frame's payload, with its kind in front.
fn payload(line: &Value) -> Option<String> {
    match (&line["text"], &line["binary"]) {
        (Value::String(text), _) => Some(format!("text {text}")),
        (_, Value::String(hex)) => Some(format!("binary {hex}")),
        _ => None,
    }
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

fn every_message_is_echoed_in_order(stack: Stack, sender: App, listener: App) {
    const COUNT: usize = 2_000;
    if !installed() {
        return;
    }
    let mut daemon = Daemon::prepare("");
    let server = Server::start(stack, daemon.path("record"));
    daemon.write_config(&server.config("json"));
    daemon.restart();
    daemon.wait_for("connected");
    let listener = listener.listen(&daemon, "echoes", COUNT);
    let ids = sender.send(&daemon, "json", COUNT);
    assert_eq!(ids.len(), COUNT);
    server.wait_for(&ids, message_id);
    let heard = listener.heard();
    let numbers: Vec<_> = heard.iter().map(|event| event["data"]["n"].as_u64().unwrap()).collect();
    assert!(numbers.into_iter().eq(0..COUNT as u64), "echoes missing, twice, or out of order");
}

#[test]
fn an_app_on_the_standard_library_and_one_on_vscode_jsonrpc_meet_through_websockets() {
    every_message_is_echoed_in_order(Stack::Websockets, App::Stdlib, App::VscodeJsonrpc);
}

#[test]
fn an_app_on_vscode_jsonrpc_and_one_on_the_standard_library_meet_through_ws() {
    every_message_is_echoed_in_order(Stack::Ws, App::VscodeJsonrpc, App::Stdlib);
}

fn every_message_arrives_though_the_server_is_killed(stack: Stack, sender: App) {
    const COUNT: usize = 5_000;
    if !installed() {
        return;
    }
    let mut daemon = Daemon::prepare("");
    let mut server = Server::start(stack, daemon.path("record"));
    daemon.write_config(&server.config("json"));
    daemon.restart();
    daemon.wait_for("connected");
    let sending = sender.run(&daemon, &["send", "json", "json", &COUNT.to_string()]);
    for share in [10, 3] {
        server.wait_for_more_than(COUNT / share);
        server.restart_by_kill();
    }
    let ids = sent(sending);
    server.wait_for(&ids, message_id);
}

#[test]
fn every_message_arrives_though_a_server_on_websockets_is_killed() {
    every_message_arrives_though_the_server_is_killed(Stack::Websockets, App::VscodeJsonrpc);
}

#[test]
fn every_message_arrives_though_a_server_on_ws_is_killed() {
    every_message_arrives_though_the_server_is_killed(Stack::Ws, App::Stdlib);
}

fn raw_frames_arrive_though_the_server_is_restarted(stack: Stack, sender: App) {
    const COUNT: usize = 1_500;
    if !installed() {
        return;
    }
    let mut daemon = Daemon::prepare("");
    let mut server = Server::start(stack, daemon.path("record"));
    daemon.write_config(&server.config("text"));
    daemon.restart();
    daemon.wait_for("connected");
    let mut wanted = Vec::new();
    for kind in ["text", "binary"] {
        let sending = sender.run(&daemon, &["send", kind, kind, &COUNT.to_string()]);
        let before = wanted.len();
        server.wait_for_more_than(before + 100);
        server.restart_by_term();
        assert_eq!(sent(sending).len(), COUNT);
        wanted.extend((0..COUNT).map(|number| {
            let text = format!("{kind}-{number}");
            if kind == "text" { format!("text {text}") } else { format!("binary {}", hex(&text)) }
        }));
        server.wait_for(&wanted, payload);
    }
}

#[test]
fn text_and_binary_arrive_though_a_server_on_websockets_is_restarted() {
    raw_frames_arrive_though_the_server_is_restarted(Stack::Websockets, App::Stdlib);
}

#[test]
fn text_and_binary_arrive_though_a_server_on_ws_is_restarted() {
    raw_frames_arrive_though_the_server_is_restarted(Stack::Ws, App::VscodeJsonrpc);
}
