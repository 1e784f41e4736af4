//! The store alone: what a message and an event cost it, beside plain SQLite with the same bytes.
//!
//! `cargo bench --bench store [-- outbound|inbound|standing|replay|open] [--messages 100000]
//! [--rounds 3] [--window 1024] [--standing 0]`. The figure to compare is the processor time of the writer's
//! thread per row: neighbours on the machine move it least. Full durability everywhere.
#![allow(clippy::print_stdout, reason = "a benchmark prints its result")]
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on ends")]
#![allow(clippy::disallowed_methods, reason = "a benchmark asks for the time")]
#![allow(clippy::wildcard_enum_match_arm, reason = "the rest is of no interest here")]

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use holdline::clock::Clock;
use holdline::model::{
    Confirm, Delivery, DueQuery, DueRow, Durability, MessageState, NewMessage, NewRow, Payload, Place,
    Record, Resend, Seq, Timestamp, Unit,
};
use holdline::store::{EventQuery, InboxSettings, Opened, OutboxSettings, Settings, Store, StoreEvent};

/// Frames of the server that the engine hands over at once.
const FRAMES: usize = 64;

#[derive(Debug, Clone)]
struct Options {
    what: String,
    messages: usize,
    rounds: usize,
    window: usize,
    standing: usize,
    folder: PathBuf,
}

fn options() -> Options {
    let mut options = Options {
        what: "all".to_owned(),
        messages: 100_000,
        rounds: 3,
        window: 1024,
        standing: 0,
        folder: std::env::temp_dir().join(format!("holdline-bench-store-{}", std::process::id())),
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut number = || args.next().and_then(|text| text.parse().ok()).expect("a number");
        match arg.as_str() {
            "--messages" => options.messages = number(),
            "--rounds" => options.rounds = number(),
            "--window" => options.window = number(),
            "--standing" => options.standing = number(),
            "--folder" => options.folder = args.next().expect("a folder").into(),
            flag if flag.starts_with("--") => {} // what cargo adds
            what => options.what = what.to_owned(),
        }
    }
    options
}

fn main() {
    let options = options();
    std::fs::create_dir_all(&options.folder).unwrap();
    let all = options.what == "all";
    for _ in 0..options.rounds {
        if all || options.what == "sqlite" {
            plain(&options);
        }
        if all || options.what == "outbound" {
            outbound(&options);
        }
        if all || options.what == "inbound" {
            inbound(&options);
        }
        if all || options.what == "replay" {
            replay(&options);
        }
    }
    if options.what == "standing" {
        for standing in [1_000, 10_000, 100_000, 1_000_000] {
            outbound(&Options { standing, ..options.clone() });
            inbound(&Options { standing, ..options.clone() });
        }
    }
    match options.what.as_str() {
        // Fills a database and ends as a killed process does.
        "fill" => fill(&options),
        "open" => open_timed(&options),
        "drain" => drain(&options),
        _ => std::fs::remove_dir_all(&options.folder).unwrap(),
    }
}

fn settings(path: PathBuf) -> Settings {
    Settings {
        path,
        durability: Durability::Full,
        server_key: "wss://example.org json".to_owned(),
        outbox: OutboxSettings {
            max_messages: 10_000_000,
            max_bytes: 1 << 40,
            drop_oldest: false,
            keep_finished: 10_000,
            keep_finished_age: Duration::from_secs(3600),
        },
        ages_after: Duration::ZERO,
        inbox: InboxSettings {
            max_events: 10_000_000,
            max_age: Duration::from_secs(3600),
            max_bytes: 1 << 40,
        },
    }
}

fn open(path: PathBuf, change: impl FnOnce(&mut Settings)) -> Opened {
    let mut settings = settings(path);
    change(&mut settings);
    Store::open(settings, Clock::start()).unwrap()
}

fn fresh(options: &Options) -> PathBuf {
    let path = options.folder.join("default.db");
    for suffix in ["", "-wal", "-shm", ".in-use"] {
        let mut name = path.clone().into_os_string();
        name.push(suffix);
        let _ = std::fs::remove_file(name);
    }
    path
}

fn body(number: usize) -> Payload {
    let text = format!("{{\"n\":{number},\"text\":\"");
    let fill = 256 - text.len() - 2;
    Payload::Json(format!("{text}{}\"}}", "x".repeat(fill)).into())
}

fn message(number: usize) -> NewMessage {
    NewMessage {
        id: None,
        kind: "chat".into(),
        lane: "default".into(),
        key: None,
        delivery: Delivery::Durable,
        confirm: Confirm::Reply,
        resend: Resend::Always,
        ttl: None,
        payload: body(number),
    }
}

