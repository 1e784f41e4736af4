//! The headers of the server's frames, looked at before the library sees them.
//!
//! The library judges a frame when all of it is there. So it would wait, and hold room, for 4 MiB
//! behind a header that is wrong already; it takes messages of empty fragments without end; and a
//! close code that is registered but unknown to it becomes a broken protocol. Here every header is
//! judged when it comes. What stood before a wrong one still gets through.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::link::stream::ServerStream;
use crate::model::Failure;

/// Frames one message may come in. Test suites cut 4 MiB into pieces of 64 bytes, which are 65,536;
/// nobody needs more, but empty ones could come for ever.
const FRAGMENTS: u32 = 100_000;
/// Longest payload of a control frame (RFC 6455, section 5.5).
const CONTROL_MAX: u8 = 125;
/// Longest header: two bytes and a length of eight. A mask ends it before that.
const HEADER_MAX: usize = 10;

const CONTINUATION: u8 = 0x0;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PONG: u8 = 0xa;

/// How the server broke the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Breach {
    /// A reserved bit is set, and no extension was agreed on.
    ReservedBits,
    /// An opcode that means nothing.
    Opcode(u8),
    /// Servers do not mask.
    Masked,
    /// A control frame in pieces.
    FragmentedControl,
    /// A control frame over [`CONTROL_MAX`].
    LongControl,
    /// Half a close code.
    ShortClose,
    /// A continuation of nothing.
    Continuation,
    /// A new message within another.
    Interrupted,
    /// The message is over the limit.
    TooLarge(u64),
    /// The message comes in more than [`FRAGMENTS`].
    Fragments,
}

impl Breach {
    /// The failure, and the close code the server is told.
    pub(super) fn verdict(self) -> (Failure, u16) {
        let code = match self {
            Self::TooLarge(limit) => return (Failure::TooLarge { limit }, 1009),
            Self::Fragments => 1009,
            Self::ReservedBits
            | Self::Opcode(_)
            | Self::Masked
            | Self::FragmentedControl
            | Self::LongControl
            | Self::ShortClose
            | Self::Continuation
            | Self::Interrupted => 1002,
        };
        (Failure::Protocol { detail: self.to_string() }, code)
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReservedBits => f.write_str("a frame has reserved bits set, as compressed ones have"),
            Self::Opcode(opcode) => write!(f, "a frame has the unknown opcode {opcode}"),
            Self::Masked => f.write_str("a frame is masked, which only clients do"),
            Self::FragmentedControl => f.write_str("a control frame comes in pieces"),
            Self::LongControl => write!(f, "a control frame is longer than {CONTROL_MAX} bytes"),
            Self::ShortClose => f.write_str("a close frame holds half a code"),
            Self::Continuation => f.write_str("a frame continues a message that never began"),
            Self::Interrupted => f.write_str("a message begins before the one before it has ended"),
            Self::TooLarge(limit) => write!(f, "a message is over the limit of {limit} bytes"),
            Self::Fragments => write!(f, "a message comes in more than {FRAGMENTS} frames"),
        }
    }
}

impl std::error::Error for Breach {}

/// Follows frames through the bytes.
#[derive(Debug)]
pub(super) struct Headers {
    max_message: u64,
    /// The header that is coming.
    header: [u8; HEADER_MAX],
    have: usize,
    /// Payload still to come of the frame at hand.
    payload: u64,
    /// Frames and bytes of the message at hand; none between messages.
    message: Option<(u32, u64)>,
    /// The close frame is being read; what of its code was seen.
    closing: Option<Vec<u8>>,
}

impl Headers {
    pub(super) fn new(max_message: usize) -> Self {
        Self {
            max_message: max_message as u64,
            header: [0; HEADER_MAX],
            have: 0,
            payload: 0,
            message: None,
            closing: None,
        }
    }

    /// The code of the close frame that came, if one came with a code.
    pub(super) fn close_code(&self) -> Option<u16> {
        match self.closing.as_deref() {
            Some(&[high, low]) => Some(u16::from_be_bytes([high, low])),
            Some(_) | None => None,
        }
    }

    /// Looks at what came. `Err`: how many of the bytes are fine, and what is wrong behind them.
    pub(super) fn look(&mut self, bytes: &[u8]) -> Result<(), (usize, Breach)> {
        let mut at = 0;
        while at < bytes.len() {
            if self.payload > 0 {
                let rest = bytes.len() - at;
                let step = usize::try_from(self.payload).map_or(rest, |payload| payload.min(rest));
                if let Some(code) = self.closing.as_mut() {
                    let wanted = 2_usize.saturating_sub(code.len()).min(step);
                    code.extend_from_slice(&bytes[at..at + wanted]);
                }
                self.payload -= step as u64;
                at += step;
                continue;
            }
            self.header[self.have] = bytes[at];
            self.have += 1;
            if let Err(breach) = self.judge() {
                return Err((at, breach));
            }
            at += 1;
        }
        Ok(())
    }

