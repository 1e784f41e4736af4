use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::{Room, ended, event, everything, message, named, settings};
use crate::clock::Clock;
use crate::model::{ErrorKind, LinkState, MessageState, Record, Seq, Timestamp, Transition, Unit};
use crate::store::request::{ClientAsk, EngineAsk};
use crate::store::writer::Writer;
use crate::store::{Counters, EventQuery, Inserted, StoreEvent, open};

type Answer = oneshot::Receiver<Result<Inserted, crate::model::Refusal>>;

/// A writer that has not begun, with messages and an event waiting for it.
fn loaded(dir: &tempfile::TempDir) -> (Writer, Vec<Answer>, mpsc::Receiver<StoreEvent>) {
    let settings = settings(dir);
    let found = open::open(settings.clone(), Clock::start()).unwrap();
    let (engine, engine_asks) = mpsc::channel(16);
    let (clients, client_asks) = mpsc::channel(16);
    let (events, told) = mpsc::channel(16);
    let answers = (0..3)
        .map(|number| {
            let (reply, answer) = oneshot::channel();
            clients.try_send(ClientAsk::Send(Box::new(message(&number.to_string())), reply)).unwrap();
            answer
        })
        .collect();
    let unit = Unit { rows: vec![event(None, "t", "1")], ..Unit::default() };
    let record = Record::Inbound { received_at: Timestamp::from_millis(Room::NOW), unit };
    engine.try_send(EngineAsk::Records(vec![(0, record)])).unwrap();
    let writer = Writer {
        desk: found.desk,
        folder: crate::store::files::Folder::of(&settings.path).unwrap(),
        path: settings.path,
        engine: engine_asks,
        clients: client_asks,
        events,
        counters: Arc::new(Mutex::new(Counters::default())),
        wal_pages: found.wal_pages,
        files: Arc::default(),
        room: crate::store::writer::Room::default(),
        commits: crate::store::Commits::default(),
        pulse: crate::store::pulse::Pulse::default(),
    };
    (writer, answers, told)
}

#[test]
fn p1_p5_nothing_is_answered_or_told_before_its_commit_and_one_commit_serves_all() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, answers, told) = loaded(&dir);
    let waiting = Arc::new(Mutex::new((answers, told)));
    let commits = Arc::new(AtomicUsize::new(0));
    let early = Arc::new(AtomicUsize::new(0));
    {
        let (waiting, commits, early) = (waiting.clone(), commits.clone(), early.clone());
        let hook = move || {
            commits.fetch_add(1, Ordering::SeqCst);
            let (answers, told) = &mut *waiting.lock().unwrap();
            let answered: usize =
                answers.iter_mut().map(|answer| usize::from(answer.try_recv().is_ok())).sum();
            early.fetch_add(answered + usize::from(told.try_recv().is_ok()), Ordering::SeqCst);
            false
        };
        writer.desk.conn.commit_hook(Some(hook)).unwrap();
    }
    // Nobody can ask any more: it does what waits, and ends.
    writer.run();
    assert_eq!(early.load(Ordering::SeqCst), 0, "answered before the commit");
    assert_eq!(commits.load(Ordering::SeqCst), 1);
    let (answers, told) = &mut *waiting.lock().unwrap();
    for answer in answers {
        assert_eq!(answer.try_recv().unwrap().unwrap().state, MessageState::Queued);
    }
    assert!(matches!(told.try_recv().unwrap(), StoreEvent::Recorded(_)));
    assert!(matches!(told.try_recv().unwrap(), StoreEvent::Queued { rows, .. } if rows.len() == 3));
}

#[test]
fn p14_a_commit_that_fails_is_nobodys_receipt_and_ends_all_trust() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, answers, mut told) = loaded(&dir);
    // A hook that vetoes turns COMMIT into an error, as a failed sync does.
    writer.desk.conn.commit_hook(Some(|| true)).unwrap();
    writer.run();
    for mut answer in answers {
        assert_eq!(answer.try_recv().unwrap().unwrap_err().kind, ErrorKind::StoreFailed);
    }
    assert!(matches!(told.try_recv().unwrap(), StoreEvent::Fatal(_)));
    assert!(told.try_recv().is_err(), "nothing else is told");
    let conn = Connection::open(settings(&dir).path).unwrap();
    let rows: i64 = conn.query_row("SELECT count(*) FROM outbox", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 0);
}