fn unit(number: usize) -> Unit {
    Unit {
        rows: vec![NewRow::Event {
            stream: "".into(),
            id: Some(format!("01932f5e-7c1a-7000-8000-{number:012x}")),
            kind: "chat".to_owned(),
            payload: body(number),
            delivery: Delivery::Durable,
            key: None,
        }],
        cursors: vec![("".into(), Some(number.to_string().into()))],
        kept: Vec::new(),
    }
}

/// Processor time of this process's threads of that name so far, in seconds.
fn burnt(name: &str) -> f64 {
    let mut nanos = 0_u64;
    for thread in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        let comm = std::fs::read_to_string(thread.path().join("comm")).unwrap_or_default();
        if comm.trim() == name
            && let Ok(stat) = std::fs::read_to_string(thread.path().join("schedstat"))
        {
            nanos += stat.split(' ').next().and_then(|first| first.parse::<u64>().ok()).unwrap_or(0);
        }
    }
    nanos as f64 / 1e9
}

struct Measured {
    label: String,
    rows: usize,
    wall: Duration,
    writer: f64,
}

impl Measured {
    fn print(&self, store: Option<&Store>) {
        let micros = |seconds: f64| seconds * 1e6 / self.rows as f64;
        print!(
            "{:<34} {:>9.0}/s  writer {:>6.2} us/row",
            self.label,
            self.rows as f64 / self.wall.as_secs_f64(),
            micros(self.writer)
        );
        if let Some(store) = store {
            let commits = store.counters().commits;
            print!(
                "  {} commits of {:.0}, {:.2} ms each",
                commits.count,
                commits.requests as f64 / commits.count.max(1) as f64,
                commits.time.as_secs_f64() * 1e3 / commits.count.max(1) as f64
            );
        }
        println!();
    }
}

