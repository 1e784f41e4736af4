use std::time::Duration;

use super::{Room, ended, everything, latest, message, named};
use crate::clock::Clock;
use crate::model::{
    Delivery, DueQuery, ErrorKind, MessageId, MessageState, NewMessage, Payload, Place, Record, Recorded,
    Resend, Timestamp, TypeGlob,
};
use crate::store::{MessageQuery, StoreEvent};

#[tokio::test]
async fn a_sent_message_is_due_once_with_everything_it_came_with() {
    let mut room = Room::new();
    let new = NewMessage {
        key: Some("k".into()),
        lane: "fast".into(),
        resend: Resend::Never,
        payload: Payload::Binary([0, 159, 255].as_slice().into()),
        ..message("")
    };
    let inserted = room.send(new.clone()).await;
    assert_eq!((inserted.state, inserted.duplicate), (MessageState::Queued, false));
    let due = room.due_all().await;
    assert!(due.end);
    let [row] = &*due.rows else { panic!("{due:?}") };
    assert_eq!((&row.id, &row.kind, &row.lane, &row.key), (&inserted.id, &new.kind, &new.lane, &new.key));
    assert_eq!((row.delivery, row.confirm, row.resend), (new.delivery, new.confirm, new.resend));
    assert_eq!((row.attempts, row.strikes, row.was_sent), (0, 0, false));
    assert_eq!(row.payload, new.payload);
}

#[tokio::test]
async fn the_same_id_and_body_is_one_message_with_its_present_state() {
    let mut room = Room::new();
    let first = room.send(named("a", "1")).await;
    let again = room.send(named("a", "1")).await;
    assert_eq!((again.id.clone(), again.state, again.duplicate), (first.id, MessageState::Queued, true));
    let place = room.place(&again.id).await;
    room.record(vec![ended(place, &again.id, MessageState::Accepted)]).await;
    let room = room.reopen().await;
    let late = room.send(named("a", "1")).await;
    assert_eq!((late.state, late.duplicate), (MessageState::Accepted, true));
    assert_eq!(room.store.counters().unfinished, 0);
}

#[tokio::test]
async fn the_same_id_with_anything_else_is_a_conflict() {
    let room = Room::new();
    room.send(named("a", "1")).await;
    let other: [NewMessage; 5] = [
        named("a", "2"),
        NewMessage { lane: "other".into(), ..named("a", "1") },
        NewMessage { kind: "other".into(), ..named("a", "1") },
        NewMessage { key: Some("k".into()), ..named("a", "1") },
        NewMessage { delivery: Delivery::Latest, ..named("a", "1") },
    ];
    for new in other {
        let refusal = room.store.send(new).await.unwrap_err();
        assert_eq!(refusal.kind, ErrorKind::Conflict);
        assert_eq!(refusal.extra["id"], "a");
    }
    let same_but_ttl = NewMessage { ttl: Some(Duration::from_secs(9)), ..named("a", "1") };
    assert!(room.send(same_but_ttl).await.duplicate);
}

#[tokio::test]
async fn the_id_of_a_receipt_finds_its_message_and_repeats_it() {
    let room = Room::new();
    for body in ["1", "2", "3"] {
        let id = room.send(message(body)).await.id;
        let found = room.store.get(&id).await.unwrap().unwrap();
        assert_eq!(found.message.data.unwrap().get(), format!("{{\"b\":\"{body}\"}}"));
        assert!(room.send(NewMessage { id: Some(id), ..message(body) }).await.duplicate);
    }
    assert_eq!(room.store.counters().unfinished, 3);
    let unknown = MessageId::from(uuid::Uuid::now_v7());
    assert!(room.store.get(&unknown).await.unwrap().is_none());
    assert!(!room.send(NewMessage { id: Some(unknown), ..message("x") }).await.duplicate);
}

#[tokio::test]
async fn a_full_outbox_refuses_and_says_what_to_do() {
    let room = Room::with(|settings| settings.outbox.max_messages = 2);
    room.send(message("1")).await;
    room.send(message("2")).await;
    let refusal = room.store.send(message("3")).await.unwrap_err();
    assert_eq!((refusal.kind, refusal.retryable), (ErrorKind::QueueFull, true));
    assert!(refusal.hint.contains("outbox.max_messages"), "{refusal:?}");
    assert_eq!(room.store.counters().unfinished, 2);

    let room = Room::with(|settings| settings.outbox.max_bytes = 20);
    room.send(message("1")).await;
    let refusal = room.store.send(message("0123456789")).await.unwrap_err();
    assert_eq!(refusal.kind, ErrorKind::QueueFull);
}

