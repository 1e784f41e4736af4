//! The real program in folders of its own, as a service manager would start it.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{PATIENCE, until_blocking};

/// The program that is tried: the one built along, or the one that `HOLDLINE_TEST_PROGRAM` names (the
/// release build, or a package's).
pub fn program() -> String {
    std::env::var("HOLDLINE_TEST_PROGRAM").unwrap_or_else(|_| env!("CARGO_BIN_EXE_holdline").to_owned())
}

/// A daemon and its folders. Dropped, the daemon is killed and the folders are removed.
pub struct Daemon {
    folder: TempDir,
    child: Option<Child>,
    variables: Vec<(String, String)>,
    /// Words before the daemon's command line.
    before: Vec<String>,
}

impl Daemon {
    /// Starts one with this configuration and waits until it serves its socket.
    pub fn start(config: &str) -> Self {
        let mut daemon = Self::prepare(config);
        daemon.restart();
        daemon
    }

    /// Makes the folders and the configuration, and starts nothing.
    pub fn prepare(config: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("hl").tempdir().unwrap();
        for name in ["home", "config", "config/holdline", "state", "runtime"] {
            let path = folder.path().join(name);
            fs::create_dir(&path).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        }
        let daemon = Self { folder, child: None, variables: Vec::new(), before: Vec::new() };
        daemon.write_config(config);
        daemon
    }

    /// A variable for the daemon and for `ctl`, from the next start on.
    pub fn set_variable(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// From the next start on these words stand before the daemon's command line: a program that
    /// becomes the daemon (`ip netns exec NAME`), so that its process id stays the daemon's.
    pub fn set_before(&mut self, words: Vec<String>) {
        self.before = words;
    }

    /// A path below the daemon's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The configuration's path.
    pub fn config_path(&self) -> PathBuf {
        self.path("config/holdline/config.toml")
    }

    /// The database's path.
    pub fn database_path(&self) -> PathBuf {
        self.path("state/holdline/default.db")
    }

    /// The socket's path.
    pub fn socket_path(&self) -> PathBuf {
        self.path("runtime/holdline/default.sock")
    }

    /// Replaces the configuration. It is read at the next start or reload.
    pub fn write_config(&self, config: &str) {
        self.write_private("config/holdline/config.toml", config);
    }

    /// Writes a file that only its owner can read, and gives its path.
    pub fn write_private(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path).unwrap();
        file.write_all(content.as_bytes()).unwrap();
        path
    }

    /// Starts the daemon (killing one that runs) and waits until it serves its socket.
    pub fn restart(&mut self) {
        self.kill9();
        self.spawn();
        until_blocking("the daemon to serve its socket", || {
            if let Some(status) = self.child.as_mut().and_then(|child| child.try_wait().unwrap()) {
                panic!("the daemon ended ({status}) instead of serving:\n{}", self.log());
            }
            UnixStream::connect(self.socket_path()).ok()
        });
    }

    /// Starts the daemon and waits for nothing.
    pub fn spawn(&mut self) {
        let log = File::options().create(true).append(true).open(self.path("log")).unwrap();
        let child = self
            .started_by(&self.before, &["run", "--config"])
            .arg(self.config_path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
    }

    /// As [`Daemon::spawn`], by a program that is given the command and becomes it in the end.
    pub fn spawn_under(&mut self, wrapper: &[&str]) {
        let log = File::options().create(true).append(true).open(self.path("log")).unwrap();
        let inner = self.command(&["run", "--config"]);
        let mut outer = Command::new(wrapper[0]);
        outer.args(&wrapper[1..]).arg(inner.get_program()).args(inner.get_args()).arg(self.config_path());
        outer.env_clear().current_dir(self.folder.path());
        outer.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let child = outer.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        self.child = Some(child);
    }

    /// The process id of the running daemon.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the daemon runs").id()
    }

