//! MQTT 3.1.1 with QoS 1, as far as it is needed.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::message::{finder, number_after, write_body};
use crate::process::connect;
use crate::tally::Tally;
use crate::wire::Protocol;

const CONNACK: u8 = 2;
const PUBLISH: u8 = 3;
const PUBACK: u8 = 4;
const SUBACK: u8 = 9;

/// A packet: its first byte and its body; and how many bytes it had.
fn packet(input: &[u8]) -> Option<(u8, &[u8], usize)> {
    let first = *input.first()?;
    let (mut length, mut shift, mut at) = (0_usize, 0, 1);
    loop {
        let byte = *input.get(at)?;
        length |= usize::from(byte & 0x7f) << shift;
        (at, shift) = (at + 1, shift + 7);
        if byte & 0x80 == 0 {
            break;
        }
    }
    Some((first, input.get(at..at + length)?, at + length))
}

fn write_packet(out: &mut Vec<u8>, first: u8, body: &[&[u8]]) {
    out.push(first);
    let mut length: usize = body.iter().map(|part| part.len()).sum();
    loop {
        let byte = u8::try_from(length & 0x7f).expect("seven bits");
        length >>= 7;
        out.push(if length > 0 { byte | 0x80 } else { byte });
        if length == 0 {
            break;
        }
    }
    body.iter().for_each(|part| out.extend_from_slice(part));
}

fn text(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).expect("short");
    [&length.to_be_bytes()[..], text.as_bytes()].concat()
}

/// Connects with a clean session.
pub(crate) fn sign_in(port: u16, name: &str) -> TcpStream {
    let mut stream = connect(port);
    let mut out = Vec::new();
    write_packet(&mut out, 0x10, &[&text("MQTT"), &[4, 2, 0, 0], &text(name)]);
    stream.write_all(&out).expect("it reads");
    assert_eq!(read_one(&mut stream) >> 4, CONNACK, "it lets us in");
    stream
}

/// Reads a short packet; its first byte.
fn read_one(stream: &mut TcpStream) -> u8 {
    let mut head = [0; 2];
    stream.read_exact(&mut head).expect("it answers");
    stream.read_exact(&mut vec![0; head[1].into()]).expect("it answers");
    head[0]
}

/// Publishes messages to a topic.
#[derive(Debug)]
pub(crate) struct Publishes {
    topic: Vec<u8>,
    body: Vec<u8>,
}

impl Publishes {
    pub(crate) fn to(topic: &str) -> Self {
        Self { topic: text(topic), body: Vec::new() }
    }
}

impl Protocol for Publishes {
    fn request(&mut self, n: u64, out: &mut Vec<u8>) {
        self.body.clear();
        write_body(&mut self.body, n);
        let id = u16::try_from(n % 65_535 + 1).expect("16 bits").to_be_bytes();
        write_packet(out, 0x32, &[&self.topic, &id, &self.body]);
    }

    fn answers(&mut self, input: &[u8]) -> (usize, usize) {
        let (mut used, mut answers) = (0, 0);
        while let Some((first, _, length)) = packet(&input[used..]) {
            answers += usize::from(first >> 4 == PUBACK);
            used += length;
        }
        (used, answers)
    }
}

/// Somebody who receives, and confirms.
#[derive(Debug)]
pub(crate) struct Receiver {
    pub(crate) tally: Arc<Tally>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Receiver {
    pub(crate) fn start(port: u16, topic: &str) -> Self {
        let mut stream = sign_in(port, "receiver");
        let mut out = Vec::new();
        write_packet(&mut out, 0x82, &[&[0, 1], &text(topic), &[1]]);
        stream.write_all(&out).expect("it reads");
        assert_eq!(read_one(&mut stream) >> 4, SUBACK, "it has subscribed");
        stream.set_read_timeout(Some(Duration::from_millis(100))).expect("TCP");
        let (tally, over) = (Arc::<Tally>::default(), Arc::new(AtomicBool::new(false)));
        let (far, stop) = (Arc::clone(&tally), Arc::clone(&over));
        let thread = std::thread::spawn(move || receive(stream, &far, &stop));
        Self { tally, over, thread: Some(thread) }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn receive(mut stream: TcpStream, tally: &Tally, over: &AtomicBool) {
    let finder = finder();
    let (mut input, mut filled) = (vec![0; 256 * 1024], 0);
    let (mut acks, mut numbers) = (Vec::new(), Vec::new());
    while !over.load(Ordering::Acquire) {
        match stream.read(&mut input[filled..]) {
            Ok(0) => return,
            Ok(count) => filled += count,
            // Nothing came for a while.
            Err(_) => continue,
        }
        let mut used = 0;
        while let Some((first, body, length)) = packet(&input[used..filled]) {
            if first >> 4 == PUBLISH {
                let topic = usize::from(u16::from_be_bytes([body[0], body[1]]));
                if first & 0x06 != 0 {
                    write_packet(&mut acks, PUBACK << 4, &[&body[2 + topic..4 + topic]]);
                }
                numbers.extend(number_after(body, &finder));
            }
            used += length;
        }
        input.copy_within(used..filled, 0);
        filled -= used;
        tally.take(&numbers);
        numbers.clear();
        if stream.write_all(&acks).is_err() {
            return;
        }
        acks.clear();
    }
}
