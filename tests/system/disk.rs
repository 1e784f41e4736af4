//! Disks that are full, fail, refuse, or lose files (P1, P5, P14, P15), seen by apps and by the server.
//!
//! Long, for one fault is one test with its own way to bring the disk there; they share the same few helpers.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use holdline::dev_server::{DevServer, Options};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::daemon::{Client, Daemon};
use crate::support::{needs, until_blocking};
use crate::traffic::{NOBODY, on_disk};
use crate::volume::{Volume, fill};

fn config(server: &DevServer) -> String {
    format!(
        "[server]\nurl = \"{}\"\ndialect = \"holdline\"\n[reconnect]\ndelays = [\"100ms\"]\n",
        server.url()
    )
}

fn send(client: &mut Client, id: &str) -> Result<Value, Value> {
    client.call("messages.send", &json!({"type": "t", "id": id, "data": {"pad": "x".repeat(2000)}}))
}

fn status(client: &mut Client) -> Value {
    client.call("status", &json!({})).expect("a status")
}

fn health(client: &mut Client, code: &str) -> Option<Value> {
    let status = status(client);
    let entries = status["health"].as_array().expect("health").clone();
    entries.into_iter().find(|entry| entry["code"].as_str().is_some_and(|it| it.starts_with(code)))
}

/// The server has published this many events and seen all of them acknowledged.
fn all_acked(server: &DevServer, events: u64) {
    until_blocking("all events to be acknowledged", || (server.stats().events_acked >= events).then_some(()));
}

async fn server() -> Arc<DevServer> {
    Arc::new(DevServer::start(Options::default()).await.expect("a server"))
}

async fn blocking(work: impl FnOnce() + Send + 'static) {
    tokio::task::spawn_blocking(work).await.expect("no panic");
}

/// strace on a running daemon, so that calls of it fail; let go of when dropped.
struct Strace(Child);

impl Strace {
    fn attach(daemon: &Daemon, options: &[&str]) -> Self {
        let log = daemon.path("trace");
        let mut child = Command::new("strace")
            .args(["-f", "-qq", "-o"])
            .arg(&log)
            .args(options)
            .args(["-p", &daemon.pid().to_string()])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("strace runs");
        // Every thread is traced once the kernel says so of each.
        until_blocking("strace to be attached", || {
            assert!(child.try_wait().expect("a child").is_none(), "strace ended");
            let tasks = std::fs::read_dir(format!("/proc/{}/task", daemon.pid())).ok()?;
            let traced = |status: String| {
                status
                    .lines()
                    .any(|line| line.strip_prefix("TracerPid:").is_some_and(|pid| pid.trim() != "0"))
            };
            tasks
                .flatten()
                .all(|task| std::fs::read_to_string(task.path().join("status")).is_ok_and(traced))
                .then_some(())
        });
        Self(child)
    }

