use std::time::Duration;

use holdline::client::{CallError, Client, Note};
use holdline::model::{ErrorKind, Receipt, StatusReport};
use holdline::rpc::api::{AckMode, AckResult, RequestParams, SendParams, SubscribeParams, SubscribeResult};
use holdline::rpc::{Limits, metric};
use serde_json::{Value, json};

use super::Door;

#[tokio::test]
async fn the_client_library_and_the_daemon_understand_each_other() {
    let door = Door::open(Limits::default());
    let client = Client::connect(&door.path).await.unwrap();
    let hello: Value =
        client.call("hello", &json!({ "client": { "name": "contract", "version": "1" } })).await.unwrap();
    assert_eq!(hello["epoch"], "epoch-1");
    let data = serde_json::from_str("{\"n\": 12345678901234567890.10}").unwrap();
    let send = SendParams { kind: Some("t".into()), data: Some(data), ..SendParams::default() };
    let receipt: Receipt = client.call("messages.send", &send).await.unwrap();
    assert!(!receipt.duplicate);
    let report: StatusReport = client.call("status", &()).await.unwrap();
    assert_eq!(report.clients[0].name, "contract");
    assert_eq!(report.clients[0].pid, Some(std::process::id()));

    let params = SubscribeParams {
        cursor: Some("c".into()),
        ack: Some(AckMode::Manual),
        ..SubscribeParams::default()
    };
    let (result, mut events) =
        client.subscribe::<_, SubscribeResult>("events.subscribe", &params).await.unwrap();
    assert_eq!(result.created, Some(true));
    assert!(matches!(events.next().await, Some(Ok(Note::CaughtUp(_)))));
    door.memory.event("a", "{\"n\":1.10}");
    let Some(Ok(Note::Event(note))) = events.next().await else {
        panic!("an event");
    };
    assert_eq!(note.event.data.unwrap().get(), "{\"n\":1.10}");
    let acked: AckResult = client.call("events.ack", &json!({ "cursor": "c", "seq": 1 })).await.unwrap();
    assert_eq!(acked.seq.0, 1);
    let error = client.call::<_, Value>("messages.get", &json!({ "id": "none" })).await.expect_err("none");
    assert!(matches!(&error, CallError::Refused(error) if error.kind() == Some(ErrorKind::NotFound)));

    let data = serde_json::from_str("{\"n\":2.50}").unwrap();
    let ask = RequestParams { kind: Some("t".into()), data: Some(data), ..RequestParams::default() };
    let answer = client.request(&ask).await.unwrap();
    assert_eq!(answer.reply.unwrap().get(), "{\"n\":2.50}", "all digits as they came");
    let refused = client.request(&RequestParams { kind: Some("no".into()), ..ask }).await.expect_err("no");
    assert!(matches!(&refused, CallError::Refused(error) if error.kind() == Some(ErrorKind::Ended)));

    door.shutdown.cancel();
    assert_eq!(client.closed().await, "the daemon stops");
    door.served.await.unwrap();
    assert!(!door.path.exists(), "the socket goes with the daemon");
}

#[tokio::test]
async fn p10_more_apps_than_allowed_are_refused_at_once_and_let_in_when_others_leave() {
    let door = Door::open(Limits { max_clients: 3, ..Limits::default() });
    let mut inside = Vec::new();
    for _ in 0..3 {
        let client = Client::connect(&door.path).await.unwrap();
        client.call::<_, Value>("metrics", &()).await.unwrap();
        inside.push(client);
    }
    for _ in 0..200 {
        let refused = Client::connect(&door.path).await.unwrap();
        let why = tokio::time::timeout(Duration::from_secs(10), refused.closed()).await.expect("at once");
        assert!(why.contains("max_clients"), "{why}");
    }
    assert_eq!(door.memory.counted(metric::CLIENTS_REFUSED), 200);
    inside[0].call::<_, Value>("metrics", &()).await.unwrap();
    inside.pop();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while Client::connect(&door.path).await.unwrap().call::<_, Value>("metrics", &()).await.is_err() {
        assert!(tokio::time::Instant::now() < deadline, "nobody is let in");
    }
}

#[tokio::test]
async fn thousands_who_come_and_go_leave_nothing_behind() {
    let door = Door::open(Limits::default());
    let files = || std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let before = files();
    for _ in 0..2_000 {
        drop(Client::connect(&door.path).await.unwrap());
    }
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while door.memory.gauged(metric::CLIENTS) != 0 || files() > before + 5 {
        assert!(tokio::time::Instant::now() < deadline, "{} files, {before} before", files());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
