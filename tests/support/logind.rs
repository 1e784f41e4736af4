//! A message bus of its own, and a logind on it that says what the test has it say.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use rustix::pipe::{PipeFlags, pipe_with};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use zbus::message::Header;
use zbus::{Connection, connection};

use super::{PATIENCE, needs, until_blocking};

const NAME: &str = "org.freedesktop.login1";
const PATH: &str = "/org/freedesktop/login1";
const INTERFACE: &str = "org.freedesktop.login1.Manager";

/// A bus. Dropped, it is gone.
pub struct Bus {
    folder: TempDir,
    child: Option<Child>,
}

impl Bus {
    /// One that does not run yet; none where this machine has no `dbus-daemon`.
    pub fn prepare() -> Option<Self> {
        if !needs::programs(&["dbus-daemon"]) {
            return None;
        }
        let bus = Self { folder: tempfile::Builder::new().prefix("hlbus").tempdir().unwrap(), child: None };
        // Of its own, so that it starts no service of this machine.
        let config = format!(
            "<busconfig><type>session</type><listen>{}</listen><auth>EXTERNAL</auth>\
             <policy context=\"default\"><allow send_destination=\"*\" eavesdrop=\"true\"/>\
             <allow eavesdrop=\"true\"/><allow own=\"*\"/></policy></busconfig>",
            bus.address()
        );
        std::fs::write(bus.folder.path().join("bus.conf"), config).unwrap();
        Some(bus)
    }

    /// One that runs.
    pub fn start() -> Option<Self> {
        let mut bus = Self::prepare()?;
        bus.run();
        Some(bus)
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("bus")
    }

    /// Where it listens.
    pub fn address(&self) -> String {
        format!("unix:path={}", self.socket().display())
    }

    /// Starts it.
    pub fn run(&mut self) {
        let child = Command::new("dbus-daemon")
            .arg(format!("--config-file={}", self.folder.path().join("bus.conf").display()))
            .args(["--nofork", "--nopidfile"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.child = Some(child);
        until_blocking("the bus to listen", || std::os::unix::net::UnixStream::connect(self.socket()).ok());
    }

    /// Ends it, with everything on it.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            let _ = child.kill();
            child.wait().unwrap();
            let _ = std::fs::remove_file(self.socket());
        }
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A lock that was granted.
#[derive(Debug)]
pub struct Grant {
    /// What it is for, who has it, and of which mode it is.
    pub words: [String; 3],
    /// Its holder's name on the bus.
    pub holder: String,
    reader: File,
}

impl Grant {
    fn is_held(&self) -> bool {
        // Nothing is ever written to it: it ends once the other side is closed.
        (&self.reader).read_exact(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }
}

#[derive(Debug, Default)]
struct Told {
    grants: Mutex<Vec<Grant>>,
    preparing: AtomicBool,
}

struct Manager(Arc<Told>);

#[zbus::interface(name = "org.freedesktop.login1.Manager")]
impl Manager {
    fn inhibit(
        &self,
        #[zbus(header)] header: Header<'_>,
        what: String,
        who: String,
        _why: String,
        mode: String,
    ) -> zbus::zvariant::OwnedFd {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).unwrap();
        let holder = header.sender().unwrap().to_string();
        self.0.grants.lock().unwrap().push(Grant { words: [what, who, mode], holder, reader: reader.into() });
        writer.into()
    }

    #[zbus(property)]
    fn preparing_for_sleep(&self) -> bool {
        self.0.preparing.load(Ordering::SeqCst)
    }
}

/// Who says that the machine sleeps. Dropped, it is gone from the bus.
pub struct Logind {
    runtime: Runtime,
    bus: Connection,
    told: Arc<Told>,
}

impl Logind {
    /// The real one, as far as anybody on this bus can tell.
    pub fn on(bus: &Bus) -> Self {
        Self::of(bus, true)
    }

    /// Somebody who says the same and is not logind.
    pub fn impostor_on(bus: &Bus) -> Self {
        Self::of(bus, false)
    }

    fn of(bus: &Bus, real: bool) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let told = Arc::new(Told::default());
        let manager = Manager(Arc::clone(&told));
        let address = bus.address();
        let bus = runtime.block_on(async move {
            let builder = connection::Builder::address(address.as_str()).unwrap().method_timeout(PATIENCE);
            if real {
                builder.serve_at(PATH, manager).unwrap().name(NAME).unwrap().build().await.unwrap()
            } else {
                builder.build().await.unwrap()
            }
        });
        Self { runtime, bus, told }
    }

    /// Says that the machine is about to sleep, or awake.
    pub fn prepare_for_sleep(&self, sleeps: bool) {
        self.told.preparing.store(sleeps, Ordering::SeqCst);
        self.say(None, sleeps);
    }

    /// Says so to one program alone, or to all; returns once the bus has taken it.
    pub fn say(&self, to: Option<&str>, sleeps: bool) {
        self.runtime.block_on(async {
            self.bus.emit_signal(to, PATH, INTERFACE, "PrepareForSleep", &sleeps).await.unwrap();
            // The bus works through what one program sends in order.
            let bus = zbus::fdo::DBusProxy::new(&self.bus).await.unwrap();
            bus.get_id().await.unwrap();
        });
    }

    /// The locks that are held now, as what, who and mode.
    pub fn held(&self) -> Vec<[String; 3]> {
        let grants = self.told.grants.lock().unwrap();
        grants.iter().filter(|grant| grant.is_held()).map(|grant| grant.words.clone()).collect()
    }

    /// Waits until so many are held.
    pub fn wait_until_held(&self, count: usize) {
        until_blocking(&format!("{count} locks to be held"), || (self.held().len() == count).then_some(()));
    }

    /// Who was granted the last lock.
    pub fn last_holder(&self) -> String {
        self.told.grants.lock().unwrap().last().expect("a lock was granted").holder.clone()
    }
}
