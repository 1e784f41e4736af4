use super::{House, until};

fn send(id: usize, kind: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"messages.send","params":{{"type":"{kind}","data":{id}}}}}"#
    )
}

#[tokio::test]
async fn sends_of_one_connection_enter_in_the_order_of_their_lines() {
    let house = House::new();
    let mut app = house.app();
    let kinds: Vec<String> = (0..300)
        .map(|n| match n % 3 {
            0 => format!("slow{n}"),
            1 => "later".to_owned(),
            _ => format!("quick{n}"),
        })
        .collect();
    let lines: Vec<String> = kinds.iter().enumerate().map(|(n, kind)| send(n, kind)).collect();
    // Some alone, some in batches.
    for lines in lines.chunks(30) {
        app.line(&format!("{}\n[{}]", lines[..10].join("\n"), lines[10..].join(","))).await;
    }
    until(|| house.memory.kinds().len() == 300).await;
    assert_eq!(house.memory.kinds(), kinds);
}

#[tokio::test]
async fn a_call_that_waits_holds_up_no_other() {
    let house = House::new();
    let mut app = house.app();
    app.line(&send(1, "later")).await;
    app.quiet().await;
    house.memory.release.notify_one();
    assert_eq!(app.next().await.unwrap()["id"], 1);
}

#[tokio::test]
async fn what_changes_something_is_through_before_the_next_begins() {
    let house = House::new();
    let mut app = house.app();
    app.line(concat!(
        r#"{"jsonrpc":"2.0","method":"messages.send","params":{"type":"slow","data":1,"id":"a"}}"#,
        "\n",
        r#"{"jsonrpc":"2.0","id":1,"method":"messages.cancel","params":{"id":"a"}}"#,
        "\n",
        r#"{"jsonrpc":"2.0","id":2,"method":"link.pause"}"#,
        "\n",
        r#"{"jsonrpc":"2.0","id":3,"method":"link.reconnect"}"#,
        "\n",
        r#"{"jsonrpc":"2.0","id":4,"method":"link.resume"}"#,
    ))
    .await;
    assert_eq!(app.next().await.unwrap()["result"]["state"], "cancelled");
    assert_eq!(app.next().await.unwrap()["result"]["state"], "paused");
    assert_eq!(app.next().await.unwrap()["error"]["data"]["kind"], "conflict");
    assert_eq!(app.next().await.unwrap()["result"]["state"], "connecting");
}

#[tokio::test]
async fn requests_pile_up_without_being_refused_and_reading_goes_on_once_they_are_answered() {
    let house = House::new();
    let mut app = house.app();
    let lines: Vec<String> = (0..4_200).map(|n| send(n, "later")).collect();
    let writer = lines.join("\n");
    app.line(&writer).await;
    until(|| house.memory.kinds().len() == super::super::dispatch::MAX_UNANSWERED).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(house.memory.kinds().len(), super::super::dispatch::MAX_UNANSWERED, "it is not read further");
    let mut answered = 0;
    while answered < 4_200 {
        house.memory.release.notify_waiters();
        while let Ok(answer) = tokio::time::timeout(std::time::Duration::from_millis(20), app.next()).await {
            assert_eq!(answer.unwrap()["result"]["state"], "queued");
            answered += 1;
        }
    }
}

#[tokio::test]
async fn ids_as_long_as_a_line_are_kept_for_no_more_than_two_lines() {
    let house = House::with(crate::rpc::Limits { max_line: 1_000, ..crate::rpc::Limits::default() });
    let mut app = house.app();
    let line = |n: usize| send(n, "later").replacen(&format!(":{n},"), &format!(":\"{:0800}\",", n), 1);
    app.line(&(0..10).map(line).collect::<Vec<_>>().join("\n")).await;
    until(|| house.memory.kinds().len() == 2).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(house.memory.kinds().len(), 2, "it is not read further");
    for n in 0..10 {
        house.memory.release.notify_one();
        assert_eq!(app.next().await.unwrap()["id"], format!("{n:0800}"));
    }
}

#[tokio::test]
async fn a_batch_is_answered_in_one_array_in_its_order_and_subscriptions_begin_behind_it() {
    let house = House::new();
    house.memory.event("a", "1");
    let mut app = house.app();
    let answers = app
        .reply(concat!(
            r#"[{"jsonrpc":"2.0","id":1,"method":"events.subscribe","params":{"from":"earliest"}},"#,
            r#"{"jsonrpc":"2.0","id":2,"method":"messages.send","params":{"type":"slow","data":1}},"#,
            r#"{"jsonrpc":"2.0","id":3,"method":"status.watch"},"#,
            r#"{"jsonrpc":"2.0","id":4,"method":"status"}]"#,
        ))
        .await;
    let ids: Vec<i64> = answers.as_array().unwrap().iter().map(|one| one["id"].as_i64().unwrap()).collect();
    assert_eq!(ids, [1, 2, 3, 4]);
    let mut told = [app.next().await.unwrap(), app.next().await.unwrap(), app.next().await.unwrap()]
        .map(|told| told["method"].as_str().unwrap().to_owned());
    told.sort();
    assert_eq!(told, ["caught_up", "event", "status"]);
}

#[tokio::test]
async fn receipts_told_by_another_thread_come_whole_and_in_order_however_little_the_app_takes() {
    let house = House::new();
    for room in [7, 64, 100_000] {
        let mut app = house.app_with_room(room);
        for round in 0..20 {
            // A lone one has nobody behind it who would wake the task.
            let count = if round % 2 == 0 { 5 } else { 1 };
            let lines: Vec<String> = (0..count).map(|n| send(5 * round + n, "alone")).collect();
            app.line(&lines.join("\n")).await;
            until(|| house.memory.alone.lock().unwrap().len() == count).await;
            let held = std::mem::take(&mut *house.memory.alone.lock().unwrap());
            let telling = std::thread::spawn(move || {
                for (told, outcome) in held {
                    told.at_once(outcome);
                }
            });
            for n in 0..count {
                let answer = app.next().await.unwrap();
                assert_eq!(answer["id"], 5 * round + n, "{answer}");
                assert_eq!(answer["result"]["state"], "queued");
            }
            telling.join().unwrap();
            app.quiet().await;
        }
        app.gone().await;
    }
}

#[tokio::test]
async fn a_receipt_told_behind_the_back_of_the_task_that_writes_frees_its_place() {
    let house = House::new();
    let mut app = house.app();
    const EACH: usize = 500;
    for _ in 0..=super::super::dispatch::MAX_UNANSWERED / EACH {
        let lines: Vec<String> = (0..EACH).map(|n| send(n, "alone")).collect();
        app.line(&lines.join("\n")).await;
        until(|| house.memory.alone.lock().unwrap().len() == EACH).await;
        let held = std::mem::take(&mut *house.memory.alone.lock().unwrap());
        // Within a task of the runtime a socket takes only so much before it is another's turn.
        let telling = std::thread::spawn(move || {
            for (told, outcome) in held {
                told.at_once(outcome);
            }
        });
        for n in 0..EACH {
            assert_eq!(app.next().await.unwrap()["id"], n);
        }
        telling.join().unwrap();
    }
    app.gone().await;
}

#[tokio::test]
async fn a_connection_ends_though_its_receipts_are_still_to_come() {
    let house = House::new();
    let mut app = house.app();
    app.line(&send(1, "alone")).await;
    until(|| !house.memory.alone.lock().unwrap().is_empty()).await;
    let (told, outcome) = house.memory.alone.lock().unwrap().remove(0);
    app.gone().await;
    told.at_once(outcome);
}