#[tokio::test]
async fn p1_a_receipt_survives_a_kill_right_after_it() {
    let room = Room::new();
    let mut ids = Vec::new();
    for number in 0..20 {
        ids.push(room.send(message(&number.to_string())).await.id);
        if number % 5 == 0 {
            let mut killed = room.after_kill();
            let due: Vec<_> = killed.due_all().await.rows.into_iter().map(|row| row.id).collect();
            assert_eq!(due, ids);
            killed.store.close().await.unwrap();
        }
    }
}

#[tokio::test]
async fn many_callers_at_once_each_get_their_own_answer() {
    let room = Room::new();
    let calls: Vec<_> = (0..500)
        .map(|number| {
            let store = room.store.clone();
            // Every id is sent twice.
            let new = named(&(number / 2).to_string(), &(number / 2).to_string());
            tokio::spawn(async move { store.send(new).await.unwrap() })
        })
        .collect();
    drop(room.events);
    let mut duplicates = 0;
    for (number, call) in calls.into_iter().enumerate() {
        let inserted = call.await.unwrap();
        assert_eq!(inserted.id.as_str(), (number / 2).to_string());
        duplicates += usize::from(inserted.duplicate);
    }
    assert_eq!(duplicates, 250);
    assert_eq!(room.store.counters().unfinished, 250);
}

#[tokio::test]
async fn a_refused_request_leaves_the_others_of_its_batch_alone() {
    let room = Room::with(|settings| settings.outbox.max_messages = 10);
    let calls: Vec<_> = (0..30)
        .map(|number| {
            let store = room.store.clone();
            tokio::spawn(async move { store.send(message(&number.to_string())).await })
        })
        .collect();
    let mut taken = 0;
    for call in calls {
        match call.await.unwrap() {
            Ok(_) => taken += 1,
            Err(refusal) => assert_eq!(refusal.kind, ErrorKind::QueueFull),
        }
    }
    assert_eq!(taken, 10);
    assert_eq!(room.store.counters().unfinished, 10);
}

#[tokio::test]
async fn what_nobody_waits_for_is_committed_soon_without_another_request() {
    let mut room = Room::new();
    let id = room.send(message("1")).await.id;
    let place = room.place(&id).await;
    room.record(vec![ended(place, &id, MessageState::Accepted)]).await;
    assert_eq!(room.after_kill().state(&id).await, MessageState::Accepted);
}

