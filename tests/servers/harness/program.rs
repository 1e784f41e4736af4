//! A foreign server: a process of its own on a port of this machine, that is killed and started again.

use std::fs::File;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

use crate::support::until_blocking;

/// Gives the command that serves this port and keeps its things in this folder.
type Make = Box<dyn Fn(u16, &Path) -> Command>;

/// A foreign server. Dropped, it is killed and its folder is removed.
pub(crate) struct Program {
    folder: TempDir,
    port: u16,
    make: Make,
    child: Option<Child>,
}

impl Program {
    /// Makes a folder, lets `prepare` put into it what the server needs, starts it and waits until it
    /// takes connections.
    pub(crate) fn start(
        prepare: impl FnOnce(u16, &Path),
        make: impl Fn(u16, &Path) -> Command + 'static,
    ) -> Self {
        let folder = tempfile::Builder::new().prefix("hlserver").tempdir().expect("a folder");
        let port = free_port();
        prepare(port, folder.path());
        let mut program = Self { folder, port, make: Box::new(make), child: None };
        program.again();
        program
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// A path below its folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Its process id, which is that of its group too.
    pub(crate) fn pid(&self) -> Pid {
        let child = self.child.as_ref().expect("the server runs");
        Pid::from_raw(i32::try_from(child.id()).expect("a process id")).expect("not 0")
    }

    /// Kills it, with whatever processes it started itself.
    pub(crate) fn kill(&mut self) {
        if self.child.is_some() {
            // It may have ended by itself.
            let _ = kill_process_group(self.pid(), Signal::KILL);
        }
        if let Some(mut child) = self.child.take() {
            child.wait().expect("it ends");
        }
    }

    /// Starts it (killing one that runs) on the port it had.
    pub(crate) fn again(&mut self) {
        self.kill();
        let log = File::options().create(true).append(true).open(self.path("log")).expect("a log");
        let mut command = (self.make)(self.port, self.folder.path());
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a log")).stderr(log).process_group(0);
        self.child = Some(command.spawn().expect("the server starts"));
        let port = self.port;
        until_blocking("the server to take connections", || {
            if let Some(status) = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten()) {
                panic!("the server ended ({status}) instead of serving:\n{}", self.log());
            }
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
    }

    /// All that it has printed so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            // Only a failing test shows it.
            let _ = std::io::stderr().write_all(self.log().as_bytes());
        }
    }
}

/// A port that nobody has just now.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}
