//! Networks that break, between two machines made of namespaces: what people see, that nothing is lost
//! meanwhile, and that it heals by itself.
//!
//! `HOLDLINE_NETWORK=long` takes the defaults and real lengths where the short run takes small ones.
#![allow(clippy::unwrap_used, reason = "a fixture that cannot go on fails the test")]

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use holdline::clock::Clock;
use serde_json::{Value, json};

use crate::machines::{HERE, Machines, OTHER, PORT, SERVER, SERVER6, Says, Server};
use crate::support::daemon::{Client, Daemon};
use crate::support::{needs, until_blocking};

/// Whether the long run is wanted.
fn long() -> bool {
    std::env::var("HOLDLINE_NETWORK").is_ok_and(|value| value == "long")
}

/// A configuration with quick delays, for a server in the clear.
fn config(host: &str, more: &str) -> String {
    format!(
        "[server]\nurl = \"ws://{host}:{PORT}/\"\nallow_plaintext = true\ndialect = \"holdline\"\nconnect_timeout = \"2s\"\n\
         [reconnect]\ndelays = [\"200ms\", \"500ms\"]\n{more}\n"
    )
}

const QUICK_HEARTBEAT: &str = "[heartbeat]\ninterval = \"2s\"\ntimeout = \"1s\"\n";

fn daemon(machines: &Machines, config: &str) -> Daemon {
    let mut daemon = Daemon::prepare(config);
    daemon.set_before(machines.prefix());
    daemon.restart();
    daemon
}

fn send(client: &mut Client, data: &Value) -> String {
    let receipt = client.call("messages.send", &json!({"type": "t", "data": data})).unwrap();
    receipt["id"].as_str().unwrap().to_owned()
}

fn send_many(client: &mut Client, count: usize) -> BTreeSet<String> {
    (0..count).map(|n| send(client, &json!({"n": n}))).collect()
}

fn link(client: &mut Client) -> Value {
    client.call("status", &json!({})).unwrap()["link"].take()
}

/// Waits until the link is in this state for this reason, and gives its status.
fn wait_for(client: &mut Client, state: &str, kind: &str) -> Value {
    let mut seen = BTreeSet::new();
    until_blocking(&format!("{state} with {kind}"), || {
        let link = link(client);
        let (now, why) = (link["state"].as_str().unwrap(), link["reason"]["kind"].as_str().unwrap_or(""));
        let fits = now == state && why == kind;
        if seen.insert(format!("{now} {why}")) && !fits {
            eprintln!("  meanwhile: {now} {why}: {}", link["reason"]["text"]);
        }
        fits.then_some(link)
    })
}

/// Waits until all of them have arrived, each under its id; nothing else has.
fn arrived(server: &Server, ids: &BTreeSet<String>) {
    server.wait_until("everything to arrive", |stats| stats.received >= ids.len() as u64);
    let received: BTreeSet<String> = server.received().into_iter().filter_map(|message| message.id).collect();
    assert_eq!(&received, ids);
}

fn nothing_waits(client: &mut Client) {
    until_blocking("the queue to be empty", || {
        let status = client.call("status", &json!({})).unwrap();
        let outbox = &status["outbox"];
        (outbox["queued"] == 0 && outbox["in_flight"] == 0 && outbox["parked"] == 0).then_some(())
    });
}

/// All events from the start on, as their data.
fn events(client: &mut Client) -> Vec<Value> {
    let mut all = Vec::new();
    let mut from = 0;
    loop {
        let page = client.call("events.list", &json!({"from": from, "limit": 500})).unwrap();
        all.extend(page["events"].as_array().unwrap().iter().map(|event| event["data"].clone()));
        from = page["next"].as_i64().unwrap();
        if page["more"] != true {
            return all;
        }
    }
}

struct Stopwatch(Clock, holdline::model::Instant);

impl Stopwatch {
    fn start() -> Self {
        let clock = Clock::start();
        Self(clock, clock.instant())
    }

    fn took(&self, what: &str) {
        eprintln!("{what}: {} ms", self.0.instant().since(self.1).as_millis());
    }
}

#[test]
fn a_line_that_swallows_everything_is_noticed_and_all_unconfirmed_goes_out_again() {
    let Some(machines) = Machines::new() else { return };
    let server = machines.server(SERVER);
    let heartbeat = if long() { "" } else { QUICK_HEARTBEAT };
    let daemon = daemon(&machines, &config(SERVER, heartbeat));
    daemon.wait_for("connected");
    let mut client = daemon.client();
    let mut ids = send_many(&mut client, 20);
    arrived(&server, &ids);

    machines.black_hole();
    let watch = Stopwatch::start();
    ids.extend(send_many(&mut client, 50));
    server.push("into_the_hole", &json!({"n": 1}));
    let seen = wait_for(&mut client, "reconnecting", "heartbeat_timeout");
    watch.took("a black hole was noticed after");
    assert!(seen["reason"]["text"].as_str().unwrap().starts_with("Connection lost: "), "{seen}");
    wait_for(&mut client, "reconnecting", "connect_timeout");
    assert_eq!(server.stats().received, 20);

    machines.clear();
    arrived(&server, &ids);
    nothing_waits(&mut client);
    until_blocking("the event to arrive", || (events(&mut client) == [json!({"n": 1})]).then_some(()));
}

