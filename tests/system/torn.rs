//! Power cuts that tear writes (P1): of what was written and not yet synced any sectors may be on
//! the disk, and any others not. One run of the real program is traced; then, for one seed after
//! the other, the files are put together as such a cut at a random moment could have left them.
//!
//! `HOLDLINE_TORN_SEEDS` says how many cuts are made up.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use holdline::clock::Clock;
use holdline::model::{Durability, MessageId};
use holdline::store::{InboxSettings, OutboxSettings, Settings, Store};
use serde_json::json;

use crate::support::daemon::Daemon;
use crate::support::needs;
use crate::traffic::NOBODY;

const MESSAGES: usize = 120;
const SECTOR: u64 = 512;

/// What the program did, in order.
#[derive(Debug)]
enum Step {
    Write {
        file: String,
        at: u64,
        bytes: Vec<u8>,
    },
    Truncate {
        file: String,
        length: u64,
    },
    Create {
        file: String,
    },
    Remove {
        file: String,
    },
    /// Of one file, or of the folder.
    Sync {
        file: String,
    },
    Receipt(usize),
}

/// A string as strace prints it.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes().peekable();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        match rest.next().expect("an escape") {
            b'n' => bytes.push(b'\n'),
            b't' => bytes.push(b'\t'),
            b'r' => bytes.push(b'\r'),
            b'v' => bytes.push(0x0b),
            b'f' => bytes.push(0x0c),
            digit @ b'0'..=b'7' => {
                let mut value = u32::from(digit - b'0');
                for _ in 0..2 {
                    match rest.peek() {
                        Some(next @ b'0'..=b'7') => {
                            value = value * 8 + u32::from(next - b'0');
                            rest.next();
                        }
                        _ => break,
                    }
                }
                bytes.push(u8::try_from(value).expect("a byte"));
            }
            other => bytes.push(other),
        }
    }
    bytes
}

/// The part between the first quote and the one that ends it, and what follows.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let begin = text.find('"')? + 1;
    let mut escaped = false;
    for (at, byte) in text[begin..].bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some((&text[begin..begin + at], &text[begin + at + 1..])),
            _ => {}
        }
    }
    None
}

/// The file's name within `folder` that a call is about; empty for the folder itself.
fn file_of(call: &str, folder: &str) -> Option<String> {
    let path = call.split_once('<')?.1.split_once('>')?.0;
    let name = path.trim_end_matches(" (deleted)").strip_prefix(folder)?;
    Some(name.trim_start_matches('/').to_owned())
}

/// Reads the trace. Only what concerns the database's folder, and receipts.
fn steps(trace: &str, folder: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut begun: BTreeMap<&str, String> = BTreeMap::new();
    for line in trace.lines() {
        let (thread, call) = line.split_once(' ').unwrap_or_default();
        let call = call.trim_start();
        let name = call.split('(').next().unwrap_or_default();
        let unfinished = call.ends_with("<unfinished ...>");
        match name {
            "pwrite64" => {
                let Some(file) = file_of(call, folder).filter(|file| !file.ends_with("-shm")) else {
                    continue;
                };
                let (text, rest) = quoted(call).expect("what is written");
                let at = rest.split(',').nth(2).expect("an offset");
                let at = at.trim().split([')', ' ']).next().expect("a number").parse().expect("a number");
                steps.push(Step::Write { file, at, bytes: unescape(text) });
            }
            "ftruncate" => {
                let Some(file) = file_of(call, folder).filter(|file| !file.ends_with("-shm")) else {
                    continue;
                };
                let length =
                    call.split_once(">, ").expect("a length").1.split([')', ' ']).next().expect("digits");
                steps.push(Step::Truncate { file, length: length.parse().expect("a number") });
            }
            "fdatasync" | "fsync" => {
                let Some(file) = file_of(call, folder) else { continue };
                if unfinished {
                    begun.insert(thread, file);
                } else {
                    steps.push(Step::Sync { file });
                }
            }
            "<... fdatasync resumed>" | "<... fsync resumed>" => {}
            "openat" | "unlink" | "unlinkat" => {
                let Some((path, _)) = quoted(call) else { continue };
                let Some(file) = path.strip_prefix(folder) else { continue };
                let file = file.trim_start_matches('/').to_owned();
                if name != "openat" {
                    steps.push(Step::Remove { file });
                } else if call.contains("O_CREAT") && file.ends_with(".in-use") {
                    steps.push(Step::Create { file });
                }
            }
            "write" | "sendto" | "sendmsg" | "writev" => {
                for part in call.split("receipt-").skip(1) {
                    if let Ok(number) = part[..6.min(part.len())].parse() {
                        steps.push(Step::Receipt(number));
                    }
                }
            }
            _ if call.contains("sync resumed>") => {
                if let Some(file) = begun.remove(thread) {
                    steps.push(Step::Sync { file });
                }
            }
            _ => {}
        }
    }
    steps
}

