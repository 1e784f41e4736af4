//! A line that is cut: bytes go through to the server until a test says otherwise.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::until_blocking;

/// How a line ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// As if the other end had closed it: what is under way is lost.
    Closed,
    /// By a reset.
    Reset,
    /// In the middle of the next bytes that come, whichever way: half of them still go through.
    Torn,
}

impl Cut {
    /// Each in its turn.
    pub(crate) fn nth(n: usize) -> Self {
        [Self::Torn, Self::Closed, Self::Reset][n % 3]
    }
}

/// Where nothing comes for so long, there is nothing to tear.
const QUIET: Duration = Duration::from_millis(300);

const FLOWING: u8 = 0;
const TORN: u8 = 1;
const ENDED: u8 = 2;

/// One connection through it: the client's end and the server's.
struct Line {
    client: TcpStream,
    server: TcpStream,
    state: AtomicU8,
}

impl Line {
    fn end(&self, how: Shutdown) {
        if self.state.swap(ENDED, Ordering::SeqCst) != ENDED {
            // They may have ended by themselves.
            let _ = self.client.shutdown(how);
            let _ = self.server.shutdown(how);
        }
    }

    /// Closed with bytes to come and no time to linger, a socket is reset. Reading is ended only to
    /// wake those who read: whoever of them is the last closes it.
    fn reset(&self) {
        for stream in [&self.client, &self.server] {
            // One that has ended by itself needs no reset.
            let _ = rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO));
        }
        self.end(Shutdown::Read);
    }

    fn ended(&self) -> bool {
        self.state.load(Ordering::SeqCst) == ENDED
    }

    fn carry(&self, mut from: &TcpStream, mut to: &TcpStream, carried: &AtomicU64) {
        let mut buffer = [0; 16 * 1024];
        loop {
            let count = match from.read(&mut buffer) {
                Ok(count) if count > 0 => count,
                _ => break,
            };
            let part = match self.state.load(Ordering::SeqCst) {
                FLOWING => count,
                TORN => count / 2,
                _ => break,
            };
            if to.write_all(&buffer[..part]).is_err() || part < count {
                break;
            }
            carried.fetch_add(part as u64, Ordering::SeqCst);
        }
        self.end(Shutdown::Both);
    }
}

/// A proxy in front of a server.
pub(crate) struct Cutter {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    lines: Mutex<Vec<Arc<Line>>>,
    connections: AtomicU64,
    carried: AtomicU64,
    over: AtomicBool,
}

impl Shared {
    fn lines(&self) -> Vec<Arc<Line>> {
        let mut lines = self.lines.lock().expect("no panic in there");
        lines.retain(|line| !line.ended());
        lines.clone()
    }
}

impl Cutter {
    /// Stands before the server on that port.
    pub(crate) fn before(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming() {
                if theirs.over.load(Ordering::SeqCst) {
                    break;
                }
                // Where nobody listens the client is hung up on, as a proxy would.
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(("127.0.0.1", server))) else {
                    continue;
                };
                let (Ok(()), Ok(())) = (client.set_nodelay(true), server.set_nodelay(true)) else { continue };
                let line = Arc::new(Line { client, server, state: AtomicU8::new(FLOWING) });
                theirs.connections.fetch_add(1, Ordering::SeqCst);
                theirs.lines.lock().expect("no panic in there").push(Arc::clone(&line));
                for up in [true, false] {
                    let (line, shared) = (Arc::clone(&line), Arc::clone(&theirs));
                    thread::spawn(move || {
                        let (from, to) =
                            if up { (&line.client, &line.server) } else { (&line.server, &line.client) };
                        line.carry(from, to, &shared.carried);
                    });
                }
            }
        });
        Self { port, shared }
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// How many connections there have been.
    pub(crate) fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// How many bytes have gone through, both ways.
    pub(crate) fn carried(&self) -> u64 {
        self.shared.carried.load(Ordering::SeqCst)
    }

    /// Cuts every line there is, and gives how many that were.
    pub(crate) fn cut(&self, how: Cut) -> usize {
        let lines = self.shared.lines();
        for line in &lines {
            match how {
                Cut::Closed => line.end(Shutdown::Both),
                Cut::Reset => line.reset(),
                Cut::Torn => {
                    // One that has ended stays so.
                    let _ = line.state.compare_exchange(FLOWING, TORN, Ordering::SeqCst, Ordering::SeqCst);
                }
            }
        }
        if how == Cut::Torn {
            let began = Instant::now();
            until_blocking("bytes to come and be torn", || {
                let over = lines.iter().all(|line| line.ended());
                (over || began.elapsed() > QUIET).then_some(())
            });
            for line in &lines {
                line.end(Shutdown::Both);
            }
        }
        let count = lines.len();
        drop(lines);
        self.shared.lines();
        count
    }
}

impl Drop for Cutter {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        for line in self.shared.lines() {
            line.end(Shutdown::Both);
        }
        // Wakes the one that accepts, so that it sees that it is over.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}
