use proptest::prelude::*;
use rusqlite::Connection;

use super::{Room, ended, event, keyed, latest, message, named};
use crate::model::{Delivery, Frame, MessageState, NewMessage, NewRow, Place, Record, Seq, Timestamp, Unit};

#[derive(Debug, Clone)]
enum Step {
    Send(u8),
    Named(u8),
    Latest(u8),
    End(u8, u8),
    OnWire(u8),
    Claim(u8),
    Release(u8),
    Fail(u8),
    Cancel(u8),
    Retry(u8),
    Drop(u8),
    Expire(u8),
    Event(u8),
    LatestEvent(u8),
    Bad,
    Gap,
    DropFrame(u8),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => any::<u8>().prop_map(Step::Send),
        2 => (0..6_u8).prop_map(Step::Named),
        3 => (0..3_u8).prop_map(Step::Latest),
        4 => (any::<u8>(), any::<u8>()).prop_map(|(row, state)| Step::End(row, state)),
        1 => any::<u8>().prop_map(Step::OnWire),
        1 => any::<u8>().prop_map(Step::Claim),
        1 => any::<u8>().prop_map(Step::Release),
        1 => any::<u8>().prop_map(Step::Fail),
        2 => any::<u8>().prop_map(Step::Cancel),
        2 => any::<u8>().prop_map(Step::Retry),
        2 => any::<u8>().prop_map(Step::Drop),
        1 => any::<u8>().prop_map(Step::Expire),
        3 => (0..40_u8).prop_map(Step::Event),
        2 => (0..3_u8).prop_map(Step::LatestEvent),
        1 => Just(Step::Bad),
        1 => Just(Step::Gap),
        1 => any::<u8>().prop_map(Step::DropFrame),
        1 => Just(Step::Reopen),
    ]
}

const ENDS: [MessageState; 8] = [
    MessageState::Accepted,
    MessageState::Received,
    MessageState::Sent,
    MessageState::Rejected,
    MessageState::Expired,
    MessageState::Parked,
    MessageState::Uncertain,
    MessageState::Dropped,
];

async fn take(mut room: Room, step: Step) -> Room {
    let conn = Connection::open(room.path()).unwrap();
    let place_of = |which: u8| -> Option<Place> {
        let places: Vec<i64> = conn
            .prepare("SELECT place FROM outbox ORDER BY place")
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        (!places.is_empty()).then(|| Place(places[usize::from(which) % places.len()]))
    };
    let place = match &step {
        Step::End(which, _)
        | Step::OnWire(which)
        | Step::Claim(which)
        | Step::Release(which)
        | Step::Fail(which)
        | Step::Cancel(which)
        | Step::Retry(which)
        | Step::Drop(which) => place_of(*which),
        Step::Send(_)
        | Step::Named(_)
        | Step::Latest(_)
        | Step::Expire(_)
        | Step::Event(_)
        | Step::LatestEvent(_)
        | Step::Bad
        | Step::Gap
        | Step::DropFrame(_)
        | Step::Reopen => Some(Place(0)),
    };
    drop(conn);
    let Some(place) = place else { return room };
    let id = crate::store::outbox::at(&Connection::open(room.path()).unwrap(), place.0)
        .unwrap()
        .map(|row| row.id.message_id());
    let id = || id.clone().expect("the place has a row");
    let body = |byte: u8| "x".repeat(usize::from(byte));
    match step {
        // Refusals are as good as receipts here: only the numbers are looked at.
        Step::Send(byte) => {
            let ttl = (byte % 3 == 0).then(|| std::time::Duration::from_secs(u64::from(byte)));
            drop(room.store.send(NewMessage { ttl, ..message(&body(byte)) }).await);
        }
        Step::Named(name) => drop(room.store.send(named(&name.to_string(), &body(name))).await),
        Step::Latest(key) => {
            let lane = if key == 2 { "other" } else { "default" };
            drop(
                room.store
                    .send(NewMessage { lane: lane.into(), ..latest(&(key % 2).to_string(), "v") })
                    .await,
            );
        }
        Step::End(_, state) => {
            room.record(vec![ended(place, &id(), ENDS[usize::from(state) % ENDS.len()])]).await;
        }
        Step::OnWire(_) => drop(room.record(vec![Record::OnWire { place }]).await),
        Step::Claim(_) => drop(room.record(vec![Record::Claimed { place }]).await),
        Step::Release(_) => drop(room.record(vec![Record::Released { places: vec![place] }]).await),
        Step::Fail(_) => drop(room.record(vec![Record::Failed { place, attempts: 1, strikes: 1 }]).await),
        Step::Cancel(_) => drop(room.store.cancel(&id()).await),
        Step::Retry(_) => drop(room.store.retry(&id()).await),
        Step::Drop(_) => drop(room.store.drop_message(&id()).await),
        Step::Expire(seconds) => {
            let now = Timestamp::from_millis(Timestamp::default().as_millis() + i64::from(seconds) * 1000);
            drop(room.store.expire(now.after(std::time::Duration::from_secs(2_000_000_000)), vec![]).await);
        }
        Step::Event(number) => {
            drop(room.receive(vec![event(Some(&number.to_string()), "t", &number.to_string())]).await);
        }
        Step::LatestEvent(key) => {
            let row = || keyed(Delivery::Latest, "pos", &key.to_string(), "123");
            drop(room.receive(vec![row(), row()]).await);
        }
        Step::Bad => {
            let frame = Frame::Text("bad".to_owned());
            drop(room.receive(vec![NewRow::Bad { reason: "bad", detail: String::new(), frame }]).await);
        }
        Step::Gap => {
            let gap = NewRow::Gap { reason: crate::model::GapReason::Server, detail: "g".to_owned() };
            let unit = Unit { rows: vec![gap], ..Unit::default() };
            room.record(vec![Record::Inbound { received_at: Timestamp::from_millis(Room::NOW), unit }]).await;
        }
        Step::DropFrame(seq) => drop(room.store.quarantine_drop(Seq(i64::from(seq % 20))).await),
        Step::Reopen => room = room.reopen().await,
    }
    room
}

