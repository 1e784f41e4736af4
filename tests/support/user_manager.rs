//! A real service manager of a user: `systemd --user`, unprivileged, with journal and session bus, in
//! namespaces of its own (`user_manager.sh`). The user is `ada`; her program stands at
//! `~/.cargo/bin/holdline`, where the shipped units look for it.

use std::fs;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

use super::{daemon, needs, until_blocking};

/// The user of the manager: nobody of this machine, and not 65534, which stands for everybody.
pub const UID: u32 = 4242;
/// Her home folder, as she sees it.
pub const HOME: &str = "/home/ada";
/// Her folder for sockets, as she sees it.
pub const RUNTIME: &str = "/run/user/4242";

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/user_manager.sh");

/// Whether a manager can be had here.
pub fn works() -> bool {
    let files = ["/lib/systemd/systemd-journald", "/usr/lib/systemd/user/dbus.socket"];
    let namespaces = ["--mount", "--pid", "--cgroup", "--fork", "true"];
    needs::root()
        && needs::programs(&["systemctl", "journalctl", "dbus-daemon", "unshare", "nsenter", "setpriv"])
        && needs::working(
            "a journal and the bus of a user (dbus-user-session)",
            Command::new("ls").args(files),
        )
        && needs::working("a namespace for control groups", Command::new("unshare").args(namespaces))
}

/// A manager that runs. Dropped, all that runs under it is killed and all its files are removed.
pub struct UserManager {
    folder: TempDir,
    child: Child,
    init: u32,
}

impl UserManager {
    /// Starts one and waits until it has started all that it starts by itself.
    pub fn start() -> Self {
        Self::start_after("")
    }

    /// As [`UserManager::start`]; these lines of shell are run inside before, as root. What they mount
    /// is seen by nobody else.
    pub fn start_after(before: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("hlm").tempdir().unwrap();
        fs::write(folder.path().join("before.sh"), before).unwrap();
        let home = folder.path().join("home");
        for (name, mode) in [("", 0o700), (".cargo", 0o755), (".cargo/bin", 0o755)] {
            own_folder(&home.join(name), mode);
        }
        fs::write(home.join(".cargo/bin/holdline"), "").unwrap();
        let mut child = Command::new("bash")
            .arg(SCRIPT)
            .arg(folder.path())
            .arg(UID.to_string())
            .arg(daemon::program())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let init = until_blocking("the manager to be started", || {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("the manager was not started: {status}");
            }
            fs::read_to_string(folder.path().join("pid")).ok()?.trim().parse().ok()
        });
        let manager = Self { folder, child, init };
        until_blocking("the manager to have started", || {
            let said = manager.systemctl(&["is-system-running"]);
            let said = String::from_utf8_lossy(&said.stdout).into_owned();
            // Units of the machine's other packages may fail in here.
            matches!(said.trim(), "running" | "degraded").then_some(())
        });
        manager
    }

    /// A path below her home folder, as it is reached from outside.
    pub fn home(&self, name: &str) -> PathBuf {
        self.folder.path().join("home").join(name)
    }

    /// A path as she sees it, as it is reached from outside: below her home folder, or any other.
    pub fn outside(&self, path: &str) -> PathBuf {
        match path.strip_prefix(HOME) {
            Some(below) => self.home(below.trim_start_matches('/')),
            None => Path::new(&format!("/proc/{}/root", self.init)).join(path.trim_start_matches('/')),
        }
    }

    /// Writes a file of hers below her home folder, private, with the folders it needs.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.home(name);
        let mut missing: Vec<&Path> =
            path.ancestors().skip(1).take_while(|folder| !folder.exists()).collect();
        while let Some(folder) = missing.pop() {
            own_folder(folder, 0o700);
        }
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path).unwrap();
        std::io::Write::write_all(&mut file, content.as_ref()).unwrap();
        chown(&path, Some(UID), Some(UID)).unwrap();
        path
    }

    /// A command of hers, inside, with the environment of a login.
    pub fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = self.enter();
        let user = UID.to_string();
        command
            .args(["setpriv", "--reuid", &user, "--regid", &user, "--init-groups", "env", "-i"])
            .arg(format!("PATH={}", std::env::var("PATH").unwrap_or_default()))
            .arg(format!("HOME={HOME}"))
            .args(["USER=ada", "LOGNAME=ada", "SHELL=/bin/sh", "LC_ALL=C.UTF-8"])
            .arg(format!("XDG_RUNTIME_DIR={RUNTIME}"))
            .arg(format!("DBUS_SESSION_BUS_ADDRESS=unix:path={RUNTIME}/bus"))
            .arg(program)
            .args(arguments)
            .current_dir("/")
            .stdin(Stdio::null());
        command
    }

    /// A command of root's, inside: process ids and mounts are those that the manager sees.
    pub fn as_root(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = self.enter();
        command.arg(program).args(arguments).current_dir("/").stdin(Stdio::null());
        command
    }

    fn enter(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.init.to_string(), "--mount", "--pid", "--cgroup", "--"]);
        command
    }

    /// Runs `systemctl --user …`.
    pub fn systemctl(&self, arguments: &[&str]) -> Output {
        self.command("systemctl", &["--user"]).args(arguments).output().unwrap()
    }

    /// As [`UserManager::systemctl`], which must succeed; gives what it prints.
    pub fn systemctl_ok(&self, arguments: &[&str]) -> String {
        let output = self.systemctl(arguments);
        assert!(
            output.status.success(),
            "systemctl {arguments:?}: {}{}\n{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
            self.journal(&["--lines=60"])
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// One property of a unit, as systemd tells it.
    pub fn property(&self, unit: &str, name: &str) -> String {
        self.systemctl_ok(&["show", "--value", "--property", name, unit]).trim_end().to_owned()
    }

    /// Waits until a property of a unit is as wanted, and gives it.
    pub fn wait_for_property(&self, unit: &str, name: &str, wanted: impl Fn(&str) -> bool) -> String {
        until_blocking(&format!("another {name} of {unit}"), || {
            Some(self.property(unit, name)).filter(|value| wanted(value))
        })
    }

    /// What her journal holds: `journalctl --user …`, messages only unless told otherwise.
    pub fn journal(&self, arguments: &[&str]) -> String {
        // What was sent before this call is in it.
        let _ = self.as_root("journalctl", &["--sync"]).output();
        let output = self
            .command("journalctl", &["--user", "--no-pager", "--quiet", "--output=cat"])
            .args(arguments)
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs `holdline ctl …` as her.
    pub fn ctl(&self, arguments: &[&str]) -> Output {
        self.command(&format!("{HOME}/.cargo/bin/holdline"), &["ctl"]).args(arguments).output().unwrap()
    }

    /// As [`UserManager::ctl`] with `--json`, which must succeed; gives its one document.
    pub fn ctl_json(&self, arguments: &[&str]) -> serde_json::Value {
        let output = self.ctl(&[&["--json"], arguments].concat());
        assert!(
            output.status.success(),
            "ctl {arguments:?}: {}{}\n{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
            self.journal(&["--lines=60"])
        );
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

impl Drop for UserManager {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Only a failing test shows it.
            let journal = self.journal(&["--lines=100"]);
            let _ = std::io::Write::write_all(&mut std::io::stderr(), journal.as_bytes());
        }
        // The script ends what runs inside and cleans up.
        drop(self.child.stdin.take());
        // A test that fails already may leave something behind.
        let _ = self.child.wait();
    }
}

fn own_folder(path: &Path, mode: u32) {
    fs::create_dir(path).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    chown(path, Some(UID), Some(UID)).unwrap();
}
