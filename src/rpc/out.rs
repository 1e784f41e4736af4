//! What goes out on one connection: a small bounded buffer and the task that writes it.
//!
//! Whoever has something to say waits for room, so a slow reader holds up nobody but those who
//! serve it, and what they hold is bounded by this buffer.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::chunk::Chunk;
use super::pen::Way;
use super::receipts::{Ready, Receipts};

/// Messages that wait to be written.
pub(super) const MAX_LINES: usize = 64;

/// Their bytes. A larger one goes alone.
pub(super) const MAX_BYTES: usize = 256 * 1024;

/// A reader that accepts not one byte for so long is given up.
pub(super) const ACCEPTED_WITHIN: Duration = Duration::from_secs(60);

/// Bytes that go out in one write, where so much is there.
const WRITE: usize = 64 * 1024;

/// What has so many bytes is written from where it is, and not copied once more.
const LARGE: usize = 16 * 1024;

/// Bytes of room that are kept while there is nothing to write.
const KEPT: usize = 4 * 1024;

/// How often is looked whether an app that writes no more still reads.
const LOOK: Duration = Duration::from_secs(1);

/// Done when the message was handed to the socket.
pub(super) type Written = Box<dyn FnOnce() + Send>;

/// What is written as one.
enum Text {
    /// A message.
    One(String),
    /// Some, with what tells them apart.
    Many(Arc<Chunk>),
}

struct Line {
    text: Text,
    written: Option<Written>,
    _room: OwnedSemaphorePermit,
}

/// The connection is gone; nobody will read this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gone;

/// Where messages for one connection are put.
#[derive(Debug, Clone)]
pub(super) struct Outbox {
    lines: mpsc::Sender<Line>,
    room: Arc<Semaphore>,
}

/// The other end of an [`Outbox`].
#[derive(Debug)]
pub(super) struct Lines(mpsc::Receiver<Line>);

/// A new buffer.
pub(super) fn buffer() -> (Outbox, Lines) {
    let (lines, waiting) = mpsc::channel(MAX_LINES);
    (Outbox { lines, room: Arc::new(Semaphore::new(MAX_BYTES)) }, Lines(waiting))
}

impl Outbox {
    /// Puts `text` behind what is there, once there is room.
    pub(super) async fn push(&self, text: String) -> Result<(), Gone> {
        self.put(text.len(), Text::One(text), None).await
    }

    /// The same with some at once; `written` is called when they were handed to the socket.
    pub(super) async fn push_all(&self, chunk: Arc<Chunk>, written: Option<Written>) -> Result<(), Gone> {
        self.put(chunk.text.len(), Text::Many(chunk), written).await
    }

    async fn put(&self, bytes: usize, text: Text, written: Option<Written>) -> Result<(), Gone> {
        let bytes = u32::try_from(bytes.min(MAX_BYTES)).map_err(|_| Gone)?;
        let room = Arc::clone(&self.room).acquire_many_owned(bytes).await.map_err(|_| Gone)?;
        self.lines.send(Line { text, written, _room: room }).await.map_err(|_| Gone)
    }
}

/// Why writing ended before there was nothing more to write.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    /// Not one byte was accepted in time.
    #[error("the app read nothing for {} s", ACCEPTED_WITHIN.as_secs())]
    Slow,
    /// The connection broke.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Writes what is put into the buffer until its last [`Outbox`] is gone, and receipts as they come.
/// `finished`: the app writes no more.
pub(super) async fn write<W: AsyncWrite + Send + Unpin + 'static>(
    to: W,
    Lines(lines): Lines,
    receipts: Arc<Receipts>,
    finished: CancellationToken,
) -> Result<(), WriteError> {
    let way = Some(Box::new(to) as Way);
    let mut writer =
        Writer { way, rest: Vec::new(), lines, receipts, ready: VecDeque::new(), took: Vec::new() };
    let mut bytes = Vec::new();
    let mut taken = Vec::new();
    while let Some(first) = writer.next(&mut bytes, &finished).await? {
        let framing = writer.receipts.framing();
        let mut answered = 0;
        let mut next = Some(first);
        let mut large = None;
        while let Some(piece) = next {
            match piece {
                Piece::Line(line) => {
                    match &line.text {
                        Text::One(text) => framing.frame(text, &mut bytes),
                        Text::Many(chunk) if chunk.text.len() >= LARGE => large = Some(Arc::clone(chunk)),
                        Text::Many(chunk) => bytes.extend_from_slice(&chunk.text),
                    }
                    taken.push(line);
                }
                Piece::Receipt(ready) => {
                    ready.write(framing, &mut bytes);
                    answered += 1;
                }
                Piece::Rest(rest) => bytes.extend_from_slice(&rest),
            }
            next = if bytes.len() < WRITE && large.is_none() { writer.there() } else { None };
        }
        writer.hand_over(&bytes).await?;
        if let Some(chunk) = large {
            writer.hand_over(&chunk.text).await?;
        }
        timeout(ACCEPTED_WITHIN, writer.way().flush()).await.map_err(|_| WriteError::Slow)??;
        writer.receipts.written(answered);
        for line in taken.drain(..) {
            if let Some(written) = line.written {
                written();
            }
        }
        bytes.clear();
    }
    Ok(())
}

