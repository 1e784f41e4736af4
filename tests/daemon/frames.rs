//! A server that breaks the WebSocket protocol in every way there is: it is told so by the right
//! close code, people by the right reason, nothing of it is stored, memory stays where it was, and
//! the session comes back.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::daemon::{Client, Daemon};
use crate::support::frames::{
    BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, TEXT, close, frame, header, masked,
};
use crate::support::raw::{Memory, RawPeer, RawServer};
use crate::support::until_blocking;

/// How much more memory anything broken may take.
const MORE: u64 = 8 << 20;
/// How much more any flood may take: 64 MiB less what an idle daemon takes.
const MOST: u64 = 52 << 20;
/// `server.max_message` by default.
const LIMIT: usize = 4 << 20;

/// A daemon that dials anew at once, the server it dials, and its first connection.
struct Bench {
    server: RawServer,
    daemon: Daemon,
    client: Client,
    peer: RawPeer,
    memory: Memory,
    /// When the last connection was lost.
    last_loss: Value,
}

impl Bench {
    fn start() -> Self {
        Self::with("")
    }

    fn with(more: &str) -> Self {
        let server = RawServer::start();
        let daemon = Daemon::start(&format!(
            "[server]\nurl = \"{}\"\n[reconnect]\ndelays = [\"10ms\"]\njitter = 0.0\n{more}\n",
            server.url()
        ));
        let mut peer = server.accept();
        // Everything that is made once is made.
        peer.write(&frame(FIN | TEXT, br#"{"type":"first"}"#));
        let mut client = daemon.client();
        until_blocking("the first event", || (events(&mut client) == 1).then_some(()));
        let memory = Memory::of(daemon.pid());
        memory.forget_peak();
        Self { server, daemon, client, peer, memory, last_loss: Value::Null }
    }

    /// The server sends this; the client must end the connection with this code and give this
    /// reason, and dial anew.
    fn breaks(&mut self, name: &str, bytes: &[u8], code: u16, kind: &str) -> Value {
        self.peer.write(bytes);
        assert_eq!(self.peer.close_code(), Some(code), "{name}");
        let reason = self.comes_back();
        assert_eq!(reason["kind"], kind, "{name}: {reason}");
        assert!(reason["text"].as_str().unwrap().starts_with("Connection lost: "), "{name}: {reason}");
        reason
    }

    /// The next connection, and why the last one ended.
    fn comes_back(&mut self) -> Value {
        self.peer.hang_up();
        self.peer = self.server.accept();
        let (client, last) = (&mut self.client, &self.last_loss);
        let reason = until_blocking("the loss in the history", || {
            let history = client.call("link.history", &json!({"limit": 5})).unwrap();
            let entries = history["history"].as_array().unwrap();
            let lost = entries.iter().rev().find(|entry| entry["reason"].is_object())?;
            (lost["reason"]["at"] != *last && lost["from"] == "connected").then(|| lost["reason"].clone())
        });
        self.last_loss = reason["at"].clone();
        reason
    }

    /// The session works: an event comes through and is stored.
    fn works(&mut self) {
        let before = events(&mut self.client);
        self.peer.write(&frame(FIN | TEXT, br#"{"type":"still_there"}"#));
        until_blocking("an event through the same daemon", || {
            (events(&mut self.client) > before).then_some(())
        });
    }

    fn ends_well(&mut self) {
        self.works();
        assert!(!self.daemon.log().contains("panicked"), "{}", self.daemon.log());
    }
}

fn status(client: &mut Client) -> Value {
    client.call("status", &json!({})).unwrap()
}

fn events(client: &mut Client) -> u64 {
    status(client)["inbox"]["events"].as_u64().unwrap()
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Everything that is wrong with a frame but its text: what it is, its bytes, the code it earns.
fn malformed() -> Vec<(String, Vec<u8>, u16)> {
    let mut cases: Vec<(String, Vec<u8>, u16)> = Vec::new();
    let mut add = |name: &str, bytes: Vec<u8>, code: u16| cases.push((name.to_owned(), bytes, code));
    for bits in 1..8_u8 {
        add(&format!("reserved bits {bits:03b} on text"), frame(FIN | bits << 4 | TEXT, b"x"), 1002);
        add(&format!("reserved bits {bits:03b} on a ping"), frame(FIN | bits << 4 | PING, b""), 1002);
    }
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        add(&format!("the reserved opcode {opcode}"), frame(FIN | opcode, b"x"), 1002);
        add(&format!("the reserved opcode {opcode}, not final"), frame(opcode, b""), 1002);
    }
    for first in [FIN | TEXT, FIN | BINARY, FIN | PING, FIN | PONG, FIN | CLOSE, TEXT] {
        add(&format!("a masked frame, {first:#x}"), masked(first, b"x"), 1002);
    }
    for control in [CLOSE, PING, PONG] {
        add(&format!("control frame {control:#x} in pieces"), frame(control, b"ab"), 1002);
        add(&format!("control frame {control:#x} of 126 bytes"), frame(FIN | control, &[0; 126]), 1002);
        add(&format!("control frame {control:#x} of 64 KiB"), frame(FIN | control, &[0; 1 << 16]), 1002);
        add(&format!("control frame {control:#x} that claims 2^63"), header(FIN | control, 1 << 63), 1002);
    }
    add("a continuation of nothing", frame(FIN | CONTINUATION, b"x"), 1002);
    add("a continuation of nothing, not final", frame(CONTINUATION, b"x"), 1002);
    let whole = frame(FIN | TEXT, br#"{"type":"ping"}"#);
    add(
        "a continuation behind a whole message",
        [whole.clone(), frame(FIN | CONTINUATION, b"x")].concat(),
        1002,
    );
    add("text within text", [frame(TEXT, b"x"), frame(FIN | TEXT, b"y")].concat(), 1002);
    add("binary within text", [frame(TEXT, b"x"), frame(BINARY, b"y")].concat(), 1002);
    add(
        "text within a message in pieces, behind a ping",
        [frame(TEXT, b"x"), frame(FIN | PING, b""), frame(CONTINUATION, b"y"), frame(FIN | TEXT, b"z")]
            .concat(),
        1002,
    );
    add("a close frame of one byte", frame(FIN | CLOSE, &[3]), 1002);
    add("a close reason that is no UTF-8", close(1000, &[0xc3, 0x28]), 1007);
    add("HTTP in place of frames", b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n".to_vec(), 1002);
    add("zeros in place of frames", vec![0; 512], 1002);
    add("a header that claims 2^63", header(FIN | BINARY, 1 << 63), 1009);
    add("a header that claims 2^64 - 1", header(FIN | TEXT, u64::MAX), 1009);
    add("a header that claims 16 MiB", header(FIN | TEXT, 16 << 20), 1009);
    add("a frame of 16 MiB", frame(FIN | BINARY, &vec![b'x'; 16 << 20]), 1009);
    add("a frame one byte over the limit", header(FIN | TEXT, LIMIT as u64 + 1), 1009);
    let piece = frame(CONTINUATION, &vec![b'x'; 1 << 16]);
    add("pieces over the limit", [frame(BINARY, b""), piece.repeat(65)].concat(), 1009);
    add(
        "a million empty pieces",
        [frame(TEXT, b""), frame(CONTINUATION, b"").repeat(1_000_000)].concat(),
        1009,
    );
    add("100,000 pings at once", frame(FIN | PING, b"!").repeat(100_000), 1008);
    add("100,000 pongs at once", frame(FIN | PONG, b"!").repeat(100_000), 1008);
    cases
}

#[test]
fn every_malformed_frame_earns_its_code_and_no_memory_and_the_session_comes_back() {
    let mut bench = Bench::start();
    let before = bench.memory.resident();
    for (name, bytes, code) in malformed() {
        let kind = match code {
            1007 => "invalid_utf8",
            1009 if !name.contains("empty") => "message_too_large",
            _ => "protocol_error",
        };
        bench.memory.forget_peak();
        bench.breaks(&name, &bytes, code, kind);
        let more = bench.memory.peak().saturating_sub(before);
        assert!(more <= MORE, "{name} took {:.1} MiB", mib(more));
    }
    let seen = status(&mut bench.client);
    assert_eq!(seen["inbox"]["quarantined"], 0, "nothing of it was stored: {seen}");
    eprintln!(
        "{} malformed frames: {:.1} MiB resident before, {:.1} after",
        malformed().len(),
        mib(before),
        mib(bench.memory.resident())
    );
    bench.ends_well();
}

#[test]
fn each_close_code_is_answered_and_told_as_it_came_or_is_a_broken_protocol() {
    let mut bench = Bench::start();
    let told: Vec<u16> =
        [1000, 1001, 1002, 1003, 1007, 1009, 1010, 1011, 1012, 3000, 3999, 4000, 4401, 4999].into();
    let wrong: Vec<u16> =
        [0, 1, 2, 255, 256, 500, 998, 999, 1004, 1005, 1006, 1015, 1016, 1017, 1099, 1100, 1999]
            .into_iter()
            .chain([
                2000, 2001, 2500, 2998, 2999, 5000, 5001, 6000, 9999, 10_000, 32_767, 32_768, 40_000, 65_534,
                65_535,
            ])
            .collect();
    for code in told {
        let kind = if code == 1012 { "server_restart" } else { "closed_by_server" };
        let reason = bench.breaks(&format!("close {code}"), &close(code, b"so it is"), code, kind);
        assert!(reason["text"].as_str().unwrap().contains(&format!("{code} \"so it is\"")), "{reason}");
        assert_eq!(status(&mut bench.client)["link"]["last_close"]["code"], code);
    }
    for code in wrong {
        bench.breaks(&format!("close {code}"), &close(code, b""), 1002, "protocol_error");
    }
    bench.peer.write(&frame(FIN | CLOSE, b""));
    assert!(bench.comes_back()["text"].as_str().unwrap().contains("without a code"));
    bench.ends_well();
}

/// Texts that are no UTF-8, as the Autobahn test suite lists them (section 6).
fn no_utf8() -> Vec<Vec<u8>> {
    let mut texts: Vec<Vec<u8>> = [
        // Impossible bytes, lonely continuations, sequences that lack their end.
        &[0xfe][..],
        &[0xff],
        &[0xfe, 0xfe, 0xff, 0xff],
        &[0x80],
        &[0xbf],
        &[0x80, 0xbf],
        &[0x80, 0xbf, 0x80, 0xbf, 0x80, 0xbf],
        &[0xc0, 0x20],
        &[0xe0, 0x20],
        &[0xf0, 0x20],
        &[0xc0],
        &[0xdf],
        &[0xe0, 0x80],
        &[0xef, 0xbf],
        &[0xf0, 0x80, 0x80],
        &[0xf7, 0xbf, 0xbf],
        &[0xce, 0xba, 0xe1, 0xbd, 0xb9, 0xcf],
        // Overlong.
        &[0xc0, 0xaf],
        &[0xe0, 0x80, 0xaf],
        &[0xf0, 0x80, 0x80, 0xaf],
        &[0xf8, 0x80, 0x80, 0x80, 0xaf],
        &[0xfc, 0x80, 0x80, 0x80, 0x80, 0xaf],
        &[0xc1, 0xbf],
        &[0xe0, 0x9f, 0xbf],
        &[0xf0, 0x8f, 0xbf, 0xbf],
        &[0xf8, 0x87, 0xbf, 0xbf, 0xbf],
        &[0xc0, 0x80],
        &[0xe0, 0x80, 0x80],
        &[0xf0, 0x80, 0x80, 0x80],
        // Surrogates, alone and in pairs.
        &[0xed, 0xa0, 0x80],
        &[0xed, 0xad, 0xbf],
        &[0xed, 0xae, 0x80],
        &[0xed, 0xbf, 0xbf],
        &[0xed, 0xa0, 0x80, 0xed, 0xb0, 0x80],
        &[0xed, 0xaf, 0xbf, 0xed, 0xbf, 0xbf],
        // Beyond the last character.
        &[0xf4, 0x90, 0x80, 0x80],
        &[0xf7, 0xbf, 0xbf, 0xbf],
        &[0xfb, 0xbf, 0xbf, 0xbf, 0xbf],
        &[0xfd, 0xbf, 0xbf, 0xbf, 0xbf, 0xbf],
    ]
    .into_iter()
    .map(<[u8]>::to_vec)
    .collect();
    texts.push(b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4\x90\x80\x80edited".to_vec());
    texts
}

/// Within a frame that would be an event without it.
fn around(text: &[u8]) -> Vec<u8> {
    [&br#"{"type":"text","data":{"t":""#[..], text, &br#""}}"#[..]].concat()
}

#[test]
fn text_that_is_no_utf8_earns_1007_whole_and_in_pieces_and_is_never_stored() {
    let mut bench = Bench::start();
    for text in no_utf8() {
        let whole = around(&text);
        bench.breaks(&format!("{text:x?}"), &frame(FIN | TEXT, &whole), 1007, "invalid_utf8");
        // In two pieces, cut before, within and behind the fault.
        let at = whole.len() - text.len() - 3;
        let pieces = [frame(TEXT, &whole[..at + 1]), frame(FIN | CONTINUATION, &whole[at + 1..])].concat();
        bench.breaks(&format!("{text:x?} cut"), &pieces, 1007, "invalid_utf8");
    }
    // Byte by byte, with a ping between.
    let whole = around(&[0xed, 0xa0, 0x80]);
    let mut pieces = frame(TEXT, b"");
    for byte in &whole {
        pieces.extend(frame(CONTINUATION, &[*byte]));
    }
    pieces.extend([frame(FIN | PING, b"between"), frame(FIN | CONTINUATION, b"")].concat());
    bench.breaks("byte by byte", &pieces, 1007, "invalid_utf8");
    assert_eq!(events(&mut bench.client), 1, "the first one only");
    assert_eq!(status(&mut bench.client)["inbox"]["quarantined"], 0);
    bench.ends_well();
}

#[test]
fn text_that_is_utf8_is_stored_as_it_came_however_it_is_cut() {
    let mut bench = Bench::start();
    let texts = [
        "κόσμε",
        "\u{80}",
        "\u{7ff}",
        "\u{800}",
        "\u{ffff}",
        "\u{fffd}",
        "\u{10000}",
        "\u{10ffff}",
        "\u{d7ff}\u{e000}",
        "\u{1fffe}",
        "\u{feff}x",
        "Hello-µ@ßöäüàá-UTF-8!!",
    ];
    for (n, text) in texts.iter().enumerate() {
        let whole = around(text.as_bytes());
        for cut in 1..whole.len() {
            let id = format!("{n}.{cut}");
            let whole = String::from_utf8(whole.clone()).unwrap();
            let whole = whole.replacen("{\"type\"", &format!("{{\"eventId\":\"{id}\",\"type\""), 1);
            let cut = cut.min(whole.len() - 1);
            let (a, b) = whole.as_bytes().split_at(whole.len() - cut);
            bench.peer.write(&[frame(TEXT, a), frame(FIN | CONTINUATION, b)].concat());
        }
    }
    let all: usize = texts.iter().map(|text| around(text.as_bytes()).len() - 1).sum();
    until_blocking("all of them", || (events(&mut bench.client) == all as u64 + 1).then_some(()));
    let page = bench.client.call("events.list", &json!({"from": "earliest", "types": ["text"]})).unwrap();
    for event in page["events"].as_array().unwrap() {
        let n: usize = event["id"].as_str().unwrap().split('.').next().unwrap().parse().unwrap();
        assert_eq!(event["data"]["t"], texts[n], "{event}");
    }
    assert_eq!(status(&mut bench.client)["link"]["reconnects"], 0, "the session went on");
    bench.ends_well();
}

#[test]
fn pongs_nobody_asked_for_and_pings_within_reason_change_nothing() {
    let mut bench = Bench::start();
    for n in 0..40_u8 {
        bench.peer.write(&frame(FIN | PONG, &[n; 100]));
        bench.peer.write(&frame(FIN | PING, &[n; 125]));
    }
    let mut answered = Vec::new();
    while answered.last() != Some(&39) {
        let frame = bench.peer.frame().expect("the line stays");
        if frame.opcode() == PONG {
            assert_eq!(frame.payload.len(), 125);
            answered.push(frame.payload[0]);
        }
    }
    assert!(answered.is_sorted(), "each pong answers the newest ping: {answered:?}");
    bench.ends_well();
    assert_eq!(status(&mut bench.client)["link"]["reconnects"], 0);
}

#[test]
fn a_frame_that_drips_is_a_living_line_and_comes_whole() {
    let mut bench = Bench::with("[heartbeat]\ninterval = \"1500ms\"\ntimeout = \"500ms\"");
    let text = frame(FIN | TEXT, &around("drop by drop ".repeat(12).as_bytes()));
    assert!(bench.peer.drip(&text, Duration::from_millis(20)), "the line stays");
    until_blocking("the event", || (events(&mut bench.client) == 2).then_some(()));
    assert_eq!(status(&mut bench.client)["link"]["reconnects"], 0);
}

#[test]
fn a_flood_of_tiny_frames_is_pushed_back_and_takes_no_memory() {
    let mut bench = Bench::start();
    let before = bench.memory.resident();
    const FRAMES: usize = 20_000;
    // No JSON, so each is kept for people: the worst they can be.
    let flood = frame(FIN | TEXT, b"?").repeat(FRAMES);
    assert!(bench.peer.write(&flood));
    until_blocking("all of them to be put aside", || {
        let seen = status(&mut bench.client);
        (seen["inbox"]["quarantined"].as_u64() >= Some(FRAMES as u64)).then_some(())
    });
    let more = bench.memory.peak().saturating_sub(before);
    eprintln!("{FRAMES} tiny frames: {:.1} MiB more at the peak", mib(more));
    assert!(more <= MORE, "{:.1} MiB more", mib(more));
    assert_eq!(status(&mut bench.client)["link"]["reconnects"], 0);
    bench.ends_well();
}

#[test]
fn a_flood_of_the_largest_events_stays_within_memory_and_all_are_stored() {
    let mut bench = Bench::start();
    let before = bench.memory.resident();
    const EVENTS: usize = 24;
    let pad = "x".repeat(LIMIT - 200);
    for n in 0..EVENTS {
        let text = format!(r#"{{"type":"large","eventId":"{n}","data":{{"pad":"{pad}"}}}}"#);
        assert!(bench.peer.write(&frame(FIN | TEXT, text.as_bytes())));
    }
    until_blocking("all of them", || (events(&mut bench.client) == EVENTS as u64 + 1).then_some(()));
    let more = bench.memory.peak().saturating_sub(before);
    eprintln!("{EVENTS} events of 4 MiB: {:.1} MiB before, {:.1} more at the peak", mib(before), mib(more));
    assert!(more <= MOST, "{:.1} MiB more", mib(more));
    bench.ends_well();
}

#[test]
fn a_server_that_never_reads_costs_a_bounded_buffer() {
    let mut bench = Bench::with("[outbox]\nconfirm = \"sent\"");
    let before = bench.memory.resident();
    // 24 MiB, of which the kernel's buffers take a part; what is left waits on disk.
    let data = "x".repeat(12 << 10);
    for n in 0..2000 {
        bench
            .client
            .call("messages.send", &json!({"type": "t", "data": data, "key": format!("k{n}")}))
            .unwrap();
    }
    let waiting = status(&mut bench.client)["outbox"]["queued"].as_u64().unwrap();
    assert!(waiting > 100, "nobody reads, so most of it waits: {waiting}");
    let more = bench.memory.resident().saturating_sub(before);
    eprintln!("{waiting} of 2,000 messages wait: {:.1} MiB more", mib(more));
    assert!(more <= 2 * MORE, "{:.1} MiB more", mib(more));
}

#[test]
fn an_endless_head_is_given_up_at_its_limit() {
    let server = RawServer::start();
    let daemon =
        Daemon::start(&format!("[server]\nurl = \"{}\"\n[reconnect]\ndelays = [\"10ms\"]\n", server.url()));
    let memory = Memory::of(daemon.pid());
    let mut peer = server.accept_tcp();
    peer.read_request();
    memory.forget_peak();
    let before = memory.resident();
    peer.write(b"HTTP/1.1 101 Switching Protocols\r\n");
    let line = format!("X-Filler: {}\r\n", "y".repeat(1000)).repeat(64);
    let mut written = 0;
    while peer.write(line.as_bytes()) {
        written += line.len();
        assert!(written < 64 << 20, "it takes an endless head");
    }
    let more = memory.peak().saturating_sub(before);
    assert!(more <= MORE, "{:.1} MiB more", mib(more));
    // And it dials anew.
    drop(server.accept());
}

#[test]
fn an_ack_ends_the_message_it_names_and_no_other() {
    let mut bench = Bench::with("[outbox]\nconfirm = \"reply\"");
    let ids: Vec<String> =
        (0..3).map(|n| crate::send(&mut bench.client, "order", &json!({"n": n}))).collect();
    for _ in 0..3 {
        bench.peer.data().expect("a message");
    }
    let ack = |id: &str| frame(FIN | TEXT, json!({"type": "ack", "messageId": id}).to_string().as_bytes());
    let states = |bench: &mut Bench| -> Vec<String> {
        let client = &mut bench.client;
        ids.iter()
            .map(|id| {
                client.call("messages.get", &json!({"id": id})).unwrap()["state"].as_str().unwrap().to_owned()
            })
            .collect()
    };
    let stranger = "01890000-0000-7000-8000-000000000000";
    bench.peer.write(&[ack(stranger), ack(""), ack("no id at all"), ack(stranger)].concat());
    bench.works();
    assert_eq!(states(&mut bench), ["sent", "sent", "sent"]);
    // The last one, twice.
    bench.peer.write(&[ack(&ids[2]), ack(&ids[2])].concat());
    bench.works();
    until_blocking("the last one to be accepted", || {
        (states(&mut bench) == ["sent", "sent", "accepted"]).then_some(())
    });
    // Again, long after, and with an error behind it.
    let error = json!({"type": "error", "messageId": ids[2], "message": "too late"}).to_string();
    bench.peer.write(&[ack(&ids[2]), frame(FIN | TEXT, error.as_bytes())].concat());
    bench.works();
    assert_eq!(states(&mut bench), ["sent", "sent", "accepted"]);
    bench.peer.write(&[ack(&ids[0]), ack(&ids[1])].concat());
    until_blocking("all of them", || (states(&mut bench) == ["accepted"; 3]).then_some(()));
    assert_eq!(status(&mut bench.client)["link"]["reconnects"], 0);
    bench.ends_well();
}

#[test]
fn events_that_come_again_and_out_of_order_are_stored_once() {
    let mut bench = Bench::start();
    let event = |n: u32| {
        frame(FIN | TEXT, json!({"type": "tick", "eventId": format!("e{n}"), "n": n}).to_string().as_bytes())
    };
    let order = [1, 2, 3, 2, 1, 5, 4, 5, 3, 1, 6];
    bench.peer.write(&order.iter().flat_map(|n| event(*n)).collect::<Vec<u8>>());
    until_blocking("all of them", || (events(&mut bench.client) == 7).then_some(()));
    bench.works();
    let page = bench.client.call("events.list", &json!({"from": "earliest", "types": ["tick"]})).unwrap();
    let seen: Vec<u64> =
        page["events"].as_array().unwrap().iter().map(|it| it["data"]["n"].as_u64().unwrap()).collect();
    assert_eq!(seen, [1, 2, 3, 5, 4, 6], "each where it came first");
    assert_eq!(status(&mut bench.client)["inbox"]["duplicates_total"], 5);
}

#[test]
fn a_server_that_lets_in_and_hangs_up_at_once_is_not_hammered() {
    let server = RawServer::start();
    let daemon = Daemon::start(&format!(
        "[server]\nurl = \"{}\"\n[reconnect]\ndelays = [\"50ms\", \"100ms\", \"200ms\", \"400ms\"]\njitter = 0.0\n",
        server.url()
    ));
    for _ in 0..6 {
        let mut peer = server.accept();
        peer.write(&close(1000, b""));
        peer.close_code();
    }
    let mut client = daemon.client();
    let waits: Vec<u64> = until_blocking("six losses in the history", || {
        let history = client.call("link.history", &json!({})).unwrap();
        let time = |value: &Value| holdline::model::Timestamp::parse(value.as_str()?).ok();
        let waits: Vec<u64> = history["history"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|entry| Some(time(&entry["next_retry_at"])?.since(time(&entry["reason"]["at"])?)))
            .map(|wait| u64::try_from(wait.as_millis()).unwrap())
            .collect();
        (waits.len() >= 6).then_some(waits)
    });
    assert_eq!(waits[..6], [50, 100, 200, 400, 400, 400], "a connection alone does not make good");
}