#[tokio::test]
async fn drop_oldest_drops_the_oldest_that_is_not_on_the_wire_and_tells() {
    let mut room = Room::with(|settings| {
        settings.outbox.max_messages = 2;
        settings.outbox.drop_oldest = true;
    });
    let on_wire = room.send(message("1")).await.id;
    let waiting = room.send(message("2")).await.id;
    let place = room.place(&on_wire).await;
    room.record(vec![Record::OnWire { place }]).await;
    room.send(message("3")).await;
    let gone = room.event(|event| if let StoreEvent::Gone(gone) = event { Some(gone) } else { None }).await;
    assert_eq!((&gone[0].1, gone[0].2), (&waiting, MessageState::Dropped));
    assert_eq!(room.state(&on_wire).await, MessageState::Queued);
    assert_eq!(room.store.counters().dropped_total, 1);
}

#[tokio::test]
async fn a_newer_value_takes_the_place_of_the_queued_one() {
    let mut room = Room::new();
    let old = room.send(latest("k", "1")).await.id;
    let between = room.send(message("between")).await.id;
    let other_key = room.send(latest("j", "1")).await.id;
    let place = room.place(&old).await;
    let new = room.send(latest("k", "2")).await.id;

    let (told_old, row) = room
        .event(|event| if let StoreEvent::Superseded { old, row } = event { Some((old, row)) } else { None })
        .await;
    assert_eq!((&told_old, &row.id, row.place), (&old, &new, place));
    let ids: Vec<_> = room.due_all().await.rows.into_iter().map(|row| row.id).collect();
    assert_eq!(ids, [new.clone(), between, other_key]);
    assert_eq!(room.state(&old).await, MessageState::Superseded);
    assert_eq!(room.place(&new).await, place);
    let counters = room.store.counters();
    assert_eq!(counters.unfinished, 3);

    // An end for the one that stood there before touches nothing.
    room.record(vec![ended(place, &old, MessageState::Accepted)]).await;
    assert_eq!(room.state(&new).await, MessageState::Queued);
    assert_eq!(room.state(&old).await, MessageState::Superseded);
}

#[tokio::test]
async fn every_value_that_stood_at_a_place_is_found_by_its_own_id() {
    let room = Room::new();
    let mut ids = Vec::new();
    for number in 0..200 {
        ids.push(room.send(latest("k", &number.to_string())).await.id);
    }
    let last = ids.pop().unwrap();
    for (number, id) in ids.iter().enumerate() {
        let found = room.store.get(id).await.unwrap().unwrap().message;
        assert_eq!(found.state, MessageState::Superseded);
        assert_eq!(found.data.unwrap().get(), format!("{{\"b\":\"{number}\"}}"));
    }
    assert_eq!(room.place(&last).await, Place(1));
}

#[tokio::test]
async fn a_newer_value_in_another_lane_ends_the_old_one_and_waits_for_its_own_turn() {
    let mut room = Room::new();
    let old = room.send(latest("k", "1")).await.id;
    let new = room.send(NewMessage { lane: "other".into(), ..latest("k", "2") }).await.id;
    let gone = room.event(|event| if let StoreEvent::Gone(gone) = event { Some(gone) } else { None }).await;
    assert_eq!((&gone[0].1, gone[0].2), (&old, MessageState::Superseded));
    let due = room.due_all().await;
    assert_eq!(due.rows.len(), 1);
    assert_eq!(due.rows[0].id, new);
}

#[tokio::test]
async fn a_value_on_the_wire_keeps_its_place_and_is_superseded_when_the_link_dies() {
    let mut room = Room::new();
    let old = room.send(latest("k", "1")).await.id;
    let old_place = room.place(&old).await;
    room.record(vec![Record::OnWire { place: old_place }]).await;
    let new = room.send(latest("k", "2")).await.id;
    let new_place = room.place(&new).await;
    assert!(new_place > old_place);
    let newest = room.send(latest("k", "3")).await.id;
    assert_eq!(room.place(&newest).await, new_place);

    let answers = room.record(vec![Record::Released { places: vec![old_place] }]).await;
    assert_eq!(
        answers,
        [Recorded::Released { gone: vec![(old_place, old.clone(), MessageState::Superseded)] }]
    );
    assert_eq!(room.state(&old).await, MessageState::Superseded);
    assert_eq!(room.store.counters().unfinished, 1);
}

