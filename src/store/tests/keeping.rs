use std::time::Duration;

use super::{Room, event, message};
use crate::model::{MessageState, Seq};
use crate::store::EventQuery;

fn all() -> EventQuery {
    EventQuery { from: Seq(1), types: Vec::new(), limit: 100_000, bytes: usize::MAX }
}

/// Waits until `done`; pruning goes on in small steps after the commit that made it due.
async fn until(mut done: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !done().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.expect("it comes to that");
}

#[tokio::test]
async fn p7_finished_messages_are_pruned_and_unfinished_ones_never() {
    let mut room = Room::with(|settings| settings.outbox.keep_finished = 3);
    let mut waiting = vec![room.send(message("first")).await.id];
    let mut finished = Vec::new();
    for number in 0..10 {
        finished.push(room.finish(message(&number.to_string()), MessageState::Accepted).await);
        waiting.push(room.send(message("still")).await.id);
    }
    waiting.push(room.finish(message("p"), MessageState::Parked).await);
    waiting.push(room.finish(message("u"), MessageState::Uncertain).await);
    until(async || room.store.get(&finished[6]).await.unwrap().is_none()).await;
    for (index, id) in finished.iter().enumerate() {
        assert_eq!(room.store.get(id).await.unwrap().is_some(), index >= 7, "{index}");
    }
    for id in &waiting {
        assert!(room.store.get(id).await.unwrap().is_some());
    }
    assert_eq!(room.due_all().await.rows.len(), 11);
}

#[tokio::test]
async fn p7_one_step_of_pruning_steps_over_what_is_unfinished() {
    let mut room = Room::new();
    let (mut waiting, mut finished) = (Vec::new(), Vec::new());
    for number in 0..20 {
        finished.push(room.finish(message(&number.to_string()), MessageState::Accepted).await);
        waiting.push(room.send(message("still")).await.id);
    }
    let mut settings = room.settings.clone();
    settings.outbox.keep_finished = 0;
    room.store.reconfigure(settings).await.unwrap();
    until(async || room.store.get(&finished[19]).await.unwrap().is_none()).await;
    let due: Vec<_> = room.due_all().await.rows.into_iter().map(|row| row.id).collect();
    assert_eq!(due, waiting);
}

#[tokio::test]
async fn p7_a_message_that_waited_long_is_not_forgotten_before_those_that_ended_earlier() {
    let mut room = Room::with(|settings| settings.outbox.keep_finished = 2);
    let late = room.send(message("late")).await.id;
    let mut early = Vec::new();
    for number in 0..4 {
        early.push(room.finish(message(&number.to_string()), MessageState::Accepted).await);
        until_the_clock_moves().await;
    }
    until(async || room.store.get(&early[1]).await.unwrap().is_none()).await;
    let place = room.place(&late).await;
    room.record(vec![super::ended(place, &late, MessageState::Accepted)]).await;
    until(async || room.store.get(&early[2]).await.unwrap().is_none()).await;
    assert_eq!(room.state(&late).await, MessageState::Accepted);
    assert_eq!(room.state(&early[3]).await, MessageState::Accepted);
}

/// Ends are told apart by their millisecond.
async fn until_the_clock_moves() {
    let clock = crate::clock::Clock::start();
    let before = clock.now().wall;
    until(async || clock.now().wall > before).await;
}

#[tokio::test]
async fn p7_events_are_pruned_by_bytes_oldest_first() {
    let mut room = Room::with(|settings| settings.inbox.max_bytes = 100);
    for number in 0..20 {
        room.receive(vec![event(None, "t", &format!("\"{number:08}\""))]).await;
    }
    until(async || room.store.counters().inbox_bytes <= 100).await;
    let page = room.store.events(all()).await.unwrap();
    let numbers: Vec<_> = page.rows.iter().map(|row| row.seq.unwrap().0).collect();
    assert_eq!(numbers, (11..=20).collect::<Vec<_>>());
    assert_eq!(room.store.counters().first_seq, Some(Seq(11)));
}

#[tokio::test]
async fn p7_what_is_too_old_goes_at_the_next_look() {
    let mut room = Room::new();
    let finished = room.finish(message("1"), MessageState::Accepted).await;
    let waiting = room.send(message("2")).await.id;
    for number in 0..700 {
        room.receive(vec![event(None, "t", &number.to_string())]).await;
    }
    let mut settings = room.settings.clone();
    settings.outbox.keep_finished_age = Duration::ZERO;
    settings.inbox.max_age = Duration::ZERO;
    // The receipt times of these tests lie in the future: no age prunes them.
    room.store.reconfigure(settings).await.unwrap();
    room.store.maintain().await.unwrap();
    until(async || room.store.get(&finished).await.unwrap().is_none()).await;
    assert!(room.store.get(&waiting).await.unwrap().is_some());
    assert_eq!(room.store.counters().events, 700);
}

