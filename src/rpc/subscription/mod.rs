//! What is told without being asked each time: events, the link's state, the moves of messages.

mod deliveries;
mod events;
mod status;

pub(super) use deliveries::Deliveries;
pub(super) use events::{Events, Reading};
pub(super) use status::LinkStates;

use super::api::{EndReason, EndedNote};
use super::connection::{Client, Registered};
use super::message::{notification, to_json};
use super::out::Gone;

/// Writes a notification.
async fn tell<P: serde::Serialize + Sync>(client: &Client, method: &str, params: &P) -> Result<(), Gone> {
    client.out.push(notification(method, &to_json(params))).await
}

/// Says that nothing further comes, unless the app ends the subscription itself meanwhile.
async fn tell_end(client: &Client, registered: &Registered, reason: EndReason) {
    let note = EndedNote { subscription: registered.name.clone(), reason };
    tokio::select! {
        () = registered.running.stop.cancelled() => {}
        _ = tell(client, "ended", &note) => {}
    }
}
