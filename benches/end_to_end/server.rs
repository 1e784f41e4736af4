//! The far side: a WebSocket server that speaks the `holdline` protocol, counts what it is sent,
//! acknowledges in batches, and can go away and come back.
//!
//! One thread serves one connection, and looks for no more in a frame than a number or two: what it
//! takes of the machine is to be little beside the subject.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use memchr::memmem::{self, Finder};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio_tungstenite::tungstenite::{self, Error, Message, WebSocket};

use crate::message::{finder, number_after, write_body};
use crate::stats::now;
use crate::tally::Tally;

/// Frames taken, or events written, before the other direction has its turn.
const BATCH: usize = 256;
/// Events written before a flush.
const EVENTS: usize = 64;
/// How long an upgrade may take.
const UPGRADE: Duration = Duration::from_secs(5);

/// The server and its place.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) port: u16,
    shared: Arc<Shared>,
    serving: Option<Serving>,
}

#[derive(Debug)]
struct Serving {
    thread: JoinHandle<()>,
    wake: UnixStream,
}

#[derive(Debug, Default)]
struct Shared {
    tally: Tally,
    /// Events published so far, numbered from 1.
    pushed: AtomicU64,
    /// The newest event the client has confirmed.
    confirmed: AtomicU64,
    down: AtomicBool,
    moments: Mutex<Moments>,
}

/// When what happened last.
#[derive(Debug, Default, Clone)]
pub(crate) struct Moments {
    /// A connection was accepted.
    pub(crate) accepted: Option<Instant>,
    /// The first message on it came.
    pub(crate) first_row: Option<Instant>,
    /// An event was written.
    pub(crate) pushed: Vec<(u64, Instant)>,
}

impl Server {
    /// Listens on a port of its own.
    pub(crate) fn start() -> Self {
        let mut server = Self::absent();
        server.come_up();
        server
    }

    /// Has a port, and does not listen yet.
    pub(crate) fn absent() -> Self {
        Self { port: crate::process::free_port(), shared: Arc::default(), serving: None }
    }

    /// Listens (again).
    pub(crate) fn come_up(&mut self) {
        if self.serving.is_some() {
            return;
        }
        let listener = TcpListener::bind(("127.0.0.1", self.port)).expect("our own port");
        listener.set_nonblocking(true).expect("a listener");
        let (wake, woken) = UnixStream::pair().expect("a pair");
        wake.set_nonblocking(true).expect("a pair");
        woken.set_nonblocking(true).expect("a pair");
        self.shared.down.store(false, Ordering::Release);
        let shared = Arc::clone(&self.shared);
        let thread = std::thread::spawn(move || serve(&listener, &woken, &shared));
        self.serving = Some(Serving { thread, wake });
    }

    /// Cuts the connection and listens no more.
    pub(crate) fn go_down(&mut self) {
        let Some(serving) = self.serving.take() else { return };
        self.shared.down.store(true, Ordering::Release);
        let _ = (&serving.wake).write(b"!");
        serving.thread.join().expect("the server ends well");
    }

    /// What has come.
    pub(crate) fn tally(&self) -> &Tally {
        &self.shared.tally
    }

    /// Publishes `count` events; the number of the last one.
    pub(crate) fn push(&self, count: usize) -> u64 {
        let newest = self.shared.pushed.fetch_add(count as u64, Ordering::AcqRel) + count as u64;
        if let Some(serving) = &self.serving {
            let _ = (&serving.wake).write(b"!");
        }
        newest
    }

    /// Waits until the client has confirmed event `number`, which it does once that is on its disk.
    pub(crate) fn confirmed(&self, number: u64) {
        let (mut since, mut before) = (now(), 0);
        loop {
            let newest = self.shared.confirmed.load(Ordering::Acquire);
            if newest >= number {
                break;
            }
            if newest > before {
                (since, before) = (now(), newest);
            }
            assert!(
                since.elapsed() < crate::process::PATIENCE,
                "events are not confirmed: {newest} of {number}"
            );
            std::thread::sleep(Duration::from_micros(500));
        }
    }

    /// When what happened, since this was asked last.
    pub(crate) fn moments(&self) -> Moments {
        std::mem::take(&mut self.shared.moments())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.go_down();
    }
}