    /// Kills the daemon without warning, if it runs.
    pub fn kill9(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            let _ = child.kill();
            child.wait().unwrap();
        }
    }

    /// Sends a signal to the daemon.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.pid() as i32).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Asks the daemon to end, as service managers do, and gives how it ended.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(rustix::process::Signal::TERM);
        self.wait_for_end()
    }

    /// How the daemon ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.as_mut().and_then(|child| child.try_wait().unwrap())
    }

    /// Waits until the daemon has ended by itself.
    pub fn wait_for_end(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("the daemon runs");
        until_blocking("the daemon to end", || child.try_wait().unwrap())
    }

    /// Runs `holdline ctl …` against the daemon.
    pub fn ctl(&self, arguments: &[&str]) -> Output {
        self.command(&["ctl"]).args(arguments).stdin(Stdio::null()).output().unwrap()
    }

    /// Runs `holdline ctl --json …`, which must succeed, and gives its one document.
    pub fn ctl_json(&self, arguments: &[&str]) -> Value {
        let output = self.command(&["ctl", "--json"]).args(arguments).stdin(Stdio::null()).output().unwrap();
        assert!(
            output.status.success(),
            "ctl {arguments:?}: {}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The program with the daemon's folders and nothing else of this test's environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.started_by(&[], arguments)
    }

    fn started_by(&self, before: &[String], arguments: &[&str]) -> Command {
        let program = program();
        let words = before.iter().map(String::as_str);
        let mut words = words.chain([program.as_str()]).chain(arguments.iter().copied());
        let mut command = Command::new(words.next().unwrap());
        command
            .args(words)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path("home"))
            .env("XDG_CONFIG_HOME", self.path("config"))
            .env("XDG_STATE_HOME", self.path("state"))
            .env("XDG_RUNTIME_DIR", self.path("runtime"))
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(self.folder.path());
        command
    }

    /// All that the daemon has printed so far, over all its starts.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// A connection to the socket.
    pub fn client(&self) -> Client {
        Client::connect(&self.socket_path())
    }

    /// Waits until the link is in this state.
    pub fn wait_for(&self, state: &str) {
        let mut client = self.client();
        until_blocking(&format!("the link to be {state}"), || {
            let status = client.call("status", &json!({})).unwrap();
            (status["link"]["state"] == state).then_some(())
        });
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill9();
        if std::thread::panicking() {
            // Only a failing test shows it.
            let _ = std::io::stderr().write_all(self.log().as_bytes());
        }
    }
}

/// A JSON-RPC client as any script would write it: one line out, lines in.
pub struct Client {
    lines: BufReader<UnixStream>,
    next_id: u64,
    notifications: Vec<Value>,
}

impl Client {
    /// Connects to a socket.
    pub fn connect(path: &Path) -> Self {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { lines: BufReader::new(stream), next_id: 0, notifications: Vec::new() }
    }

    /// Writes a line as it is.
    pub fn write_line(&mut self, line: &str) {
        self.lines.get_mut().write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// Whether a line has come.
    pub fn has_line(&mut self) -> bool {
        self.lines.get_ref().set_nonblocking(true).unwrap();
        let come = self.lines.fill_buf().is_ok_and(|bytes| !bytes.is_empty());
        self.lines.get_ref().set_nonblocking(false).unwrap();
        come
    }

    /// Reads a line; none at the end.
    pub fn read_line(&mut self) -> Option<Value> {
        let mut line = String::new();
        match self.lines.read_line(&mut line).unwrap() {
            0 => None,
            _ => Some(serde_json::from_str(&line).unwrap()),
        }
    }

    /// Calls a method: its result, or its error object.
    pub fn call(&mut self, method: &str, params: &Value) -> Result<Value, Value> {
        self.next_id += 1;
        let id = self.next_id;
        self.write_line(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string());
        loop {
            let mut answer = self.read_line().expect("the daemon has hung up");
            if answer["id"] == id {
                return match answer.get("error") {
                    Some(error) => Err(error.clone()),
                    None => Ok(answer["result"].take()),
                };
            }
            self.notifications.push(answer);
        }
    }

    /// The value of a metric without labels.
    pub fn metric(&mut self, name: &str) -> f64 {
        let text = self.call("metrics", &json!({})).unwrap()["text"].as_str().unwrap().to_owned();
        let line = text.lines().find(|line| line.split(' ').next() == Some(name));
        line.and_then(|line| line.split(' ').nth(1)).and_then(|value| value.parse().ok()).unwrap()
    }

    /// The next notification: one that came during a call, else the next line.
    pub fn notification(&mut self) -> Value {
        if self.notifications.is_empty() {
            self.read_line().expect("the daemon has hung up")
        } else {
            self.notifications.remove(0)
        }
    }
}
