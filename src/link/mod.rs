//! The way to the server: name, TCP, TLS, upgrade, and the pump that moves frames.
//!
//! A [`Connection`] is a pair of channels. [`dial`] makes one from a real socket;
//! [`Connection::in_memory`] makes its twin for tests. The room knows nothing of dialects,
//! queues or JSON-RPC.

use tokio::sync::mpsc;

use crate::model::{Failure, Frame};

/// What a connection tells.
#[derive(Debug)]
pub enum LinkEvent {
    /// A data frame came (a whole message).
    Frame(Frame),
    /// A pong came, with its payload.
    Pong(Vec<u8>),
    /// Bytes came that are no whole frame yet (told at most once a second).
    Heard,
    /// Everything up to this ticket is written and flushed.
    Written(u64),
    /// The connection is over. Always the last event.
    Down(Failure),
}

/// What a connection is told.
#[derive(Debug)]
pub enum LinkCommand {
    /// Write a frame. Frames of one turn are flushed together.
    Write {
        /// Comes back in [`LinkEvent::Written`] after the flush.
        ticket: u64,
        /// What.
        frame: Frame,
    },
    /// Write a ping behind everything before it, and flush.
    Ping(Vec<u8>),
    /// Send a close frame, wait a short while for the other side's, end with this failure.
    Close {
        /// Close code.
        code: u16,
        /// What [`LinkEvent::Down`] shall say.
        failure: Failure,
    },
}

/// A connection to the server: dropped, it ends at once.
#[derive(Debug)]
pub struct Connection {
    /// What it tells. Bounded: when it is not read, the socket is not read either, and TCP
    /// pushes back; control frames are answered all the same.
    pub events: mpsc::Receiver<LinkEvent>,
    /// What it is told. Bounded.
    pub commands: mpsc::Sender<LinkCommand>,
    /// The sub-protocol the server chose.
    pub subprotocol: Option<String>,
}

/// Events a connection holds before it stops reading.
pub const EVENTS: usize = 256;
/// Commands a connection holds before its queue is full.
pub const COMMANDS: usize = 64;