    /// Judges as much of the header as is there; takes it in when it is whole.
    fn judge(&mut self) -> Result<(), Breach> {
        let [first, second, ..] = self.header;
        let opcode = first & 0x0f;
        let (control, last) = (opcode & 0x08 != 0, first & 0x80 != 0);
        if self.have == 1 {
            return match opcode {
                _ if first & 0x70 != 0 => Err(Breach::ReservedBits),
                _ if opcode > PONG || (!control && opcode > BINARY) => Err(Breach::Opcode(opcode)),
                _ if control && !last => Err(Breach::FragmentedControl),
                CONTINUATION if self.message.is_none() => Err(Breach::Continuation),
                _ if !control && opcode != CONTINUATION && self.message.is_some() => Err(Breach::Interrupted),
                _ => Ok(()),
            };
        }
        if second & 0x80 != 0 {
            return Err(Breach::Masked);
        }
        if control && second > CONTROL_MAX {
            return Err(Breach::LongControl);
        }
        if opcode == CLOSE && second == 1 {
            return Err(Breach::ShortClose);
        }
        let extended = match second {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        if self.have < 2 + extended {
            return Ok(());
        }
        self.have = 0;
        self.payload = match extended {
            0 => u64::from(second),
            _ => self.header[2..2 + extended].iter().fold(0, |length, byte| length << 8 | u64::from(*byte)),
        };
        if control {
            if opcode == CLOSE && self.closing.is_none() {
                self.closing = Some(Vec::with_capacity(2));
            }
            return Ok(());
        }
        let (frames, bytes) = self.message.unwrap_or((0, 0));
        let (frames, bytes) = (frames + 1, bytes.saturating_add(self.payload));
        if bytes > self.max_message {
            return Err(Breach::TooLarge(self.max_message));
        }
        if frames > FRAGMENTS {
            return Err(Breach::Fragments);
        }
        self.message = (!last).then_some((frames, bytes));
        Ok(())
    }
}

/// The stream with the gate in it.
pub(super) struct Gate {
    stream: ServerStream,
    headers: Headers,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// The next read tells of it.
    Broken(Breach),
    /// It was told: what comes now is only taken off the wire.
    Told,
}

impl Gate {
    /// Puts the gate before `stream`. `rest` was read already; what is fine of it comes back.
    pub(super) fn before(stream: ServerStream, mut rest: Vec<u8>, max_message: usize) -> (Self, Vec<u8>) {
        let mut gate = Self { stream, headers: Headers::new(max_message), state: State::Open };
        let fine = gate.fine(&rest);
        rest.truncate(fine);
        (gate, rest)
    }

    /// How many of the bytes may pass.
    fn fine(&mut self, bytes: &[u8]) -> usize {
        match self.headers.look(bytes) {
            Ok(()) => bytes.len(),
            Err((fine, breach)) => {
                self.state = State::Broken(breach);
                fine
            }
        }
    }

    /// Whatever comes from now on is only taken off the wire.
    pub(super) const fn give_up(&mut self) {
        self.state = State::Told;
    }

    /// See [`Headers::close_code`].
    pub(super) fn close_code(&self) -> Option<u16> {
        self.headers.close_code()
    }

    /// Bytes read off the wire so far.
    pub(super) fn bytes_read(&self) -> u64 {
        self.stream.bytes_read()
    }

