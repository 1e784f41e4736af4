//! Sleep and wake as logind tells of them, networks that change under a line, and ends while the disk or
//! the names hang.
//!
//! A machine that really sleeps cannot be had here. What it looks like to a program can: logind says
//! so, the program does not run, the wall clock has gone on, logind says so again. That the clocks
//! themselves are looked at is tried under virtual time in `src/session/tests` and `src/engine`.
//!
//! `HOLDLINE_NETWORK=long` takes the defaults and real lengths where the short run takes small ones.
#![allow(clippy::unwrap_used, reason = "a fixture that cannot go on fails the test")]

use std::io::Write as _;
use std::time::Duration;

use holdline::clock::Clock;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::machines::{HERE, Machines, PORT, SERVER};
use crate::support::daemon::{Client, Daemon};
use crate::support::logind::{Bus, Logind};
use crate::support::server::{Ended, Peer, ScriptedServer};
use crate::support::{needs, until_blocking};
use crate::time::{faketime, set_clock};

fn long() -> bool {
    std::env::var("HOLDLINE_NETWORK").is_ok_and(|value| value == "long")
}

/// A server, and a daemon that listens to a bus of its own.
struct Stage {
    runtime: Runtime,
    server: ScriptedServer,
    bus: Bus,
    daemon: Daemon,
}

/// Only a hint brings a second dial in a row about; only a probe notices a line that died.
const PATIENT: &str =
    "[reconnect]\ndelays = [\"200ms\", \"10m\"]\njitter = 0.0\n[heartbeat]\ninterval = \"10m\"\n";

impl Stage {
    fn prepare(bus: Bus, more: &str) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let server = runtime.block_on(ScriptedServer::start());
        let mut daemon = Daemon::prepare(&Self::config(&server, more));
        daemon.set_variable("DBUS_SYSTEM_BUS_ADDRESS", &bus.address());
        Self { runtime, server, bus, daemon }
    }

    /// The same, and the daemon connected.
    fn connected(bus: Bus, more: &str) -> (Self, Peer) {
        let mut stage = Self::prepare(bus, more);
        stage.daemon.restart();
        let peer = stage.accept();
        stage.daemon.wait_for("connected");
        (stage, peer)
    }

    fn config(server: &ScriptedServer, more: &str) -> String {
        format!("[server]\nurl = \"{}\"\ndialect = \"json\"\n{PATIENT}{more}\n", server.url())
    }

    fn accept(&self) -> Peer {
        self.runtime.block_on(self.server.accept())
    }

    fn ended(&self, peer: &mut Peer) -> Ended {
        self.runtime.block_on(peer.ended())
    }

    fn wait_for_log(&self, words: &str) {
        until_blocking(words, || self.daemon.log().contains(words).then_some(()));
    }
}

const CLOSE: &str = "[link]\non_suspend = \"close\"\n";

fn link(client: &mut Client) -> Value {
    client.call("status", &json!({})).unwrap()["link"].take()
}

struct Stopwatch(Clock, holdline::model::Instant);

impl Stopwatch {
    fn start() -> Self {
        let clock = Clock::start();
        Self(clock, clock.instant())
    }

    fn took(&self, what: &str) -> Duration {
        let took = self.0.instant().since(self.1);
        eprintln!("{what}: {} ms", took.as_millis());
        took
    }
}

/// Lets time pass: it is what is tried.
fn pause(time: Duration) {
    std::thread::sleep(time);
}

