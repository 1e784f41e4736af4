use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;

use rusqlite::Connection;

use super::{Room, event, message, named, open, settings};
use crate::clock::Clock;
use crate::model::{Frame, GapReason, MessageState, NewRow, RowKind, Seq};
use crate::store::files::beside;
use crate::store::open::{Stop, open_sound};
use crate::store::{EventQuery, MessageQuery, OpenError, Store, migrations, salvage};

fn all_events() -> EventQuery {
    EventQuery { from: Seq(1), types: vec![], limit: 100_000, bytes: usize::MAX }
}

fn all_messages() -> MessageQuery {
    MessageQuery { limit: 100_000, ..MessageQuery::default() }
}

fn set_aside(path: &Path) -> Vec<std::path::PathBuf> {
    let mut found: Vec<_> = std::fs::read_dir(path.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().contains(".corrupt-"))
        .collect();
    found.sort();
    found
}

/// A closed database with messages and events in it.
async fn filled() -> Room {
    let mut room = Room::new();
    for number in 0..200 {
        room.send(named(&format!("m{number}"), &"x".repeat(300))).await;
        room.receive(vec![event(Some(&format!("e{number}")), "t", &format!("\"{number:0300}\""))]).await;
    }
    room.receive(vec![NewRow::Bad {
        reason: "bad",
        detail: String::new(),
        frame: Frame::Text("?".to_owned()),
    }])
    .await;
    room.store.cursor_create_or_get("ui").await.unwrap();
    room.store.cursor_ack("ui", Seq(7)).await.unwrap();
    room.store.close().await.unwrap();
    room
}

fn overwrite(path: &Path, at: u64, bytes: &[u8]) {
    let mut file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(bytes).unwrap();
}

#[tokio::test]
async fn a_new_database_is_private_and_in_wal_mode_and_keeps_its_epoch() {
    let room = Room::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        room.send(message("1")).await;
        for suffix in ["", "-wal", "-shm"] {
            let mode = std::fs::metadata(beside(&room.path(), suffix)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{suffix}");
        }
    }
    let epoch = room.store.epoch().clone();
    let conn = Connection::open(room.path()).unwrap();
    let mode: String = conn.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
    let vacuum: i64 = conn.query_row("PRAGMA auto_vacuum", [], |row| row.get(0)).unwrap();
    assert_eq!((mode.as_str(), vacuum), ("wal", 2));
    drop(conn);
    let room = room.reopen().await;
    assert_eq!(room.store.epoch(), &epoch);
    assert_ne!(Room::new().store.epoch(), &epoch);
    assert!(!beside(&room.path(), ".new").exists());
}

#[tokio::test]
async fn p15_a_newer_database_is_refused_and_not_a_byte_of_it_changes() {
    let room = filled().await;
    let conn = Connection::open(room.path()).unwrap();
    conn.pragma_update(None, "user_version", 99).unwrap();
    drop(conn);
    let before = std::fs::read(room.path()).unwrap();
    let error = Store::open(room.settings.clone(), Clock::start()).unwrap_err();
    assert!(matches!(error, OpenError::Newer { found: 99, .. }), "{error}");
    assert_eq!(error.exit_code(), 78);
    assert!(std::fs::read(room.path()).unwrap() == before);
    assert!(set_aside(&room.path()).is_empty());
}

#[tokio::test]
async fn p15_a_newer_database_whose_version_is_still_in_its_log_is_refused_unchanged() {
    let room = filled().await;
    let conn = Connection::open(room.path()).unwrap();
    conn.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
    conn.pragma_update(None, "user_version", 99).unwrap();
    drop(conn);
    let files = || ["", "-wal"].map(|suffix| std::fs::read(beside(&room.path(), suffix)).unwrap());
    let before = files();
    assert!(!before[1].is_empty());
    let error = Store::open(room.settings.clone(), Clock::start()).unwrap_err();
    assert!(matches!(error, OpenError::Newer { found: 99, .. }), "{error}");
    assert!(files() == before);
}

#[test]
fn the_database_of_another_program_is_refused_unchanged() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(&dir);
    Connection::open(&settings.path).unwrap().execute_batch("CREATE TABLE theirs (a)").unwrap();
    let before = std::fs::read(&settings.path).unwrap();
    let error = Store::open(settings.clone(), Clock::start()).unwrap_err();
    assert!(matches!(error, OpenError::Foreign { .. }), "{error}");
    assert_eq!(error.exit_code(), 78);
    assert!(std::fs::read(&settings.path).unwrap() == before);
}

#[test]
fn a_folder_that_cannot_be_written_is_a_storage_error() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = settings(&dir);
    settings.path = dir.path().join("missing").join("x.db");
    let error = Store::open(settings, Clock::start()).unwrap_err();
    assert_eq!(error.exit_code(), 74);
    assert!(error.to_string().contains("missing"), "{error}");
}

