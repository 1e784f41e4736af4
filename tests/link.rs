//! The way to the server, tried against servers of every kind.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test says what it wants and fails else"
)]

#[path = "link/dial.rs"]
mod dial;
#[path = "link/probe.rs"]
mod probe;
#[path = "link/proxy.rs"]
mod proxy;
#[path = "link/pump.rs"]
mod pump;
mod support;
#[path = "link/tls.rs"]
mod tls;