/// The files of a folder as a disk holds them.
type Files = BTreeMap<String, Vec<u8>>;

fn apply(files: &mut Files, step: &Step, mut keeps: impl FnMut() -> bool) {
    match step {
        Step::Write { file, at, bytes } => {
            let content = files.entry(file.clone()).or_default();
            let mut at = *at;
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let here = usize::try_from(SECTOR - at % SECTOR).expect("small").min(rest.len());
                let (sector, behind) = rest.split_at(here);
                if keeps() {
                    let from = usize::try_from(at).expect("small");
                    if content.len() < from + here {
                        content.resize(from + here, 0);
                    }
                    content[from..from + here].copy_from_slice(sector);
                }
                at += here as u64;
                rest = behind;
            }
        }
        Step::Truncate { file, length } => {
            if keeps() {
                files.entry(file.clone()).or_default().resize(usize::try_from(*length).expect("small"), 0);
            }
        }
        Step::Create { file } => {
            if keeps() {
                files.entry(file.clone()).or_default();
            }
        }
        Step::Remove { file } => {
            if keeps() {
                files.remove(file);
            }
        }
        Step::Sync { .. } | Step::Receipt(_) => {}
    }
}

/// What a power cut after the first `cut` steps leaves, and the receipts written before it.
fn torn(base: &Files, steps: &[Step], cut: usize, random: &mut fastrand::Rng) -> (Files, BTreeSet<usize>) {
    let mut files = base.clone();
    let (mut pending, mut receipts) = (Vec::new(), BTreeSet::new());
    for step in &steps[..cut] {
        match step {
            Step::Receipt(number) => {
                receipts.insert(*number);
            }
            Step::Sync { file } => {
                let (synced, rest) = pending.into_iter().partition(|step: &&Step| match step {
                    Step::Write { file: of, .. } | Step::Truncate { file: of, .. } => of == file,
                    // Names are the folder's.
                    Step::Create { .. } | Step::Remove { .. } => file.is_empty(),
                    Step::Sync { .. } | Step::Receipt(_) => false,
                });
                pending = rest;
                let synced: Vec<&Step> = synced;
                synced.into_iter().for_each(|step| apply(&mut files, step, || true));
            }
            Step::Write { .. } | Step::Truncate { .. } | Step::Create { .. } | Step::Remove { .. } => {
                pending.push(step);
            }
        }
    }
    // From nearly nothing to nearly all of it.
    let share = random.f64();
    for step in pending {
        apply(&mut files, step, || random.f64() < share);
    }
    (files, receipts)
}

fn settings(path: PathBuf) -> Settings {
    Settings {
        path,
        durability: Durability::Full,
        server_key: "ws://127.0.0.1:9/ json".to_owned(),
        outbox: OutboxSettings {
            max_messages: 100_000,
            max_bytes: 1 << 30,
            drop_oldest: false,
            keep_finished: 1000,
            keep_finished_age: Duration::from_secs(3600),
        },
        ages_after: Duration::ZERO,
        inbox: InboxSettings { max_events: 1000, max_age: Duration::from_secs(3600), max_bytes: 1 << 24 },
    }
}

fn read_folder(folder: &Path) -> Files {
    let names = ["default.db", "default.db-wal"];
    names
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), std::fs::read(folder.join(name)).ok()?)))
        .collect()
}