fn number(conn: &Connection, sql: &str) -> u64 {
    conn.query_row(&format!("SELECT {sql}"), [], |row| row.get::<_, i64>(0)).unwrap().try_into().unwrap()
}

async fn check(room: Room) {
    // What rides is committed by closing.
    let room = room.reopen().await;
    let conn = Connection::open(room.path()).unwrap();
    let counters = room.store.counters();
    let unfinished = "FROM outbox WHERE state IN (10, 11, 20, 21)";
    assert_eq!(counters.unfinished, number(&conn, &format!("count(*) {unfinished}")));
    assert_eq!(counters.outbox_bytes, number(&conn, &format!("coalesce(sum(length(body)), 0) {unfinished}")));
    assert_eq!(counters.parked, number(&conn, "count(*) FROM outbox WHERE state = 20"));
    assert_eq!(counters.uncertain, number(&conn, "count(*) FROM outbox WHERE state = 21"));
    assert_eq!(counters.events, number(&conn, "count(*) FROM inbox WHERE form < 10"));
    assert_eq!(counters.quarantined, number(&conn, "count(*) FROM quarantine"));
    assert_eq!(
        counters.inbox_bytes,
        number(&conn, "coalesce(sum(length(body)), 0) FROM inbox")
            + number(&conn, "coalesce(sum(length(frame)), 0) FROM quarantine")
    );
    assert_eq!(
        counters.first_seq.map_or(0, |seq| seq.0),
        i64::try_from(number(&conn, "coalesce(min(seq), 0) FROM inbox")).unwrap()
    );
    let tally = crate::store::tally::Tally::load(&conn).unwrap();
    assert_eq!(tally.inbox_rows.unsigned_abs(), number(&conn, "count(*) FROM inbox"));
    assert_eq!(tally.finished.unsigned_abs() + counters.unfinished, number(&conn, "count(*) FROM outbox"));
    let oldest = number(&conn, "coalesce(min(place), 0) FROM outbox WHERE state IN (10, 11)");
    assert!(oldest == 0 || tally.low_place.unsigned_abs() <= oldest, "{tally:?} {oldest}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_numbers_of_status_are_what_counting_would_give(steps in prop::collection::vec(step(), 1..60)) {
        tokio::runtime::Runtime::new().unwrap().block_on(async move {
            let mut room = Room::with(|settings| {
                settings.durability = crate::model::Durability::Normal;
                settings.outbox.max_messages = 8;
                settings.outbox.drop_oldest = true;
                settings.outbox.keep_finished = 4;
                settings.inbox.max_events = 12;
            });
            for step in steps {
                room = take(room, step).await;
            }
            check(room).await;
        });
    }
}
