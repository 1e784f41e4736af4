//! The little worlds the server can play.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::frames;
use super::shared::Shared;

/// What the server does beside the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scenario {
    /// Nothing by itself.
    #[default]
    Quiet,
    /// Every message comes back as an event with its type and data; frames that are no protocol
    /// message come back as they are.
    Echo,
    /// Orders go their way: `order_status`, and `driver_location` while out for delivery. A
    /// message `place_order` begins one.
    Orders,
    /// Somebody answers: `typing` without an id, then a `chat` event.
    Chat,
    /// `price` of a few symbols, over and over.
    Prices,
}

impl Scenario {
    /// All of them, by name.
    pub const NAMES: [(&'static str, Self); 5] = [
        ("quiet", Self::Quiet),
        ("echo", Self::Echo),
        ("orders", Self::Orders),
        ("chat", Self::Chat),
        ("prices", Self::Prices),
    ];
}

/// The way of an order.
pub const ORDER_WAY: [&str; 5] = ["placed", "accepted", "packed", "out_for_delivery", "delivered"];

/// A message the scenario may answer.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) kind: String,
    pub(super) data: Value,
}

/// Messages that may wait for the scenario.
pub(super) const MAX_HEARD: usize = 256;

/// Plays the scenario of `shared` until dropped.
pub(super) async fn play(shared: Arc<Shared>, heard: mpsc::Receiver<Heard>) {
    match shared.options.scenario {
        Scenario::Orders => orders(&shared, heard).await,
        Scenario::Chat => chat(&shared, heard).await,
        Scenario::Prices => prices(&shared).await,
        Scenario::Quiet | Scenario::Echo => {}
    }
}

/// Orders on their way at the same time; more have to wait.
const MAX_ORDERS: usize = 100;

async fn orders(shared: &Shared, mut heard: mpsc::Receiver<Heard>) {
    let mut ticks = interval(shared.options.pace);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut next = 9000_u64;
    let mut open: Vec<(Value, usize)> = Vec::new();
    loop {
        tokio::select! {
            Some(Heard { kind, mut data }) = heard.recv() => {
                if kind == "place_order" && open.len() < MAX_ORDERS {
                    open.push((data["orderId"].take(), 0));
                }
            }
            _ = ticks.tick() => {
                if open.is_empty() {
                    next += 1;
                    open.push((Value::from(next.to_string()), 0));
                }
                for (order, step) in &mut open {
                    let Some(status) = ORDER_WAY.get(*step) else { continue };
                    publish(shared, "order_status", &json!({ "orderId": order, "status": status }));
                    if *status == "out_for_delivery" {
                        let place = json!({ "orderId": order, "lat": wander(52.52), "lon": wander(13.40) });
                        publish(shared, "driver_location", &place);
                    }
                    *step += 1;
                }
                open.retain(|(_, step)| *step < ORDER_WAY.len());
            }
        }
    }
}

async fn chat(shared: &Shared, mut heard: mpsc::Receiver<Heard>) {
    while let Some(Heard { kind, data }) = heard.recv().await {
        if kind != "chat" {
            continue;
        }
        shared.say_now(&frames::ephemeral("typing", &json!({ "user": "Mia" }).to_string()));
        sleep(shared.options.pace).await;
        let said = data["text"].as_str().unwrap_or("…");
        publish(shared, "chat", &json!({ "user": "Mia", "text": format!("You said: {said}") }));
    }
}

async fn prices(shared: &Shared) {
    // At least a millisecond: the period must not be zero.
    let mut ticks = interval((shared.options.pace / 10).max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let symbols = [("ALP", 101.0), ("BRV", 42.5), ("CHL", 7.25)];
    for (symbol, base) in symbols.into_iter().cycle() {
        ticks.tick().await;
        let price = (wander(base) * 100.0).round() / 100.0;
        publish(shared, "price", &json!({ "symbol": symbol, "price": price }));
    }
}

/// A number within one hundredth of `base`.
fn wander(base: f64) -> f64 {
    base * (0.99 + fastrand::f64() / 50.0)
}

fn publish(shared: &Shared, kind: &str, data: &Value) {
    shared.publish(kind, [data.to_string()]);
}
