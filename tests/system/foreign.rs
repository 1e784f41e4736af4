//! Foreign programs as they come from the distribution: each on an address of this test run's own,
//! with its files in a folder that goes with it.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tempfile::TempDir;

use crate::support::tls::Identity;
use crate::support::until_blocking;

/// An address that no other process of this machine uses: a loopback address made of our own id.
pub(crate) fn address() -> Ipv4Addr {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 128 | high, middle, low)
}

/// A port of it that nothing else of this run takes.
pub(crate) fn port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(4000);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A program that serves. Dropped, it is ended with all it has started.
pub(crate) struct Foreign {
    child: Child,
    folder: TempDir,
}

impl Foreign {
    /// Starts a program and waits until somebody listens on `port`. `words` is given the folder for
    /// its files. With names, it sees these in its `/etc/hosts` and nobody else does.
    pub(crate) fn start(port: u16, names: Option<&str>, words: impl FnOnce(&Path) -> Vec<String>) -> Self {
        let folder = tempfile::Builder::new().prefix("hlf").tempdir().unwrap();
        let mut words = words(folder.path());
        if let Some(names) = names {
            let hosts = folder.path().join("hosts");
            fs::write(&hosts, names).unwrap();
            let script = format!("mount --bind {} /etc/hosts && exec \"$@\"", hosts.display());
            let before = ["unshare", "--mount", "sh", "-c", &script, "sh"].map(str::to_owned);
            words.splice(0..0, before);
        }
        let log = File::create(folder.path().join("output")).unwrap();
        let child = Command::new(&words[0])
            .args(&words[1..])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .process_group(0)
            .spawn()
            .unwrap();
        let mut this = Self { child, folder };
        let at = SocketAddr::from((address(), port));
        until_blocking(&format!("{words:?} to listen on {at}"), || {
            if let Some(status) = this.child.try_wait().unwrap() {
                panic!("{words:?} ended ({status}): {}", this.read("output"));
            }
            TcpStream::connect(at).ok()
        });
        this
    }

    /// A file of its folder.
    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// A path in its folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Asks it to read its configuration again.
    pub(crate) fn hang_up(&self) {
        kill_process(self.pid(), Signal::HUP).unwrap();
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        // The group is its own: it was started so.
        let _ = kill_process_group(self.pid(), Signal::KILL);
        let _ = self.child.wait();
    }
}

/// nginx in front of a server.
pub(crate) struct Nginx(Foreign);

/// One `server` of nginx: its port, whom it claims to be, further lines, and what it does with a
/// request.
pub(crate) struct Front<'a> {
    pub(crate) port: u16,
    pub(crate) identity: &'a Identity,
    pub(crate) lines: &'a str,
    pub(crate) locations: String,
}

/// Hands a request on to the server at this port of 127.0.0.1.
pub(crate) fn hand_on(port: u16) -> String {
    format!(
        "location / {{ proxy_pass http://127.0.0.1:{port}; proxy_http_version 1.1; \
         proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; }}"
    )
}

impl Nginx {
    pub(crate) fn start(fronts: &[Front<'_>]) -> Self {
        Self(Foreign::start(fronts[0].port, None, |folder| {
            write_nginx(folder, fronts);
            ["nginx", "-p", &folder.display().to_string(), "-c", "nginx.conf"].map(str::to_owned).to_vec()
        }))
    }

    /// Takes these fronts in place of what it had.
    pub(crate) fn replace(&self, fronts: &[Front<'_>]) {
        write_nginx(self.0.folder.path(), fronts);
        self.0.hang_up();
    }

    /// A line for each request: port, name asked for by SNI, protocol, request, status.
    pub(crate) fn requests(&self) -> String {
        self.0.read("access")
    }

    /// Waits for a line with this in it. A connection is put down when it is over.
    pub(crate) fn logged(&self, words: &str) {
        until_blocking(&format!("nginx to log {words}"), || self.requests().contains(words).then_some(()));
    }

    /// What it complained of.
    pub(crate) fn errors(&self) -> String {
        self.0.read("error")
    }
}

fn write_nginx(folder: &Path, fronts: &[Front<'_>]) {
    let mut servers = String::new();
    for Front { port, identity, lines, locations } in fronts {
        let (cert, key) = (folder.join(format!("{port}.pem")), folder.join(format!("{port}.key")));
        fs::write(&cert, &identity.cert).unwrap();
        fs::write(&key, &identity.key).unwrap();
        let http2 = if lines.contains("# h2") { "http2" } else { "" };
        servers.push_str(&format!(
            "server {{ listen {}:{port} ssl {http2};\nssl_certificate {};\nssl_certificate_key {};\n{lines}\n{locations}\n}}\n",
            address(),
            cert.display(),
            key.display(),
        ));
    }
    let config = format!(
        "user root;\ndaemon off;\npid pid;\nerror_log error info;\nworker_processes 1;\nevents {{}}\nhttp {{\n\
         log_format l '$server_port \"$ssl_server_name\" $server_protocol \"$request\" $status';\n\
         access_log access l;\nclient_body_temp_path body;\nproxy_temp_path proxy;\nfastcgi_temp_path f;\n\
         uwsgi_temp_path u;\nscgi_temp_path s;\n{servers}}}\n"
    );
    fs::write(folder.join("nginx.conf"), config).unwrap();
}
