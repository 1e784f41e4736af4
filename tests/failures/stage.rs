//! Where a failure is played: servers and networks that are wrong, and a daemon that meets them.

use std::any::Any;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use holdline::model::{LinkState, ReasonKind, Timestamp};
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio_tungstenite::tungstenite::Message;

use crate::rows::Row;
use crate::support::daemon::{Client, Daemon};
use crate::support::server::{Builder, Peer, Request, ScriptedServer, Upgrade};
use crate::table;

/// The delay of `reconnect.delays` on the stage: long enough that a state can be looked at.
const DELAY: Duration = Duration::from_secs(20);
/// How long a state may take to come. The longest patience of the daemon's own is a minute.
const COMES_WITHIN: Duration = Duration::from_secs(100);

/// A configuration.
pub struct Config {
    url: String,
    server: String,
    more: String,
    delay: Duration,
}

impl Config {
    pub fn to(url: impl Into<String>) -> Self {
        Self { url: url.into(), server: String::new(), more: String::new(), delay: DELAY }
    }

    /// A line of `[server]`.
    pub fn server(mut self, line: &str) -> Self {
        self.server.push_str(line);
        self.server.push('\n');
        self
    }

    /// Further sections.
    pub fn more(mut self, text: &str) -> Self {
        self.more.push_str(text);
        self.more.push('\n');
        self
    }

    /// Another delay than [`DELAY`].
    pub const fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    fn text(&self) -> String {
        format!(
            "[server]\nurl = \"{}\"\n{}\n[reconnect]\ndelays = [\"{}ms\"]\njitter = 0.0\n{}\n",
            self.url,
            self.server,
            self.delay.as_millis(),
            self.more
        )
    }
}

/// A daemon that meets the failure, and what must live as long.
pub struct Scene {
    pub daemon: Daemon,
    kept: Vec<Box<dyn Any>>,
    after: Vec<Box<dyn FnOnce()>>,
}

impl Scene {
    /// Lives as long as the scene.
    pub fn keeping(mut self, what: impl Any) -> Self {
        self.kept.push(Box::new(what));
        self
    }

    /// Looked at when the failure was seen.
    pub fn then(mut self, look: impl FnOnce() + 'static) -> Self {
        self.after.push(Box::new(look));
        self
    }
}

pub struct Stage {
    runtime: Handle,
}

impl Stage {
    pub const fn new(runtime: Handle) -> Self {
        Self { runtime }
    }

    /// Waits for what is asynchronous.
    pub fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    pub fn server(&self, builder: Builder) -> ScriptedServer {
        self.wait(builder.start())
    }

    /// Starts a daemon.
    pub fn daemon(&self, config: &Config) -> Scene {
        self.prepared(config, |_| {})
    }

    /// Starts a daemon whose folders are made ready first.
    pub fn prepared(&self, config: &Config, prepare: impl FnOnce(&mut Daemon)) -> Scene {
        let mut daemon = Daemon::prepare(&config.text());
        prepare(&mut daemon);
        daemon.restart();
        Scene { daemon, kept: Vec::new(), after: Vec::new() }
    }

    /// A server that answers the upgrade so.
    pub fn answered(&self, answer: impl Fn(&Request) -> Upgrade + Send + Sync + 'static) -> Scene {
        self.answered_with(|config| config, answer)
    }

    /// As [`Stage::answered`], with a configuration of its own.
    pub fn answered_with(
        &self,
        set: impl FnOnce(Config) -> Config,
        answer: impl Fn(&Request) -> Upgrade + Send + Sync + 'static,
    ) -> Scene {
        let server = self.server(ScriptedServer::builder().answer(move |_, request| answer(request)));
        self.daemon(&set(Config::to(server.url()))).keeping(server)
    }

    /// A connection that stands, and the server's end of it.
    pub fn connected(&self) -> (Scene, Peer) {
        self.connected_with(|config| config)
    }

    /// As [`Stage::connected`], with a configuration of its own.
    pub fn connected_with(&self, set: impl FnOnce(Config) -> Config) -> (Scene, Peer) {
        let server = self.server(ScriptedServer::builder());
        let scene = self.daemon(&set(Config::to(server.url())));
        let peer = self.wait(server.accept());
        scene.daemon.wait_for("connected");
        (scene.keeping(server), peer)
    }

    /// A connection on which the server then writes these bytes.
    pub fn sends(&self, bytes: impl Into<Vec<u8>>) -> Scene {
        let (scene, peer) = self.connected();
        peer.send_raw(bytes);
        scene.keeping(peer)
    }

    /// A connection that the server then closes.
    pub fn closes(&self, code: u16, reason: &str) -> Scene {
        let (scene, peer) = self.connected();
        peer.close(code, reason);
        scene.keeping(peer)
    }