    fn detach(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let pid = Pid::from_raw(i32::try_from(self.0.id()).expect("small")).expect("a pid");
        // It may have ended with the daemon.
        let _ = kill_process(pid, Signal::INT);
        let _ = self.0.wait();
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        self.end();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn below_the_floor_sends_are_refused_reading_is_held_and_all_goes_on_when_there_is_room() {
    if !needs::root() {
        return;
    }
    let server = server().await;
    blocking(move || {
        let volume = Volume::in_memory("120m");
        let mut daemon = Daemon::prepare(&config(&server));
        daemon.set_variable("HOLDLINE_STATE_DIR", volume.state().to_str().expect("UTF-8"));
        daemon.restart();
        daemon.wait_for("connected");
        let mut client = daemon.client();
        send(&mut client, "before").expect("a receipt");
        server.push("tick", &json!({"n": 1}));
        all_acked(&server, 1);

        let ballast = volume.path().join("ballast");
        fill(&ballast, 70);
        let refused = until_blocking("a refusal", || send(&mut client, "low").err());
        assert_eq!(
            (&refused["data"]["kind"], &refused["data"]["retryable"]),
            (&json!("store_failed"), &json!(true))
        );
        assert!(refused["data"]["free_bytes"].as_u64().is_some_and(|free| free < 64 << 20), "{refused}");
        assert!(
            refused["data"]["hint"].as_str().is_some_and(|hint| hint.contains("free some space")),
            "{refused}"
        );
        let told = until_blocking("health", || health(&mut client, "store_low"));
        assert!(told["text"].as_str().is_some_and(|text| text.contains("MiB are free")), "{told}");
        let check = daemon.ctl(&["status", "--check"]);
        assert_eq!(check.status.code(), Some(4), "{}", String::from_utf8_lossy(&check.stdout));

        // Reading is held: nothing is stored, nothing is acknowledged. What ends still ends.
        let before = status(&mut client)["inbox"]["last_seq"].clone();
        for n in 2..=5 {
            server.push("tick", &json!({"n": n}));
        }
        for _ in 0..20 {
            assert!(send(&mut client, "low").is_err(), "still too little room");
        }
        client.call("cursors.delete", &json!({"name": "nobody"})).expect_err("there is none, and it says so");
        assert_eq!(status(&mut client)["inbox"]["last_seq"], before);
        assert_eq!(server.stats().events_acked, 1);

        std::fs::remove_file(&ballast).expect("removed");
        until_blocking("health to be well", || health(&mut client, "store_low").is_none().then_some(()));
        send(&mut client, "after").expect("a receipt");
        all_acked(&server, 5);
        let found = on_disk(&daemon);
        assert!(found.messages.contains("before") && found.messages.contains("after"));
        assert_eq!(found.events.len(), 5);
        daemon.kill9();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_takes_nothing_costs_no_receipt_and_no_event_and_recovers_alone() {
    if !needs::programs(&["strace"]) {
        return;
    }
    for error in ["ENOSPC", "EROFS", "EDQUOT"] {
        let server = server().await;
        blocking(move || {
            let daemon = Daemon::start(&config(&server));
            daemon.wait_for("connected");
            let mut client = daemon.client();
            send(&mut client, "before").expect("a receipt");
            server.push("tick", &json!({"n": 1}));
            all_acked(&server, 1);

            let inject = format!("inject=pwrite64:error={error}");
            let strace = Strace::attach(&daemon, &["-e", "trace=pwrite64", "-e", &inject]);
            let refused = until_blocking("a refusal", || send(&mut client, "meanwhile").err());
            assert_eq!(refused["data"]["kind"], "store_failed", "{error}: {refused}");
            assert_eq!(refused["data"]["retryable"], true, "{error}: {refused}");
            until_blocking("health", || health(&mut client, "store_stalled"));
            for n in 2..=5 {
                server.push("tick", &json!({"n": n}));
            }
            for _ in 0..20 {
                assert!(send(&mut client, "meanwhile").is_err());
            }
            assert_eq!(server.stats().events_acked, 1, "{error}: acknowledged and not on disk");
            assert_eq!(status(&mut client)["inbox"]["events"], 1, "{error}: told and not on disk");

            strace.detach();
            until_blocking("health to be well", || {
                health(&mut client, "store_stalled").is_none().then_some(())
            });
            send(&mut client, "after").expect("a receipt");
            all_acked(&server, 5);
            let found = on_disk(&daemon);
            assert!(found.messages.contains("before") && found.messages.contains("after"));
            assert_eq!(found.events.len(), 5);
        })
        .await;
    }
}

#[test]
fn a_limit_on_file_sizes_is_told_and_kills_nobody() {
    if !needs::programs(&["prlimit"]) {
        return;
    }
    let daemon = Daemon::start(NOBODY);
    let limit = |bytes: &str| {
        let ended = Command::new("prlimit")
            .args(["--pid", &daemon.pid().to_string(), &format!("--fsize={bytes}")])
            .status();
        assert!(ended.is_ok_and(|status| status.success()));
    };
    let mut client = daemon.client();
    send(&mut client, "before").expect("a receipt");
    limit("4096:unlimited");
    let refused = until_blocking("a refusal", || send(&mut client, "meanwhile").err());
    assert_eq!(
        (&refused["data"]["kind"], &refused["data"]["retryable"]),
        (&json!("store_failed"), &json!(true))
    );
    until_blocking("health", || health(&mut client, "store_stalled"));
    limit("unlimited:unlimited");
    until_blocking("a receipt", || send(&mut client, "after").ok());
    let found = on_disk(&daemon);
    assert!(found.messages.contains("before") && found.messages.contains("after"));
}

#[test]
fn a_database_that_somebody_locks_refuses_as_busy_and_loses_nothing() {
    let daemon = Daemon::start(NOBODY);
    let mut client = daemon.client();
    send(&mut client, "before").expect("a receipt");
    let other = rusqlite::Connection::open(daemon.database_path()).expect("it opens");
    other.execute_batch("BEGIN IMMEDIATE").expect("locked");
    let refused = send(&mut client, "meanwhile").expect_err("locked");
    assert_eq!((&refused["data"]["kind"], &refused["data"]["retryable"]), (&json!("busy"), &json!(true)));
    other.execute_batch("ROLLBACK").expect("free");
    until_blocking("a receipt", || send(&mut client, "after").ok());
    let found = on_disk(&daemon);
    assert!(found.messages.contains("before") && found.messages.contains("after"));
}

/// The daemon ends by itself with 74 and these words, and the next start has every message.
fn ends_and_comes_back(mut daemon: Daemon, words: &str, receipts: &[&str]) -> Daemon {
    let status = daemon.wait_for_end();
    assert_eq!(status.code(), Some(74), "{}", daemon.log());
    assert!(daemon.log().contains(words), "{words}: {}", daemon.log());
    daemon.restart();
    let found = on_disk(&daemon);
    for id in receipts {
        assert!(found.messages.contains(*id), "{id} had a receipt: {found:?}");
    }
    daemon
}

#[test]
fn p1_a_database_that_is_removed_while_open_costs_no_receipt() {
    let daemon = Daemon::start(NOBODY);
    let mut client = daemon.client();
    for id in ["a", "b"] {
        send(&mut client, id).expect("a receipt");
    }
    std::fs::remove_file(daemon.database_path()).expect("removed");
    let refused = send(&mut client, "c").expect_err("no receipt for what nobody finds again");
    assert_eq!(refused["data"]["kind"], "store_failed");
    ends_and_comes_back(daemon, "was removed while it was open", &["a", "b"]);
}

#[test]
fn p1_a_log_that_is_removed_while_open_is_noticed_without_a_send_and_costs_no_receipt() {
    let daemon = Daemon::start(NOBODY);
    let mut client = daemon.client();
    for id in ["a", "b"] {
        send(&mut client, id).expect("a receipt");
    }
    std::fs::remove_file(daemon.database_path().with_extension("db-wal")).expect("removed");
    let daemon = ends_and_comes_back(daemon, "log was removed while it was open", &["a", "b"]);
    assert!(!on_disk(&daemon).health.to_string().contains("recovered"), "nothing was lost");
}

#[test]
fn p14_a_log_that_is_gone_at_the_start_is_told() {
    let mut daemon = Daemon::start(NOBODY);
    send(&mut daemon.client(), "a").expect("a receipt");
    let epoch = status(&mut daemon.client())["store"]["epoch"].clone();
    daemon.kill9();
    std::fs::remove_file(daemon.database_path().with_extension("db-wal")).expect("removed");
    daemon.restart();
    let told = health(&mut daemon.client(), "store_recovered").expect("it is told");
    assert!(told["text"].as_str().is_some_and(|text| text.contains("log")), "{told}");
    assert_ne!(status(&mut daemon.client())["store"]["epoch"], epoch);
}

#[test]
fn p14_another_file_in_the_place_of_the_open_database_is_left_alone() {
    let mut daemon = Daemon::start(NOBODY);
    let mut client = daemon.client();
    send(&mut client, "a").expect("a receipt");
    let other = Daemon::start(NOBODY);
    send(&mut other.client(), "theirs").expect("a receipt");
    let mut other = other;
    other.stop();
    std::fs::rename(other.database_path(), daemon.database_path()).expect("put there");
    send(&mut client, "b").expect_err("no receipt");
    assert_eq!(daemon.wait_for_end().code(), Some(74));
    daemon.restart();
    assert!(on_disk(&daemon).messages.contains("theirs"));
    let folder = daemon.database_path();
    let folder = folder.parent().expect("a folder");
    let rescued: Vec<_> = folder
        .read_dir()
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.to_string_lossy().contains(".rescued-"))
        .collect();
    assert_eq!(rescued.len(), 1, "{rescued:?}");
    let conn = rusqlite::Connection::open(&rescued[0]).expect("it opens");
    let rows: i64 = conn
        .query_row("SELECT count(*) FROM outbox WHERE id = 'a'", [], |row| row.get(0))
        .expect("an answer");
    assert_eq!(rows, 1, "what the old one held");
}

#[test]
fn p14_a_page_that_cannot_be_read_is_a_told_gap_and_the_rest_is_passed_on() {
    if !needs::programs(&["strace"]) {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let server = runtime.block_on(server());
    let mut daemon = Daemon::start(&config(&server));
    daemon.wait_for("connected");
    for n in 1..=400 {
        server.push("tick", &json!({"n": n, "pad": "x".repeat(300)}));
    }
    all_acked(&server, 400);
    daemon.stop();
    daemon.write_config(NOBODY);
    daemon.set_variable("HOLDLINE_LOG", "info,holdline::daemon=debug");
    daemon.restart();
    // The look through the file after the start must not meet the fault.
    until_blocking("the check after the start", || daemon.log().contains("is sound").then_some(()));
    let database = daemon.database_path().display().to_string();
    let options = ["-P", &database, "-e", "trace=pread64", "-e", "inject=pread64:error=EIO:when=9..12"];
    let strace = Strace::attach(&daemon, &options);
    let mut client = daemon.client();
    let page = client
        .call("events.list", &json!({"from": "earliest", "limit": 1000}))
        .expect("a page with what can be read");
    strace.detach();
    let numbers = |list: &Value, from: &str, to: &str| -> Vec<i64> {
        let of = |row: &Value, name: &str| row[name].as_i64().expect("a number");
        list.as_array().expect("a list").iter().flat_map(|row| of(row, from)..=of(row, to)).collect()
    };
    let mut told = numbers(&page["events"], "seq", "seq");
    let gaps = numbers(&page["gaps"], "from", "to");
    assert!(!gaps.is_empty(), "the fault was met");
    assert!(page["gaps"].as_array().is_some_and(|gaps| gaps.iter().all(|gap| gap["reason"] == "corruption")));
    told.extend(gaps);
    told.sort_unstable();
    assert_eq!(told, (1..=400).collect::<Vec<_>>(), "each number is an event or a gap, none both");
    until_blocking("health", || health(&mut client, "store_unreadable"));
}

/// Starts the daemon on a database that a test has spoilt, and gives what it says.
fn start_on(spoil: impl Fn(&Path)) -> Daemon {
    let mut daemon = Daemon::start(NOBODY);
    for n in 0..50 {
        send(&mut daemon.client(), &format!("m{n}")).expect("a receipt");
    }
    daemon.stop();
    spoil(&daemon.database_path());
    daemon.restart();
    daemon
}

#[test]
fn p14_spoilt_files_are_set_aside_salvaged_and_told() {
    let cut = |path: &Path| {
        let length = std::fs::metadata(path).expect("it is there").len();
        std::fs::File::options()
            .write(true)
            .open(path)
            .and_then(|file| file.set_len(length / 2))
            .expect("cut");
    };
    type Case<'a> = (&'a str, &'a dyn Fn(&Path), usize);
    let cases: [Case<'_>; 4] = [
        ("cut in half", &cut, 1),
        ("empty", &|path| std::fs::write(path, "").expect("written"), 0),
        ("something else", &|path| std::fs::write(path, "this is no database\n").expect("written"), 0),
        (
            "no header",
            &|path| {
                let mut bytes = std::fs::read(path).expect("read");
                bytes[..4096].fill(0);
                std::fs::write(path, bytes).expect("written");
            },
            50,
        ),
    ];
    for (name, spoil, at_least) in cases {
        let spoilt = std::cell::RefCell::new(Vec::new());
        let daemon = start_on(|path| {
            spoil(path);
            *spoilt.borrow_mut() = std::fs::read(path).expect("read");
        });
        let told = health(&mut daemon.client(), "store_recovered").expect(name);
        let text = told["text"].as_str().expect("a text");
        assert!(text.contains("set aside") && told["severity"] == "warning", "{name}: {told}");
        let aside = text.split("set aside as ").nth(1).and_then(|rest| rest.split([';', ' ']).next());
        let aside = aside.expect("its name");
        assert!(std::fs::read(aside).expect(aside) == *spoilt.borrow(), "{name}: it is as it was");
        assert!(on_disk(&daemon).messages.len() >= at_least, "{name}: {text}");
        send(&mut daemon.client(), "goes on").expect("a receipt");
    }
}

#[test]
fn p15_an_older_database_is_brought_up_and_a_newer_one_is_refused_unchanged() {
    let mut daemon = Daemon::prepare(NOBODY);
    let folder = daemon.database_path().parent().expect("a folder").to_owned();
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700)).expect("private");
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/store/v1.db");
    std::fs::copy(fixture, daemon.database_path()).expect("copied");
    daemon.restart();
    let found = on_disk(&daemon);
    assert_eq!(found.messages.len(), 60);
    assert!(found.health.to_string().contains("version 1 to"), "{}", found.health);
    let backup = folder.join("default.db.v1.backup");
    assert!(backup.exists());
    daemon.stop();

    let newer = rusqlite::Connection::open(daemon.database_path()).expect("it opens");
    newer.pragma_update(None, "user_version", 99).expect("set");
    drop(newer);
    let before = std::fs::read(daemon.database_path()).expect("read");
    daemon.spawn();
    assert_eq!(daemon.wait_for_end().code(), Some(78));
    assert!(std::fs::read(daemon.database_path()).expect("read") == before);
    assert!(daemon.log().contains("version 99"), "{}", daemon.log());
    // Back to the copy, as the docs say.
    std::fs::copy(&backup, daemon.database_path()).expect("copied");
    daemon.restart();
    assert_eq!(on_disk(&daemon).messages.len(), 60);
}

/// Starts the daemon again and again on what `prepare` puts there, killed at one system call after
/// the other; the start after that must find what `check` wants.
///
/// `HOLDLINE_KILL_STEPS` says how many calls are stepped over (1: none).
fn killed_at_each_step(prepare: impl Fn(&Daemon), check: impl Fn(&Daemon, &str)) {
    let step = std::env::var("HOLDLINE_KILL_STEPS").ok().and_then(|text| text.parse().ok()).unwrap_or(7);
    let calls = [
        ("pwrite64", 70),
        ("fdatasync,fsync", 24),
        ("?rename,?renameat,?renameat2", 5),
        ("?unlink,?unlinkat", 12),
    ];
    let mut killed = 0;
    for (call, most) in calls {
        for n in (1..=most).step_by(step) {
            let mut daemon = Daemon::prepare(NOBODY);
            let folder = daemon.database_path().parent().expect("a folder").to_owned();
            std::fs::create_dir_all(&folder).expect("a folder");
            std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700)).expect("private");
            prepare(&daemon);
            let (trace, inject) = (format!("trace={call}"), format!("inject={call}:signal=KILL:when={n}"));
            let words = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject];
            daemon.set_before(words.map(str::to_owned).into());
            daemon.spawn();
            let served = until_blocking("the daemon to serve or to be killed", || {
                let ended = daemon.ended().map(|_| false);
                ended.or_else(|| {
                    std::os::unix::net::UnixStream::connect(daemon.socket_path()).ok().map(|_| true)
                })
            });
            killed += usize::from(!served);
            daemon.kill9();
            daemon.set_before(Vec::new());
            daemon.restart();
            check(&daemon, &format!("killed at {call} {n}"));
        }
    }
    assert!(killed >= 4, "killed {killed} times on the way");
    eprintln!("killed {killed} times on the way up");
}

