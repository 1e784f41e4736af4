//! The pump: one task per connection that moves frames between the socket and two channels.
//!
//! Reading and writing go on side by side: a server that reads nothing is still listened to, and
//! while nobody takes the events its pings are answered up to the next data frame, which waits.
//! Everything is bounded: what waits to be told, what waits to be written, how often the server
//! may ping.

mod gate;
mod outbound;
mod socket;
mod verdict;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::SinkExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::sync::watch;
use tokio::time::{sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};

use self::gate::Gate;
use self::outbound::{Outbound, Wrote};
use self::socket::{Read, Turn, poll_read, poll_socket};
use super::foreign::Quoter;
use super::stream::ServerStream;
use super::upgrade::Upgraded;
use super::{COMMANDS, Connection, EVENTS, LinkCommand, LinkEvent};
use crate::clock::Clock;
use crate::model::{Failure, Frame, Instant};

/// Bytes asked of the socket at once: one session needs no more.
const READ_BUFFER: usize = 16 * 1024;
/// Bytes gathered before the socket is written, and between two flushes.
const WRITE_BUFFER: usize = 64 * 1024;
/// Most bytes that can wait for the socket. Frames are handed over only while less than
/// [`WRITE_BUFFER`] wait, so it takes a single frame of this size to get there.
const WRITE_MAX: usize = 64 * 1024 * 1024;
/// Messages read beyond the first before writing has its turn again.
const READ_ON: usize = 64;
/// Events that may wait behind a full channel.
const WAITING: usize = 16;
/// Bytes of frames in the channel from which on no further frame goes in: large ones fill it long
/// before its places are taken.
const TOLD_BYTES: usize = 1024 * 1024;
/// How long a last close frame may take to leave.
const FAREWELL: Duration = Duration::from_secs(1);
/// Bytes still taken in while a last close frame leaves.
const FAREWELL_BYTES: u64 = 1024 * 1024;
/// Control frames the server may send within [`CONTROL_WINDOW`].
const CONTROL_BUDGET: u32 = 100;
/// See [`CONTROL_BUDGET`].
const CONTROL_WINDOW: Duration = Duration::from_secs(1);
/// Least time between two [`LinkEvent::Heard`], and two [`LinkEvent::Taken`].
const HEARD_EVERY: Duration = Duration::from_secs(1);

/// How long the pump is patient.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Time without any progress of a write after which the server counts as gone.
    write: Duration,
    /// How long the other side's close frame is waited for after ours.
    close: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { write: Duration::from_secs(30), close: Duration::from_secs(2) }
    }
}

type Socket = WebSocketStream<Gate>;

/// Takes an upgraded stream and starts its pump.
pub(super) async fn start(
    stream: ServerStream,
    upgraded: Upgraded,
    max_message: usize,
    quoter: Quoter,
    patience: Patience,
    clock: Clock,
) -> Connection {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_write_buffer_size(WRITE_MAX)
        .max_message_size(Some(max_message))
        .max_frame_size(Some(max_message));
    let (gate, rest) = Gate::before(stream, upgraded.rest, max_message);
    let socket = Socket::from_partially_read(gate, rest, Role::Client, Some(config)).await;
    let (events, told) = mpsc::channel(EVENTS);
    let (commands, given) = mpsc::channel(COMMANDS);
    let (written, flushed) = watch::channel(0);
    let pump = Pump {
        counted: socket.get_ref().bytes_read(),
        socket,
        events,
        told: VecDeque::new(),
        told_bytes: 0,
        waiting: VecDeque::new(),
        written,
        outbound: Outbound::default(),
        ending: None,
        control: Budget { since: clock.instant(), left: CONTROL_BUDGET },
        heard_at: None,
        taken_at: None,
        quoter,
        patience,
        clock,
    };
    tokio::spawn(pump.run(given));
    Connection { events: told, commands, written: flushed, subprotocol: upgraded.subprotocol }
}