#[tokio::test]
async fn a_value_that_was_on_the_wire_when_the_process_died_is_superseded_at_the_next_start() {
    let mut room = Room::new();
    let old = room.send(latest("k", "1")).await.id;
    let place = room.place(&old).await;
    room.record(vec![Record::OnWire { place }]).await;
    let new = room.send(latest("k", "2")).await.id;
    let mut room = room.after_kill();
    let due = room.due_all().await;
    assert_eq!(due.rows.iter().map(|row| &row.id).collect::<Vec<_>>(), [&new]);
    assert_eq!(room.state(&old).await, MessageState::Superseded);
}

#[tokio::test]
async fn a_claimed_message_is_uncertain_after_a_kill_and_after_a_lost_link() {
    let mut room = Room::new();
    let never = NewMessage { resend: Resend::Never, ..message("1") };
    let id = room.send(never.clone()).await.id;
    let place = room.place(&id).await;
    room.record(vec![Record::Claimed { place }]).await;
    assert_eq!(room.state(&id).await, MessageState::Sending);

    let mut killed = room.after_kill();
    assert_eq!(killed.state(&id).await, MessageState::Uncertain);
    assert_eq!(killed.store.counters().uncertain, 1);
    assert!(killed.due_all().await.rows.is_empty());

    let answers = room.record(vec![Record::Released { places: vec![place] }]).await;
    assert_eq!(answers, [Recorded::Released { gone: vec![(place, id.clone(), MessageState::Uncertain)] }]);
    let found = room.store.get(&id).await.unwrap().unwrap();
    assert!(found.message.reason.is_some());
}

#[tokio::test]
async fn a_released_message_is_queued_and_marked_as_sent_before() {
    let mut room = Room::new();
    let id = room.send(message("1")).await.id;
    let place = room.place(&id).await;
    let answers = room.record(vec![Record::Released { places: vec![place] }]).await;
    assert_eq!(answers, [Recorded::Released { gone: vec![] }]);
    assert!(room.due_all().await.rows[0].was_sent);
}

#[tokio::test]
async fn a_due_question_knows_what_was_recorded_right_before_it() {
    let mut room = Room::new();
    let id = room.send(message("1")).await.id;
    room.send(message("2")).await;
    let place = room.place(&id).await;
    // The end rides on a later commit; the question is answered before that.
    room.store.record(vec![(0, ended(place, &id, MessageState::Accepted))]).unwrap();
    let due = room.due_all().await;
    assert_eq!(due.rows.len(), 1);
    assert_ne!(due.rows[0].id, id);
}

#[tokio::test]
async fn due_rows_come_by_lane_and_within_limits() {
    let mut room = Room::new();
    for lane in ["a", "b", "a", "c"] {
        room.send(NewMessage { lane: lane.into(), ..message("x") }).await;
    }
    let lanes = |due: &crate::model::Due| due.rows.iter().map(|row| row.lane.to_string()).collect::<Vec<_>>();
    let only = room.due(DueQuery { lane: Some("a".into()), ..everything() }).await;
    assert_eq!((lanes(&only), only.end), (vec!["a".to_owned(), "a".to_owned()], true));
    let skip = room.due(DueQuery { skip: vec!["a".into()], ..everything() }).await;
    assert_eq!(lanes(&skip), ["b", "c"]);
    let limited = room.due(DueQuery { limit: 3, ..everything() }).await;
    assert_eq!((lanes(&limited).len(), limited.end), (3, false));
    let rest = room.due(DueQuery { after: limited.rows[2].place, ..everything() }).await;
    assert_eq!((lanes(&rest), rest.end), (vec!["c".to_owned()], true));
    let tiny = room.due(DueQuery { bytes: 1, ..everything() }).await;
    assert_eq!((tiny.rows.len(), tiny.end), (1, false));
}

#[tokio::test]
async fn the_oldest_queued_message_is_known_without_a_search() {
    let mut room = Room::new();
    let mut ids = Vec::new();
    for body in ["1", "2", "3"] {
        ids.push(room.send(message(body)).await.id);
    }
    for id in &ids {
        let oldest = room.store.get(id).await.unwrap().unwrap();
        assert_eq!(room.store.counters().oldest_queued_at, Some(oldest.message.queued_at));
        room.record(vec![ended(oldest.place, id, MessageState::Accepted)]).await;
    }
    assert_eq!(room.store.counters().oldest_queued_at, None);
    room.send(message("4")).await;
    assert!(room.store.counters().oldest_queued_at.is_some());
    let room = room.reopen().await;
    assert!(room.store.counters().oldest_queued_at.is_some());
}

