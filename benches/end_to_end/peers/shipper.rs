//! What Redis lacks for the job: a small program that reads the stream as a group, sends each entry
//! to the WebSocket server, and forgets what the server has confirmed.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use memchr::memmem::Finder;
use tokio_tungstenite::tungstenite::{Error, Message, WebSocket, client};

use super::resp::{Client, Value};
use crate::message::number_after;
use crate::process::connect;

/// Entries read, and forgotten, at once.
const BATCH: &[u8] = b"512";
/// Entries sent and not confirmed at most.
const WINDOW: usize = 8192;

/// A thread that ships.
#[derive(Debug)]
pub(crate) struct Shipper {
    thread: Option<JoinHandle<()>>,
    over: Arc<AtomicBool>,
}

impl Shipper {
    pub(crate) fn start(redis: u16, server: u16) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let mut redis = Client::new(connect(redis));
        redis.call(&[b"XGROUP", b"CREATE", b"s", b"g", b"0", b"MKSTREAM"]);
        let stream = connect(server);
        let (ws, _) = client(format!("ws://127.0.0.1:{server}/"), stream).expect("an upgrade");
        let stop = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            let unconfirmed = VecDeque::new();
            let ack = Finder::new(br#""upTo":"#);
            Ships { redis, ws, unconfirmed, sent: 0, confirmed: 0, ack }.run(&stop);
        });
        Self { thread: Some(thread), over }
    }
}

impl Drop for Shipper {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Ships {
    redis: Client,
    ws: WebSocket<TcpStream>,
    /// Ids of entries that were sent.
    unconfirmed: VecDeque<Vec<u8>>,
    sent: u64,
    confirmed: u64,
    ack: Finder<'static>,
}

impl Ships {
    fn run(mut self, over: &AtomicBool) {
        while !over.load(Ordering::Acquire) {
            if self.unconfirmed.len() < WINDOW {
                self.send();
            }
            self.take_acks();
        }
    }

    fn send(&mut self) {
        // Only while nothing is under way it may wait long.
        let wait: &[u8] = if self.unconfirmed.is_empty() { b"100" } else { b"1" };
        let answer = self.redis.call(&[
            b"XREADGROUP",
            b"GROUP",
            b"g",
            b"c",
            b"COUNT",
            BATCH,
            b"BLOCK",
            wait,
            b"STREAMS",
            b"s",
            b">",
        ]);
        let Some(stream) = answer.many().into_iter().next() else { return };
        let entries = stream.many().pop().map(Value::many).unwrap_or_default();
        self.ws.get_ref().set_nonblocking(false).expect("our own socket");
        for entry in entries {
            let [id, fields] = <[Value; 2]>::try_from(entry.many()).expect("an entry");
            let (id, body) = (id.text(), fields.many().pop().expect("a body").text());
            self.sent += 1;
            let frame = format!(
                r#"{{"type":"bench","messageId":"{}","messageNo":{},"data":{}}}"#,
                String::from_utf8_lossy(&id),
                self.sent,
                String::from_utf8_lossy(&body)
            );
            self.ws.write(Message::text(frame)).expect("the server reads");
            self.unconfirmed.push_back(id);
        }
        self.ws.flush().expect("the server reads");
    }

    fn take_acks(&mut self) {
        self.ws.get_ref().set_nonblocking(true).expect("our own socket");
        let mut newest = self.confirmed;
        loop {
            match self.ws.read() {
                Ok(Message::Text(text)) => {
                    newest = number_after(text.as_bytes(), &self.ack).unwrap_or(newest);
                }
                Ok(_) => {}
                Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("the server: {error}"),
            }
        }
        if newest > self.confirmed {
            let count = usize::try_from(newest - self.confirmed).expect("few");
            let done: Vec<Vec<u8>> = self.unconfirmed.drain(..count).collect();
            self.confirmed = newest;
            let mut ack: Vec<&[u8]> = vec![b"XACK", b"s", b"g"];
            ack.extend(done.iter().map(Vec::as_slice));
            self.redis.later(&ack);
            let mut trim: Vec<&[u8]> = vec![b"XDEL", b"s"];
            trim.extend(done.iter().map(Vec::as_slice));
            self.redis.later(&trim);
            self.redis.answer();
            self.redis.answer();
        }
    }
}
