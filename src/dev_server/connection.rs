//! One client's connection: one task, which reads, answers and feeds events.
//!
//! It reads and writes at once, in batches: what has come in is taken in one go, and the answers
//! leave with one flush. A client that does not read is fed nothing more, and nobody else waits
//! for it.

use std::collections::VecDeque;
use std::future::{pending, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::{FutureExt as _, Sink as _, SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{self, Message};

use super::control::Control;
use super::frames::{self, Said};
use super::history::Resumption;
use super::scenario::Heard;
use super::shared::{Order, Shared, State};
use super::{Acks, Scenario};
use crate::model::Frame;

/// Frames taken in one go.
const BATCH: usize = 256;
/// Bytes of events written before a flush.
const FEED_BYTES: usize = 256 * 1024;
/// Bytes that may wait for the client to read; above it we read nothing from it either.
const MAX_UNFLUSHED: usize = 1024 * 1024;
/// Answers that may wait while acks are delayed; above it we stop reading.
const MAX_DELAYED: usize = 100_000;
/// How long a client may take to sign in.
const SIGN_IN_TIME: Duration = Duration::from_secs(10);
/// How long a client that has signed in may take to ask for a resume; then it gets the events
/// from its sign-in on. Its first message says the same.
const RESUME_TIME: Duration = Duration::from_secs(1);
/// How long a close may take.
const CLOSE_TIME: Duration = Duration::from_secs(2);

pub(super) struct Connection {
    shared: Arc<Shared>,
    number: u64,
    ws: WebSocketStream<TcpStream>,
    orders: mpsc::Receiver<Order>,
    newest: watch::Receiver<u64>,
    phase: Phase,
    unflushed: usize,
    delayed: VecDeque<(Instant, String)>,
    /// A message of this connection was left without an answer: an ack of all up to a number
    /// would answer it.
    withheld: bool,
    /// When a silent spell ends; the inner none: when told.
    silent: Option<Option<Instant>>,
}

/// How far the client has come.
#[derive(Debug, Clone, Copy)]
enum Phase {
    /// The credential must come by then.
    SigningIn { until: Instant },
    /// Signed in; a resume may come until then. Without one it gets what comes after `position`.
    Settling { until: Instant, position: u64 },
    /// It has been sent all events up to `position`.
    Live { position: u64 },
}

/// What woke the task.
enum Wake {
    Order(Option<Order>),
    Read(Option<Result<Message, tungstenite::Error>>),
    Flushed,
    Broken,
    News,
    Timer,
}

/// The connection is over.
struct Over;

impl Connection {
    pub(super) fn new(
        shared: Arc<Shared>,
        number: u64,
        ws: WebSocketStream<TcpStream>,
        orders: mpsc::Receiver<Order>,
        signed_in: bool,
    ) -> Self {
        let newest = shared.newest.subscribe();
        let position = *newest.borrow();
        let phase = if signed_in {
            Phase::Settling { until: Instant::now() + RESUME_TIME, position }
        } else {
            Phase::SigningIn { until: Instant::now() + SIGN_IN_TIME }
        };
        Self {
            shared,
            number,
            ws,
            orders,
            newest,
            phase,
            unflushed: 0,
            delayed: VecDeque::new(),
            withheld: false,
            silent: None,
        }
    }

    /// Serves the client until it or we end the connection.
    pub(super) async fn run(mut self) {
        loop {
            if self.feed_events().is_err() {
                return;
            }
            let over = match self.wait().await {
                Wake::Order(order) => self.obey(order).await,
                Wake::Read(Some(Ok(first))) => self.take_batch(first).await,
                Wake::Read(Some(Err(_)) | None) | Wake::Broken => Err(Over),
                Wake::Flushed | Wake::News => Ok(()),
                Wake::Timer => self.on_timer().await,
            };
            if over.is_err() {
                return;
            }
        }
    }

    async fn wait(&mut self) -> Wake {
        let timer = self.next_timer();
        let silent = self.silent.is_some();
        let may_read = !silent && self.unflushed < MAX_UNFLUSHED && self.delayed.len() < MAX_DELAYED;
        let wants_news = !silent && matches!(self.phase, Phase::Live { .. }) && self.unflushed == 0;
        let (ws, unflushed) = (&mut self.ws, &mut self.unflushed);
        let io = poll_fn(|cx| {
            if *unflushed > 0 && !silent {
                match ws.poll_flush_unpin(cx) {
                    Poll::Ready(Ok(())) => {
                        *unflushed = 0;
                        return Poll::Ready(Wake::Flushed);
                    }
                    Poll::Ready(Err(_)) => return Poll::Ready(Wake::Broken),
                    Poll::Pending => {}
                }
            }
            if may_read { ws.poll_next_unpin(cx).map(Wake::Read) } else { Poll::Pending }
        });
        let timer = async {
            match timer {
                Some(at) => sleep_until(at).await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            order = self.orders.recv() => Wake::Order(order),
            wake = io => wake,
            _ = self.newest.changed(), if wants_news => Wake::News,
            () = timer => Wake::Timer,
        }
    }

    fn next_timer(&self) -> Option<Instant> {
        if let Some(until) = self.silent {
            return until;
        }
        let phase = match self.phase {
            Phase::SigningIn { until } | Phase::Settling { until, .. } => Some(until),
            Phase::Live { .. } => None,
        };
        let answer = self.delayed.front().map(|(due, _)| *due);
        phase.into_iter().chain(answer).min()
    }

    async fn on_timer(&mut self) -> Result<(), Over> {
        let now = Instant::now();
        if let Some(until) = self.silent {
            if until.is_some_and(|until| until <= now) {
                self.silent = None;
            }
            return Ok(());
        }
        while let Some((_, answer)) = self.delayed.pop_front_if(|(due, _)| *due <= now) {
            self.say(answer)?;
        }
        match self.phase {
            Phase::SigningIn { until } if until <= now => {
                self.close(4401, "no sign-in came in time").await;
                Err(Over)
            }
            Phase::Settling { until, position } if until <= now => {
                self.phase = Phase::Live { position };
                Ok(())
            }
            Phase::SigningIn { .. } | Phase::Settling { .. } | Phase::Live { .. } => Ok(()),
        }
    }

    async fn obey(&mut self, order: Option<Order>) -> Result<(), Over> {
        match order {
            Some(Order::Say(message)) => self.write(message),
            Some(Order::Close { code, reason }) => {
                self.close(code, &reason).await;
                Err(Over)
            }
            Some(Order::Silent(time)) => {
                self.silent = Some(time.map(|time| Instant::now() + time));
                Ok(())
            }
            Some(Order::Speak) => {
                self.silent = None;
                Ok(())
            }
            Some(Order::Cut) | None => Err(Over),
        }
    }

    /// Sends events the client has not been sent, while it keeps up.
    fn feed_events(&mut self) -> Result<(), Over> {
        let Phase::Live { position } = self.phase else { return Ok(()) };
        if self.unflushed > 0 || self.silent.is_some() || position == *self.newest.borrow_and_update() {
            return Ok(());
        }
        let mut batch = Vec::new();
        let position = {
            let state = self.shared.state();
            let mut bytes = 0;
            match state.history.after(position, BATCH) {
                Ok(frames) => {
                    for frame in frames {
                        bytes += frame.len();
                        batch.push(frame.clone());
                        if bytes > FEED_BYTES {
                            break;
                        }
                    }
                    position + batch.len() as u64
                }
                Err(from) => {
                    batch.push(frames::gap(&state.history.id(from)).into());
                    from
                }
            }
        };
        for frame in batch {
            self.write(Message::Text(frame))?;
        }
        self.phase = Phase::Live { position };
        Ok(())
    }

    /// Takes `first` and whatever else has come by now.
    async fn take_batch(&mut self, first: Message) -> Result<(), Over> {
        let mut batch = vec![first];
        let mut ended = false;
        while batch.len() < BATCH {
            match self.ws.next().now_or_never() {
                Some(Some(Ok(message))) => batch.push(message),
                Some(Some(Err(_)) | None) => {
                    ended = true;
                    break;
                }
                None => break,
            }
        }
        let shared = Arc::clone(&self.shared);
        let mut after = After::default();
        {
            let mut state = shared.state();
            for message in batch {
                match message {
                    Message::Text(text) => self.take_text(&mut state, &text, &mut after)?,
                    Message::Binary(bytes) => self.take_raw(&mut state, Frame::Binary(bytes.into()))?,
                    Message::Close(_) => ended = true,
                    Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
                }
                if after.refused.is_some() {
                    break;
                }
            }
            if let Some(no) = after.up_to.take() {
                self.answer(&mut state, frames::ack_up_to(no))?;
            }
            if state.stats.events == state.history.newest() {
                shared.changed.send_replace(());
            } else {
                shared.announce(&mut state);
            }
        }
        if let Some(reason) = after.refused {
            self.close(1008, reason).await;
            return Err(Over);
        }
        if !after.controls.is_empty() {
            // The ack of a control leaves first: what it does may end this very connection, and
            // the client would then bring it again.
            let _ = timeout(CLOSE_TIME, self.ws.flush()).await;
            after.controls.into_iter().for_each(|control| shared.control(control));
        }
        if ended {
            // Lets the answer to the client's close frame out.
            let _ = timeout(CLOSE_TIME, self.ws.flush()).await;
            return Err(Over);
        }
        Ok(())
    }

    fn take_text(&mut self, state: &mut State, text: &str, after: &mut After) -> Result<(), Over> {
        let Some(said) = frames::read(text) else {
            return self.take_raw(state, Frame::Text(text.to_owned()));
        };
        match said {
            Said::Ping => return self.say(frames::PONG),
            Said::Pong => return Ok(()),
            Said::Auth(token) => return self.sign_in(state, &token, after),
            Said::Ack(_) | Said::Resume(_) | Said::Message(_) => {}
        }
        if matches!(self.phase, Phase::SigningIn { .. }) {
            self.say(frames::auth_error("auth_required", "sign in first"))?;
            after.refused = Some("sign in first");
            return Ok(());
        }
        match said {
            Said::Resume(since) => self.resume(state, since.as_deref()),
            Said::Ack(event) => {
                state.stats.event_acks += 1;
                if let Some(number) = state.history.number_of(&event) {
                    state.stats.events_acked = state.stats.events_acked.max(number);
                }
                Ok(())
            }
            Said::Message(message) => {
                self.settle();
                self.take_message(state, text, &message, after)
            }
            Said::Ping | Said::Pong | Said::Auth(_) => Ok(()),
        }
    }

    fn sign_in(&mut self, state: &mut State, token: &str, after: &mut After) -> Result<(), Over> {
        let wrong = state.token.as_ref().is_some_and(|wanted| wanted.expose() != token);
        if wrong || state.faults.refuses_sign_in() {
            state.stats.sign_ins_refused += 1;
            self.say(frames::auth_error("bad_token", "the token is not valid"))?;
            after.refused = Some("sign-in refused");
            return Ok(());
        }
        state.stats.sign_ins += 1;
        if let Phase::SigningIn { .. } = self.phase {
            let position = state.history.newest();
            self.phase = Phase::Settling { until: Instant::now() + RESUME_TIME, position };
        }
        self.say(frames::AUTH_OK)
    }

    fn resume(&mut self, state: &mut State, since: Option<&str>) -> Result<(), Over> {
        state.stats.resumes += 1;
        let (frame, position) = match state.history.resume(since) {
            Resumption::From(number) => (frames::resumed(&state.history.id(number)), number),
            Resumption::Gap(number) => {
                state.stats.gaps += 1;
                (frames::gap(&state.history.id(number)), number)
            }
        };
        self.phase = Phase::Live { position };
        self.say(frame)
    }

    /// The client has shown that no resume will come.
    fn settle(&mut self) {
        if let Phase::Settling { position, .. } = self.phase {
            self.phase = Phase::Live { position };
        }
    }

    fn take_message(
        &mut self,
        state: &mut State,
        text: &str,
        message: &frames::Message<'_>,
        after: &mut After,
    ) -> Result<(), Over> {
        let id = message.id.as_ref();
        let is_control = message.kind == "dev.control";
        if let Some(rejection) = (!is_control).then(|| state.faults.rejects()).flatten() {
            let answer = frames::error(id, &rejection.code, &rejection.message);
            state.stats.rejected += 1;
            return self.answer(state, answer);
        }
        let control = if is_control { frames::read_control(text).map(Some) } else { Ok(None) };
        let control = match control {
            Ok(control) => control,
            Err(detail) => {
                let answer = frames::error(id, "bad_control", &detail);
                return self.answer(state, answer);
            }
        };
        let frame = || Frame::Text(text.to_owned());
        if state.inbox.take(self.number, id.map(frames::Id::plain), &message.kind, frame) {
            state.stats.received += 1;
            match control {
                Some(control) => after.controls.push(control),
                None => self.play(state, text, &message.kind),
            }
        } else {
            state.stats.repeated += 1;
        }
        if self.shared.options.acks == Acks::None {
            return Ok(());
        }
        if state.faults.withholds() {
            self.withheld = true;
            return Ok(());
        }
        let Some(id) = id else { return Ok(()) };
        state.stats.acked += 1;
        if message.kind == "dev.echo" {
            let data = super::received::data_of(text);
            return self.answer(state, frames::reply(id, &data));
        }
        match message.no {
            Some(no) if self.shared.options.acks == Acks::Cumulative && !self.withheld => {
                after.up_to = after.up_to.max(Some(no));
                Ok(())
            }
            _ => self.answer(state, frames::ack(id)),
        }
    }

    /// The scenario's part in a message.
    fn play(&self, state: &mut State, text: &str, kind: &str) {
        match self.shared.options.scenario {
            Scenario::Echo => {
                let data = super::received::data_of(text).to_string();
                state.history.push(kind, &data);
            }
            Scenario::Chat | Scenario::Orders => {
                let heard = Heard { kind: kind.to_owned(), data: super::received::data_of(text) };
                // Full: somebody talks faster than the scenario plays.
                let _ = self.shared.heard.try_send(heard);
            }
            Scenario::Prices | Scenario::Quiet => {}
        }
    }

    /// Takes a frame that is none of the protocol.
    fn take_raw(&mut self, state: &mut State, frame: Frame) -> Result<(), Over> {
        self.settle();
        let kind = match frame {
            Frame::Text(_) => "text",
            Frame::Binary(_) => "binary",
        };
        let copy = || frame.clone();
        state.inbox.take(self.number, None, kind, copy);
        state.stats.received += 1;
        match (self.shared.options.scenario, frame) {
            (Scenario::Echo, Frame::Text(text)) => self.write(Message::text(text)),
            (Scenario::Echo, Frame::Binary(bytes)) => self.write(Message::binary(bytes)),
            (_, Frame::Text(_)) => {
                self.say(frames::error(None, "bad_frame", "not a JSON object with a text member `type`"))
            }
            (_, Frame::Binary(_)) => Ok(()),
        }
    }

    /// Says `answer`, later where answers are delayed; never before an earlier one.
    fn answer(&mut self, state: &mut State, answer: String) -> Result<(), Over> {
        let delay = state.faults.delay;
        if delay.is_zero() && self.delayed.is_empty() {
            return self.say(answer);
        }
        let last = self.delayed.back().map(|(due, _)| *due);
        let due = last.into_iter().chain([Instant::now() + delay]).max();
        self.delayed.extend(due.map(|due| (due, answer)));
        Ok(())
    }

    fn say(&mut self, text: impl Into<tungstenite::Utf8Bytes>) -> Result<(), Over> {
        self.write(Message::Text(text.into()))
    }

    /// Puts `message` into the write buffer; [`Connection::wait`] flushes it.
    fn write(&mut self, message: Message) -> Result<(), Over> {
        // Also for an empty message there is something to flush.
        self.unflushed += message.len().max(1);
        Pin::new(&mut self.ws).start_send(message).map_err(|_| Over)
    }

    /// Says goodbye and hears the client out.
    async fn close(&mut self, code: u16, reason: &str) {
        let frame = CloseFrame { code: CloseCode::from(code), reason: reason.into() };
        let _ = timeout(CLOSE_TIME, async {
            if self.ws.close(Some(frame)).await.is_ok() {
                while let Some(Ok(_)) = self.ws.next().await {}
            }
        })
        .await;
    }
}

/// What is done once a batch is taken in.
#[derive(Debug, Default)]
struct After {
    up_to: Option<u64>,
    controls: Vec<Control>,
    refused: Option<&'static str>,
}
