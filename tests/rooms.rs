//! The rules of the house, held by a test: which room may lean on which, which outside crate
//! belongs to which room, who may ask for the time, who may speak SQL, how long a file may be.
//!
//! Source is read as text. Tests inside `src` are free: they may lean on whatever proves their
//! point.

#[path = "rooms/source.rs"]
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::LazyLock;

use source::{Source, sources};

/// Each room, and the rooms it may lean on.
const ROOMS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("clock", &["model"]),
    ("ipc", &["model"]),
    ("dialect", &["model"]),
    ("store", &["clock", "model"]),
    // The token's command and the commands of notification rules are started in the same way.
    ("program", &[]),
    ("link", &["program", "model", "clock"]),
    ("rpc", &["ipc", "model"]),
    ("notify", &["program", "clock", "model"]),
    // What is wrong with a schema or a template is said with the line of the key that holds it; the
    // name of the Windows pipe holds the user, and `ipc` knows who that is.
    ("config", &["schema", "notify", "ipc", "model"]),
    ("schema", &["model"]),
    ("session", &["dialect", "model"]),
    ("dev_server", &["dialect", "model"]),
    ("client", &["rpc", "ipc", "model"]),
    ("engine", &["session", "dialect", "link", "store", "clock", "model"]),
    (
        "daemon",
        &[
            "engine",
            "session",
            "dialect",
            "link",
            "notify",
            "store",
            "ipc",
            "rpc",
            "config",
            "dev_server",
            "clock",
            "model",
        ],
    ),
    ("cli", &["client", "config", "dialect", "daemon", "dev_server", "rpc", "model", "clock"]),
];

/// Rooms that compute and do nothing else: no runtime, no files, no sockets, no environment.
const PURE: &[&str] = &["model", "dialect", "schema", "session"];

/// Files of pure rooms that touch the outside world, each with the reason.
const AT_THE_DOOR: &[(&str, &str)] = &[("dialect/load.rs", "reads a dialect's file, once, at start")];

/// What a pure room may not name.
const IMPURE: &[&str] = &[
    "tokio::",
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::thread",
    // Chance comes from a seed that was handed in.
    "Rng::new()",
    "fastrand::u",
    "fastrand::i",
    "fastrand::f",
    "fastrand::b",
    "fastrand::shuffle",
];

/// Each outside crate, and the rooms that may name it. `*`: every room.
const CRATES: &[(&str, &[&str])] = &[
    ("serde", &["*"]),
    ("serde_json", &["*"]),
    ("thiserror", &["*"]),
    ("tracing", &["*"]),
    (
        "tokio",
        &[
            "ipc",
            "rpc",
            "client",
            "clock",
            "link",
            "notify",
            "program",
            "store",
            "engine",
            "daemon",
            "dev_server",
            "cli",
        ],
    ),
    ("tokio_util", &["rpc", "client", "link", "notify", "engine", "daemon", "dev_server"]),
    ("anstream", &["cli"]),
    ("anstyle", &["cli"]),
    ("async_trait", &["rpc", "notify", "daemon"]),
    ("base64", &["rpc", "client", "dialect", "store", "link", "dev_server", "cli"]),
    ("clap", &["cli"]),
    ("clap_complete", &["cli"]),
    ("clap_mangen", &["cli"]),
    // Files of a service are known again by a sum.
    ("crc32fast", &["store", "cli"]),
    ("fastrand", &["session", "dialect", "link", "engine", "daemon", "dev_server"]),
    ("futures_util", &["link", "rpc", "daemon", "dev_server"]),
    ("http", &["link", "dev_server"]),
    ("httparse", &["link"]),
    ("interprocess", &["ipc"]),
    ("holdline_schema", &["schema"]),
    ("jsonschema", &["schema"]),
    ("jiff", &["model", "config", "link", "notify", "daemon", "cli"]),
    ("listenfd", &["ipc"]),
    ("memchr", &["model", "link", "rpc"]),
    ("minijinja", &["notify"]),
    ("notify", &["link"]),
    ("notify_rust", &["notify"]),
    ("percent_encoding", &["link", "config", "dialect", "dev_server"]),
    ("rusqlite", &["store"]),
    ("rustix", &["clock", "ipc", "config", "link", "program", "store", "daemon", "cli"]),
    ("rustls_pki_types", &["link"]),
    ("rustls_platform_verifier", &["link"]),
    ("schemars", &["model", "rpc"]),
    ("sd_notify", &["daemon"]),
    ("secret_service", &["link"]),
    ("keyring_core", &["link"]),
    ("apple_native_keyring_store", &["link"]),
    ("windows_native_keyring_store", &["link"]),
    ("secrecy", &["model"]),
    ("socket2", &["link"]),
    ("strsim", &["config", "dialect"]),
    ("tokio_rustls", &["link"]),
    ("tokio_tungstenite", &["link", "dev_server"]),
    ("toml", &["config", "dialect"]),
    ("tracing_subscriber", &["daemon"]),
    ("unicode_width", &["model"]),
    ("uuid", &["model", "clock", "dialect", "store"]),
    ("widestring", &["ipc"]),
    ("winsafe", &["ipc"]),
    // Notifications; sleep and wake; the keyring, and what it says by itself.
    ("zbus", &["notify", "daemon", "link"]),
    // What held a secret is wiped where it is let go.
    ("zeroize", &["model", "link"]),
    ("x509_parser", &["link"]),
];

