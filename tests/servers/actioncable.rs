//! Rails' ActionCable on puma: the echo is the receipt, refusals come behind the 101, and what happens while
//! nobody listens is gone.

use std::ops::Range;
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::cutter::Cutter;
use crate::harness::program::Program;
use crate::harness::stream::{Arrival, Scale, Server, recorded, run};
use crate::harness::{HERE, daemon, everything, http, recovers_with_another_token, shown, wait_for_status};
use crate::support::needs;
use crate::support::until_blocking;

const TOKEN: &str = "correct-horse";

struct ActionCable(Program);

fn installed() -> bool {
    needs::programs(&["ruby", "puma"])
        && needs::working(
            "ruby's actioncable (Debian: ruby-actioncable, ruby-rails)",
            Command::new("ruby").args(["-e", "gem 'actioncable'; gem 'railties'"]),
        )
}

impl ActionCable {
    /// With so many threads for the messages of a connection.
    fn start(workers: &'static str) -> Self {
        Self(Program::start(
            |_, folder| {
                std::fs::write(folder.join("token"), TOKEN).expect("a token");
                std::fs::create_dir(folder.join("config")).expect("a folder");
                let cable = "development:\n  adapter: inline\n";
                std::fs::write(folder.join("config/cable.yml"), cable).expect("a file");
            },
            move |port, folder| {
                let mut command = Command::new("puma");
                command
                    .args(["--environment", "development", "--threads", "0:5", "--bind"])
                    .arg(format!("tcp://127.0.0.1:{port}"))
                    .arg(format!("{HERE}/actioncable.ru"))
                    .env("FOLDER", folder)
                    .env("WORKERS", workers)
                    .current_dir(folder);
                command
            },
        ))
    }
}

impl Server for ActionCable {
    fn kill_and_start(&mut self) {
        self.0.again();
    }

    fn push(&mut self, numbers: Range<u64>) {
        let path = format!("/push?from={}&to={}", numbers.start, numbers.end);
        assert_eq!(http::post(self.0.port(), &path, ""), 200);
    }

    fn received(&self) -> Vec<Arrival> {
        recorded(&self.0.path("received"))
    }

    fn message(&self, number: u64) -> (String, Value) {
        ("speak".to_owned(), json!({"n": number, "text": "x".repeat(100)}))
    }

    fn number(&self, event: &Value) -> Option<u64> {
        (event["type"] == "order").then(|| event["data"]["n"].as_u64())?
    }

    fn is_echo(&self, event: &Value) -> bool {
        event["type"] == "spoken"
    }
}

/// The configuration that docs/servers.md shows, for these channels.
fn config(port: u16, channels: &str) -> String {
    let config =
        shown("actioncable", "toml").replace("wss://shop.example.com", &format!("ws://127.0.0.1:{port}"));
    assert!(config.contains(ROOM), "{config}");
    config.replace(ROOM, channels)
}

const ROOM: &str = r#"'{"channel":"ChatChannel","room":"1"}'"#;
const LOCKED: &str = r#"'{"channel":"ChatChannel","room":"locked"}'"#;

#[test]
fn messages_are_confirmed_by_their_echo_and_what_was_missed_is_told() {
    if !installed() {
        return;
    }
    let mut server = ActionCable::start("1");
    let cutter = Cutter::before(server.0.port());
    let daemon = daemon(&config(cutter.port(), ROOM), TOKEN);
    daemon.wait_for("connected");
    let figures = run(&mut server, &daemon, &cutter, Scale::of_environment());
    figures.expect_kept_promises();
    assert_eq!(figures.twice_other_id, 0, "{figures}");
    assert_eq!(figures.events_twice, 0, "{figures}");
    assert_eq!(figures.gaps, figures.cuts, "it cannot resume, so each end is told: {figures}");
}

#[test]
fn a_refusal_behind_the_101_a_refused_channel_a_kick_and_order_in_spite_of_four_threads() {
    if !installed() {
        return;
    }
    let mut server = ActionCable::start("4");
    let cutter = Cutter::before(server.0.port());
    let config = config(cutter.port(), &format!("{ROOM}, {LOCKED}"));
    let daemon = daemon(&format!("{config}\n[lanes.\"default\"]\nwindow = 1\n"), "of yesterday");
    recovers_with_another_token(&daemon, TOKEN);
    let mut client = daemon.client();
    let all = until_blocking("the refused channel to be told", || {
        let all = everything(&mut client);
        (all.len() == 1).then_some(all)
    });
    assert_eq!(
        (&all[0]["type"], &all[0]["data"]["type"]),
        (&json!("error"), &json!("reject_subscription")),
        "{}",
        all[0]
    );
    let health = client.call("status", &json!({})).expect("an answer")["health"].to_string();
    assert!(health.contains("refused the channel") && health.contains("locked"), "{health}");

    server.push(0..1);
    until_blocking("the event of the channel that was not", || {
        (everything(&mut client).len() == 2).then_some(())
    });
    assert_eq!(http::post(server.0.port(), "/kick", ""), 200);
    let status = wait_for_status(&mut client, "the next connection", |status| {
        status["link"]["reconnects"].as_u64() >= Some(1) && status["link"]["state"] == "connected"
    });
    assert_eq!(status["link"]["last_close"]["code"], 1000, "a kick has no other sign than the close");
    // Its four threads overtake each other, but not where one message waits for the other.
    for n in 0..100 {
        let (kind, data) = server.message(n);
        client.call("messages.send", &json!({"type": kind, "data": data})).expect("a receipt");
    }
    wait_for_status(&mut client, "all echoes", |status| status["outbox"]["confirmed_total"] == 100);
    assert!(server.received().into_iter().map(|arrival| arrival.number).eq(0..100), "reordered");
}