    /// Bytes the system took for the wire so far.
    pub(super) fn bytes_written(&self) -> u64 {
        self.stream.bytes_written()
    }
}

impl AsyncRead for Gate {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let State::Broken(breach) = this.state {
            this.state = State::Told;
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, breach)));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        if this.state == State::Open && buf.filled().len() > before {
            let fine = this.fine(&buf.filled()[before..]);
            buf.set_filled(before + fine);
            if fine == 0 {
                // Nothing would read as the end of the stream.
                return Pin::new(this).poll_read(cx, buf);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Gate {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMIT: usize = 1000;

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first];
        match payload.len() {
            length @ 0..=125 => bytes.push(length as u8),
            length => {
                bytes.push(126);
                bytes.extend((length as u16).to_be_bytes());
            }
        }
        bytes.extend_from_slice(payload);
        bytes
    }

    fn look(bytes: &[u8]) -> Result<(), (usize, Breach)> {
        Headers::new(LIMIT).look(bytes)
    }

    #[test]
    fn every_first_byte_is_judged_as_the_standard_says() {
        for first in 0..=u8::MAX {
            let opcode = first & 0x0f;
            let wanted = match (first >> 4 & 7, opcode, first & 0x80 != 0) {
                (1.., ..) => Err(Breach::ReservedBits),
                (0, 3..=7 | 11..=15, _) => Err(Breach::Opcode(opcode)),
                (0, 8..=10, false) => Err(Breach::FragmentedControl),
                (0, 0, _) => Err(Breach::Continuation),
                _ => Ok(()),
            };
            assert_eq!(look(&frame(first, b"")), wanted.map_err(|breach| (0, breach)), "{first:#x}");
        }
    }

    #[test]
    fn a_wrong_header_is_known_before_its_payload_comes_and_what_stood_before_it_is_fine() {
        let before = frame(0x81, b"fine");
        for (header, breach, at) in [
            (vec![0xc1, 127, 0, 0, 0, 0, 0, 0, 1], Breach::ReservedBits, 0),
            (vec![0x81, 0x85], Breach::Masked, 1),
            (vec![0x89, 126], Breach::LongControl, 1),
            (vec![0x88, 1], Breach::ShortClose, 1),
            (vec![0x82, 126, 3, 233], Breach::TooLarge(1000), 3),
            (vec![0x82, 127, 128, 0, 0, 0, 0, 0, 0, 0], Breach::TooLarge(1000), 9),
        ] {
            let bytes = [before.clone(), header].concat();
            assert_eq!(look(&bytes), Err((before.len() + at, breach)));
        }
        assert_eq!(look(&frame(0x82, &[0; LIMIT])), Ok(()));
    }

    #[test]
    fn a_message_is_measured_over_all_its_frames() {
        let half = frame(0x02, &[0; LIMIT / 2]);
        let ping = frame(0x89, b"between");
        let rest = frame(0x80, &[0; LIMIT / 2]);
        assert_eq!(look(&[&half[..], &ping, &rest, &half].concat()), Ok(()));
        let more = frame(0x80, &[0; LIMIT / 2 + 1]);
        assert!(matches!(look(&[&half[..], &ping, &more].concat()), Err((_, Breach::TooLarge(1000)))));
        assert!(matches!(look(&[&half[..], &half].concat()), Err((_, Breach::Interrupted))));
    }

    #[test]
    fn a_message_may_come_in_many_frames_but_not_in_endless_ones() {
        let mut bytes = frame(0x01, b"");
        bytes.extend(frame(0x00, b"").repeat(FRAGMENTS as usize - 2));
        bytes.extend(frame(0x80, b""));
        assert_eq!(look(&[&bytes[..], &bytes].concat()), Ok(()));
        let endless = frame(0x00, b"").repeat(FRAGMENTS as usize);
        let seen = look(&[&bytes[..], &frame(0x01, b""), &endless].concat());
        assert!(matches!(seen, Err((_, Breach::Fragments))), "{seen:?}");
    }

    #[test]
    fn the_code_of_a_close_is_seen_however_it_is_cut() {
        let bytes = [frame(0x81, b"text"), frame(0x88, &[3, 246, b'x'])].concat();
        for cut in 0..bytes.len() {
            let mut headers = Headers::new(LIMIT);
            headers.look(&bytes[..cut]).unwrap();
            headers.look(&bytes[cut..]).unwrap();
            assert_eq!(headers.close_code(), Some(1014), "{cut}");
        }
        let mut headers = Headers::new(LIMIT);
        headers.look(&frame(0x88, b"")).unwrap();
        assert_eq!(headers.close_code(), None);
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_are_judged_the_same(
            bytes in proptest::collection::vec(
                prop_oneof![any::<u8>(), Just(0x81), Just(0x01), Just(0x80), Just(0x00), Just(0x89), 0..4_u8],
                0..200,
            ),
            cuts in proptest::collection::vec(0..200_usize, 0..6),
        ) {
            let whole = look(&bytes);
            let mut headers = Headers::new(LIMIT);
            let mut from = 0;
            let mut seen = Ok(());
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.sort_unstable();
            cuts.push(bytes.len());
            for cut in cuts {
                if seen.is_ok() {
                    seen = headers.look(&bytes[from..cut]).map_err(|(fine, breach)| (from + fine, breach));
                }
                from = cut;
            }
            prop_assert_eq!(seen, whole);
        }
    }
}