#[tokio::test]
async fn levels_only_rise_after_an_end() {
    let mut room = Room::new();
    let id = room.finish(message("1"), MessageState::Received).await;
    let place = room.place(&id).await;
    room.record(vec![ended(place, &id, MessageState::Sent)]).await;
    assert_eq!(room.state(&id).await, MessageState::Received);
    room.record(vec![ended(place, &id, MessageState::Accepted)]).await;
    assert_eq!(room.state(&id).await, MessageState::Accepted);
    room.record(vec![ended(place, &id, MessageState::Expired)]).await;
    assert_eq!(room.state(&id).await, MessageState::Accepted);
    assert_eq!(room.store.counters().confirmed_total, 1);

    let id = room.finish(message("2"), MessageState::Received).await;
    let place = room.place(&id).await;
    room.record(vec![ended(place, &id, MessageState::Rejected)]).await;
    assert_eq!(room.state(&id).await, MessageState::Rejected);
}

#[tokio::test]
async fn what_people_may_do_depends_on_the_state() {
    use MessageState::{Accepted, Cancelled, Dropped, Parked, Queued, Rejected, Uncertain};
    let mut room = Room::new();
    for (state, cancel, retry, drop) in [
        (Queued, true, false, false),
        (Parked, true, true, true),
        (Uncertain, true, true, true),
        (Rejected, false, true, true),
        (Accepted, false, false, false),
    ] {
        for (deed, allowed, becomes) in
            [("cancel", cancel, Cancelled), ("retry", retry, Queued), ("drop", drop, Dropped)]
        {
            let id = if state == Queued {
                room.send(message("x")).await.id
            } else {
                room.finish(message("x"), state).await
            };
            let outcome = match deed {
                "cancel" => room.store.cancel(&id).await,
                "retry" => room.store.retry(&id).await,
                _ => room.store.drop_message(&id).await,
            };
            match outcome {
                Ok(message) => {
                    assert!(allowed, "{deed} from {state:?}");
                    assert_eq!((message.state, room.state(&id).await), (becomes, becomes));
                }
                Err(refusal) => {
                    assert!(!allowed, "{deed} from {state:?}: {refusal:?}");
                    assert_eq!(refusal.kind, ErrorKind::Conflict);
                    assert_eq!(refusal.extra["state"], state.as_str());
                }
            }
        }
    }
    let unknown = MessageId::new("nobody").unwrap();
    assert_eq!(room.store.cancel(&unknown).await.unwrap_err().kind, ErrorKind::NotFound);
    let id = room.send(message("x")).await.id;
    let place = room.place(&id).await;
    room.record(vec![Record::OnWire { place }]).await;
    assert_eq!(room.store.cancel(&id).await.unwrap_err().kind, ErrorKind::Busy);
}

#[tokio::test]
async fn a_retried_message_keeps_id_and_place_and_starts_anew() {
    let mut room = Room::new();
    let id = room.send(message("1")).await.id;
    room.send(message("2")).await;
    let place = room.place(&id).await;
    room.record(vec![
        Record::Failed { place, attempts: 3, strikes: 2 },
        ended(place, &id, MessageState::Parked),
    ])
    .await;
    assert_eq!(room.store.counters().parked, 1);
    assert_eq!(room.due_all().await.rows.len(), 1);
    room.store.retry(&id).await.unwrap();
    let rows =
        room.event(|event| if let StoreEvent::Requeued(rows) = event { Some(rows) } else { None }).await;
    let due = room.due_all().await;
    assert_eq!((due.rows.len(), due.rows[0].place, &due.rows[0].id), (2, place, &id));
    assert_eq!((due.rows[0].attempts, due.rows[0].strikes), (0, 0));
    assert_eq!(rows, due.rows[..1]);
    assert_eq!(room.store.counters().parked, 0);
}