#[test]
fn p15_killed_at_any_step_of_an_upgrade_it_is_old_or_new() {
    if !needs::programs(&["strace"]) {
        return;
    }
    let fixture =
        std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/store/v1.db")).expect("read");
    killed_at_each_step(
        |daemon| std::fs::write(daemon.database_path(), &fixture).expect("written"),
        |daemon, case| {
            let found = on_disk(daemon);
            assert_eq!(found.messages.len(), 60, "{case}");
            assert!(!found.health.to_string().contains("damaged"), "{case}: {}", found.health);
            let backup = daemon.database_path().with_extension("db.v1.backup");
            let conn = rusqlite::Connection::open(backup).expect(case);
            let rows: i64 = conn.query_row("SELECT count(*) FROM outbox", [], |row| row.get(0)).expect(case);
            assert_eq!(rows, 60, "{case}");
        },
    );
}

#[test]
fn p14_killed_at_any_step_of_a_salvage_the_damaged_file_and_what_it_holds_are_kept() {
    if !needs::programs(&["strace"]) {
        return;
    }
    let mut daemon = Daemon::start(NOBODY);
    for n in 0..20 {
        send(&mut daemon.client(), &format!("m{n}")).expect("a receipt");
    }
    daemon.stop();
    let mut spoilt = std::fs::read(daemon.database_path()).expect("read");
    spoilt[..4096].fill(0);
    killed_at_each_step(
        |daemon| std::fs::write(daemon.database_path(), &spoilt).expect("written"),
        |daemon, case| {
            assert_eq!(on_disk(daemon).messages.len(), 20, "{case}");
            let folder = daemon.database_path().parent().expect("a folder").to_owned();
            let aside: Vec<_> = folder
                .read_dir()
                .expect("a folder")
                .map(|entry| entry.expect("an entry").path())
                .filter(|path| {
                    path.to_string_lossy().contains(".corrupt-") && !path.to_string_lossy().contains("-wal")
                })
                .filter(|path| !path.to_string_lossy().ends_with("-shm"))
                .collect();
            assert_eq!(aside.len(), 1, "{case}: {aside:?}");
            assert!(std::fs::read(&aside[0]).expect("read") == spoilt, "{case}: it is as it was");
        },
    );
}

