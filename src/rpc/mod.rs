//! JSON-RPC 2.0 over the local socket.
//!
//! # The law
//! - The room knows the model and nothing of WebSockets or databases: what methods need they ask
//!   of a [`Backend`].
//! - What comes in is bounded before it is kept: lines, depth, batches, unanswered requests,
//!   subscriptions, connections each have a limit with a name.
//! - Requests of one connection begin in the order of their lines; those that change something
//!   are through, or have their place in line, before the next one begins. Answers come in any
//!   order.
//! - The answer to a subscribe call is written before the subscription's first notification, and
//!   a subscription's notifications come in order.
//! - Nobody waits for a slow app but the tasks that serve it. Events are pulled from the backend
//!   at the pace at which they are read, never pushed.
//! - A panic ends one connection.

pub mod api;
pub mod error;
pub mod framing;
pub mod message;

#[cfg(feature = "daemon")]
pub mod backend;
#[cfg(feature = "daemon")]
mod call;
#[cfg(feature = "daemon")]
mod chunk;
#[cfg(feature = "daemon")]
mod clients;
#[cfg(feature = "daemon")]
mod connection;
#[cfg(feature = "daemon")]
mod cursors;
#[cfg(feature = "daemon")]
mod dispatch;
#[cfg(feature = "daemon")]
mod methods;
#[cfg(feature = "daemon")]
pub mod metric;
#[cfg(feature = "daemon")]
mod openrpc;
#[cfg(feature = "daemon")]
mod out;
#[cfg(feature = "daemon")]
mod pen;
#[cfg(feature = "daemon")]
mod receipts;
#[cfg(feature = "daemon")]
mod server;
#[cfg(feature = "daemon")]
mod splice;
#[cfg(feature = "daemon")]
mod subscription;

#[cfg(feature = "daemon")]
pub use backend::Backend;
#[cfg(feature = "daemon")]
pub use openrpc::document as openrpc;
#[cfg(feature = "daemon")]
pub use server::serve;
#[cfg(feature = "daemon")]
pub(crate) use splice::event as event_line;

#[cfg(feature = "daemon")]
use server::Shared;

/// `[ipc]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at the same time.
    pub max_clients: usize,
    /// Bytes of one request line (or of one body with header framing).
    pub max_line: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_clients: 128, max_line: 8 * 1024 * 1024 }
    }
}

#[cfg(test)]
#[cfg(feature = "daemon")]
mod tests;
