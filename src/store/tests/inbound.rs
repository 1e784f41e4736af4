use std::sync::Arc;

use super::{Room, event, keyed};
use crate::clock::Clock;
use crate::model::{
    Appended, Delivery, ErrorKind, EventRow, Frame, GapReason, LinkState, NewRow, Payload, Record, RowKind,
    Seq, Timestamp, Transition, TypeGlob, Unit,
};
use crate::store::{EventPage, EventQuery, Store};

fn stored(appended: &Appended) -> &Arc<EventRow> {
    let Appended::Stored(row) = appended else { panic!("{appended:?}") };
    row
}

fn seq(appended: &Appended) -> i64 {
    stored(appended).seq.unwrap().0
}

fn from(seq: i64) -> EventQuery {
    EventQuery { from: Seq(seq), types: Vec::new(), limit: 1000, bytes: usize::MAX }
}

async fn page(room: &Room, query: EventQuery) -> EventPage {
    room.store.events(query).await.unwrap()
}

#[tokio::test]
async fn what_is_told_live_is_what_is_replayed() {
    let mut room = Room::new();
    let rows = vec![
        event(Some("e1"), "order", "{\"n\": 1.10}"),
        NewRow::Gap { reason: GapReason::Server, detail: "it said so".to_owned() },
        NewRow::Bad {
            reason: "invalid_json",
            detail: "at 1".to_owned(),
            frame: Frame::Binary(vec![0xff, 0x00]),
        },
        NewRow::Event {
            stream: "".into(),
            id: None,
            kind: "text".to_owned(),
            payload: Payload::Text("plain".into()),
            delivery: Delivery::Durable,
            key: None,
        },
    ];
    let appended = room.receive(rows).await;
    let live: Vec<_> = appended.iter().map(|row| stored(row).clone()).collect();
    let replayed = page(&room, from(1)).await;
    assert_eq!(replayed.rows, live);
    assert_eq!((replayed.more, replayed.next), (false, Seq(5)));
    assert_eq!((replayed.first_seq, replayed.last_seq), (Some(Seq(1)), Some(Seq(4))));
    let room = room.reopen().await;
    assert_eq!(page(&room, from(1)).await.rows, live);
    let counters = room.store.counters();
    assert_eq!((counters.events, counters.quarantined), (2, 1));
}

#[tokio::test]
async fn an_id_seen_before_is_stored_once_across_restarts() {
    let mut room = Room::new();
    room.receive(vec![event(Some("a"), "t", "1"), event(Some("b"), "t", "2")]).await;
    let again = room.receive(vec![event(Some("a"), "t", "1"), event(Some("c"), "t", "3")]).await;
    assert_eq!(again[0], Appended::Duplicate);
    assert_eq!(seq(&again[1]), 3);
    let mut room = room.reopen().await;
    assert_eq!(room.receive(vec![event(Some("b"), "t", "2")]).await, [Appended::Duplicate]);
    let twice_in_one = room.receive(vec![event(Some("d"), "t", "4"), event(Some("d"), "t", "4")]).await;
    assert_eq!(twice_in_one[1], Appended::Duplicate);
    assert_eq!(room.store.counters().duplicates_total, 3);
}

#[tokio::test]
async fn ids_are_told_apart_by_their_stream() {
    let mut room = Room::new();
    let in_stream = |stream: &str| NewRow::Event {
        stream: stream.into(),
        id: Some("a".to_owned()),
        kind: "t".to_owned(),
        payload: Payload::Json("1".into()),
        delivery: Delivery::Durable,
        key: None,
    };
    let appended = room.receive(vec![in_stream("x"), in_stream("y"), in_stream("x")]).await;
    assert!(matches!(appended[..], [Appended::Stored(_), Appended::Stored(_), Appended::Duplicate]));
    let mut room = room.reopen().await;
    assert_eq!(room.receive(vec![in_stream("y")]).await, [Appended::Duplicate]);
}

