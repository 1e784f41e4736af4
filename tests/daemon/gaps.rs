//! What is missing is told: live, on reading again, in a list and on the command line, with the
//! numbers and the reason. Epochs, and cursors that change hands.

use holdline::dev_server::{Control, DevServer};
use serde_json::{Value, json};

use crate::support::daemon::{Client, Daemon};
use crate::{blocking, config, server, start, wait_for_status};

/// A note of a subscription in short: an event as `[seq, prev]`, a gap as `[from, to, reason]`.
fn short(note: &Value) -> Option<Value> {
    let params = &note["params"];
    match note["method"].as_str()? {
        "event" => Some(json!([params["event"]["seq"], params["prev"]])),
        "gap" => Some(json!([params["from"], params["to"], params["reason"]])),
        "ended" => Some(json!({"ended": params["reason"]})),
        _ => None,
    }
}

/// The next note that says something.
fn told(client: &mut Client) -> Value {
    loop {
        if let Some(told) = short(&client.notification()) {
            return told;
        }
    }
}

fn told_all(client: &mut Client, count: usize) -> Vec<Value> {
    (0..count).map(|_| told(client)).collect()
}

fn subscribe(daemon: &Daemon, params: &Value) -> (Client, Value) {
    let mut client = daemon.client();
    let begun = client.call("events.subscribe", params).expect("a subscription");
    (client, begun)
}

fn gaps(client: &mut Client) -> Value {
    let page = client.call("events.list", &json!({"from": 1, "limit": 1000})).expect("a page");
    let gaps = page["gaps"].as_array().expect("gaps").iter();
    gaps.map(|it| json!([it["from"], it["to"], it["reason"]])).collect()
}

/// The gaps as `ctl events` tells them: as JSON lines, and as text.
fn printed(daemon: &Daemon) -> (Value, String) {
    let output = daemon.command(&["ctl", "--json", "events", "--from", "1"]).output().expect("ctl runs");
    let lines = String::from_utf8(output.stdout).expect("text");
    let gaps =
        lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")).filter_map(|line| {
            let gap = line.get("gap")?.clone();
            Some(json!([gap["from"], gap["to"], gap["reason"]]))
        });
    let text = daemon.ctl(&["events", "--from", "1"]);
    (gaps.collect(), String::from_utf8(text.stdout).expect("text"))
}

/// Each of these gaps is told in every way there is, now and after a restart.
fn expect_gaps(daemon: &mut Daemon, expected: &Value) {
    for round in ["now", "after a restart"] {
        assert_eq!(gaps(&mut daemon.client()), *expected, "listed, {round}");
        let (lines, text) = printed(daemon);
        assert_eq!(lines, *expected, "ctl events --json, {round}");
        let count = text.lines().filter(|line| line.contains("gap: ")).count();
        assert_eq!(Some(count), expected.as_array().map(Vec::len), "ctl events, {round}: {text}");
        let (mut again, _) = subscribe(daemon, &json!({"from": 1}));
        let mut replayed = Vec::new();
        while replayed.len() < count {
            let note = told(&mut again);
            replayed.extend((note.as_array().map(Vec::len) == Some(3)).then_some(note));
        }
        assert_eq!(json!(replayed), *expected, "replayed, {round}");
        daemon.kill9();
        daemon.restart();
    }
}

fn events(client: &mut Client, count: u64) {
    wait_for_status(client, &format!("{count} events"), |status| status["inbox"]["events"] == count);
}

fn push(server: &DevServer, count: u64) {
    server.control(Control::Push { kind: "tick".into(), data: None, count, ephemeral: false });
}

