//! The protocol of Redis, as far as it is needed.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use crate::message::write_body;
use crate::wire::Protocol;

/// Appends messages to the stream `s`.
#[derive(Debug, Default)]
pub(crate) struct Appends {
    body: Vec<u8>,
}

impl Protocol for Appends {
    fn request(&mut self, n: u64, out: &mut Vec<u8>) {
        self.body.clear();
        write_body(&mut self.body, n);
        command(out, &[b"XADD", b"s", b"*", b"b", &self.body]);
    }

    fn answers(&mut self, input: &[u8]) -> (usize, usize) {
        // Each is the id: `$15\r\n1795000000000-0\r\n`.
        let (mut used, mut answers) = (0, 0);
        let mut ends = memchr::memchr_iter(b'\n', input);
        while let (Some(head), Some(end)) = (ends.next(), ends.next()) {
            assert_eq!(input[used], b'$', "{}", String::from_utf8_lossy(&input[used..head]));
            used = end + 1;
            answers += 1;
        }
        (used, answers)
    }
}

/// Writes a command.
pub(crate) fn command(out: &mut Vec<u8>, parts: &[&[u8]]) {
    let _ = write!(out, "*{}\r\n", parts.len());
    for part in parts {
        let _ = write!(out, "${}\r\n", part.len());
        out.extend_from_slice(part);
        out.extend_from_slice(b"\r\n");
    }
}

/// A value as Redis tells it.
#[derive(Debug)]
pub(crate) enum Value {
    Text(Vec<u8>),
    Many(Vec<Self>),
    Nothing,
}

impl Value {
    pub(crate) fn many(self) -> Vec<Self> {
        match self {
            Self::Many(values) => values,
            Self::Text(_) | Self::Nothing => Vec::new(),
        }
    }

    pub(crate) fn text(self) -> Vec<u8> {
        match self {
            Self::Text(text) => text,
            Self::Many(_) | Self::Nothing => Vec::new(),
        }
    }
}

/// A connection that asks and waits.
#[derive(Debug)]
pub(crate) struct Client {
    read: BufReader<TcpStream>,
    out: Vec<u8>,
}

impl Client {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { read: BufReader::with_capacity(256 * 1024, stream), out: Vec::new() }
    }

    /// One command and its answer.
    pub(crate) fn call(&mut self, parts: &[&[u8]]) -> Value {
        self.later(parts);
        self.answer()
    }

    /// One command, written with the next one.
    pub(crate) fn later(&mut self, parts: &[&[u8]]) {
        command(&mut self.out, parts);
    }

    /// The next answer.
    pub(crate) fn answer(&mut self) -> Value {
        if !self.out.is_empty() {
            self.read.get_mut().write_all(&self.out).expect("Redis reads");
            self.out.clear();
        }
        self.value()
    }

    fn value(&mut self) -> Value {
        let mut line = String::new();
        self.read.read_line(&mut line).expect("Redis answers");
        let (kind, rest) = line.trim_end().split_at(1);
        let length = || rest.parse::<usize>().ok();
        match kind {
            "$" => length().map_or(Value::Nothing, |length| {
                let mut text = vec![0; length + 2];
                self.read.read_exact(&mut text).expect("Redis answers");
                text.truncate(length);
                Value::Text(text)
            }),
            "*" => length()
                .map_or(Value::Nothing, |count| Value::Many((0..count).map(|_| self.value()).collect())),
            "+" | ":" => Value::Text(rest.into()),
            _ => panic!("Redis says: {line}"),
        }
    }
}
