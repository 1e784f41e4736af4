//! Local connections: a Unix socket, or a named pipe on Windows. Nothing here listens on TCP.
//!
//! # The law
//! Only processes of the same user get through, and that is settled before a byte is read or
//! written, on both sides: the daemon looks at the user behind each connection
//! ([`Arrival::Foreign`]), an app looks at the user behind the socket ([`connect`]). The folder
//! of the socket is ours and closed to everybody else (0700), the socket is 0600 from the
//! moment it exists. Process ids are for showing; nothing is decided by them.
//!
//! A [`Stream`] is any `AsyncRead + AsyncWrite` to whoever uses it: tests put
//! `tokio::io::duplex` in its place.

#[cfg(all(target_os = "linux", feature = "daemon"))]
mod activation;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::io;
use std::path::PathBuf;

use crate::model::Peer;

#[cfg(all(target_os = "linux", feature = "daemon"))]
pub use activation::{Handed, HandedError};
pub use interprocess::local_socket::tokio::Stream;
#[cfg(unix)]
pub use unix::{Listener, MAX_PATH, connect};
#[cfg(windows)]
pub use windows::{Listener, connect, user};

/// Somebody connected.
#[derive(Debug)]
pub enum Arrival {
    /// A process of our user.
    Ours(Stream, Peer),
    /// A process of somebody else: already closed, nothing was read.
    Foreign(Peer),
}

/// Why there is no listener.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The path does not fit into a socket address.
    #[error(
        "the socket path {path} has {len} bytes, and this system takes at most {max}: name a shorter one \
         in HOLDLINE_SOCKET"
    )]
    TooLong {
        /// The path.
        path: PathBuf,
        /// Its length, in bytes.
        len: usize,
        /// The longest there may be.
        max: usize,
    },
    /// Others could get at the socket, or it is not ours to take its place.
    #[error("{path} {fault}")]
    Unsafe {
        /// Folder or socket.
        path: PathBuf,
        /// What is wrong with it and what to do.
        fault: String,
    },
    /// The service manager handed over another socket than the one that was asked for.
    #[error(
        "the socket that the service manager handed over ({stands_at}) {fault}, and apps look for it at {path}: \
         ListenStream= of the socket unit and HOLDLINE_SOCKET have to agree"
    )]
    Handed {
        /// Where it is.
        stands_at: PathBuf,
        /// Where it should be.
        path: PathBuf,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// The system refused.
    #[error("cannot {what} {path}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
}

impl BindError {
    /// Whether owner, mode or type of a folder or socket is the cause, rather than the system.
    #[must_use]
    pub const fn is_unsafe(&self) -> bool {
        match self {
            Self::Unsafe { .. } => true,
            Self::TooLong { .. } | Self::Handed { .. } | Self::Io { .. } => false,
        }
    }
}

/// Why there is no connection to the daemon.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody listens there.
    #[error("no daemon listens at {path}")]
    NotRunning {
        /// The path.
        path: PathBuf,
    },
    /// Somebody else owns the folder or listens there: nothing was sent.
    #[error("{path} {fault}; nothing was sent")]
    Foreign {
        /// Folder or socket.
        path: PathBuf,
        /// What is wrong with it.
        fault: String,
    },
    /// The system refused.
    #[error("cannot connect to {path}: {source}")]
    Io {
        /// The path.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
}
