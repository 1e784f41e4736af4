//! A server that speaks WebSocket byte by byte, as right or as wrong as the test likes, and how much
//! memory a process takes for it.
//!
//! ```ignore
//! let server = RawServer::start();
//! let mut peer = server.accept();           // somebody has dialled and is upgraded
//! peer.write(&frame(FIN | RSV1 | TEXT, b"x"));
//! assert_eq!(peer.close_code(), Some(1002)); // what the client's close frame says
//! ```
//!
//! All of it blocks; nothing is answered by itself.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::PATIENCE;
use super::frames::{CLOSE, PING, PONG};

/// The server.
pub struct RawServer {
    listener: TcpListener,
    address: SocketAddr,
}

impl RawServer {
    /// Listens on a free port of this machine.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        Self { listener, address }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("ws://{}/socket", self.address)
    }

    /// The next client, upgraded.
    pub fn accept(&self) -> RawPeer {
        let mut peer = self.accept_tcp();
        let key = peer.read_request();
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\n\r\n",
            derive_accept_key(key.as_bytes())
        );
        peer.write(answer.as_bytes());
        peer
    }

    /// The next client, not even read from.
    pub fn accept_tcp(&self) -> RawPeer {
        self.listener.set_nonblocking(true).unwrap();
        let (stream, _) = super::until_blocking("a client to connect", || self.listener.accept().ok());
        stream.set_nonblocking(false).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        RawPeer { stream }
    }
}

/// A frame of the client, its mask taken off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawFrame {
    /// Flags and opcode.
    pub first: u8,
    /// What was in it.
    pub payload: Vec<u8>,
}

impl RawFrame {
    /// Its opcode.
    pub const fn opcode(&self) -> u8 {
        self.first & 0x0f
    }
}

/// One client.
pub struct RawPeer {
    stream: TcpStream,
}

impl RawPeer {
    /// The bare connection.
    pub const fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Reads a request and gives its WebSocket key.
    pub fn read_request(&mut self) -> String {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            self.stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.lines().filter_map(|line| line.split_once(':'));
        let key = lines.find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"));
        key.map(|(_, key)| key.trim().to_owned()).unwrap_or_default()
    }

    /// Writes bytes as they are. A client that hangs up in the middle is one of the things to see.
    pub fn write(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Writes bytes one by one, each in a packet of its own.
    pub fn drip(&mut self, bytes: &[u8], pause: Duration) -> bool {
        bytes.iter().all(|byte| {
            std::thread::sleep(pause);
            self.write(std::slice::from_ref(byte))
        })
    }

    /// Hangs up without a word.
    pub fn hang_up(&self) {
        // The client may have been faster.
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }

    /// The client's next frame; none once it has hung up.
    pub fn frame(&mut self) -> Option<RawFrame> {
        let mut head = [0; 2];
        self.stream.read_exact(&mut head).ok()?;
        assert!(head[1] & 0x80 != 0, "a client masks");
        let length = match head[1] & 0x7f {
            126 => {
                let mut length = [0; 2];
                self.stream.read_exact(&mut length).ok()?;
                u64::from(u16::from_be_bytes(length))
            }
            127 => {
                let mut length = [0; 8];
                self.stream.read_exact(&mut length).ok()?;
                u64::from_be_bytes(length)
            }
            short => u64::from(short),
        };
        let mut mask = [0; 4];
        self.stream.read_exact(&mut mask).ok()?;
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        self.stream.read_exact(&mut payload).ok()?;
        for (byte, mask) in payload.iter_mut().zip(mask.iter().cycle()) {
            *byte ^= mask;
        }
        Some(RawFrame { first: head[0], payload })
    }

    /// The client's next frame that is no ping and no pong.
    pub fn data(&mut self) -> Option<RawFrame> {
        loop {
            let frame = self.frame()?;
            if ![PING, PONG].contains(&frame.opcode()) {
                return Some(frame);
            }
        }
    }

    /// The code of the client's close frame, whatever comes before it; none where it hangs up
    /// without one. Nothing may come behind it.
    pub fn close_code(&mut self) -> Option<u16> {
        while let Some(frame) = self.frame() {
            if frame.opcode() == CLOSE {
                let code = frame.payload.get(..2)?;
                assert!(self.frame().is_none(), "a frame behind the close");
                return Some(u16::from_be_bytes([code[0], code[1]]));
            }
        }
        None
    }
}

/// What a process has of memory.
pub struct Memory {
    pid: u32,
}

impl Memory {
    /// Of this process.
    pub const fn of(pid: u32) -> Self {
        Self { pid }
    }

    /// Resident bytes now.
    pub fn resident(&self) -> u64 {
        self.field("VmRSS:")
    }

    /// The most that was resident since the start, or since [`Memory::forget_peak`].
    pub fn peak(&self) -> u64 {
        self.field("VmHWM:")
    }

    /// The peak begins anew (proc(5), `clear_refs`).
    pub fn forget_peak(&self) {
        std::fs::write(format!("/proc/{}/clear_refs", self.pid), "5").unwrap();
    }

    fn field(&self, name: &str) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }
}
