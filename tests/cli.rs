//! The real program, without a daemon: what it understands, how it refuses, how it exits.

#![cfg(unix)]

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

/// The program in a home of its own.
struct Home {
    folder: TempDir,
}

impl Home {
    fn new() -> Self {
        Self { folder: TempDir::new().expect("a temporary folder") }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("test.sock")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_holdline"));
        command
            .args(args)
            .env_clear()
            .env("HOME", self.folder.path())
            .env("HOLDLINE_SOCKET", self.socket())
            .stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("the program starts")
    }
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("it exits by itself")
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

/// A daemon of a few lines: `answer` makes an answer of a request; what it puts into `then` is
/// written after it.
fn daemon(home: &Home, answer: impl Fn(&Value) -> Value + Send + 'static) {
    let listener = UnixListener::bind(home.socket()).expect("the socket is free");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            serve(&stream, &answer);
        }
    });
}

fn serve(stream: &UnixStream, answer: &impl Fn(&Value) -> Value) {
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        let request: Value = serde_json::from_str(&line).expect("JSON");
        if request.get("id").is_none() {
            continue;
        }
        let mut reply = answer(&request);
        reply["jsonrpc"] = json!("2.0");
        reply["id"] = request["id"].clone();
        let then = reply.as_object_mut().and_then(|reply| reply.remove("then")).unwrap_or_default();
        for line in std::iter::once(&reply).chain(then.as_array().into_iter().flatten()) {
            if writeln!(&mut &*stream, "{line}").is_err() {
                return;
            }
        }
    }
}

