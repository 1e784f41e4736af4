use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{
    AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, ReadHalf, WriteHalf, duplex, join,
    split,
};
use tokio::time::{sleep, timeout};

use super::{CallError, Client, Note};
use crate::model::ErrorKind;
use crate::rpc::api::SubscribeResult;

const SOON: Duration = Duration::from_secs(20);

/// A daemon that says what the test tells it to.
struct Script {
    lines: tokio::io::Lines<BufReader<ReadHalf<DuplexStream>>>,
    to: WriteHalf<DuplexStream>,
}

fn pair() -> (Client, Script) {
    let (near, far) = duplex(64 * 1024);
    let (from, to) = split(far);
    (Client::over(near), Script { lines: BufReader::new(from).lines(), to })
}

impl Script {
    async fn heard(&mut self) -> Value {
        let line = timeout(SOON, self.lines.next_line()).await.expect("a call").unwrap().expect("a line");
        serde_json::from_str(&line).unwrap()
    }

    async fn say(&mut self, message: Value) {
        timeout(SOON, self.to.write_all(format!("{message}\n").as_bytes())).await.expect("read").unwrap();
    }

    async fn answer(&mut self, result: Value) -> Value {
        let call = self.heard().await;
        self.say(json!({ "jsonrpc": "2.0", "id": call["id"], "result": result })).await;
        call
    }

    async fn event(&mut self, seq: i64) {
        let event = json!({ "seq": seq, "id": null, "type": "t", "data": { "n": seq }, "received_at": "2026-01-01T00:00:00.000Z" });
        let params =
            json!({ "subscription": "1", "epoch": "e", "event": event, "prev": seq - 1, "replay": false });
        self.say(json!({ "jsonrpc": "2.0", "method": "event", "params": params })).await;
    }
}

fn subscribed() -> Value {
    json!({ "subscription": "1", "from": 1, "epoch": "e" })
}

#[tokio::test]
async fn each_call_gets_its_own_answer_in_whatever_order_they_come() {
    let (client, mut daemon) = pair();
    let calls = async { tokio::join!(client.call::<_, i64>("a", &()), client.call::<_, i64>("b", &())) };
    let script = async {
        let (a, b) = (daemon.heard().await, daemon.heard().await);
        for (call, result) in [(&b, 2), (&a, 1)] {
            daemon.say(json!({ "jsonrpc": "2.0", "id": call["id"], "result": result })).await;
        }
        assert_eq!(a["params"], json!({}));
    };
    let ((a, b), ()) = tokio::join!(calls, script);
    assert_eq!((a.unwrap(), b.unwrap()), (1, 2));
}

#[tokio::test]
async fn a_refusal_carries_its_kind_and_hint() {
    let (client, mut daemon) = pair();
    let script = async {
        let call = daemon.heard().await;
        let data = json!({ "kind": "not_found", "retryable": false, "hint": "look elsewhere" });
        let error = json!({ "code": -32003, "message": "there is none", "data": data });
        daemon.say(json!({ "jsonrpc": "2.0", "id": call["id"], "error": error })).await;
    };
    let params = json!({ "id": "a" });
    let (outcome, ()) = tokio::join!(client.call::<_, Value>("messages.get", &params), script);
    let Err(CallError::Refused(error)) = outcome else {
        panic!("refused");
    };
    assert_eq!((error.kind(), error.hint()), (Some(ErrorKind::NotFound), "look elsewhere"));
}

#[tokio::test(start_paused = true)]
async fn every_call_has_a_deadline_and_a_late_answer_harms_nobody() {
    let (client, mut daemon) = pair();
    let quick = client.within(Duration::from_secs(1));
    assert!(matches!(quick.call::<_, Value>("a", &()).await, Err(CallError::Deadline(_))));
    let late = daemon.heard().await;
    daemon.say(json!({ "jsonrpc": "2.0", "id": late["id"], "result": 1 })).await;
    let (answer, _) = tokio::join!(client.call::<_, i64>("b", &()), daemon.answer(json!(2)));
    assert_eq!(answer.unwrap(), 2);
}

#[tokio::test]
async fn whoever_waits_is_told_when_the_connection_ends_and_why() {
    let (client, mut daemon) = pair();
    let subscribe = client.subscribe::<_, SubscribeResult>("events.subscribe", &());
    let (outcome, _) = tokio::join!(subscribe, daemon.answer(subscribed()));
    let (_, mut events) = outcome.unwrap();
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.call::<_, Value>("a", &()).await }
    });
    daemon.heard().await;
    daemon.event(1).await;
    daemon
        .say(json!({ "jsonrpc": "2.0", "method": "closing", "params": { "reason": "the daemon stops" } }))
        .await;
    drop(daemon);
    let error = waiting.await.unwrap().expect_err("gone");
    assert!(error.to_string().contains("the daemon stops"), "{error}");
    assert_eq!(client.closed().await, "the daemon stops");
    assert!(matches!(events.next().await, Some(Ok(Note::Event(_)))), "what came before counts");
    assert!(events.next().await.is_none());
    assert!(matches!(client.call::<_, Value>("a", &()).await, Err(CallError::Stopped(_))));
}

