//! Where one message ends and the next begins: a line each, or header framing as language
//! servers speak it where the first bytes are `Content-Length:`.

use std::future::poll_fn;
use std::io;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::{Instant, timeout_at};

/// How long a message that has begun may take to be whole.
pub const WHOLE_WITHIN: Duration = Duration::from_secs(10);

/// Bytes of all headers of one message.
const MAX_HEADERS: usize = 4 * 1024;

/// What a connection with header framing begins with, in any case.
const CONTENT_LENGTH: &[u8] = b"content-length:";

/// Room made for the first read, …
const FIRST: usize = 1024;

/// … for one within a message, …
const CHUNK: usize = 16 * 1024;

/// … and at most, for an app that fills what it is given: many short messages are taken from the
/// system at once then.
const BUSY: usize = 64 * 1024;

/// Room that is kept while a message that is too long is skipped.
const KEPT: usize = 64 * 1024;

/// How messages are told apart on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// One message a line.
    Lines,
    /// `Content-Length` headers, an empty line, the message.
    Headers,
}

impl Framing {
    /// What `write` writes, with what tells it apart.
    pub(crate) fn frame_with(self, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        match self {
            Self::Lines => {
                write(out);
                out.push(b'\n');
            }
            Self::Headers => {
                let mut message = Vec::new();
                write(&mut message);
                out.extend_from_slice(format!("Content-Length: {}\r\n\r\n", message.len()).as_bytes());
                out.append(&mut message);
            }
        }
    }

    /// `message` with what tells it apart.
    pub fn frame(self, message: &str, out: &mut Vec<u8>) {
        self.frame_with(out, |out| out.extend_from_slice(message.as_bytes()));
    }
}

/// Why there is no further message.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// It is larger than the limit. The rest of it was skipped, or could not be in time.
    #[error("a message has at most {limit} bytes")]
    TooLong {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The headers are none: where the next message begins is lost.
    #[error("{0}")]
    Headers(String),
    /// It was begun and not finished in time.
    #[error("a message was begun and not finished within {} s", WHOLE_WITHIN.as_secs())]
    Stalled,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
}

/// Reads messages. Its memory stays below the limit plus one read.
#[derive(Debug)]
pub struct Reader<R> {
    from: R,
    buffer: Vec<u8>,
    /// Bytes in front that were handed out already.
    used: usize,
    /// Bytes behind `used` that were searched for the end of a line already.
    searched: usize,
    framing: Arc<OnceLock<Framing>>,
    limit: usize,
    /// Room for the next read.
    room: usize,
    deadline: Option<Instant>,
}

/// What stands in front of the buffer.
enum Front {
    /// A whole message from `start` to `end`; the next one begins at `next`.
    Message { start: usize, end: usize, next: usize },
    /// Not a whole one yet.
    Part,
    /// More than the limit; what follows it in the stream is to be skipped.
    TooLong(Skip),
}

/// What is left of a message that is too long.
enum Skip {
    ToEndOfLine,
    Bytes(u64),
}

impl<R: AsyncRead + Unpin> Reader<R> {
    /// Reads from `from`, messages of at most `limit` bytes; tells by the first bytes how they
    /// are framed.
    pub fn new(from: R, limit: usize) -> Self {
        Self {
            from,
            buffer: Vec::new(),
            used: 0,
            searched: 0,
            framing: Arc::default(),
            limit,
            room: FIRST,
            deadline: None,
        }
    }

    /// Where it stands how the connection is framed, once its first bytes came.
    #[must_use]
    pub fn framing(&self) -> Arc<OnceLock<Framing>> {
        Arc::clone(&self.framing)
    }

    /// The next message that is not blank; none where the connection ended (what was begun then
    /// is nothing). Dropping the future loses nothing.
    ///
    /// # Errors
    /// See [`FrameError`]; nothing can be read afterwards.
    pub async fn next(&mut self) -> Result<Option<&[u8]>, FrameError> {
        let (start, end) = loop {
            match self.whole()? {
                Front::Message { start, end, .. } => break (start, end),
                Front::Part => {
                    if self.fill().await? == 0 {
                        return Ok(None);
                    }
                }
                Front::TooLong(rest) => {
                    self.skip(rest).await?;
                    return Err(FrameError::TooLong { limit: self.limit });
                }
            }
        };
        Ok(Some(&self.buffer[start..end]))
    }

    /// The next message, where it is here already in whole. None: [`Reader::next`] knows more.
    pub fn here(&mut self) -> Option<&[u8]> {
        // Whatever is wrong is found once more by `next`: nothing was taken for it.
        match self.whole() {
            Ok(Front::Message { start, end, .. }) => Some(&self.buffer[start..end]),
            Ok(Front::Part | Front::TooLong(_)) | Err(_) => None,
        }
    }

    /// Takes the next message that is not blank off the buffer, where it is there in whole.
    fn whole(&mut self) -> Result<Front, FrameError> {
        loop {
            let front = self.front()?;
            let Front::Message { start, end, next } = front else {
                return Ok(front);
            };
            self.used = next;
            self.searched = 0;
            self.deadline = None;
            if !self.buffer[start..end].trim_ascii().is_empty() {
                return Ok(front);
            }
        }
    }

    fn front(&mut self) -> Result<Front, FrameError> {
        match self.framing.get().copied().or_else(|| self.detect()) {
            None => Ok(Front::Part),
            Some(Framing::Lines) => Ok(self.line()),
            Some(Framing::Headers) => self.body(),
        }
    }