#[test]
fn a_lossy_line_delays_and_loses_nothing_and_keeps_the_order() {
    let Some(machines) = Machines::new() else { return };
    let server = machines.server(SERVER);
    let daemon = daemon(&machines, &config(SERVER, ""));
    daemon.wait_for("connected");
    let mut client = daemon.client();
    let count = if long() { 2_000 } else { 150 };
    let loss = "numgen random mod 100 < 20 drop;";
    machines.filter(loss, loss);
    let watch = Stopwatch::start();
    let mut sent = Vec::new();
    for n in 0..count {
        sent.push(send(&mut client, &json!({"n": n})));
        server.push("e", &json!({"n": n}));
    }
    server.wait_until("everything to arrive", |stats| stats.received >= count);
    until_blocking("all events to arrive", || {
        (client.call("status", &json!({})).unwrap()["inbox"]["events"] == count).then_some(())
    });
    watch.took(&format!("{count} messages and {count} events with 20 % loss each way"));
    let received: Vec<String> = server.received().into_iter().filter_map(|message| message.id).collect();
    assert_eq!(received, sent, "each once, in order");
    let expected: Vec<Value> = (0..count).map(|n| json!({"n": n})).collect();
    assert_eq!(events(&mut client), expected, "each once, in order");
    machines.clear();
    nothing_waits(&mut client);
}

#[test]
fn a_reset_is_seen_at_once_and_a_port_that_resets_is_refused() {
    let Some(machines) = Machines::new() else { return };
    let server = machines.server(SERVER);
    let daemon = daemon(&machines, &config(SERVER, ""));
    daemon.wait_for("connected");
    let mut client = daemon.client();
    let mut ids = send_many(&mut client, 5);
    arrived(&server, &ids);
    // By the network …
    machines.filter(&format!("tcp dport {PORT} reject with tcp reset;"), "");
    ids.extend(send_many(&mut client, 20));
    let seen = wait_for(&mut client, "reconnecting", "connection_refused");
    assert_eq!(seen["reconnects"], 0);
    let story = client.call("link.history", &json!({"limit": 20})).unwrap().to_string();
    assert!(story.contains("connection_lost"), "{story}");
    machines.clear();
    arrived(&server, &ids);
    // … and by the kernel of this machine.
    machines.run_here(&["ss", "-K", "dst", SERVER, "dport", "=", &PORT.to_string()]);
    ids.extend(send_many(&mut client, 20));
    arrived(&server, &ids);
    nothing_waits(&mut client);
    assert_eq!(link(&mut client)["reconnects"], 2);
}

#[test]
fn without_a_cable_it_is_offline_and_dials_as_soon_as_there_is_one() {
    let Some(machines) = Machines::new() else { return };
    let server = machines.server(SERVER);
    // Only somebody who sees that the network is back dials within minutes.
    let config = config(SERVER, QUICK_HEARTBEAT).replace(
        "delays = [\"200ms\", \"500ms\"]",
        "delays = [\"200ms\", \"10m\"]\njitter = 0.0\nunavailable_after = 100",
    );
    let daemon = daemon(&machines, &config);
    daemon.wait_for("connected");
    let mut client = daemon.client();
    for round in 1..=2 {
        machines.cable(false);
        let watch = Stopwatch::start();
        let seen = wait_for(&mut client, "offline", "no_network");
        watch.took("a cable that was pulled was noticed after");
        assert_eq!(seen["label"], "No network");
        let ids = send_many(&mut client, 10);
        // The next try by the list is far away.
        until_blocking("a long wait", || {
            let link = link(&mut client);
            let at = |name: &str| holdline::model::Timestamp::parse(link[name].as_str()?).ok();
            (at("next_retry_at")?.since(at("since")?) > Duration::from_secs(300)).then_some(())
        });
        machines.cable(true);
        let watch = Stopwatch::start();
        daemon.wait_for("connected");
        watch.took("connected after the cable was back");
        server.wait_until("the messages", |stats| stats.received >= 10 * round);
        let received: BTreeSet<String> =
            server.received().into_iter().filter_map(|message| message.id).collect();
        assert!(ids.is_subset(&received));
    }
    nothing_waits(&mut client);
}

