//! The tools for dialects, as a person uses them: the real program against real sockets.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../support/mod.rs"]
mod support;

mod desk;
mod record;
mod tutorial;