const NEXT: &[&str] = &[
    migrations::MIGRATIONS[0],
    migrations::MIGRATIONS[1],
    migrations::MIGRATIONS[2],
    migrations::MIGRATIONS[3],
    "ALTER TABLE outbox ADD COLUMN colour TEXT",
];

#[tokio::test]
async fn p15_what_an_older_version_kept_is_known_to_this_one() {
    let mut room = Room::new();
    let cursors = vec![("".into(), Some("7".into()))];
    let unit = crate::model::Unit {
        rows: vec![event(Some("a"), "t", "1")],
        cursors,
        ..crate::model::Unit::default()
    };
    let connected = crate::model::Transition {
        at: crate::model::Timestamp::from_millis(1),
        from: None,
        to: crate::model::LinkState::Connected,
        reason: None,
        attempt: 1,
        next_retry_at: None,
    };
    let received_at = crate::model::Timestamp::from_millis(Room::NOW);
    let record = crate::model::Record::Inbound { received_at, unit };
    room.record(vec![record, crate::model::Record::Transition(connected)]).await;
    room.store.close().await.unwrap();
    // As the second version had it: one name for a stream whatever the server, and no misfits.
    let conn = Connection::open(room.path()).unwrap();
    conn.execute_batch(
        "DROP TABLE misfits; UPDATE streams SET name = ''; DROP INDEX outbox_claimed;
         CREATE INDEX outbox_held ON outbox (state, place) WHERE state IN (11, 20, 21); PRAGMA user_version = 2",
    ).unwrap();
    drop(conn);
    let Room { dir, settings, .. } = room;
    let opened = open(settings.clone());
    assert!(opened.notes[0].contains("version 2 to 4"), "{:?}", opened.notes);
    let mut room = Room { dir, settings, store: opened.store, events: opened.events, tickets: 0 };
    assert_eq!(room.receive(vec![event(Some("a"), "t", "1")]).await, [crate::model::Appended::Duplicate]);
    assert!(room.store.quarantine_list(1, None).await.unwrap().entries.is_empty());
}

#[tokio::test]
async fn p15_an_older_database_is_copied_and_brought_up_with_all_its_rows() {
    let room = filled().await;
    let old = std::fs::read(room.path()).unwrap();
    let found = open_sound(&room.settings, Clock::start(), NEXT).unwrap();
    assert!(found.notes[0].contains("version 4 to 5"), "{:?}", found.notes);
    let count = |conn: &Connection| -> i64 {
        conn.query_row("SELECT count(*) FROM outbox", [], |row| row.get(0)).unwrap()
    };
    assert_eq!(count(&found.desk.conn), 200);
    found.desk.conn.prepare("SELECT colour FROM outbox").unwrap();
    drop(found);
    let copy = migrations::backup_path(&room.path(), 4);
    let backup = Connection::open(&copy).unwrap();
    assert_eq!(count(&backup), 200);
    assert!(backup.prepare("SELECT colour FROM outbox").is_err());
    assert_eq!(std::fs::read(&copy).unwrap().len(), old.len());
    // And now it is newer than this build.
    assert!(matches!(Store::open(room.settings.clone(), Clock::start()), Err(OpenError::Newer { .. })));
}

#[tokio::test]
async fn p15_a_migration_that_fails_leaves_the_old_database() {
    let room = filled().await;
    let broken: &[&str] = &[
        migrations::MIGRATIONS[0],
        migrations::MIGRATIONS[1],
        migrations::MIGRATIONS[2],
        migrations::MIGRATIONS[3],
        "ALTER TABLE outbox ADD COLUMN colour TEXT; SELECT nonsense",
    ];
    assert!(matches!(
        open_sound(&room.settings, Clock::start(), broken),
        Err(Stop::Damaged(_) | Stop::Refused(_))
    ));
    let opened = open(room.settings.clone());
    assert!(opened.notes.is_empty());
    assert_eq!(opened.store.list_messages(all_messages()).await.unwrap().rows.len(), 200);
}