/// One run under strace, from a closed database to a closed database.
fn traced_run() -> (Files, Vec<Step>) {
    let mut daemon = Daemon::start(NOBODY);
    daemon.stop();
    let folder = daemon.database_path().parent().expect("a folder").to_owned();
    let base = read_folder(&folder);
    let log = daemon.path("trace").display().to_string();
    let calls = "trace=openat,unlink,unlinkat,pwrite64,ftruncate,fdatasync,fsync,write,writev,sendto,sendmsg";
    let words = ["strace", "-D", "-f", "-q", "-y", "-s", "100000", "-o", log.as_str(), "-e", calls];
    daemon.set_before(words.map(str::to_owned).into());
    daemon.restart();
    let mut client = daemon.client();
    for n in 0..MESSAGES {
        let line = json!({"jsonrpc": "2.0", "id": format!("receipt-{n:06}"), "method": "messages.send",
            "params": {"type": "t", "id": format!("m{n}"), "data": "x".repeat(300)}});
        client.write_line(&line.to_string());
        assert_eq!(client.read_line().expect("a receipt")["result"]["state"], "queued");
    }
    daemon.stop();
    // strace outlives the daemon by a moment.
    let trace = crate::support::until_blocking("the end of the trace", || {
        let trace = std::fs::read_to_string(&log).ok()?;
        trace.trim_end().ends_with("+++ exited with 0 +++").then_some(trace)
    });
    (base, steps(&trace, folder.to_str().expect("UTF-8")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_whatever_sectors_a_power_cut_leaves_every_receipt_before_it_holds() {
    if !needs::programs(&["strace"]) {
        return;
    }
    let seeds =
        std::env::var("HOLDLINE_TORN_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(150_u64);
    let (base, steps) = tokio::task::spawn_blocking(traced_run).await.expect("no panic");
    let all = steps.iter().filter(|step| matches!(step, Step::Receipt(_))).count();
    assert_eq!(all, MESSAGES, "each receipt is in the trace");
    let (mut checked, mut cut_logs) = (0, 0);
    for seed in 0..seeds {
        let mut random = fastrand::Rng::with_seed(seed);
        let cut = random.usize(..=steps.len());
        let (files, receipts) = torn(&base, &steps, cut, &mut random);
        let folder = tempfile::tempdir().expect("a folder");
        for (name, content) in &files {
            std::fs::write(folder.path().join(name), content).expect("written");
        }
        let opened = Store::open(settings(folder.path().join("default.db")), Clock::start())
            .unwrap_or_else(|error| panic!("seed {seed}, cut {cut}: {error}"));
        for number in &receipts {
            let id = MessageId::new(&format!("m{number}")).expect("an id");
            let found = opened.store.get(&id).await.expect("an answer");
            assert!(found.is_some(), "seed {seed}, cut {cut}: {id} had a receipt: {:?}", opened.notes);
        }
        let whole = opened.notes.iter().all(|note| note.contains("was not whole, as after a power cut"));
        assert!(whole, "seed {seed}, cut {cut}: a power cut damages nothing: {:?}", opened.notes);
        cut_logs += opened.notes.len();
        checked += receipts.len();
        assert!(opened.store.full_check().await.expect("an answer").is_sound(), "seed {seed}, cut {cut}");
        drop(opened.events);
        opened.store.close().await.expect("closed");
    }
    eprintln!("{seeds} torn cuts: {checked} receipts looked for, 0 lost; {cut_logs} logs with half a commit");
}

#[test]
fn what_was_not_synced_is_torn_and_what_was_is_not() {
    let steps = vec![
        Step::Write { file: "a".into(), at: 0, bytes: vec![1; 1024] },
        Step::Sync { file: "a".into() },
        Step::Write { file: "a".into(), at: 512, bytes: vec![2; 512] },
        Step::Receipt(7),
    ];
    let seen: BTreeSet<_> = (0..20)
        .map(|seed| {
            let mut random = fastrand::Rng::with_seed(seed);
            let (files, receipts) = torn(&Files::new(), &steps, 4, &mut random);
            assert!(receipts.contains(&7));
            assert_eq!(files["a"][..512], [1; 512]);
            files["a"][600]
        })
        .collect();
    assert_eq!(seen, BTreeSet::from([1, 2]));
}
