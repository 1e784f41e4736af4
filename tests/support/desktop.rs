//! A desktop without a screen: a session bus of the test's own, an X server nobody looks at, dunst in
//! front of it, and a service of the test that does what a desktop cannot be asked to do.
//!
//! Each of them is ended by its process id when it is dropped.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use zbus::zvariant::OwnedValue;

use super::until_blocking;

/// A child process, ended when it is dropped.
struct Process(Child);

impl Process {
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A bus of its own. What it does not start by itself is not there.
pub struct Bus {
    process: Process,
    socket: PathBuf,
}

impl Bus {
    /// Starts one that listens at this path, and starts `services` (name, command line) when they are
    /// asked for.
    pub fn start(socket: &Path, services: &[(&str, &str)]) -> Self {
        let folder = socket.with_extension("services");
        fs::create_dir_all(&folder).unwrap();
        for (name, command) in services {
            let service = format!("[D-BUS Service]\nName={name}\nExec={command}\n");
            fs::write(folder.join(format!("{name}.service")), service).unwrap();
        }
        let config = socket.with_extension("conf");
        let text = format!(
            "<busconfig><type>session</type><listen>unix:path={}</listen><auth>EXTERNAL</auth>\
             <servicedir>{}</servicedir><policy context=\"default\"><allow send_destination=\"*\" \
             eavesdrop=\"true\"/><allow eavesdrop=\"true\"/><allow own=\"*\"/></policy></busconfig>\n",
            socket.display(),
            folder.display()
        );
        fs::write(&config, text).unwrap();
        // What an earlier one left there.
        let _ = fs::remove_file(socket);
        let child = Command::new("dbus-daemon")
            .args(["--nofork", "--nopidfile", "--config-file"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let this = Self { process: Process(child), socket: socket.to_owned() };
        until_blocking("the bus to listen", || UnixStream::connect(socket).ok());
        this
    }

    /// Where it listens, as D-Bus writes it.
    pub fn address(&self) -> String {
        format!("unix:path={}", self.socket.display())
    }

    /// Whether somebody has this name.
    pub fn has(&self, name: &str) -> bool {
        let asked = self.asked("dbus-send", &["--print-reply=literal", "--dest=org.freedesktop.DBus", "/"]);
        let answer = { asked }
            .args(["org.freedesktop.DBus.NameHasOwner", &format!("string:{name}")])
            .output()
            .unwrap();
        String::from_utf8_lossy(&answer.stdout).contains("true")
    }

    /// Stops it as SIGSTOP does.
    pub fn halt(&self) {
        self.process.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn go_on(&self) {
        self.process.signal(Signal::CONT);
    }

    fn asked(&self, program: &str, words: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(words).env("DBUS_SESSION_BUS_ADDRESS", self.address()).stdin(Stdio::null());
        command
    }
}

/// The name under which notifications are shown.
pub const NOTIFICATIONS: &str = "org.freedesktop.Notifications";

/// An X server without a screen, at a display that nobody else has.
pub struct Display {
    _process: Process,
    /// As in `DISPLAY`.
    pub name: String,
}

impl Display {
    /// Starts one.
    pub fn start() -> Self {
        let mut child = Command::new("Xvfb")
            .args(["-displayfd", "1", "-screen", "0", "640x480x24", "-nolisten", "tcp"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut number = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut number).unwrap();
        assert!(!number.trim().is_empty(), "Xvfb found no display");
        Self { _process: Process(child), name: format!(":{}", number.trim()) }
    }
}

/// What dunst shows, or has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Its number.
    pub id: u64,
    /// Who asked for it.
    pub app: String,
    /// As it was asked for.
    pub summary: String,
    /// As it was asked for, markup and all.
    pub body: String,
    /// `LOW`, `NORMAL`, `CRITICAL`.
    pub urgency: String,
}

/// dunst on a bus.
pub struct Dunst {
    process: Process,
    folder: TempDir,
}

impl Dunst {
    /// Starts it and waits until it has its name.
    pub fn start(bus: &Bus, display: &Display) -> Self {
        let folder = tempfile::Builder::new().prefix("hld").tempdir().unwrap();
        let output = File::create(folder.path().join("output")).unwrap();
        // All are shown at once and stay, however many there are.
        let config = folder.path().join("dunstrc");
        fs::write(&config, "[global]\nnotification_limit = 0\nidle_threshold = 0\nformat = \"%s\\n%b\"\nmarkup = full\n[urgency_low]\ntimeout = 0\n[urgency_normal]\ntimeout = 0\n").unwrap();
        let child = bus
            .asked("dunst", &["-print", "-config"])
            .arg(&config)
            .env("DISPLAY", &display.name)
            .env("HOME", folder.path())
            .env("XDG_CONFIG_HOME", folder.path())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        let this = Self { process: Process(child), folder };
        until_blocking("dunst to be there", || bus.has(NOTIFICATIONS).then_some(()));
        this
    }

    /// All that it has shown so far, each as often as it was asked for.
    pub fn shown(&self) -> Vec<Shown> {
        let output = fs::read_to_string(self.folder.path().join("output")).unwrap();
        // The last one may still be being written.
        let whole = output.split("\n}\n").filter(|part| part.contains("script_count:"));
        whole
            .map(|part| Shown {
                id: field(part, "id").parse().unwrap(),
                app: field(part, "appname"),
                summary: field(part, "summary"),
                body: field(part, "body"),
                urgency: field(part, "urgency"),
            })
            .collect()
    }

    /// Waits until it has shown something of which this holds.
    pub fn wait_for(&self, what: &str, holds: impl Fn(&Shown) -> bool) -> Shown {
        until_blocking(what, || self.shown().into_iter().find(|shown| holds(shown)))
    }

    /// What stands on the screen now, the oldest first: those it is asked to put away, and then has in
    /// its history.
    pub fn put_away(&self, bus: &Bus) -> Vec<(u64, String, String)> {
        assert!(bus.asked("dunstctl", &["close-all"]).status().unwrap().success());
        let history = bus.asked("dunstctl", &["history"]).output().unwrap();
        let history: Value = serde_json::from_slice(&history.stdout).unwrap();
        let mut found: Vec<_> = history["data"][0]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| {
                let text = |name: &str| one[name]["data"].as_str().unwrap().to_owned();
                (one["id"]["data"].as_u64().unwrap(), text("summary"), text("message"))
            })
            .collect();
        found.sort();
        found
    }

    /// Stops it as SIGSTOP does.
    pub fn halt(&self) {
        self.process.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn go_on(&self) {
        self.process.signal(Signal::CONT);
    }
}

/// A field of what dunst prints: `\tname: 'value'`, or without the quotes. Values may have lines.
fn field(text: &str, name: &str) -> String {
    let begin = format!("\n\t{name}: ");
    let rest = &text[text.find(&begin).unwrap_or_else(|| panic!("no {name} in {text}")) + begin.len()..];
    match rest.strip_prefix('\'') {
        Some(quoted) => quoted[..quoted.find("'\n\t").unwrap()].to_owned(),
        None => rest.lines().next().unwrap().trim().to_owned(),
    }
}

/// What a [`Service`] was asked to show.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Who asked.
    pub app: String,
    /// The number of the one that is replaced, or 0.
    pub replaces: u32,
    /// Its title.
    pub summary: String,
    /// Its body.
    pub body: String,
    /// What was said beside that.
    pub hints: HashMap<String, OwnedValue>,
    /// How long it is to stay.
    pub expires: i32,
}

/// A notification service of the test's own.
pub struct Service {
    connection: zbus::Connection,
    seen: Arc<Mutex<Vec<Asked>>>,
}

/// What a [`Service`] does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Shows what it is asked to.
    Kind,
    /// Never answers.
    Mute,
    /// Refuses, and repeats what it was asked in its words.
    Rude,
    /// Never answers the first who asks for its name.
    Forgetful,
}

struct Office {
    manner: Manner,
    abilities: Vec<String>,
    first: u32,
    seen: Arc<Mutex<Vec<Asked>>>,
    known: AtomicBool,
}

#[zbus::interface(name = "org.freedesktop.Notifications")]
impl Office {
    #[allow(clippy::too_many_arguments, reason = "the specification has so many")]
    async fn notify(
        &self,
        app: String,
        replaces: u32,
        _icon: String,
        summary: String,
        body: String,
        _actions: Vec<String>,
        hints: HashMap<String, OwnedValue>,
        expires: i32,
    ) -> zbus::fdo::Result<u32> {
        let words = format!("{summary} {body}");
        let number = {
            let mut seen = self.seen.lock().unwrap();
            seen.push(Asked { app, replaces, summary, body, hints, expires });
            self.first + u32::try_from(seen.len()).unwrap()
        };
        match self.manner {
            Manner::Kind | Manner::Forgetful if replaces > 0 => Ok(replaces),
            Manner::Kind | Manner::Forgetful => Ok(number),
            Manner::Mute => std::future::pending().await,
            Manner::Rude => Err(zbus::fdo::Error::LimitsExceeded(words)),
        }
    }

