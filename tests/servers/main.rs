//! The real daemon against servers that exist, started here on this machine: messages both ways over a line
//! that is cut, sign-ins refused and mended, servers killed and operators who kick.
//!
//! `tests/servers/install.sh` installs npm's servers, the others are Debian's. What is missing is skipped,
//! which is said on standard error; in CI that is a failure.
#![cfg(target_os = "linux")]
#![allow(clippy::print_stderr, reason = "says what was counted, or skipped")]
#![allow(clippy::disallowed_methods, reason = "says how long it took")]

mod actioncable;
mod front;
mod graphql_ws;
mod harness;
mod home_assistant;
mod janus;
mod nchan;
mod socketio;
#[path = "../support/mod.rs"]
mod support;
