//! A NATS leaf with a JetStream file store; the hub sources its stream. It acknowledges after a write
//! without a flush: what holdline promises with normal durability.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Job, OUT, program};
use crate::figures::Figures;
use crate::message::{finder, number_after, write_body};
use crate::options::Scale;
use crate::process::{PATIENCE, Process, connect, folder, free_port};
use crate::stats::now;
use crate::tally::Tally;
use crate::wire::Protocol;

/// Unanswered publishes of the app.
const WINDOW: usize = 1024;

fn start(dir: &Path, name: &str, leafs: &str) -> (Process, u16) {
    let port = free_port();
    let dir = folder(dir, &format!("nats-{port}"));
    let config = dir.join("nats.conf");
    let text = format!(
        "server_name: {name}\nlisten: \"127.0.0.1:{port}\"\n\
         jetstream {{ store_dir: \"{}\", domain: {name} }}\nleafnodes {{ {leafs} }}\n",
        dir.display()
    );
    std::fs::write(&config, text).expect("a configuration");
    let mut command = Command::new(program("nats-server").expect("installed"));
    let process = Process::start(command.arg("-c").arg(&config));
    drop(connect(port));
    (process, port)
}

/// A leaf that looks for its hub at `hub`, with its stream.
fn leaf(dir: &Path, hub: u16) -> (Process, u16) {
    let remotes = format!("remotes: [ {{ url: \"nats://127.0.0.1:{hub}\" }} ]");
    let (process, port) = start(dir, "leaf", &remotes);
    let mut admin = Client::new(port);
    admin.ask("$JS.API.STREAM.CREATE.OUT", &json!({"name": "OUT", "subjects": ["out.x"], "storage": "file"}));
    (process, port)
}

/// O1 and O3.
pub(crate) fn rows(dir: &Path, scale: &Scale, figures: &mut Figures) {
    let leafs = free_port();
    let (_hub, hub) = start(dir, "hub", &format!("listen: \"127.0.0.1:{leafs}\""));
    let (_leaf, port) = leaf(dir, leafs);
    let mut admin = Client::new(hub);
    let source = json!({"name": "OUT", "external": {"api": "$JS.leaf.API", "deliver": ""}});
    admin.ask("$JS.API.STREAM.CREATE.FAR", &json!({"name": "FAR", "storage": "file", "sources": [source]}));
    let receiver = Receiver::start(hub);
    let mut app = Client::new(port);
    app.say("SUB acks.> 1\r\n");
    let socket = app.socket();
    let mut job = Job {
        who: "NATS leaf",
        socket,
        protocol: Publishes::default(),
        far: &receiver.tally,
        window: WINDOW,
    };
    job.throughput("O1", scale.messages, figures);
    job.one_by_one("O3", OUT, scale.paced, figures);
}

/// One that does nothing, without a hub.
pub(crate) fn idle(dir: &Path) -> Process {
    start(dir, "leaf", "").0
}

/// A leaf whose hub is not there.
pub(crate) fn backlog(dir: &Path, scale: &Scale, figures: &mut Figures) {
    let (process, port) = leaf(dir, free_port());
    let far = Tally::default();
    let mut app = Client::new(port);
    app.say("SUB acks.> 1\r\n");
    let socket = app.socket();
    let mut job = Job { who: "NATS leaf", socket, protocol: Publishes::default(), far: &far, window: WINDOW };
    job.pile_up(&process, &scale.depths, figures);
}

/// Publishes messages and wants each acknowledged by the stream.
#[derive(Debug, Default)]
struct Publishes {
    body: Vec<u8>,
}

impl Protocol for Publishes {
    fn request(&mut self, n: u64, out: &mut Vec<u8>) {
        self.body.clear();
        write_body(&mut self.body, n);
        let _ = write!(out, "PUB out.x acks.a {}\r\n", self.body.len());
        out.extend_from_slice(&self.body);
        out.extend_from_slice(b"\r\n");
    }

