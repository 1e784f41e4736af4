//! The subject: the daemon in front of a server, and plain sockets for its apps.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::process::{PATIENCE, Process};
use crate::stats::now;

/// What stands in the configuration beside the server and the durability: bounds that 10^6 messages
/// fit below, room for the crowd, and a short way back. All else is as it is by default.
pub(crate) const SETTINGS: &str = "[reconnect]\ndelays = [\"100ms\"]\njitter = 0.0\n[ipc]\nmax_clients = 1100\n\
     [outbox]\nmax_messages = 2000000\nmax_bytes = \"2 GiB\"\n[inbox]\nmax_events = 3000000\nmax_bytes = \"4 GiB\"\n";

/// The program that is measured: the one built along, unless `HOLDLINE_TEST_PROGRAM` names another.
pub(crate) fn program() -> String {
    std::env::var("HOLDLINE_TEST_PROGRAM").unwrap_or_else(|_| env!("CARGO_BIN_EXE_holdline").to_owned())
}

/// Size of the program that is measured, in MB.
pub(crate) fn program_size() -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "a file's size")]
    let bytes = std::fs::metadata(program()).expect("the program").len() as f64;
    bytes / 1e6
}

/// A daemon that runs.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) daemon: Process,
    dir: PathBuf,
    variables: Vec<(String, String)>,
}

impl Subject {
    /// Starts one with its files in `dir` and waits until it is connected to the server at `port`.
    pub(crate) fn start(dir: &Path, port: u16, durability: &str) -> Self {
        Self::start_with(dir, port, durability, "", &[])
    }

    /// As [`Subject::start`], with more in the configuration and in the daemon's environment.
    pub(crate) fn start_with(
        dir: &Path,
        port: u16,
        durability: &str,
        more: &str,
        variables: &[(&str, String)],
    ) -> Self {
        std::fs::create_dir_all(dir).expect("a folder");
        let config = dir.join("config.toml");
        let text = format!(
            "[server]\nurl = \"ws://127.0.0.1:{port}/\"\ndialect = \"holdline\"\n\
             [store]\ndurability = \"{durability}\"\n{SETTINGS}{more}"
        );
        std::fs::write(&config, text).expect("a configuration");
        std::fs::set_permissions(&config, std::fs::Permissions::from_mode(0o600)).expect("our own file");
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700)).expect("our own folder");
        let variables: Vec<_> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let this = Self { daemon: spawn(dir, &variables), dir: dir.to_owned(), variables };
        this.connected();
        this
    }

    /// Ends the daemon at once, as a crash does, and starts it again; it may not serve yet.
    pub(crate) fn crash(&mut self) {
        self.daemon.kill();
        self.daemon = spawn(&self.dir, &self.variables);
    }

    /// Waits until the link is up.
    pub(crate) fn connected(&self) {
        self.until("it connects", |status| status["link"]["state"] == "connected");
    }

    /// Waits until the link is down.
    pub(crate) fn disconnected(&self) {
        self.until("it notices", |status| status["link"]["state"] != "connected");
    }

    /// Waits until everything queued was confirmed; when it was.
    pub(crate) fn drained(&self) -> Instant {
        self.until("it drains", |status| {
            status["outbox"]["queued"] == 0 && status["outbox"]["in_flight"] == 0
        })
    }

    /// Waits until all apps have left but the one that asks.
    pub(crate) fn alone(&self) {
        self.until("apps leave", |status| status["clients_total"] == 1);
    }

    /// Waits until the status says so; when it did. Gives up when nothing in the outbox moves.
    fn until(&self, what: &str, condition: impl Fn(&Value) -> bool) -> Instant {
        let mut app = self.app();
        let (mut since, mut before) = (now(), Value::Null);
        loop {
            let status = app.call("status", &json!({}));
            let at = now();
            if condition(&status) {
                return at;
            }
            if status["outbox"]["queued"] != before {
                (since, before) = (at, status["outbox"]["queued"].clone());
            }
            assert!(since.elapsed() < PATIENCE, "waited in vain until {what}: {status}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// A connection of an app, as soon as the daemon serves.
    pub(crate) fn app(&self) -> App {
        let socket = self.dir.join("run").join("bench.sock");
        let begin = now();
        loop {
            match App::connect(&socket) {
                Ok(app) => return app,
                Err(error) => assert!(begin.elapsed() < PATIENCE, "the daemon does not serve: {error}"),
            }
            std::thread::sleep(Duration::from_micros(500));
        }
    }

    /// A subscription to what comes from now on. All that comes on it are events.
    pub(crate) fn subscriber(&self) -> App {
        let mut app = self.app();
        app.call("events.subscribe", &json!({"from": "now", "types": ["tick"]}));
        assert!(app.read_line().contains("caught_up"), "nothing was missed");
        app
    }
}

fn spawn(dir: &Path, variables: &[(String, String)]) -> Process {
    let mut command = Command::new(program());
    command.args(["run", "--config"]).arg(dir.join("config.toml"));
    command.env("HOLDLINE_STATE_DIR", dir.join("state"));
    command.env("HOLDLINE_SOCKET", dir.join("run").join("bench.sock"));
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    Process::start(&mut command)
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
        let read = BufReader::with_capacity(1 << 16, write.try_clone()?);
        Ok(Self { read, write, line: String::new() })
    }

    /// The bare socket. Nothing may have been read that was not asked for.
    pub(crate) fn socket(self) -> UnixStream {
        assert!(self.read.buffer().is_empty(), "nothing is left behind");
        self.write
    }

    /// Reads exactly one line.
    pub(crate) fn read_line(&mut self) -> &str {
        self.line.clear();
        self.read.read_line(&mut self.line).expect("the daemon answers");
        assert!(self.line.ends_with('\n'), "the daemon closed the connection");
        &self.line
    }

    /// One call and its result.
    pub(crate) fn call(&mut self, method: &str, params: &Value) -> Value {
        let call = json!({"jsonrpc":"2.0","id":0,"method":method,"params":params});
        self.write.write_all(format!("{call}\n").as_bytes()).expect("the daemon reads");
        let answer: Value = serde_json::from_str(self.read_line()).expect("JSON");
        match answer.get("result") {
            Some(result) => result.clone(),
            None => panic!("{method}: {answer}"),
        }
    }
}
