//! What bad servers and bad addresses get: each a reason of its own, a hint where there is
//! something to do, and the message that waited goes out once the fault is over.

use holdline::dev_server::{Control, DevServer, Garbage};
use serde_json::{Value, json};

use crate::support::daemon::{Client, Daemon};
use crate::{SOON, blocking, config, send, server, start, wait_for_status};

/// One fault of the upgrade: its status, and what people see.
const UPGRADES: [(u16, &str, &str); 8] = [
    (301, "misconfigured", "redirect_refused"),
    (401, "unauthorized", "auth_refused"),
    (403, "unauthorized", "auth_refused"),
    (404, "misconfigured", "handshake_rejected"),
    (426, "misconfigured", "handshake_rejected"),
    (429, "unavailable", "server_busy"),
    (500, "reconnecting", "handshake_rejected"),
    (503, "unavailable", "server_busy"),
];

fn expect_reason(client: &mut Client, state: &str, kind: &str) -> Value {
    let status = wait_for_status(client, &format!("{state} with {kind}"), |status| {
        status["link"]["state"] == state && status["link"]["reason"]["kind"] == kind
    });
    let reason = &status["link"]["reason"];
    assert!(reason["text"].as_str().is_some_and(|text| text.len() > 10), "a sentence: {reason}");
    status
}

