//! Requests through the real program: the server's reply, or the reason why there is none.

use std::process::Output;
use std::sync::Arc;

use holdline::dev_server::{Control, DevServer};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::support::daemon::{Client, Daemon};
use crate::support::server::ScriptedServer;
use crate::{SOON, blocking, config, server, start, support, wait_for_status};

/// What `ctl` said, as a person reads it.
fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// The kind and the rest of an error of the interface.
fn refusal(outcome: Result<Value, Value>) -> (String, Value) {
    let error = outcome.expect_err("refused");
    (error["data"]["kind"].as_str().unwrap_or_default().to_owned(), error["data"].clone())
}

/// Runs `work` with a daemon that is connected, and gives the daemon back.
async fn with(daemon: Daemon, work: impl FnOnce(&Daemon, &mut Client) + Send + 'static) -> Daemon {
    blocking(move || {
        daemon.wait_for("connected");
        let mut client = daemon.client();
        work(&daemon, &mut client);
        daemon
    })
    .await
}

/// Writes a request and does not wait for its answer.
fn ask(client: &mut Client, id: usize, kind: &str) {
    let params = json!({"type": kind, "data": {"n": id}, "timeout_ms": 600_000});
    let request = json!({"jsonrpc": "2.0", "id": id, "method": "messages.request", "params": params});
    client.write_line(&request.to_string());
}

