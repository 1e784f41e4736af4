//! `docs/dialects.md` keeps its word: its files are written, its commands are run against the server it
//! names, and what it shows is what they print.

use std::collections::VecDeque;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::desk::Desk;
use crate::support::daemon::program;
use crate::support::{needs, until_blocking};

/// The port in the text. Here it is whatever is free.
const PORT: &str = "6800";

/// What the page has a reader do.
#[derive(Debug, PartialEq)]
enum Step {
    /// Start this server.
    Server(String),
    /// Write this file.
    File(String, String),
    /// Type this, and see that; the last command exits so.
    Run { code: i32, commands: Vec<String>, shown: Vec<String> },
}

/// The steps of the page: a comment that says what the block below it is.
fn steps(page: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut lines = page.lines().collect::<VecDeque<_>>();
    while let Some(line) = lines.pop_front() {
        let Some(mark) = line.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->")) else {
            continue;
        };
        assert!(lines.pop_front().is_some_and(|line| line.starts_with("```")), "no block below {mark}");
        let block: Vec<String> =
            std::iter::from_fn(|| lines.pop_front().filter(|line| *line != "```").map(str::to_owned))
                .collect();
        steps.push(match mark.split_once(": ").unwrap_or((mark, "")) {
            ("server", _) => Step::Server(block.join("\n")),
            ("file", name) => Step::File(name.to_owned(), block.join("\n") + "\n"),
            ("run", code) => {
                let (commands, shown): (Vec<_>, Vec<_>) =
                    block.into_iter().partition(|line| line.starts_with("$ "));
                Step::Run {
                    code: if code.is_empty() { 0 } else { code.parse().unwrap() },
                    commands: commands.iter().map(|line| line[2..].to_owned()).collect(),
                    shown: shown.into_iter().filter(|line| !line.trim().is_empty()).collect(),
                }
            }
            _ => panic!("nobody knows what to do with {mark}"),
        });
    }
    steps
}

/// Whether a line is as shown; `…` stands for anything.
fn is_shown(line: &str, shown: &str) -> bool {
    let mut parts = shown.trim().split('…');
    let Some(mut rest) = line.trim().strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut last = None;
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
        last = Some(part);
    }
    rest.is_empty() || last == Some("")
}

/// A process that is killed in the end.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Reader {
    desk: Desk,
    port: u16,
    running: Vec<Running>,
}

impl Reader {
    fn new() -> Self {
        let desk = Desk::new();
        std::fs::create_dir(desk.path("bin")).unwrap();
        std::os::unix::fs::symlink(Path::new(&program()), desk.path("bin/holdline")).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self { desk, port, running: Vec::new() }
    }

    fn shell(&self, line: &str) -> Command {
        let path = format!("{}:{}", self.desk.path("bin").display(), std::env::var("PATH").unwrap());
        let mut command = self.desk.within("sh", &["-c", &line.replace(PORT, &self.port.to_string())]);
        command.env("PATH", path);
        command
    }

    fn start(&mut self, line: &str) {
        // Its own process, not that of a shell before it.
        let mut command = self.shell(&format!("exec {line}"));
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        self.running.push(Running(child));
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Server(line) => {
                self.start(line);
                let port = self.port;
                until_blocking("the server to listen", || TcpStream::connect(("127.0.0.1", port)).ok());
            }
            Step::File(name, text) => {
                self.desk.write(name, &text.replace(PORT, &self.port.to_string()));
                if name == "config.toml" {
                    self.start("holdline run --config config.toml");
                    until_blocking("the daemon to serve", || {
                        let asked = self.shell("holdline ctl wait --for connected").output().unwrap();
                        asked.status.success().then_some(())
                    });
                }
            }
            Step::Run { code, commands, shown } => {
                let mut printed = String::new();
                let mut last = None;
                for command in commands {
                    let output = self.shell(&format!("{{ {command}\n}} 2>&1")).output().unwrap();
                    printed += &String::from_utf8(output.stdout).unwrap();
                    last = output.status.code();
                }
                let printed = printed.replace(&self.port.to_string(), PORT);
                assert_eq!(last, Some(*code), "{commands:?}:\n{printed}");
                for line in shown {
                    assert!(
                        printed.lines().any(|printed| is_shown(printed, line)),
                        "{commands:?} does not show\n{line}\nbut\n{printed}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_reader_who_does_what_the_page_says_sees_what_it_shows() {
    let page = include_str!("../../docs/dialects.md");
    let steps = steps(page);
    let commands = steps.iter().filter(|step| matches!(step, Step::Run { .. })).count();
    assert!(commands >= 8, "{steps:?}");
    // Whatever looks like something to type is typed here.
    assert_eq!(page.matches("```console").count(), commands);
    for verb in ["check", "record", "replay"] {
        assert!(page.contains(&format!("$ holdline dialect {verb} ")), "{verb}");
    }
    if !needs::programs(&["aria2c"]) {
        return;
    }
    let mut reader = Reader::new();
    for step in &steps {
        reader.take(step);
    }
}

#[test]
fn a_line_is_as_shown_when_only_the_left_out_parts_differ() {
    for (line, shown, is) in [
        ("   0.1  ←  {\"a\":1}", "…  ←  {\"a\":1}", true),
        ("✔ a.jsonl: 3 lines", "✔ a.jsonl: …", true),
        ("✔ a.jsonl: 3 lines", "✔ b.jsonl: …", false),
        ("accepted 7 and more", "accepted …7", false),
        ("in order", "in order.", false),
        ("in order. Not", "in order.", false),
    ] {
        assert_eq!(is_shown(line, shown), is, "{line} / {shown}");
    }
}