#[tokio::test]
async fn an_id_is_remembered_though_its_row_was_replaced_or_pruned() {
    let mut room = Room::with(|settings| settings.inbox.max_events = 3);
    let latest = |id: &str, body: &str| NewRow::Event {
        stream: "".into(),
        id: Some(id.to_owned()),
        kind: "pos".to_owned(),
        payload: Payload::Json(body.into()),
        delivery: Delivery::Latest,
        key: Some("k".to_owned()),
    };
    room.receive(vec![latest("a", "1")]).await;
    room.receive(vec![latest("b", "2")]).await;
    assert_eq!(room.receive(vec![latest("a", "1")]).await, [Appended::Duplicate]);
    for number in 0..10 {
        room.receive(vec![event(Some(&format!("e{number}")), "t", "1")]).await;
    }
    assert_eq!(room.receive(vec![event(Some("e0"), "t", "1")]).await, [Appended::Duplicate]);
    let mut room = room.reopen().await;
    for id in ["a", "b", "e0", "e9"] {
        assert_eq!(room.receive(vec![event(Some(id), "t", "1")]).await, [Appended::Duplicate], "{id}");
    }
}

#[tokio::test]
async fn an_id_is_forgotten_behind_the_window() {
    let mut room = Room::with(|settings| settings.inbox.max_events = 1_000_000);
    let window = crate::store::dedupe::WINDOW;
    let rows = |numbers: std::ops::Range<usize>| {
        numbers.map(|number| event(Some(&number.to_string()), "t", "1")).collect::<Vec<_>>()
    };
    room.receive(rows(0..window)).await;
    assert_eq!(room.receive(rows(0..1)).await, [Appended::Duplicate], "the last of the window");
    room.receive(rows(window..window + 1)).await;
    let mut room = room.reopen().await;
    assert!(matches!(room.receive(rows(1..2)).await[..], [Appended::Duplicate]));
    assert!(matches!(room.receive(rows(0..1)).await[..], [Appended::Stored(_)]));
}

#[tokio::test]
async fn a_latest_value_replaces_the_older_one_under_a_new_number() {
    let mut room = Room::new();
    let one = room.receive(vec![keyed(Delivery::Latest, "pos", "k", "1")]).await;
    room.receive(vec![keyed(Delivery::Latest, "pos", "j", "7")]).await;
    let two = room.receive(vec![keyed(Delivery::Latest, "pos", "k", "2")]).await;
    assert_eq!((seq(&one[0]), seq(&two[0])), (1, 3));
    let page = page(&room, from(1)).await;
    let numbers: Vec<_> = page.rows.iter().map(|row| row.seq.unwrap().0).collect();
    assert_eq!(numbers, [2, 3]);
    assert_eq!((page.first_seq, page.pruned), (Some(Seq(2)), None));
    assert_eq!(room.store.state_get("pos", "k").await.unwrap().as_ref(), Some(stored(&two[0])));
    assert_eq!(room.store.counters().events, 2);
}

#[tokio::test]
async fn values_replaced_within_one_commit_are_conflated() {
    let mut room = Room::new();
    let rows = (0..4).map(|n| keyed(Delivery::Latest, "pos", "k", &n.to_string())).collect();
    let appended = room.receive(rows).await;
    assert_eq!(appended[..3], [Appended::Conflated, Appended::Conflated, Appended::Conflated]);
    assert_eq!(page(&room, from(1)).await.rows, [stored(&appended[3]).clone()]);
}

#[tokio::test]
async fn keyed_durable_events_are_all_kept_and_state_knows_the_newest() {
    let mut room = Room::new();
    for number in 0..3 {
        for key in ["a", "b", "c"] {
            room.receive(vec![keyed(Delivery::Durable, "order", key, &number.to_string())]).await;
        }
    }
    room.receive(vec![event(None, "order", "9"), keyed(Delivery::Durable, "other", "z", "1")]).await;
    assert_eq!(page(&room, from(1)).await.rows.len(), 11);
    let first = room.store.state_list("order", 2, None).await.unwrap();
    assert!(first.more);
    let rest = room.store.state_list("order", 2, Some(first.rows[1].0.clone())).await.unwrap();
    assert!(!rest.more);
    let newest: Vec<_> =
        first.rows.iter().chain(&rest.rows).map(|(key, row)| (key.clone(), row.seq.unwrap().0)).collect();
    assert_eq!(newest, [("a".to_owned(), 7), ("b".to_owned(), 8), ("c".to_owned(), 9)]);
    assert_eq!(room.store.state_get("order", "none").await.unwrap(), None);
}

