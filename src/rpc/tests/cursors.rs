use super::{App, House, code, until};
use crate::model::GapReason;

async fn subscribe(app: &mut App, params: &str) -> serde_json::Value {
    let answer = app.call("events.subscribe", params).await;
    assert!(answer["result"].is_object(), "{answer}");
    answer["result"].clone()
}

#[tokio::test]
async fn an_unknown_cursor_is_made_at_the_earliest_event_before_the_answer() {
    let house = House::new();
    house.memory.event("a", "{}");
    let mut app = house.app();
    let result = subscribe(&mut app, r#"{"cursor":"c"}"#).await;
    assert_eq!((&result["created"], &result["from"]), (&true.into(), &1.into()));
    assert!(house.memory.cursor("c").is_some());
    app.told("event").await;
    app.told("caught_up").await;
    let mut other = house.app();
    assert_eq!(subscribe(&mut other, r#"{"cursor":"c"}"#).await["created"], false);
}

#[tokio::test]
async fn p6_what_was_written_is_acknowledged_by_itself_and_not_told_again() {
    let house = House::new();
    house.memory.event("a", "{}");
    let mut app = house.app();
    subscribe(&mut app, r#"{"cursor":"c"}"#).await;
    app.told("event").await;
    app.told("caught_up").await;
    until(|| house.memory.cursor("c") == Some(1)).await;
    assert!(house.memory.acks().iter().all(|(_, _, durable)| !durable), "it rides on the next commit");
    house.memory.event("a", "{}");
    app.told("event").await;
    app.gone().await;
    assert_eq!(house.memory.cursor("c"), Some(2));
    let mut again = house.app();
    assert_eq!(subscribe(&mut again, r#"{"cursor":"c"}"#).await["from"], 3);
}

#[tokio::test]
async fn an_app_that_reads_nothing_acknowledges_nothing_by_itself() {
    let house = House::new();
    let body = format!("\"{}\"", "x".repeat(100_000));
    for _ in 0..20 {
        house.memory.event("a", &body);
    }
    let mut app = house.app_with_room(4_096);
    app.line(r#"{"jsonrpc":"2.0","id":1,"method":"events.subscribe","params":{"cursor":"c"}}"#).await;
    until(|| house.memory.cursor("c").is_some()).await;
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    app.gone().await;
    assert_eq!(house.memory.cursor("c"), Some(0));
}

#[tokio::test]
async fn p6_what_was_not_acknowledged_comes_again_after_a_crash_of_the_app() {
    let house = House::new();
    for _ in 0..5 {
        house.memory.event("a", "{}");
    }
    let mut app = house.app();
    subscribe(&mut app, r#"{"cursor":"c","ack":"manual"}"#).await;
    for _ in 0..5 {
        app.told("event").await;
    }
    app.told("caught_up").await;
    let answer = app.call("events.ack", r#"{"cursor":"c","seq":2}"#).await;
    assert_eq!(answer["result"], serde_json::json!({"cursor":"c","seq":2}));
    assert!(house.memory.acks().contains(&("c".into(), 2, true)), "a request is answered after the commit");
    app.gone().await;
    let mut again = house.app();
    assert_eq!(subscribe(&mut again, r#"{"cursor":"c","ack":"manual"}"#).await["from"], 3);
    assert_eq!(again.told("event").await["event"]["seq"], 3);
}

#[tokio::test]
async fn an_acknowledgement_never_goes_back_and_never_ahead_of_what_was_told() {
    let house = House::new();
    for _ in 0..3 {
        house.memory.event("a", "{}");
    }
    let mut app = house.app();
    subscribe(&mut app, r#"{"cursor":"c","ack":"manual","max_inflight":2}"#).await;
    app.told("event").await;
    app.told("event").await;
    assert_eq!(code(&app.call("events.ack", r#"{"cursor":"c","seq":3}"#).await), -32602);
    assert_eq!(app.call("events.ack", r#"{"cursor":"c","seq":2}"#).await["result"]["seq"], 2);
    app.told("event").await;
    app.told("caught_up").await;
    assert_eq!(app.call("events.ack", r#"{"cursor":"c","seq":1}"#).await["result"]["seq"], 2);
    let unknown = app.call("events.ack", r#"{"cursor":"x","seq":1}"#).await;
    assert_eq!(unknown["error"]["data"]["kind"], "not_found");
    assert_eq!(code(&app.call("events.ack", r#"{"cursor":"x","seq":4}"#).await), -32602);
}

#[tokio::test]
async fn feeding_stops_at_max_inflight_and_goes_on_with_each_acknowledgement() {
    let house = House::new();
    for _ in 0..10 {
        house.memory.event("a", "{}");
    }
    let mut app = house.app();
    subscribe(&mut app, r#"{"cursor":"c","ack":"manual","max_inflight":3}"#).await;
    for seq in 1..=3 {
        assert_eq!(app.told("event").await["event"]["seq"], seq);
    }
    app.quiet().await;
    app.line(r#"{"jsonrpc":"2.0","method":"events.ack","params":{"cursor":"c","seq":1}}"#).await;
    assert_eq!(app.told("event").await["event"]["seq"], 4);
    app.quiet().await;
    assert!(
        house.memory.acks().contains(&("c".into(), 1, false)),
        "as a notification it rides on the next commit"
    );
}

#[tokio::test]
async fn gaps_need_no_acknowledgement_to_go_on() {
    let house = House::new();
    for _ in 0..5 {
        house.memory.gap(GapReason::Server);
    }
    house.memory.event("a", "{}");
    let mut app = house.app();
    subscribe(&mut app, r#"{"cursor":"c","ack":"manual","max_inflight":1}"#).await;
    for _ in 0..5 {
        app.told("gap").await;
    }
    app.told("event").await;
    app.told("caught_up").await;
    assert_eq!(house.memory.cursor("c"), Some(0), "a crash now and the gap is told again");
    app.call("events.ack", r#"{"cursor":"c","seq":6}"#).await;
    assert_eq!(house.memory.cursor("c"), Some(6));
}

#[tokio::test]
async fn the_cursor_moves_over_what_was_not_asked_for() {
    let house = House::new();
    for kind in ["b", "a", "b", "b"] {
        house.memory.event(kind, "{}");
    }
    let mut app = house.app();
    subscribe(&mut app, r#"{"cursor":"c","ack":"manual","types":["a"]}"#).await;
    app.told("event").await;
    app.told("caught_up").await;
    until(|| house.memory.cursor("c") == Some(1)).await;
    app.call("events.ack", r#"{"cursor":"c","seq":2}"#).await;
    until(|| house.memory.cursor("c") == Some(4)).await;
    house.memory.event("b", "{}");
    until(|| house.memory.cursor("c") == Some(5)).await;
    app.quiet().await;
}

#[tokio::test]
async fn an_explicit_start_reads_from_there_and_never_moves_the_cursor_back() {
    let house = House::new();
    for _ in 0..5 {
        house.memory.event("a", "{}");
    }
    let mut app = house.app();
    subscribe(&mut app, r#"{"cursor":"c"}"#).await;
    for _ in 0..5 {
        app.told("event").await;
    }
    app.told("caught_up").await;
    until(|| house.memory.cursor("c") == Some(5)).await;
    app.gone().await;
    let mut again = house.app();
    let result = subscribe(&mut again, r#"{"cursor":"c","from":2,"ack":"manual"}"#).await;
    assert_eq!(result["from"], 2);
    for seq in 2..=5 {
        let told = again.told("event").await;
        assert_eq!((&told["event"]["seq"], &told["prev"]), (&seq.into(), &(seq - 1).into()));
    }
    again.told("caught_up").await;
    assert_eq!(again.call("events.ack", r#"{"cursor":"c","seq":3}"#).await["result"]["seq"], 5);
    assert_eq!(house.memory.cursor("c"), Some(5));
}

#[tokio::test]
async fn a_cursor_older_than_what_is_kept_is_served_with_a_gap() {
    let house = House::new();
    house.memory.event("a", "{}");
    let mut app = house.app();
    subscribe(&mut app, r#"{"cursor":"c"}"#).await;
    app.told("event").await;
    app.told("caught_up").await;
    app.gone().await;
    for _ in 0..5 {
        house.memory.event("a", "{}");
    }
    house.memory.prune(4);
    let mut again = house.app();
    assert_eq!(subscribe(&mut again, r#"{"cursor":"c"}"#).await["from"], 2);
    let gap = again.told("gap").await;
    assert_eq!((&gap["from"], &gap["to"], &gap["reason"]), (&2.into(), &4.into(), &"retention".into()));
    assert_eq!(again.told("event").await["prev"], 4);
}

#[tokio::test]
async fn what_a_blocked_app_was_told_is_settled_before_another_takes_its_cursor_over() {
    let house = House::new();
    // Twice as long on its way as it is kept, so that a page is more than what waits to be written.
    let body = "\"".repeat(1_000);
    for _ in 0..2_000 {
        house.memory.text(&body);
    }
    let mut first = house.app_with_room(200_000);
    first.line(r#"{"jsonrpc":"2.0","id":1,"method":"events.subscribe","params":{"cursor":"c"}}"#).await;
    for _ in 0..2_000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(house.memory.cursor("c"), Some(0), "it stands in the middle of its first page");
    let mut second = house.app();
    let from = subscribe(&mut second, r#"{"cursor":"c"}"#).await["from"].as_i64().unwrap();
    assert!((50..250).contains(&from), "{from}");
    assert_eq!(second.told("event").await["event"]["seq"], from);
}

#[tokio::test]
async fn the_newer_subscription_takes_the_cursor_over() {
    let house = House::new();
    let (mut first, mut second) = (house.app(), house.app());
    subscribe(&mut first, r#"{"cursor":"c"}"#).await;
    first.told("caught_up").await;
    house.memory.event("a", "{}");
    first.told("event").await;
    assert_eq!(
        subscribe(&mut second, r#"{"cursor":"c"}"#).await["from"],
        2,
        "what the first was told counts"
    );
    assert_eq!(first.told("ended").await["reason"], "taken_over");
    second.told("caught_up").await;
    house.memory.event("a", "{}");
    second.told("event").await;
    first.quiet().await;
    let status = second.call("cursors.list", "{}").await;
    assert_eq!(status["result"]["cursors"][0]["connected"], true);
    let delete = first.call("cursors.delete", r#"{"name":"c"}"#).await;
    assert_eq!(delete["error"]["data"]["kind"], "conflict");
    second.gone().await;
    let delete = first.call("cursors.delete", r#"{"name":"c"}"#).await;
    assert!(delete["result"].is_object(), "{delete}");
}
