//! One suite for every dialect: those that come with the program, declarative or coded, and those
//! of `examples/dialects`. Nine things each of them does, or says why it cannot, and what must hold
//! of each whatever it speaks.
//!
//! A dialect takes part by having a folder: `tests/fixtures/dialect/NAME` for what is built in,
//! `examples/dialects/NAME` with a `dialect.toml` for the others. Its transcripts say which case
//! their lines show (`# case: start`), or why there is none (`# cannot resume: …`). Transcripts that
//! name no case are recordings, and only replayed.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test picks what it looks at")]
#![allow(missing_docs, unreachable_pub, missing_debug_implementations, reason = "nobody else reads this")]

mod cases;
mod folders;
mod manual;
mod player;
mod properties;
mod replayed;
mod script;
mod shelf;
mod spy;