#[tokio::test]
async fn events_are_paged_oldest_first_by_count_bytes_and_type() {
    let mut room = Room::new();
    for number in 0..10 {
        let kind = if number % 2 == 0 { "even" } else { "odd" };
        room.receive(vec![event(None, kind, &format!("\"{number:020}\""))]).await;
    }
    room.receive(vec![NewRow::Gap { reason: GapReason::Server, detail: String::new() }]).await;
    let two = page(&room, EventQuery { limit: 2, ..from(4) }).await;
    assert_eq!(two.rows.iter().map(|row| row.seq.unwrap().0).collect::<Vec<_>>(), [4, 5]);
    assert_eq!((two.more, two.next), (true, Seq(6)));
    let odd = page(&room, EventQuery { types: vec![TypeGlob::new("o*")], ..from(1) }).await;
    assert_eq!(odd.rows.iter().map(|row| row.seq.unwrap().0).collect::<Vec<_>>(), [2, 4, 6, 8, 10, 11]);
    assert_eq!((odd.more, odd.next), (false, Seq(12)));
    let small = page(&room, EventQuery { bytes: 1, ..from(1) }).await;
    assert_eq!((small.rows.len(), small.more, small.next), (1, true, Seq(2)));
    let small = page(&room, EventQuery { bytes: 50, ..from(1) }).await;
    assert_eq!((small.rows.len(), small.next), (2, Seq(3)));
    let end = page(&room, from(50)).await;
    assert_eq!((end.rows.len(), end.more, end.next), (0, false, Seq(50)));
}

#[tokio::test]
async fn what_was_pruned_is_told_to_whoever_asks_for_it() {
    let mut room = Room::with(|settings| settings.inbox.max_events = 5);
    for number in 0..12 {
        room.receive(vec![event(None, "t", &number.to_string())]).await;
    }
    let page = page(&room, from(3)).await;
    assert_eq!(page.pruned, Some((Seq(3), Seq(7))));
    assert_eq!((page.first_seq, page.rows.len()), (Some(Seq(8)), 5));
    let kept = room.store.events(from(8)).await.unwrap();
    assert_eq!(kept.pruned, None);
}

#[tokio::test]
async fn a_dropped_frame_leaves_its_row_in_the_sequence() {
    let mut room = Room::new();
    for text in ["one", "two", "three"] {
        let frame = Frame::Text(text.to_owned());
        room.receive(vec![NewRow::Bad { reason: "too_deep", detail: "65 levels".to_owned(), frame }]).await;
    }
    let first = room.store.quarantine_list(2, None).await.unwrap();
    assert!(first.more);
    assert_eq!((first.entries[0].raw.as_str(), first.entries[0].reason.as_str()), ("one", "too_deep"));
    let rest = room.store.quarantine_list(2, Some(first.entries[1].id)).await.unwrap();
    assert_eq!((rest.entries.len(), rest.more), (1, false));

    room.store.quarantine_drop(Seq(2)).await.unwrap();
    assert_eq!(room.store.quarantine_drop(Seq(2)).await.unwrap_err().kind, ErrorKind::NotFound);
    assert_eq!(room.store.counters().quarantined, 2);
    let rows = page(&room, from(1)).await.rows;
    assert_eq!(rows.len(), 3);
    assert!(rows.iter().all(|row| row.kind == RowKind::Bad));
}