#[tokio::test]
async fn p14_a_file_without_a_header_is_set_aside_and_salvaged() {
    let room = filled().await;
    overwrite(&room.path(), 0, &[0xa5; 4096]);
    let damaged = std::fs::read(room.path()).unwrap();
    let opened = open(room.settings.clone());
    assert_ne!(&opened.epoch, room.store.epoch());
    assert_eq!(opened.notes.len(), 1);
    assert!(opened.notes[0].contains("200 messages"), "{:?}", opened.notes);
    let aside = set_aside(&room.path());
    assert!(std::fs::read(&aside[0]).unwrap() == damaged, "the damaged file is as it was");

    let messages = opened.store.list_messages(all_messages()).await.unwrap();
    assert_eq!(messages.rows.len(), 200);
    assert!(messages.rows.iter().all(|row| row.message.state == MessageState::Queued));
    let page = opened.store.events(all_events()).await.unwrap();
    assert_eq!(page.rows.len(), 202);
    assert_eq!(page.rows[201].kind, RowKind::Gap(GapReason::Corruption));
    assert_eq!(opened.store.cursor_list().await.unwrap()[0].seq, Seq(7));
    assert_eq!(opened.store.quarantine_list(10, None).await.unwrap().entries.len(), 1);
    let counters = opened.store.counters();
    assert_eq!((counters.unfinished, counters.events, counters.quarantined), (200, 200, 1));
    // It goes on: no number and no place is used twice.
    assert!(opened.store.send(named("m5", &"x".repeat(300))).await.unwrap().duplicate);
    opened.store.send(message("new")).await.unwrap();
    opened.store.close().await.unwrap();
    assert!(open(room.settings.clone()).notes.is_empty());
}

#[tokio::test]
async fn p14_pages_that_cannot_be_read_cost_only_their_own_rows() {
    let room = filled().await;
    let pages = std::fs::metadata(room.path()).unwrap().len() / 4096;
    for page in [pages / 3, pages / 2] {
        overwrite(&room.path(), page * 4096, &[0x5a; 4096]);
    }
    crate::store::suspicion::raise(&room.path());
    let opened = open(room.settings.clone());
    assert_eq!(opened.notes.len(), 1, "{:?}", opened.notes);
    let messages = opened.store.list_messages(all_messages()).await.unwrap().rows.len();
    let events = opened.store.events(all_events()).await.unwrap().rows.len();
    assert!(messages + events > 300, "{messages} messages, {events} events");
    let checked = opened.store.full_check().await.unwrap();
    assert!(checked.is_sound(), "{checked:?}");
    assert_eq!(opened.store.last_check(), Some(checked));
    assert!(!crate::store::suspicion::is_raised(&room.path()));
}

#[tokio::test]
async fn p14_an_empty_file_and_a_log_without_its_database_are_set_aside_too() {
    let room = filled().await;
    std::fs::write(room.path(), b"").unwrap();
    let opened = open(room.settings.clone());
    assert_eq!(opened.notes.len(), 1);
    opened.store.close().await.unwrap();

    let room = Room::new();
    room.send(message("1")).await;
    let killed = room.after_kill();
    killed.store.close().await.unwrap();
    std::fs::copy(beside(&room.path(), "-wal"), beside(&killed.path(), "-wal")).unwrap();
    std::fs::remove_file(killed.path()).unwrap();
    let opened = open(killed.settings.clone());
    assert_eq!(opened.notes.len(), 1);
    assert!(set_aside(&killed.path()).iter().any(|path| path.to_string_lossy().ends_with("-wal")));
    opened.store.send(message("2")).await.unwrap();
}

#[tokio::test]
async fn p14_setting_aside_goes_on_where_a_killed_process_left_it() {
    // Killed after the note, after the log was moved, after the file was moved, and at the end.
    for killed_after in 0..4 {
        let room = filled().await;
        overwrite(&room.path(), 0, &[0; 100]);
        let aside = beside(&room.path(), ".corrupt-x");
        std::fs::write(beside(&room.path(), ".salvaging"), aside.file_name().unwrap().to_str().unwrap())
            .unwrap();
        if killed_after >= 2 {
            std::fs::rename(room.path(), &aside).unwrap();
        }
        if killed_after == 3 {
            let other = filled().await;
            std::fs::copy(other.path(), room.path()).unwrap();
        }
        assert!(salvage::is_unfinished(&room.path()));
        let opened = open(room.settings.clone());
        assert_eq!(
            opened.store.list_messages(all_messages()).await.unwrap().rows.len(),
            200,
            "{killed_after}"
        );
        assert!(aside.exists() && !salvage::is_unfinished(&room.path()));
    }
}

#[tokio::test]
async fn p14_a_changed_byte_in_a_body_is_never_passed_on() {
    let room = filled().await;
    let conn = Connection::open(room.path()).unwrap();
    conn.execute(
        "UPDATE outbox SET body = CAST(replace(CAST(body AS TEXT), 'xxx', 'xyx') AS BLOB) WHERE place = 3",
        [],
    )
    .unwrap();
    conn.execute(
        "UPDATE inbox SET body = CAST(replace(CAST(body AS TEXT), '000', '010') AS BLOB) WHERE seq = 4",
        [],
    )
    .unwrap();
    drop(conn);
    let opened = open(room.settings.clone());
    let mut room = Room { store: opened.store, events: opened.events, ..room };
    let due = room.due_all().await;
    assert_eq!(due.rows.len(), 199);
    let third = crate::model::MessageId::new("m2").unwrap();
    let id = room.store.get(&third).await.unwrap().unwrap();
    assert_eq!(id.message.reason.as_deref(), Some("damaged"));
    assert!(id.message.data.is_none());
    let page = room.store.events(all_events()).await.unwrap();
    assert_eq!(page.rows[3].kind, RowKind::Gap(GapReason::Corruption));
    assert_eq!(page.rows[4].seq, Some(Seq(5)));
}

