//! A command that a rule has run, and what it is told.

use std::sync::Arc;
use std::time::Duration;

/// One run of a rule's command. Who carries it out decides nothing: what is to run, on what, and for
/// how long stands here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Errand {
    /// Program and arguments, as they are written in the rule; nothing of the event is in them.
    pub argv: Arc<[String]>,
    /// How long it may take; then it is ended.
    pub timeout: Duration,
    /// What it reads on standard input: the event as apps see it, as one line of JSON with its `\n`.
    pub input: Arc<str>,
}