    fn answers(&mut self, input: &[u8]) -> (usize, usize) {
        let (mut used, mut answers) = (0, 0);
        while let Some((payload, length)) = message(&input[used..]) {
            if let Some(payload) = payload {
                assert!(
                    memchr::memmem::find(payload, br#""error""#).is_none(),
                    "{}",
                    String::from_utf8_lossy(payload)
                );
                answers += 1;
            }
            used += length;
        }
        (used, answers)
    }
}

/// A line, with its payload where it is a message; and how many bytes it had. A PING is passed over: what
/// is measured is over before the second one.
fn message(input: &[u8]) -> Option<(Option<&[u8]>, usize)> {
    let end = memchr::memchr(b'\n', input)? + 1;
    let line = &input[..end];
    if !line.starts_with(b"MSG ") {
        assert!(!line.starts_with(b"-ERR"), "NATS says: {}", String::from_utf8_lossy(line));
        return Some((None, end));
    }
    let length = memchr::memrchr(b' ', line).map(|at| &line[at + 1..end - 2]).unwrap_or_default();
    let length: usize = std::str::from_utf8(length).ok()?.parse().expect("a length");
    Some((Some(input.get(end..end + length)?), end + length + 2)).filter(|(_, used)| *used <= input.len())
}

/// A connection that asks and waits.
struct Client {
    read: BufReader<TcpStream>,
}

impl Client {
    fn new(port: u16) -> Self {
        let mut this = Self { read: BufReader::new(connect(port)) };
        let greeting = this.line();
        assert!(greeting.starts_with("INFO"), "{greeting}");
        this.say("CONNECT {\"verbose\":false,\"pedantic\":false}\r\nPING\r\n");
        while !this.line().starts_with("PONG") {}
        this
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.read.read_line(&mut line).expect("NATS answers");
        assert!(!line.is_empty(), "NATS closed the connection");
        line
    }

    fn say(&mut self, text: &str) {
        self.read.get_mut().write_all(text.as_bytes()).expect("NATS reads");
    }

    /// One request of JetStream, until it is done: after the start it takes a while to be ready.
    fn ask(&mut self, subject: &str, request: &Value) -> Value {
        let request = request.to_string();
        let begin = now();
        self.say("SUB answers 9\r\n");
        loop {
            self.say(&format!("PUB {subject} answers {}\r\n{request}\r\nPING\r\n", request.len()));
            let mut answer = Value::Null;
            loop {
                let line = self.line();
                if line.starts_with("MSG ") {
                    let length = line.trim_end().rsplit(' ').next().and_then(|text| text.parse().ok());
                    let mut payload = vec![0; length.unwrap_or(0) + 2];
                    self.read.read_exact(&mut payload).expect("NATS answers");
                    answer = serde_json::from_slice(&payload[..payload.len() - 2]).expect("JSON");
                } else if line.starts_with("PONG") && (!answer.is_null() || begin.elapsed() > PATIENCE) {
                    break;
                } else if line.starts_with("PONG") {
                    std::thread::sleep(Duration::from_millis(20));
                    self.say("PING\r\n");
                }
            }
            if answer["error"].is_null() && !answer.is_null() {
                return answer;
            }
            assert!(begin.elapsed() < PATIENCE, "{subject}: {answer}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn socket(self) -> TcpStream {
        self.read.into_inner()
    }
}

/// Somebody at the hub who is given everything.
struct Receiver {
    tally: Arc<Tally>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Receiver {
    fn start(hub: u16) -> Self {
        let mut client = Client::new(hub);
        client.say("SUB far 1\r\n");
        let config = json!({"deliver_subject": "far", "ack_policy": "none", "deliver_policy": "all", "replay_policy": "instant"});
        client.ask("$JS.API.CONSUMER.CREATE.FAR", &json!({"stream_name": "FAR", "config": config}));
        let stream = client.socket();
        stream.set_read_timeout(Some(Duration::from_millis(100))).expect("TCP");
        let (tally, over) = (Arc::<Tally>::default(), Arc::new(AtomicBool::new(false)));
        let (far, stop) = (Arc::clone(&tally), Arc::clone(&over));
        let thread = std::thread::spawn(move || receive(stream, &far, &stop));
        Self { tally, over, thread: Some(thread) }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn receive(mut stream: TcpStream, tally: &Tally, over: &AtomicBool) {
    let finder = finder();
    let (mut input, mut filled) = (vec![0; 256 * 1024], 0);
    let mut numbers = Vec::new();
    while !over.load(Ordering::Acquire) {
        match stream.read(&mut input[filled..]) {
            Ok(0) => return,
            Ok(count) => filled += count,
            // Nothing came for a while.
            Err(_) => continue,
        }
        let mut used = 0;
        while let Some((payload, length)) = message(&input[used..filled]) {
            numbers.extend(payload.and_then(|payload| number_after(payload, &finder)));
            used += length;
        }
        input.copy_within(used..filled, 0);
        filled -= used;
        tally.take(&numbers);
        numbers.clear();
    }
}