#[tokio::test]
async fn a_locked_database_refuses_apps_and_keeps_the_engines_records_until_it_is_free() {
    let mut room = Room::new();
    let id = room.send(message("1")).await.id;
    let place = room.place(&id).await;
    let other = Connection::open(room.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    room.store.record(vec![(7, ended(place, &id, MessageState::Accepted))]).unwrap();
    let refusal = room.store.send(message("2")).await.unwrap_err();
    assert_eq!((refusal.kind, refusal.retryable), (ErrorKind::Busy, true));
    let why = room.event(|event| if let StoreEvent::Stalled(why) = event { Some(why) } else { None }).await;
    assert!(why.is_some());
    other.execute_batch("ROLLBACK").unwrap();
    let recorded = room
        .event(|event| if let StoreEvent::Recorded(recorded) = event { Some(recorded) } else { None })
        .await;
    assert_eq!(recorded[0].0, 7);
    let why = room.event(|event| if let StoreEvent::Stalled(why) = event { Some(why) } else { None }).await;
    assert_eq!(why, None);
    assert_eq!(room.state(&id).await, MessageState::Accepted);
    room.send(message("3")).await;
}

#[tokio::test]
async fn a_full_disk_refuses_apps_and_goes_on_with_what_the_engine_wants_when_there_is_room() {
    let room = Room::new();
    room.send(message("1")).await;
    room.store.close().await.unwrap();
    let found = open::open(room.settings.clone(), Clock::start()).unwrap();
    let pages: i64 = found.desk.conn.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    // To SQLite this is a full disk.
    found.desk.conn.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(())).unwrap();
    let (engine, engine_asks) = mpsc::channel(16);
    let (clients, client_asks) = mpsc::channel(16);
    let (events, mut told) = mpsc::channel(16);
    let writer = Writer {
        desk: found.desk,
        folder: crate::store::files::Folder::of(&room.path()).unwrap(),
        path: room.path(),
        engine: engine_asks,
        clients: client_asks,
        events,
        counters: Arc::default(),
        wal_pages: found.wal_pages,
        files: Arc::default(),
        room: crate::store::writer::Room::default(),
        commits: crate::store::Commits::default(),
        pulse: crate::store::pulse::Pulse::default(),
    };
    let (reply, answer) = oneshot::channel();
    let big = message(&"x".repeat(100_000));
    clients.try_send(ClientAsk::Send(Box::new(big), reply)).unwrap();
    let remember = Record::Remember { name: "paused".to_owned(), value: Some("true".to_owned()) };
    let connected = Record::Transition(Transition {
        at: Timestamp::from_millis(1),
        from: None,
        to: LinkState::Connected,
        reason: None,
        attempt: 1,
        next_retry_at: None,
    });
    engine.try_send(EngineAsk::Records(vec![(7, remember), (8, connected)])).unwrap();
    engine.try_send(EngineAsk::Due(everything())).unwrap();
    let thread = std::thread::spawn(move || writer.run());
    let refusal = answer.await.unwrap().unwrap_err();
    assert_eq!((refusal.kind, refusal.retryable), (ErrorKind::StoreFailed, true));
    assert!(matches!(told.recv().await, Some(StoreEvent::Stalled(Some(_)))));
    // What the engine recorded and asked in the same batch is done again, and small enough now.
    assert!(matches!(told.recv().await, Some(StoreEvent::Recorded(recorded)) if recorded[0].0 == 7));
    assert!(matches!(told.recv().await, Some(StoreEvent::Due(due)) if due.rows.len() == 1));
    assert!(matches!(told.recv().await, Some(StoreEvent::Stalled(None))));
    let (reply, answer) = oneshot::channel();
    clients.try_send(ClientAsk::Send(Box::new(message("2")), reply)).unwrap();
    thread.thread().unpark();
    answer.await.unwrap().unwrap();
    drop((clients, engine));
    thread.thread().unpark();
    thread.join().unwrap();
}

#[tokio::test]
async fn after_closing_everything_is_refused_and_the_log_is_gone() {
    let room = Room::new();
    room.send(message("1")).await;
    let clone = room.store.clone();
    room.store.close().await.unwrap();
    assert_eq!(clone.send(message("2")).await.unwrap_err().kind, ErrorKind::ShuttingDown);
    let query = EventQuery { from: Seq(1), types: vec![], limit: 1, bytes: 1 };
    assert_eq!(clone.events(query).await.unwrap_err().kind, ErrorKind::ShuttingDown);
    assert!(clone.record(vec![(1, Record::Remember { name: "a".to_owned(), value: None })]).is_err());
    assert!(!crate::store::files::beside(&room.path(), "-wal").exists());
}

#[tokio::test]
async fn the_writer_ends_when_the_last_handle_is_dropped() {
    let mut room = Room::new();
    room.send(message("1")).await;
    drop(room.store);
    let end = async { while room.events.recv().await.is_some() {} };
    tokio::time::timeout(std::time::Duration::from_secs(20), end)
        .await
        .expect("its end of the channel closes");
}

#[test]
fn the_linked_sqlite_has_the_fix_for_the_wal_reset_race() {
    assert!(rusqlite::version_number() >= 3_051_003);
}
