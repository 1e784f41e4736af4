//! A server that sends 100,000 events a second, whether anybody can take them or not: TCP pushes it
//! back, memory stays where it was, and what was acknowledged to it is on disk, also over a kill -9
//! in the middle.
//!
//! `HOLDLINE_FLOOD_SECONDS` makes it longer.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{BufReader, Read};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::support::daemon::Daemon;
use crate::support::frames::{CLOSE, FIN, TEXT, frame};
use crate::support::raw::{Memory, RawServer};
use crate::support::{PATIENCE, until_blocking};

/// Events a second that are offered.
const RATE: usize = 100_000;
/// Bytes of one.
const SIZE: usize = 256;
/// Digits of an event's number.
const DIGITS: usize = 9;
/// How often the server writes.
const BEATS_A_SECOND: usize = 100;
/// How much more memory it may take: 64 MiB less what an idle daemon takes.
const MORE: u64 = 52 << 20;

/// The frame of an event, its number still to be filled in, and where.
fn template() -> (Vec<u8>, usize) {
    let head = r#"{"type":"tick","eventId":""#;
    let number = "0".repeat(DIGITS);
    let rest = r#"","data":{"pad":""#;
    let tail = r#""}}"#;
    let pad = "x".repeat(SIZE - head.len() - DIGITS - rest.len() - tail.len());
    let text = format!("{head}{number}{rest}{pad}{tail}");
    assert_eq!(text.len(), SIZE);
    let frame = frame(FIN | TEXT, text.as_bytes());
    let at = frame.len() - SIZE + head.len();
    (frame, at)
}

fn fill_in(digits: &mut [u8], mut number: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 10).unwrap();
        number /= 10;
    }
}

/// Offers [`RATE`] until the client has gone or it is told to stop; how many it sent.
#[allow(clippy::disallowed_methods, reason = "a server that keeps its pace")]
fn send(mut stream: &TcpStream, stop: &AtomicBool) -> u64 {
    use std::io::Write as _;
    let per_beat = RATE / BEATS_A_SECOND;
    let (frame, at) = template();
    let length = frame.len();
    let mut block = frame.repeat(per_beat);
    let mut number = 0;
    let begin = std::time::Instant::now();
    for beat in 1.. {
        for place in 0..per_beat {
            number += 1;
            let from = place * length + at;
            fill_in(&mut block[from..from + DIGITS], number);
        }
        if stop.load(Ordering::Relaxed) || stream.write_all(&block).is_err() {
            return number;
        }
        let due = Duration::from_secs(1) * beat / BEATS_A_SECOND as u32;
        std::thread::sleep(due.saturating_sub(begin.elapsed()));
    }
    number
}

/// Reads the client's acks to its end. They must come in order; each covers all before it.
fn read_acks(stream: &TcpStream, acked: &AtomicU64) {
    let mut stream = BufReader::with_capacity(1 << 16, stream);
    let mut payload = Vec::new();
    loop {
        let mut head = [0; 6];
        if stream.read_exact(&mut head[..2]).is_err() {
            return;
        }
        let length = usize::from(head[1] & 0x7f);
        assert!(length < 126, "an ack is short");
        payload.resize(length, 0);
        if stream.read_exact(&mut head[2..]).is_err() || stream.read_exact(&mut payload).is_err() {
            return;
        }
        let mask = [head[2], head[3], head[4], head[5]];
        for (byte, mask) in payload.iter_mut().zip(mask.iter().cycle()) {
            *byte ^= mask;
        }
        if head[0] == FIN | CLOSE {
            return;
        }
        let ack = br#"{"type":"ack","eventId":""#;
        if let Some(rest) = payload.strip_prefix(ack) {
            let number: u64 = std::str::from_utf8(&rest[..DIGITS]).unwrap().parse().unwrap();
            let before = acked.load(Ordering::Relaxed);
            assert!(number > before, "an ack out of order: {number} after {before}");
            acked.store(number, Ordering::Relaxed);
        }
    }
}