#[test]
fn a_missing_route_is_told_from_a_missing_network_and_heals() {
    let Some(machines) = Machines::new() else { return };
    let server = machines.server(SERVER);
    machines.run_here(&["ip", "route", "add", "unreachable", &format!("{SERVER}/32")]);
    let daemon = daemon(&machines, &config(SERVER, ""));
    let mut client = daemon.client();
    let ids = send_many(&mut client, 3);
    let seen = wait_for(&mut client, "reconnecting", "network_unreachable");
    assert!(seen["reason"]["hint"].as_str().unwrap().contains("network"), "{seen}");
    machines.run_here(&["ip", "route", "replace", "blackhole", &format!("{SERVER}/32")]);
    // The kernel has no good word for a route that swallows: the reason stays.
    let before = link(&mut client)["attempt"].as_u64().unwrap();
    until_blocking("another try", || {
        let link = link(&mut client);
        assert_eq!(link["reason"]["kind"], "network_unreachable", "{link}");
        (link["attempt"].as_u64().unwrap() > before + 1).then_some(())
    });
    machines.run_here(&["ip", "route", "del", "blackhole", &format!("{SERVER}/32")]);
    arrived(&server, &ids);
}

#[test]
fn a_server_that_swallows_the_first_packet_is_given_up_in_time() {
    let Some(machines) = Machines::new() else { return };
    let server = machines.server(SERVER);
    machines.filter(&format!("tcp dport {PORT} tcp flags syn drop;"), "");
    let mut text = config(SERVER, "");
    if long() {
        text = text.replace("connect_timeout = \"2s\"\n", "");
    }
    let watch = Stopwatch::start();
    let daemon = daemon(&machines, &text);
    let mut client = daemon.client();
    let ids = send_many(&mut client, 3);
    let seen = wait_for(&mut client, "reconnecting", "connect_timeout");
    watch.took("a dial without an answer was given up after");
    assert!(seen["reason"]["text"].as_str().unwrap().contains(SERVER), "{seen}");
    machines.clear();
    arrived(&server, &ids);
}

#[test]
fn an_ipv6_that_leads_nowhere_does_not_keep_it_from_connecting() {
    let Some(machines) = Machines::new() else { return };
    let server = machines.server(SERVER);
    let names = machines.names();
    let both: Vec<IpAddr> = vec![SERVER6.parse().unwrap(), SERVER.parse().unwrap()];
    names.say(Says::Addresses(both));
    machines.filter("meta nfproto ipv6 tcp flags syn drop;", "");
    let daemon = daemon(&machines, &config("server.example", ""));
    let mut client = daemon.client();
    let ids = send_many(&mut client, 3);
    arrived(&server, &ids);
    let story = client.call("link.history", &json!({"limit": 20})).unwrap();
    assert!(!story.to_string().contains("connect_timeout"), "by the first dial: {story}");
    let at = |entry: &Value| holdline::model::Timestamp::parse(entry["at"].as_str().unwrap()).unwrap();
    let entries = story["history"].as_array().unwrap();
    let times: Vec<_> = entries.iter().map(at).collect();
    let (first, last) = (times.iter().min().unwrap(), times.iter().max().unwrap());
    eprintln!("connected past a dead IPv6 after: {} ms", last.since(*first).as_millis());
}

#[test]
fn what_the_name_server_says_is_told_apart_and_asked_anew_for_each_dial() {
    let Some(machines) = Machines::new() else { return };
    let first = machines.server(SERVER);
    let second = machines.server(OTHER);
    let names = machines.names();
    names.say(Says::NoSuchName);
    let daemon = daemon(&machines, &config("server.example", ""));
    let mut client = daemon.client();
    let mut ids = send_many(&mut client, 3);
    let seen = wait_for(&mut client, "unavailable", "name_not_found");
    assert!(seen["reason"]["hint"].as_str().unwrap().contains("server.url"), "{seen}");
    names.say(Says::Failure);
    // After several failures in a row the state says so, whatever the reason.
    let lookup_failed = |client: &mut Client| {
        until_blocking("name_lookup_failed", || {
            let link = link(client);
            let fits = link["reason"]["kind"] == "name_lookup_failed";
            fits.then(|| link["state"].as_str().unwrap().to_owned())
        })
    };
    let state = lookup_failed(&mut client);
    assert!(["reconnecting", "unavailable"].contains(&state.as_str()), "{state}");
    names.say(Says::NoSuchName);
    wait_for(&mut client, "unavailable", "name_not_found");
    names.say(Says::Nothing);
    lookup_failed(&mut client);
    names.say(Says::Addresses(vec![SERVER.parse().unwrap()]));
    arrived(&first, &ids);
    // The server moves.
    names.say(Says::Addresses(vec![OTHER.parse().unwrap()]));
    machines.filter(&format!("ip daddr {SERVER} tcp dport {PORT} reject with tcp reset;"), "");
    let more = send_many(&mut client, 5);
    arrived(&second, &more);
    ids.extend(more);
    nothing_waits(&mut client);
    assert_eq!(ids.len(), 8);
}

