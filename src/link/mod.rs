//! The way to the server: name, TCP, proxy, TLS, upgrade, and the pump that moves frames.
//!
//! A [`Connection`] is a pair of channels. [`Dialer::dial`] makes one from a real socket;
//! [`Connection::in_memory`] makes its twin for tests. The room knows nothing of dialects,
//! queues or JSON-RPC.
//!
//! # Invariants
//! - Each phase of a dial fails with a [`Failure`] of its own, and all of them together end
//!   within one deadline.
//! - The credential goes to the configured origin and nowhere else: not before TLS has proved
//!   the server's name, never to a proxy or a redirect, never into an error or a log.
//! - Whatever the server sends, memory stays bounded and the pump ends with
//!   [`LinkEvent::Down`], once, as its last word.
//! - Nothing runs while nothing happens: no timer ticks on an idle connection.

mod auth;
mod certificate;
pub mod credential;
mod dial;
mod foreign;
mod head;
mod network;
pub mod probe;
mod proxy;
mod pump;
mod reach;
mod retry_after;
mod stream;
mod target;
mod tls;
mod upgrade;

use tokio::sync::{mpsc, watch};

use crate::model::{Failure, Frame};

pub use auth::{Auth, Plan};
pub use dial::{Dialer, Settings, SetupError};
pub use network::Outlook;
pub use target::{Target, TargetError};
pub use tls::TlsSettings;

/// What a connection tells.
#[derive(Debug)]
pub enum LinkEvent {
    /// A data frame came (a whole message).
    Frame(Frame),
    /// A pong came, with its payload.
    Pong(Vec<u8>),
    /// Bytes came that are no whole frame yet (told at most once a second).
    Heard,
    /// The socket, which had been full, takes on what we write (told at most once a second).
    Taken,
    /// The connection is over. Always the last event.
    Down(Failure),
}

/// What a connection is told.
#[derive(Debug)]
pub enum LinkCommand {
    /// Write a frame. Frames of one turn are flushed together.
    Write {
        /// Comes back in [`Connection::written`] after the flush.
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

/// A connection to the server: dropped, it ends at once (so it does without a last event when
/// only `commands` is dropped).
#[derive(Debug)]
pub struct Connection {
    /// What it tells. Bounded: when it is not read, the socket is not read either, and TCP
    /// pushes back; pings are answered up to the first data frame that waits.
    pub events: mpsc::Receiver<LinkEvent>,
    /// What it is told. Bounded.
    pub commands: mpsc::Sender<LinkCommand>,
    /// Everything up to this ticket is written and flushed. A lane of its own: whoever holds
    /// reading back until writes are through must be able to see that they are.
    pub written: watch::Receiver<u64>,
    /// The sub-protocol the server chose.
    pub subprotocol: Option<String>,
}

/// Events a connection holds before it stops reading.
pub const EVENTS: usize = 256;
/// Commands a connection holds before its queue is full.
pub const COMMANDS: usize = 64;

/// The other end of a connection that has no socket: whoever holds it plays the server.
#[derive(Debug)]
pub struct Twin {
    /// What the connection shall tell.
    pub events: mpsc::Sender<LinkEvent>,
    /// What the connection was told.
    pub commands: mpsc::Receiver<LinkCommand>,
    /// Up to which ticket it shall have written.
    pub written: watch::Sender<u64>,
}

impl Connection {
    /// A connection without a socket, and the end that plays the server. The channels have the
    /// bounds of a real one.
    #[must_use]
    pub fn in_memory() -> (Self, Twin) {
        let (events, told) = mpsc::channel(EVENTS);
        let (commands, heard) = mpsc::channel(COMMANDS);
        let (written, flushed) = watch::channel(0);
        (
            Self { events: told, commands, written: flushed, subprotocol: None },
            Twin { events, commands: heard, written },
        )
    }
}
