use rusqlite::Connection;

use super::{Room, ended, event, message, named};
use crate::model::{Durability, MessageId, MessageState, Place, Record, Timestamp, Unit};

/// So many messages at once, with the places they got.
async fn queued(room: &Room, count: usize) -> Vec<(Place, MessageId)> {
    let mut answers = Vec::new();
    for number in 0..count {
        let new = if number % 7 == 0 { named(&format!("n{number}"), "x") } else { message("x") };
        answers.push(room.store.submit(new).await.unwrap());
    }
    let mut rows = Vec::new();
    for (place, answer) in (1..).zip(answers) {
        rows.push((Place(place), answer.await.unwrap().id));
    }
    rows
}

fn roomy() -> Room {
    Room::with(|settings| {
        settings.durability = Durability::Normal;
        settings.outbox.max_messages = 100_000;
        settings.outbox.keep_finished = 100_000;
    })
}

#[tokio::test]
async fn ends_of_neighbours_are_those_of_their_rows_and_no_others() {
    use MessageState::{Accepted, Queued, Received, Rejected, Sent};
    let mut room = roomy();
    let rows = queued(&room, 60).await;
    let mut expected = vec![Queued; rows.len()];
    let mut records = Vec::new();
    let mut end = |index: usize, state, stands| {
        records.push(ended(rows[index].0, &rows[index].1, state));
        expected[index] = stands;
    };
    // In order; another state in between; a hole; backwards; twice, and rising; a refusal among them.
    (0..10).for_each(|index| end(index, Accepted, Accepted));
    (10..13).for_each(|index| end(index, Received, Received));
    (14..20).for_each(|index| end(index, Accepted, Accepted));
    (30..40).rev().for_each(|index| end(index, Sent, Sent));
    (40..44).for_each(|index| end(index, Sent, Sent));
    (40..42).for_each(|index| end(index, Accepted, Accepted));
    (40..42).for_each(|index| end(index, Sent, Accepted));
    (44..46).for_each(|index| end(index, Accepted, Accepted));
    end(46, Rejected, Rejected);
    (47..50).for_each(|index| end(index, Accepted, Accepted));
    // With the id of another.
    records.push(ended(rows[55].0, &rows[54].1, Accepted));
    room.record(records).await;
    for round in 0..2 {
        for ((_, id), state) in rows.iter().zip(&expected) {
            assert_eq!(room.state(id).await, *state, "{id}");
        }
        let waiting = expected.iter().filter(|state| **state == Queued).count();
        assert_eq!(room.store.counters().unfinished, waiting as u64);
        assert_eq!(room.store.counters().confirmed_total, (expected.len() - waiting - 1) as u64);
        assert!(room.store.quick_check().await.unwrap().is_sound(), "every seal fits");
        if round == 0 {
            room = room.reopen().await;
        }
    }
    // Read from disk they end as well.
    let due = room.due_all().await.rows;
    room.record(due.iter().map(|row| ended(row.place, &row.id, Accepted)).collect()).await;
    assert_eq!(room.store.counters().unfinished, 0);
    assert!(room.store.quick_check().await.unwrap().is_sound());
}

#[tokio::test]
async fn more_messages_than_are_remembered_end_all_the_same() {
    let mut room = roomy();
    let rows = queued(&room, 5_000).await;
    // The last ones first.
    for chunk in rows.rchunks(1_000) {
        room.record(chunk.iter().map(|(place, id)| ended(*place, id, MessageState::Accepted)).collect())
            .await;
    }
    assert_eq!(room.store.counters().unfinished, 0);
    assert_eq!(room.store.counters().confirmed_total, 5_000);
    assert!(room.store.quick_check().await.unwrap().is_sound());
}

#[tokio::test]
async fn p14_a_row_that_changed_on_disk_while_it_waited_ends_and_is_seen_to_be_damaged() {
    let mut room = Room::new();
    let rows = queued(&room, 10).await;
    Connection::open(room.path())
        .unwrap()
        .execute_batch(
            "UPDATE outbox SET attempts = 3 WHERE place = 4; UPDATE outbox SET state = 14 WHERE place = 6",
        )
        .unwrap();
    room.record(rows.iter().map(|(place, id)| ended(*place, id, MessageState::Accepted)).collect()).await;
    for (_, id) in &rows {
        assert_eq!(room.state(id).await, MessageState::Accepted);
    }
    let counters = room.store.counters();
    assert_eq!((counters.unfinished, counters.outbox_bytes, counters.confirmed_total), (0, 0, 10));
    assert_eq!(room.store.quick_check().await.unwrap().damaged_messages, 2);
}

#[tokio::test]
async fn of_each_stream_the_last_place_to_go_on_from_in_a_batch_stands() {
    let mut room = Room::new();
    let unit = |cursors: &[(&str, Option<&str>)]| {
        let cursors =
            cursors.iter().map(|(stream, cursor)| ((*stream).into(), cursor.map(Into::into))).collect();
        let unit = Unit { rows: vec![event(None, "t", "1")], cursors, ..Unit::default() };
        Record::Inbound { received_at: Timestamp::from_millis(Room::NOW), unit }
    };
    room.record(vec![
        unit(&[("a", Some("1")), ("b", Some("1")), ("c", Some("1"))]),
        unit(&[("a", Some("2")), ("b", None)]),
        unit(&[("a", Some("3"))]),
    ])
    .await;
    let server = room.settings.server_key.clone();
    let known = room.after_kill().store.use_server(server).await.unwrap().cursors;
    let known: std::collections::BTreeMap<_, _> =
        known.iter().map(|(stream, at)| (&**stream, &**at)).collect();
    assert_eq!(known, [("a", "3"), ("c", "1")].into());
    room.record(vec![unit(&[("a", None)])]).await;
    let server = room.settings.server_key.clone();
    assert_eq!(room.after_kill().store.use_server(server).await.unwrap().cursors.len(), 1);
}
