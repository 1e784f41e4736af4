//! A socket that the service manager made before it started us (sd_listen_fds(3)): apps that connect
//! meanwhile wait in it.

use std::io;
use std::os::unix::net::UnixListener;

use listenfd::ListenFd;

/// Why what was handed over cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum HandedError {
    /// There is more than one.
    #[error(
        "the service manager handed over {0} sockets, and one is served: leave one ListenStream= in the socket unit"
    )]
    Several(usize),
    /// It is of another kind.
    #[error(
        "what the service manager handed over is no Unix stream socket ({0}): ListenStream= takes the path of one"
    )]
    Foreign(io::Error),
}

/// A socket that was handed over.
#[derive(Debug)]
pub struct Handed(UnixListener);

impl Handed {
    /// Takes what this process was handed, and with it the variables that told of it, so that no
    /// program it starts believes them. Call it before there is a second thread.
    ///
    /// # Errors
    /// See [`HandedError`].
    pub fn take() -> Result<Option<Self>, HandedError> {
        // Without its own id in it the variable was meant for somebody else.
        let ours = std::env::var("LISTEN_PID").is_ok_and(|pid| pid == std::process::id().to_string());
        let mut handed = ListenFd::from_env();
        match handed.len() {
            _ if !ours => Ok(None),
            0 => Ok(None),
            1 => {
                let socket = handed.take_unix_listener(0).map_err(HandedError::Foreign)?;
                Ok(socket.map(Self))
            }
            several => Err(HandedError::Several(several)),
        }
    }

    /// Lets go of those who have connected: nobody will serve them. Who stays in the queue would have the
    /// service manager start us again for nothing.
    pub fn turn_away(&self) {
        if self.0.set_nonblocking(true).is_ok() {
            while self.0.accept().is_ok() {}
        }
    }

    pub(super) fn socket(self) -> io::Result<UnixListener> {
        self.0.set_nonblocking(true)?;
        Ok(self.0)
    }
}