#[tokio::test]
async fn what_is_overdue_expires_but_for_what_is_on_the_wire() {
    let mut room = Room::new();
    let ttl = |seconds| Some(Duration::from_secs(seconds));
    let soon = room.send(NewMessage { ttl: ttl(10), ..message("1") }).await.id;
    let on_wire = room.send(NewMessage { ttl: ttl(11), ..message("2") }).await.id;
    let later = room.send(NewMessage { ttl: ttl(1000), ..message("3") }).await.id;
    let forever = room.send(message("4")).await.id;
    let parked = room.finish(NewMessage { ttl: ttl(12), ..message("5") }, MessageState::Parked).await;
    let skip = room.place(&on_wire).await;
    let released = room.place(&soon).await;
    room.record(vec![Record::Released { places: vec![released] }]).await;

    let deadline = |found: crate::store::Stored| found.message.expires_at.unwrap();
    let first = deadline(room.store.get(&soon).await.unwrap().unwrap());
    assert_eq!(room.store.next_expiry().await.unwrap(), Some(first));
    let before = Timestamp::from_millis(first.as_millis() - 1);
    assert_eq!(room.store.expire(before, vec![]).await.unwrap(), Some(first));
    assert_eq!(room.state(&soon).await, MessageState::Queued);

    let now = first.after(Duration::from_secs(100));
    let next = room.store.expire(now, vec![skip]).await.unwrap();
    assert_eq!(next, Some(deadline(room.store.get(&later).await.unwrap().unwrap())));
    let gone = room.event(|event| if let StoreEvent::Gone(gone) = event { Some(gone) } else { None }).await;
    assert_eq!(gone.len(), 2);
    for (id, state) in [
        (&soon, MessageState::Expired),
        (&on_wire, MessageState::Queued),
        (&later, MessageState::Queued),
        (&forever, MessageState::Queued),
        (&parked, MessageState::Expired),
    ] {
        assert_eq!(room.state(id).await, state);
    }
    let soon = room.store.get(&soon).await.unwrap().unwrap().message;
    assert!(soon.maybe_delivered, "it was on the wire once");
    assert!(!room.store.get(&parked).await.unwrap().unwrap().message.maybe_delivered);
}

#[tokio::test]
async fn a_deadline_survives_a_restart() {
    let room = Room::new();
    let id = room.send(NewMessage { ttl: Some(Duration::from_secs(60)), ..message("1") }).await.id;
    let deadline = room.store.next_expiry().await.unwrap();
    let room = room.reopen().await;
    assert_eq!(room.store.next_expiry().await.unwrap(), deadline);
    assert_eq!(room.store.get(&id).await.unwrap().unwrap().message.expires_at, deadline);
}

#[tokio::test]
async fn messages_are_listed_page_by_page_without_repeat_or_hole() {
    let mut room = Room::new();
    let mut wanted = Vec::new();
    for number in 0..25 {
        let kind = if number % 2 == 0 { "chat" } else { "other" };
        let new = NewMessage { kind: kind.into(), ..message(&number.to_string()) };
        if number % 5 == 0 {
            room.finish(new, MessageState::Parked).await;
        } else {
            let id = room.send(new).await.id;
            if number % 2 == 0 {
                wanted.push(id);
            }
        }
    }
    let mut found = Vec::new();
    let mut after = Place(0);
    loop {
        let query = MessageQuery {
            states: vec![MessageState::Queued],
            types: vec![TypeGlob::new("ch*")],
            after,
            limit: 3,
        };
        let page = room.store.list_messages(query).await.unwrap();
        assert!(page.rows.len() <= 3);
        found.extend(page.rows.into_iter().map(|row| row.message.id));
        if !page.more {
            break;
        }
        after = page.next;
    }
    assert_eq!(found, wanted);
}

#[tokio::test]
async fn new_rows_are_told_in_order_with_the_place_before_them() {
    let mut room = Room::new();
    let mut tail = Place(0);
    for body in ["1", "2", "3"] {
        let id = room.send(message(body)).await.id;
        let (previous, rows) = room
            .event(|event| {
                if let StoreEvent::Queued { previous, rows } = event { Some((previous, rows)) } else { None }
            })
            .await;
        assert_eq!((previous, &rows[0].id, rows.len()), (tail, &id, 1));
        tail = rows[0].place;
    }
}

/// What the database says about the clock of the last run, and the deadlines in it.
fn rewrite_mark(path: &std::path::Path, steady: i64, wall: i64) -> Option<i64> {
    rewrite_mark_only(path, steady, wall);
    deadline(&rusqlite::Connection::open(path).unwrap())
}

fn deadline(conn: &rusqlite::Connection) -> Option<i64> {
    conn.query_row("SELECT expires_at FROM outbox", [], |row| row.get(0)).unwrap()
}

