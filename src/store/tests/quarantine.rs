//! Events that do not fit their schema, and second looks.

use super::{Room, event, keyed};
use crate::model::{
    Appended, Delivery, Frame, HeldBody, Judged, NewRow, Payload, Record, Recorded, Retried, RowKind, Seq,
    TypeGlob,
};
use crate::store::EventQuery;

fn misfit(id: Option<&str>, body: &str) -> NewRow {
    NewRow::Misfit {
        stream: "".into(),
        id: id.map(str::to_owned),
        kind: "order".to_owned(),
        payload: Payload::Json(body.into()),
        detail: "/n (type): it is not of type integer".to_owned(),
    }
}

fn from(seq: i64) -> EventQuery {
    EventQuery { from: Seq(seq), types: Vec::new(), limit: 1000, bytes: usize::MAX }
}

async fn retry(room: &mut Room, id: i64, judged: Judged) -> (Retried, Vec<Appended>) {
    match room.record(vec![Record::Retried { id: Seq(id), judged }]).await.remove(0) {
        Recorded::Retried { id: told, outcome, appended } => {
            assert_eq!(told, Seq(id));
            (outcome, appended)
        }
        other @ (Recorded::Done | Recorded::Inbound(_) | Recorded::Released { .. }) => panic!("{other:?}"),
    }
}

fn fits(rows: Vec<NewRow>) -> Judged {
    Judged::Fits(rows)
}

const OUT: Retried = Retried::Out { events: 1, duplicates: 0 };

#[tokio::test]
async fn an_event_that_does_not_fit_stands_there_once_with_all_that_is_known_of_it() {
    let mut room = Room::new();
    room.receive(vec![event(Some("a"), "order", "1")]).await;
    let told = room.receive(vec![misfit(Some("b"), "{\"n\": 1.10}")]).await;
    assert!(matches!(&told[0], Appended::Stored(row) if row.kind == RowKind::Bad && row.seq == Some(Seq(2))));
    // It comes again, and so does one that was in order when it came first.
    assert_eq!(
        room.receive(vec![misfit(Some("b"), "{}"), misfit(Some("a"), "1")]).await,
        [Appended::Duplicate, Appended::Duplicate]
    );
    // Without an id nobody can tell.
    room.receive(vec![misfit(None, "{}")]).await;
    let mut room = room.reopen().await;
    assert_eq!(room.receive(vec![misfit(Some("b"), "{}")]).await, [Appended::Duplicate]);
    let counters = room.store.counters();
    assert_eq!((counters.quarantined, counters.events, counters.duplicates_total), (2, 1, 3));
    let entries = room.store.quarantine_list(10, None).await.unwrap().entries;
    let entry = &entries[0];
    assert_eq!((entry.id, entry.reason.as_str(), entry.raw.as_str()), (Seq(2), "schema", "{\"n\": 1.10}"));
    assert_eq!((entry.kind.as_deref(), entry.event_id.as_deref()), (Some("order"), Some("b")));
    let (held, more) = room.store.quarantine_held(10, Seq(0)).await.unwrap();
    assert!(!more);
    assert_eq!(
        held[0].body,
        HeldBody::Event {
            stream: "".into(),
            id: Some("b".to_owned()),
            kind: "order".to_owned(),
            payload: Payload::Json("{\"n\": 1.10}".into()),
        }
    );
}

#[tokio::test]
async fn what_fits_by_now_comes_at_the_end_and_its_old_row_goes_on_telling() {
    let mut room = Room::new();
    room.receive(vec![misfit(Some("b"), "1"), event(Some("c"), "order", "2")]).await;
    let (outcome, appended) = retry(&mut room, 1, fits(vec![event(Some("b"), "order", "1")])).await;
    assert_eq!(outcome, OUT);
    assert!(matches!(&appended[0], Appended::Stored(row) if row.seq == Some(Seq(3))));
    // From now on it is known, and the entry is gone.
    assert_eq!(room.receive(vec![event(Some("b"), "order", "1")]).await, [Appended::Duplicate]);
    assert_eq!(
        retry(&mut room, 1, fits(vec![event(Some("b"), "order", "1")])).await,
        (Retried::Gone, vec![])
    );
    let room = room.reopen().await;
    let rows = room.store.events(from(1)).await.unwrap().rows;
    let kinds: Vec<bool> = rows.iter().map(|row| row.kind == RowKind::Bad).collect();
    assert_eq!(kinds, [true, false, false]);
    assert_eq!(rows[2].received_at, rows[0].received_at, "it was received when it came first");
    let counters = room.store.counters();
    assert_eq!((counters.quarantined, counters.events), (0, 2));
    assert!(room.store.quarantine_list(10, None).await.unwrap().entries.is_empty());
}

#[tokio::test]
async fn what_came_again_in_the_meantime_is_not_told_twice() {
    let mut room = Room::new();
    room.receive(vec![misfit(Some("b"), "1")]).await;
    // The schema was mended, and the server sent it again before anybody looked.
    let again = room.receive(vec![event(Some("b"), "order", "1")]).await;
    assert!(matches!(again[0], Appended::Stored(_)));
    let (outcome, appended) = retry(&mut room, 1, fits(vec![event(Some("b"), "order", "1")])).await;
    assert_eq!(outcome, Retried::Out { events: 0, duplicates: 1 });
    assert_eq!(appended, [Appended::Duplicate]);
    assert_eq!(room.store.counters().quarantined, 0);
}

