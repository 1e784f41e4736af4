//! What waits for the socket, and whether the socket takes it.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::Sink as _;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::{COMMANDS, Socket, WRITE_BUFFER};
use crate::model::Instant;

/// Frames on their way out, in order.
#[derive(Default)]
pub(super) struct Outbound {
    queue: VecDeque<(Message, Option<u64>)>,
    /// The last ticket handed to the socket and not flushed yet.
    ticket: Option<u64>,
    /// Bytes handed to the socket since the last flush.
    unflushed: usize,
    /// Something was handed to the socket, by us or by the library itself.
    dirty: bool,
    state: State,
    /// The socket takes nothing: since when, and how much it had taken then.
    blocked: Option<Blocked>,
}

#[derive(Default, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    /// The last frame is in the queue.
    Sealed,
    /// Writing failed.
    Dead,
}

struct Blocked {
    /// None until somebody who knows the time looked.
    progress: Option<(Instant, u64)>,
    /// Bytes the wire had taken when it was last said that it takes some.
    said: u64,
}

/// What came of writing.
pub(super) enum Wrote {
    /// All handed over so far is out.
    Flushed {
        /// The last ticket among it.
        ticket: Option<u64>,
        /// The socket had been full before.
        blocked: bool,
    },
    /// The socket takes nothing more for now (said once).
    Blocked,
    /// It was full, took some, and is full again.
    Moved,
    /// It will never take anything again.
    Failed(Error),
}

impl Outbound {
    /// How many more commands may be taken.
    pub(super) fn room(&self) -> usize {
        if self.state == State::Open { COMMANDS.saturating_sub(self.queue.len()) } else { 0 }
    }

    pub(super) fn push(&mut self, message: Message, ticket: Option<u64>) {
        if self.state == State::Open {
            self.queue.push_back((message, ticket));
        }
    }

    /// Nothing is taken any more; what is queued goes out.
    pub(super) fn seal(&mut self) {
        if self.state == State::Open {
            self.state = State::Sealed;
        }
    }

    pub(super) fn is_sealed(&self) -> bool {
        self.state == State::Sealed
    }

    /// Nothing goes out any more.
    pub(super) fn give_up(&mut self) {
        *self = Self { state: State::Dead, ..Self::default() };
    }

    /// The library itself has put a frame in place.
    pub(super) fn flush_soon(&mut self) {
        self.dirty = self.state != State::Dead;
    }

    /// Since when the blocked socket has taken nothing.
    pub(super) fn last_progress(&self) -> Option<Instant> {
        self.blocked.as_ref()?.progress.map(|(at, _)| at)
    }

    /// Tells the time and how many bytes the wire has taken in all.
    pub(super) fn note_progress(&mut self, now: Instant, bytes: u64) {
        if let Some(Blocked { progress, .. }) = &mut self.blocked
            && progress.is_none_or(|(_, before)| bytes > before)
        {
            *progress = Some((now, bytes));
        }
    }

    /// Hands frames over until enough are gathered, then flushes them all together.
    pub(super) fn poll_write(&mut self, socket: &mut Socket, cx: &mut Context<'_>) -> Poll<Wrote> {
        let mut socket = Pin::new(socket);
        while self.unflushed < WRITE_BUFFER
            && let Some((message, ticket)) = self.queue.pop_front()
        {
            self.unflushed += message.len();
            self.dirty = true;
            if let Err(error) = socket.as_mut().start_send(message) {
                return Poll::Ready(Wrote::Failed(error));
            }
            self.ticket = ticket.or(self.ticket);
        }
        if !self.dirty {
            return Poll::Pending;
        }
        match socket.as_mut().poll_flush(cx) {
            Poll::Ready(Ok(())) => {
                self.dirty = false;
                self.unflushed = 0;
                let blocked = self.blocked.take().is_some();
                Poll::Ready(Wrote::Flushed { ticket: self.ticket.take(), blocked })
            }
            Poll::Ready(Err(error)) => Poll::Ready(Wrote::Failed(error)),
            Poll::Pending => {
                let bytes = socket.get_ref().bytes_written();
                let Some(blocked) = &mut self.blocked else {
                    self.blocked = Some(Blocked { progress: None, said: bytes });
                    return Poll::Ready(Wrote::Blocked);
                };
                let before = std::mem::replace(&mut blocked.said, bytes);
                if before < bytes { Poll::Ready(Wrote::Moved) } else { Poll::Pending }
            }
        }
    }
}