/// Rooms that may ask for the time: `clock`, and those that only need a deadline for one read or one
/// wait on a timer of the runtime, where neither sleep nor a step of the wall clock matters.
const TELLS_TIME: &[&str] = &["clock", "dev_server", "ipc", "rpc"];

/// Ways to ask for the time.
const TIME: &[&str] = &["Instant::now", "SystemTime::now", "Timestamp::now", "Zoned::now", "Uuid::now_v7"];

/// How SQL looks; only `store` may write it.
const SQL: &[&str] =
    &["SELECT ", "INSERT INTO ", "INSERT OR ", "DELETE FROM ", "CREATE TABLE ", "BEGIN IMMEDIATE", "PRAGMA "];

/// Longest file, in lines outside its tests.
const LINES: usize = 500;

/// Files that may be longer, each with the reason.
const LONG: &[(&str, &str)] = &[
    ("dev_server/connection.rs", "one connection's phases and faults, read as one story"),
    ("model/failure.rs", "every failure with its verdict, word, sentence and hint, read side by side"),
    ("rpc/api.rs", "the whole contract, one type after the other"),
    (
        "session/delivery.rs",
        "a row's way from due to its end; lanes, window, release and answers are files beside it",
    ),
    ("session/machine.rs", "one arm for each input, timer and act, and what follows for the other parts"),
];

fn house() -> &'static [Source] {
    static HOUSE: LazyLock<Vec<Source>> =
        LazyLock::new(|| sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")));
    &HOUSE
}

fn rooms() -> BTreeMap<&'static str, &'static [&'static str]> {
    ROOMS.iter().copied().collect()
}

/// Rooms that `source` leans on and may not.
fn trespasses(source: &Source) -> Vec<String> {
    let rooms = rooms();
    let Some(room) = source.room() else { return Vec::new() };
    let Some(allowed) = rooms.get(room) else {
        return vec![format!("{}: `{room}` is no room of the table", source.path)];
    };
    let named: BTreeSet<String> = source.rooms_named().into_iter().collect();
    named
        .into_iter()
        .filter(|named| {
            rooms.contains_key(named.as_str()) && named != room && !allowed.contains(&named.as_str())
        })
        .map(|named| format!("{}: `{room}` may not lean on `{named}`", source.path))
        .collect()
}

/// Outside crates that `source` names and may not.
fn strangers(source: &Source) -> Vec<String> {
    let Some(room) = source.room() else { return Vec::new() };
    CRATES
        .iter()
        .filter(|(name, owners)| {
            !owners.contains(&"*") && !owners.contains(&room) && source.names_crate(name)
        })
        .map(|(name, owners)| format!("{}: `{name}` belongs to {owners:?}", source.path))
        .collect()
}

/// What stands where it may not: time, SQL, the outside world in a pure room.
fn slips(source: &Source) -> Vec<String> {
    let room = source.room().unwrap_or_default();
    let mut slips = Vec::new();
    if !TELLS_TIME.contains(&room) {
        slips.extend(
            TIME.iter()
                .filter(|call| source.code.contains(**call))
                .map(|call| format!("{}: `{call}` belongs to `clock`", source.path)),
        );
    }
    if room != "store" {
        slips.extend(
            source
                .strings
                .iter()
                .filter(|text| SQL.iter().any(|word| text.contains(word)))
                .map(|text| format!("{}: SQL belongs to `store`: {text:?}", source.path)),
        );
    }
    if PURE.contains(&room) && !AT_THE_DOOR.iter().any(|(path, _)| *path == source.path) {
        slips.extend(
            IMPURE
                .iter()
                .filter(|word| source.code.contains(**word))
                .map(|word| format!("{}: `{room}` is pure and may not name `{word}`", source.path)),
        );
    }
    slips
}