fn measure(label: &str, rows: usize, thread: &str, work: impl FnOnce()) -> Measured {
    let (began, burnt_before) = (Instant::now(), burnt(thread));
    work();
    Measured { label: label.to_owned(), rows, wall: began.elapsed(), writer: burnt(thread) - burnt_before }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// One app with `window` receipts outstanding.
async fn send_all(store: &Store, count: usize, window: usize) {
    let mut waiting = VecDeque::with_capacity(window);
    for number in 0..count {
        if waiting.len() >= window {
            let oldest: std::pin::Pin<Box<dyn Future<Output = _>>> = waiting.pop_front().unwrap();
            let _: holdline::store::Inserted = Result::<_, holdline::model::Refusal>::unwrap(oldest.await);
        }
        waiting.push_back(Box::pin(store.submit(message(number)).await.unwrap()));
    }
    for answer in waiting {
        answer.await.unwrap();
    }
}

fn end_of(row: &DueRow) -> Record {
    Record::Ended {
        place: row.place,
        id: row.id.clone(),
        state: MessageState::Accepted,
        reason: None,
        attempts: 1,
        maybe_delivered: false,
    }
}

/// As the engine: every row behind this place that is told ends at once, as many at a time as were told.
fn end_all(
    store: &Store,
    mut events: tokio::sync::mpsc::Receiver<StoreEvent>,
    behind: Place,
    count: usize,
) -> EventsBack {
    let (mut ended, mut last, mut ticket) = (0, behind, 0_u64);
    let everything = |after| DueQuery { after, lane: None, skip: Vec::new(), limit: 1024, bytes: 1 << 20 };
    while ended < count {
        let rows = match events.blocking_recv().expect("the writer lives") {
            StoreEvent::Recorded(recorded) => {
                ended += recorded.len();
                continue;
            }
            StoreEvent::Queued { rows, .. } if rows.is_empty() => {
                store.load_due(everything(last)).unwrap();
                continue;
            }
            StoreEvent::Queued { previous, .. } if previous > last => continue,
            StoreEvent::Queued { rows, .. } => rows,
            StoreEvent::Due(due) => {
                if !due.end {
                    store.load_due(everything(due.rows.last().map_or(last, |row| row.place))).unwrap();
                }
                due.rows
            }
            other => panic!("{other:?}"),
        };
        let rows: Vec<_> = rows.iter().filter(|row| row.place > last).collect();
        let Some(newest) = rows.last() else { continue };
        last = newest.place;
        let records = rows
            .iter()
            .map(|row| {
                ticket += 1;
                (ticket, end_of(row))
            })
            .collect();
        record(store, records);
    }
    EventsBack(events)
}

/// The channel must be drained until the store is closed.
struct EventsBack(tokio::sync::mpsc::Receiver<StoreEvent>);

fn record(store: &Store, mut records: Vec<(u64, Record)>) {
    while let Err(full) = store.record(records) {
        records = full.0;
        std::thread::yield_now();
    }
}

fn close(store: Store, events: EventsBack) {
    drop(events);
    runtime().block_on(store.close()).unwrap();
}

fn outbound(options: &Options) {
    let opened = open(fresh(options), |_| {});
    let store = opened.store.clone();
    let mut events = opened.events;
    if options.standing > 0 {
        // They wait while others come and go: nobody ends them.
        let drained = std::thread::spawn(move || {
            while !matches!(events.blocking_recv(), Some(StoreEvent::Due(_)) | None) {}
            events
        });
        runtime().block_on(send_all(&store, options.standing, 8192));
        store
            .load_due(DueQuery { after: Place(i64::MAX - 1), lane: None, skip: vec![], limit: 1, bytes: 1 })
            .unwrap();
        events = drained.join().unwrap();
    }
    let label = format!("outbound, window {}, {} standing", options.window, options.standing);
    let mut events = Some(events);
    let measured = measure(&label, options.messages, "store writer", || {
        let (taken, from) = (events.take().unwrap(), store.clone());
        let (count, behind) = (options.messages, Place(i64::try_from(options.standing).unwrap()));
        let engine = std::thread::spawn(move || end_all(&from, taken, behind, count));
        runtime().block_on(send_all(&store, options.messages, options.window));
        events = Some(engine.join().unwrap().0);
    });
    measured.print(Some(&store));
    drop(store);
    close(opened.store, EventsBack(events.unwrap()));
}

fn receive(
    store: &Store,
    mut events: tokio::sync::mpsc::Receiver<StoreEvent>,
    from: usize,
    count: usize,
) -> EventsBack {
    let (mut sent, mut stored) = (0, 0);
    let now = Timestamp::from_millis(i64::try_from(wall().as_millis()).unwrap());
    while stored < count {
        while sent < count && sent - stored < 1024 {
            let until = (sent + FRAMES).min(count);
            let records = (sent..until)
                .map(|number| {
                    let unit = unit(from + number);
                    (number as u64, Record::Inbound { received_at: now, unit })
                })
                .collect();
            record(store, records);
            sent = until;
        }
        if let StoreEvent::Recorded(recorded) = events.blocking_recv().expect("the writer lives") {
            stored += recorded.len();
        }
    }
    EventsBack(events)
}

fn wall() -> Duration {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap()
}

fn inbound(options: &Options) {
    let keep = options.standing.max(10_000) as u64;
    let opened = open(fresh(options), |settings| settings.inbox.max_events = keep);
    let mut events = receive(&opened.store, opened.events, 0, options.standing);
    let label = format!("inbound, {keep} kept");
    let measured = measure(&label, options.messages, "store writer", || {
        let taken = std::mem::replace(&mut events, EventsBack(tokio::sync::mpsc::channel(1).1));
        events = receive(&opened.store, taken.0, options.standing, options.messages);
    });
    measured.print(Some(&opened.store));
    close(opened.store, events);
}

/// Reads all of it as a late subscriber does, beside a plain SELECT over the same file.
fn replay(options: &Options) {
    let opened = open(fresh(options), |_| {});
    let events = receive(&opened.store, opened.events, 0, options.messages);
    let store = &opened.store;
    let measured = measure("replay, pages of 500", options.messages, "store reader", || {
        runtime().block_on(async {
            let mut from = Seq(1);
            loop {
                let query = EventQuery { from, types: Vec::new(), limit: 500, bytes: 1 << 20 };
                let page = store.events(query).await.unwrap();
                from = page.next;
                if !page.more {
                    break;
                }
            }
        });
    });
    measured.print(None);
    let raw = rusqlite::Connection::open(options.folder.join("default.db")).unwrap();
    let select = measure("plain SELECT, pages of 500", options.messages, "store", || {
        let mut statement =
            raw.prepare("SELECT seq, body FROM inbox WHERE seq > ?1 ORDER BY seq LIMIT 500").unwrap();
        let (mut after, mut bytes) = (0_i64, 0);
        loop {
            let before = after;
            let mut rows = statement.query([after]).unwrap();
            while let Some(row) = rows.next().unwrap() {
                after = row.get(0).unwrap();
                bytes += row.get_ref(1).unwrap().as_bytes().unwrap().len();
            }
            if after == before {
                break;
            }
        }
        assert!(bytes >= 256 * options.messages);
    });
    select.print(None);
    drop(raw);
    close(opened.store, events);
}

/// The same bytes into plain SQLite, 512 rows in a commit: insert, update, delete by range.
fn plain(options: &Options) {
    let path = fresh(options);
    let conn = rusqlite::Connection::open(&path).unwrap();
    conn.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(())).unwrap();
    conn.pragma_update(None, "synchronous", "FULL").unwrap();
    conn.execute_batch(
        "CREATE TABLE t (seq INTEGER PRIMARY KEY, kind TEXT, created INTEGER, state INTEGER, body TEXT)",
    )
    .unwrap();
    let bodies: Vec<Payload> = (0..512).map(body).collect();
    for (what, sql) in [
        ("insert", "INSERT INTO t VALUES (?1, 'chat', 1932000000000, 10, ?2)"),
        ("update", "UPDATE t SET state = 12 WHERE seq = ?1"),
        ("delete", "DELETE FROM t WHERE seq <= ?1"),
    ] {
        let mut statement = conn.prepare(sql).unwrap();
        let main = std::fs::read_to_string("/proc/self/comm").unwrap();
        let measured =
            measure(&format!("plain SQLite {what}, 512 a commit"), options.messages, main.trim(), || {
                for first in (1..=options.messages).step_by(512) {
                    let last = (first + 511).min(options.messages);
                    conn.execute_batch("BEGIN IMMEDIATE").unwrap();
                    match what {
                        "insert" => {
                            for number in first..=last {
                                let Payload::Json(text) = &bodies[number % 512] else { return };
                                statement.execute(rusqlite::params![number as i64, text]).unwrap();
                            }
                        }
                        "update" => {
                            for number in first..=last {
                                statement.execute([number as i64]).unwrap();
                            }
                        }
                        _ => {
                            statement.execute([last as i64]).unwrap();
                        }
                    }
                    conn.execute_batch("COMMIT").unwrap();
                }
            });
        measured.print(None);
    }
}