    /// A server whose dialect is a file of our own, and which sends `first` as soon as somebody is
    /// there, and `then` to whatever it is sent.
    pub fn spoken(&self, dialect: &'static str, replies: &[&str]) -> (Scene, Peer) {
        let replies: Vec<Message> = replies.iter().map(|text| Message::text(*text)).collect();
        let server = self.server(ScriptedServer::builder().reply(move |_, _| replies.clone()));
        let config = Config::to(server.url()).server("dialect = \"own.toml\"");
        let scene = self.prepared(&config, |daemon| {
            daemon.write_private("config/holdline/own.toml", dialect);
        });
        let peer = self.wait(server.accept());
        (scene.keeping(server), peer)
    }

    /// Plays the row, waits for its failure, and gives its line.
    pub fn look(&self, row: &Row) -> String {
        let mut scene = (row.play)(self);
        let mut client = scene.daemon.client();
        let told = if row.fleeting {
            wait_for(row, &mut client, |client| {
                let history = client.call("link.history", &json!({})).unwrap();
                let seen = history["history"].as_array().unwrap().iter();
                seen.rev().find(|entry| entry["reason"]["kind"] == row.kind.as_str()).cloned()
            })
        } else {
            let link = wait_for(row, &mut client, |client| {
                let link = client.call("status", &json!({})).unwrap()["link"].take();
                let there = link["reason"]["kind"] == row.kind.as_str()
                    && link["next_retry_at"].is_string()
                    && wait_of(&link) > Duration::from_millis(500);
                there.then_some(link)
            });
            compare_sentence(&scene.daemon, &link);
            link
        };
        for look in scene.after.drain(..) {
            look();
        }
        let state = told["to"].as_str().or(told["state"].as_str()).unwrap();
        let said = |name: &str| self.normal(&scene.daemon, told["reason"][name].as_str().unwrap_or_default());
        let next = next(row, state, &told);
        table::line(&[
            row.name,
            &format!("`{state}`"),
            &format!("`{}`", row.kind.as_str()),
            &said("text"),
            &said("hint"),
            &next,
        ])
    }

    /// Ports, folders and times are others each time.
    pub fn normal(&self, daemon: &Daemon, text: &str) -> String {
        let mut text = text.replace(&daemon.path("").display().to_string(), "…/");
        for host in ["127.0.0.1:", "localhost:"] {
            let mut from = 0;
            while let Some(at) = text[from..].find(host) {
                let begin = from + at + host.len();
                let end =
                    text[begin..].find(|c: char| !c.is_ascii_digit()).map_or(text.len(), |len| begin + len);
                text.replace_range(begin..end, "PORT");
                from = begin;
            }
        }
        let second = "0000-00-00T00:00:00Z";
        let is_time = |text: &str| {
            text.bytes()
                .zip(second.bytes())
                .all(|(byte, like)| if like == b'0' { byte.is_ascii_digit() } else { byte == like })
        };
        let mut from = 0;
        while let Some(at) =
            (from..text.len()).find(|at| text.get(*at..at + second.len()).is_some_and(is_time))
        {
            text.replace_range(at..at + second.len(), "TIME");
            from = at;
        }
        text
    }
}