#[tokio::test]
async fn damage_found_while_running_makes_the_next_start_salvage() {
    let room = filled().await;
    let pages = std::fs::metadata(room.path()).unwrap().len() / 4096;
    overwrite(&room.path(), (pages / 2) * 4096, &[0x5a; 4096]);
    let opened = open(room.settings.clone());
    assert!(opened.notes.is_empty(), "an ordinary start does not read every page");
    let found = opened.store.quick_check().await;
    assert!(found.is_err() || !found.unwrap().problems.is_empty());
    drop(opened.store.close().await);
    assert_eq!(open(room.settings.clone()).notes.len(), 1);
}

#[tokio::test]
async fn an_unclean_end_is_noticed() {
    let room = Room::new();
    room.send(message("1")).await;
    let killed = room.after_kill();
    killed.store.close().await.unwrap();
    assert!(!open(killed.settings.clone()).unclean);
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(&dir);
    for suffix in ["", "-wal"] {
        std::fs::copy(beside(&room.path(), suffix), beside(&settings.path, suffix)).unwrap();
    }
    assert!(open(settings).unclean);
}

#[tokio::test]
async fn p14_a_broken_log_gives_back_what_stands_behind_the_break() {
    let room = Room::new();
    for number in 0..50 {
        room.send(named(&format!("m{number}"), &"x".repeat(300))).await;
    }
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(&dir);
    for suffix in ["", "-wal", ".in-use"] {
        std::fs::copy(beside(&room.path(), suffix), beside(&settings.path, suffix)).unwrap();
    }
    let log = beside(&settings.path, "-wal");
    let mut bytes = std::fs::read(&log).unwrap();
    // In the middle of a page, in the middle of the log.
    let at = 32 + (bytes.len() / 4120 / 2) * 4120 + 24 + 3000;
    bytes[at] ^= 0x10;
    std::fs::write(&log, &bytes).unwrap();
    let opened = open(settings.clone());
    assert_eq!(opened.notes.len(), 1, "{:?}", opened.notes);
    assert!(opened.notes[0].contains("commits behind the break"), "{:?}", opened.notes);
    let messages = opened.store.list_messages(all_messages()).await.unwrap().rows.len();
    assert!(messages >= 48, "{messages}: {:?}", opened.notes);
    assert!(opened.store.full_check().await.unwrap().is_sound());
}

#[tokio::test]
async fn p14_a_damaged_table_of_tables_costs_no_row() {
    for version_1 in [false, true] {
        let mut room = filled().await;
        if version_1 {
            let long = std::time::Duration::from_secs(100 * 365 * 24 * 60 * 60);
            room.settings.outbox.keep_finished_age = long;
            room.settings.inbox.max_age = long;
            // One that was upgraded has that table on other pages than a new one.
            std::fs::write(room.path(), include_bytes!("../../../tests/fixtures/store/v1.db")).unwrap();
            open(room.settings.clone()).store.close().await.unwrap();
        }
        let mut bytes = std::fs::read(room.path()).unwrap();
        let word = b"CREATE TABLE inbox";
        let at = bytes.windows(word.len()).rposition(|here| here == word).unwrap();
        bytes[at + 2] ^= 1;
        std::fs::write(room.path(), bytes).unwrap();
        let opened = open(room.settings.clone());
        let rows = opened.store.list_messages(all_messages()).await.unwrap().rows.len();
        assert_eq!(rows, if version_1 { 60 } else { 200 }, "{:?}", opened.notes);
        assert!(opened.store.full_check().await.unwrap().is_sound());
    }
}

#[tokio::test]
async fn a_kept_statement_is_compiled_once_whatever_is_bound_to_it() {
    let room = Room::new();
    let conn = super::super::open::open_reader(&room.path()).unwrap();
    let text = "SELECT seq, kind FROM inbox WHERE seq >= ?1 ORDER BY seq LIMIT ?2";
    for bound in 0..4 {
        let mut statement = conn.prepare_cached(text).unwrap();
        let mut rows = statement.query([bound, bound * 1000]).unwrap();
        assert!(rows.next().unwrap().is_none());
    }
    let again = conn.prepare_cached(text).unwrap().get_status(rusqlite::StatementStatus::RePrepare);
    assert_eq!(again, 0);
}