/// The link recovers and the message that waited arrives.
async fn arrives(server: &DevServer, client: Client, id: String) -> Client {
    let client = blocking(move || {
        let mut client = client;
        client.call("link.reconnect", &json!({})).expect("dials");
        client
    })
    .await;
    let arrived = server.until(SOON, |stats| stats.received >= 1).await;
    assert!(arrived.is_ok(), "the message that waited did not arrive: {arrived:?}");
    assert!(server.received().iter().any(|message| message.id.as_deref() == Some(id.as_str())));
    client
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_refused_upgrade_has_its_reason_and_loses_nothing() {
    for (status, state, kind) in UPGRADES {
        let server = server().await;
        server.control(Control::RefuseUpgrade { status, retry_after: None, times: 1_000 });
        let daemon = start(config(&server.url(), "json", "")).await;
        let (client, id) = blocking(move || {
            let mut client = daemon.client();
            let id = send(&mut client, "waiting", &json!({"status": status}));
            let seen = expect_reason(&mut client, state, kind);
            assert_eq!(seen["link"]["last_http_status"], status, "{seen}");
            if status != 500 {
                assert!(seen["link"]["reason"]["hint"].is_string(), "what to do: {seen}");
            }
            ((client, daemon), id)
        })
        .await;
        server.control(Control::Clear {});
        let (client, _daemon) = client;
        arrives(&server, client, id).await;
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_429_with_retry_after_is_not_dialled_before_its_time() {
    let server = server().await;
    server.control(Control::RefuseUpgrade { status: 429, retry_after: Some(3600), times: 1_000 });
    let daemon = start(config(&server.url(), "json", "")).await;
    blocking(move || {
        let mut client = daemon.client();
        let seen = expect_reason(&mut client, "unavailable", "server_busy");
        let at = |value: &Value| {
            holdline::model::Timestamp::parse(value.as_str().expect("a time")).expect("RFC 3339")
        };
        let wait = at(&seen["link"]["next_retry_at"]).since(at(&seen["link"]["since"]));
        assert!(wait.as_secs() >= 3595, "the server asked for an hour: {seen}");
    })
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_that_lead_nowhere_have_their_reasons() {
    // Nobody listens on the first; the second speaks no TLS; the third does not exist.
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback").local_addr().expect("bound");
    let plain = server().await;
    let plain_tls = plain.url().replace("ws://", "wss://");
    let cases = [
        (format!("ws://{free}/"), vec![("reconnecting", "connection_refused")]),
        (plain_tls, vec![("reconnecting", "tls_failed")]),
        (
            "wss://nobody.invalid/".to_owned(),
            // Without any resolver the name cannot even be looked up.
            vec![("unavailable", "name_not_found"), ("reconnecting", "name_lookup_failed")],
        ),
    ];
    for (url, expected) in cases {
        let daemon = start(format!("[server]\nurl = \"{url}\"\n")).await;
        blocking(move || {
            let mut client = daemon.client();
            let seen = wait_for_status(&mut client, &format!("{expected:?} for {url}"), |status| {
                expected.iter().any(|(state, kind)| {
                    status["link"]["state"] == *state && status["link"]["reason"]["kind"] == *kind
                })
            });
            assert!(seen["link"]["reason"]["hint"].is_string(), "what to do: {seen}");
            assert!(seen["link"]["next_retry_at"].is_string(), "it goes on trying: {seen}");
        })
        .await;
    }
    plain.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_sign_in_waits_for_another_token_and_picks_it_up_by_itself() {
    let server = server().await;
    server.control(Control::Token { token: Some("right".into()) });
    let (daemon, client, id) = {
        let url = server.url();
        blocking(move || {
            let mut daemon = Daemon::prepare("");
            let token = daemon.write_private("token", "wrong\n");
            daemon.write_config(&config(
                &url,
                "json",
                &format!("[auth]\ntoken_file = \"{}\"\n", token.display()),
            ));
            daemon.restart();
            let mut client = daemon.client();
            let id = send(&mut client, "waiting", &json!({"n": 1}));
            let seen = expect_reason(&mut client, "unauthorized", "auth_refused");
            assert!(seen["link"]["reason"]["hint"].is_string(), "what to do: {seen}");
            assert_eq!(seen["outbox"]["queued"], 1);
            daemon.write_private("token", "right\n");
            (daemon, client, id)
        })
        .await
    };
    let arrived = server.until(SOON, |stats| stats.received >= 1).await;
    assert!(arrived.is_ok(), "a changed token is picked up at once: {arrived:?}");
    assert_eq!(server.received()[0].id.as_deref(), Some(id.as_str()));
    drop((daemon, client));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_token_is_not_fatal() {
    let server = server().await;
    let daemon = start(config(&server.url(), "json", "[auth]\ntoken_file = \"nowhere\"\n")).await;
    blocking(move || {
        let mut client = daemon.client();
        send(&mut client, "waiting", &json!({}));
        let seen = expect_reason(&mut client, "unauthorized", "no_credential");
        assert!(seen["link"]["reason"]["hint"].is_string(), "what to do: {seen}");
    })
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_frames_are_kept_for_people_and_the_session_goes_on() {
    let server = server().await;
    let daemon = start(config(&server.url(), "holdline", "")).await;
    let daemon = blocking(move || {
        daemon.wait_for("connected");
        daemon
    })
    .await;
    server.control(Control::Garbage { what: Garbage::Json });
    server.control(Control::Garbage { what: Garbage::Deep });
    server.control(Control::Garbage { what: Garbage::UnknownType });
    server.push("after", &json!({"n": 1}));
    blocking(move || {
        let mut client = daemon.client();
        let status = wait_for_status(&mut client, "the event behind the garbage", |status| {
            status["inbox"]["last_event_type"] == "after"
        });
        assert_eq!(status["link"]["state"], "connected", "{status}");
        assert_eq!(status["link"]["reconnects"], 0, "{status}");
        assert_eq!(status["inbox"]["quarantined"], 2, "{status}");
        let list = client.call("quarantine.list", &json!({})).expect("a list");
        let reasons: Vec<_> =
            list["entries"].as_array().expect("entries").iter().map(|it| it["reason"].clone()).collect();
        assert_eq!(reasons, ["invalid_json", "too_deep"]);
        let events = client.call("events.list", &json!({"from": "earliest"})).expect("a page");
        assert_eq!(events["gaps"].as_array().map(Vec::len), Some(2), "each is a told gap: {events}");
    })
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_breaks_the_protocol_is_named_and_dialled_again() {
    for (what, kind) in [(Garbage::Utf8, "invalid_utf8"), (Garbage::Opcode, "protocol_error")] {
        let server = server().await;
        let daemon = start(config(&server.url(), "json", "")).await;
        let daemon = blocking(move || {
            daemon.wait_for("connected");
            daemon
        })
        .await;
        server.control(Control::Garbage { what });
        blocking(move || {
            let history = crate::support::until_blocking(&format!("{kind} in the history"), || {
                let history = daemon.client().call("link.history", &json!({})).expect("a history");
                history.to_string().contains(kind).then_some(history)
            });
            assert!(history.to_string().contains("Connection lost: "), "{history}");
            daemon.wait_for("connected");
        })
        .await;
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_over_long_message_ends_the_connection_with_its_own_reason() {
    let server = server().await;
    let url = server.url();
    let daemon = start(format!("[server]\nurl = \"{url}\"\nmax_message = \"2 KiB\"\n")).await;
    let daemon = blocking(move || {
        daemon.wait_for("connected");
        daemon
    })
    .await;
    server.push("large", &json!({"pad": "x".repeat(4096)}));
    blocking(move || {
        let mut client = daemon.client();
        let seen = wait_for_status(&mut client, "message_too_large", |status| {
            status["link"]["reason"]["kind"] == "message_too_large"
        });
        assert!(
            seen["link"]["reason"]["hint"].as_str().is_some_and(|hint| hint.contains("max_message")),
            "{seen}"
        );
        let refused = client.call("messages.send", &json!({"type": "t", "data": "y".repeat(4096)}));
        assert_eq!(refused.expect_err("too large")["data"]["kind"], "too_large");
    })
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rejected_message_is_kept_and_listed_with_the_servers_words() {
    let server = server().await;
    server.control(Control::Reject { times: 1, code: "nope".into(), message: "not today".into() });
    let daemon = start(config(&server.url(), "holdline", "")).await;
    blocking(move || {
        let mut client = daemon.client();
        let ended = client
            .call(
                "messages.send",
                &json!({"type": "order", "data": {}, "wait": "accepted", "timeout_ms": 20_000}),
            )
            .expect_err("rejected");
        assert_eq!(ended["data"]["kind"], "ended");
        assert_eq!(ended["data"]["state"], "rejected");
        let id = ended["data"]["id"].clone();
        let message = client.call("messages.get", &json!({"id": id})).expect("kept");
        assert!(message["reason"].as_str().is_some_and(|why| why.contains("not today")), "{message}");
        let again = client.call("messages.retry", &json!({"id": id})).expect("queued again");
        assert_eq!(again["id"], id);
        crate::support::until_blocking("the second try to be accepted", || {
            let message = client.call("messages.get", &json!({"id": id})).expect("kept");
            (message["state"] == "accepted").then_some(())
        });
    })
    .await;
    server.stop().await;
}