/// One thing to write.
enum Piece {
    Line(Line),
    Receipt(Ready),
    /// Of what was written meanwhile.
    Rest(Vec<u8>),
}

struct Writer {
    /// None while it lies where others may write with it.
    way: Option<Way>,
    /// What is to be written before all else.
    rest: Vec<u8>,
    lines: mpsc::Receiver<Line>,
    receipts: Arc<Receipts>,
    /// Receipts that were taken and are not written.
    ready: VecDeque<Ready>,
    /// Only for taking them, empty in between.
    took: Vec<Ready>,
}

impl Writer {
    /// From here on nobody else writes.
    fn take_up(&mut self) {
        if let Some((way, rest)) = self.receipts.pen.take_up() {
            self.way = Some(way);
            self.rest = rest;
        }
    }

    /// The way to the app, which is taken up by then.
    fn way(&mut self) -> &mut Way {
        self.take_up();
        self.way.as_mut().expect("it is here or lies with the receipts, and was taken up from there")
    }

    /// Writes all of it.
    async fn hand_over(&mut self, mut rest: &[u8]) -> Result<(), WriteError> {
        while !rest.is_empty() {
            let accepted =
                timeout(ACCEPTED_WITHIN, self.way().write(rest)).await.map_err(|_| WriteError::Slow)??;
            if accepted == 0 {
                return Err(io::Error::from(io::ErrorKind::WriteZero).into());
            }
            rest = &rest[accepted..];
        }
        Ok(())
    }

    /// What is there to be written.
    fn there(&mut self) -> Option<Piece> {
        match self.receipt() {
            Some(ready) => Some(Piece::Receipt(ready)),
            None => self.lines.try_recv().ok().map(Piece::Line),
        }
    }

    fn receipt(&mut self) -> Option<Ready> {
        if self.ready.is_empty() {
            self.receipts.take(&mut self.took);
            self.ready.extend(self.took.drain(..));
        }
        self.ready.pop_front()
    }

    /// The next piece; none when there will be no more. An app that closed its half may have gone
    /// altogether, and then waits for nothing: the system tells that only to those who write, be it
    /// nothing at all.
    async fn next(
        &mut self,
        bytes: &mut Vec<u8>,
        finished: &CancellationToken,
    ) -> Result<Option<Piece>, WriteError> {
        if let Some(piece) = self.there() {
            return Ok(Some(piece));
        }
        // What a busy hour needed is not kept over a quiet one.
        self.took.shrink_to(KEPT / size_of::<Ready>());
        self.ready.shrink_to(KEPT / size_of::<Ready>());
        bytes.shrink_to(KEPT);
        tokio::select! {
            biased;
            piece = poll_fn(|context| self.poll_next(context)) => return Ok(piece),
            () = finished.cancelled() => {}
        }
        loop {
            self.take_up();
            if let Some(piece) = self.rest() {
                return Ok(Some(piece));
            }
            timeout(ACCEPTED_WITHIN, self.way().write(&[])).await.map_err(|_| WriteError::Slow)??;
            if let Ok(piece) = timeout(LOOK, poll_fn(|context| self.poll_next(context))).await {
                return Ok(piece);
            }
        }
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Piece>> {
        // Registered first, looked at second: nothing falls between.
        self.receipts.register(context.waker());
        self.take_up();
        if let Some(piece) = self.rest() {
            return Poll::Ready(Some(piece));
        }
        if let Some(ready) = self.receipt() {
            return Poll::Ready(Some(Piece::Receipt(ready)));
        }
        let line = self.lines.poll_recv(context);
        if line.is_pending()
            && let Some(way) = self.way.take()
        {
            self.way = self.receipts.pen.lay_down(way);
        }
        line.map(|line| line.map(Piece::Line))
    }

    fn rest(&mut self) -> Option<Piece> {
        (!self.rest.is_empty()).then(|| Piece::Rest(std::mem::take(&mut self.rest)))
    }
}
