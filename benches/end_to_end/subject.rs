//! The subject: the release binary in front of its own development server, each a process of its
//! own, and a plain socket for the app.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::stats::now;

/// The program that is measured: the one built along, unless `HOLDLINE_TEST_PROGRAM` names another.
fn program() -> String {
    std::env::var("HOLDLINE_TEST_PROGRAM").unwrap_or_else(|_| env!("CARGO_BIN_EXE_holdline").to_owned())
}
const PATIENCE: Duration = Duration::from_secs(60);

/// A child process, ended by its id when this is dropped.
#[derive(Debug)]
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Daemon and server, running and connected.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) daemon: Process,
    _server: Process,
    socket: PathBuf,
}

impl Subject {
    /// Starts both in `dir`.
    pub(crate) fn start(dir: &Path, durability: &str) -> Self {
        Self::start_with(dir, durability, "", &[])
    }

    /// As [`Subject::start`], with more in the configuration and in the daemon's environment.
    pub(crate) fn start_with(dir: &Path, durability: &str, more: &str, variables: &[(&str, String)]) -> Self {
        let port = free_port();
        let server = Command::new(program())
            .args(["dev-server", "--listen", &format!("127.0.0.1:{port}"), "--acks", "cumulative"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the server starts");
        let config = dir.join("config.toml");
        std::fs::write(
            &config,
            format!(
                "[server]\nurl = \"ws://127.0.0.1:{port}/\"\ndialect = \"holdline\"\n\
                 [reconnect]\ndelays = [\"100ms\"]\n[store]\ndurability = \"{durability}\"\n\
                 [ipc]\nmax_clients = 1100\n[outbox]\nmax_messages = 2000000\nmax_bytes = \"2 GiB\"\nkeep_finished = 1000\n{more}"
            ),
        )
        .expect("a configuration");
        private(&config, 0o600);
        private(dir, 0o700);
        let socket = dir.join("run").join("bench.sock");
        let daemon = Command::new(program())
            .args(["run", "--config"])
            .arg(&config)
            .env("HOLDLINE_STATE_DIR", dir.join("state"))
            .env("HOLDLINE_SOCKET", &socket)
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the daemon starts");
        let this = Self { daemon: Process(daemon), _server: Process(server), socket };
        let begin = now();
        while this.status().is_none_or(|status| status["link"]["state"] != "connected") {
            assert!(begin.elapsed() < PATIENCE, "the daemon did not connect");
            std::thread::sleep(Duration::from_millis(20));
        }
        this
    }

    /// A connection of an app, if the daemon serves.
    pub(crate) fn app(&self) -> std::io::Result<App> {
        App::connect(&self.socket)
    }

    /// What `status` says, if the daemon serves.
    pub(crate) fn status(&self) -> Option<Value> {
        self.app().ok()?.call("status", &json!({})).ok()
    }

    /// Resident memory of the daemon, in bytes.
    pub(crate) fn resident(&self) -> u64 {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "MiB of a process")]
        let bytes = (rss(self.daemon.id()) * 1_048_576.0) as u64;
        bytes
    }

    /// Waits until all apps have left but the one that asks.
    pub(crate) fn alone(&self) {
        let mut app = self.app().expect("it serves");
        let begin = now();
        while app.call("status", &json!({})).expect("an answer")["clients_total"] != 1 {
            assert!(begin.elapsed() < PATIENCE, "some apps do not leave");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits until everything queued was confirmed.
    pub(crate) fn drained(&self) -> Instant {
        let mut app = self.app().expect("it serves");
        let begin = now();
        loop {
            let status = app.call("status", &json!({})).expect("an answer");
            let at = now();
            let out = &status["outbox"];
            if out["queued"] == 0 && out["in_flight"] == 0 {
                return at;
            }
            assert!(begin.elapsed() < PATIENCE, "not drained: {out}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

fn private(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("our own file");
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback");
    listener.local_addr().expect("bound").port()
}

/// An app: lines on a socket.
#[derive(Debug)]
pub(crate) struct App {
    read: BufReader<UnixStream>,
    write: UnixStream,
    line: String,
}

impl App {
    fn connect(socket: &Path) -> std::io::Result<Self> {
        let write = UnixStream::connect(socket)?;
        write.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { read: BufReader::with_capacity(1 << 18, write.try_clone()?), write, line: String::new() })
    }

    /// Stays connected, and keeps nothing else.
    pub(crate) fn be_quiet(self) -> UnixStream {
        self.write
    }

    /// Writes lines as they are.
    pub(crate) fn write(&mut self, lines: &[u8]) {
        self.write.write_all(lines).expect("the daemon reads");
    }

    /// Reads at least one line, and as many as are there; says how many.
    pub(crate) fn read_some(&mut self) -> usize {
        let buffer = self.read.fill_buf().expect("the daemon answers");
        assert!(!buffer.is_empty(), "the daemon closed the connection");
        let lines = buffer.iter().filter(|byte| **byte == b'\n').count();
        let used = buffer.len();
        self.read.consume(used);
        lines
    }

    /// Reads exactly one line.
    pub(crate) fn read_line(&mut self) -> &str {
        self.line.clear();
        self.read.read_line(&mut self.line).expect("the daemon answers");
        assert!(self.line.ends_with('\n'), "the daemon closed the connection");
        &self.line
    }

    /// One call and its result.
    pub(crate) fn call(&mut self, method: &str, params: &Value) -> std::io::Result<Value> {
        let call = json!({"jsonrpc":"2.0","id":0,"method":method,"params":params});
        self.write.write_all(format!("{call}\n").as_bytes())?;
        self.line.clear();
        self.read.read_line(&mut self.line)?;
        let answer: Value = serde_json::from_str(&self.line)?;
        answer.get("result").cloned().ok_or_else(|| std::io::Error::other(answer.to_string()))
    }
}

/// Context switches of each thread of a process so far.
pub(crate) fn switches(pid: u32) -> BTreeMap<OsString, u64> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("Linux");
    tasks
        .flatten()
        .map(|task| {
            let status = std::fs::read_to_string(task.path().join("status")).unwrap_or_default();
            let count = status
                .lines()
                .filter(|line| line.contains("ctxt_switches"))
                .filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
                .sum();
            (task.file_name(), count)
        })
        .collect()
}

/// CPU time of a process so far, in clock ticks.
pub(crate) fn cpu_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("Linux");
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    fields.get(11..13).map_or(0, |times| times.iter().filter_map(|t| t.parse::<u64>().ok()).sum())
}

/// Resident memory of a process, in MiB.
pub(crate) fn rss(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("Linux");
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|kib| kib.parse::<f64>().ok())
        .unwrap_or(f64::NAN)
        / 1024.0
}

/// Size of the binary that was measured, in MB.
pub(crate) fn binary_size() -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "a file's size")]
    let bytes = std::fs::metadata(program()).expect("the binary").len() as f64;
    bytes / 1e6
}