#[test]
fn a_slow_disk_slows_sends_and_nothing_else() {
    if !needs::programs(&["strace"]) {
        return;
    }
    let daemon = Daemon::start(NOBODY);
    let (mut sender, mut asker) = (daemon.client(), daemon.client());
    status(&mut asker);
    let options = ["-e", "trace=fdatasync", "-e", "inject=fdatasync:delay_enter=1000000"];
    let _strace = Strace::attach(&daemon, &options);
    // Each commit takes a second now. Within it the status is told, many times.
    let answered = until_blocking("a status while a send waits for the disk", || {
        sender.write_line(
            &json!({"jsonrpc": "2.0", "id": "slow", "method": "messages.send", "params": {"type": "t", "data": 1}})
                .to_string(),
        );
        let told = (0..10).map(|_| status(&mut asker)).count();
        let waits = !sender.has_line();
        assert_eq!(sender.read_line().expect("a receipt")["result"]["state"], "queued");
        waits.then_some(told)
    });
    assert_eq!(answered, 10);
}

#[test]
fn a_file_system_without_shared_memory_is_refused_with_78() {
    if !needs::programs(&["strace"]) {
        return;
    }
    let mut daemon = Daemon::start(NOBODY);
    daemon.stop();
    let memory = format!("{}-shm", daemon.database_path().display());
    let words = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-P", memory.as_str()];
    let fault = ["-e", "trace=mmap", "-e", "inject=mmap:error=ENODEV"];
    daemon.set_before(words.into_iter().chain(fault).map(str::to_owned).collect());
    let before = std::fs::read(daemon.database_path()).expect("read");
    daemon.spawn();
    assert_eq!(daemon.wait_for_end().code(), Some(78), "{}", daemon.log());
    assert!(daemon.log().contains("a local disk"), "{}", daemon.log());
    assert!(std::fs::read(daemon.database_path()).expect("read") == before);
}