async fn received(server: &DevServer, count: u64) {
    assert!(server.until(SOON, |stats| stats.received >= count).await.is_ok(), "{count} arrive");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_servers_reply_comes_back_and_nothing_is_stored() {
    let server = server().await;
    let daemon = start(config(&server.url(), "holdline", "")).await;
    let daemon = with(daemon, |daemon, client| {
        let asked =
            client.call("messages.request", &json!({"type": "dev.echo", "data": {"n": 7, "of": "it"}}));
        assert_eq!(asked.expect("a reply")["reply"], json!({"n": 7, "of": "it"}));
        let (code, out, err) = said(&daemon.ctl(&["request", "dev.echo", r#"{"order":"9123"}"#]));
        assert_eq!((code, out.as_str(), err.as_str()), (Some(0), "{\"order\":\"9123\"}\n", ""));
        let document = daemon.ctl_json(&["request", "dev.echo", "[1,2]"]);
        assert_eq!(document["reply"], json!([1, 2]));
        assert!(document["id"].as_str().is_some_and(|id| id.len() == 36), "{document}");
        let plain = daemon.ctl_json(&["request", "note"]);
        assert_eq!(plain["reply"], Value::Null, "an ack of all up to a number has no body");
        let (code, out, err) = said(&daemon.ctl(&["request", "note"]));
        assert_eq!((code, out.as_str()), (Some(0), ""));
        assert!(err.contains("its reply says nothing more"), "{err}");

        let listed = client.call("messages.list", &json!({})).expect("a list");
        assert_eq!(listed["messages"], json!([]), "a request is no message");
        let events = client.call("events.list", &json!({"from": "earliest"})).expect("events");
        assert_eq!(events["events"], json!([]), "and its reply no event");
        let status = client.call("status", &json!({})).expect("an answer");
        assert_eq!((&status["outbox"]["queued"], &status["outbox"]["in_flight"]), (&json!(0), &json!(0)));
    })
    .await;
    drop(daemon);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_server_refuses_ends_with_9_and_its_own_words() {
    let server = server().await;
    let daemon = start(config(&server.url(), "json", "")).await;
    let reject =
        || Control::Reject { times: 1, code: "too_late".into(), message: "the shop is closed".into() };
    server.control(reject());
    let daemon = with(daemon, |daemon, _| {
        let (code, out, err) = said(&daemon.ctl(&["request", "place_order", "{}"]));
        assert_eq!((code, out.as_str()), (Some(9), ""));
        assert!(err.contains("the server refused the request: too_late: the shop is closed"), "{err}");
        assert!(err.contains(r#""message":"the shop is closed""#), "its body too: {err}");
    })
    .await;
    server.control(reject());
    let daemon = with(daemon, |_, client| {
        let (kind, data) =
            refusal(client.call("messages.request", &json!({"type": "x", "data": {}, "id": "mine"})));
        assert_eq!(kind, "ended");
        assert_eq!(
            (&data["state"], &data["code"], &data["reason"], &data["id"]),
            (&json!("rejected"), &json!("too_late"), &json!("the shop is closed"), &json!("mine"))
        );
        let events = client.call("events.list", &json!({"from": "earliest"})).expect("events");
        assert_eq!(events["events"], json!([]), "a refused request is no event");
    })
    .await;
    drop(daemon);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_link_a_request_is_refused_at_once_and_never_sent_later() {
    let server = server().await;
    server.go_down().await;
    let daemon = start(config(&server.url(), "json", "")).await;
    let daemon = blocking(move || {
        let (code, _, err) = said(&daemon.ctl(&["request", "ask", "{}"]));
        assert_eq!(code, Some(9), "{err}");
        assert!(err.contains("there is no link to the server"), "{err}");
        daemon
    })
    .await;
    server.come_back().await.expect("listens again");
    let daemon = with(daemon, |_, client| {
        crate::send(client, "behind", &json!({}));
    })
    .await;
    received(&server, 1).await;
    assert_eq!(server.received().iter().map(|message| message.kind.clone()).collect::<Vec<_>>(), ["behind"]);
    drop(daemon);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_dies_before_the_reply_leaves_the_request_uncertain() {
    let server = server().await;
    let daemon = start(config(&server.url(), "holdline", "")).await;
    blocking({
        let socket = daemon.socket_path();
        move || {
            let mut client = Client::connect(&socket);
            wait_for_status(&mut client, "a link", |status| status["link"]["state"] == "connected");
        }
    })
    .await;
    server.control(Control::WithholdAcks { times: None });
    let mut client = daemon.client();
    let asked = tokio::task::spawn_blocking(move || {
        client.call("messages.request", &json!({"type": "ask", "data": {}}))
    });
    received(&server, 1).await;
    server.control(Control::Cut {});
    assert_eq!(refusal(asked.await.expect("no panic")).0, "uncertain");
    server.control(Control::Clear {});
    let daemon = with(daemon, |daemon, _| {
        assert_eq!(daemon.ctl_json(&["request", "dev.echo", "3"])["reply"], 3);
    })
    .await;
    let asks =
        server.received().iter().filter(|message| message.kind == "ask").map(|it| it.copies).sum::<u64>();
    assert_eq!(asks, 1, "one attempt, also when the link is back");
    drop(daemon);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_in_vain_ends_with_5_and_a_late_one_disturbs_nobody() {
    let server = server().await;
    let daemon = start(config(&server.url(), "json", "")).await;
    server.control(Control::DelayAcks { ms: 700 });
    let daemon = with(daemon, |daemon, client| {
        let (code, _, err) = said(&daemon.ctl(&["request", "slow", "{}", "--timeout", "50ms"]));
        assert_eq!(code, Some(5), "{err}");
        assert!(err.contains("did not reply within 50 ms"), "{err}");
        // The next one's reply comes behind the late one.
        let next = client.call("messages.request", &json!({"type": "dev.echo", "data": "next"}));
        assert_eq!(next.expect("its own reply")["reply"], "next");
        let metrics = client.call("metrics", &json!({})).expect("metrics");
        assert!(metrics["text"].to_string().contains("holdline_request_replies_late_total 1"), "{metrics}");
        let events = client.call("events.list", &json!({"from": "earliest"})).expect("events");
        assert_eq!(events["events"], json!([]));
    })
    .await;
    drop(daemon);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_many_as_there_may_be_are_asked_at_a_time_and_a_caller_that_goes_makes_room() {
    const MOST: usize = holdline::session::MOST_REQUESTS;
    let server = server().await;
    let daemon = start(config(&server.url(), "holdline", "")).await;
    let daemon = with(daemon, |_, _| {}).await;
    server.control(Control::WithholdAcks { times: None });
    let mut greedy = daemon.client();
    let (daemon, greedy) = blocking(move || {
        (0..MOST).for_each(|n| ask(&mut greedy, n, "ask"));
        (daemon, greedy)
    })
    .await;
    received(&server, MOST as u64).await;
    server.control(Control::Clear {});
    let daemon = with(daemon, move |daemon, client| {
        let (kind, _) = refusal(client.call("messages.request", &json!({"type": "dev.echo", "data": 1})));
        assert_eq!(kind, "busy");
        assert_eq!(daemon.ctl(&["request", "dev.echo"]).status.code(), Some(1));
        drop(greedy);
        support::until_blocking("room for another", || {
            client.call("messages.request", &json!({"type": "dev.echo", "data": 2})).ok()
        });
    })
    .await;
    drop(daemon);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_a_request_is_told_before_anything_goes_out() {
    let server = server().await;
    let small = "max_message = \"4 KiB\"\n";
    let written = config(&server.url(), "json", "").replace("[reconnect]", &format!("{small}[reconnect]"));
    let daemon = start(written).await;
    let daemon = with(daemon, |daemon, client| {
        let mut kind = |params: Value| refusal(client.call("messages.request", &params)).0;
        assert_eq!(kind(json!({"type": "auth", "data": {}})), "invalid_params", "reserved");
        assert_eq!(kind(json!({"type": "t", "data": {"messageId": 1}})), "invalid_params", "clashes");
        assert_eq!(kind(json!({"type": "t", "data": "x".repeat(5000)})), "too_large");
        assert_eq!(kind(json!({"text": "no JSON"})), "unsupported");
        assert_eq!(kind(json!({"type": "t"})), "invalid_params", "no body");
        for (name, value) in [
            ("wait", json!("sent")),
            ("ttl_ms", json!(1)),
            ("key", json!("k")),
            ("lane", json!("l")),
            ("delivery", json!("latest")),
        ] {
            let mut params = json!({"type": "t", "data": {}});
            params[name] = value;
            let error = client.call("messages.request", &params).expect_err("it is never queued");
            assert_eq!(error["code"], -32602);
            assert!(error["message"].to_string().contains(&format!("unknown field `{name}`")), "{error}");
        }
        let code = |arguments: &[&str]| daemon.ctl(arguments).status.code();
        assert_eq!(code(&["request", "auth", "{}"]), Some(2));
        assert_eq!(code(&["request", "t", "no JSON"]), Some(2));
        assert_eq!(code(&["request", "t", &format!("\"{}\"", "x".repeat(5000))]), Some(7));
    })
    .await;
    assert_eq!(server.stats().received, 0);
    drop(daemon);
    server.stop().await;
}

#[test]
fn a_dialect_whose_replies_name_nothing_refuses_requests_with_or_without_a_link() {
    let daemon = Daemon::start("[server]\nurl = \"ws://127.0.0.1:9/\"\ndialect = \"text\"\n");
    let (kind, data) = refusal(daemon.client().call("messages.request", &json!({"text": "hello"})));
    assert_eq!(kind, "unsupported");
    assert!(data["hint"].to_string().contains("send it as a message"), "{data}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dialect_of_a_file_says_what_the_reply_is() {
    let server = ScriptedServer::builder()
        .reply(|_, message| {
            let Message::Text(text) = message else { return Vec::new() };
            let said: Value = serde_json::from_str(text).unwrap_or_default();
            let text = |value: Value| Message::text(value.to_string());
            match (said["type"].as_str(), said["payload"]["query"].as_str()) {
                (Some("connection_init"), _) => vec![text(json!({"type": "connection_ack"}))],
                (Some("subscribe"), Some("mutation{nope}")) => vec![text(
                    json!({"id": said["id"], "type": "error", "payload": [{"message": "no field nope"}]}),
                )],
                (Some("subscribe"), Some(_)) => vec![
                    text(json!({"id": said["id"], "type": "next", "payload": {"data": {"say": "hi"}}})),
                    text(json!({"id": said["id"], "type": "complete"})),
                ],
                _ => Vec::new(),
            }
        })
        .start()
        .await;
    let dialect = concat!(env!("CARGO_MANIFEST_DIR"), "/src/dialect/builtin/graphql-ws.toml");
    let url = server.url();
    let daemon = blocking(move || {
        let mut daemon = Daemon::prepare("");
        let token = daemon.write_private("token", "sesame");
        let auth = format!("[auth]\ntoken_file = \"{}\"", token.display());
        daemon.write_config(&config(&url, dialect, &auth));
        daemon.restart();
        daemon
    })
    .await;
    // Whoever accepts a connection keeps it open.
    let server = Arc::new(server);
    let held = tokio::spawn({
        let server = Arc::clone(&server);
        async move { server.accept().await }
    });
    let daemon = with(daemon, |daemon, _| {
        let asked = daemon.ctl_json(&["request", "mutation", r#"{"query":"mutation{say}"}"#]);
        assert_eq!(asked["reply"], json!({"say": "hi"}), "what `received` brought; `complete` is empty");
        let (code, _, err) = said(&daemon.ctl(&["request", "mutation", r#"{"query":"mutation{nope}"}"#]));
        assert_eq!(code, Some(9));
        assert!(err.contains("the server refused the request: rejected: no field nope"), "{err}");
    })
    .await;
    drop(daemon);
    drop(held);
}