fn assert_none(found: Vec<String>) {
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn no_room_leans_on_a_room_it_may_not_lean_on() {
    assert_none(house().iter().flat_map(trespasses).collect());
}

#[test]
fn every_outside_crate_stays_in_its_rooms() {
    assert_none(house().iter().flat_map(strangers).collect());
}

#[test]
fn time_sql_and_the_outside_world_stay_where_they_belong() {
    assert_none(house().iter().flat_map(slips).collect());
}

#[test]
fn the_table_of_rooms_has_no_circles() {
    let rooms = rooms();
    let mut settled: BTreeSet<&str> = BTreeSet::new();
    while settled.len() < rooms.len() {
        let next: Vec<&str> = rooms
            .iter()
            .filter(|(room, uses)| !settled.contains(*room) && uses.iter().all(|used| settled.contains(used)))
            .map(|(room, _)| *room)
            .collect();
        assert!(!next.is_empty(), "a circle among the rooms not in {settled:?}");
        settled.extend(next);
    }
}

#[test]
fn every_room_of_the_table_exists_and_every_folder_is_a_room() {
    let found: BTreeSet<String> =
        house().iter().filter_map(|source| source.room().map(str::to_owned)).collect();
    let table: BTreeSet<String> = rooms().keys().map(|room| (*room).to_owned()).collect();
    assert_eq!(found, table);
}

#[test]
fn every_dependency_has_its_rooms() {
    let manifest = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
        .expect("Cargo.toml is readable");
    let mut listed = BTreeSet::new();
    let mut counts = false;
    for line in manifest.lines() {
        if let Some(section) = line.strip_prefix('[') {
            counts = section.ends_with("dependencies]") && !section.contains("dev-dependencies");
        } else if let Some((name, _)) = line.split_once(" = ").filter(|_| counts) {
            listed.insert(name.replace('-', "_"));
        }
    }
    let table: BTreeSet<String> = CRATES.iter().map(|(name, _)| (*name).to_owned()).collect();
    let odd: Vec<String> = listed.symmetric_difference(&table).cloned().collect();
    assert_none(odd);
}

#[test]
fn no_file_is_longer_than_a_reader_can_hold() {
    let house = house();
    let long: Vec<String> = house
        .iter()
        .filter(|source| source.lines > LINES && !LONG.iter().any(|(path, _)| *path == source.path))
        .map(|source| format!("{}: {} lines", source.path, source.lines))
        .collect();
    assert_none(long);
    for (path, reason) in LONG {
        let source = house.iter().find(|source| source.path == *path).expect("the listed file exists");
        assert!(source.lines > LINES, "{path} is no longer too long ({reason}): strike it off the list");
    }
}

#[test]
fn a_trespass_is_seen_in_every_way_of_writing_it() {
    let cases = [
        "use crate::engine::Engine;",
        "use crate::{model::Seq, engine::Engine};",
        "use crate::{\n    model::{Seq, Epoch},\n    engine,\n};",
        "fn f() { crate::engine::run(); }",
        "use super::super::engine::Engine;",
        "use super::super::{model, engine::{self, Engine}};",
    ];
    for case in cases {
        let found = trespasses(&Source::new("store/writer.rs", case));
        assert_eq!(found, ["store/writer.rs: `store` may not lean on `engine`"], "{case}");
    }
    assert_eq!(trespasses(&Source::new("store/mod.rs", "use super::engine;")).len(), 1);
    assert_eq!(
        trespasses(&Source::new("cellar/mod.rs", "")),
        ["cellar/mod.rs: `cellar` is no room of the table"]
    );
}

#[test]
fn what_is_no_trespass_is_not_seen_as_one() {
    let cases = [
        "use crate::model::Seq;",
        "use super::engine::Engine; // a module of the room itself",
        "// use crate::engine::Engine;",
        "/* a /* nested */ use crate::engine::Engine; */",
        "/// [`crate::engine::Engine`]\nfn f() {}",
        "const A: &str = \"use crate::engine::Engine;\";",
        "const A: &str = r#\"use \"crate::engine::Engine;\"#;",
        "const A: char = '\"'; const B: &str = \"crate::engine::\";",
        "#[cfg(test)]\nmod tests { use crate::engine::Engine; fn f() { if true {} } }",
        "#[cfg(test)]\nuse crate::engine::Engine;\nfn f<'a>(_: &'a str) {}",
    ];
    for case in cases {
        assert_none(trespasses(&Source::new("store/writer.rs", case)));
    }
    let behind = "#[cfg(test)]\nmod tests { fn f() {} }\nuse crate::engine::Engine;";
    assert_eq!(trespasses(&Source::new("store/writer.rs", behind)).len(), 1);
}

#[test]
fn strangers_and_slips_are_seen() {
    let seen = |path: &str, text: &str| {
        let source = Source::new(path, text);
        strangers(&source).len() + slips(&source).len()
    };
    assert_eq!(seen("session/mod.rs", "use rusqlite::Connection;"), 1);
    assert_eq!(seen("session/mod.rs", "use rusqlite as sql;"), 1);
    assert_eq!(seen("rpc/api.rs", "fn f() { tokio_tungstenite::connect(); }"), 1);
    assert_eq!(seen("engine/mod.rs", "fn f() { tokio::time::Instant::now(); }"), 1);
    assert_eq!(seen("daemon/backend.rs", "const Q: &str = \"SELECT id FROM outbox\";"), 1);
    assert_eq!(seen("session/mod.rs", "fn f() { std::fs::read(\"x\"); }"), 1);
    assert_eq!(seen("store/reader.rs", "use rusqlite::Connection; const Q: &str = \"SELECT 1\";"), 0);
    // A module or a method that has a crate's name is not that crate.
    assert_eq!(seen("engine/mod.rs", "use super::notify::x; fn f() { a.http(); let toml = 1; }"), 0);
}
