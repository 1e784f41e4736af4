use std::time::Duration;

use tokio::time::sleep;

use super::{House, until};
use crate::rpc::{Limits, metric};

#[tokio::test(start_paused = true)]
async fn an_app_that_reads_nothing_is_cut_off_after_a_minute_and_disturbs_nobody() {
    let house = House::new();
    let body = format!("\"{}\"", "x".repeat(10_000));
    for _ in 0..500 {
        house.memory.event("big", &body);
    }
    let mut slow = house.app_with_room(4_096);
    slow.line(r#"{"jsonrpc":"2.0","id":1,"method":"events.subscribe","params":{"from":"earliest"}}"#).await;
    let mut other = house.app();
    other.call("events.subscribe", r#"{"from":"earliest"}"#).await;
    for seq in 1..=500 {
        assert_eq!(other.told("event").await["event"]["seq"], seq);
    }
    other.told("caught_up").await;
    sleep(Duration::from_secs(59)).await;
    other.quiet().await;
    assert_eq!(house.memory.counted(metric::SLOW_CLOSED), 0);
    until(|| house.memory.counted(metric::SLOW_CLOSED) == 1).await;
    until(|| house.memory.gauged(metric::CLIENTS) == 1).await;
    other.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_page_that_another_fetches_does_not_wait_for_that_ones_app() {
    // With one of these, what is held for an app that reads nothing is full in the midst of a page.
    for held in 20..=40 {
        let house = House::new();
        let mut slow = house.app_with_room(4_096);
        slow.call("events.subscribe", r#"{"from":"now"}"#).await;
        slow.told("caught_up").await;
        let mut other = house.app();
        other.call("events.subscribe", r#"{"from":"now"}"#).await;
        other.told("caught_up").await;
        let body = format!("\"{}\"", "x".repeat(10_000));
        for seq in 1..=held {
            house.memory.event("big", &body);
            assert_eq!(other.told("event").await["event"]["seq"], seq);
        }
        house.memory.distant.store(true, std::sync::atomic::Ordering::Relaxed);
        let body = format!("\"{}\"", "x".repeat(100));
        for _ in 0..600 {
            house.memory.event("small", &body);
        }
        // A page that begins with what is gone is told to nobody else.
        house.memory.prune(held + 6);
        assert_eq!(other.told("gap").await["to"], held + 6);
        for seq in held + 7..=held + 600 {
            assert_eq!(other.told("event").await["event"]["seq"], seq);
        }
        assert_eq!(house.memory.counted(metric::SLOW_CLOSED), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn an_app_that_reads_a_byte_now_and_then_is_fed_at_its_own_pace() {
    use tokio::io::AsyncReadExt as _;
    let house = House::new();
    for _ in 0..50 {
        house.memory.event("big", "\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"");
    }
    let mut app = house.app_with_room(512);
    app.line(r#"{"jsonrpc":"2.0","id":1,"method":"events.subscribe","params":{"from":"earliest"}}"#).await;
    for _ in 0..30 {
        sleep(Duration::from_secs(50)).await;
        let mut bytes = [0; 100];
        let read = app.stream.read(&mut bytes).await.unwrap();
        app.read.extend_from_slice(&bytes[..read]);
    }
    app.next().await.unwrap();
    for seq in 1..=50 {
        assert_eq!(app.told("event").await["event"]["seq"], seq);
    }
    assert_eq!(house.memory.counted(metric::SLOW_CLOSED), 0);
}

#[tokio::test]
async fn an_app_that_asks_and_does_not_read_has_little_prepared_for_it() {
    let house = House::new();
    let body = format!("\"{}\"", "x".repeat(1_000));
    for _ in 0..1_000 {
        house.memory.event("big", &body);
    }
    let mut app = house.app_with_room(512 * 1024);
    let ask = r#"{"jsonrpc":"2.0","id":1,"method":"events.list","params":{"from":1,"limit":1000}}"#;
    app.line(&vec![ask; 300].join("\n")).await;
    for _ in 0..300 {
        let page = app.next().await.unwrap();
        let events = page["result"]["events"].as_array().unwrap();
        assert!((1..300).contains(&events.len()), "a page has a bound: {}", events.len());
    }
}

#[tokio::test]
async fn the_subscriptions_of_a_connection_have_a_bound() {
    let house = House::new();
    let mut app = house.app();
    for _ in 0..1_000 {
        assert!(app.call("messages.watch", "{}").await["result"].is_object());
    }
    let answer = app.call("messages.watch", "{}").await;
    assert_eq!(answer["error"]["data"]["kind"], "busy", "{answer}");
    assert_eq!(house.memory.gauged(metric::SUBSCRIPTIONS), 1_000);
    app.call("unsubscribe", r#"{"subscription":"1"}"#).await;
    assert!(app.call("messages.watch", "{}").await["result"].is_object());
    app.gone().await;
    assert_eq!(house.memory.gauged(metric::SUBSCRIPTIONS), 0);
}

#[tokio::test]
async fn a_stop_that_was_asked_for_is_answered_first() {
    let house = House::new();
    let mut app = house.app();
    assert_eq!(app.call("daemon.stop", "{}").await["result"]["stopping"], true);
    until(|| house.memory.stopped()).await;
}

#[tokio::test]
async fn a_stop_is_told_and_what_was_asked_is_still_answered() {
    let house = House::with(Limits::default());
    let mut app = house.app();
    app.line(r#"{"jsonrpc":"2.0","id":1,"method":"messages.send","params":{"type":"later","data":1}}"#).await;
    until(|| house.memory.kinds().len() == 1).await;
    house.shutdown.cancel();
    assert_eq!(app.told("closing").await["reason"], "the daemon stops");
    house.memory.release.notify_one();
    assert_eq!(app.next().await.unwrap()["id"], 1);
    assert!(app.next().await.is_none());
    app.gone().await;
}
