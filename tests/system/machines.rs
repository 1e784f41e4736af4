//! Two machines on one cable, each a network namespace: the daemon's and the server's. What is done to
//! the cable, to their routes and to their filters touches nobody else, and goes with them.
#![allow(clippy::unwrap_used, reason = "a fixture that cannot go on fails the test")]

use std::fs;
use std::io::Write as _;
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;

use holdline::dev_server::{DevServer, Options, Stats};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::support::{needs, until_blocking};

/// The daemon's address, the server's, and another one of the server.
pub(crate) const HERE: &str = "10.77.0.2";
pub(crate) const SERVER: &str = "10.77.0.1";
pub(crate) const OTHER: &str = "10.77.0.11";
pub(crate) const SERVER6: &str = "fd77::1";
/// Where the server listens.
pub(crate) const PORT: u16 = 9800;

static COUNT: AtomicU32 = AtomicU32::new(0);

/// The two machines.
pub(crate) struct Machines {
    here: String,
    there: String,
}

impl Machines {
    /// Both, connected, with the server's as the way to everywhere else. None where this machine
    /// cannot do it, which is said.
    pub(crate) fn new() -> Option<Self> {
        let programs = needs::programs(&["ip", "nft", "tc", "ss"]);
        if !(programs && needs::root()) {
            return None;
        }
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = |end: &str| format!("hl-{}-{number}-{end}", std::process::id());
        let this = Self { here: name("a"), there: name("b") };
        if !needs::working("a network namespace", Command::new("ip").args(["netns", "add", &this.here])) {
            return None;
        }
        run(&["ip", "netns", "add", &this.there]);
        let (here, there) = (this.here.clone(), this.there.clone());
        run(&[
            "ip", "link", "add", "va", "netns", &here, "type", "veth", "peer", "name", "vb", "netns", &there,
        ]);
        for (space, link, addresses) in [
            (&here, "va", vec![format!("{HERE}/24"), "fd77::2/64".into()]),
            (&there, "vb", vec![format!("{SERVER}/24"), format!("{OTHER}/24"), format!("{SERVER6}/64")]),
        ] {
            run(&["ip", "-n", space, "link", "set", "lo", "up"]);
            for address in addresses {
                // Without the second in which an IPv6 address is tried out.
                let nodad: &[&str] = if address.contains(':') { &["nodad"] } else { &[] };
                run(&[&["ip", "-n", space, "address", "add", &address, "dev", link], nodad].concat());
            }
            run(&["ip", "-n", space, "link", "set", link, "up"]);
        }
        this.route();
        Some(this)
    }

    /// The daemon's machine is given its way out, as by a router that greets it.
    pub(crate) fn route(&self) {
        run(&["ip", "-n", &self.here, "route", "replace", "default", "via", SERVER]);
    }

    /// The cable is pulled out of the daemon's machine, or put in.
    pub(crate) fn cable(&self, up: bool) {
        run(&["ip", "-n", &self.here, "link", "set", "va", if up { "up" } else { "down" }]);
        if up {
            self.route();
        }
    }

    /// What comes before a program that is to run on the daemon's machine.
    pub(crate) fn prefix(&self) -> Vec<String> {
        ["ip", "netns", "exec", &self.here].map(str::to_owned).to_vec()
    }

    /// Runs a program on the daemon's machine.
    pub(crate) fn run_here(&self, command: &[&str]) {
        run(&[&["ip", "netns", "exec", &self.here], command].concat());
    }

    /// The filter of the server's machine: rules for what comes in, and for what goes out.
    pub(crate) fn filter(&self, incoming: &str, outgoing: &str) {
        let script = format!(
            "table inet hl {{}}\ndelete table inet hl\ntable inet hl {{\n\
             chain in {{ type filter hook input priority 0; {incoming} }}\n\
             chain out {{ type filter hook output priority 0; {outgoing} }}\n}}\n"
        );
        let mut nft = Command::new("ip")
            .args(["netns", "exec", &self.there, "nft", "-f", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        nft.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        assert!(nft.wait().unwrap().success(), "{script}");
    }

    /// No filter any more.
    pub(crate) fn clear(&self) {
        self.filter("", "");
    }

    /// Everything to and from the server's port is swallowed.
    pub(crate) fn black_hole(&self) {
        self.filter(&format!("tcp dport {PORT} drop;"), &format!("tcp sport {PORT} drop;"));
    }

    /// What the daemon's machine sends goes out at this rate (`tc`'s way of writing it).
    pub(crate) fn slow_down(&self, rate: &str) {
        self.run_here(&[
            "tc", "qdisc", "replace", "dev", "va", "root", "tbf", "rate", rate, "burst", "1600", "latency",
            "400ms",
        ]);
    }

    /// Runs `work` with this thread on the server's machine.
    pub(crate) fn there<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let space = self.space();
        let entered = std::thread::spawn(move || {
            enter(&space);
            work()
        });
        entered.join().unwrap()
    }

    fn space(&self) -> PathBuf {
        PathBuf::from("/var/run/netns").join(&self.there)
    }

    /// Starts a server on the server's machine.
    pub(crate) fn server(&self, address: &str) -> Server {
        self.server_with(address, Options { keep_bodies: true, ..Options::default() })
    }

    /// The same with options.
    pub(crate) fn server_with(&self, address: &str, options: Options) -> Server {
        let listen = SocketAddr::new(address.parse().unwrap(), PORT);
        let options = Options { listen, allow_remote: true, ..options };
        let (started, ready) = mpsc::channel();
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let space = self.space();
        let thread = std::thread::spawn(move || {
            enter(&space);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                started.send(DevServer::start(options).await.unwrap()).unwrap();
                // Dropped is as good as sent.
                let _ = ended.await;
            });
        });
        Server { server: Some(ready.recv().unwrap()), end: Some(end), thread: Some(thread) }
    }

    /// Has the daemon's machine ask the server's for names, and wait so long for an answer.
    pub(crate) fn ask_for_names(&self, seconds: u32) {
        let folder = PathBuf::from("/etc/netns").join(&self.here);
        fs::create_dir_all(&folder).unwrap();
        let lines = format!("nameserver {SERVER}\noptions timeout:{seconds} attempts:1\n");
        fs::write(folder.join("resolv.conf"), lines).unwrap();
    }

    /// Starts a name server on the server's machine, and has the daemon's machine ask it.
    pub(crate) fn names(&self) -> Names {
        self.ask_for_names(1);
        let socket = self.there(|| UdpSocket::bind((SERVER, 53)).unwrap());
        Names::serve(socket)
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        for space in [&self.here, &self.there] {
            // What is left of them is no test's matter.
            let _ = Command::new("ip").args(["netns", "del", space]).stderr(Stdio::null()).status();
        }
        let _ = fs::remove_dir_all(PathBuf::from("/etc/netns").join(&self.here));
    }
}

