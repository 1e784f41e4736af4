//! Processes that are measured: started in folders of their own, ended by their id, and looked at
//! through `/proc`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::stats::now;

/// How long a program may take to come up, or to do anything else that is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A child process, ended by its id when this is dropped.
#[derive(Debug)]
pub(crate) struct Process(Child);

impl Process {
    /// Starts `command` with nobody to talk to.
    pub(crate) fn start(command: &mut Command) -> Self {
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(quiet.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// `kill -9`, and waits for its end.
    pub(crate) fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    /// Resident memory, in MiB.
    pub(crate) fn rss(&self) -> f64 {
        status_mib(self.id(), "VmRSS:")
    }

    /// The most that was resident since [`Process::forget_peak`], in MiB.
    pub(crate) fn peak(&self) -> f64 {
        status_mib(self.id(), "VmHWM:")
    }

    /// Begins the peak anew.
    pub(crate) fn forget_peak(&self) {
        std::fs::write(format!("/proc/{}/clear_refs", self.id()), "5").expect("our own child");
    }

    /// Time on a processor so far, of all threads there are.
    pub(crate) fn cpu(&self) -> Duration {
        let nanoseconds = self.threads("schedstat", |text| text.split_whitespace().next()?.parse().ok());
        Duration::from_nanos(nanoseconds.values().sum())
    }

    /// Context switches of each thread so far.
    pub(crate) fn switches(&self) -> BTreeMap<OsString, u64> {
        self.threads("status", |text| {
            let lines = text.lines().filter(|line| line.contains("ctxt_switches"));
            Some(lines.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).sum())
        })
    }

    fn threads(&self, file: &str, value: impl Fn(&str) -> Option<u64>) -> BTreeMap<OsString, u64> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.id())).expect("Linux");
        let values = tasks.flatten().filter_map(|task| {
            let text = std::fs::read_to_string(task.path().join(file)).ok()?;
            Some((task.file_name(), value(&text)?))
        });
        values.collect()
    }

    /// CPU time so far, in clock ticks.
    pub(crate) fn ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id())).expect("Linux");
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        fields.get(11..13).map_or(0, |times| times.iter().filter_map(|t| t.parse::<u64>().ok()).sum())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn status_mib(pid: u32, name: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|rest| rest.split_whitespace().next()).and_then(|kib| kib.parse::<f64>().ok());
    kib.unwrap_or(f64::NAN) / 1024.0
}

/// A port nobody listens on.
pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback");
    listener.local_addr().expect("bound").port()
}

/// Connects as soon as something listens there.
pub(crate) fn connect(port: u16) -> TcpStream {
    let begin = now();
    loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(stream) => {
                stream.set_nodelay(true).expect("TCP");
                stream.set_read_timeout(Some(PATIENCE)).expect("TCP");
                return stream;
            }
            Err(error) => assert!(begin.elapsed() < PATIENCE, "port {port}: {error}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Makes a folder below `dir`.
pub(crate) fn folder(dir: &Path, name: &str) -> std::path::PathBuf {
    let path = dir.join(name);
    std::fs::create_dir_all(&path).expect("a folder");
    path
}