impl Shared {
    fn moments(&self) -> std::sync::MutexGuard<'_, Moments> {
        self.moments.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn serve(listener: &TcpListener, mut woken: &UnixStream, shared: &Shared) {
    let mut session: Option<Session> = None;
    let mut bell = [0; 64];
    while !shared.down.load(Ordering::Acquire) {
        let mut fds = vec![PollFd::new(listener, PollFlags::IN), PollFd::new(woken, PollFlags::IN)];
        let mut timeout = None;
        if let Some(session) = &session {
            let wanted = if session.blocked { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
            fds.push(PollFd::new(session.ws.get_ref(), wanted));
            timeout = session.more.then_some(Timespec { tv_sec: 0, tv_nsec: 0 });
        }
        poll(&mut fds, timeout.as_ref()).expect("sockets");
        while woken.read(&mut bell).is_ok_and(|count| count == bell.len()) {}
        if let Ok((stream, _)) = listener.accept() {
            shared.moments().accepted = Some(now());
            session = Session::open(stream).or(session);
        }
        if session.as_mut().is_some_and(|session| session.turn(shared).is_err()) {
            session = None;
        }
    }
}

struct Session {
    ws: WebSocket<TcpStream>,
    names: Names,
    /// The socket takes no more for now.
    blocked: bool,
    /// There is more to do without waiting for the socket.
    more: bool,
    /// The first message is still to come.
    fresh: bool,
    /// The newest message, and the newest that was acknowledged.
    newest: u64,
    acked: u64,
    /// The event sent last, once the client has said where it stands.
    position: Option<u64>,
    numbers: Vec<u64>,
    text: Vec<u8>,
}

/// What is looked for in a frame.
struct Names {
    no: Finder<'static>,
    n: Finder<'static>,
    event: Finder<'static>,
    since: Finder<'static>,
}

/// The connection is over.
struct Over;

impl Session {
    fn open(stream: TcpStream) -> Option<Self> {
        stream.set_nonblocking(false).ok()?;
        stream.set_nodelay(true).ok()?;
        stream.set_read_timeout(Some(UPGRADE)).ok()?;
        let ws = tungstenite::accept(stream).ok()?;
        ws.get_ref().set_nonblocking(true).ok()?;
        let names = Names {
            no: Finder::new(br#""messageNo":"#),
            n: finder(),
            event: Finder::new(br#""eventId":"b-"#),
            since: Finder::new(br#""since":"b-"#),
        };
        Some(Self {
            ws,
            names,
            blocked: false,
            more: true,
            fresh: true,
            newest: 0,
            acked: 0,
            position: None,
            numbers: Vec::with_capacity(BATCH),
            text: Vec::new(),
        })
    }

    fn turn(&mut self, shared: &Shared) -> Result<(), Over> {
        self.more = false;
        self.read(shared)?;
        shared.tally.take(&self.numbers);
        if !self.numbers.is_empty() && std::mem::take(&mut self.fresh) {
            shared.moments().first_row = Some(now());
        }
        self.numbers.clear();
        self.blocked = false;
        if self.newest > self.acked {
            self.acked = self.newest;
            self.say(format!(r#"{{"type":"ack","upTo":{}}}"#, self.acked))?;
        }
        self.flush()?;
        if !self.blocked {
            self.feed(shared)?;
        }
        self.flush()
    }

    fn read(&mut self, shared: &Shared) -> Result<(), Over> {
        for _ in 0..BATCH {
            match self.ws.read() {
                Ok(Message::Text(text)) => self.take(text.as_bytes(), shared)?,
                Ok(_) => {}
                Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(_) => return Err(Over),
            }
        }
        self.more = true;
        Ok(())
    }

    fn take(&mut self, frame: &[u8], shared: &Shared) -> Result<(), Over> {
        if let Some(number) = number_after(frame, &self.names.no) {
            self.newest = number;
            self.numbers.extend(number_after(frame, &self.names.n));
        } else if let Some(number) = number_after(frame, &self.names.event) {
            shared.confirmed.fetch_max(number, Ordering::AcqRel);
        } else if memmem::find(frame, br#""resume""#).is_some() {
            let newest = shared.pushed.load(Ordering::Acquire);
            let position = number_after(frame, &self.names.since).unwrap_or(newest);
            self.position = Some(position);
            self.say(format!(r#"{{"type":"resumed","from":"b-{position}"}}"#))?;
        } else if memmem::find(frame, br#""ping""#).is_some() {
            self.say(r#"{"type":"pong"}"#.to_owned())?;
        }
        Ok(())
    }

    /// Writes events the client has not had, while it takes them.
    fn feed(&mut self, shared: &Shared) -> Result<(), Over> {
        let Some(mut position) = self.position else { return Ok(()) };
        let newest = shared.pushed.load(Ordering::Acquire);
        let begin = position;
        while position < newest && !self.blocked {
            if position - begin >= BATCH as u64 {
                self.more = true;
                break;
            }
            position += 1;
            self.text.clear();
            let _ = write!(self.text, r#"{{"type":"tick","eventId":"b-{position}","data":"#);
            write_body(&mut self.text, position);
            self.text.push(b'}');
            let text = String::from_utf8(self.text.clone()).expect("ASCII");
            // One that comes alone is timed.
            if position == newest && position - begin == 1 {
                shared.moments().pushed.push((position, now()));
            }
            self.say(text)?;
            if (position - begin).is_multiple_of(EVENTS as u64) {
                self.flush()?;
            }
        }
        self.position = Some(position);
        Ok(())
    }

    fn say(&mut self, text: String) -> Result<(), Over> {
        match self.ws.write(Message::text(text)) {
            Ok(()) => Ok(()),
            // It is buffered all the same.
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {
                self.blocked = true;
                Ok(())
            }
            Err(_) => Err(Over),
        }
    }

    fn flush(&mut self) -> Result<(), Over> {
        match self.ws.flush() {
            Ok(()) => Ok(()),
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {
                self.blocked = true;
                Ok(())
            }
            Err(_) => Err(Over),
        }
    }
}
