//! What the apps and the server of the tour talk about.

use serde_json::{Value, json};

use crate::dev_server::ORDER_WAY;

/// A story for the tour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Story {
    /// An order goes from placed to delivered
    Orders,
    /// Two people talk
    Chat,
    /// Prices move
    Prices,
}

impl Story {
    /// What the server tells, for the line of the second step.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Orders => "the server tells an order's way",
            Self::Chat => "the server brings a chat",
            Self::Prices => "the server tells prices",
        }
    }

    /// Type of the events.
    pub(super) const fn event_type(self) -> &'static str {
        match self {
            Self::Orders => "order_status",
            Self::Chat => "chat",
            Self::Prices => "price",
        }
    }

    /// The `n`th event, from 0: its word for people, and its data.
    pub(super) fn event(self, n: usize) -> (String, Value) {
        match self {
            Self::Orders => {
                let status = ORDER_WAY[n % ORDER_WAY.len()];
                let order = 9123 + n / ORDER_WAY.len();
                (status.to_owned(), json!({ "orderId": order.to_string(), "status": status }))
            }
            Self::Chat => {
                let text = ["Hello!", "Are you there?", "Call me.", "Never mind."][n % 4];
                (format!("“{text}”"), json!({ "room": "1", "user": "Mia", "text": text, "n": n }))
            }
            Self::Prices => {
                let cents = 10_000 + n * 37 % 500;
                let price = format!("{}.{:02}", cents / 100, cents % 100);
                (price.clone(), json!({ "symbol": "ALP", "price": price, "n": n }))
            }
        }
    }

    /// What is told and never kept: the step's title, the type, the data, the words.
    pub(super) fn fleeting(self) -> (&'static str, &'static str, Value, &'static str) {
        match self {
            Self::Orders | Self::Chat => {
                ("A person types: ephemeral, never stored.", "typing", json!({ "user": "Mia" }), "typing…")
            }
            Self::Prices => {
                ("The ticker ticks: ephemeral, never stored.", "tick", json!({ "at": "10:02" }), "tick")
            }
        }
    }

    /// What the desktop tells a person.
    pub(super) const fn notice(self) -> &'static str {
        match self {
            Self::Orders => "Order 9123: out for delivery",
            Self::Chat => "Mia: Call me.",
            Self::Prices => "ALP is at 103.70",
        }
    }

    /// Type of what the apps send.
    pub(super) const fn message_type(self) -> &'static str {
        match self {
            Self::Orders => "order_note",
            Self::Chat => "chat",
            Self::Prices => "quote",
        }
    }
}
