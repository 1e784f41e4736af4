//! One request of every method, its answer and a refusal, as they go over the socket.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use holdline::rpc;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::Door;

/// Method, parameters, and how many notifications follow the answer.
const SAMPLES: &[(&str, &str, usize)] = &[
    ("hello", r#"{"client":{"name":"snapshots","version":"1.0"}}"#, 0),
    ("hello", r#"{"client":{"name":""}}"#, 0),
    (
        "messages.send",
        r#"{"type":"order","data":{"id":1,"total":10.50},"id":"m-1","ttl_ms":600000,"lane":"orders"}"#,
        0,
    ),
    ("messages.send", r#"{"type":"order","data":{"id":1,"total":10.50},"id":"m-1"}"#, 0),
    ("messages.send", r#"{"type":"order","data":{"id":2},"id":"m-1"}"#, 0),
    ("messages.send", r#"{"text":"plain"}"#, 0),
    ("messages.send", r#"{"binary":{"encoding":"base64","data":"AP8B"},"id":"m-2"}"#, 0),
    ("messages.send", r#"{"binary":{"encoding":"base64","data":"?"}}"#, 0),
    ("messages.send", r#"{"type":"order"}"#, 0),
    ("messages.send", r#"{"type":"t","text":"plain"}"#, 0),
    ("messages.send", r#"{"data":1}"#, 0),
    ("messages.send", r#"{"type":"t","data":1,"wait":"delivered"}"#, 0),
    ("messages.send", r#"{"type":"t","data":1,"ttl_ms":0}"#, 0),
    ("messages.send", r#"{"type":"full","data":1}"#, 0),
    ("messages.get", r#"{"id":"m-1"}"#, 0),
    ("messages.get", r#"{"id":"nobody"}"#, 0),
    ("messages.list", r#"{"state":["queued"],"type":["ord*"],"limit":1}"#, 0),
    ("messages.list", r#"{"state":["gone"]}"#, 0),
    ("messages.watch", "{}", 0),
    ("messages.cancel", r#"{"id":"m-1"}"#, 0),
    ("messages.cancel", r#"{"id":"nobody"}"#, 0),
    ("messages.retry", r#"{"id":"m-1"}"#, 0),
    ("messages.drop", r#"{"id":"m-1"}"#, 0),
    ("events.list", r#"{"from":1}"#, 0),
    ("events.list", r#"{"from":"earliest","types":["order_*"],"limit":1}"#, 0),
    ("events.list", r#"{"from":"cursor"}"#, 0),
    ("events.list", r#"{"from":1,"epoch":"another"}"#, 0),
    ("events.subscribe", r#"{"from":"earliest","cursor":"app","ack":"manual"}"#, 5),
    ("events.subscribe", r#"{"from":"tomorrow"}"#, 0),
    ("events.ack", r#"{"cursor":"app","seq":3}"#, 0),
    ("events.ack", r#"{"cursor":"app","seq":99}"#, 0),
    ("events.ack", r#"{"cursor":"nobody","seq":1}"#, 0),
    ("state.get", r#"{"type":"order_status","key":"7"}"#, 0),
    ("state.get", r#"{"type":"order_status","key":"8"}"#, 0),
    ("state.list", r#"{"type":"order_status"}"#, 0),
    ("state.list", r#"{"type":"nothing"}"#, 0),
    ("cursors.list", "{}", 0),
    ("cursors.delete", r#"{"name":"app"}"#, 0),
    ("cursors.delete", r#"{"name":"nobody"}"#, 0),
    ("quarantine.list", r#"{"limit":10}"#, 0),
    ("quarantine.retry", r#"{"id":4,"limit":1}"#, 0),
    ("quarantine.drop", r#"{"id":4}"#, 0),
    ("quarantine.drop", r#"{"id":4}"#, 0),
    ("quarantine.retry", r#"{"id":4}"#, 0),
    ("quarantine.retry", r#"{"limit":10}"#, 0),
    ("unsubscribe", r#"{"subscription":"2"}"#, 0),
    ("unsubscribe", r#"{"subscription":"2"}"#, 0),
    ("cursors.delete", r#"{"name":"app"}"#, 0),
    ("status", "{}", 0),
    ("status", r#"{"verbose":true}"#, 0),
    ("status.watch", "{}", 1),
    ("link.pause", "{}", 1),
    ("link.reconnect", "{}", 0),
    ("link.resume", "{}", 1),
    ("link.history", r#"{"limit":1}"#, 0),
    ("notifications.mute", r#"{"for_ms":60000}"#, 0),
    ("notifications.mute", r#"{"for_ms":0}"#, 0),
    ("notifications.unmute", "{}", 0),
    ("notifications.test", "{}", 0),
    ("notifications.history", r#"{"limit":1}"#, 0),
    ("config.reload", "{}", 0),
    ("config.show", "{}", 0),
    ("metrics", "{}", 0),
    ("messages.request", r#"{"type":"get","data":{"n":1.50},"id":"r-1","timeout_ms":5000}"#, 0),
    ("messages.request", r#"{"type":"no","data":{}}"#, 0),
    ("messages.request", r#"{"text":"plain"}"#, 0),
    ("messages.request", r#"{"type":"get","data":1,"lane":"orders"}"#, 0),
    ("doctor", r#"{"full":true}"#, 0),
    ("daemon.stop", "{}", 0),
];

#[tokio::test]
async fn what_goes_over_the_socket_stays_as_it_is() {
    let door = Door::open(rpc::Limits::default());
    for _ in 0..2 {
        door.memory.event("order_status", r#"{"k":"7","total":1.10}"#);
    }
    door.memory.prune(1);
    door.memory.gap(holdline::model::GapReason::Server);
    door.memory.bad("{\"half\":");
    door.memory.event("order_status", "{\n  \"k\": \"7\"\n}");
    let mut seen = String::new();
    let mut lines = BufReader::new(UnixStream::connect(&door.path).await.unwrap());
    let pid = format!("\"pid\":{}", std::process::id());
    for (id, (method, params, notes)) in SAMPLES.iter().enumerate() {
        let request = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#);
        lines.write_all(format!("{request}\n").as_bytes()).await.unwrap();
        writeln!(seen, "→ {request}").unwrap();
        let mut said = Vec::new();
        for _ in 0..=*notes {
            let mut line = String::new();
            let read = timeout(Duration::from_secs(10), lines.read_line(&mut line)).await;
            assert!(read.unwrap_or_else(|_| panic!("too little said to {request}")).unwrap() > 0);
            said.push(format!("← {}", line.replace(&pid, "\"pid\":1")));
        }
        // An answer may stand behind the notifications it caused.
        if *method != "events.subscribe" {
            said.sort();
        }
        seen.extend(said);
        seen.push('\n');
    }
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while !door.memory.stopped() {
        assert!(tokio::time::Instant::now() < deadline, "daemon.stop was answered and not carried out");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    insta::assert_snapshot!("samples", seen);
}

#[tokio::test]
async fn every_method_refuses_a_parameter_it_does_not_know() {
    let door = Door::open(rpc::Limits::default());
    let client = holdline::client::Client::connect(&door.path).await.unwrap();
    for method in rpc::openrpc()["methods"].as_array().unwrap() {
        let name = method["name"].as_str().unwrap();
        let params = serde_json::json!({ "no_such_parameter": 1 });
        let error = client.call::<_, serde_json::Value>(name, &params).await.expect_err(name);
        assert!(error.to_string().contains("unknown field `no_such_parameter`"), "{name}: {error}");
    }
    assert!(!door.memory.stopped());
}

#[test]
fn every_method_has_a_sample() {
    let document = rpc::openrpc();
    let known: BTreeSet<&str> = document["methods"]
        .as_array()
        .unwrap()
        .iter()
        .map(|method| method["name"].as_str().unwrap())
        .collect();
    let mut sampled: BTreeSet<&str> = SAMPLES.iter().map(|(method, ..)| *method).collect();
    // Its answer is docs/openrpc.json, which is compared as a whole.
    sampled.insert("rpc.discover");
    assert_eq!(known, sampled);
}
