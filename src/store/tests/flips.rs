//! P14: one changed bit anywhere in the files is never a wrong payload, and what is lost is told.
//!
//! `HOLDLINE_FLIPS` says how many bits are tried.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Room, ended, event, keyed, latest, message, named};
use crate::clock::Clock;
use crate::model::{Delivery, Frame, MessageState, NewRow, Payload, RowKind, Seq};
use crate::store::files::beside;
use crate::store::{EventQuery, MessageQuery, Opened, Settings, Store, StoreEvent};

/// What an app could learn of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    /// By id: state and body.
    messages: BTreeMap<String, (MessageState, Option<String>)>,
    /// By number.
    events: BTreeMap<i64, String>,
    cursor: Option<i64>,
}

async fn see(store: &Store) -> Result<Seen, crate::model::Refusal> {
    let list = store.list_messages(MessageQuery { limit: 10_000, ..MessageQuery::default() }).await?;
    let messages = list
        .rows
        .into_iter()
        .map(|row| {
            let body = row.message.data.map(|data| data.get().to_owned());
            (row.message.id.as_str().to_owned(), (row.message.state, body))
        })
        .collect();
    let query = EventQuery { from: Seq(1), types: vec![], limit: 10_000, bytes: usize::MAX };
    let page = store.events(query).await?;
    let events = page
        .rows
        .iter()
        .map(|row| {
            let told = match &row.kind {
                RowKind::Event { id, kind, payload: Payload::Json(text) } => format!("{kind} {id:?} {text}"),
                other @ (RowKind::Event { .. } | RowKind::Gap(_) | RowKind::Bad) => format!("{other:?}"),
            };
            (row.seq.expect("a stored row").0, told)
        })
        .collect();
    let cursors = store.cursor_list().await?;
    let cursor = cursors.iter().find(|cursor| cursor.name == "ui").map(|cursor| cursor.seq.0);
    Ok(Seen { messages, events, cursor })
}

/// A store with something of everything in it; half of it is still in the log.
async fn filled() -> Room {
    let mut room = Room::new();
    for number in 0..60 {
        let id = format!("m{number}");
        if number % 3 == 0 {
            room.finish(named(&id, &"x".repeat(200)), MessageState::Accepted).await;
        } else {
            room.send(named(&id, &format!("{number:0200}"))).await;
        }
        room.receive(vec![event(Some(&format!("e{number}")), "t", &format!("\"{number:0200}\""))]).await;
        if number == 30 {
            room = room.reopen().await;
        }
    }
    room.send(latest("k", "1")).await;
    room.send(latest("k", "2")).await;
    let parked = room.send(message("parked")).await.id;
    let place = room.place(&parked).await;
    room.record(vec![ended(place, &parked, MessageState::Parked)]).await;
    room.receive(vec![keyed(Delivery::Latest, "s", "a", "1"), keyed(Delivery::Latest, "s", "a", "2")]).await;
    let frame = Frame::Text("?".to_owned());
    room.receive(vec![NewRow::Bad { reason: "bad", detail: String::new(), frame }]).await;
    room.store.cursor_create_or_get("ui").await.unwrap();
    room.store.cursor_ack("ui", Seq(7)).await.unwrap();
    room
}

/// Opens as the daemon does, checks as it does after the start, and starts anew where that ends
/// it. What people were told on the way.
async fn start(settings: &Settings) -> Result<(Opened, Vec<String>), String> {
    let mut told = Vec::new();
    for _ in 0..3 {
        let mut opened = Store::open(settings.clone(), Clock::start()).map_err(|error| error.to_string())?;
        told.append(&mut opened.notes);
        match opened.store.quick_check().await {
            Ok(found) if found.is_sound() => return Ok((opened, told)),
            Ok(found) => told.push(format!("{found:?}")),
            Err(refusal) => told.push(refusal.to_string()),
        }
        let mut fatal = false;
        while let Ok(event) = opened.events.try_recv() {
            fatal |= matches!(event, StoreEvent::Fatal(_));
        }
        if !fatal && !crate::store::suspicion::is_raised(&settings.path) {
            return Ok((opened, told));
        }
        drop(opened.events);
        let _ = opened.store.close().await;
    }
    Err(format!("it did not come up: {told:?}"))
}

