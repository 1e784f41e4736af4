//! What all of them share: a foreign server, a line to it that can be cut, a real daemon behind that, and
//! the judgement of what came through.

#![allow(dead_code, reason = "not every server needs all of it")]

pub(crate) mod cutter;
pub(crate) mod http;
pub(crate) mod nginx;
pub(crate) mod program;
pub(crate) mod stream;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use holdline::model::Timestamp;
use serde_json::{Value, json};

use crate::support::daemon::{Client, Daemon};
use crate::support::until_blocking;

/// Where the servers' programs are.
pub(crate) const HERE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/servers");

/// Whether npm's servers are installed. Says so where they are not.
pub(crate) fn npm_installed() -> bool {
    crate::support::needs::programs(&["node"])
        && crate::support::needs::working(
            "tests/servers/node_modules (run tests/servers/install.sh)",
            Command::new("test").arg("-e").arg(Path::new(HERE).join("node_modules/installed.json")),
        )
}

/// A program of this folder under node.
pub(crate) fn node(program: &str) -> Command {
    let mut command = Command::new("node");
    command.arg(Path::new(HERE).join(program));
    command
}

/// The path of a file of the repository.
pub(crate) fn repository_file(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name).display().to_string()
}

/// What docs/servers.md shows in this language in the section of a dialect: the tests run on it.
pub(crate) fn shown(name: &str, language: &str) -> String {
    let manual = std::fs::read_to_string(repository_file("docs/servers.md")).expect("the manual");
    let shown = manual
        .split_once(&format!("\n### {name}\n"))
        .and_then(|(_, section)| section.split_once(&format!("\n```{language}\n")))
        .and_then(|(_, block)| block.split_once("```"));
    shown.unwrap_or_else(|| panic!("docs/servers.md shows no {language} for {name}")).0.to_owned()
}

/// A daemon whose token is in a file, for a configuration that says `token_file = "token"`. Sections
/// given are added with quick delays.
pub(crate) fn daemon(config: &str, token: &str) -> Daemon {
    daemon_that_waits(config, token, &["100ms", "200ms"])
}

/// One that dials again after these delays, to the letter.
pub(crate) fn daemon_that_waits(config: &str, token: &str, delays: &[&str]) -> Daemon {
    let mut daemon = Daemon::prepare(config);
    write_token(&daemon, token);
    daemon.write_config(&format!("{config}\n[reconnect]\njitter = 0.0\ndelays = {delays:?}\n"));
    daemon.restart();
    daemon
}

/// Replaces the daemon's token.
pub(crate) fn write_token(daemon: &Daemon, token: &str) -> PathBuf {
    daemon.write_private("config/holdline/token", token)
}

/// Waits until `status` fits, and gives it.
pub(crate) fn wait_for_status(client: &mut Client, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    let seen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        until_blocking(what, || {
            last = client.call("status", &json!({})).expect("an answer");
            fits(&last).then(|| last.clone())
        })
    }));
    seen.unwrap_or_else(|_| panic!("{what}, and the status is {last:#}"))
}

/// Whether the next try is minutes behind the failure that is told: until then nobody dials.
pub(crate) fn is_far(link: &Value) -> bool {
    let time = |at: &Value| Timestamp::parse(at.as_str()?).ok();
    match (time(&link["reason"]["at"]), time(&link["next_retry_at"])) {
        (Some(failed), Some(next)) => next > failed.after(Duration::from_secs(60)),
        _ => false,
    }
}

/// The status of a daemon whose sign-in was refused, and refused once more with the token read anew. From
/// here on it waits.
pub(crate) fn refused_twice(client: &mut Client) -> Value {
    wait_for_status(client, "the sign-in to be refused", |status| {
        status["link"]["state"] == "unauthorized" && is_far(&status["link"])
    })
}

/// A daemon that was refused says so, and signs in as soon as its token is the right one.
pub(crate) fn recovers_with_another_token(daemon: &Daemon, token: &str) {
    until_blocking("the sign-in to be refused", || {
        let said = daemon.ctl(&["status"]).stdout;
        String::from_utf8_lossy(&said).contains("Sign-in refused").then_some(())
    });
    write_token(daemon, token);
    daemon.wait_for("connected");
}

/// All events and gaps, in their order: an event as it is, a gap as `{"gap": …}`.
pub(crate) fn everything(client: &mut Client) -> Vec<Value> {
    let mut all = Vec::new();
    let mut from = json!(1);
    loop {
        let page = client.call("events.list", &json!({"from": from, "limit": 1000})).expect("a page");
        all.extend(page["events"].as_array().expect("events").iter().cloned());
        all.extend(
            page["gaps"].as_array().expect("gaps").iter().map(|gap| json!({"gap": gap, "seq": gap["from"]})),
        );
        if page["more"] != json!(true) {
            break;
        }
        from = page["next"].clone();
    }
    all.sort_by_key(|row| row["seq"].as_i64());
    all
}
