//! The methods, by family. One line each makes a method known to callers, to `rpc.discover` and
//! to the checks of the documentation.

mod config;
mod cursors;
mod daemon;
mod discover;
mod events;
mod hello;
mod link;
mod messages;
mod notifications;
mod quarantine;
mod request;
mod send;
mod state;
mod status;
mod unsubscribe;

use super::call::{Method, invalid};
use crate::model::{ErrorKind, Refusal, TypeGlob};

/// Every method there is.
pub(super) const ALL: &[Method] = &[
    Method::of::<hello::Hello>(),
    Method::of::<status::Status>(),
    Method::of::<status::Watch>(),
    Method::of::<send::Send>(),
    Method::of::<request::Request>(),
    Method::of::<messages::Get>(),
    Method::of::<messages::List>(),
    Method::of::<messages::Watch>(),
    Method::of::<messages::Cancel>(),
    Method::of::<messages::Retry>(),
    Method::of::<messages::Drop>(),
    Method::of::<events::List>(),
    Method::of::<events::Subscribe>(),
    Method::of::<events::Ack>(),
    Method::of::<state::Get>(),
    Method::of::<state::List>(),
    Method::of::<cursors::List>(),
    Method::of::<cursors::Delete>(),
    Method::of::<quarantine::List>(),
    Method::of::<quarantine::Drop>(),
    Method::of::<quarantine::Retry>(),
    Method::of::<link::Pause>(),
    Method::of::<link::Resume>(),
    Method::of::<link::Reconnect>(),
    Method::of::<link::History>(),
    Method::of::<notifications::Mute>(),
    Method::of::<notifications::Unmute>(),
    Method::of::<notifications::Test>(),
    Method::of::<notifications::History>(),
    Method::of::<config::Reload>(),
    Method::of::<config::Show>(),
    Method::of::<daemon::Metrics>(),
    Method::of::<daemon::Doctor>(),
    Method::of::<daemon::Stop>(),
    Method::of::<unsubscribe::Unsubscribe>(),
    Method::of::<discover::Discover>(),
];

/// Entries of a page where the call names no limit.
const USUAL_LIMIT: u32 = 100;

/// Entries of a page at most.
const MAX_LIMIT: u32 = 1_000;

/// Globs in one call.
const MAX_TYPES: usize = 100;

/// Bytes of a type, a glob, a lane, the name of a cursor or of an app.
const MAX_NAME: usize = 256;

fn limit(asked: Option<u32>) -> usize {
    asked.unwrap_or(USUAL_LIMIT).clamp(1, MAX_LIMIT) as usize
}

fn globs(asked: Option<Vec<String>>) -> Result<Vec<TypeGlob>, Refusal> {
    let asked = asked.unwrap_or_default();
    if asked.len() > MAX_TYPES {
        return Err(invalid(format!("at most {MAX_TYPES} types can be named")));
    }
    for glob in &asked {
        name("a type", glob)?;
    }
    Ok(asked.iter().map(|glob| TypeGlob::new(glob)).collect())
}

/// Whether `text` can name `what`.
fn name(what: &str, text: &str) -> Result<(), Refusal> {
    if text.is_empty() || text.len() > MAX_NAME {
        return Err(invalid(format!("{what} has 1 to {MAX_NAME} bytes, not {}", text.len())));
    }
    if text.chars().any(char::is_control) {
        return Err(invalid(format!("{what} cannot hold control characters")));
    }
    Ok(())
}

fn check_epoch(shared: &super::Shared, asked: Option<&crate::model::Epoch>) -> Result<(), Refusal> {
    let epoch = &shared.identity.epoch;
    match asked {
        Some(asked) if asked != epoch => {
            Err(Refusal::new(ErrorKind::WrongEpoch, "the numbers are of another database")
                .hint("read from \"earliest\" and keep the new epoch")
                .with("epoch", epoch.to_string()))
        }
        _ => Ok(()),
    }
}
