//! The byte stream under the WebSocket: plain or TLS, counting what passes on the wire.
//!
//! On a slow line the system would take a minute's worth of bytes at once and look as if it had sent
//! them: a ping would wait behind them unseen, and nobody could tell a server that takes little from
//! one that takes nothing. So no more is handed over than keeps a fast line busy.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// Bytes handed to the system at once, and bytes it may have and not have sent when it is given more
/// (half of this). Several seconds' worth on the slowest line, and enough for a fast one.
const UNSENT: usize = 8 * 1024;
/// Bytes handed over at once where the line has kept up so far. The WebSocket library moves the rest
/// of its buffer after each write, so small steps through a large message cost the square of it.
const STEP: usize = 256 * 1024;
/// But never more than this part of what waits: below half a MiB nothing is gained by it, and a slow
/// line that took its first steps at once (its queues were empty) would look dead behind a large one.
const PART: usize = 64;

/// A TCP connection that counts. The counts tell progress where no whole frame does: that the
/// server sends (a sign of life), and that it reads (a write is slow, not stalled).
pub(super) struct Counted {
    tcp: TcpStream,
    read: u64,
    written: u64,
    /// Bytes handed over with the next write: more each time the system had sent what it was given
    /// before, few again as soon as it had not.
    step: usize,
}

impl Counted {
    pub(super) fn new(tcp: TcpStream) -> Self {
        // From then on the system calls the socket writable only while less than half of it waits to
        // be sent. Without it the link still works.
        #[cfg(target_os = "linux")]
        let _ = socket2::SockRef::from(&tcp).set_tcp_notsent_lowat(UNSENT as u32);
        Self { tcp, read: 0, written: 0, step: UNSENT }
    }

    /// Waits until the system has sent nearly all it was given. A write would not wait for that: it
    /// is asked for itself.
    #[cfg(target_os = "linux")]
    fn poll_sent(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        loop {
            std::task::ready!(self.tcp.poll_write_ready(cx))?;
            let asked = self.tcp.try_io(tokio::io::Interest::WRITABLE, || {
                match poll(&mut [PollFd::new(&self.tcp, PollFlags::OUT)], Some(&at_once)) {
                    Ok(0) => Err(io::ErrorKind::WouldBlock.into()),
                    // An error, too, is for the write to find.
                    Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
                    Err(error) => Err(error.into()),
                }
            });
            match asked {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                asked => return Poll::Ready(asked),
            }
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn poll_sent(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Waits until the system may be given more, and says how much.
    fn poll_step(&mut self, cx: &mut Context<'_>, waiting: usize) -> Poll<io::Result<usize>> {
        match self.poll_sent(cx) {
            Poll::Ready(sent) => Poll::Ready(sent.map(|()| self.step.min(UNSENT.max(waiting / PART)))),
            Poll::Pending => {
                self.step = UNSENT;
                Poll::Pending
            }
        }
    }

    fn count_written(&mut self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(count)) = polled {
            self.written += count as u64;
            if count >= self.step {
                self.step = (2 * self.step).min(STEP);
            }
        }
        polled
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.tcp).poll_read(cx, buf);
        self.read += (buf.filled().len() - before) as u64;
        polled
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let step = std::task::ready!(self.poll_step(cx, buf.len()))?;
        let polled = Pin::new(&mut self.tcp).poll_write(cx, &buf[..buf.len().min(step)]);
        self.count_written(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let waiting = bufs.iter().map(|buf| buf.len()).sum();
        let step = std::task::ready!(self.poll_step(cx, waiting))?;
        let mut fits = 0;
        let count = bufs.iter().take_while(|buf| {
            fits += buf.len();
            fits <= step
        });
        let count = count.count();
        let polled = match bufs.get(..count) {
            Some(some) if !some.is_empty() => Pin::new(&mut self.tcp).poll_write_vectored(cx, some),
            // The first alone is too much.
            _ => {
                let first = bufs.first().map_or(&[][..], |buf| buf);
                Pin::new(&mut self.tcp).poll_write(cx, &first[..first.len().min(step)])
            }
        };
        self.count_written(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

/// A stream to the server.
pub(super) enum ServerStream {
    /// `ws://`
    Plain(Counted),
    /// `wss://`
    Tls(Box<TlsStream<Counted>>),
}

impl ServerStream {
    fn wire(&self) -> &Counted {
        match self {
            Self::Plain(wire) => wire,
            Self::Tls(tls) => tls.get_ref().0,
        }
    }

    /// Bytes read off the wire so far.
    pub(super) fn bytes_read(&self) -> u64 {
        self.wire().read
    }

    /// Bytes the system took for the wire so far.
    pub(super) fn bytes_written(&self) -> u64 {
        self.wire().written
    }
}

impl AsyncRead for ServerStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(wire) => Pin::new(wire).poll_read(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for ServerStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(wire) => Pin::new(wire).poll_write(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(wire) => Pin::new(wire).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(wire) => Pin::new(wire).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}
