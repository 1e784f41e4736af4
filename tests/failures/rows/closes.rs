//! Close frames of the server.

use std::time::Duration;

use holdline::model::ReasonKind::{ClosedByServer, ProtocolError, ServerBusy, ServerRestart};

use super::Row;
use crate::support::frames;

pub fn rows() -> Vec<Row> {
    vec![
        Row::new("1000: a normal end.", ClosedByServer, |stage| stage.closes(1000, "")),
        Row::new("1001: the server goes away.", ClosedByServer, |stage| stage.closes(1001, "going away")),
        Row::new("1002: the server says that we broke the protocol.", ClosedByServer, |stage| {
            stage.closes(1002, "bad frame")
        }),
        Row::new("1003: the server cannot take such data.", ClosedByServer, |stage| {
            stage.closes(1003, "text only")
        }),
        Row::new("1007: the server could not read our text.", ClosedByServer, |stage| {
            stage.closes(1007, "invalid payload")
        }),
        Row::new("1008 once.", ClosedByServer, |stage| stage.closes(1008, "policy")),
        Row::new("1009: a message of ours was too large.", ClosedByServer, |stage| {
            stage.closes(1009, "message too big")
        }),
        Row::new("1010: the server wants an extension.", ClosedByServer, |stage| {
            stage.closes(1010, "permessage-deflate")
        }),
        Row::new("1011: the server failed.", ClosedByServer, |stage| stage.closes(1011, "internal error")),
        Row::new("1012: the server restarts.", ServerRestart, |stage| stage.closes(1012, "restart")),
        Row::new("1013: the server asks for patience.", ServerBusy, |stage| {
            let (scene, peer) = stage.connected_with(|config| config.delay(Duration::from_secs(1)));
            peer.close(1013, "try again later");
            scene.keeping(peer)
        })
        .wish(10),
        Row::new("1014: a gateway without its server.", ClosedByServer, |stage| {
            stage.sends(frames::close(1014, b"bad gateway"))
        }),
        Row::new("3000–4999: codes of libraries and apps.", ClosedByServer, |stage| {
            stage.closes(4321, "as the app says")
        }),
        Row::new("A close without a code.", ClosedByServer, |stage| {
            stage.sends(frames::frame(frames::FIN | frames::CLOSE, b""))
        }),
        Row::new(
            "A code that must not be sent (0–999, 1004–1006, 1015–2999, from 5000 on).",
            ProtocolError,
            |stage| stage.sends(frames::close(1006, b"")),
        ),
        Row::new("A close frame of one byte.", ProtocolError, |stage| {
            stage.sends(frames::frame(frames::FIN | frames::CLOSE, &[3]))
        }),
    ]
}
