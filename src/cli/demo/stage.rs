//! The set of the tour: a folder, a server, and the real daemon.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::cli::{Exit, Failed};
use crate::client::Client;
use crate::clock::Clock;
use crate::dev_server::{DevServer, Options};

/// How long the daemon may take until it serves its socket.
const START_TIME: Duration = Duration::from_secs(15);
/// Type of the one event that is worth a notification.
pub(super) const NOTICE: &str = "notice";
/// Lines of the daemon's log that are shown when the tour fails.
const LOG_LINES: usize = 12;
/// Variables that would lead the daemon elsewhere, or make it take this process for its service
/// manager.
const FOREIGN: [&str; 14] = [
    "HOLDLINE_CONFIG",
    "HOLDLINE_PROFILE",
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_FDS",
    "LISTEN_PID",
    "CREDENTIALS_DIRECTORY",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
];

/// The set. [`Stage::strike`] leaves nothing behind; dropped, it does so as well as it can.
pub(super) struct Stage {
    pub(super) clock: Clock,
    pub(super) server: DevServer,
    daemon: Option<Child>,
    folder: Folder,
}

impl Stage {
    /// Starts the server and writes the configuration. The daemon does not run yet.
    pub(super) async fn set(clock: Clock) -> Result<Self, Failed> {
        let cannot = |what: &str, error: &io::Error| {
            Failed::new(Exit::Failure, format!("cannot {what}: {error}"))
                .hint("the demo needs a folder for temporary files and a port on loopback")
        };
        let server = DevServer::start(Options::default())
            .await
            .map_err(|e| cannot("start a server on loopback", &e))?;
        let folder = Folder::make(&clock.uuid().simple().to_string())
            .map_err(|error| cannot("make a temporary folder", &error))?;
        folder
            .write("config.toml", &config(&server.url()))
            .map_err(|error| cannot("write a configuration", &error))?;
        Ok(Self { clock, server, daemon: None, folder })
    }

    fn socket(&self) -> PathBuf {
        self.folder.0.join("demo.sock")
    }

    /// Starts the daemon, and comes back when it serves its socket.
    pub(super) async fn start_daemon(&mut self) -> Result<Client, Failed> {
        let failed =
            |error: io::Error| Failed::new(Exit::Failure, format!("cannot start the daemon: {error}"));
        let log = fs::File::options().create(true).append(true).open(self.folder.log()).map_err(failed)?;
        let mut command = Command::new(std::env::current_exe().map_err(failed)?);
        for name in FOREIGN {
            command.env_remove(name);
        }
        let child = command
            .args([OsStr::new("run"), OsStr::new("--config")])
            .arg(self.folder.0.join("config.toml"))
            .env("HOLDLINE_STATE_DIR", self.folder.0.join("state"))
            .env("HOLDLINE_SOCKET", self.socket())
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(failed)?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        self.daemon = Some(child);
        match timeout(START_TIME, self.first_connection()).await {
            Ok(client) => client,
            Err(_) => Err(Failed::new(Exit::Failure, "the daemon did not serve its socket in time")),
        }
    }

    async fn first_connection(&mut self) -> Result<Client, Failed> {
        loop {
            let ended = self.daemon.as_mut().and_then(|daemon| daemon.try_wait().ok().flatten());
            if let Some(status) = ended {
                return Err(Failed::new(Exit::Failure, format!("the daemon ended at its start ({status})")));
            }
            if let Ok(client) = self.connect().await {
                return Ok(client);
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Another app's connection to the daemon.
    pub(super) async fn connect(&self) -> Result<Client, Failed> {
        Client::connect(&self.socket()).await.map_err(|error| {
            Failed::new(Exit::Failure, format!("cannot connect to the demo's daemon: {error}"))
        })
    }

    /// Kills the daemon as `kill -9` does.
    pub(super) async fn kill_daemon(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            // It may have ended by itself.
            let _ = daemon.kill().await;
        }
    }

    /// The end of the daemon's log.
    pub(super) fn log(&self) -> String {
        let text = fs::read_to_string(self.folder.log()).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        let shown = &lines[lines.len().saturating_sub(LOG_LINES)..];
        shown.iter().map(|line| format!("  daemon: {}\n", crate::cli::words::plain(line))).collect()
    }

    /// Ends daemon and server and removes the folder.
    pub(super) async fn strike(mut self) {
        self.kill_daemon().await;
        self.server.stop().await;
        drop(self.folder);
    }
}

fn config(url: &str) -> String {
    format!(
        r#"[server]
url = "{url}"
dialect = "holdline"

[reconnect]
delays = ["100ms", "200ms", "400ms", "800ms"]

[types."typing"]
delivery = "ephemeral"

[types."tick"]
delivery = "ephemeral"

[types."order_status"]
key = "/orderId"

[notifications]
catch_up = "0s"

[[notify]]
type = "{NOTICE}"
title = "{{{{ data.title }}}}"
body = "holdline demo"
"#
    )
}

/// A private folder, removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn make(name: &str) -> io::Result<Self> {
        // The path of a socket has little room: the end of the id is its random part.
        let name = format!("holdline-demo-{}", &name[name.len().saturating_sub(8)..]);
        let path = std::env::temp_dir().join(name);
        #[cfg_attr(not(unix), allow(unused_mut, reason = "only Unix has modes to set"))]
        let mut builder = fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&path)?;
        let folder = Self(path);
        builder.create(folder.0.join("state"))?;
        Ok(folder)
    }

    fn log(&self) -> PathBuf {
        self.0.join("daemon.log")
    }

    fn write(&self, name: &str, text: &str) -> io::Result<()> {
        let path: &Path = &self.0.join(name);
        let mut options = fs::File::options();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(path)?.write_all(text.as_bytes())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Nothing more can be done about what cannot be removed.
        let _ = fs::remove_dir_all(&self.0);
    }
}
