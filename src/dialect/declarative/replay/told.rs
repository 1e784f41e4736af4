//! How a line of a recording, and what it came to, is told.

use super::super::talk::Came;
use super::ReplayLine;
use super::transcript::Entry;
use crate::model::LinkState;

/// A line of which nothing is known yet.
pub(super) const fn blank(line: usize, dir: &'static str) -> ReplayLine {
    ReplayLine { line, dir, came_to: Vec::new(), mismatches: Vec::new(), notes: Vec::new() }
}

pub(super) const fn dir(entry: &Entry) -> &'static str {
    match entry {
        Entry::Set(_) => "set",
        Entry::Open(_) => "open",
        Entry::Refused { .. } => "refused",
        Entry::In(_) => "in",
        Entry::Out(_) => "out",
        Entry::Send(_) => "send",
        Entry::Close { .. } => "close",
        Entry::Wait(_) => "wait",
        Entry::Expect(_) => "expect",
        Entry::Torn => "torn",
    }
}

pub(super) fn link(state: LinkState) -> Came {
    Came { to: "link", kind: Some(state.as_str().to_owned()), ..Came::default() }
}

/// An outcome in one line; never its content, which may be secret.
pub(super) fn spelled(came: &Came) -> String {
    let mut text = came.to.to_owned();
    for part in [&came.kind, &came.code, &came.message].into_iter().flatten() {
        text.push(' ');
        text.push_str(part);
    }
    text
}