fn copy(from: &Path, to: &Path, suffixes: &[&str]) {
    for suffix in suffixes {
        let file = beside(from, suffix);
        if file.exists() {
            std::fs::copy(file, beside(to, suffix)).unwrap();
        }
    }
}

/// What is wrong with what is seen now, if anything is and nobody was told.
fn silent(before: &Seen, now: &Seen, told: &[String]) -> Option<String> {
    for (id, (state, body)) in &now.messages {
        let known = before.messages.get(id);
        let wrong = body.is_some() && known.is_some_and(|known| known.1 != *body);
        if wrong {
            return Some(format!("a wrong payload of {id}: {body:?}"));
        }
        if told.is_empty() && known.is_none_or(|known| known.0 != *state) {
            return Some(format!("{id} became {state:?} in silence"));
        }
    }
    for (seq, row) in &now.events {
        let wrong = row.starts_with("t ") && before.events.get(seq).is_some_and(|known| known != row);
        if wrong {
            return Some(format!("a wrong payload of event {seq}: {row}"));
        }
    }
    if !told.is_empty() {
        // Every number is an event, a gap, or was none before.
        let missing = before.events.keys().find(|seq| !now.events.contains_key(seq));
        let all_lost = !now.events.keys().any(|seq| before.events.contains_key(seq));
        return missing.filter(|_| !all_lost).map(|seq| format!("event {seq} is neither told nor a gap"));
    }
    (before != now).then(|| "something changed in silence".to_owned())
}

async fn flip(where_: &[&str], count: usize, seed: u64) {
    let room = filled().await;
    let before = see(&room.store).await.unwrap();
    let files = tempfile::tempdir().unwrap();
    let master = files.path().join("master.db");
    copy(&room.path(), &master, &["", "-wal", ".in-use"]);
    let mut closed = room.settings.clone();
    if !where_.contains(&"-wal") {
        // All of it in the database itself.
        closed.path = master.clone();
        let opened = super::open(closed);
        opened.store.close().await.unwrap();
    }
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut refused, mut told_of, mut harmless) = (0, 0, 0);
    for round in 0..count {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings { path: dir.path().join("default.db"), ..room.settings.clone() };
        copy(&master, &settings.path, &["", "-wal", ".in-use"]);
        let file = beside(&settings.path, where_[round % where_.len()]);
        let mut bytes = std::fs::read(&file).unwrap();
        let (at, bit) = (random.usize(..bytes.len()), random.u32(..8));
        bytes[at] ^= 1 << bit;
        std::fs::write(&file, &bytes).unwrap();
        let place = format!("byte {at} bit {bit} of {}", file.display());
        let (opened, told) = match start(&settings).await {
            Ok(started) => started,
            Err(why) => {
                assert!(why.len() > 20 && !why.contains("did not come up"), "{place}: {why}");
                refused += 1;
                continue;
            }
        };
        let now = see(&opened.store).await.unwrap_or_else(|refusal| panic!("{place}: {refusal}, {told:?}"));
        let fault = silent(&before, &now, &told);
        assert_eq!(fault, None, "{place}: {told:?}");
        if told.is_empty() {
            harmless += 1
        } else {
            told_of += 1
        }
        opened.store.close().await.unwrap_or_else(|refusal| panic!("{place}: {refusal}"));
    }
    let _ = std::io::Write::write_fmt(
        &mut std::io::stderr(),
        format_args!(
            "{count} bits in {where_:?}: {harmless} harmless, {told_of} told, {refused} refused with a reason\n"
        ),
    );
}

fn flips() -> usize {
    std::env::var("HOLDLINE_FLIPS").ok().and_then(|text| text.parse().ok()).unwrap_or(40)
}

#[tokio::test]
async fn p14_one_changed_bit_of_the_database_is_never_a_wrong_payload() {
    flip(&[""], flips(), 1).await;
}

#[tokio::test]
async fn p14_one_changed_bit_of_the_log_is_never_a_wrong_payload() {
    flip(&["-wal"], flips(), 2).await;
}