fn fill(options: &Options) {
    let opened = open(fresh(options), |_| {});
    let mut events = opened.events;
    let count = options.messages;
    let store = opened.store.clone();
    std::thread::spawn(move || while events.blocking_recv().is_some() {});
    runtime().block_on(send_all(&store, count, 8192));
    println!("{count} messages are in {}", options.folder.display());
    std::process::exit(0);
}

fn path_in(folder: &Path) -> PathBuf {
    folder.join("default.db")
}

fn open_timed(options: &Options) {
    let began = Instant::now();
    let opened = open(path_in(&options.folder), |_| {});
    println!("opened in {:.1} ms (unclean: {})", began.elapsed().as_secs_f64() * 1e3, opened.unclean);
    let began = Instant::now();
    close(opened.store, EventsBack(opened.events));
    println!("closed in {:.1} ms", began.elapsed().as_secs_f64() * 1e3);
}

/// Ends all that waits in a filled database, page by page, as a session with a window does.
fn drain(options: &Options) {
    let opened = open(path_in(&options.folder), |_| {});
    let count = usize::try_from(opened.store.counters().unfinished).unwrap();
    let store = opened.store.clone();
    let mut events = Some(opened.events);
    let measured = measure("drain", count, "store writer", || {
        let mut taken = events.take().unwrap();
        let (mut ended, mut loading, mut last, mut end) = (0, false, Place(0), false);
        while ended < count {
            if !loading && !end {
                let query =
                    DueQuery { after: last, lane: None, skip: Vec::new(), limit: 256, bytes: 1 << 20 };
                loading = store.load_due(query).is_ok();
            }
            match taken.blocking_recv().expect("the writer lives") {
                StoreEvent::Due(due) => {
                    loading = false;
                    end = due.end;
                    last = due.rows.last().map_or(last, |row| row.place);
                    record(
                        &store,
                        due.rows.iter().map(|row| (row.place.0.unsigned_abs(), end_of(row))).collect(),
                    );
                }
                StoreEvent::Recorded(recorded) => ended += recorded.len(),
                _ => {}
            }
        }
        events = Some(taken);
    });
    measured.print(Some(&store));
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    for line in status.lines().filter(|line| line.starts_with("VmHWM") || line.starts_with("VmRSS")) {
        println!("{line}");
    }
    drop(store);
    close(opened.store, EventsBack(events.unwrap()));
}
