//! The real program against servers that behave and servers that do not: what people see, and
//! that nothing is lost meanwhile.
#![cfg(unix)]
#![allow(clippy::print_stderr, reason = "says what was measured, or skipped")]

mod crowd;
mod delivery;
mod doctor;
mod faults;
#[cfg(target_os = "linux")]
mod flood;
#[cfg(target_os = "linux")]
mod frames;
mod gaps;
mod half_open;
mod lifecycle;
mod logs;
mod metrics;
mod notices;
mod quarantine;
mod reload;
mod requests;
mod secrets;
mod shutdown;
mod sign_in;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use holdline::dev_server::{DevServer, Options};
use serde_json::{Value, json};
use support::daemon::{Client, Daemon};

/// A server as tests want it.
pub(crate) async fn server() -> DevServer {
    DevServer::start(Options { keep_bodies: true, ..Options::default() }).await.expect("a server")
}

/// A configuration for this server with quick delays, and more.
pub(crate) fn config(url: &str, dialect: &str, more: &str) -> String {
    format!(
        "[server]\nurl = \"{url}\"\ndialect = \"{dialect}\"\n\
         [reconnect]\ndelays = [\"100ms\", \"200ms\"]\n{more}\n"
    )
}

/// Starts a daemon, off the runtime's threads: it blocks.
pub(crate) async fn start(config: String) -> Daemon {
    blocking(move || Daemon::start(&config)).await
}

/// Runs what blocks.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("no panic in there")
}

/// Waits until `status` fits, and gives it.
pub(crate) fn wait_for_status(client: &mut Client, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
    support::until_blocking(what, || {
        let status = client.call("status", &json!({})).expect("an answer");
        fits(&status).then_some(status)
    })
}

/// Sends a message and gives its id.
pub(crate) fn send(client: &mut Client, kind: &str, data: &Value) -> String {
    let receipt = client.call("messages.send", &json!({"type": kind, "data": data})).expect("a receipt");
    assert_eq!(receipt["state"], "queued");
    assert_eq!(receipt["durability"], "full");
    receipt["id"].as_str().expect("an id").to_owned()
}

/// Long enough for anything that should happen soon on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(30);