#[test]
fn help_begins_with_examples() {
    let home = Home::new();
    for args in [
        &["--help"][..],
        &["ctl", "--help"],
        &["ctl", "send", "-h"],
        &["ctl", "events", "--help"],
        &["service", "--help"],
        &["service", "install", "-h"],
        &["service", "uninstall", "-h"],
        &["service", "status", "-h"],
        &["service", "print", "-h"],
    ] {
        let output = home.run(args);
        assert_eq!(code(&output), 0, "{args:?}");
        assert!(out(&output).starts_with("Examples:\n  "), "{args:?}: {}", out(&output));
        assert!(output.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn every_command_has_help() {
    let home = Home::new();
    let mut waiting: Vec<Vec<String>> = vec![Vec::new()];
    let mut seen = 0;
    while let Some(path) = waiting.pop() {
        let args: Vec<&str> = path.iter().map(String::as_str).chain(["-h"]).collect();
        let output = home.run(&args);
        assert_eq!(code(&output), 0, "{args:?}");
        seen += 1;
        let text = out(&output);
        let commands = text.split_once("\nCommands:\n").map_or("", |(_, rest)| rest);
        for line in commands.lines().take_while(|line| line.starts_with("  ")) {
            let name = line.split_whitespace().next().expect("a name");
            if name != "help" && line.starts_with(&format!("  {name}")) {
                waiting.push(path.iter().cloned().chain([name.to_owned()]).collect());
            }
        }
    }
    assert!(seen > 25, "{seen} commands");
}

#[test]
fn what_makes_no_sense_exits_2_and_says_what_would() {
    let home = Home::new();
    let cases: &[(&[&str], &str)] = &[
        (&[], "Usage:"),
        (&["frobnicate"], "unrecognized subcommand"),
        (&["ctl", "statsu"], "'status'"),
        (&["ctl", "status", "--timeout", "5 parsecs"], "250ms"),
        (&["ctl", "wait", "--for", "lunch"], "reconnecting"),
        (&["ctl", "send", "chat", "Hello"], "DATA is not JSON"),
        (&["ctl", "send", "--text", "chat", "Hello"], "no type"),
        (&["ctl", "send", "chat", "{}", "--id", ""], "cannot be empty"),
        (&["ctl", "send", "chat", "{}", "--wait", "tomorrow"], "accepted"),
        (&["ctl", "events", "--from", "yesterday"], "earliest"),
        (&["ctl", "messages", "drop", "m1"], "--yes"),
        (&["ctl", "cursors", "delete", "c1"], "--yes"),
        (&["ctl", "quarantine", "drop", "7"], "--yes"),
        (&["ctl", "quarantine", "retry"], "<N|--all>"),
        (&["ctl", "quarantine", "retry", "7", "--all"], "cannot be used with"),
        (&["--profile", "../up", "ctl", "status"], "profile"),
    ];
    for (args, said) in cases {
        let output = home.run(args);
        assert_eq!(code(&output), 2, "{args:?}: {}", err(&output));
        assert!(err(&output).contains(said), "{args:?}: {}", err(&output));
        assert!(output.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn without_a_daemon_every_verb_exits_3_and_names_the_lock_and_the_way_to_start() {
    let home = Home::new();
    let verbs: &[&[&str]] = &[
        &["status"],
        &["status", "--check"],
        &["status", "--watch"],
        &["wait", "--for", "connected", "--timeout", "50ms"],
        &["send", "chat", "{}"],
        &["events"],
        &["events", "--follow"],
        &["state", "order"],
        &["messages"],
        &["messages", "show", "m1"],
        &["messages", "drop", "m1", "--yes"],
        &["quarantine"],
        &["quarantine", "retry", "--all"],
        &["cursors"],
        &["link", "reconnect"],
        &["why"],
        &["reload"],
        &["stop"],
        &["metrics"],
    ];
    for verb in verbs {
        let output = home.run(&[&["ctl"], *verb].concat());
        assert_eq!(code(&output), 3, "{verb:?}: {}", err(&output));
        assert!(output.stdout.is_empty(), "{verb:?}");
        assert!(err(&output).contains("default.lock"), "{verb:?}: {}", err(&output));
        assert!(err(&output).contains("holdline run"), "{verb:?}: {}", err(&output));
    }
}

#[test]
fn with_json_a_failure_is_one_line_of_json_on_standard_error() {
    let output = Home::new().run(&["--json", "ctl", "status"]);
    assert_eq!(code(&output), 3);
    assert!(output.stdout.is_empty());
    let said: Value = serde_json::from_str(&err(&output)).expect("one document");
    assert_eq!(said["error"]["exit"], 3);
    assert!(said["error"]["message"].as_str().is_some_and(|text| text.contains("not running")));
}

#[test]
fn every_kind_of_refusal_has_its_exit_code() {
    let home = Home::new();
    // The request's own type says which kind of refusal comes back.
    daemon(&home, |request| {
        let kind = request["params"]["type"].as_str().expect("a type");
        json!({ "error": { "code": -32000, "message": "no\u{1b}[2J", "data": {
            "kind": kind, "retryable": false, "hint": "do something else", "state": "parked" } } })
    });
    let cases = [
        ("queue_full", 7),
        ("too_large", 7),
        ("not_found", 8),
        ("not_connected", 9),
        ("ended", 9),
        ("uncertain", 9),
        ("timeout", 5),
        ("forbidden", 6),
        ("invalid_params", 2),
        ("no_key", 2),
        ("shutting_down", 3),
        ("conflict", 1),
        ("store_failed", 1),
        ("a_later_kind", 1),
    ];
    for (kind, exit) in cases {
        let output = home.run(&["ctl", "send", kind, "{}"]);
        assert_eq!(code(&output), exit, "{kind}: {}", err(&output));
        assert!(err(&output).contains("no\\u{1b}[2J"), "{kind}: {}", err(&output));
        assert!(err(&output).contains("do something else"), "{kind}: {}", err(&output));
        let output = home.run(&["ctl", "send", kind, "{}", "--json"]);
        assert_eq!(code(&output), exit, "{kind} with --json");
        let said: Value = serde_json::from_str(&err(&output)).expect("one document");
        assert_eq!(said["error"]["state"], "parked", "{kind}");
    }
}

#[test]
fn what_is_sent_is_what_was_typed() {
    let home = Home::new();
    daemon(&home, |request| {
        // Hands back the parameters as a message, to be looked at from outside.
        let params = request["params"].clone();
        json!({ "error": { "code": -32602, "message": params.to_string() } })
    });
    let sent = |args: &[&str], input: &[u8]| -> Value {
        let args = [&["ctl", "send", "--json"], args].concat();
        let mut child = home
            .command(&args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        child.stdin.take().expect("piped").write_all(input).expect("it reads");
        let output = child.wait_with_output().expect("it ends");
        let said: Value = serde_json::from_str(&err(&output)).expect("one document");
        serde_json::from_str(said["error"]["message"].as_str().expect("text")).expect("parameters")
    };
    let params = sent(&["chat", "[1, 2.50]", "--ttl", "10m", "--key", "k", "--lane", "l", "--id", "m1"], b"");
    assert_eq!(
        params,
        json!({ "type": "chat", "data": [1, 2.50], "ttl_ms": 600_000, "key": "k", "lane": "l", "id": "m1" })
    );
    let params =
        sent(&["chat", "-", "--wait", "accepted", "--timeout", "2s", "--id", "m1"], b" {\"a\": 1}\n");
    assert_eq!(
        params,
        json!({ "type": "chat", "data": { "a": 1 }, "wait": "accepted", "timeout_ms": 2_000, "id": "m1" })
    );
    let params = sent(&["typing", "--ephemeral"], b"");
    assert_eq!(params, json!({ "type": "typing", "data": {}, "delivery": "ephemeral" }));
    let params = sent(&["--text", "-", "--id", "m1"], "Grüße\n".as_bytes());
    assert_eq!(params, json!({ "text": "Grüße\n", "id": "m1" }));
    let params = sent(&["--binary", "-", "--id", "m1"], &[0, 255]);
    assert_eq!(params, json!({ "binary": { "encoding": "base64", "data": "AP8=" }, "id": "m1" }));
    let params = sent(&["chat", "null"], b"");
    assert!(
        params["data"].is_null() && params["id"].is_string(),
        "an id of ours, and a null that stays: {params}"
    );
}

fn event(seq: i64) -> Value {
    json!({ "seq": seq, "id": null, "type": "t", "data": seq, "received_at": "2026-11-23T10:02:11.000Z" })
}

/// What was printed: numbers of events as they are, gaps as `from-to`.
fn read(output: &Output) -> Vec<String> {
    out(output)
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("one document per line"))
        .map(|line| match line.get("gap") {
            Some(gap) => format!("{}-{}", gap["from"], gap["to"]),
            None => line["seq"].to_string(),
        })
        .collect()
}

#[test]
fn events_are_read_page_by_page_with_their_gaps_in_place() {
    let home = Home::new();
    daemon(&home, |request| {
        let params = &request["params"];
        let gap = |from: i64, to: i64| json!({ "from": from, "to": to, "reason": "retention" });
        let (events, gaps, next, more) = match params["from"].as_i64() {
            None => (vec![event(4), event(6)], vec![gap(1, 3), gap(5, 5)], 7, true),
            Some(7) => (vec![event(9)], vec![gap(7, 8), gap(10, 10)], 11, false),
            Some(other) => panic!("nothing leads to {other}"),
        };
        // What is read on has to be of the same database.
        assert_eq!(params["epoch"], if next == 7 { Value::Null } else { json!("e") });
        json!({ "result": { "events": events, "gaps": gaps, "next": next, "more": more, "epoch": "e",
            "first_seq": 4, "last_seq": 10 } })
    });
    let output = home.run(&["ctl", "events", "--json"]);
    assert_eq!(code(&output), 0, "{}", err(&output));
    assert_eq!(read(&output), ["1-3", "4", "5-5", "6", "7-8", "9", "10-10"]);
}

#[test]
fn a_cursor_is_moved_behind_what_was_shown_and_no_further() {
    let home = Home::new();
    let (told, acks) = std::sync::mpsc::channel();
    daemon(&home, move |request| {
        if request["method"] == "events.ack" {
            told.send(request["params"]["seq"].clone()).expect("the test waits");
            return json!({ "result": { "cursor": "c", "seq": request["params"]["seq"] } });
        }
        assert_eq!(request["params"]["ack"], "manual");
        let note = |method: &str, params: Value| {
            let mut params = params;
            params["subscription"] = json!("s");
            json!({ "jsonrpc": "2.0", "method": method, "params": params })
        };
        let told = |seq: i64| {
            note("event", json!({ "epoch": "e", "event": event(seq), "prev": seq - 1, "replay": true }))
        };
        json!({ "result": { "subscription": "s", "from": 1, "epoch": "e", "created": true }, "then": [
            told(1), note("gap", json!({ "from": 2, "to": 4, "reason": "server" })), told(5), told(6),
            note("caught_up", json!({ "seq": 6 })) ] })
    });
    let output = home.run(&["ctl", "events", "--cursor", "c", "--json"]);
    assert_eq!(code(&output), 0, "{}", err(&output));
    assert_eq!(read(&output), ["1", "2-4", "5", "6"]);
    assert_eq!(acks.try_iter().collect::<Vec<_>>(), [json!(6)]);
    let output = home.run(&["ctl", "events", "--cursor", "c", "--limit", "2", "--json"]);
    assert_eq!(read(&output), ["1", "2-4", "5"]);
    assert_eq!(acks.try_iter().collect::<Vec<_>>(), [json!(5)]);
}

#[test]
fn a_daemon_that_does_not_answer_ends_in_exit_3_within_the_deadline() {
    let home = Home::new();
    let listener = UnixListener::bind(home.socket()).expect("the socket is free");
    let output = home.run(&["ctl", "--timeout", "100ms", "status"]);
    assert_eq!(code(&output), 3, "{}", err(&output));
    assert!(err(&output).contains("did not answer within 100 ms"), "{}", err(&output));
    let output = home.run(&["ctl", "--timeout", "100ms", "send", "chat", "{}", "--id", "m1"]);
    assert_eq!(code(&output), 3);
    assert!(err(&output).contains("--id m1"), "how to ask again without sending twice: {}", err(&output));
    drop(listener);
}

#[test]
fn a_send_that_a_stopping_daemon_left_unanswered_is_made_once_more_under_its_id() {
    let home = Home::new();
    let listener = UnixListener::bind(home.socket()).expect("the socket is free");
    let serving = std::thread::spawn(move || {
        let mut seen = Vec::new();
        for closes in [true, false, true, true] {
            let (mut stream, _) = listener.accept().expect("somebody comes");
            let lines = BufReader::new(stream.try_clone().expect("a second handle")).lines();
            let request = lines
                .map(|line| serde_json::from_str::<Value>(&line.expect("text")).expect("JSON"))
                .find(|request| request["method"] == "messages.send")
                .expect("a send");
            let id = request["params"]["id"].clone();
            let said = if closes {
                json!({ "jsonrpc": "2.0", "method": "closing", "params": { "reason": "the daemon stops" } })
            } else {
                json!({ "jsonrpc": "2.0", "id": request["id"],
                    "result": { "id": id, "state": "queued", "durability": "full", "duplicate": true } })
            };
            writeln!(stream, "{said}").expect("it reads");
            seen.push(id);
        }
        seen
    });
    let output = home.run(&["ctl", "send", "chat", "{}"]);
    assert_eq!(code(&output), 0, "{}", err(&output));
    let output = home.run(&["ctl", "send", "chat", "{}", "--id", "m1"]);
    assert_eq!(code(&output), 3, "not for ever: {}", err(&output));
    assert!(err(&output).contains("the daemon stops"), "{}", err(&output));
    let seen = serving.join().expect("no panic");
    assert_eq!((&seen[0], &seen[2..]), (&seen[1], &[json!("m1"), json!("m1")][..]), "{seen:?}");
}

#[test]
fn a_reader_that_went_away_is_no_failure() {
    let home = Home::new();
    for args in [&["man"][..], &["completions", "bash"], &["dialect", "show", "json"], &["config", "path"]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = home
            .command(args)
            .stdout(writer)
            .stderr(Stdio::piped())
            .spawn()
            .and_then(std::process::Child::wait_with_output)
            .expect("the program runs");
        assert_eq!(code(&output), 0, "{args:?}: {}", err(&output));
        assert!(output.stderr.is_empty(), "{args:?}: {}", err(&output));
    }
}

#[test]
fn colour_is_for_terminals_unless_asked_for() {
    let home = Home::new();
    let coloured = |args: &[&str]| home.run(args).stderr.contains(&0x1b);
    assert!(!coloured(&["ctl", "send", "chat", "Hello"]));
    assert!(coloured(&["ctl", "send", "chat", "Hello", "--color", "always"]));
    assert!(!coloured(&["ctl", "send", "chat", "Hello", "--color", "never"]));
}

#[test]
fn shells_and_man_get_their_files() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = home.run(&["completions", shell]);
        assert_eq!(code(&output), 0, "{shell}");
        assert!(out(&output).contains("dev-server"), "{shell}");
        assert!(out(&output).contains("uninstall") && out(&output).contains("dry-run"), "{shell}");
    }
    let page = home.run(&["man"]);
    assert_eq!(code(&page), 0);
    assert!(out(&page).contains(".TH holdline 1"), "{}", out(&page));
    assert!(out(&page).contains("holdline\\-service"), "{}", out(&page));
    let folder = home.folder.path().join("pages");
    assert_eq!(code(&home.run(&["man", "--dir", &folder.display().to_string()])), 0);
    let written = std::fs::read_to_string(folder.join("holdline.1")).expect("a page");
    assert_eq!(written, out(&page), "printed or written, it is the same page");
}

#[test]
fn every_command_has_a_manual_page() {
    let home = Home::new();
    let folder = home.folder.path().join("new/man1");
    let written = home.run(&["man", "--dir", &folder.display().to_string()]);
    assert_eq!(code(&written), 0, "{}", err(&written));
    let mut names: Vec<_> = std::fs::read_dir(&folder)
        .expect("made")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("text"))
        .collect();
    names.sort();
    for name in
        ["holdline.1", "holdline-run.1", "holdline-ctl.1", "holdline-ctl-send.1", "holdline-config-show.1"]
    {
        assert!(names.iter().any(|it| it == name), "{name}: {names:?}");
    }
    let page = std::fs::read_to_string(folder.join("holdline-ctl-send.1")).expect("a page");
    assert!(page.contains(".TH holdline-ctl-send 1") && page.contains("\\-\\-wait"), "{page}");
    for name in &names {
        let page = std::fs::read_to_string(folder.join(name)).expect("a page");
        let title = page.lines().find(|line| line.starts_with(".TH ")).expect("a title");
        assert!(title.contains(concat!("\"holdline ", env!("CARGO_PKG_VERSION"), "\"")), "{name}: {title}");
        // A page that is referred to is there.
        for line in page.lines().filter(|line| line.starts_with("holdline\\-") && line.ends_with("(1)")) {
            let other = line.replace('\\', "").replace("(1)", ".1");
            assert!(names.contains(&other), "{name} refers to {other}");
        }
    }

    let in_the_way = home.folder.path().join("file");
    std::fs::write(&in_the_way, "").expect("written");
    let refused = home.run(&["man", "--dir", &in_the_way.display().to_string()]);
    assert_eq!(code(&refused), 1);
    assert!(
        err(&refused).contains("cannot be written into") && err(&refused).contains("hint:"),
        "{}",
        err(&refused)
    );
}

/// The shells that are here read what is meant for them.
#[test]
fn shells_find_no_fault_in_their_completions() {
    let home = Home::new();
    for (shell, check) in [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute")] {
        let file = home.folder.path().join(shell);
        std::fs::write(&file, home.run(&["completions", shell]).stdout).expect("written");
        let checked = Command::new(shell).arg(check).arg(&file).output();
        match checked {
            Ok(checked) => assert!(checked.status.success(), "{shell}: {checked:?}"),
            Err(_) => assert_ne!(shell, "bash", "bash is everywhere"),
        }
    }
}

#[test]
fn dialects_are_listed_shown_and_checked_without_a_daemon() {
    let home = Home::new();
    let listed: Value =
        serde_json::from_slice(&home.run(&["dialect", "list", "--json"]).stdout).expect("JSON");
    assert_eq!(listed["dialects"][0]["name"], "json");
    assert_eq!(code(&home.run(&["dialect", "show", "klingon"])), 8);
    let coded = listed["dialects"].as_array().expect("a list").iter().find(|one| one["name"] == "socketio");
    assert_eq!(coded.map(|one| &one["coded"]), Some(&Value::Bool(true)));
    let shown = home.run(&["dialect", "show", "socketio"]);
    assert!(out(&shown).contains("dialect = \"socketio\""), "{}", out(&shown));
    assert_eq!(code(&home.run(&["dialect", "check", "socketio"])), 0);
    let recording = home.folder.path().join("session.jsonl");
    let recording = recording.to_str().expect("text");
    std::fs::write(
        recording,
        "{\"dir\":\"open\"}\n{\"dir\":\"in\",\"text\":\"nonsense\"}\n{\"dir\":\"wait\",\"for\":\"10s\"}\n",
    )
    .expect("a recording");
    let replayed = home.run(&["dialect", "replay", "socketio", recording]);
    assert_eq!(code(&replayed), 0);
    assert!(out(&replayed).contains("it does not speak Engine.IO 4"), "{}", out(&replayed));
    let file = home.folder.path().join("mine.toml");
    let file = file.to_str().expect("text");
    assert_eq!(code(&home.run(&["dialect", "check", file])), 8);
    std::fs::write(file, home.run(&["dialect", "show", "json"]).stdout).expect("it can be written");
    assert_eq!(code(&home.run(&["dialect", "check", file])), 0);
    std::fs::write(file, "nonsense = true\n").expect("it can be written");
    let output = home.run(&["dialect", "check", file]);
    assert_eq!(code(&output), 1);
    assert!(out(&output).contains("nonsense"), "{}", out(&output));
}
