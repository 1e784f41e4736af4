//! Programs that the daemon starts on a person's behalf: without a shell, in a group of their own so
//! that what they start ends with them, and without the variables that are no business of theirs.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use tokio::process::{Child, Command};

/// Variables that held a credential in this run: what a reload took the credential from before is no
/// business of the programs that are started after it.
static HELD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// What a service manager tells the daemon and nobody else: a program that believed it would speak in
/// the daemon's name, or take its socket for its own.
const OF_THE_SERVICE: [&str; 6] =
    ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"];

/// Keeps this variable from the programs that are started from now on.
pub fn keep_from_programs(variable: &str) {
    HELD.lock().unwrap_or_else(PoisonError::into_inner).insert(variable.to_owned());
}

/// The command for program and arguments, ended when it is dropped. What it reads and prints is for
/// the caller to say. None where there is no program.
#[must_use]
pub fn command(argv: &[String]) -> Option<Command> {
    let (program, arguments) = argv.split_first()?;
    let mut command = Command::new(program);
    command.args(arguments).kill_on_drop(true);
    for variable in OF_THE_SERVICE {
        command.env_remove(variable);
    }
    for variable in HELD.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        command.env_remove(variable);
    }
    #[cfg(unix)]
    command.process_group(0);
    Some(command)
}

/// How a program is asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It may tidy up first.
    Soon,
    /// It is not asked.
    Now,
}

/// Ends a child and all it has started. Elsewhere than on Unix only the child, and at once.
pub fn end(child: &mut Child, how: End) {
    #[cfg(not(unix))]
    let _ = how;
    #[cfg(unix)]
    if let Some(group) = child.id().and_then(|id| rustix::process::Pid::from_raw(id.cast_signed())) {
        let signal = match how {
            End::Soon => rustix::process::Signal::TERM,
            End::Now => rustix::process::Signal::KILL,
        };
        // It may have ended by itself in between.
        let _ = rustix::process::kill_process_group(group, signal);
        if how == End::Soon {
            return;
        }
    }
    // So may this one.
    let _ = child.start_kill();
}

/// A child that is ended with all it has started once nobody waits for it any more.
#[derive(Debug)]
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        // One that was waited for has no number any more: it may be another's by now.
        end(&mut self.0, End::Now);
    }
}

/// Whether a child has ended. Does not take note of it: the child's group stays its own, and can be
/// [ended](end), until somebody waits for the child. Not known elsewhere than on Unix.
#[must_use]
pub fn has_ended(child: &Child) -> bool {
    #[cfg(unix)]
    if let Some(pid) = child.id().and_then(|id| rustix::process::Pid::from_raw(id.cast_signed())) {
        use rustix::process::{WaitId, WaitIdOptions, waitid};
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        return !matches!(waitid(WaitId::Pid(pid), look), Ok(None));
    }
    child.id().is_none()
}
