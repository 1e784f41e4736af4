//! What all connections of one server share.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_tungstenite::tungstenite::protocol::frame::Frame as RawFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use super::control::{Control, Faults, Garbage};
use super::history::History;
use super::received::Inbox;
use super::scenario::Heard;
use super::{Options, Stats, frames};
use crate::model::Secret;

/// Something one connection is told to do.
#[derive(Debug)]
pub(super) enum Order {
    Say(Message),
    Close { code: u16, reason: String },
    Cut,
    Silent(Option<Duration>),
    Speak,
}

/// Orders that may wait for one connection; further ones are dropped.
pub(super) const MAX_ORDERS: usize = 64;

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) options: Options,
    state: Mutex<State>,
    /// Number of the newest event.
    pub(super) newest: watch::Sender<u64>,
    /// Rings whenever the figures changed.
    pub(super) changed: watch::Sender<()>,
    /// What the scenario wants to hear of.
    pub(super) heard: mpsc::Sender<Heard>,
    /// Asks the acceptor to close for so long.
    pub(super) down: mpsc::Sender<Duration>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) history: History,
    pub(super) inbox: Inbox,
    pub(super) faults: Faults,
    pub(super) token: Option<Secret>,
    pub(super) stats: Stats,
    pub(super) connections: HashMap<u64, mpsc::Sender<Order>>,
}

impl Shared {
    pub(super) fn new(options: Options, heard: mpsc::Sender<Heard>, down: mpsc::Sender<Duration>) -> Self {
        let state = State {
            history: History::new(options.keep_events, options.keep_event_bytes),
            inbox: Inbox::new(options.keep_received, options.keep_bodies),
            faults: Faults::default(),
            token: options.token.clone(),
            stats: Stats::default(),
            connections: HashMap::new(),
        };
        let (newest, changed) = (watch::Sender::new(0), watch::Sender::new(()));
        Self { options, state: Mutex::new(state), newest, changed, heard, down }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Publishes one event for each of `data` (JSON texts) and gives the id of the last.
    pub(super) fn publish(&self, kind: &str, data: impl IntoIterator<Item = String>) -> Option<String> {
        let mut state = self.state();
        let last = data.into_iter().map(|data| state.history.push(kind, &data)).last()?;
        let id = state.history.id(last);
        self.announce(&mut state);
        Some(id)
    }

    /// Lets the connections look for events they have not sent yet.
    pub(super) fn announce(&self, state: &mut State) {
        state.stats.events = state.history.newest();
        self.newest.send_replace(state.stats.events);
        self.changed.send_replace(());
    }

    /// Says `text` to everyone who is connected now.
    pub(super) fn say_now(&self, text: &str) {
        let text = Utf8Bytes::from(text);
        self.order_all(|| Order::Say(Message::Text(text.clone())));
    }

    fn order_all(&self, order: impl Fn() -> Order) {
        for connection in self.state().connections.values() {
            // A connection with this many orders waiting is silent or dead.
            let _ = connection.try_send(order());
        }
    }

    /// Does what `control` says.
    pub(super) fn control(&self, control: Control) {
        self.state().faults.set(&control);
        match control {
            Control::Close { code, reason } => {
                self.order_all(|| Order::Close { code, reason: reason.clone() });
            }
            Control::Cut {} => self.order_all(|| Order::Cut),
            Control::Silent { ms } => self.order_all(|| Order::Silent(ms.map(Duration::from_millis))),
            Control::Speak {} => self.order_all(|| Order::Speak),
            Control::Down { ms } => {
                // Full: it is about to go down anyway.
                let _ = self.down.try_send(Duration::from_millis(ms));
            }
            Control::Forget {} => {
                let mut state = self.state();
                state.history.forget();
                self.announce(&mut state);
            }
            Control::Garbage { what } => self.order_all(|| Order::Say(garbage(what))),
            Control::Push { kind, data, count, ephemeral } => {
                let data = |n: u64| match &data {
                    Some(data) => data.to_string(),
                    None => format!(r#"{{"n":{n}}}"#),
                };
                let numbers = 1..=count.min(Control::MAX_PUSH);
                if ephemeral {
                    numbers.for_each(|n| self.say_now(&frames::ephemeral(&kind, &data(n))));
                } else {
                    self.publish(&kind, numbers.map(data));
                }
            }
            Control::Token { token } => self.state().token = token.map(Secret::new),
            Control::RefuseSignIn { .. }
            | Control::RefuseUpgrade { .. }
            | Control::WithholdAcks { .. }
            | Control::DelayAcks { .. }
            | Control::Reject { .. }
            | Control::Clear {} => {}
        }
    }
}

/// Nesting of [`Garbage::Deep`].
const DEEP: usize = 20_000;

fn garbage(what: Garbage) -> Message {
    let raw = |bytes: &'static [u8], data| Message::Frame(RawFrame::message(bytes, OpCode::Data(data), true));
    match what {
        Garbage::Json => Message::text(r#"{"type":"broken","#),
        Garbage::Utf8 => raw(b"{\"type\":\"\xff\xfe\"}", Data::Text),
        Garbage::UnknownType => Message::text(r#"{"type":"dev.unheard_of","data":{"n":1}}"#),
        Garbage::Deep => Message::text("[".repeat(DEEP) + &"]".repeat(DEEP)),
        Garbage::Opcode => raw(b"?", Data::Reserved(3)),
    }
}