async fn connected(config: String) -> Daemon {
    let daemon = start(config).await;
    blocking(move || {
        daemon.wait_for("connected");
        daemon
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p7_retention_past_a_live_cursor_is_a_told_gap_and_exact() {
    let server = server().await;
    let daemon = connected(config(&server.url(), "holdline", "[inbox]\nmax_events = 10\n")).await;
    let (daemon, reader) = blocking(move || {
        let params = json!({"cursor": "slow", "ack": "manual", "max_inflight": 2});
        let (reader, begun) = subscribe(&daemon, &params);
        assert_eq!((&begun["from"], &begun["created"]), (&json!(1), &json!(true)));
        (daemon, reader)
    })
    .await;
    push(&server, 2);
    let (daemon, reader) = blocking(move || {
        let mut reader = reader;
        assert_eq!(told_all(&mut reader, 2), [json!([1, 0]), json!([2, 1])]);
        (daemon, reader)
    })
    .await;
    push(&server, 50);
    blocking(move || {
        let (mut daemon, mut reader) = (daemon, reader);
        wait_for_status(&mut daemon.client(), "all of them", |status| {
            status["inbox"]["last_seq"] == 52 && status["inbox"]["events"] == 10
        });
        // It was full; now it goes on, and what was pruned meanwhile is told before the rest.
        let acked = reader.call("events.ack", &json!({"cursor": "slow", "seq": 2})).expect("acknowledged");
        assert_eq!(acked["seq"], 2);
        assert_eq!(told_all(&mut reader, 3), [json!([3, 42, "retention"]), json!([43, 42]), json!([44, 43])]);
        let acked = reader.call("events.ack", &json!({"cursor": "slow", "seq": 52}));
        assert_eq!(acked.expect_err("not told yet")["code"], -32602);
        reader.call("events.ack", &json!({"cursor": "slow", "seq": 44})).expect("acknowledged");
        assert_eq!(told(&mut reader), json!([45, 44]));
        drop(reader);
        // A cursor before what is kept is served all the same.
        let (mut from_two, begun) = subscribe(&daemon, &json!({"cursor": "old", "from": 2}));
        assert_eq!(begun["from"], 2);
        assert_eq!(told_all(&mut from_two, 2), [json!([2, 42, "retention"]), json!([43, 42])]);
        expect_gaps(&mut daemon, &json!([[1, 42, "retention"]]));
    })
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p6_a_server_that_cannot_go_on_where_it_ended_is_one_gap_before_anything_newer() {
    let server = server().await;
    let daemon = connected(config(&server.url(), "holdline", "")).await;
    push(&server, 2);
    let (daemon, live) = blocking(move || {
        events(&mut daemon.client(), 2);
        let (live, _) = subscribe(&daemon, &json!({"from": "now"}));
        (daemon, live)
    })
    .await;
    server.control(Control::Forget {});
    server.control(Control::Cut {});
    let (daemon, mut live) = blocking(move || {
        let mut live = live;
        assert_eq!(told(&mut live), json!([3, 3, "server"]));
        daemon.wait_for("connected");
        (daemon, live)
    })
    .await;
    push(&server, 1);
    let daemon = blocking(move || {
        assert_eq!(told(&mut live), json!([4, 3]));
        (daemon, live)
    })
    .await;
    // One that can go on leaves no gap.
    server.control(Control::Cut {});
    blocking(move || {
        let (mut daemon, live) = daemon;
        wait_for_status(&mut daemon.client(), "the next connection", |status| {
            status["link"]["reconnects"] == 2 && status["link"]["resumed"] == true
        });
        drop(live);
        expect_gaps(&mut daemon, &json!([[3, 3, "server"]]));
    })
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p6_where_the_dialect_does_not_resume_each_reconnect_is_one_gap_over_restarts_too() {
    let server = server().await;
    let daemon = connected(config(&server.url(), "json", "")).await;
    push(&server, 1);
    let (daemon, live) = blocking(move || {
        events(&mut daemon.client(), 1);
        let mut client = daemon.client();
        assert_eq!(gaps(&mut client), json!([]), "nothing is missing before the first connection ever");
        let (live, _) = subscribe(&daemon, &json!({"from": "now"}));
        (daemon, live)
    })
    .await;
    server.control(Control::Cut {});
    let (daemon, live) = blocking(move || {
        let mut live = live;
        assert_eq!(told(&mut live), json!([2, 2, "server"]));
        daemon.wait_for("connected");
        (daemon, live)
    })
    .await;
    push(&server, 1);
    blocking(move || {
        let (mut daemon, mut live) = (daemon, live);
        assert_eq!(told(&mut live), json!([3, 2]));
        drop(live);
        daemon.kill9();
        daemon.restart();
        wait_for_status(&mut daemon.client(), "the gap of the restart", |status| {
            status["inbox"]["last_seq"] == 4
        });
        daemon.wait_for("connected");
        assert_eq!(gaps(&mut daemon.client()), json!([[2, 2, "server"], [4, 4, "server"]]));
    })
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p6_another_server_is_a_fresh_start_with_a_gap_and_has_ids_of_its_own() {
    let (first, second) = (server().await, server().await);
    let daemon = connected(config(&first.url(), "holdline", "")).await;
    push(&first, 2);
    let url = second.url();
    let daemon = blocking(move || {
        let mut client = daemon.client();
        events(&mut client, 2);
        let (mut live, _) = subscribe(&daemon, &json!({"from": "now"}));
        daemon.write_config(&config(&url, "holdline", ""));
        let reloaded = client.call("config.reload", &json!({})).expect("reloaded");
        assert_eq!(reloaded["reconnect"], true, "{reloaded}");
        assert_eq!(told(&mut live), json!([3, 3, "server"]));
        wait_for_status(&mut client, "the other server", |status| {
            status["link"]["state"] == "connected" && status["link"]["url"].to_string().contains(&url[5..])
        });
        daemon
    })
    .await;
    push(&second, 2);
    let daemon = blocking(move || {
        events(&mut daemon.client(), 4);
        daemon
    })
    .await;
    // Known by now, and it goes on where it ended.
    second.control(Control::Cut {});
    let daemon = blocking(move || {
        wait_for_status(&mut daemon.client(), "the next connection", |status| {
            status["link"]["resumed"] == true && status["link"]["reconnects"].as_u64() >= Some(2)
        });
        daemon
    })
    .await;
    // Back at the first one, which has kept what came meanwhile; over a restart this time.
    push(&first, 1);
    let url = first.url();
    let daemon = blocking(move || {
        let mut daemon = daemon;
        daemon.write_config(&config(&url, "holdline", ""));
        daemon.restart();
        events(&mut daemon.client(), 5);
        daemon.wait_for("connected");
        assert_eq!(gaps(&mut daemon.client()), json!([[3, 3, "server"]]));
        // The same server in another dialect is another one.
        daemon.write_config(&config(&url, "json", ""));
        daemon.restart();
        wait_for_status(&mut daemon.client(), "the gap", |status| status["inbox"]["last_seq"] == 7);
        assert_eq!(gaps(&mut daemon.client()), json!([[3, 3, "server"], [7, 7, "server"]]));
        daemon
    })
    .await;
    drop(daemon);
    first.stop().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p14_a_row_that_is_not_what_was_written_is_a_told_gap_and_the_others_are_not_touched() {
    let server = server().await;
    let daemon = connected(config(&server.url(), "holdline", "")).await;
    push(&server, 5);
    blocking(move || {
        let mut daemon = daemon;
        events(&mut daemon.client(), 5);
        // After a restart nothing is in memory; the damage comes while it runs.
        daemon.restart();
        daemon.wait_for("connected");
        let disk = rusqlite::Connection::open(daemon.database_path()).expect("the database");
        let changed = disk.execute("UPDATE inbox SET body = x'7b7d' WHERE seq = 3", []).expect("changed");
        assert_eq!(changed, 1);
        drop(disk);
        let (mut reader, _) = subscribe(&daemon, &json!({"from": 1}));
        assert_eq!(
            told_all(&mut reader, 5),
            [json!([1, 0]), json!([2, 1]), json!([3, 3, "corruption"]), json!([4, 3]), json!([5, 4])]
        );
        let (mut filtered, _) = subscribe(&daemon, &json!({"from": 1, "types": ["nothing_like_it"]}));
        assert_eq!(told(&mut filtered), json!([3, 3, "corruption"]), "its type is not to be trusted either");
        expect_gaps(&mut daemon, &json!([[3, 3, "corruption"]]));
    })
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_of_another_database_are_refused_by_their_epoch() {
    let server = server().await;
    let daemon = connected(config(&server.url(), "holdline", "")).await;
    push(&server, 5);
    let (daemon, old) = blocking(move || {
        let mut daemon = daemon;
        let mut client = daemon.client();
        events(&mut client, 5);
        let begun =
            client.call("events.subscribe", &json!({"cursor": "app", "ack": "manual"})).expect("begun");
        let old = begun["epoch"].clone();
        client.call("events.list", &json!({"from": 1, "epoch": old})).expect("it is this one");
        assert_eq!(told_all(&mut client, 5).len(), 5);
        client.call("events.ack", &json!({"cursor": "app", "seq": 5, "epoch": old})).expect("it is this one");
        assert!(daemon.stop().success());
        for suffix in ["", "-wal", "-shm"] {
            let path = format!("{}{suffix}", daemon.database_path().display());
            // A clean end leaves only the first.
            let _ = std::fs::remove_file(path);
        }
        daemon.restart();
        daemon.wait_for("connected");
        (daemon, old)
    })
    .await;
    push(&server, 1);
    blocking(move || {
        let mut client = daemon.client();
        wait_for_status(&mut client, "the new event", |status| status["inbox"]["events"].as_u64() >= Some(1));
        let new = client.call("hello", &json!({"client": {"name": "app"}})).expect("hello")["epoch"].clone();
        assert_ne!(new, old);
        for (method, mut params) in [
            ("events.list", json!({"from": 3})),
            ("events.subscribe", json!({"from": 3})),
            ("events.subscribe", json!({"cursor": "app"})),
            ("events.ack", json!({"cursor": "app", "seq": 1})),
        ] {
            params["epoch"] = old.clone();
            let refused = client.call(method, &params).expect_err("another database");
            assert_eq!(refused["data"]["kind"], "wrong_epoch", "{method}: {refused}");
            assert_eq!(refused["data"]["epoch"], new, "which one it is: {refused}");
            assert!(refused["data"]["hint"].is_string(), "what to do: {refused}");
        }
        let cursors = client.call("cursors.list", &json!({})).expect("a list");
        assert_eq!(cursors["cursors"], json!([]), "a refused call makes no cursor");
        // Without an epoch a name is only a name: it begins at the earliest of what there is.
        let begun = client.call("events.subscribe", &json!({"cursor": "app"})).expect("begun");
        assert_eq!((&begun["created"], &begun["epoch"]), (&json!(true), &new));
        assert_eq!(told(&mut client)[0], begun["from"]);
    })
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_that_is_taken_over_goes_on_from_what_is_acknowledged_and_loses_nothing() {
    let server = server().await;
    let daemon = connected(config(&server.url(), "holdline", "")).await;
    push(&server, 5);
    let (daemon, older, newer) = blocking(move || {
        events(&mut daemon.client(), 5);
        let params = json!({"cursor": "app", "ack": "manual"});
        let (mut older, _) = subscribe(&daemon, &params);
        assert_eq!(told_all(&mut older, 5)[4], json!([5, 4]));
        // Not answered yet when the other comes: it counts all the same.
        older.write_line(r#"{"jsonrpc":"2.0","method":"events.ack","params":{"cursor":"app","seq":2}}"#);
        let barrier = older.call("status", &json!({})).expect("the line before was read");
        assert_eq!(barrier["cursors"][0]["connected"], true, "{barrier}");
        let (mut newer, begun) = subscribe(&daemon, &params);
        assert_eq!(
            (&begun["from"], &begun["created"]),
            (&json!(3), &json!(false)),
            "behind what is acknowledged"
        );
        assert_eq!(told(&mut older), json!({"ended": "taken_over"}));
        assert_eq!(told_all(&mut newer, 3), [json!([3, 2]), json!([4, 3]), json!([5, 4])]);
        (daemon, older, newer)
    })
    .await;
    push(&server, 1);
    blocking(move || {
        let (mut older, mut newer) = (older, newer);
        assert_eq!(told(&mut newer), json!([6, 5]), "the newer one reads on");
        // Whoever lost the cursor may still say what it had done; it moves nothing back.
        let late = older.call("events.ack", &json!({"cursor": "app", "seq": 4})).expect("it was told so far");
        assert_eq!(late["seq"], 4);
        newer.call("events.ack", &json!({"cursor": "app", "seq": 5})).expect("acknowledged");
        let back = older.call("events.ack", &json!({"cursor": "app", "seq": 1})).expect("no harm");
        assert_eq!(back["seq"], 5, "never back");
        let beyond =
            older.call("events.ack", &json!({"cursor": "app", "seq": 7})).expect_err("nobody was told");
        assert_eq!(beyond["code"], -32602);
        // Twice on one connection, and from there to another again.
        let params = json!({"cursor": "app", "ack": "manual"});
        let again = newer.call("events.subscribe", &params).expect("begun");
        assert_eq!(again["from"], 6);
        let notes = [told(&mut newer), told(&mut newer)];
        assert!(
            notes.contains(&json!({"ended": "taken_over"})) && notes.contains(&json!([6, 5])),
            "{notes:?}"
        );
        drop(newer);
        let (mut last, begun) = subscribe(&daemon, &params);
        assert_eq!(begun["from"], 6, "nothing was acknowledged");
        assert_eq!(told(&mut last), json!([6, 5]));
    })
    .await;
    server.stop().await;
}