#[tokio::test]
async fn what_still_does_not_fit_stays_with_the_reason_of_now() {
    let mut room = Room::new();
    let frame = Frame::Binary(vec![0xff, 0xfe]);
    room.receive(vec![NewRow::Bad { reason: "invalid_json", detail: "x".to_owned(), frame: frame.clone() }])
        .await;
    let judged = Judged::Stays { reason: "too_deep", detail: "y".to_owned() };
    assert_eq!(retry(&mut room, 1, judged.clone()).await.0, Retried::Stays);
    assert_eq!(retry(&mut room, 2, judged).await.0, Retried::Gone);
    let entry = room.store.quarantine_list(10, None).await.unwrap().entries.remove(0);
    assert_eq!(
        (entry.reason.as_str(), entry.detail.as_str(), entry.raw.as_str()),
        ("too_deep", "y", "base64://4=")
    );
    let (held, _) = room.store.quarantine_held(10, Seq(0)).await.unwrap();
    assert_eq!(held[0].body, HeldBody::Frame(frame));
    // A frame may come to several rows, and not all of them fit.
    let rows = vec![event(None, "order", "1"), misfit(None, "2"), event(None, "order", "3")];
    assert_eq!(retry(&mut room, 1, fits(rows)).await.0, Retried::Out { events: 2, duplicates: 0 });
    let counters = room.store.counters();
    assert_eq!((counters.quarantined, counters.events, counters.last_seq), (1, 2, Some(Seq(4))));
}

#[tokio::test]
async fn a_value_that_is_outdated_by_now_never_becomes_the_newest_of_its_key() {
    let mut room = Room::new();
    room.receive(vec![misfit(None, "\"old\""), misfit(None, "\"old\"")]).await;
    room.receive(vec![
        keyed(Delivery::Latest, "car", "a", "\"new\""),
        keyed(Delivery::Durable, "order", "7", "\"new\""),
    ])
    .await;
    let latest = keyed(Delivery::Latest, "car", "a", "\"old\"");
    assert_eq!(retry(&mut room, 1, fits(vec![latest])).await.0, Retried::Out { events: 0, duplicates: 1 });
    let durable = keyed(Delivery::Durable, "order", "7", "\"old\"");
    assert_eq!(retry(&mut room, 2, fits(vec![durable])).await.0, OUT, "all of them are kept");
    for (kind, key) in [("car", "a"), ("order", "7")] {
        let row = room.store.state_get(kind, key).await.unwrap().expect("a value");
        assert!(
            matches!(&row.kind, RowKind::Event { payload: Payload::Json(body), .. } if **body == *"\"new\""),
            "{row:?}"
        );
    }
    // Where nothing newer came it is the newest.
    room.receive(vec![misfit(None, "1")]).await;
    let id = room.store.counters().last_seq.unwrap().0;
    retry(&mut room, id, fits(vec![keyed(Delivery::Latest, "car", "b", "1")])).await;
    assert!(room.store.state_get("car", "b").await.unwrap().is_some());
}

#[tokio::test]
async fn the_ids_of_another_server_say_nothing() {
    let mut room = Room::new();
    room.receive(vec![event(Some("1"), "order", "1"), misfit(Some("2"), "2")]).await;
    room.store.use_server("wss://other.example json".to_owned()).await.unwrap();
    let told = room.receive(vec![event(Some("1"), "order", "9"), misfit(Some("2"), "9")]).await;
    assert!(told.iter().all(|row| matches!(row, Appended::Stored(_))), "{told:?}");
    // The first server's entry fits now: its id is not one of the second server's.
    assert_eq!(retry(&mut room, 2, fits(vec![event(Some("2"), "order", "2")])).await.0, OUT);
    let told = room.receive(vec![event(Some("2"), "order", "9")]).await;
    assert!(matches!(told[0], Appended::Stored(_)), "{told:?}");
    // Back at the first one, its ids are known as before.
    room.store.use_server(room.settings.server_key.clone()).await.unwrap();
    assert_eq!(room.receive(vec![event(Some("1"), "order", "1")]).await, [Appended::Duplicate]);
}

#[tokio::test]
async fn the_quarantine_is_bounded_as_events_are() {
    let mut room = Room::with(|settings| settings.inbox.max_bytes = 64 * 1024);
    for number in 0..40 {
        room.receive(vec![misfit(Some(&number.to_string()), &format!("\"{}\"", "x".repeat(8 * 1024)))]).await;
    }
    let counters = room.store.counters();
    assert!(counters.quarantined < 10 && counters.inbox_bytes <= 64 * 1024 + 9 * 1024, "{counters:?}");
    // One that was pruned is not held against what comes again.
    let again = room.receive(vec![misfit(Some("0"), "1")]).await;
    assert!(matches!(again[0], Appended::Stored(_)), "{again:?}");
}

#[tokio::test]
async fn a_damaged_row_is_told_whatever_type_is_asked_for() {
    let mut room = Room::new();
    room.receive(vec![
        event(None, "a", "\"one\""),
        event(None, "b", "\"two\""),
        event(None, "b", "\"three\""),
    ])
    .await;
    let other = rusqlite::Connection::open(room.path()).unwrap();
    other.execute("UPDATE inbox SET kind = 'c' WHERE seq = 1", []).unwrap();
    other.execute("UPDATE inbox SET body = x'3131' WHERE seq = 2", []).unwrap();
    drop(other);
    let query = EventQuery { types: vec![TypeGlob::new("a")], ..from(1) };
    let rows = room.store.events(query).await.unwrap().rows;
    let told: Vec<_> = rows.iter().map(|row| (row.seq.unwrap().0, row.kind.clone())).collect();
    let gap = || RowKind::Gap(crate::model::GapReason::Corruption);
    assert_eq!(told, [(1, gap()), (2, gap())]);
}
