//! What the operating system tells the daemon.

/// A signal, as what it means here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    /// End in order.
    Stop,
    /// Read the configuration anew.
    #[cfg_attr(not(unix), allow(dead_code, reason = "elsewhere no signal says so"))]
    Reload,
}

/// The signals the daemon listens to.
#[cfg(unix)]
#[derive(Debug)]
pub(super) struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    /// Begins to listen.
    pub(super) fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        // A limit on file sizes is told by the write that ran into it; the signal would kill.
        // Caught once it stays caught.
        let _ = signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?;
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The next one.
    pub(super) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::Stop,
            _ = self.interrupt.recv() => Signal::Stop,
            _ = self.hangup.recv() => Signal::Reload,
        }
    }

    /// The next one that asks for the end. Others are kept for [`Signals::next`].
    pub(super) async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// The signals the daemon listens to. There is none that asks for a reload: `ctl reload` does.
#[cfg(windows)]
#[derive(Debug)]
pub(super) struct Signals {
    interrupt: tokio::signal::windows::CtrlC,
    interrupt_hard: tokio::signal::windows::CtrlBreak,
    /// The console window closes. Windows ends the process some seconds after.
    close: tokio::signal::windows::CtrlClose,
    /// The user signs out.
    sign_out: tokio::signal::windows::CtrlLogoff,
    /// The machine goes down.
    shutdown: tokio::signal::windows::CtrlShutdown,
}

#[cfg(windows)]
impl Signals {
    /// Begins to listen.
    pub(super) fn listen() -> std::io::Result<Self> {
        use tokio::signal::windows::{ctrl_break, ctrl_c, ctrl_close, ctrl_logoff, ctrl_shutdown};
        Ok(Self {
            interrupt: ctrl_c()?,
            interrupt_hard: ctrl_break()?,
            close: ctrl_close()?,
            sign_out: ctrl_logoff()?,
            shutdown: ctrl_shutdown()?,
        })
    }

    /// The next one.
    pub(super) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Stop,
            _ = self.interrupt_hard.recv() => Signal::Stop,
            _ = self.close.recv() => Signal::Stop,
            _ = self.sign_out.recv() => Signal::Stop,
            _ = self.shutdown.recv() => Signal::Stop,
        }
    }

    /// The next one that asks for the end: here all of them.
    pub(super) async fn stop(&mut self) {
        self.next().await;
    }
}