const YEAR: i64 = 365 * 86_400_000;

#[tokio::test]
async fn p8_a_clock_set_in_the_last_run_takes_deadlines_along() {
    let room = Room::new();
    let id = room.send(NewMessage { ttl: Some(Duration::from_secs(60)), ..message("1") }).await.id;
    room.store.close().await.unwrap();
    let now = Clock::start().now().wall.as_millis();
    // The run began in the past, and the clock was set to what it shows now.
    let before = rewrite_mark(&room.path(), now - 50 * YEAR, now).unwrap();
    let Room { dir: _dir, settings, .. } = room;
    for _ in 0..2 {
        // A start takes it over once, however often it is made.
        let opened = super::open(settings.clone());
        let conn = rusqlite::Connection::open(&settings.path).unwrap();
        assert_eq!(deadline(&conn), Some(before + 50 * YEAR));
        drop(conn);
        // And the row is sound.
        let row = opened.store.get(&id).await.unwrap().expect("it is there");
        assert_eq!((row.message.state, row.message.reason), (MessageState::Queued, None));
        assert_eq!(opened.store.quick_check().await.unwrap().damaged_messages, 0);
        opened.store.close().await.unwrap();
    }
}

#[tokio::test]
async fn p8_a_start_before_the_end_of_the_last_run_goes_on_from_there() {
    let room = Room::new();
    room.store.close().await.unwrap();
    let now = Clock::start().now().wall.as_millis();
    rewrite_mark_only(&room.path(), now + YEAR, now + YEAR);
    let opened = super::open(room.settings.clone());
    let at = opened.clock.now();
    assert!(at.steady.as_millis() >= now + YEAR && at.wall.as_millis() < now + YEAR, "{at:?}");
    opened.store.close().await.unwrap();
    // Now the clock is right from the start, and what was written meanwhile is moved back.
    let opened = super::open(room.settings.clone());
    assert!(opened.clock.now().steady.as_millis() < now + YEAR);
}

fn rewrite_mark_only(path: &std::path::Path, steady: i64, wall: i64) {
    let conn = rusqlite::Connection::open(path).unwrap();
    crate::store::seal::teach(&conn).unwrap();
    let mark = format!("{steady} {wall}");
    conn.execute("INSERT OR REPLACE INTO facts VALUES ('clock', ?1, seal('clock', ?1))", [mark]).unwrap();
}

#[tokio::test]
async fn what_may_have_been_sent_before_a_crash_says_so_when_it_expires() {
    let connected = |to| {
        Record::Transition(crate::model::Transition {
            at: Timestamp::from_millis(1),
            from: None,
            to,
            reason: None,
            attempt: 1,
            next_retry_at: None,
        })
    };
    for (up, down, maybe) in [(true, false, true), (true, true, false), (false, false, false)] {
        let mut room = Room::new();
        if up {
            room.record(vec![connected(crate::model::LinkState::Connected)]).await;
        }
        let before = room.send(message("\"before\"")).await.id;
        if down {
            room.record(vec![connected(crate::model::LinkState::Reconnecting)]).await;
        }
        let mut room = room.after_kill();
        let after = room.send(message("\"after\"")).await.id;
        for id in [&before, &after] {
            let place = room.place(id).await;
            let row = room.due_all().await.rows.into_iter().find(|row| row.place == place).unwrap();
            assert!(!row.was_sent, "its lane's order is not touched");
            room.record(vec![ended(place, id, MessageState::Expired)]).await;
        }
        let told = async |id| room.store.get(id).await.unwrap().unwrap().message.maybe_delivered;
        assert_eq!((told(&before).await, told(&after).await), (maybe, false), "{up} {down}");
    }
}

#[tokio::test]
async fn that_the_link_is_up_is_on_disk_before_a_message_is_handed_out_on_it() {
    let mut room = Room::new();
    room.send(message("1")).await;
    let connected = Record::Transition(crate::model::Transition {
        at: Timestamp::from_millis(1),
        from: None,
        to: crate::model::LinkState::Connected,
        reason: None,
        attempt: 1,
        next_retry_at: None,
    });
    room.store.record(vec![(77, connected)]).unwrap();
    assert_eq!(room.due_all().await.rows.len(), 1);
    let killed = room.after_kill();
    assert_eq!(killed.store.history(1).await.unwrap()[0].to, crate::model::LinkState::Connected);
}