/// A stream that takes nothing, and what is read from it.
fn deaf() -> (Client, DuplexStream) {
    let (words, daemon) = duplex(64 * 1024);
    let (nowhere, gone) = duplex(1);
    drop(gone);
    (Client::over(join(words, nowhere)), daemon)
}

#[tokio::test(start_paused = true)]
async fn what_the_daemon_said_before_it_left_is_heard_though_nothing_can_be_written_to_it() {
    let (client, mut daemon) = deaf();
    let script = async {
        // Virtual time goes on only when nothing else can: by then the call could not be written.
        sleep(Duration::from_millis(100)).await;
        let params = json!({ "reason": "the daemon stops" });
        let closing = json!({ "jsonrpc": "2.0", "method": "closing", "params": params });
        daemon.write_all(format!("{closing}\n").as_bytes()).await.unwrap();
        drop(daemon);
    };
    let (outcome, ()) = tokio::join!(client.call::<_, Value>("a", &()), script);
    assert!(matches!(&outcome, Err(CallError::Stopped(why)) if why == "the daemon stops"), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_neither_takes_nor_says_anything_is_given_up() {
    let (client, daemon) = deaf();
    let outcome = timeout(SOON, client.call::<_, Value>("a", &())).await.expect("an end");
    assert!(matches!(outcome, Err(CallError::Closed(_))), "{outcome:?}");
    drop(daemon);
}

#[tokio::test]
async fn a_slow_app_loses_nothing_and_may_call_from_the_loop_that_reads() {
    let (client, mut daemon) = pair();
    let subscribe = client.subscribe::<_, SubscribeResult>("events.subscribe", &());
    let (outcome, _) = tokio::join!(subscribe, daemon.answer(subscribed()));
    let (result, mut events) = outcome.unwrap();
    assert_eq!(result.epoch.to_string(), "e");
    const EVENTS: i64 = 5_000;
    let script = tokio::spawn(async move {
        for seq in 1..=EVENTS {
            daemon.event(seq).await;
        }
        while let Ok(Ok(Some(line))) = timeout(SOON, daemon.lines.next_line()).await {
            let call: Value = serde_json::from_str(&line).unwrap();
            if call["method"] == "unsubscribe" {
                return;
            }
            daemon.say(json!({ "jsonrpc": "2.0", "id": call["id"], "result": call["params"]["seq"] })).await;
        }
    });
    for seq in 1..=EVENTS {
        let note = timeout(SOON, events.next()).await.expect("no standstill").unwrap().unwrap();
        let Note::Event(note) = note else {
            panic!("{note:?}");
        };
        assert_eq!(note.event.seq.unwrap().0, seq);
        if seq % 1_000 == 1 {
            let acked: i64 = client.call("events.ack", &json!({ "seq": seq })).await.unwrap();
            assert_eq!(acked, seq);
        }
    }
    drop((client, events));
    script.await.unwrap();
}

#[tokio::test]
async fn dropping_a_subscription_ends_it_even_before_its_answer_came() {
    let (client, mut daemon) = pair();
    let subscribe = client.subscribe::<_, SubscribeResult>("events.subscribe", &());
    let (outcome, _) = tokio::join!(subscribe, daemon.answer(subscribed()));
    drop(outcome.unwrap());
    assert_eq!(daemon.heard().await["params"], json!({ "subscription": "1" }));
    {
        let given_up = client.subscribe::<_, SubscribeResult>("events.subscribe", &());
        tokio::pin!(given_up);
        tokio::select! {
            biased;
            _ = &mut given_up => panic!("nobody answered"),
            call = daemon.heard() => {
                assert_eq!(call["method"], "events.subscribe");
                daemon.say(json!({ "jsonrpc": "2.0", "method": "closing", "params": { "reason": "x" } })).await;
            }
        }
    }
    daemon
        .say(json!({ "jsonrpc": "2.0", "id": 2, "result": { "subscription": "2", "from": 1, "epoch": "e" } }))
        .await;
    let heard = daemon.heard().await;
    assert_eq!((&heard["method"], &heard["params"]["subscription"]), (&"unsubscribe".into(), &"2".into()));
}

#[tokio::test]
async fn an_ended_subscription_says_so_and_is_over() {
    let (client, mut daemon) = pair();
    let subscribe = client.subscribe::<_, SubscribeResult>("events.subscribe", &());
    let (outcome, _) = tokio::join!(subscribe, daemon.answer(subscribed()));
    let (_, mut events) = outcome.unwrap();
    let params = json!({ "subscription": "1", "reason": "taken_over" });
    daemon.say(json!({ "jsonrpc": "2.0", "method": "ended", "params": params })).await;
    assert!(matches!(events.next().await, Some(Ok(Note::Ended(_)))));
    assert!(events.next().await.is_none());
}
