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
pub(super) mod send;
mod state;
mod status;
mod unsubscribe;

use super::call::{Described, Method, invalid};
use crate::model::{ErrorKind, Refusal, TypeGlob};

/// One list, told twice: to those who call and to those who read.
macro_rules! methods {
    ($($call:ty,)*) => {
        /// Every method there is.
        pub(super) const ALL: &[Method] = &[$(Method::of::<$call>(),)*];
        /// What is said of them, in the same order.
        pub(super) const DESCRIBED: &[Described] = &[$(Described::of::<$call>(),)*];
    };
}

methods! {
    hello::Hello,
    status::Status,
    status::Watch,
    send::Send,
    request::Request,
    messages::Get,
    messages::List,
    messages::Watch,
    messages::Cancel,
    messages::Retry,
    messages::Drop,
    events::List,
    events::Subscribe,
    events::Ack,
    state::Get,
    state::List,
    cursors::List,
    cursors::Delete,
    quarantine::List,
    quarantine::Drop,
    quarantine::Retry,
    link::Pause,
    link::Resume,
    link::Reconnect,
    link::History,
    notifications::Mute,
    notifications::Unmute,
    notifications::Test,
    notifications::History,
    config::Reload,
    config::Show,
    daemon::Metrics,
    daemon::Doctor,
    daemon::Stop,
    unsubscribe::Unsubscribe,
    discover::Discover,
}

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
