//! P15: databases of earlier versions.

use std::path::Path;

use rusqlite::Connection;
use rusqlite::types::Value;

use super::open;
use crate::clock::Clock;
use crate::model::{MessageId, MessageState, RowKind, Seq};
use crate::store::files::beside;
use crate::store::{EventQuery, MessageQuery, Store, migrations};

/// A database that holdline 0.1.0 wrote when its schema was version 1: messages that were
/// accepted, rejected, cancelled and queued, values by key, events, a frame in quarantine, a cursor.
const VERSION_1: &[u8] = include_bytes!("../../../tests/fixtures/store/v1.db");

/// Settings by which nothing in it is too old, whenever this runs.
fn ageless(dir: &tempfile::TempDir) -> crate::store::Settings {
    let mut settings = super::settings(dir);
    let ages = std::time::Duration::from_secs(100 * 365 * 86_400);
    (settings.outbox.keep_finished_age, settings.inbox.max_age) = (ages, ages);
    settings
}

fn put(path: &Path) {
    std::fs::write(path, VERSION_1).unwrap();
}

/// All rows of the tables that hold what users gave us.
fn rows(path: &Path) -> Vec<Vec<Value>> {
    let conn = Connection::open(path).unwrap();
    let mut all = Vec::new();
    for sql in [
        "SELECT place, state, attempts, queued_at, expires_at, lane, kind, key, id, reason, body FROM outbox",
        "SELECT seq, received_at, form, kind, id, key, body FROM inbox",
        "SELECT seq, received_at, reason, detail, form, frame FROM quarantine",
        "SELECT name, seq, last_seen FROM cursors",
        "SELECT server, stream, cursor FROM resume",
        // (A start notes what may have been sent by the run before it.)
        "SELECT name, value FROM remembered WHERE name <> 'maybe_sent'",
        "SELECT name, value FROM facts WHERE name = 'epoch'",
        "SELECT number, body FROM transitions",
    ] {
        let mut statement = conn.prepare(sql).unwrap();
        let columns = statement.column_count();
        let found = statement
            .query_map([], |row| (0..columns).map(|column| row.get(column)).collect())
            .unwrap()
            .collect::<rusqlite::Result<Vec<_>>>()
            .unwrap();
        all.extend(found);
    }
    all
}

#[tokio::test]
async fn p15_a_database_of_version_1_comes_up_with_all_its_rows_and_keeps_a_copy() {
    let dir = tempfile::tempdir().unwrap();
    let settings = ageless(&dir);
    put(&settings.path);
    let before = rows(&settings.path);
    let opened = open(settings.clone());
    assert!(opened.notes[0].contains("version 1 to 4"), "{:?}", opened.notes);
    assert!(opened.store.full_check().await.unwrap().is_sound());
    let all =
        opened.store.list_messages(MessageQuery { limit: 1000, ..MessageQuery::default() }).await.unwrap();
    assert_eq!(all.rows.len(), 60);
    let queued = opened.store.get(&MessageId::new("queued-3").unwrap()).await.unwrap().unwrap().message;
    assert_eq!(queued.state, MessageState::Queued);
    assert_eq!(queued.data.unwrap().get(), "{\"id\":\"q3\",\"text\":\"waiting ünïcödé 3\"}");
    let query = EventQuery { from: Seq(1), types: vec![], limit: 1000, bytes: usize::MAX };
    let events = opened.store.events(query).await.unwrap().rows;
    assert_eq!(events.iter().filter(|row| matches!(row.kind, RowKind::Event { .. })).count(), 28);
    assert_eq!(opened.store.cursor_list().await.unwrap()[0].seq, Seq(7));
    opened.store.close().await.unwrap();
    assert!(rows(&settings.path) == before, "nothing is changed by the way up");
    let copy = migrations::backup_path(&settings.path, 1);
    assert!(rows(&copy) == before);
    let version: i64 =
        Connection::open(&copy).unwrap().query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    assert_eq!(version, 1);
}

#[tokio::test]
async fn p15_a_row_of_version_1_is_checked_as_it_was_and_goes_on_through_its_states() {
    let dir = tempfile::tempdir().unwrap();
    let settings = ageless(&dir);
    put(&settings.path);
    let conn = Connection::open(&settings.path).unwrap();
    conn.execute(
        "UPDATE outbox SET body = CAST(replace(CAST(body AS TEXT), 'q5', 'q6') AS BLOB) WHERE id = 'queued-5'",
        [],
    )
    .unwrap();
    drop(conn);
    let opened = open(settings);
    let found = opened.store.quick_check().await.unwrap();
    assert_eq!((found.damaged_messages, found.damaged_events), (1, 0), "{found:?}");
    let get = async |id: &str| opened.store.get(&MessageId::new(id).unwrap()).await.unwrap().unwrap().message;
    let damaged = get("queued-5").await;
    assert_eq!((damaged.state, damaged.reason.as_deref()), (MessageState::Parked, Some("damaged")));
    opened.store.cancel(&MessageId::new("queued-6").unwrap()).await.unwrap();
    assert_eq!(get("queued-6").await.state, MessageState::Cancelled);
    assert!(get("queued-6").await.data.is_some(), "its checksum still fits");
}

#[tokio::test]
async fn p15_killed_at_any_step_of_the_way_up_it_is_old_or_new() {
    // What a kill leaves: no copy, half a copy, the whole copy, and the new tables in the log.
    for step in 0..4 {
        let dir = tempfile::tempdir().unwrap();
        let settings = ageless(&dir);
        put(&settings.path);
        let before = rows(&settings.path);
        let copy = migrations::backup_path(&settings.path, 1);
        match step {
            0 => {}
            1 => std::fs::write(beside(&copy, ".new"), &VERSION_1[..5000]).unwrap(),
            2 => std::fs::write(&copy, VERSION_1).unwrap(),
            _ => {
                let other = tempfile::tempdir().unwrap();
                let there = ageless(&other);
                put(&there.path);
                // Still open: what it did stands in the log alone.
                let opened = Store::open(there.clone(), Clock::start()).unwrap();
                for suffix in ["", "-wal"] {
                    std::fs::copy(beside(&there.path, suffix), beside(&settings.path, suffix)).unwrap();
                }
                drop(opened);
            }
        }
        let opened = open(settings.clone());
        assert!(opened.store.full_check().await.unwrap().is_sound(), "step {step}");
        opened.store.close().await.unwrap();
        assert!(rows(&settings.path) == before, "step {step}");
        if step < 3 {
            assert!(rows(&copy) == before, "step {step}");
        }
    }
}
