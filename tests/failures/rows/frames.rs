//! Frames that break the WebSocket protocol. `tests/daemon/frames.rs` has far more of them.

use holdline::model::ReasonKind::{InvalidUtf8, MessageTooLarge, ProtocolError};

use super::Row;
use crate::support::frames::{BINARY, CONTINUATION, FIN, PING, RSV1, TEXT, close, frame, header, masked};

pub fn rows() -> Vec<Row> {
    vec![
        Row::new("Bytes that are no frame, as of an HTTP answer.", ProtocolError, |stage| {
            stage.sends(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec())
        }),
        Row::new("A frame with reserved bits.", ProtocolError, |stage| {
            stage.sends(frame(FIN | RSV1 | TEXT, b"x"))
        }),
        Row::new("A frame with an opcode that means nothing.", ProtocolError, |stage| {
            stage.sends(frame(FIN | 0x3, b"x"))
        }),
        Row::new("A masked frame.", ProtocolError, |stage| stage.sends(masked(FIN | TEXT, b"x"))),
        Row::new("A continuation of nothing.", ProtocolError, |stage| {
            stage.sends(frame(FIN | CONTINUATION, b"x"))
        }),
        Row::new("A message within a message.", ProtocolError, |stage| {
            stage.sends([frame(TEXT, b"x"), frame(FIN | TEXT, b"x")].concat())
        }),
        Row::new("A ping in pieces.", ProtocolError, |stage| stage.sends(frame(PING, b"x"))),
        Row::new("A ping over 125 bytes.", ProtocolError, |stage| stage.sends(frame(FIN | PING, &[0; 126]))),
        Row::new("More than 100 pings within a second.", ProtocolError, |stage| {
            stage.sends(frame(FIN | PING, b"!").repeat(1000))
        }),
        Row::new("A message of endless empty frames.", ProtocolError, |stage| {
            stage.sends([frame(TEXT, b""), frame(CONTINUATION, b"").repeat(1_000_000)].concat())
        }),
        Row::new("A frame over `server.max_message`.", MessageTooLarge, |stage| {
            stage.sends(header(FIN | BINARY, 16 << 20))
        }),
        Row::new("A frame that claims to be endless.", MessageTooLarge, |stage| {
            stage.sends(header(FIN | BINARY, 1 << 63))
        }),
        Row::new("Text that is not UTF-8.", InvalidUtf8, |stage| stage.sends(frame(FIN | TEXT, &[0xff]))),
        Row::new("A close reason that is not UTF-8.", InvalidUtf8, |stage| stage.sends(close(1000, &[0xff]))),
    ]
}