struct Pump {
    socket: Socket,
    events: mpsc::Sender<LinkEvent>,
    /// Sizes of what is in the channel, and their sum.
    told: VecDeque<usize>,
    told_bytes: usize,
    /// Events the channel had no room for, in order. Only the last may be a data frame.
    waiting: VecDeque<LinkEvent>,
    /// Up to which ticket everything is flushed.
    written: watch::Sender<u64>,
    outbound: Outbound,
    /// The end is near: by when at the latest, and with which failure.
    ending: Option<(Instant, Failure)>,
    control: Budget,
    heard_at: Option<Instant>,
    taken_at: Option<Instant>,
    /// Bytes of the wire that were looked at as a sign of life.
    counted: u64,
    quoter: Quoter,
    patience: Patience,
    clock: Clock,
}

/// Control frames that may still come in this window.
struct Budget {
    since: Instant,
    left: u32,
}

/// How pumping ends.
enum End {
    /// The connection is over.
    Down(Failure),
    /// Nobody holds the other ends of the channels any more.
    Forgotten,
}

impl Pump {
    async fn run(mut self, mut commands: mpsc::Receiver<LinkCommand>) {
        let end = self.pump(&mut commands).await;
        let Self { socket, events, waiting, written, .. } = self;
        // The socket is gone before anybody is told so, and whoever waits for a ticket sees at
        // once that none will come: the last word may have to wait for room.
        drop(socket);
        drop(commands);
        drop(written);
        let End::Down(failure) = end else { return };
        for event in waiting.into_iter().chain([LinkEvent::Down(failure)]) {
            if events.send(event).await.is_err() {
                return;
            }
        }
    }

    async fn pump(&mut self, commands: &mut mpsc::Receiver<LinkCommand>) -> End {
        let mut batch = Vec::with_capacity(COMMANDS);
        let events = self.events.clone();
        loop {
            let may_read = self.may_read();
            let has_news = !self.waiting.is_empty();
            let places = self.places_for_news();
            let room = self.outbound.room();
            let due = self.due();
            let clock = self.clock;
            tokio::select! {
                turn = poll_fn(|cx| {
                    poll_socket(&mut self.socket, &mut self.outbound, &mut self.counted, may_read, cx)
                }) => {
                    if let Err(end) = self.carry_out(turn).await {
                        return end;
                    }
                }
                taken = commands.recv_many(&mut batch, room), if room > 0 => {
                    if taken == 0 {
                        return End::Forgotten;
                    }
                    for command in batch.drain(..) {
                        self.take(command);
                    }
                }
                free = events.reserve_many(places), if has_news => {
                    let Ok(free) = free else { return End::Forgotten };
                    drop(free);
                    if let Err(end) = self.tell_waiting() {
                        return end;
                    }
                }
                () = events.closed(), if room == 0 => return End::Forgotten,
                () = alarm(clock, due), if due.is_some() => {
                    if let Some(failure) = self.overdue() {
                        return End::Down(failure);
                    }
                }
            }
        }
    }

    /// A data frame that waits for room holds reading: TCP then pushes back.
    fn may_read(&self) -> bool {
        self.waiting.len() < WAITING && !matches!(self.waiting.back(), Some(LinkEvent::Frame(_)))
    }

    fn take(&mut self, command: LinkCommand) {
        match command {
            LinkCommand::Write { ticket, frame } => {
                let message = match frame {
                    Frame::Text(text) => Message::Text(text.into()),
                    Frame::Binary(bytes) => Message::Binary(bytes.into()),
                };
                self.outbound.push(message, Some(ticket));
            }
            LinkCommand::Ping(payload) => self.outbound.push(Message::Ping(payload.into()), None),
            LinkCommand::Close { code, failure } => {
                self.outbound.push(close_frame(code), None);
                self.outbound.seal();
                self.end_within(self.patience.close, failure);
            }
        }
    }

    /// The first reason to end stands.
    fn end_within(&mut self, wait: Duration, failure: Failure) {
        if self.ending.is_none() {
            self.ending = Some((self.clock.instant() + wait, failure));
        }
    }

