//! A WebSocket alone: batches of 64 frames with one flush each, from one thread to another.

use std::net::{TcpListener, TcpStream};

use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{Message, WebSocket};

use crate::figures::rate;
use crate::message::body;
use crate::stats::now;

/// Frames of one flush.
const BATCH: usize = 64;

/// Frames a second.
pub(crate) fn batches(count: usize) -> f64 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let near = TcpStream::connect(listener.local_addr().expect("bound")).expect("loopback");
    let (far, _) = listener.accept().expect("loopback");
    let mut far = WebSocket::from_raw_socket(far, Role::Server, None);
    let mut near = WebSocket::from_raw_socket(near, Role::Client, None);
    let count = count.next_multiple_of(BATCH);
    let begin = now();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for _ in 0..count {
                far.read().expect("a frame");
            }
        });
        let text = body(0);
        for _ in 0..count / BATCH {
            for _ in 0..BATCH {
                near.write(Message::text(text.clone())).expect("buffered");
            }
            near.flush().expect("flushed");
        }
    });
    rate(count, begin.elapsed())
}
