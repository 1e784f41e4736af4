//! Named pipes, open to the owner and the system only.

use std::io;
use std::path::{Path, PathBuf};

use interprocess::local_socket::tokio::{Listener as Acceptor, prelude::*};
use interprocess::local_socket::{GenericFilePath, ListenerOptions};
use interprocess::os::windows::local_socket::ListenerOptionsExt as _;
use interprocess::os::windows::security_descriptor::SecurityDescriptor;
use widestring::u16cstr;

use super::{Arrival, BindError, ConnectError, Stream};
use crate::model::Peer;

/// Accepts connections of our own user: the pipe's descriptor lets nobody else in.
#[derive(Debug)]
pub struct Listener {
    acceptor: Acceptor,
    path: PathBuf,
}

impl Listener {
    /// Makes the pipe and listens. Only the holder of the daemon's lock may call this.
    ///
    /// # Errors
    /// See [`BindError`].
    pub fn bind(path: &Path) -> Result<Self, BindError> {
        let failed = |what| move |source| BindError::Io { what, path: path.to_owned(), source };
        let name = path.to_fs_name::<GenericFilePath>().map_err(failed("name the pipe"))?;
        // Protected, nothing inherited: all rights to the owner and to the system. The default
        // would let everybody read.
        let owner_only = SecurityDescriptor::deserialize(u16cstr!("D:P(A;;GA;;;OW)(A;;GA;;;SY)"))
            .map_err(failed("protect the pipe"))?;
        let acceptor = ListenerOptions::new()
            .name(name)
            .security_descriptor(owner_only)
            .create_tokio()
            .map_err(failed("listen at"))?;
        Ok(Self { acceptor, path: path.to_owned() })
    }

    /// The next connection.
    ///
    /// # Errors
    /// What the system says.
    pub async fn accept(&self) -> io::Result<Arrival> {
        let stream = self.acceptor.accept().await?;
        let pid = stream.peer_creds().ok().and_then(|found| found.pid());
        Ok(Arrival::Ours(stream, Peer { uid: None, pid }))
    }

    /// Where it listens.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        Some(&self.path)
    }
}

/// Connects to the daemon at `path`. Pipe names are not files: who listens there is settled by
/// the name, which holds the user's SID, and by the descriptor of its first instance.
///
/// # Errors
/// See [`ConnectError`].
pub async fn connect(path: &Path) -> Result<Stream, ConnectError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => ConnectError::NotRunning { path: path.to_owned() },
        _ => ConnectError::Io { path: path.to_owned(), source },
    };
    let name = path.to_fs_name::<GenericFilePath>().map_err(failed)?;
    Stream::connect(name).await.map_err(failed)
}
