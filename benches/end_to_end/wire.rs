//! An app on a socket, whatever protocol it speaks: many requests under way, or one at a time at a pace.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::stats::{Latency, now};

/// Bytes made before they are written.
const CHUNK: usize = 128 * 1024;
/// Bytes read at once.
const INPUT: usize = 256 * 1024;
/// Without an answer for so long the run ends with an error.
const PATIENCE: Timespec = Timespec { tv_sec: 60, tv_nsec: 0 };

/// A stream socket.
pub(crate) trait Socket: Read + Write + AsFd {
    /// Whether reading and writing wait.
    fn waits(&self, wait: bool);
}

impl Socket for UnixStream {
    fn waits(&self, wait: bool) {
        self.set_nonblocking(!wait).expect("our own socket");
    }
}

impl Socket for TcpStream {
    fn waits(&self, wait: bool) {
        self.set_nonblocking(!wait).expect("our own socket");
    }
}

/// A protocol in which each request has one answer.
pub(crate) trait Protocol {
    /// Writes request `n`.
    fn request(&mut self, n: u64, out: &mut Vec<u8>);
    /// Takes whole answers from `input`: how many bytes they had, and how many they were.
    fn answers(&mut self, input: &[u8]) -> (usize, usize);
}

/// What has been read and not been understood yet.
struct Input {
    bytes: Vec<u8>,
    filled: usize,
}

impl Input {
    fn new() -> Self {
        Self { bytes: vec![0; INPUT], filled: 0 }
    }

    /// Reads once; none where nothing is there.
    fn read(&mut self, socket: &mut impl Socket, protocol: &mut impl Protocol) -> Option<usize> {
        match socket.read(&mut self.bytes[self.filled..]) {
            Ok(0) => panic!("the other side closed the connection"),
            Ok(count) => self.filled += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
            Err(error) if error.kind() == ErrorKind::Interrupted => return Some(0),
            Err(error) => panic!("reading: {error}"),
        }
        let (used, answers) = protocol.answers(&self.bytes[..self.filled]);
        self.bytes.copy_within(used..self.filled, 0);
        self.filled -= used;
        Some(answers)
    }
}

/// Sends the messages `first .. first + count` with at most `window` of them unanswered; how long
/// it took to the last answer.
pub(crate) fn pump(
    socket: &mut impl Socket,
    protocol: &mut impl Protocol,
    first: u64,
    count: usize,
    window: usize,
) -> Duration {
    socket.waits(false);
    let (mut sent, mut answered) = (0, 0);
    let (mut out, mut written) = (Vec::with_capacity(2 * CHUNK), 0);
    let mut input = Input::new();
    let begin = now();
    while answered < count {
        if written == out.len() {
            out.clear();
            written = 0;
        }
        while sent < count && sent - answered < window && out.len() < CHUNK {
            protocol.request(first + sent as u64, &mut out);
            sent += 1;
        }
        if written < out.len() {
            match socket.write(&out[written..]) {
                Ok(count) => written += count,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(error) => panic!("writing: {error}"),
            }
        }
        if let Some(answers) = input.read(socket, protocol) {
            answered += answers;
            continue;
        }
        let unwritten = written < out.len();
        if unwritten || sent == count || sent - answered >= window {
            let wanted = if unwritten { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
            let ready = poll(&mut [PollFd::new(socket, wanted)], Some(&PATIENCE)).expect("a socket");
            assert!(ready > 0, "no answer for a minute: {answered} of {count}");
        }
    }
    let took = begin.elapsed();
    socket.waits(true);
    took
}

/// When messages were sent and how long their answers took.
#[derive(Debug, Default)]
pub(crate) struct Paced {
    pub(crate) sent: Vec<Instant>,
    pub(crate) answered: Latency,
}

/// One message at a time, `per_second` of them, numbered from 0.
pub(crate) fn paced(
    socket: &mut impl Socket,
    protocol: &mut impl Protocol,
    per_second: u32,
    lasts: Duration,
) -> Paced {
    let mut paced = Paced::default();
    let mut input = Input::new();
    let mut out = Vec::new();
    let begin = now();
    while begin.elapsed() < lasts {
        let n = paced.sent.len() as u64;
        out.clear();
        protocol.request(n, &mut out);
        pace(begin, n + 1, per_second);
        let at = now();
        paced.sent.push(at);
        socket.write_all(&out).expect("the other side reads");
        while input.read(socket, protocol) == Some(0) {}
        paced.answered.add(at.elapsed());
    }
    paced
}

/// Sleeps until the `n`-th beat since `begin`.
pub(crate) fn pace(begin: Instant, n: u64, per_second: u32) {
    let due = begin + Duration::from_secs(1) / per_second * u32::try_from(n).expect("small");
    std::thread::sleep(due.saturating_duration_since(now()));
}

/// Lines of JSON-RPC that queue messages.
#[derive(Debug, Default)]
pub(crate) struct Sends;

impl Protocol for Sends {
    fn request(&mut self, n: u64, out: &mut Vec<u8>) {
        let _ = write!(
            out,
            r#"{{"jsonrpc":"2.0","id":{n},"method":"messages.send","params":{{"type":"bench","data":"#
        );
        crate::message::write_body(out, n);
        out.extend_from_slice(b"}}\n");
    }

    fn answers(&mut self, input: &[u8]) -> (usize, usize) {
        let used = memchr::memrchr(b'\n', input).map_or(0, |end| end + 1);
        let lines = &input[..used];
        if memchr::memmem::find(lines, br#""error":"#).is_some() {
            panic!("a message was refused: {}", String::from_utf8_lossy(&lines[..lines.len().min(500)]));
        }
        (used, memchr::memchr_iter(b'\n', lines).count())
    }
}
