//! What comes on a subscription.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::connection::{Connection, Queue};
use crate::rpc::api::{CaughtUpNote, DeliveryNote, EndedNote, EventNote, GapNote, LaggedNote, StatusNote};

/// A notification.
#[derive(Debug, Clone)]
pub enum Note {
    /// `event`.
    Event(EventNote),
    /// `caught_up`.
    CaughtUp(CaughtUpNote),
    /// `gap`.
    Gap(GapNote),
    /// `lagged`.
    Lagged(LaggedNote),
    /// `status`.
    Status(Box<StatusNote>),
    /// `delivery`.
    Delivery(DeliveryNote),
    /// `ended`: the last one.
    Ended(EndedNote),
    /// One that a later daemon knows and this library does not.
    Other {
        /// Its method.
        method: String,
        /// Its parameters.
        params: Box<RawValue>,
    },
}

impl Note {
    fn read(method: String, params: Box<RawValue>) -> Result<Self, serde_json::Error> {
        let text = params.get();
        Ok(match method.as_str() {
            "event" => Self::Event(serde_json::from_str(text)?),
            "caught_up" => Self::CaughtUp(serde_json::from_str(text)?),
            "gap" => Self::Gap(serde_json::from_str(text)?),
            "lagged" => Self::Lagged(serde_json::from_str(text)?),
            "status" => Self::Status(Box::new(serde_json::from_str(text)?)),
            "delivery" => Self::Delivery(serde_json::from_str(text)?),
            "ended" => Self::Ended(serde_json::from_str(text)?),
            _ => Self::Other { method, params },
        })
    }
}

/// A subscription; dropping it unsubscribes.
#[derive(Debug)]
pub struct Subscription {
    connection: Arc<Connection>,
    queue: Arc<Queue>,
}

impl Subscription {
    pub(super) fn new(connection: Arc<Connection>, queue: Arc<Queue>) -> Self {
        Self { connection, queue }
    }

    /// The next notification, in the daemon's order; none once the subscription ended or the
    /// connection is gone. Dropping the future loses nothing.
    ///
    /// # Errors
    /// When a notification does not have the shape this version knows; the next one can be read.
    pub async fn next(&mut self) -> Option<Result<Note, serde_json::Error>> {
        loop {
            let taken = {
                let mut waiting = self.queue.lock();
                match waiting.notes.pop_front() {
                    None if waiting.over => return None,
                    taken => taken,
                }
            };
            if let Some((method, params)) = taken {
                self.connection.relieve();
                return Some(Note::read(method, params));
            }
            self.queue.came.notified().await;
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.connection.forget(&self.queue);
    }
}