    /// Settles the framing once the first bytes allow it.
    fn detect(&self) -> Option<Framing> {
        let seen = self.buffer.len().min(CONTENT_LENGTH.len());
        let alike = self.buffer[..seen].eq_ignore_ascii_case(&CONTENT_LENGTH[..seen]);
        let framing = match (alike, seen) {
            (false, _) => Framing::Lines,
            (true, seen) if seen == CONTENT_LENGTH.len() => Framing::Headers,
            (true, _) => return None,
        };
        Some(*self.framing.get_or_init(|| framing))
    }

    fn line(&mut self) -> Front {
        let start = self.used;
        let rest = &self.buffer[start..];
        match memchr::memchr(b'\n', &rest[self.searched..]) {
            Some(at) => {
                let end = start + self.searched + at;
                let bare = if self.buffer[..end].ends_with(b"\r") && end > start { end - 1 } else { end };
                if bare - start > self.limit {
                    return Front::TooLong(Skip::Bytes(0));
                }
                Front::Message { start, end: bare, next: end + 1 }
            }
            // One byte of grace: it may be the `\r` of a line that just fits.
            None if rest.len() > self.limit + 1 => Front::TooLong(Skip::ToEndOfLine),
            None => {
                self.searched = rest.len();
                Front::Part
            }
        }
    }

    fn body(&mut self) -> Result<Front, FrameError> {
        let rest = &self.buffer[self.used..];
        let Some(headers) = rest.windows(4).take(MAX_HEADERS).position(|four| four == b"\r\n\r\n") else {
            if rest.len() > MAX_HEADERS {
                return Err(FrameError::Headers(format!("headers have at most {MAX_HEADERS} bytes")));
            }
            return Ok(Front::Part);
        };
        let length = content_length(&rest[..headers])?;
        let start = self.used + headers + 4;
        let there = self.buffer.len() - start;
        let Some(length) = usize::try_from(length).ok().filter(|length| *length <= self.limit) else {
            return Ok(Front::TooLong(Skip::Bytes(length.saturating_sub(there as u64))));
        };
        if there < length {
            return Ok(Front::Part);
        }
        Ok(Front::Message { start, end: start + length, next: start + length })
    }

    /// Reads once more; 0 at the end of the connection.
    async fn fill(&mut self) -> Result<usize, FrameError> {
        self.buffer.drain(..self.used);
        self.used = 0;
        if self.buffer.is_empty() {
            return Ok(poll_fn(|context| self.poll_first(context)).await?);
        }
        let room = self.room.max(CHUNK);
        self.buffer.reserve(room);
        let deadline = *self.deadline.get_or_insert_with(|| Instant::now() + WHOLE_WITHIN);
        match timeout_at(deadline, self.from.read_buf(&mut self.buffer)).await {
            Ok(read) => {
                let read = read?;
                self.learn(read, room);
                Ok(read)
            }
            Err(_) => Err(FrameError::Stalled),
        }
    }

    /// Reads into an empty buffer, which there is only while something comes: an app that says
    /// nothing holds no memory here.
    fn poll_first(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.buffer.capacity() != self.room {
            self.buffer = Vec::with_capacity(self.room);
        }
        let room = self.buffer.capacity();
        let read = std::pin::pin!(self.from.read_buf(&mut self.buffer)).poll(context);
        match &read {
            Poll::Pending => self.buffer = Vec::new(),
            Poll::Ready(Ok(read)) => self.learn(*read, room),
            Poll::Ready(Err(_)) => {}
        }
        read
    }

    /// Settles the room for the next read by what this one brought.
    fn learn(&mut self, read: usize, room: usize) {
        if read >= room {
            self.room = (room * 4).min(BUSY);
        } else if read < room / 8 {
            self.room = (room / 4).max(FIRST);
        }
    }

    /// Reads what is left of a message and throws it away, so that the peer, who is still
    /// writing, gets to read the answer.
    async fn skip(&mut self, rest: Skip) -> Result<(), FrameError> {
        let deadline = Instant::now() + WHOLE_WITHIN;
        self.buffer.clear();
        self.buffer.shrink_to(KEPT);
        self.used = 0;
        let mut left = match rest {
            Skip::ToEndOfLine => u64::MAX,
            Skip::Bytes(left) => left,
        };
        while left > 0 {
            self.buffer.clear();
            self.buffer.reserve(CHUNK);
            let Ok(read) = timeout_at(deadline, self.from.read_buf(&mut self.buffer)).await else {
                break;
            };
            let ended = matches!(rest, Skip::ToEndOfLine) && self.buffer.contains(&b'\n');
            if read? == 0 || ended {
                break;
            }
            left = left.saturating_sub(self.buffer.len() as u64);
        }
        self.buffer.clear();
        Ok(())
    }
}

/// The length that the headers name; every other header is passed over.
fn content_length(headers: &[u8]) -> Result<u64, FrameError> {
    let bad = |what: &str| FrameError::Headers(what.to_owned());
    let text = std::str::from_utf8(headers).map_err(|_| bad("headers are not UTF-8"))?;
    let mut length = None;
    for line in text.split("\r\n") {
        let (name, value) = line.split_once(':').ok_or_else(|| bad("a header has no colon"))?;
        if name.trim().eq_ignore_ascii_case("content-length") {
            let digits = value.trim();
            if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(bad("Content-Length is no number"));
            }
            length = Some(digits.parse().map_err(|_| bad("Content-Length is no number"))?);
        }
    }
    length.ok_or_else(|| bad("Content-Length is missing"))
}

#[cfg(test)]
mod tests;
