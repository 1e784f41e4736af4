//! Clocks that are set, clocks that start wrong, and a daemon that stands still: what may not expire does
//! not, what is due is done, and nobody is told a wrong cause.
//!
//! The wall clock is set for the daemon alone, by libfaketime, while it runs. Sleep itself cannot be
//! played here; that the deadlines hang on the clock that counts it is looked at from outside, and what
//! follows from it is tried under virtual time in `src/session/tests`.
#![allow(clippy::unwrap_used, reason = "a fixture that cannot go on fails the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use holdline::dev_server::{Control, DevServer, Options};
use holdline::model::Timestamp;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::machines::{Machines, PORT, SERVER};
use crate::support::daemon::{Client, Daemon};
use crate::support::{needs, until_blocking};

/// libfaketime, where it is installed.
pub(crate) fn faketime() -> Option<PathBuf> {
    let places = ["x86_64-linux-gnu", "aarch64-linux-gnu", ""];
    let found = places
        .iter()
        .map(|place| Path::new("/usr/lib").join(place).join("faketime/libfaketimeMT.so.1"))
        .find(|path| path.is_file());
    if found.is_none() {
        needs::programs(&["libfaketime"]);
    }
    found
}

/// From its next start on the daemon's wall clock is off by what stands in this file.
pub(crate) fn set_clock(daemon: &mut Daemon, library: &Path, file: &Path) {
    for (name, value) in [
        ("LD_PRELOAD", library.to_str().unwrap()),
        ("FAKETIME_TIMESTAMP_FILE", file.to_str().unwrap()),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ] {
        daemon.set_variable(name, value);
    }
    fs::write(file, "+0\n").unwrap();
}

/// A daemon whose wall clock can be set.
struct Set {
    daemon: Daemon,
    server: Served,
}

impl Set {
    fn prepare(library: &Path, server: Served, more: &str) -> Self {
        let url = server.url();
        let mut daemon = Daemon::prepare(&format!(
            "[server]\nurl = \"{url}\"\ndialect = \"holdline\"\n[reconnect]\ndelays = [\"200ms\", \"500ms\"]\n{more}\n"
        ));
        let clock = daemon.path("clock");
        set_clock(&mut daemon, library, &clock);
        Self { daemon, server }
    }

    /// From now on the wall clock is off by this ("+8h", "-1d").
    fn clock(&self, off: &str) {
        // Whole or not at all: it is read at every look at the clock.
        let unfinished = self.daemon.path("clock.new");
        fs::write(&unfinished, format!("{off}\n")).unwrap();
        fs::rename(unfinished, self.daemon.path("clock")).unwrap();
    }

    fn client(&self) -> Client {
        self.daemon.client()
    }
}

/// A server on threads of its own.
struct Served {
    server: DevServer,
    _runtime: tokio::runtime::Runtime,
}

impl Served {
    fn start() -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let options = Options { keep_bodies: true, ..Options::default() };
        let server = runtime.block_on(DevServer::start(options)).unwrap();
        Self { server, _runtime: runtime }
    }
}

impl std::ops::Deref for Served {
    type Target = DevServer;

    fn deref(&self) -> &DevServer {
        &self.server
    }
}

fn send(client: &mut Client, ttl: Option<u64>) -> String {
    let mut message = json!({"type": "t", "data": {}});
    if let Some(seconds) = ttl {
        message["ttl_ms"] = (seconds * 1000).into();
    }
    client.call("messages.send", &message).unwrap()["id"].as_str().unwrap().to_owned()
}

fn message(client: &mut Client, id: &str) -> Value {
    client.call("messages.get", &json!({"id": id})).unwrap()
}

fn status(client: &mut Client) -> Value {
    client.call("status", &json!({})).unwrap()
}

fn wait_for_state(client: &mut Client, id: &str, state: &str) {
    until_blocking(&format!("{id} to be {state}"), || (message(client, id)["state"] == state).then_some(()));
}

fn at(value: &Value) -> Timestamp {
    Timestamp::parse(value.as_str().unwrap()).unwrap()
}

fn received(server: &Served) -> Vec<String> {
    server.received().into_iter().filter_map(|message| message.id).collect()
}

