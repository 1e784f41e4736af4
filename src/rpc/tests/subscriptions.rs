use super::{House, code, until};
use crate::model::{GapReason, LinkState, MessageState};
use crate::rpc::{Backend as _, metric};

#[tokio::test]
async fn history_and_live_tail_join_without_hole_or_repeat() {
    let house = House::new();
    for _ in 0..1_500 {
        house.memory.event("a", "{}");
    }
    let mut app = house.app();
    let answer = app.call("events.subscribe", r#"{"from":"earliest"}"#).await;
    assert_eq!((&answer["result"]["from"], &answer["result"]["epoch"]), (&1.into(), &"epoch-1".into()));
    let memory = std::sync::Arc::clone(&house.memory);
    let live = tokio::spawn(async move {
        for _ in 0..500 {
            memory.event("a", "{}");
            tokio::task::yield_now().await;
        }
    });
    let (mut seq, mut caught_up) = (0, 0);
    while seq < 2_000 {
        let told = app.next().await.unwrap();
        let params = &told["params"];
        if told["method"] == "caught_up" {
            caught_up += 1;
            assert_eq!(params["seq"], seq);
            continue;
        }
        assert_eq!((&params["event"]["seq"], &params["prev"]), (&(seq + 1).into(), &seq.into()));
        assert_eq!(params["replay"], caught_up == 0);
        seq += 1;
    }
    live.await.unwrap();
    if caught_up == 0 {
        app.told("caught_up").await;
    }
    app.quiet().await;
}

#[tokio::test]
async fn what_many_are_told_at_the_same_time_is_what_each_asked_for() {
    let house = House::new();
    let mut apps = Vec::new();
    for number in 0..12 {
        let mut app = house.app();
        // Some stand at other places, under other names, or ask for other types.
        if number % 3 == 1 {
            app.call("status.watch", "{}").await;
            app.told("status").await;
        }
        let params = if number % 4 == 3 { r#"{"types":["b"]}"# } else { "{}" };
        let name = app.call("events.subscribe", params).await["result"]["subscription"].clone();
        app.told("caught_up").await;
        apps.push((app, number % 4 == 3, name, *house.memory.last_seq().borrow()));
        house.memory.event("a", &number.to_string());
        house.memory.event("b", "{}");
        tokio::task::yield_now().await;
    }
    for burst in 0..50 {
        for n in 0..burst {
            house
                .memory
                .event(if n % 5 == 0 { "b" } else { "a" }, &format!("\"{}\"", "x".repeat(burst * 20)));
            if n % 17 == 3 {
                tokio::task::yield_now().await;
            }
        }
        house.memory.gap(GapReason::Server);
        tokio::task::yield_now().await;
    }
    let last = house.memory.last_seq().borrow().0;
    for (app, picky, name, from) in &mut apps {
        let (mut prev, mut told) = (from.0, Vec::new());
        while prev < last {
            let note = app.next().await.unwrap();
            let params = &note["params"];
            assert_eq!(params["subscription"], *name);
            if note["method"] == "event" {
                assert_eq!((&params["prev"], &params["replay"]), (&prev.into(), &false.into()));
                prev = params["event"]["seq"].as_i64().unwrap();
                assert!(!*picky || params["event"]["type"] == "b", "{note}");
            } else {
                assert_eq!(note["method"], "gap");
                prev = params["to"].as_i64().unwrap();
            }
            told.push(prev);
        }
        let wanted =
            (from.0 + 1..=last).filter(|seq| !*picky || house.memory.kind_of(*seq) != Some("a".into()));
        assert_eq!(told, wanted.collect::<Vec<_>>());
        app.quiet().await;
    }
}

#[tokio::test]
async fn an_app_is_told_that_it_has_caught_up_however_fast_more_comes() {
    let house = House::new();
    house.memory.event("a", "1");
    house.memory.distant.store(true, std::sync::atomic::Ordering::Relaxed);
    let memory = std::sync::Arc::clone(&house.memory);
    let live = tokio::spawn(async move {
        for _ in 0..20_000 {
            memory.event("a", "2");
            tokio::task::yield_now().await;
        }
    });
    let mut app = house.app();
    app.call("events.subscribe", r#"{"from":"earliest"}"#).await;
    let mut told = 0;
    while app.next().await.unwrap()["method"] != "caught_up" {
        told += 1;
    }
    live.abort();
    assert!(told < 10_000, "{told}");
}

#[tokio::test]
async fn what_is_told_to_many_is_put_together_once() {
    let house = House::new();
    let mut apps: Vec<_> = (0..20).map(|_| house.app()).collect();
    for app in &mut apps {
        app.call("events.subscribe", "{}").await;
        app.told("caught_up").await;
    }
    let before = house.memory.pages();
    let body = format!("\"{}\"", "x".repeat(1_000));
    for _ in 0..200 {
        house.memory.event("a", &body);
    }
    for app in &mut apps {
        for seq in 1..=200 {
            assert_eq!(app.told("event").await["event"]["seq"], seq);
        }
    }
    let pages = house.memory.pages() - before;
    assert!((1..=20).contains(&pages), "{pages} pages were asked for by 20 apps");
}

#[tokio::test]
async fn those_who_fall_behind_together_fetch_each_page_once() {
    let house = House::new();
    // A page comes only after all have had their turn to ask for it.
    house.memory.distant.store(true, std::sync::atomic::Ordering::Relaxed);
    let mut apps = Vec::new();
    for _ in 0..10 {
        let mut app = house.app();
        app.call("events.subscribe", r#"{"from":"now"}"#).await;
        app.told("caught_up").await;
        apps.push(app);
    }
    let before = house.memory.pages();
    for _ in 0..2_000 {
        house.memory.event("a", &format!("\"{}\"", "x".repeat(100)));
    }
    for app in &mut apps {
        for seq in 1..=2_000 {
            assert_eq!(app.told("event").await["event"]["seq"], seq);
        }
    }
    // Of 500 events or fewer each; one more, perhaps, to see that there is nothing behind them.
    let pages = house.memory.pages() - before;
    assert!((4..=10).contains(&pages), "{pages} pages for ten apps");
}

#[tokio::test]
async fn now_means_only_what_comes() {
    let house = House::new();
    house.memory.event("a", "1");
    let mut app = house.app();
    assert_eq!(app.call("events.subscribe", "{}").await["result"]["from"], 2);
    assert_eq!(app.told("caught_up").await["seq"], 1);
    house.memory.event("a", "2");
    let told = app.told("event").await;
    assert_eq!(
        (&told["prev"], &told["event"]["data"], &told["replay"]),
        (&1.into(), &2.into(), &false.into())
    );
}

#[tokio::test]
async fn gaps_stand_where_events_are_missing_and_count_as_told() {
    let house = House::new();
    for _ in 0..3 {
        house.memory.event("a", "{}");
    }
    house.memory.prune(2);
    house.memory.gap(GapReason::Server);
    house.memory.bad("{");
    house.memory.event("a", "{}");
    let mut app = house.app();
    app.call("events.subscribe", r#"{"from":1}"#).await;
    let gap = |told: &serde_json::Value| (told["from"].clone(), told["to"].clone(), told["reason"].clone());
    assert_eq!(gap(&app.told("gap").await), (1.into(), 2.into(), "retention".into()));
    assert_eq!(app.told("event").await["prev"], 2);
    assert_eq!(gap(&app.told("gap").await), (4.into(), 4.into(), "server".into()));
    assert_eq!(gap(&app.told("gap").await), (5.into(), 5.into(), "quarantine".into()));
    assert_eq!(app.told("event").await["prev"], 5);
    assert_eq!(app.told("caught_up").await["seq"], 6);
    let list = app.call("events.list", r#"{"from":1}"#).await;
    assert_eq!(list["result"]["gaps"].as_array().unwrap().len(), 3);
    assert_eq!(list["result"]["events"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn prev_is_the_one_told_before_whatever_lies_between() {
    let house = House::new();
    for kind in ["a", "b", "b", "a_x", "b", "a"] {
        house.memory.event(kind, "{}");
    }
    let mut app = house.app();
    app.call("events.subscribe", r#"{"from":1,"types":["a*"]}"#).await;
    for (seq, prev) in [(1, 0), (4, 1), (6, 4)] {
        let told = app.told("event").await;
        assert_eq!((&told["event"]["seq"], &told["prev"]), (&seq.into(), &prev.into()));
    }
    assert_eq!(app.told("caught_up").await["seq"], 6);
}

#[tokio::test]
async fn ephemeral_events_come_without_a_number_and_their_loss_is_told() {
    let house = House::new();
    let mut app = house.app();
    app.call("events.subscribe", r#"{"types":["typing"]}"#).await;
    app.told("caught_up").await;
    house.memory.pass("other");
    house.memory.pass("typing");
    let told = app.told("event").await;
    assert_eq!((&told["event"]["seq"], &told["prev"]), (&serde_json::Value::Null, &serde_json::Value::Null));
    for _ in 0..100 {
        house.memory.pass("typing");
    }
    assert!(app.told("lagged").await["missed"].as_u64().unwrap() >= 80);
    assert_eq!(house.memory.counted(metric::LAGGED), 1);
    app.told("event").await;
}

#[tokio::test]
async fn a_watch_of_the_link_tells_it_at_once_and_on_each_change() {
    let house = House::new();
    let mut app = house.app();
    app.call("status.watch", "{}").await;
    assert_eq!(app.told("status").await["link"]["state"], "connected");
    house.memory.link_is(LinkState::Connected);
    house.memory.link_is(LinkState::Reconnecting);
    assert_eq!(app.told("status").await["link"]["state"], "reconnecting");
    app.quiet().await;
}

#[tokio::test]
async fn a_watch_of_messages_tells_the_moves_of_those_asked_for() {
    let house = House::new();
    let mut app = house.app();
    app.call("messages.watch", r#"{"ids":["a"]}"#).await;
    house.memory.move_message("b", MessageState::Sent);
    house.memory.move_message("a", MessageState::Sent);
    let told = app.told("delivery").await;
    assert_eq!((&told["id"], &told["state"], &told["attempt"]), (&"a".into(), &"sent".into(), &1.into()));
    for _ in 0..100 {
        house.memory.move_message("a", MessageState::Received);
    }
    assert_eq!(app.told("ended").await["reason"], "slow");
    until(|| house.memory.gauged(metric::SUBSCRIPTIONS) == 0).await;
}

#[tokio::test]
async fn nothing_comes_behind_the_answer_to_unsubscribe() {
    let house = House::new();
    let mut app = house.app();
    let answer = app.call("events.subscribe", "{}").await;
    app.told("caught_up").await;
    let name = answer["result"]["subscription"].as_str().unwrap().to_owned();
    house.memory.event("a", "{}");
    app.told("event").await;
    let ended = app.call("unsubscribe", &format!(r#"{{"subscription":"{name}"}}"#)).await;
    assert_eq!(ended["result"], serde_json::json!({}));
    house.memory.event("a", "{}");
    app.quiet().await;
    let again = app.call("unsubscribe", &format!(r#"{{"subscription":"{name}"}}"#)).await;
    assert_eq!(again["error"]["data"]["kind"], "not_found");
}

#[tokio::test]
async fn another_epoch_is_refused() {
    let house = House::new();
    let mut app = house.app();
    for (method, params) in [
        ("events.list", r#"{"from":1,"epoch":"old"}"#),
        ("events.subscribe", r#"{"cursor":"c","epoch":"old"}"#),
        ("events.ack", r#"{"cursor":"c","seq":1,"epoch":"old"}"#),
    ] {
        let answer = app.call(method, params).await;
        assert_eq!(answer["error"]["data"]["kind"], "wrong_epoch", "{answer}");
        assert_eq!(answer["error"]["data"]["epoch"], "epoch-1");
    }
    assert_eq!(house.memory.cursor("c"), None);
    assert!(app.call("events.list", r#"{"from":1,"epoch":"epoch-1"}"#).await["result"].is_object());
}

#[tokio::test]
async fn a_subscription_that_makes_no_sense_is_refused() {
    let mut app = House::new().app();
    for params in [
        r#"{"from":"cursor"}"#,
        r#"{"from":"yesterday"}"#,
        r#"{"from":1.5}"#,
        r#"{"ack":"manual"}"#,
        r#"{"cursor":"c","max_inflight":0}"#,
        r#"{"cursor":""}"#,
        r#"{"cursor":"a\nb"}"#,
        r#"{"types":["\u0000"]}"#,
    ] {
        let answer = app.call("events.subscribe", params).await;
        assert_eq!(code(&answer), -32602, "{params}: {answer}");
    }
    app.quiet().await;
}

#[tokio::test]
async fn of_what_an_app_catches_up_with_one_page_is_read_ahead_and_no_more() {
    let house = House::new();
    let body = format!("\"{}\"", "x".repeat(1_000));
    for _ in 0..5_000 {
        house.memory.event("a", &body);
    }
    let mut app = house.app_with_room(1_024);
    app.call("events.subscribe", r#"{"from":"earliest"}"#).await;
    // What the app does not take holds the next one up.
    let before = house.memory.pages();
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    assert!(house.memory.pages() <= before.max(1) + 3, "{} pages", house.memory.pages());
    for seq in 1..=5_000 {
        let told = app.told("event").await;
        assert_eq!(told["event"]["seq"], seq);
        assert_eq!(told["prev"], seq - 1);
        assert_eq!(told["replay"], true);
    }
    assert_eq!(app.told("caught_up").await["seq"], 5_000);
}
