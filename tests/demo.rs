//! The demo as a person runs it: it ends by itself, tells the truth, and leaves nothing behind.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use support::until_blocking;
use tempfile::TempDir;

struct Demo {
    child: Child,
    folder: TempDir,
}

impl Demo {
    fn start(arguments: &[&str]) -> Self {
        // The path of a socket has little room.
        let folder = tempfile::Builder::new().prefix("hl").tempdir().unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_holdline"))
            .arg("demo")
            .args(arguments)
            .env("TMPDIR", folder.path())
            // Not on the desktop of whoever runs the tests.
            .env("XDG_RUNTIME_DIR", folder.path())
            .env_remove("DBUS_SESSION_BUS_ADDRESS")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self { child, folder }
    }

    /// Waits for its end, and checks that it left neither files nor processes.
    fn end(self) -> Output {
        let output = self.child.wait_with_output().unwrap();
        let left: Vec<_> =
            fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(left.is_empty(), "left behind: {left:?}");
        let alive = processes_that_name(self.folder.path());
        assert!(alive.is_empty(), "still running: {alive:?}");
        output
    }
}

/// Command lines of running processes with this path in them; none where the system has no
/// `/proc`.
fn processes_that_name(path: &Path) -> Vec<String> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let name = path.to_str().unwrap();
    processes
        .filter_map(|process| fs::read(process.ok()?.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(name))
        .collect()
}

#[test]
fn the_tour_ends_by_itself_with_everything_delivered() {
    let output = Demo::start(&["--seconds", "60"]).end();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    for step in 1..=8 {
        assert!(text.lines().any(|line| line.starts_with(&format!("{step}/8  "))), "{text}");
    }
    assert!(text.contains("not shown: nobody here shows notifications"), "{text}");
    let last = text.lines().last().unwrap();
    assert!(last.ends_with(": 1,025 queued, 1,025 delivered, 0 lost."), "{last}");
}

#[test]
fn for_programs_the_tour_is_one_document_a_step() {
    let output = Demo::start(&["--seconds", "60", "--scenario", "prices", "--json"]).end();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<Value> = output
        .stdout
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect();
    assert_eq!(lines.len(), 9);
    let last = lines.last().unwrap();
    assert_eq!((&last["queued"], &last["delivered"], &last["lost"]), (&1025.into(), &1025.into(), &0.into()));
}

#[test]
fn a_tour_broken_off_leaves_nothing_behind() {
    let mut demo = Demo::start(&["--seconds", "60"]);
    let mut out = demo.child.stdout.take().unwrap();
    let mut text = String::new();
    // Its second step: the daemon runs.
    until_blocking("the daemon to run", || {
        let mut some = [0; 4096];
        let read = out.read(&mut some).unwrap();
        text.push_str(&String::from_utf8_lossy(&some[..read]));
        (text.contains("2/8") || read == 0).then_some(())
    });
    assert!(text.contains("2/8"), "it ended early: {text}");
    let pid = rustix::process::Pid::from_raw(demo.child.id() as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let output = demo.end();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("broken off"));
}
