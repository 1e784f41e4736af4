//! Notifications of the real program where nobody shows any, and what rules do beside showing. What a
//! desktop does with them is tried in `tests/system`.

use holdline::dev_server::{Control, DevServer};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::daemon::{Client, Daemon};
use crate::{blocking, config, server, start, support, wait_for_status};

/// Everything is shown by itself, and nothing waits.
const PLAIN: &str = "[notifications]\nburst = 1000\ncatch_up = \"0s\"\n";

fn push(server: &DevServer, kind: &str, count: u64) {
    server.control(Control::Push { kind: kind.into(), data: Some(json!({"n": 1})), count, ephemeral: false });
}

fn notifications(client: &mut Client, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
    wait_for_status(client, what, |status| fits(&status["notifications"]))["notifications"].take()
}

fn history(client: &mut Client) -> Vec<Value> {
    let result = client.call("notifications.history", &json!({})).expect("an answer");
    result["history"].as_array().expect("a list").clone()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p16_where_there_is_no_desktop_that_is_said_once_and_nothing_else_suffers() {
    let server = server().await;
    let rules = format!("{PLAIN}[[notify]]\ntype = \"order\"\ntitle = \"Order {{{{ data.n }}}}\"\n");
    let daemon = start(config(&server.url(), "holdline", &rules)).await;
    let daemon = blocking(move || {
        daemon.wait_for("connected");
        daemon
    })
    .await;
    push(&server, "order", 20);
    push(&server, "chat", 5);
    blocking(move || {
        let mut client = daemon.client();
        let now = notifications(&mut client, "all to be tried", |it| it["failed"] == 20);
        assert_eq!(
            (&now["available"], &now["backend"], &now["shown"]),
            (&json!(false), &Value::Null, &json!(0))
        );
        assert!(now["reason"].to_string().contains("no notification service"), "{now}");
        let status = wait_for_status(&mut client, "the events", |status| status["inbox"]["events"] == 25);
        let entry = status["health"].as_array().expect("a list").iter();
        let entry = entry.clone().find(|entry| entry["code"] == "notifications_unavailable").expect("told");
        assert_eq!(entry["severity"], "info");
        assert!(daemon.ctl(&["status", "--check"]).status.success(), "nothing is wrong with the daemon");
        let told = daemon.log().matches("notifications cannot be shown").count();
        assert_eq!(told, 1, "{}", daemon.log());

        let line = history(&mut client).pop().expect("a line");
        assert_eq!(
            (&line["outcome"], &line["reason"], &line["count"]),
            (&json!("failed"), &json!("service"), &json!(20))
        );
        assert_eq!(line["title"], "Order 1");
        let refused = client.call("notifications.test", &json!({})).expect_err("nobody is there");
        assert_eq!(refused["data"]["kind"], "unsupported");
        assert!(!refused["data"]["hint"].as_str().expect("a hint").is_empty());
        let output = daemon.ctl(&["notify", "test"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains("no notification service"), "{}", text(&output.stderr));
        assert_eq!(daemon.log().matches("notifications cannot be shown").count(), 1);
        let said = text(&daemon.ctl(&["status"]).stdout);
        assert!(said.contains("notices     not shown: no notification service"), "{said}");
        let why = text(&daemon.ctl(&["why"]).stdout);
        assert!(why.contains("Notifications\n") && why.contains("\"Order 1\""), "{why}");
        let metrics = client.call("metrics", &json!({})).expect("an answer")["text"].to_string();
        assert!(metrics.contains("holdline_notifications_total{outcome=\\\"failed\\\"} 22"), "{metrics}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mute_holds_over_a_restart_and_what_it_stops_is_counted() {
    let server = server().await;
    let rules = format!("{PLAIN}[[notify]]\ntype = \"*\"\nurgency = \"critical\"\n");
    let daemon = start(config(&server.url(), "holdline", &rules)).await;
    let mut daemon = blocking(move || {
        let output = daemon.ctl(&["notify", "mute", "--for", "1h"]);
        assert!(text(&output.stdout).starts_with("Notifications are muted until "), "{output:?}");
        assert!(output.status.success());
        daemon
    })
    .await;
    let daemon = blocking(move || {
        daemon.signal(Signal::KILL);
        daemon.wait_for_end();
        daemon.restart();
        daemon.wait_for("connected");
        daemon
    })
    .await;
    push(&server, "alarm", 3);
    let daemon = blocking(move || {
        let mut client = daemon.client();
        let now = notifications(&mut client, "all to be stopped", |it| it["suppressed"] == 3);
        assert!(now["muted_until"].is_string(), "{now}");
        let status = client.call("status", &json!({})).expect("an answer");
        let muted = |status: &Value| status["health"].to_string().contains("notifications_muted");
        assert!(muted(&status) && daemon.ctl(&["status", "--check"]).status.success(), "{status}");
        assert_eq!(history(&mut client)[0]["reason"], "muted");

        assert!(daemon.ctl(&["notify", "unmute"]).status.success());
        let status = client.call("status", &json!({})).expect("an answer");
        assert!(!muted(&status) && status["notifications"]["muted_until"].is_null(), "{status}");
        let ever = client.call("notifications.mute", &json!({})).expect("an answer");
        assert_eq!(ever["muted_until"], "9999-01-01T00:00:00.000Z");
        let said = text(&daemon.ctl(&["status"]).stdout);
        assert!(said.contains("muted until `holdline ctl notify unmute`"), "{said}");
        client.call("notifications.unmute", &json!({})).expect("an answer");
        let refused = client.call("notifications.mute", &json!({"for_ms": 0})).expect_err("no time");
        assert_eq!(refused["code"], -32602);
        daemon
    })
    .await;
    push(&server, "alarm", 1);
    blocking(move || {
        let mut client = daemon.client();
        let now = notifications(&mut client, "one to be tried", |it| it["failed"] == 1);
        assert_eq!(now["suppressed"], 3, "what was stopped does not come later");
    })
    .await;
}

#[test]
fn p13_a_template_that_is_not_in_order_ends_the_start_with_its_place() {
    let mut daemon = Daemon::prepare(
        "[server]\nurl = \"ws://127.0.0.1:9/\"\n[[notify]]\ntype = \"order\"\nbody = \"\"\"\nOrder\n#{{ data.id | upcase }}\n\"\"\"\n",
    );
    daemon.spawn();
    assert_eq!(daemon.wait_for_end().code(), Some(78));
    let log = daemon.log();
    for part in [
        "unknown filter `upcase`",
        "config.toml:7:15",
        "7 | #{{ data.id | upcase",
        "  |               ^^^^^^",
    ] {
        assert!(log.contains(part), "{part:?} in\n{log}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_takes_new_rules_and_keeps_the_numbers() {
    let server = server().await;
    let plain = config(&server.url(), "holdline", PLAIN);
    let daemon = start(plain.clone()).await;
    let ruled = format!("{plain}[[notify]]\ntype = \"order\"\n");
    let daemon = blocking(move || {
        daemon.wait_for("connected");
        daemon
    })
    .await;
    push(&server, "order", 2);
    let (daemon, ruled) = blocking(move || {
        let mut client = daemon.client();
        wait_for_status(&mut client, "the first events", |status| status["inbox"]["events"] == 2);
        let now = client.call("status", &json!({})).expect("an answer")["notifications"].take();
        assert_eq!((&now["rules"], &now["failed"]), (&json!(0), &json!(0)));
        daemon.write_config(&ruled);
        let changed = client.call("config.reload", &json!({})).expect("in order");
        assert_eq!(
            (&changed["changed"][0], &changed["reconnect"]),
            (&json!("notify[0].body"), &json!(false))
        );
        (daemon, ruled)
    })
    .await;
    push(&server, "order", 3);
    let daemon = blocking(move || {
        let mut client = daemon.client();
        notifications(&mut client, "those after the reload", |it| it["failed"] == 3);
        daemon.write_config(&format!("{ruled}title = \"{{{{ data.\"\n"));
        let refused = client.call("config.reload", &json!({})).expect_err("not in order");
        let detail = refused["data"]["detail"].as_str().expect("where");
        assert!(detail.contains("notify[0].title") && detail.contains('^'), "{detail}");
        daemon
    })
    .await;
    push(&server, "order", 1);
    blocking(move || {
        notifications(&mut daemon.client(), "one by the rules that stay", |it| it["failed"] == 4);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_is_at_most_burst_and_one_and_every_event_is_stored() {
    const EVENTS: u64 = 3_000;
    let server = server().await;
    let rules = "[notifications]\ncatch_up = \"0s\"\nburst_window = \"1h\"\n[[notify]]\ntype = \"tick\"\n\
                 title = \"{{ data.n }}\"\n";
    let daemon = start(config(&server.url(), "holdline", rules)).await;
    let daemon = blocking(move || {
        daemon.wait_for("connected");
        daemon
    })
    .await;
    push(&server, "tick", EVENTS);
    blocking(move || {
        let mut client = daemon.client();
        let now = notifications(&mut client, "the flood to be counted", |it| {
            it["failed"].as_u64().unwrap_or(0) + it["collapsed"].as_u64().unwrap_or(0) == EVENTS
        });
        assert!(now["failed"].as_u64() <= Some(5), "{now}");
        wait_for_status(&mut client, "the flood to be stored", |status| status["inbox"]["events"] == EVENTS);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_run_for_each_event_of_a_backlog_while_muted_too() {
    const EVENTS: u64 = 60;
    let server = server().await;
    let daemon = blocking(|| Daemon::prepare("")).await;
    let out = daemon.path("out");
    // One command appends one line at a time: short writes to the end of a file are whole.
    let rules = format!("[[notify]]\ntype = \"job\"\nrun = [\"sh\", \"-c\", \"cat >> {}\"]\n", out.display());
    daemon.write_config(&config(&server.url(), "holdline", &rules));
    let mut daemon = daemon;
    let daemon = blocking(move || {
        daemon.restart();
        daemon.wait_for("connected");
        daemon.client().call("notifications.mute", &json!({})).expect("an answer");
        daemon
    })
    .await;
    push(&server, "job", EVENTS);
    blocking(move || {
        let lines = support::until_blocking("every command to have run", || {
            let lines = std::fs::read_to_string(&out).unwrap_or_default();
            (lines.lines().count() == EVENTS as usize).then_some(lines)
        });
        let mut seqs: Vec<u64> = lines
            .lines()
            .map(|line| {
                let event: Value = serde_json::from_str(line).expect("one line of JSON");
                assert_eq!((&event["type"], &event["data"]["n"]), (&json!("job"), &json!(1)));
                event["seq"].as_u64().expect("a number")
            })
            .collect();
        seqs.sort_unstable();
        seqs.dedup();
        assert_eq!(seqs.len(), EVENTS as usize, "each once");
        let now = notifications(&mut daemon.client(), "all to be counted", |it| it["commands"] == EVENTS);
        assert_eq!((&now["commands_failed"], &now["suppressed"]), (&json!(0), &json!(0)), "{now}");
    })
    .await;
}
