//! The socket apps come through: one that the service manager hands over, or one of our own.

use std::path::Path;

use super::Failed;
use crate::{config, ipc};

/// What this process was handed at its start. Where there are no service managers that do so: nothing.
#[derive(Debug)]
pub(super) struct Handed {
    #[cfg(target_os = "linux")]
    socket: Option<ipc::Handed>,
}

impl Handed {
    /// Takes it. Call it before there is a second thread.
    pub(super) fn take() -> Result<Self, Failed> {
        #[cfg(target_os = "linux")]
        {
            let socket = ipc::Handed::take().map_err(|error| Failed::new(config::EXIT_INVALID, error, ""))?;
            Ok(Self { socket })
        }
        #[cfg(not(target_os = "linux"))]
        Ok(Self {})
    }

    /// Listens at `path`: on what was handed over, which then is gone from here, or on a socket made now.
    pub(super) fn listen(&mut self, path: &Path) -> Result<ipc::Listener, Failed> {
        let listener = self.take_over(path).unwrap_or_else(|| ipc::Listener::bind(path));
        listener.map_err(|error| {
            let exit = if error.is_unsafe() { config::EXIT_UNSAFE } else { config::EXIT_INVALID };
            Failed::new(exit, format!("the socket cannot be made: {error}"), "")
        })
    }

    #[cfg(target_os = "linux")]
    fn take_over(&mut self, path: &Path) -> Option<Result<ipc::Listener, ipc::BindError>> {
        Some(ipc::Listener::take_over(self.socket.take()?, path))
    }

    #[cfg(not(target_os = "linux"))]
    #[allow(clippy::unused_self, reason = "there is something to take on Linux")]
    fn take_over(&mut self, _: &Path) -> Option<Result<ipc::Listener, ipc::BindError>> {
        None
    }

    /// Lets go of those who wait to be served by a daemon that will not start.
    pub(super) fn turn_away(&self) {
        #[cfg(target_os = "linux")]
        if let Some(socket) = &self.socket {
            socket.turn_away();
        }
    }
}