#[allow(clippy::disallowed_methods, reason = "a deadline of a test")]
fn wait_for<T>(row: &Row, client: &mut Client, mut look: impl FnMut(&mut Client) -> Option<T>) -> T {
    let begin = std::time::Instant::now();
    loop {
        if let Some(seen) = look(client) {
            return seen;
        }
        if begin.elapsed() > COMES_WITHIN {
            let status = client.call("status", &json!({})).unwrap();
            panic!("{} never came: {}", row.kind.as_str(), status["link"]);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn time(value: &Value) -> Timestamp {
    Timestamp::parse(value.as_str().expect("a time")).expect("RFC 3339")
}

/// How long is waited for the next try, as decided when it failed.
fn wait_of(told: &Value) -> Duration {
    time(&told["next_retry_at"]).since(time(&told["reason"]["at"]))
}

/// `ctl status` says the same, in one sentence and a line of what to do.
fn compare_sentence(daemon: &Daemon, link: &Value) {
    let said = daemon.ctl(&["status"]);
    let said = String::from_utf8(said.stdout).unwrap();
    let text = link["reason"]["text"].as_str().unwrap();
    let clause = text.strip_prefix("Connection lost: ").unwrap_or(text);
    let sentence = said.lines().next().unwrap_or_default();
    assert!(sentence.contains(clause), "`ctl status` says something else than \"{clause}\":\n{said}");
    let hint = link["reason"]["hint"].as_str().unwrap_or_default();
    let flat: String = said.split_whitespace().collect::<Vec<_>>().join(" ");
    let wanted: String = hint.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flat.contains(&wanted), "`ctl status` does not say what to do, \"{hint}\":\n{said}");
    let state = link["state"].as_str().unwrap();
    if ["unauthorized", "misconfigured"].contains(&state) {
        assert!(said.contains("What to do"), "a red state without advice:\n{said}");
    }
}

/// What comes next, from the time of the next try.
fn next(row: &Row, state: &str, told: &Value) -> String {
    let wait = wait_of(told).as_secs_f64();
    let delay = row.delay.as_secs_f64();
    let about = |wanted: f64| (wait - wanted).abs() < 0.1;
    let stretched = |wanted: f64| (wanted..wanted * 1.2 + 0.1).contains(&wait);
    if wait < 0.05 {
        return "it dials at once; if that ends within `reconnect.stable_after` too, after the next of `reconnect.delays`".into();
    }
    if let Some(wish) = row.wish {
        assert!(stretched(wish.as_secs_f64()), "{wait} s are not {wish:?} and up to a fifth more");
        return format!("a try after {}, or up to a fifth later", words(wish));
    }
    if state == LinkState::Unauthorized.as_str() {
        assert!(stretched(900.0), "{wait} s");
        if row.kind == ReasonKind::ProxyAuthRefused {
            return "a try after a reload, else every 15 minutes".into();
        }
        return "a try at once when the credential changes, else every 15 minutes".into();
    }
    assert!(about(delay), "the next try is due in {wait} s, not after the delay of {delay} s");
    if state == LinkState::Misconfigured.as_str() {
        "tries after `reconnect.delays` for ten minutes, then every five minutes".into()
    } else if state == LinkState::Offline.as_str() {
        "a try as soon as there is a network, else after the next of `reconnect.delays`".into()
    } else {
        "a try after the next of `reconnect.delays`".into()
    }
}

fn words(time: Duration) -> String {
    match time.as_secs() {
        3600 => "an hour".into(),
        seconds => format!("{seconds} s"),
    }
}

/// A network namespace of our own: its names, routes and addresses are what the test says.
pub struct Net {
    name: String,
}

impl Net {
    /// With the loopback device only.
    pub fn empty() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("hlf{}x{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        run(&["ip", "netns", "add", &name]);
        let net = Self { name };
        net.ip(&["link", "set", "lo", "up"]);
        net
    }

    /// With a device that leads to the documentation's network 192.0.2.0/24.
    pub fn with_device() -> Self {
        let net = Self::empty();
        net.ip(&["link", "add", "there", "type", "veth", "peer", "name", "back"]);
        net.ip(&["addr", "add", "192.0.2.10/24", "dev", "there"]);
        net.ip(&["link", "set", "there", "up"]);
        net.ip(&["link", "set", "back", "up"]);
        net
    }

    pub fn ip(&self, arguments: &[&str]) {
        run(&[&["ip", "-n", &self.name], arguments].concat());
    }

    /// The words before a program that runs it in here, with this file as `resolv.conf`.
    pub fn words(&self, resolver: Option<&Path>) -> Vec<String> {
        let mut words: Vec<String> =
            ["ip", "netns", "exec", &self.name].iter().map(|word| (*word).to_owned()).collect();
        if let Some(file) = resolver {
            words.extend(["sh".into(), "-c".into()]);
            // `ip netns exec` has made the mounts private.
            words.push(format!("mount --bind {} /etc/resolv.conf && exec \"$@\"", file.display()));
            words.push("sh".into());
        }
        words
    }

    /// A name server in here that says this to every question (none: nothing at all).
    pub fn name_server(&self, code: Option<u8>) -> Arc<UdpSocket> {
        let path = format!("/var/run/netns/{}", self.name);
        let opened = std::thread::spawn(move || {
            let place = std::fs::File::open(path).unwrap();
            let network = Some(rustix::thread::LinkNameSpaceType::Network);
            rustix::thread::move_into_link_name_space(std::os::fd::AsFd::as_fd(&place), network).unwrap();
            let address: SocketAddr = "127.0.0.1:53".parse().unwrap();
            UdpSocket::bind(address).unwrap()
        });
        let socket = Arc::new(opened.join().unwrap());
        let serving = Arc::downgrade(&socket);
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        std::thread::spawn(move || {
            let mut question = [0; 512];
            while let Some(socket) = serving.upgrade() {
                let Ok((length, from)) = socket.recv_from(&mut question) else { continue };
                if let (Some(code), true) = (code, length > 12) {
                    // The question comes back as the answer, with the code in it.
                    question[2] |= 0x80;
                    question[3] = 0x80 | code;
                    let _ = socket.send_to(&question[..length], from);
                }
            }
        });
        socket
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        run(&["ip", "netns", "del", &self.name]);
    }
}

fn run(words: &[&str]) {
    let ended = Command::new(words[0]).args(&words[1..]).output().unwrap();
    assert!(ended.status.success(), "{words:?}: {}", String::from_utf8_lossy(&ended.stderr));
}

/// Whether network namespaces can be made.
pub fn namespaces() -> bool {
    use crate::support::needs;
    needs::root()
        && needs::programs(&["ip", "unshare"])
        && needs::working("a network namespace", Command::new("unshare").args(["--net", "true"]))
}

/// Whether mounts can be made that nobody else sees.
pub fn mounts() -> bool {
    use crate::support::needs;
    needs::root()
        && needs::programs(&["unshare", "mount"])
        && needs::working("a mount of our own", Command::new("unshare").args(["--mount", "true"]))
}

pub const fn nothing() -> bool {
    true
}
