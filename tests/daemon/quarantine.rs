//! What the server sends and cannot be used: kept for people, told as a gap, acknowledged, and made
//! events of once it fits.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::support::daemon::{Client, Daemon};
use crate::support::server::ScriptedServer;
use crate::{blocking, config, start, wait_for_status};

const STATUS: &str =
    r#"{"type":"object","required":["status"],"properties":{"status":{"enum":["ready","gone"]}}}"#;
const LOOSE: &str = r#"{"type":"object"}"#;
const TYPES: &str = "[types.\"order_*\"]\nkey = \"/order\"\nschema = \"order.json\"\n";

/// A server of the dialect `holdline` that sends what it is told to.
async fn scripted() -> ScriptedServer {
    ScriptedServer::builder()
        .reply(|_, message| {
            let asks = message.to_text().is_ok_and(|text| text.contains("\"resume\""));
            asks.then(|| Message::text(r#"{"type":"resumed","from":null}"#)).into_iter().collect()
        })
        .start()
        .await
}

fn event(id: &str, kind: &str, data: &Value) -> String {
    json!({"type": kind, "eventId": id, "data": data}).to_string()
}

/// Waits until the server has seen these acknowledgements, in order.
async fn acknowledged(server: &ScriptedServer, ids: &[&str]) {
    let wanted: Vec<String> =
        ids.iter().map(|id| json!({"type": "ack", "eventId": id}).to_string()).collect();
    server
        .received(&format!("acks of {ids:?}"), |frames| {
            let acks: Vec<String> = frames
                .iter()
                .filter_map(|(_, message)| message.to_text().ok())
                .filter(|text| text.contains("\"ack\""))
                .map(|text| serde_json::from_str::<Value>(text).expect("JSON").to_string())
                .collect();
            let wanted: Vec<String> = wanted
                .iter()
                .map(|text| serde_json::from_str::<Value>(text).expect("JSON").to_string())
                .collect();
            (acks == wanted).then_some(())
        })
        .await;
}

fn prepare(url: &str, schema: &str, more: &str) -> Daemon {
    let daemon = Daemon::prepare(&config(url, "holdline", more));
    daemon.write_private("config/holdline/order.json", schema);
    daemon
}

fn subscribe(daemon: &Daemon) -> Client {
    let mut client = daemon.client();
    client.call("events.subscribe", &json!({"from": "earliest"})).expect("a subscription");
    client
}

/// What a subscription is told next, in short, `caught_up` passed over.
fn told(client: &mut Client) -> Value {
    loop {
        let note = client.notification();
        let params = &note["params"];
        match note["method"].as_str() {
            Some("event") => return json!([params["event"]["seq"], params["event"]["id"], params["prev"]]),
            Some("gap") => return json!([params["from"], params["to"], params["reason"]]),
            _ => {}
        }
    }
}

fn entries(client: &mut Client) -> Vec<Value> {
    client.call("quarantine.list", &json!({})).expect("a list")["entries"]
        .as_array()
        .expect("entries")
        .clone()
}

/// Events and gaps of the whole sequence, in short.
fn sequence(client: &mut Client) -> (Value, Value) {
    let page = client.call("events.list", &json!({"from": "earliest", "limit": 1000})).expect("a page");
    let seqs: Vec<Value> =
        page["events"].as_array().expect("events").iter().map(|it| it["seq"].clone()).collect();
    let gaps: Vec<Value> = page["gaps"]
        .as_array()
        .expect("gaps")
        .iter()
        .map(|it| json!([it["from"], it["to"], it["reason"]]))
        .collect();
    (json!(seqs), json!(gaps))
}

fn text(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_fit_its_schema_is_told_as_a_gap_and_becomes_an_event_once_it_fits() {
    let server = scripted().await;
    let url = server.url();
    let (daemon, mut live) = blocking(move || {
        let mut daemon = prepare(&url, STATUS, TYPES);
        daemon.restart();
        daemon.wait_for("connected");
        let live = subscribe(&daemon);
        (daemon, live)
    })
    .await;
    let peer = server.accept().await;
    // One after the other: of those that come to disk together only the last need be acknowledged.
    peer.send(&event("e1", "order_status", &json!({"order": 7, "status": "ready"})));
    acknowledged(&server, &["e1"]).await;
    peer.send(&event("e2", "order_status", &json!({"order": 7, "status": "SECRET"})));
    acknowledged(&server, &["e1", "e2"]).await;
    peer.send(&event("e3", "other", &json!({"status": "SECRET"})));
    acknowledged(&server, &["e1", "e2", "e3"]).await;
    // Once more: it is there already, and the server hears the same.
    peer.send(&event("e2", "order_status", &json!({"order": 7, "status": "SECRET"})));
    acknowledged(&server, &["e1", "e2", "e3", "e2"]).await;
    let (daemon, live) = blocking(move || {
        assert_eq!(told(&mut live), json!([1, "e1", 0]));
        assert_eq!(told(&mut live), json!([2, 2, "quarantine"]));
        assert_eq!(told(&mut live), json!([3, "e3", 2]));
        let mut client = daemon.client();
        let found = entries(&mut client);
        let entry = &found[0];
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((&entry["id"], &entry["reason"]), (&json!(2), &json!("schema")), "{entry}");
        assert_eq!(entry["detail"], "/status (enum): it is none of the values allowed");
        assert_eq!((&entry["type"], &entry["event_id"]), (&json!("order_status"), &json!("e2")), "{entry}");
        assert_eq!(entry["raw"], r#"{"order":7,"status":"SECRET"}"#);
        let status = client.call("status", &json!({})).expect("an answer");
        assert_eq!((&status["inbox"]["quarantined"], &status["inbox"]["events"]), (&json!(1), &json!(2)));
        assert_eq!(
            (&status["inbox"]["duplicates_total"], &status["link"]["reconnects"]),
            (&json!(1), &json!(0))
        );
        assert!(!daemon.log().contains("SECRET"), "{}", daemon.log());
        let state = client.call("state.get", &json!({"type": "order_status", "key": "7"})).expect("a value");
        assert_eq!(state["id"], "e1", "what is in quarantine is no value: {state}");
        let shown = text(&daemon.ctl(&["quarantine"]));
        assert!(
            shown.contains("#2") && shown.contains("schema") && shown.contains("order_status"),
            "{shown}"
        );
        let shown = text(&daemon.ctl(&["quarantine", "show", "2"]));
        assert!(shown.contains("does not fit: /status (enum)") && shown.contains("event id"), "{shown}");

        // Before the schema is mended it does not help to ask.
        let refused = daemon.ctl(&["quarantine", "retry", "2"]);
        assert_eq!(refused.status.code(), Some(1), "{}", text(&refused));
        assert!(text(&refused).contains("/status (enum)"), "{}", text(&refused));

        daemon.write_private("config/holdline/order.json", LOOSE);
        let reloaded = client.call("config.reload", &json!({})).expect("reloaded");
        assert_eq!(reloaded["changed"], json!(["types.\"order_*\".schema"]), "{reloaded}");
        assert_eq!(reloaded["reconnect"], false, "{reloaded}");
        let retried = daemon.ctl_json(&["quarantine", "retry", "2"]);
        assert_eq!(
            retried,
            json!({"released": 1, "events": 1, "duplicates": 0, "kept": 0, "more": false}),
            "{retried}"
        );
        assert_eq!(told(&mut live), json!([4, "e2", 3]), "told live, at the end");
        let state = client.call("state.get", &json!({"type": "order_status", "key": "7"})).expect("a value");
        assert_eq!(state["id"], "e2", "nothing newer came: {state}");
        let gone = daemon.ctl(&["quarantine", "retry", "2"]);
        assert_eq!(gone.status.code(), Some(8), "{}", text(&gone));
        (daemon, live)
    })
    .await;
    peer.send(&event("e2", "order_status", &json!({"order": 7, "status": "SECRET"})));
    acknowledged(&server, &["e1", "e2", "e3", "e2", "e2"]).await;
    blocking(move || {
        let mut daemon = daemon;
        drop(live);
        let mut client = daemon.client();
        let status = client.call("status", &json!({})).expect("an answer");
        assert_eq!(
            (
                &status["inbox"]["quarantined"],
                &status["inbox"]["events"],
                &status["inbox"]["duplicates_total"]
            ),
            (&json!(0), &json!(3), &json!(2)),
            "{status}"
        );
        let told_now = sequence(&mut client);
        assert_eq!(told_now, (json!([1, 3, 4]), json!([[2, 2, "quarantine"]])));
        daemon.restart();
        assert_eq!(sequence(&mut daemon.client()), told_now, "the gap stays");
        let lines = text(&daemon.command(&["ctl", "--json", "events"]).output().expect("ctl runs"));
        assert!(lines.contains(r#"{"gap":{"from":2,"to":2,"reason":"quarantine"}}"#), "{lines}");
        assert!(text(&daemon.ctl(&["events"])).contains("#2  gap: "), "a person is told too");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_of_the_quarantine_is_tried_again_after_a_restart_and_what_does_not_fit_stays() {
    let server = scripted().await;
    let url = server.url();
    let daemon = blocking(move || {
        let mut daemon = prepare(&url, STATUS, TYPES);
        daemon.restart();
        daemon
    })
    .await;
    let peer = server.accept().await;
    for n in 0..250 {
        let body = if n % 5 == 0 { json!([n]) } else { json!({"order": n}) };
        peer.send(&event(&format!("e{n}"), "order_status", &body));
    }
    peer.send("{\"half\":");
    let daemon = blocking(move || {
        let mut daemon = daemon;
        wait_for_status(&mut daemon.client(), "all of it", |status| status["inbox"]["quarantined"] == 251);
        daemon.kill9();
        daemon.write_private("config/holdline/order.json", LOOSE);
        daemon.restart();
        daemon
    })
    .await;
    // The server sends one of them again before anybody looks: it fits now.
    let peer = server.accept().await;
    peer.send(&event("e1", "order_status", &json!({"order": 1})));
    blocking(move || {
        let mut client = daemon.client();
        wait_for_status(&mut client, "the one that came again", |status| status["inbox"]["events"] == 1);
        let told = text(&daemon.ctl(&["quarantine", "retry", "--all"]));
        assert_eq!(
            told,
            "released: 200 of 251, 199 new events, 1 there already or outdated; 51 still do not fit (`holdline ctl quarantine`)\n"
        );
        let status = client.call("status", &json!({})).expect("an answer");
        assert_eq!((&status["inbox"]["quarantined"], &status["inbox"]["events"]), (&json!(51), &json!(200)));
        let left = entries(&mut client);
        assert_eq!(left.len(), 51);
        assert_eq!(left[0]["detail"], "the data (type): it is not of type object", "{}", left[0]);
        assert_eq!(left[50]["reason"], "invalid_json", "{}", left[50]);
        let again = client.call("quarantine.retry", &json!({"limit": 20})).expect("counts");
        assert_eq!(
            (&again["kept"], &again["released"], &again["more"], &again["next"]),
            (&json!(20), &json!(0), &json!(true), &left[19]["id"]),
            "{again}"
        );
    })
    .await;
    drop(peer);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_frame_that_cannot_be_used_has_its_reason_and_none_ends_the_session() {
    let server = ScriptedServer::start().await;
    let daemon = start(config(&server.url(), "json", "")).await;
    let peer = server.accept().await;
    let frames: Vec<(String, &str)> = vec![
        ("".into(), "invalid_json"),
        ("{".into(), "invalid_json"),
        ("{\"type\":\"a\"}}".into(), "invalid_json"),
        ("{'type':'a'}".into(), "invalid_json"),
        ("{\"type\":\"a\",\"n\":01}".into(), "invalid_json"),
        ("{\"type\":\"a\",\"n\":NaN}".into(), "invalid_json"),
        ("\u{feff}{\"type\":\"a\"}".into(), "invalid_json"),
        ("{\"type\":\"a\",\"t\":\"\\ud800\"}".into(), "invalid_json"),
        ("{\"type\":\"a\",\"t\":\"\\udc00\\ud800\"}".into(), "invalid_json"),
        ("{\"type\":\"a\",\"t\":\"\\u12\"}".into(), "invalid_json"),
        ("{\"type\":\"a\",\"t\":\"\u{1}\"}".into(), "invalid_json"),
        (format!("{{\"type\":\"a\",\"d\":{}1{}}}", "[".repeat(128), "]".repeat(128)), "too_deep"),
        ("[".repeat(1_000_000), "too_deep"),
        ("{\"type\":\"a\",\"n\":1e400}".into(), "number_too_large"),
        ("{\"type\":\"a\",\"n\":[-1e999]}".into(), "number_too_large"),
        ("{\"type\":\"a\",\"type\":\"b\"}".into(), "duplicate_name"),
        ("{\"type\":\"a\",\"d\":{\"x\":1,\"\\u0078\":2}}".into(), "duplicate_name"),
    ];
    for (frame, _) in &frames {
        peer.send(frame);
    }
    // These can be used, exactly as they are.
    let exact = r#"{"n":9007199254740993,"m":123456789012345678901234567890,"f":1.10,"z":1E-400}"#;
    peer.send(&format!("{{\"type\":\"exact\",\"data\":{exact}}}"));
    peer.send(r#"{"no":"type"}"#);
    peer.send("[]");
    blocking(move || {
        let mut client = daemon.client();
        let status = wait_for_status(&mut client, "all of them", |status| {
            status["inbox"]["last_seq"] == json!(frames.len() + 3)
        });
        assert_eq!(
            (&status["link"]["state"], &status["link"]["reconnects"]),
            (&json!("connected"), &json!(0))
        );
        assert_eq!(status["inbox"]["quarantined"], json!(frames.len()));
        let found = entries(&mut client);
        for ((frame, reason), entry) in frames.iter().zip(&found) {
            assert_eq!(entry["reason"], *reason, "{entry}");
            assert_eq!(entry["raw"], *frame, "the frame as it came");
            assert!(entry["detail"].as_str().is_some_and(|detail| detail.len() > 10), "a sentence: {entry}");
        }
        client.write_line(
            r#"{"jsonrpc":"2.0","id":"raw","method":"events.list","params":{"from":"earliest"}}"#,
        );
        let line = client.read_line().expect("an answer");
        let kinds: Vec<&Value> =
            line["result"]["events"].as_array().expect("events").iter().map(|it| &it["type"]).collect();
        assert_eq!(kinds, ["exact", "unrecognised", "unrecognised"]);
        assert_eq!(line["result"]["gaps"].as_array().map(Vec::len), Some(frames.len()));
        let printed = text(&daemon.ctl(&["events", "--type", "exact"]));
        assert!(printed.contains(exact), "every digit: {printed}");
    })
    .await;
}

const LINES: &str = "dialect = 1\nabout = \"lines\"\ncodec = \"json-lines\"\n\
     in = [{ as = \"event\", when = { \"/type\" = { exists = true } }, type = \"/type\", id = \"/eventId\" }]\n\
     out = [{ frame = \"$data\", confirm = \"sent\" }]\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_that_another_dialect_can_read_comes_to_all_of_its_events() {
    let server = ScriptedServer::start().await;
    let url = server.url();
    let daemon = start(config(&url, "json", "")).await;
    let peer = server.accept().await;
    let large = "x".repeat(3 << 20);
    peer.send("{\"type\":\"a\",\"eventId\":\"1\"}\n{\"type\":\"a\",\"eventId\":\"2\"}\n{\"type\":\"half\n");
    for n in 0..3 {
        peer.send(&format!("{{\"type\":\"large\",\"n\":{n}}}\n{{\"type\":\"large\",\"pad\":\"{large}\"}}"));
    }
    blocking(move || {
        let mut daemon = daemon;
        let mut client = daemon.client();
        wait_for_status(&mut client, "all of them", |status| status["inbox"]["quarantined"] == 4);
        let page = client.call("quarantine.list", &json!({})).expect("a page");
        assert_eq!(page["more"], true, "more than fits into one answer");
        let listed = daemon.ctl_json(&["quarantine"]);
        assert_eq!(listed["entries"].as_array().map(Vec::len), Some(4), "all pages");
        drop(client);

        daemon.write_private("config/holdline/lines.toml", LINES);
        daemon.write_config(&config(&url, "lines.toml", ""));
        daemon.restart();
        daemon.wait_for("connected");
        let mut live = subscribe(&daemon);
        let before: Vec<Value> = (0..5).map(|_| told(&mut live)).collect();
        assert_eq!(before[4], json!([5, 5, "server"]), "another dialect is another server: {before:?}");
        let told_now = text(&daemon.ctl(&["quarantine", "retry", "--all"]));
        // The line that is half stands for itself now, and was looked at like the others.
        assert!(told_now.starts_with("released: 4 of 5, 8 new events; 1 still"), "{told_now}");
        let after: Vec<Value> = (0..9).map(|_| told(&mut live)).collect();
        assert_eq!(
            after[..3],
            [json!([6, "1", 5]), json!([7, "2", 6]), json!([8, 8, "quarantine"])],
            "{after:?}"
        );
        assert_eq!(after[8], json!([14, null, 13]));
        let left = entries(&mut daemon.client());
        assert_eq!(
            (left.len(), &left[0]["raw"]),
            (1, &json!("{\"type\":\"half")),
            "only the line that is half"
        );
    })
    .await;
    drop(peer);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_that_is_not_in_order_ends_the_start_with_78_and_a_reload_keeps_the_old_one() {
    let server = scripted().await;
    let url = server.url();
    blocking(move || {
        let remote = r#"{"properties":{"item":{"$ref":"https://example.com/item.json"}}}"#;
        let mut daemon = prepare(&url, remote, TYPES);
        daemon.spawn();
        let ended = daemon.wait_for_end();
        let log = daemon.log();
        assert_eq!(ended.code(), Some(78), "{log}");
        for part in
            ["config.toml:8", "order.json, at /properties/item/$ref", "leads out of this file", "$defs"]
        {
            assert!(log.contains(part), "`{part}` is missing:\n{log}");
        }
        assert!(!daemon.database_path().exists(), "nothing was touched");

        daemon.write_private("config/holdline/order.json", STATUS);
        daemon.restart();
        daemon.write_private("config/holdline/order.json", "{");
        let refused = daemon.client().call("config.reload", &json!({})).expect_err("refused");
        assert!(
            refused["data"]["detail"].as_str().is_some_and(|text| text.contains("order.json")),
            "{refused}"
        );
        let status = daemon.client().call("status", &json!({})).expect("an answer");
        assert!(status["health"].to_string().contains("config_rejected"), "{status}");
        daemon
    })
    .await;
}