#[tokio::test]
async fn cursors_only_move_forward_and_survive() {
    let mut room = Room::new();
    for number in 0..5 {
        room.receive(vec![event(None, "t", &number.to_string())]).await;
    }
    let (cursor, created) = room.store.cursor_create_or_get("ui").await.unwrap();
    assert_eq!((cursor.seq, created), (Seq(0), true));
    assert_eq!(room.store.cursor_ack("ui", Seq(3)).await.unwrap().seq, Seq(3));
    assert_eq!(room.store.cursor_ack("ui", Seq(2)).await.unwrap().seq, Seq(3));
    assert_eq!(room.store.cursor_ack("ui", Seq(6)).await.unwrap_err().kind, ErrorKind::InvalidParams);
    assert_eq!(room.store.cursor_ack("nobody", Seq(1)).await.unwrap_err().kind, ErrorKind::NotFound);
    room.store.cursor_ack_later("ui", Seq(4)).await.unwrap();
    room.store.cursor_touch("ui", Timestamp::from_millis(77)).await.unwrap();
    let listed = room.store.cursor_list().await.unwrap();
    assert_eq!((listed[0].seq, listed[0].last_seen), (Seq(4), Some(Timestamp::from_millis(77))));
    room.store.cursor_create_or_get("b").await.unwrap();

    let room = room.reopen().await;
    let (cursor, created) = room.store.cursor_create_or_get("ui").await.unwrap();
    assert_eq!((cursor.seq, created), (Seq(4), false));
    room.store.cursor_delete("ui").await.unwrap();
    assert_eq!(room.store.cursor_delete("ui").await.unwrap_err().kind, ErrorKind::NotFound);
    assert_eq!(room.store.cursor_list().await.unwrap().len(), 1);
    for name in ["", "a\nb", &"x".repeat(200)] {
        assert_eq!(room.store.cursor_create_or_get(name).await.unwrap_err().kind, ErrorKind::InvalidParams);
    }
}

#[tokio::test]
async fn a_new_cursor_begins_before_the_first_kept_row() {
    let mut room = Room::with(|settings| settings.inbox.max_events = 2);
    for number in 0..6 {
        room.receive(vec![event(None, "t", &number.to_string())]).await;
    }
    assert_eq!(room.store.cursor_create_or_get("ui").await.unwrap().0.seq, Seq(4));
}

#[tokio::test]
async fn resume_state_is_kept_per_server_and_comes_with_its_events() {
    let mut room = Room::new();
    let unit = Unit {
        rows: vec![event(Some("a"), "t", "1")],
        cursors: vec![("s".into(), Some("\"7\"".into())), ("gone".into(), Some("1".into()))],
        kept: vec![("session".into(), Some("\"abc\"".into()))],
    };
    let received_at = Timestamp::from_millis(Room::NOW);
    let forget = Unit { cursors: vec![("gone".into(), None)], ..Unit::default() };
    let connected = Transition {
        at: received_at,
        from: None,
        to: LinkState::Connected,
        reason: None,
        attempt: 0,
        next_retry_at: None,
    };
    room.record(vec![
        Record::Inbound { received_at, unit },
        Record::Inbound { received_at, unit: forget },
        Record::Remember { name: "paused".to_owned(), value: Some("true".to_owned()) },
        Record::Transition(connected.clone()),
    ])
    .await;
    let killed = room.after_kill();
    assert_eq!(killed.store.events(from(1)).await.unwrap().rows.len(), 1);
    killed.store.close().await.unwrap();

    let opened = Store::open(killed.settings.clone(), Clock::start()).unwrap();
    let remembered = opened.remembered;
    assert!(remembered.seen_before && !remembered.others_before);
    assert_eq!(remembered.cursors.into_iter().collect::<Vec<_>>(), [("s".into(), "\"7\"".into())]);
    assert_eq!(remembered.kept.len(), 1);
    assert_eq!(remembered.values["paused"], "true");
    assert_eq!(opened.store.history(10).await.unwrap(), [connected]);
    assert_eq!(opened.store.value_get("paused").await.unwrap().as_deref(), Some("true"));
    opened.store.value_set("paused", None).await.unwrap();
    assert_eq!(opened.store.value_get("paused").await.unwrap(), None);

    let other = opened.store.use_server("wss://other.example json".to_owned()).await.unwrap();
    assert!(!other.seen_before && other.cursors.is_empty() && other.kept.is_empty());
    assert!(other.others_before, "there was another one");
}

#[tokio::test]
async fn the_links_history_is_a_ring() {
    let mut room = Room::new();
    let change = |attempt| {
        Record::Transition(Transition {
            at: Timestamp::from_millis(i64::from(attempt)),
            from: Some(LinkState::Connecting),
            to: LinkState::Reconnecting,
            reason: None,
            attempt,
            next_retry_at: None,
        })
    };
    room.record((0..1100).map(change).collect()).await;
    let all = room.store.history(5000).await.unwrap();
    assert_eq!((all.len(), all[0].attempt, all[999].attempt), (1000, 100, 1099));
    let newest = room.store.history(2).await.unwrap();
    assert_eq!(newest.iter().map(|change| change.attempt).collect::<Vec<_>>(), [1098, 1099]);
}
