//! Classes, lanes, levels, TTL and cursors through the real program.

use holdline::dev_server::Control;
use serde_json::{Value, json};

use crate::support::daemon::Client;
use crate::{SOON, blocking, config, send, server, start, support, wait_for_status};

const TYPES: &str = "[types.\"typing\"]\ndelivery = \"ephemeral\"\n\
                     [types.\"position\"]\ndelivery = \"latest\"\nkey = \"/car\"\n\
                     [types.\"short\"]\nttl = \"300ms\"\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_offline_latest_keeps_the_newest_ephemeral_is_dropped_and_ttl_ends() {
    let server = server().await;
    server.go_down().await;
    let daemon = start(config(&server.url(), "holdline", TYPES)).await;
    let daemon = blocking(move || {
        let mut client = daemon.client();
        let typing = client.call("messages.send", &json!({"type": "typing", "data": {}})).expect("no error");
        assert_eq!((&typing["state"], &typing["durability"]), (&json!("dropped"), &json!("none")));
        let refused = client
            .call("messages.send", &json!({"type": "typing", "data": {}, "wait": "sent"}))
            .expect_err("somebody waits for it");
        assert_eq!(refused["data"]["kind"], "not_connected");
        let mut ids = Vec::new();
        for n in 0..5 {
            ids.push(send(&mut client, "position", &json!({"car": "a", "n": n})));
        }
        send(&mut client, "position", &json!({"car": "b", "n": 9}));
        let no_key =
            client.call("messages.send", &json!({"type": "position", "data": {}})).expect_err("no key");
        assert_eq!(no_key["data"]["kind"], "no_key");
        let short = send(&mut client, "short", &json!({}));
        for (n, id) in ids.iter().enumerate() {
            let message = client.call("messages.get", &json!({"id": id})).expect("kept");
            assert_eq!(message["state"], if n == 4 { "queued" } else { "superseded" }, "{message}");
        }
        support::until_blocking("the TTL to end", || {
            let message = client.call("messages.get", &json!({"id": short})).expect("kept");
            (message["state"] == "expired").then_some(())
        });
        daemon
    })
    .await;
    server.come_back().await.expect("listens again");
    assert!(server.until(SOON, |stats| stats.received >= 2).await.is_ok());
    let daemon = blocking(move || {
        let mut client = daemon.client();
        wait_for_status(&mut client, "an empty queue", |status| {
            status["outbox"]["queued"] == 0 && status["outbox"]["in_flight"] == 0
        });
        daemon
    })
    .await;
    let arrived: Vec<Value> = server.received().iter().map(|message| message.data()["n"].clone()).collect();
    assert_eq!(arrived, [json!(4), json!(9)], "the newest of each key, at the first one's place");
    drop(daemon);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn levels_are_reached_as_far_as_the_dialect_can_tell() {
    let server = server().await;
    let daemon = start(config(&server.url(), "holdline", "")).await;
    blocking(move || {
        daemon.wait_for("connected");
        let mut client = daemon.client();
        for (wait, states) in [
            ("sent", vec!["sent", "received", "accepted"]),
            ("received", vec!["received", "accepted"]),
            ("accepted", vec!["accepted"]),
        ] {
            let receipt = client
                .call("messages.send", &json!({"type": "level", "data": {}, "wait": wait}))
                .expect("reached");
            assert!(states.iter().any(|state| receipt["state"] == *state), "{wait}: {receipt}");
        }
    })
    .await;
    server.stop().await;
    let echo = crate::server().await;
    let daemon = start(config(&echo.url(), "text", "")).await;
    blocking(move || {
        daemon.wait_for("connected");
        let mut client = daemon.client();
        let receipt = client
            .call("messages.send", &json!({"text": "hello", "wait": "received"}))
            .expect("by the barrier");
        assert_eq!(receipt["state"], "received");
        let never = client
            .call("messages.send", &json!({"text": "hello", "wait": "accepted"}))
            .expect_err("raw text has no reply");
        assert_eq!(never["data"]["kind"], "unsupported");
    })
    .await;
    echo.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn withheld_acks_are_answered_by_a_resend_with_the_same_id() {
    let server = server().await;
    server.control(Control::WithholdAcks { times: Some(3) });
    let more = "[outbox]\nconfirm_timeout = \"1s\"\n";
    let daemon = start(config(&server.url(), "holdline", more)).await;
    let id = blocking(move || {
        let mut client = daemon.client();
        let receipt = client
            .call(
                "messages.send",
                &json!({"type": "again", "data": {}, "wait": "accepted", "timeout_ms": 25_000}),
            )
            .expect("accepted in the end");
        assert_eq!(receipt["state"], "accepted");
        receipt["id"].as_str().expect("an id").to_owned()
    })
    .await;
    let received = server.received();
    assert_eq!(received.len(), 1, "one message, whatever the attempts");
    assert_eq!(received[0].id.as_deref(), Some(id.as_str()));
    assert!(received[0].copies >= 2, "{received:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p6_a_closed_app_comes_back_to_its_cursor_and_misses_nothing() {
    let server = server().await;
    let daemon = start(config(&server.url(), "holdline", "")).await;
    let daemon = blocking(move || {
        daemon.wait_for("connected");
        let mut app = daemon.client();
        let subscribed =
            app.call("events.subscribe", &json!({"cursor": "app", "ack": "manual"})).expect("subscribed");
        assert_eq!(subscribed["created"], true);
        daemon
    })
    .await;
    for n in 0..20 {
        server.push("tick", &json!({"n": n}));
    }
    let daemon = blocking(move || {
        let mut app = daemon.client();
        wait_for_status(&mut app, "twenty events", |status| status["inbox"]["events"] == 20);
        app.call("events.subscribe", &json!({"cursor": "app", "ack": "manual"})).expect("subscribed");
        let mut last = json!(0);
        for n in 0..10 {
            let note = support::until_blocking("an event", || {
                let note = app.notification();
                (note["method"] == "event").then_some(note)
            });
            assert_eq!(note["params"]["event"]["data"]["n"], n, "{note}");
            last = note["params"]["event"]["seq"].clone();
        }
        app.call("events.ack", &json!({"cursor": "app", "seq": last})).expect("on disk");
        drop(app);
        let mut daemon = daemon;
        daemon.restart();
        daemon
    })
    .await;
    blocking(move || {
        let mut app = daemon.client();
        let again =
            app.call("events.subscribe", &json!({"cursor": "app", "ack": "manual"})).expect("subscribed");
        assert_eq!(again["created"], false);
        for n in 10..20 {
            let note = support::until_blocking("an event", || {
                let note = app.notification();
                (note["method"] == "event").then_some(note)
            });
            assert_eq!(note["params"]["event"]["data"]["n"], n, "{note}");
            assert_eq!(note["params"]["replay"], true, "{note}");
        }
    })
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_have_arrived_before_a_crash_says_so_when_it_expires() {
    let server = server().await;
    server.control(Control::WithholdAcks { times: None });
    let daemon = start(config(&server.url(), "holdline", "[types.\"order\"]\nttl = \"2s\"\n")).await;
    let (daemon, id) = blocking(move || {
        daemon.wait_for("connected");
        let id = send(&mut daemon.client(), "order", &json!({"n": 1}));
        (daemon, id)
    })
    .await;
    assert!(server.until(SOON, |stats| stats.received == 1).await.is_ok(), "the server has it");
    blocking(move || {
        let mut daemon = daemon;
        // Nothing on disk says that it was sent: that lives in memory until the link ends.
        daemon.kill9();
        // The server is not there any more when its time is over.
        daemon.write_config(&config("ws://127.0.0.1:9", "holdline", ""));
        daemon.restart();
        let mut client = daemon.client();
        let never_sent = send(&mut client, "other", &json!({}));
        let message = support::until_blocking("the TTL to end", || {
            let message = client.call("messages.get", &json!({"id": id})).expect("kept");
            (message["state"] == "expired").then_some(message)
        });
        assert_eq!(message["maybe_delivered"], true, "{message}");
        let other = client.call("messages.get", &json!({"id": never_sent})).expect("kept");
        assert!(other.get("maybe_delivered").is_none(), "{other}");
    })
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_message_that_stops_a_lane_is_there_until_a_person_dealt_with_it() {
    let server = server().await;
    server.control(Control::Reject { times: 1, code: "no".into(), message: String::new() });
    let more = "[outbox]\nkeep_finished = 1\n[lanes.\"strict\"]\non_failure = \"block\"\n";
    let daemon = start(config(&server.url(), "holdline", more)).await;
    blocking(move || {
        let mut daemon = daemon;
        let mut client = daemon.client();
        let strict = |client: &mut Client, n: u64| {
            let params = json!({"type": "pay", "data": {"n": n}, "lane": "strict"});
            client.call("messages.send", &params).expect("a receipt")["id"].clone()
        };
        let rejected = strict(&mut client, 1);
        wait_for_status(&mut client, "the stopped lane", |status| {
            status["health"].to_string().contains("lane_stopped")
        });
        let behind = strict(&mut client, 2);
        for n in 0..20 {
            let params = json!({"type": "other", "data": {"n": n}, "wait": "accepted"});
            client.call("messages.send", &params).expect("accepted");
        }
        drop(client);
        daemon.restart();
        let mut client = daemon.client();
        let message = client.call("messages.get", &json!({"id": rejected})).expect("kept for a person");
        assert_eq!(message["state"], "rejected");
        let waiting = client.call("messages.get", &json!({"id": behind})).expect("kept");
        assert_eq!(waiting["state"], "queued", "the lane waits");
        client.call("messages.drop", &json!({"id": rejected})).expect("given up");
        support::until_blocking("the lane to go on", || {
            let message = client.call("messages.get", &json!({"id": behind})).ok();
            // Accepted, and pruned soon after.
            message.is_none_or(|message| message["state"] == "accepted").then_some(())
        });
    })
    .await;
    server.stop().await;
}
