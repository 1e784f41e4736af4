//! One look at the socket: what it takes, and what it has.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::Stream as _;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::Socket;
use super::outbound::{Outbound, Wrote};

/// What came of polling the socket: at least one of both.
pub(super) struct Turn {
    pub(super) wrote: Option<Wrote>,
    pub(super) read: Option<Read>,
}

/// What was read.
pub(super) enum Read {
    Whole(Message),
    /// Bytes, but nothing whole.
    Part,
    Failed(Error),
    End,
}

/// Writes what can be written, then reads one message.
pub(super) fn poll_socket(
    socket: &mut Socket,
    outbound: &mut Outbound,
    counted: &mut u64,
    may_read: bool,
    cx: &mut Context<'_>,
) -> Poll<Turn> {
    let wrote = match outbound.poll_write(socket, cx) {
        Poll::Ready(wrote) => Some(wrote),
        Poll::Pending => None,
    };
    let read = match poll_read(socket, counted, may_read, cx) {
        Poll::Ready(read) => Some(read),
        Poll::Pending => None,
    };
    if wrote.is_none() && read.is_none() { Poll::Pending } else { Poll::Ready(Turn { wrote, read }) }
}

pub(super) fn poll_read(
    socket: &mut Socket,
    counted: &mut u64,
    may_read: bool,
    cx: &mut Context<'_>,
) -> Poll<Read> {
    if !may_read {
        return Poll::Pending;
    }
    let polled = Pin::new(&mut *socket).poll_next(cx);
    let bytes = socket.get_ref().bytes_read();
    let more = std::mem::replace(counted, bytes) < bytes;
    if polled.is_pending() && more {
        return Poll::Ready(Read::Part);
    }
    Poll::Ready(match ready!(polled) {
        Some(Ok(message)) => Read::Whole(message),
        Some(Err(error)) => Read::Failed(error),
        None => Read::End,
    })
}
