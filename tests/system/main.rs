//! The real program against the machine itself: foreign proxies and servers, networks that break,
//! disks that fail, clocks that lie. These tests need root and programs that `.ci/install` fetches;
//! without them they are skipped, loudly, and in CI a skip is a failure.
//!
//! All traffic stays on loopback or inside network namespaces that a test made and removes.
#![cfg(target_os = "linux")]
#![allow(clippy::print_stderr, reason = "says what was measured, or skipped")]
#![allow(clippy::unwrap_used, reason = "a test says what it wants and fails else")]

mod disk;
mod doctor;
mod foreign;
mod front;
mod journal;
#[cfg(feature = "keyring")]
mod keyring;
mod lifecycle;
mod machines;
mod manager;
mod network;
mod notices;
mod package;
mod power;
mod proxies;
mod secrets;
mod service;
#[path = "../support/mod.rs"]
mod support;
mod sweep;
mod time;
mod torn;
mod traffic;
mod volume;