    fn get_capabilities(&self) -> Vec<String> {
        self.abilities.clone()
    }

    async fn get_server_information(&self) -> (String, String, String, String) {
        if !self.known.swap(true, Ordering::SeqCst) && self.manner == Manner::Forgetful {
            return std::future::pending().await;
        }
        ("mock\u{1b}[31m".to_owned(), "the tests".to_owned(), "7.1".to_owned(), "1.2".to_owned())
    }
}

impl Service {
    /// Takes the name of the notification service on a bus. Its numbers begin behind `first`.
    pub async fn start(bus: &Bus, manner: Manner, abilities: &[&str], first: u32) -> Self {
        let seen = Arc::default();
        let abilities = abilities.iter().map(|&ability| ability.to_owned()).collect();
        let office =
            Office { manner, abilities, first, seen: Arc::clone(&seen), known: AtomicBool::new(false) };
        let connection = zbus::connection::Builder::address(bus.address().as_str())
            .and_then(|builder| builder.serve_at("/org/freedesktop/Notifications", office))
            .and_then(|builder| builder.name(NOTIFICATIONS))
            .unwrap()
            .build()
            .await
            .unwrap();
        Self { connection, seen }
    }

    /// What it was asked to show so far.
    pub fn seen(&self) -> Vec<Asked> {
        self.seen.lock().unwrap().clone()
    }

    /// Waits until it was asked to show this many.
    pub fn wait_for(&self, many: usize) -> Vec<Asked> {
        until_blocking(&format!("{many} notifications"), || {
            let seen = self.seen();
            (seen.len() >= many).then_some(seen)
        })
    }

    /// Gives its name up.
    pub async fn leave(self) {
        let _ = self.connection.close().await;
    }
}
