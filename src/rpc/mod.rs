//! JSON-RPC 2.0 over the local socket.

pub mod api;
#[cfg(feature = "daemon")]
pub mod backend;
pub mod error;
pub mod framing;
pub mod message;

#[cfg(feature = "daemon")]
pub use backend::Backend;

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
