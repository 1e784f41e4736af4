//! npm's graphql-ws: a session per operation, closes that mean something, and no ids but ours.

use std::ops::Range;

use serde_json::{Value, json};

use crate::harness::cutter::Cutter;
use crate::harness::program::Program;
use crate::harness::stream::{Arrival, Scale, Server, recorded, run};
use crate::harness::{daemon, dialect_file, http, node, npm_installed};
use crate::support::daemon::Daemon;

const TOKEN: &str = "correct horse";

struct GraphqlWs(Program);

impl GraphqlWs {
    fn start() -> Self {
        Self(Program::start(
            |_, folder| std::fs::write(folder.join("token"), TOKEN).expect("a token"),
            |port, folder| {
                let mut command = node("graphql_ws.mjs");
                command.arg(port.to_string()).arg(folder);
                command
            },
        ))
    }
}

impl Server for GraphqlWs {
    fn kill_and_start(&mut self) {
        self.0.again();
    }

    fn push(&mut self, numbers: Range<u64>) {
        assert_eq!(http::post(self.0.port(), &format!("/push?to={}", numbers.end), ""), 200);
    }

    fn received(&self) -> Vec<Arrival> {
        recorded(&self.0.path("received"))
    }

    fn message(&self, number: u64) -> (String, Value) {
        let query = "mutation($n: Int!, $text: String) { say(n: $n, text: $text) }";
        ("say".to_owned(), json!({"query": query, "variables": {"n": number, "text": "x".repeat(100)}}))
    }

    fn number(&self, event: &Value) -> Option<u64> {
        // The server counts from 1.
        (event["type"] == "orders").then(|| event["data"]["order"]["seq"].as_u64())?.map(|seq| seq - 1)
    }
}

/// The configuration that docs/dialects.md shows.
fn config(port: u16, dialect: &str) -> String {
    format!(
        r#"[server]
url = "ws://127.0.0.1:{port}/graphql"
dialect = "{dialect}"

[[server.vars.subscriptions]]
name = "orders"
query = "subscription($after: Int) {{ order(after: $after) {{ seq text }} }}"

[auth]
token_file = "token"
"#
    )
}

/// The copy that goes on where it ended.
fn resuming() -> String {
    dialect_file("tests/fixtures/dialect/graphql-ws-resume/dialect.toml")
}

fn connected(server: &GraphqlWs, dialect: &str) -> (Daemon, Cutter) {
    let cutter = Cutter::before(server.0.port());
    let daemon = daemon(&config(cutter.port(), dialect), TOKEN);
    daemon.wait_for("connected");
    (daemon, cutter)
}

#[test]
fn with_a_cursor_of_its_own_nothing_is_lost_either_way() {
    if !npm_installed() {
        return;
    }
    let mut server = GraphqlWs::start();
    let (daemon, cutter) = connected(&server, &resuming());
    let figures = run(&mut server, &daemon, &cutter, Scale::of_environment());
    figures.expect_kept_promises();
    assert_eq!((figures.events_missing_told, figures.gaps), (0, 0), "it resumes: {figures}");
    assert_eq!(figures.events_twice, 0, "{figures}");
    assert_eq!(figures.twice_other_id, 0, "{figures}");
}