    async fn carry_out(&mut self, turn: Turn) -> Result<(), End> {
        match turn.wrote {
            Some(Wrote::Flushed { ticket, blocked }) => {
                if let Some(ticket) = ticket {
                    self.written.send_replace(ticket);
                }
                if blocked {
                    self.taken()?;
                }
            }
            None => {}
            Some(Wrote::Blocked) => {
                self.outbound.note_progress(self.clock.instant(), self.socket.get_ref().bytes_written());
            }
            Some(Wrote::Moved) => {
                self.outbound.note_progress(self.clock.instant(), self.socket.get_ref().bytes_written());
                self.taken()?;
            }
            Some(Wrote::Failed(error)) => {
                // Why may be waiting to be read: a server that closes says so first.
                self.outbound.give_up();
                let (failure, _) = verdict::of(error);
                self.end_within(self.patience.close, failure);
            }
        }
        let Some(mut read) = turn.read else { return Ok(()) };
        // What came in one go is read in one go. Whoever waits for the socket to be read again is the
        // next turn, not this one.
        for _ in 0..READ_ON {
            self.came(read).await?;
            let mut nobody = Context::from_waker(Waker::noop());
            let may_read = self.may_read();
            match poll_read(&mut self.socket, &mut self.counted, may_read, &mut nobody) {
                Poll::Ready(next) => read = next,
                Poll::Pending => return Ok(()),
            }
        }
        self.came(read).await
    }

    async fn came(&mut self, read: Read) -> Result<(), End> {
        match read {
            Read::Part => self.heard(),
            Read::Whole(message) => self.read(message).await,
            Read::End => Err(End::Down(self.how_it_ended(Failure::Lost { detail: String::new() }))),
            Read::Failed(error) => {
                let (failure, code) = verdict::of(error);
                if let Some(code) = code {
                    self.farewell(code).await;
                }
                Err(End::Down(self.how_it_ended(failure)))
            }
        }
    }

    fn how_it_ended(&mut self, otherwise: Failure) -> Failure {
        self.ending.take().map_or(otherwise, |(_, failure)| failure)
    }

    async fn read(&mut self, message: Message) -> Result<(), End> {
        match message {
            Message::Text(text) => self.tell(LinkEvent::Frame(self.quoter.text_frame(&text))),
            Message::Binary(bytes) => self.tell(LinkEvent::Frame(self.quoter.binary_frame(bytes.into()))),
            Message::Ping(_) => {
                // The library has put the pong in place; the flush takes it out.
                self.outbound.flush_soon();
                self.spend_control().await?;
                self.heard()
            }
            Message::Pong(payload) => {
                self.spend_control().await?;
                self.tell(LinkEvent::Pong(payload.into()))
            }
            Message::Close(frame) => {
                let closed = verdict::of_close(frame, self.socket.get_ref().close_code(), &self.quoter);
                // The library has put the answer in place. A server that does not take it has
                // gone already.
                let _ = timeout(FAREWELL, self.socket.flush()).await;
                Err(End::Down(match self.ending.take() {
                    // Ours came first, and this is the answer.
                    Some((_, failure)) if self.outbound.is_sealed() => failure,
                    _ => closed,
                }))
            }
            // Only ever written, never read.
            Message::Frame(_) => Ok(()),
        }
    }

    fn tell(&mut self, event: LinkEvent) -> Result<(), End> {
        self.waiting.push_back(event);
        if self.waiting.len() == 1 { self.tell_waiting() } else { Ok(()) }
    }

    /// Tells what waits, as far as the channel has places and room.
    fn tell_waiting(&mut self) -> Result<(), End> {
        while let Some(event) = self.waiting.pop_front() {
            let size = size(&event);
            let full = size > 0 && self.bytes_in_channel() >= TOLD_BYTES;
            let refused = if full { Err(TrySendError::Full(event)) } else { self.events.try_send(event) };
            match refused {
                Ok(()) => {
                    self.told.push_back(size);
                    self.told_bytes += size;
                }
                Err(TrySendError::Full(event)) => {
                    self.waiting.push_front(event);
                    return Ok(());
                }
                Err(TrySendError::Closed(_)) => return Err(End::Forgotten),
            }
        }
        Ok(())
    }

