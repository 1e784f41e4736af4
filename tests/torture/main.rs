//! The daemon under kill -9 and a server that is cut all the time: what had a receipt arrives,
//! in order within its lane; what the server sent reaches every subscriber, under one number.
//!
//! `HOLDLINE_TORTURE_MESSAGES` and `HOLDLINE_TORTURE_KILLS` make it as long as one likes.
#![cfg(unix)]
#![allow(clippy::print_stderr, reason = "says what was counted")]

mod app;
mod inbound;
mod outbound;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

/// How much of everything.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    pub(crate) messages: usize,
    pub(crate) kills: usize,
    /// The server cuts every connection this often.
    pub(crate) cut_every: Duration,
    /// After the last kill everything must be through within this time.
    pub(crate) patience: Duration,
}

impl Scale {
    /// By the environment, else small enough for every run of the tests.
    pub(crate) fn of_environment() -> Self {
        let number = |name: &str, default: usize| {
            std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
        };
        Self {
            messages: number("HOLDLINE_TORTURE_MESSAGES", 8_000),
            kills: number("HOLDLINE_TORTURE_KILLS", 6),
            cut_every: Duration::from_secs(1),
            patience: Duration::from_secs(120),
        }
    }
}