#[test]
fn p8_a_clock_that_is_set_while_it_runs_expires_nothing_and_breaks_no_connection() {
    let Some(library) = faketime() else { return };
    let mut set =
        Set::prepare(&library, Served::start(), "[heartbeat]\ninterval = \"2s\"\ntimeout = \"2s\"\n");
    set.daemon.restart();
    set.daemon.wait_for("connected");
    let mut client = set.client();
    // Kept in the queue, each with a time to live far shorter than the clock's jumps.
    client.call("link.pause", &json!({})).unwrap();
    let waiting: Vec<String> = (0..5).map(|_| send(&mut client, Some(3_600))).collect();
    let brief = send(&mut client, Some(4));
    let real = holdline::clock::Clock::start();
    // Half a day on, a day back, 1970, past 2038 and 2050.
    for off in ["+8h", "-1d", "-56y", "+20y", "+24y", "+0"] {
        set.clock(off);
        let event = set.server.stats().events;
        client.call("link.resume", &json!({})).unwrap();
        until_blocking("the link", || (status(&mut client)["link"]["state"] == "connected").then_some(()));
        set.server.push("e", &json!({"off": off}));
        until_blocking("the event", || (status(&mut client)["inbox"]["events"] == event + 1).then_some(()));
        client.call("link.pause", &json!({})).unwrap();
        let seen = status(&mut client);
        let since = at(&seen["link"]["since"]);
        let year = off.strip_suffix('y').map_or(0, |years| years.parse::<i64>().unwrap());
        let shown = (since.as_millis() - real.now().wall.as_millis()) / 86_400_000 / 365;
        assert!((shown - year).abs() <= 1, "times are shown by the clock as it stands: {since} at {off}");
        for entry in seen["health"].as_array().unwrap() {
            assert_eq!(entry["severity"], "info", "{entry} at {off}");
        }
        let more = send(&mut client, Some(3_600));
        assert_eq!(message(&mut client, &more)["state"], "queued");
    }
    // The first five went out at the first resume, and each later one at the next.
    for id in &waiting {
        wait_for_state(&mut client, id, "accepted");
    }
    assert!(!received(&set.server).is_empty());
    // What was to live for seconds had its seconds, no more and no less: it went out at once here.
    wait_for_state(&mut client, &brief, "accepted");
    let brief = send(&mut client, Some(1));
    set.clock("-1d");
    wait_for_state(&mut client, &brief, "expired");
    client.call("link.resume", &json!({})).unwrap();
    until_blocking("the queue to be empty", || {
        let outbox = status(&mut client)["outbox"].take();
        (outbox["queued"] == 0 && outbox["in_flight"] == 0).then_some(())
    });
    assert!(!received(&set.server).contains(&brief), "nothing is sent after its time");
    // No event fell to the jump to 2050: each is there, in the order in which it came.
    let page = client.call("events.list", &json!({"from": 0, "limit": 100})).unwrap();
    let offs: Vec<&str> = page["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["data"]["off"].as_str().unwrap())
        .collect();
    assert_eq!(offs, ["+8h", "-1d", "-56y", "+20y", "+24y", "+0"]);
    let log = set.daemon.log();
    assert!(!log.contains("panicked") && !log.contains("heartbeat_timeout"), "{log}");
    assert!(log.contains("the clock was set from"), "{log}");
}

#[test]
fn p8_a_start_with_a_wrong_clock_gives_good_ids_and_its_deadlines_survive_the_right_one() {
    let Some(library) = faketime() else { return };
    let mut set = Set::prepare(&library, Served::start(), "");
    // A machine without a clock of its own wakes in 1970.
    set.clock("-56y");
    set.daemon.restart();
    set.daemon.wait_for("connected");
    let mut client = set.client();
    client.call("link.pause", &json!({})).unwrap();
    let mut ids: Vec<String> = (0..20).map(|_| send(&mut client, Some(3_600))).collect();
    let queued_at = at(&message(&mut client, &ids[0])["queued_at"]);
    assert!(queued_at.as_millis() < 5 * 365 * 86_400_000, "shown as it was: {queued_at}");
    // The time is found, and set.
    set.clock("+0");
    ids.extend((0..20).map(|_| send(&mut client, Some(3_600))));
    let unique: BTreeSet<&String> = ids.iter().collect();
    assert_eq!(unique.len(), ids.len());
    assert!(ids.iter().all(|id| id.len() == 36 && id.as_bytes()[14] == b'7'), "{ids:?}");
    // Listed by their places, not by what the clock said.
    let listed = client.call("messages.list", &json!({"limit": 100})).unwrap();
    let listed: Vec<&str> = listed["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|message| message["id"].as_str().unwrap())
        .collect();
    let mut by_place: Vec<&str> = ids.iter().map(String::as_str).collect();
    if listed.first() != by_place.first() {
        by_place.reverse();
    }
    assert_eq!(listed, by_place);
    drop(client);
    // The next start is right from the beginning: an hour is still an hour.
    set.daemon.kill9();
    set.daemon.restart();
    let mut client = set.client();
    for id in &ids {
        assert_eq!(message(&mut client, id)["state"], "queued", "{id}");
    }
    // And one that is wrong again goes on from where the last one was.
    set.daemon.kill9();
    set.clock("-56y");
    set.daemon.restart();
    let mut client = set.client();
    let brief = send(&mut client, Some(1));
    wait_for_state(&mut client, &brief, "expired");
    client.call("link.resume", &json!({})).unwrap();
    set.server.wait_until("all to arrive", 40);
    assert_eq!(received(&set.server), ids, "each once, in order");
    assert!(!set.daemon.log().contains("panicked"));
}

impl Served {
    fn wait_until(&self, what: &str, messages: u64) {
        until_blocking(what, || (self.stats().received >= messages).then_some(()));
    }
}

#[test]
fn p8_a_time_to_live_goes_on_while_the_daemon_is_down() {
    let Some(library) = faketime() else { return };
    let mut set = Set::prepare(&library, Served::start(), "");
    set.daemon.restart();
    set.daemon.wait_for("connected");
    let mut client = set.client();
    client.call("link.pause", &json!({})).unwrap();
    let (brief, long) = (send(&mut client, Some(3_600)), send(&mut client, Some(10_800)));
    drop(client);
    set.daemon.kill9();
    // Two hours pass.
    set.clock("+2h");
    set.daemon.restart();
    let mut client = set.client();
    wait_for_state(&mut client, &brief, "expired");
    assert_eq!(message(&mut client, &long)["state"], "queued");
    client.call("link.resume", &json!({})).unwrap();
    wait_for_state(&mut client, &long, "accepted");
    assert_eq!(received(&set.server), [long]);
}

#[test]
fn a_certificate_that_does_not_fit_the_clock_is_named_as_a_matter_of_the_clock() {
    let Some(library) = faketime() else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let authority = crate::support::tls::Authority::new();
    let identity = authority.issue("localhost", crate::support::tls::Validity::Now);
    let server =
        runtime.block_on(crate::support::server::ScriptedServer::builder().tls(identity.acceptor()).start());
    let mut set = Set::prepare(&library, Served::start(), "");
    let ca = set.daemon.path("ca.pem");
    authority.write_to(&ca);
    set.daemon.write_config(&format!(
        "[server]\nurl = \"{}\"\ntls.ca_file = \"{}\"\n[reconnect]\ndelays = [\"300ms\"]\n",
        server.url(),
        ca.display()
    ));
    for (off, kind, year) in [("-56y", "tls_not_yet_valid", "1970"), ("+100y", "tls_expired", "21")] {
        set.clock(off);
        set.daemon.restart();
        let mut client = set.client();
        let reason = until_blocking(kind, || {
            let link = status(&mut client)["link"].take();
            (link["state"] == "misconfigured" && link["reason"]["kind"] == kind)
                .then(|| link["reason"].clone())
        });
        let hint = reason["hint"].as_str().unwrap();
        assert!(hint.contains(&format!("this machine's clock says {year}")), "{hint}");
        // The clock is set, and nothing else is done.
        set.clock("+0");
        set.daemon.wait_for("connected");
        drop(client);
    }
}

#[test]
fn a_freeze_costs_a_connection_that_lives_nothing_and_one_that_died_a_moment() {
    let server = Served::start();
    let url = server.url();
    let daemon = Daemon::start(&format!(
        "[server]\nurl = \"{url}\"\ndialect = \"holdline\"\n[reconnect]\ndelays = [\"200ms\"]\n\
         [heartbeat]\ninterval = \"1s\"\ntimeout = \"1s\"\n"
    ));
    daemon.wait_for("connected");
    let mut client = daemon.client();
    let mut expected = Vec::new();
    for (round, dies) in [false, true].into_iter().enumerate() {
        daemon.signal(Signal::STOP);
        for n in 0..50 {
            server.push("e", &json!({"n": n, "round": round}));
            expected.push(json!({"n": n, "round": round}));
        }
        if dies {
            server.control(Control::Cut {});
        }
        // Longer than any deadline of the heartbeat.
        frozen(Duration::from_secs(7));
        daemon.signal(Signal::CONT);
        let clock = holdline::clock::Clock::start();
        let thawed = clock.instant();
        until_blocking("all events", || {
            (status(&mut client)["inbox"]["events"] == expected.len() as u64).then_some(())
        });
        until_blocking("the link", || (status(&mut client)["link"]["state"] == "connected").then_some(()));
        eprintln!("in order again {} ms after the freeze", clock.instant().since(thawed).as_millis());
        let link = status(&mut client)["link"].take();
        assert_eq!(link["reconnects"], u64::from(dies), "{link}");
    }
    let page = client.call("events.list", &json!({"from": 0, "limit": 500})).unwrap();
    let data: Vec<Value> =
        page["events"].as_array().unwrap().iter().map(|event| event["data"].clone()).collect();
    assert_eq!(data, expected, "each once");
    let log = daemon.log();
    assert!(log.contains("nothing ran here for"), "{log}");
    assert!(!log.contains("heartbeat_timeout"), "{log}");
}

/// Lets time pass for somebody who stands still: there is nothing to wait for but the time.
fn frozen(time: Duration) {
    std::thread::sleep(time);
}

#[test]
fn a_daemon_that_hardly_gets_to_run_keeps_its_connection() {
    let server = Served::start();
    let url = server.url();
    let daemon = Daemon::start(&format!(
        "[server]\nurl = \"{url}\"\ndialect = \"holdline\"\n[heartbeat]\ninterval = \"1s\"\ntimeout = \"1s\"\n"
    ));
    daemon.wait_for("connected");
    let pulses = if std::env::var_os("HOLDLINE_NETWORK").is_some() { 240 } else { 5 };
    for pulse in 0..pulses {
        // Each longer than a peer may be silent; one part in fifty is left.
        daemon.signal(Signal::STOP);
        frozen(Duration::from_millis(2_450));
        server.push("e", &json!({"n": pulse}));
        daemon.signal(Signal::CONT);
        frozen(Duration::from_millis(50));
    }
    let mut client = daemon.client();
    until_blocking("all events", || (status(&mut client)["inbox"]["events"] == pulses).then_some(()));
    let link = status(&mut client)["link"].take();
    assert_eq!((&link["state"], &link["reconnects"]), (&json!("connected"), &json!(0)), "{link}");
}

#[test]
fn deadlines_hang_on_the_clock_that_counts_sleep() {
    if !needs::programs(&["strace"]) {
        return;
    }
    let server = Served::start();
    let url = server.url();
    let mut daemon = Daemon::prepare(&format!("[server]\nurl = \"{url}\"\ndialect = \"holdline\"\n"));
    let trace = daemon.path("trace");
    let calls = "trace=timerfd_create,timerfd_settime";
    daemon.set_before(
        ["strace", "-f", "-qq", "-o", trace.to_str().unwrap(), "-e", calls].map(str::to_owned).to_vec(),
    );
    daemon.restart();
    daemon.wait_for("connected");
    let seen = until_blocking("a deadline", || {
        let text = fs::read_to_string(&trace).ok()?;
        text.contains("timerfd_settime").then_some(text)
    });
    assert!(seen.contains("timerfd_create(CLOCK_BOOTTIME"), "{seen}");
    assert!(
        seen.contains("TFD_TIMER_ABSTIME|TFD_TIMER_CANCEL_ON_SET"),
        "it is told when the machine wakes: {seen}"
    );
    // Killed, strace lets go of the daemon, which would live on.
    let traced = children(daemon.pid());
    daemon.kill9();
    for pid in traced {
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        // It may have ended with its tracer.
        let _ = rustix::process::kill_process(pid, Signal::KILL);
    }
}

#[test]
fn an_idle_daemon_sleeps() {
    // On a machine of its own, where the kernel does not tell it of the networks of other tests.
    let Some(machines) = Machines::new() else { return };
    let _server = machines.server(SERVER);
    let mut daemon = Daemon::prepare(&format!(
        "[server]\nurl = \"ws://{SERVER}:{PORT}/\"\nallow_plaintext = true\ndialect = \"holdline\"\n"
    ));
    daemon.set_before(machines.prefix());
    daemon.restart();
    daemon.wait_for("connected");
    // What there was to do after the start is done.
    until_blocking("quiet", || {
        let before = wakes(daemon.pid());
        frozen(Duration::from_secs(1));
        (woken_since(&before, daemon.pid()) == 0).then_some(())
    });
    let seconds = 6;
    let before = wakes(daemon.pid());
    frozen(Duration::from_secs(seconds));
    let woken = woken_since(&before, daemon.pid());
    eprintln!("woken {woken} times in {seconds} s of idling");
    // One heartbeat may fall into it; a tick would be seen.
    assert!(woken <= 12, "{woken} times in {seconds} s");
}

/// How often each thread of a process went to sleep by itself.
fn wakes(pid: u32) -> BTreeMap<OsString, u64> {
    fs::read_dir(format!("/proc/{pid}/task"))
        .unwrap()
        .filter_map(|task| {
            let task = task.ok()?;
            let status = fs::read_to_string(task.path().join("status")).ok()?;
            let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
            Some((task.file_name(), line.trim().parse().ok()?))
        })
        .collect()
}

/// How often that was since then. A thread that has ended meanwhile woke for it at least once.
fn woken_since(before: &BTreeMap<OsString, u64>, pid: u32) -> u64 {
    let now = wakes(pid);
    let ended = before.keys().filter(|thread| !now.contains_key(*thread)).count() as u64;
    let woken = now.iter().map(|(thread, count)| count - before.get(thread).unwrap_or(&0));
    ended + woken.sum::<u64>()
}

fn children(pid: u32) -> Vec<i32> {
    fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))
        .unwrap_or_default()
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect()
}