    /// What was told and is not yet taken.
    fn bytes_in_channel(&mut self) -> usize {
        let still_there = self.events.max_capacity() - self.events.capacity();
        while self.told.len() > still_there {
            self.told_bytes -= self.told.pop_front().unwrap_or(0);
        }
        self.told_bytes
    }

    /// How many places of the channel must be free before it is worth trying again: one more than
    /// now where its bytes are the matter, for then something was taken.
    fn places_for_news(&mut self) -> usize {
        match self.waiting.front().map(size) {
            Some(1..) if self.bytes_in_channel() >= TOLD_BYTES => self.events.capacity() + 1,
            Some(_) | None => 1,
        }
    }

    /// A sign of life. Not told behind events that wait: whoever holds those knows that we live.
    fn heard(&mut self) -> Result<(), End> {
        let now = self.clock.instant();
        if !self.waiting.is_empty() || self.heard_at.is_some_and(|at| now.since(at) < HEARD_EVERY) {
            return Ok(());
        }
        self.heard_at = Some(now);
        self.tell(LinkEvent::Heard)
    }

    /// The other side makes room. As a sign of life it is told as [`Self::heard`] is.
    fn taken(&mut self) -> Result<(), End> {
        let now = self.clock.instant();
        if !self.waiting.is_empty() || self.taken_at.is_some_and(|at| now.since(at) < HEARD_EVERY) {
            return Ok(());
        }
        self.taken_at = Some(now);
        self.tell(LinkEvent::Taken)
    }

    async fn spend_control(&mut self) -> Result<(), End> {
        let now = self.clock.instant();
        if now.since(self.control.since) >= CONTROL_WINDOW {
            self.control = Budget { since: now, left: CONTROL_BUDGET };
        }
        if let Some(left) = self.control.left.checked_sub(1) {
            self.control.left = left;
            return Ok(());
        }
        self.farewell(1008).await;
        let detail = format!("more than {CONTROL_BUDGET} control frames within a second");
        Err(End::Down(Failure::Protocol { detail }))
    }

    /// A last close frame, as far as the server lets it out. What still comes in is taken in and
    /// dropped, for closing a socket with unread bytes in it would tear the frame away.
    async fn farewell(&mut self, code: u16) {
        let leaving = async {
            // A pong that is still in place would go out behind the close.
            self.socket.flush().await.ok()?;
            self.socket.send(close_frame(code)).await.ok()?;
            let stream = self.socket.get_mut();
            stream.give_up();
            stream.shutdown().await.ok()?;
            tokio::io::copy(&mut stream.take(FAREWELL_BYTES), &mut tokio::io::sink()).await.ok()
        };
        // It is a courtesy: the connection ends either way.
        let _ = timeout(FAREWELL, leaving).await;
    }

    /// When something must have happened.
    fn due(&self) -> Option<Instant> {
        let stalled = self.outbound.last_progress().map(|at| at + self.patience.write);
        let ending = self.ending.as_ref().map(|(at, _)| *at);
        stalled.into_iter().chain(ending).min()
    }

    fn overdue(&mut self) -> Option<Failure> {
        let now = self.clock.instant();
        if let Some((_, failure)) = self.ending.take_if(|(at, _)| *at <= now) {
            return Some(failure);
        }
        let bytes = self.socket.get_ref().bytes_written();
        self.outbound.note_progress(now, bytes);
        let stalled = self.outbound.last_progress().is_some_and(|at| now.since(at) >= self.patience.write);
        stalled.then_some(Failure::WriteStalled { after: self.patience.write })
    }
}

fn size(event: &LinkEvent) -> usize {
    match event {
        LinkEvent::Frame(frame) => frame.len(),
        LinkEvent::Pong(_) | LinkEvent::Heard | LinkEvent::Taken | LinkEvent::Down(_) => 0,
    }
}

fn close_frame(code: u16) -> Message {
    Message::Close(Some(CloseFrame { code: code.into(), reason: "".into() }))
}

async fn alarm(clock: Clock, due: Option<Instant>) {
    if let Some(at) = due {
        sleep_until(clock.deadline(at)).await;
    }
}

#[cfg(test)]
mod tests;