#[test]
fn a_large_message_on_a_slow_line_is_not_taken_for_a_dead_one() {
    let Some(machines) = Machines::new() else { return };
    let server = machines.server(SERVER);
    // So long that the line is silent for several times interval + timeout.
    let (rate, size, heartbeat) = if long() {
        ("8kbit", 96 * 1024, "")
    } else {
        ("64kbit", 128 * 1024, "[heartbeat]\ninterval = \"2s\"\ntimeout = \"3s\"\n")
    };
    let daemon = daemon(&machines, &config(SERVER, heartbeat));
    daemon.wait_for("connected");
    let mut client = daemon.client();
    machines.slow_down(rate);
    let watch = Stopwatch::start();
    let id = send(&mut client, &json!({"pad": "x".repeat(size)}));
    let behind = send_many(&mut client, 3);
    let mut longest = 0;
    loop {
        let link = link(&mut client);
        assert_eq!((&link["state"], &link["reconnects"]), (&json!("connected"), &json!(0)), "{link}");
        longest += 1;
        if server.stats().received >= 4 {
            break;
        }
        assert!(longest < 60_000, "it never arrived");
        std::thread::park_timeout(Duration::from_millis(20));
    }
    watch.took(&format!("{size} bytes at {rate}"));
    let received: Vec<_> =
        server.received().into_iter().map(|message| (message.id, message.copies)).collect();
    assert_eq!(received.len(), 4);
    assert_eq!(received[0], (Some(id), 1), "sent once");
    assert!(received[1..].iter().all(|(id, _)| behind.contains(id.as_ref().unwrap())));
}

#[test]
fn a_server_that_never_reads_costs_no_memory_and_is_left_in_time() {
    if !long() {
        eprintln!("takes 30 s: only with HOLDLINE_NETWORK=long");
        return;
    }
    let Some(machines) = Machines::new() else { return };
    assert!(needs::programs(&["ip"]));
    // It upgrades, pings, and reads nothing.
    let (deaf, stop) = machines.there(|| {
        let listener = std::net::TcpListener::bind((SERVER, PORT)).unwrap();
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        (std::thread::spawn(move || never_reads(&listener, &stopped)), stop)
    });
    // A dialect that asks for nothing at the start: this server answers nothing. And nothing but a
    // reply confirms, for one that echoes no pings would be trusted to have what it was sent.
    let more = "[outbox]\nconfirm = \"reply\"\n";
    let daemon = daemon(&machines, &config(SERVER, more).replace("\"holdline\"", "\"json\""));
    daemon.wait_for("connected");
    let mut client = daemon.client();
    let before = resident(&daemon);
    let watch = Stopwatch::start();
    let ids: BTreeSet<String> =
        (0..600).map(|n| send(&mut client, &json!({"n": n, "pad": "x".repeat(64 * 1024)}))).collect();
    wait_for(&mut client, "reconnecting", "write_stalled");
    watch.took("a server that never reads was left after");
    let grown = resident(&daemon).saturating_sub(before);
    eprintln!("40 MB queued, resident memory grew by {} KiB", grown / 1024);
    assert!(grown < 16 << 20, "{grown} bytes");
    drop(stop);
    deaf.join().unwrap();
    let server = machines.server(SERVER);
    arrived(&server, &ids);
}

/// A server that upgrades one connection, pings it once a second, and reads nothing of it.
fn never_reads(listener: &std::net::TcpListener, stopped: &std::sync::mpsc::Receiver<()>) {
    use std::io::{Read as _, Write as _};
    let (mut socket, _) = listener.accept().unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
    let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes());
    write!(
        socket,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )
    .unwrap();
    let second = Duration::from_secs(1);
    while matches!(stopped.recv_timeout(second), Err(std::sync::mpsc::RecvTimeoutError::Timeout)) {
        // After the daemon has left there is nobody to ping.
        let _ = socket.write_all(&[0x89, 0]);
    }
}

fn resident(daemon: &Daemon) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// The daemon's address is what it says it is: else the filters above would catch nothing.
#[test]
fn the_daemon_dials_from_its_own_machine() {
    let Some(machines) = Machines::new() else { return };
    let server = machines.server(SERVER);
    let daemon = daemon(&machines, &config(SERVER, ""));
    daemon.wait_for("connected");
    let peers = machines.there(|| {
        let output =
            std::process::Command::new("ss").args(["-Htn", "state", "established"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    });
    assert!(peers.contains(HERE), "{peers}");
    drop(server);
}