#[test]
fn p9_after_eight_hours_of_sleep_it_dials_at_once_and_once() {
    let Some(library) = faketime() else { return };
    let Some(bus) = Bus::start() else { return };
    let logind = Logind::on(&bus);
    let mut stage = Stage::prepare(bus, CLOSE);
    let clock = stage.daemon.path("clock");
    set_clock(&mut stage.daemon, &library, &clock);
    stage.daemon.restart();
    let mut peer = stage.accept();
    stage.daemon.wait_for("connected");
    logind.wait_until_held(1);
    assert_eq!(logind.held(), [["sleep", "holdline", "delay"].map(str::to_owned)]);
    let mut client = stage.daemon.client();
    for night in 1..=2 {
        logind.prepare_for_sleep(true);
        let watch = Stopwatch::start();
        // The real one waits for this, and for five seconds at most.
        logind.wait_until_held(0);
        watch.took("the sleep was held up for");
        assert_eq!(stage.ended(&mut peer), Ended::Closed(Some(1001)));
        let seen = link(&mut client);
        assert_eq!((&seen["state"], &seen["reason"]["kind"]), (&json!("reconnecting"), &json!("sleeping")));
        assert_eq!(seen["reason"]["hint"], "it dials at once when the machine wakes");
        let sent = client.call("messages.send", &json!({"type": "t", "data": night})).unwrap();
        assert_eq!(sent["state"], "queued", "apps are served to the last moment");
        stage.daemon.signal(Signal::STOP);
        // A machine that slept dialled longer ago than this.
        pause(Duration::from_millis(1_100));
        std::fs::write(&clock, format!("+{}h\n", 8 * night)).unwrap();
        stage.daemon.signal(Signal::CONT);
        logind.prepare_for_sleep(false);
        let watch = Stopwatch::start();
        peer = stage.accept();
        watch.took("dialled after the wake");
        stage.daemon.wait_for("connected");
        logind.wait_until_held(1);
        // Said again, it is no other wake.
        logind.prepare_for_sleep(false);
        let ping = stage.runtime.block_on(async {
            let text = peer.text().await;
            assert!(text.contains("\"t\""), "{text}");
            peer.number
        });
        assert_eq!((ping, stage.server.connections()), (night + 1, night + 1), "one wake is one dial");
    }
    let story = client.call("link.history", &json!({"limit": 50})).unwrap().to_string();
    assert!(story.contains("\"sleeping\""), "{story}");
    assert!(!story.contains("Connection lost: the machine goes to sleep"), "{story}");
}

#[test]
fn a_sleep_that_comes_to_nothing_costs_a_moment() {
    let Some(bus) = Bus::start() else { return };
    let logind = Logind::on(&bus);
    let (stage, mut peer) = Stage::connected(bus, CLOSE);
    logind.wait_until_held(1);
    logind.prepare_for_sleep(true);
    logind.wait_until_held(0);
    assert_eq!(stage.ended(&mut peer), Ended::Closed(Some(1001)));
    logind.prepare_for_sleep(false);
    assert_eq!(stage.accept().number, 2);
    stage.daemon.wait_for("connected");
}

#[test]
fn a_server_that_does_not_answer_the_goodbye_holds_no_sleep_up() {
    let Some(bus) = Bus::start() else { return };
    let logind = Logind::on(&bus);
    let (stage, peer) = Stage::connected(bus, CLOSE);
    logind.wait_until_held(1);
    peer.go_silent();
    logind.prepare_for_sleep(true);
    let watch = Stopwatch::start();
    logind.wait_until_held(0);
    watch.took("a deaf server held the sleep up for");
    logind.prepare_for_sleep(false);
    assert_eq!(stage.accept().number, 2);
}