fn enter(space: &PathBuf) {
    let space = fs::File::open(space).unwrap();
    move_into_link_name_space(std::os::fd::AsFd::as_fd(&space), Some(LinkNameSpaceType::Network)).unwrap();
}

fn run(command: &[&str]) {
    let output = Command::new(command[0]).args(&command[1..]).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A server on the server's machine. Dropped, it is gone.
pub(crate) struct Server {
    server: Option<DevServer>,
    end: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl std::ops::Deref for Server {
    type Target = DevServer;

    fn deref(&self) -> &DevServer {
        self.server.as_ref().expect("it runs")
    }
}

impl Server {
    /// Waits until its figures fit.
    pub(crate) fn wait_until(&self, what: &str, fits: impl Fn(&Stats) -> bool) -> Stats {
        until_blocking(what, || Some(self.stats()).filter(|stats| fits(stats)))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.server.take();
        self.end.take();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has failed the test already.
            let _ = thread.join();
        }
    }
}

/// What the name server says.
#[derive(Debug, Clone, Default)]
pub(crate) enum Says {
    /// Nothing at all.
    #[default]
    Nothing,
    /// There is no such name.
    NoSuchName,
    /// It cannot tell.
    Failure,
    /// These addresses.
    Addresses(Vec<std::net::IpAddr>),
}

/// A name server that knows one answer to everything.
pub(crate) struct Names {
    says: std::sync::Arc<std::sync::Mutex<Says>>,
    stop: std::sync::Arc<std::sync::atomic::AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Names {
    fn serve(socket: UdpSocket) -> Self {
        let says = std::sync::Arc::new(std::sync::Mutex::new(Says::default()));
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let (answer, ended) = (says.clone(), stop.clone());
        // Only so that it sees when it is to end.
        socket.set_read_timeout(Some(std::time::Duration::from_millis(100))).unwrap();
        let thread = std::thread::spawn(move || {
            let mut question = [0; 512];
            while !ended.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut question) else { continue };
                let says = answer.lock().unwrap().clone();
                if let Some(answer) = reply(&question[..length], &says) {
                    socket.send_to(&answer, from).unwrap();
                }
            }
        });
        Self { says, stop, thread: Some(thread) }
    }

    /// From now on it says this.
    pub(crate) fn say(&self, says: Says) {
        *self.says.lock().unwrap() = says;
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A reply (RFC 1035, section 4) to a question for A or AAAA.
fn reply(question: &[u8], says: &Says) -> Option<Vec<u8>> {
    let name_end = 12 + question.get(12..)?.iter().position(|byte| *byte == 0)? + 1;
    let kind = u16::from_be_bytes(question.get(name_end..name_end + 2)?.try_into().ok()?);
    let (code, addresses) = match says {
        Says::Nothing => return None,
        Says::NoSuchName => (3, &[][..]),
        Says::Failure => (2, &[][..]),
        Says::Addresses(addresses) => (0, addresses.as_slice()),
    };
    let records: Vec<Vec<u8>> = addresses
        .iter()
        .filter_map(|address| match (address, kind) {
            (std::net::IpAddr::V4(v4), 1) => Some(v4.octets().to_vec()),
            (std::net::IpAddr::V6(v6), 28) => Some(v6.octets().to_vec()),
            _ => None,
        })
        .collect();
    // A reply, recursion wanted and had; one question, some answers.
    let mut answer = question.get(..2)?.to_vec();
    answer.extend([0x81, 0x80 | code, 0, 1, 0, records.len() as u8, 0, 0, 0, 0]);
    answer.extend_from_slice(question.get(12..name_end + 4)?);
    for record in records {
        // The name is where the question has it; a minute to live.
        answer.extend([0xc0, 12]);
        answer.extend(kind.to_be_bytes());
        answer.extend([0, 1, 0, 0, 0, 60, 0, record.len() as u8]);
        answer.extend(record);
    }
    Some(answer)
}
