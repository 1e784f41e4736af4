//! npm's graphql-ws: a session per operation, closes that mean something, and no ids but ours.

use std::ops::Range;

use serde_json::{Value, json};

use crate::harness::cutter::Cutter;
use crate::harness::program::Program;
use crate::harness::stream::{Arrival, Scale, Server, recorded, run};
use crate::harness::{
    daemon, everything, http, node, npm_installed, recovers_with_another_token, repository_file, shown,
    wait_for_status,
};
use crate::support::daemon::{Client, Daemon};
use crate::support::until_blocking;

pub(crate) const TOKEN: &str = "correct horse";

pub(crate) struct GraphqlWs(pub(crate) Program);

impl GraphqlWs {
    pub(crate) fn start() -> Self {
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

/// The configuration that docs/servers.md shows; with a copy of the dialect, the query it speaks of.
pub(crate) fn config(port: u16, dialect: &str) -> String {
    let mut config =
        shown("graphql-ws", "toml").replace("wss://api.example.com", &format!("ws://127.0.0.1:{port}"));
    if dialect != "graphql-ws" {
        config = config
            .replace("\"graphql-ws\"", &format!("\"{dialect}\""))
            .replace("subscription { order {", "subscription($after: Int) { order(after: $after) {");
    }
    config
}

/// The copy that goes on where it ended.
pub(crate) fn resuming() -> String {
    repository_file("tests/fixtures/dialect/graphql-ws-resume/dialect.toml")
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

/// Lets events happen until one has come.
fn an_event(server: &mut GraphqlWs, daemon: &Daemon) {
    let mut client = daemon.client();
    let mut head = 0;
    until_blocking("an event", || {
        // Whoever subscribes later than it happened has missed it.
        head += 1;
        server.push(0..head);
        everything(&mut client).iter().any(|row| row["type"] == "orders").then_some(())
    });
}

#[test]
fn without_one_each_end_is_a_gap_and_a_kick_is_an_end_like_others() {
    if !npm_installed() {
        return;
    }
    let mut server = GraphqlWs::start();
    let cutter = Cutter::before(server.0.port());
    let daemon = daemon(&config(cutter.port(), "graphql-ws"), "of yesterday");
    recovers_with_another_token(&daemon, TOKEN);
    let mut client = daemon.client();
    an_event(&mut server, &daemon);
    assert!(!everything(&mut client).iter().any(|row| row.get("gap").is_some()));

    assert_eq!(http::post(server.0.port(), "/kick", ""), 200);
    let status = wait_for_status(&mut client, "the next connection", |status| {
        status["link"]["reconnects"] == 1 && status["link"]["state"] == "connected"
    });
    assert_eq!(status["link"]["last_close"], json!({"code": 1001, "reason": "Going away"}));
    until_blocking("the gap: what came meanwhile is unknown", || {
        let gaps = everything(&mut client).into_iter().filter(|row| row.get("gap").is_some());
        (gaps.count() == 1).then_some(())
    });

    // What the server answers with an error is refused, in its words.
    let send = |client: &mut Client, data: Value| {
        let params = json!({"type": "say", "data": data});
        client.call("messages.send", &params).expect("a receipt")["id"].clone()
    };
    let get =
        |client: &mut Client, id: &Value| client.call("messages.get", &json!({"id": id})).expect("known");
    let refused = send(&mut client, json!({"query": "mutation { refuse }"}));
    let reason = until_blocking("the refusal", || {
        let message = get(&mut client, &refused);
        (message["state"] == "rejected").then(|| message["reason"].to_string())
    });
    assert!(reason.contains("the shop is closed"), "{reason}");
    let asked =
        client.call("messages.request", &json!({"type": "say", "data": {"query": "mutation { say(n: 7) }"}}));
    assert_eq!(asked.expect("a reply")["reply"], json!({"say": 7}));

    // One that the server hangs up on is set aside, and those behind it go through.
    let poison = send(&mut client, json!({"no": "query"}));
    let behind = send(&mut client, json!({"query": "mutation { say(n: 8) }"}));
    until_blocking("the one behind it", || (get(&mut client, &behind)["state"] == "accepted").then_some(()));
    let message = until_blocking("it to be set aside", || {
        let message = get(&mut client, &poison);
        (message["state"] == "parked").then_some(message)
    });
    assert!(message["reason"].to_string().contains("poison"), "{message}");
    assert_eq!(server.received().last().map(|arrival| arrival.number), Some(8));
}