#[test]
fn p5_a_flood_of_events_is_pushed_back_and_what_was_acknowledged_is_on_disk() {
    let seconds =
        std::env::var("HOLDLINE_FLOOD_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(2);
    let server = RawServer::start();
    let mut daemon = Daemon::start(&format!(
        "[server]\nurl = \"{}\"\ndialect = \"holdline\"\n\
         [inbox]\nmax_events = 100000000\nmax_bytes = \"20 GiB\"\n",
        server.url()
    ));
    let mut peer = server.accept();
    let resume = peer.data().expect("the client asks where to go on");
    assert!(resume.payload.starts_with(br#"{"type":"resume""#), "{resume:?}");
    peer.write(&frame(FIN | TEXT, br#"{"type":"resumed","from":null}"#));
    daemon.wait_for("connected");
    let memory = Memory::of(daemon.pid());
    let before = memory.resident();
    memory.forget_peak();

    let acked = Arc::new(AtomicU64::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let sender = {
        let (stream, stop) = (peer.stream().try_clone().unwrap(), Arc::clone(&stop));
        std::thread::spawn(move || send(&stream, &stop))
    };
    let reader = {
        let (stream, acked) = (peer.stream().try_clone().unwrap(), Arc::clone(&acked));
        std::thread::spawn(move || read_acks(&stream, &acked))
    };
    std::thread::sleep(Duration::from_secs(seconds));
    // The daemon still answers, and has lost no line.
    let mut client = daemon.client();
    let seen = client.call("status", &json!({})).unwrap();
    assert_eq!(seen["link"]["state"], "connected", "{seen}");
    assert_eq!(seen["link"]["reconnects"], 0, "{seen}");
    until_blocking("an ack", || (acked.load(Ordering::Relaxed) > 0).then_some(()));
    let more = memory.peak().saturating_sub(before);
    let peak = memory.peak();
    // At the end nothing more gets to disk: an ack that does not wait for that would come now.
    let database = rusqlite::Connection::open(daemon.database_path()).unwrap();
    database.busy_timeout(PATIENCE).unwrap();
    database.execute_batch("BEGIN IMMEDIATE").unwrap();
    std::thread::sleep(Duration::from_millis(300));
    daemon.kill9();
    database.execute_batch("ROLLBACK").unwrap();
    reader.join().unwrap();
    stop.store(true, Ordering::Relaxed);
    peer.hang_up();
    let sent = sender.join().unwrap();
    let acked = acked.load(Ordering::Relaxed);

    // As another program sees it, the write-ahead log included.
    let last = format!("{acked:0DIGITS$}");
    let count = |query: &str| {
        let count: i64 = database.query_row(query, [&last], |row| row.get(0)).unwrap();
        u64::try_from(count).unwrap()
    };
    let stored = count("SELECT count(DISTINCT id) FROM inbox WHERE id <= ?1");
    let all = count("SELECT count(*) FROM inbox WHERE id IS NOT NULL AND ?1 <> ''");
    let unordered = count(
        "SELECT count(*) FROM (SELECT id, lag(id) OVER (ORDER BY seq) AS earlier FROM inbox WHERE id IS NOT NULL)
         WHERE id <= earlier AND ?1 <> ''",
    );
    eprintln!(
        "flood: {sent} events sent in {seconds} s, {all} stored, {acked} acknowledged ({} a second), {} of them lost; \
         {:.1} MiB before, {:.1} at the peak",
        acked / seconds,
        acked.saturating_sub(stored),
        before as f64 / f64::from(1 << 20),
        peak as f64 / f64::from(1 << 20),
    );
    assert_eq!(stored, acked, "acknowledged and lost");
    assert_eq!(unordered, 0, "out of order, or twice");
    assert!(all <= sent && acked > 0);
    assert!(more <= MORE, "{} MiB more", more >> 20);

    // And the daemon comes back to it.
    daemon.restart();
    let mut client = daemon.client();
    let seen = client.call("status", &json!({})).unwrap();
    assert_eq!(seen["inbox"]["events"], all, "{seen}");
}