#[tokio::test]
async fn p7_old_events_go_in_several_steps_without_anyone_asking() {
    let mut room = Room::new();
    let rows = (0..700).map(|number| event(None, "t", &number.to_string())).collect();
    let unit = crate::model::Unit { rows, ..crate::model::Unit::default() };
    let now = crate::clock::Clock::start().now().wall;
    let old = crate::model::Timestamp::from_millis(now.as_millis() - 7_200_000);
    room.record(vec![crate::model::Record::Inbound { received_at: old, unit }]).await;
    until(async || room.store.counters().events == 0).await;
    assert_eq!(room.store.counters().first_seq, None);
    let page = room.store.events(all()).await.unwrap();
    assert_eq!((page.pruned, page.last_seq), (Some((Seq(1), Seq(700))), Some(Seq(700))));
    let next = room.receive(vec![event(None, "t", "1")]).await;
    assert!(matches!(&next[0], crate::model::Appended::Stored(row) if row.seq == Some(Seq(701))));
}

#[tokio::test]
async fn a_pruned_frame_leaves_quarantine_too() {
    let mut room = Room::with(|settings| settings.inbox.max_events = 1);
    let frame = crate::model::Frame::Text("x".to_owned());
    room.receive(vec![crate::model::NewRow::Bad { reason: "bad", detail: String::new(), frame }]).await;
    room.receive(vec![event(None, "t", "1")]).await;
    until(async || room.store.counters().quarantined == 0).await;
    assert!(room.store.quarantine_list(10, None).await.unwrap().entries.is_empty());
}

#[tokio::test]
async fn p7_soon_after_the_start_nothing_is_pruned_for_its_age() {
    let mut room = Room::with(|settings| settings.ages_after = Duration::from_secs(3600));
    let now = crate::clock::Clock::start().now().wall;
    let old = crate::model::Timestamp::from_millis(now.as_millis() - 7_200_000);
    let unit = crate::model::Unit { rows: vec![event(None, "t", "1")], ..crate::model::Unit::default() };
    room.record(vec![crate::model::Record::Inbound { received_at: old, unit }]).await;
    room.store.maintain().await.unwrap();
    assert_eq!(room.store.counters().events, 1);
    // A count is no age.
    let mut settings = room.settings.clone();
    settings.inbox.max_events = 0;
    room.store.reconfigure(settings).await.unwrap();
    room.store.maintain().await.unwrap();
    until(async || room.store.counters().events == 0).await;
}

#[tokio::test]
async fn p7_stamps_of_a_clock_that_stood_wrong_make_no_event_old() {
    let mut room = Room::new();
    for received_at in [1_000, 4_102_444_800_000] {
        let unit = crate::model::Unit { rows: vec![event(None, "t", "1")], ..crate::model::Unit::default() };
        let received_at = crate::model::Timestamp::from_millis(received_at);
        room.record(vec![crate::model::Record::Inbound { received_at, unit }]).await;
    }
    room.store.maintain().await.unwrap();
    assert_eq!(room.store.counters().events, 2);
}

#[tokio::test]
async fn the_message_that_stops_a_lane_is_kept_until_somebody_dealt_with_it() {
    let mut room = Room::with(|settings| settings.outbox.keep_finished = 2);
    let rejected = room.finish(message("1"), MessageState::Rejected).await;
    let other = room.finish(message("2"), MessageState::Rejected).await;
    let name = format!("{}payments", crate::model::STOPPED_LANE);
    let place = room.place(&rejected).await;
    let value = Some(place.0.to_string());
    room.record(vec![crate::model::Record::Remember { name: name.clone(), value }]).await;
    for number in 0..10 {
        room.finish(message(&number.to_string()), MessageState::Accepted).await;
    }
    until(async || room.store.get(&other).await.unwrap().is_none()).await;
    assert!(room.store.get(&rejected).await.unwrap().is_some(), "a person is to deal with it");
    // It was dropped: the lane goes on, and the message is one of many.
    room.record(vec![crate::model::Record::Remember { name: name.clone(), value: None }]).await;
    for number in 0..10 {
        room.finish(message(&number.to_string()), MessageState::Accepted).await;
    }
    let mut room = room.reopen().await;
    room.finish(message("more"), MessageState::Accepted).await;
    until(async || room.store.get(&rejected).await.unwrap().is_none()).await;

    // A lane that an earlier version left waiting for nothing does so no longer.
    let value = Some(place.0.to_string());
    room.record(vec![crate::model::Record::Remember { name: name.clone(), value }]).await;
    let room = room.reopen().await;
    assert_eq!(room.store.value_get(&name).await.unwrap(), None);
}