#[test]
fn a_line_that_is_kept_is_looked_after_at_the_wake_and_sleep_is_not_held_up() {
    let Some(bus) = Bus::start() else { return };
    let logind = Logind::on(&bus);
    let (stage, peer) = Stage::connected(bus, "");
    stage.wait_for_log("holdline is ready");
    let mut client = stage.daemon.client();
    // One that lives answers.
    logind.prepare_for_sleep(true);
    stage.wait_for_log("the machine goes to sleep");
    logind.prepare_for_sleep(false);
    stage.runtime.block_on(peer.ping());
    peer.send(r#"{"type":"e","eventId":"1"}"#);
    until_blocking("the event", || {
        (client.call("status", &json!({})).unwrap()["inbox"]["events"] == 1).then_some(())
    });
    assert_eq!(link(&mut client)["reconnects"], 0);
    // One that died in the night does not.
    peer.go_silent();
    until_blocking("another line", || {
        // A pong that was on its way still answers the first of these questions.
        logind.prepare_for_sleep(true);
        logind.prepare_for_sleep(false);
        pause(Duration::from_secs(5));
        (stage.server.connections() == 2).then_some(())
    });
    assert!(client.call("link.history", &json!({})).unwrap().to_string().contains("heartbeat_timeout"));
    assert!(logind.held().is_empty());
}

#[test]
fn nobody_but_logind_can_put_the_line_to_sleep() {
    let Some(bus) = Bus::start() else { return };
    let logind = Logind::on(&bus);
    let impostor = Logind::impostor_on(&bus);
    let (stage, _peer) = Stage::connected(bus, CLOSE);
    logind.wait_until_held(1);
    impostor.say(None, true);
    impostor.say(Some(&logind.last_holder()), true);
    // What logind says after it is heard after it.
    logind.say(None, false);
    stage.wait_for_log("the system says that the machine is awake");
    assert_eq!(logind.held().len(), 1);
    assert_eq!(stage.server.connections(), 1);
    assert_eq!(stage.daemon.log().matches("the machine goes to sleep").count(), 0);
}

#[test]
fn a_bus_that_comes_late_goes_and_comes_back_is_found_each_time() {
    let Some(bus) = Bus::prepare() else { return };
    let (mut stage, mut peer) = Stage::connected(bus, CLOSE);
    stage.wait_for_log("no word of sleep from the system bus");
    stage.bus.run();
    let logind = Logind::on(&stage.bus);
    logind.wait_until_held(1);
    // logind alone is replaced, as by an upgrade.
    drop(logind);
    let logind = Logind::on(&stage.bus);
    logind.wait_until_held(1);
    stage.bus.kill();
    stage.wait_for_log("the system bus has gone");
    drop(logind);
    stage.bus.run();
    let logind = Logind::on(&stage.bus);
    logind.wait_until_held(1);
    logind.prepare_for_sleep(true);
    logind.wait_until_held(0);
    assert_eq!(stage.ended(&mut peer), Ended::Closed(Some(1001)));
    assert_eq!(stage.server.connections(), 1, "none of it touched the line");
    let log = stage.daemon.log();
    let lines = log.lines().filter(|line| line.contains("system bus")).count();
    assert!(lines <= 3, "a line for each change, and no more: {log}");
}

#[test]
fn a_logind_that_ends_while_the_machine_falls_asleep_leaves_the_next_one_its_lock() {
    let Some(bus) = Bus::start() else { return };
    let logind = Logind::on(&bus);
    let (stage, _peer) = Stage::connected(bus, CLOSE);
    logind.wait_until_held(1);
    logind.prepare_for_sleep(true);
    logind.wait_until_held(0);
    // Nobody says any more that the machine is awake.
    drop(logind);
    let logind = Logind::on(&stage.bus);
    logind.wait_until_held(1);
}

#[test]
fn a_bus_that_came_unnoticed_is_found_once_something_depends_on_it() {
    let Some(bus) = Bus::prepare() else { return };
    let (mut stage, _peer) = Stage::connected(bus, "");
    stage.wait_for_log("no word of sleep from the system bus");
    stage.bus.run();
    let logind = Logind::on(&stage.bus);
    stage.daemon.write_config(&Stage::config(&stage.server, CLOSE));
    stage.daemon.ctl_json(&["reload"]);
    logind.wait_until_held(1);
    assert_eq!(stage.server.connections(), 1);
}

#[test]
fn on_suspend_can_be_changed_while_it_runs() {
    let Some(bus) = Bus::start() else { return };
    let logind = Logind::on(&bus);
    let (stage, _peer) = Stage::connected(bus, "");
    for (more, held) in [(CLOSE, 1), ("", 0), (CLOSE, 1)] {
        stage.daemon.write_config(&Stage::config(&stage.server, more));
        let told = stage.daemon.ctl_json(&["reload"]);
        assert_eq!((&told["reconnect"], &told["changed"]), (&json!(false), &json!(["link.on_suspend"])));
        logind.wait_until_held(held);
    }
    assert_eq!(stage.server.connections(), 1);
}

/// A daemon on the machine of these, with delays that bring no second dial about.
fn far_away(machines: &Machines, config: &str) -> Daemon {
    let mut daemon = Daemon::prepare(config);
    daemon.set_before(machines.prefix());
    daemon.restart();
    daemon
}

fn config(more: &str) -> String {
    format!(
        "[server]\nurl = \"ws://{SERVER}:{PORT}/\"\nallow_plaintext = true\ndialect = \"holdline\"\nconnect_timeout = \"2s\"\n{more}\n"
    )
}

fn wait_for_connections(client: &mut Client, count: u64) {
    until_blocking(&format!("{count} reconnects"), || {
        let link = link(client);
        (link["reconnects"] == count && link["state"] == "connected").then_some(())
    });
}

#[test]
fn p9_a_network_that_is_down_is_told_and_one_that_is_back_is_dialled_at_once() {
    let Some(machines) = Machines::new() else { return };
    let server = machines.server(SERVER);
    let quick = "[heartbeat]\ninterval = \"2s\"\ntimeout = \"1s\"\n[reconnect]\ndelays = [\"1s\", \"10m\"]\njitter = 0.0\n";
    let daemon = far_away(&machines, &config(if long() { "" } else { quick }));
    daemon.wait_for("connected");
    let mut client = daemon.client();
    machines.cable(false);
    let down = Stopwatch::start();
    until_blocking("offline", || (link(&mut client)["state"] == "offline").then_some(()));
    let told = down.took("offline after the link went down");
    let lasts = Duration::from_secs(if long() { 60 } else { 5 });
    pause(lasts.saturating_sub(told));
    assert_eq!(link(&mut client)["state"], "offline");
    let dials = server.stats().connections;
    machines.cable(true);
    let up = Stopwatch::start();
    server.wait_until("a dial", |stats| stats.connections > dials);
    let dialled = up.took("dialled after the link came up");
    wait_for_connections(&mut client, 1);
    if long() {
        assert!(told <= Duration::from_secs(31) && dialled <= Duration::from_secs(2));
    }
}

#[test]
fn a_line_whose_address_went_away_is_noticed_by_asking_it() {
    let Some(machines) = Machines::new() else { return };
    let _server = machines.server(SERVER);
    let daemon = far_away(&machines, &config(PATIENT));
    daemon.wait_for("connected");
    let mut client = daemon.client();
    // Another network: the old address is gone, and nothing says so to the connection.
    machines.run_here(&["ip", "address", "del", &format!("{HERE}/24"), "dev", "va"]);
    machines.run_here(&["ip", "address", "add", "10.77.0.3/24", "dev", "va"]);
    let watch = Stopwatch::start();
    machines.route();
    wait_for_connections(&mut client, 1);
    watch.took("connected from the new address after");
    assert!(client.call("link.history", &json!({})).unwrap().to_string().contains("heartbeat_timeout"));
}

#[test]
fn a_network_that_changes_beside_the_line_leaves_it_alone() {
    let Some(machines) = Machines::new() else { return };
    let server = machines.server(SERVER);
    let daemon = far_away(&machines, &config(&format!("{PATIENT}[log]\nlevel = \"debug\"\n")));
    daemon.wait_for("connected");
    let mut client = daemon.client();
    machines.run_here(&["ip", "link", "add", "other", "type", "veth", "peer", "name", "end"]);
    // Until several of the changes were told, each of which asks the line.
    until_blocking("hints", || {
        for step in [
            &["link", "set", "other", "up"][..],
            &["address", "add", "10.99.0.2/24", "dev", "other"],
            &["route", "replace", "192.0.2.0/24", "dev", "other"],
            &["link", "set", "other", "down"],
            &["address", "flush", "dev", "other"],
        ] {
            machines.run_here(&[&["ip"], step].concat());
        }
        (daemon.log().matches("the network changed").count() >= 4).then_some(())
    });
    server.push("e", &json!({"n": 1}));
    until_blocking("the event", || {
        (client.call("status", &json!({})).unwrap()["inbox"]["events"] == 1).then_some(())
    });
    assert_eq!(link(&mut client)["reconnects"], 0);
    assert!(!daemon.log().contains("the link is down"), "{}", daemon.log());
}

#[test]
fn a_network_that_comes_and_goes_ten_times_a_second_is_dialled_once_a_second_at_most() {
    let Some(machines) = Machines::new() else { return };
    let daemon = far_away(&machines, &config(&format!("{PATIENT}[log]\nlevel = \"debug\"\n")));
    let mut client = daemon.client();
    // Nobody listens there.
    until_blocking("the first dial", || {
        (link(&mut client)["reason"]["kind"] == "connection_refused").then_some(())
    });
    let watch = Stopwatch::start();
    for tick in 0..40 {
        machines.cable(tick % 2 == 1);
        pause(Duration::from_millis(100));
    }
    let took = watch.took("forty changes of the cable");
    let attempts = link(&mut client)["attempt"].as_u64().unwrap();
    eprintln!("dials meanwhile: {attempts}");
    // Two by the delays, and the number of the next one.
    assert!(attempts <= took.as_secs() + 1 + 2 + 2, "{attempts} dials in {took:?}");
    // And it is not lost for it.
    let _server = machines.server(SERVER);
    // It rests between two looks: what is down at one and at the next was never up to it.
    let seen = |usable: bool| {
        until_blocking("the network to be seen", || {
            let log = daemon.log();
            let last = log.lines().rfind(|line| line.contains("the network changed"))?;
            last.contains(&format!("usable={usable}")).then_some(())
        });
    };
    seen(true);
    machines.cable(false);
    seen(false);
    machines.cable(true);
    daemon.wait_for("connected");
}

/// Refuses `AF_NETLINK` to what it becomes, as a sandbox does that was not told of it.
const NO_NETLINK: &str = r#"
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
numbers = {"x86_64": 41, "aarch64": 198}
def step(code, jt, jf, k):
    return struct.pack("HBBI", code, jt, jf, k)
rules = b"".join([
    step(0x20, 0, 0, 0),                                   # the call's number
    step(0x15, 0, 3, numbers[os.uname().machine]),         # socket?
    step(0x20, 0, 0, 16),                                  # its family
    step(0x15, 0, 1, 16),                                  # AF_NETLINK?
    step(0x06, 0, 0, 0x00050000 | 97),                     # EAFNOSUPPORT
    step(0x06, 0, 0, 0x7fff0000),
])
kept = ctypes.create_string_buffer(rules)
class Program(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
program = Program(len(rules) // 8, ctypes.addressof(kept))
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(program)) == 0
os.execv(sys.argv[1], sys.argv[1:])
"#;

#[test]
fn where_the_kernel_may_not_be_asked_the_network_is_looked_at() {
    if !needs::programs(&["python3"]) {
        return;
    }
    let Some(machines) = Machines::new() else { return };
    let _server = machines.server(SERVER);
    let mut daemon = Daemon::prepare(&config(
        "[heartbeat]\ninterval = \"2s\"\ntimeout = \"1s\"\n[reconnect]\ndelays = [\"200ms\", \"10m\"]\njitter = 0.0\n",
    ));
    let script = daemon.path("no_netlink.py");
    std::fs::File::create(&script).unwrap().write_all(NO_NETLINK.as_bytes()).unwrap();
    let mut before = machines.prefix();
    before.extend(["python3".to_owned(), script.display().to_string()]);
    daemon.set_before(before);
    daemon.restart();
    daemon.wait_for("connected");
    assert!(daemon.log().contains("the system does not tell when the network changes"), "{}", daemon.log());
    let mut client = daemon.client();
    machines.cable(false);
    until_blocking("offline", || {
        let link = link(&mut client);
        let at = |name: &str| holdline::model::Timestamp::parse(link[name].as_str()?).ok();
        let waits = at("next_retry_at")?.since(at("since")?) > Duration::from_secs(300);
        (link["state"] == "offline" && waits).then_some(())
    });
    machines.cable(true);
    wait_for_connections(&mut client, 1);
}

/// What the unit grants (`TimeoutStopSec=`).
const GRANTED: Duration = Duration::from_secs(10);

#[test]
fn p14_an_end_while_the_disk_hangs_is_told_as_such_and_loses_nothing() {
    if !(needs::programs(&["strace"]) && needs::root()) {
        return;
    }
    let mut daemon = Daemon::start("[server]\nurl = \"ws://127.0.0.1:9/\"\n");
    let mut client = daemon.client();
    for n in 0..20 {
        client.call("messages.send", &json!({"type": "t", "data": n})).unwrap();
    }
    // From now on a sync takes longer than anybody waits.
    let calls = daemon.path("calls");
    let mut strace = std::process::Command::new("strace")
        .args(["-f", "-qq", "-e", "trace=fdatasync,fsync", "-e"])
        .arg("inject=fdatasync,fsync:delay_enter=300000000")
        .args(["-p", &daemon.pid().to_string(), "-o"])
        .arg(&calls)
        .spawn()
        .unwrap();
    let traced = |pid: u32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        !status.contains("TracerPid:\t0\n")
    };
    until_blocking("strace", || traced(daemon.pid()).then_some(()));
    let request =
        json!({"jsonrpc": "2.0", "id": 99, "method": "messages.send", "params": {"type": "t", "data": 1}});
    client.write_line(&request.to_string());
    until_blocking("a sync that hangs", || {
        std::fs::metadata(&calls).is_ok_and(|file| file.len() > 0).then_some(())
    });
    let watch = Stopwatch::start();
    daemon.signal(Signal::TERM);
    until_blocking("the last word", || {
        daemon.log().contains("did not close within 4 s: the disk hangs").then_some(())
    });
    let took = watch.took("ended with a disk that hangs after");
    // The thread that hangs is held by strace, not by a disk, and would be held for as long.
    strace.kill().unwrap();
    strace.wait().unwrap();
    assert_eq!(daemon.wait_for_end().code(), Some(74), "{}", daemon.log());
    assert!(took < GRANTED, "{took:?}");
    daemon.restart();
    let queued = daemon.client().call("status", &json!({})).unwrap()["outbox"]["queued"].as_u64().unwrap();
    assert!([20, 21].contains(&queued), "what had no receipt may be there or not: {queued}");
}

#[test]
fn an_end_while_a_name_is_looked_up_does_not_wait_for_it() {
    let Some(machines) = Machines::new() else { return };
    machines.ask_for_names(30);
    machines.filter("udp dport 53 drop;", "");
    let mut daemon = far_away(&machines, &config("").replace(SERVER, "server.example"));
    let watch = Stopwatch::start();
    assert_eq!(daemon.stop().code(), Some(0), "{}", daemon.log());
    let took = watch.took("ended in the middle of a look-up after");
    assert!(took < GRANTED, "{took:?}");
}
