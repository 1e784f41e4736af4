//! How a command ends: its exit code, and what it says when it failed.

use std::io;
use std::process::ExitCode;

use serde_json::{Map, Value};

use super::show::{BAD, field, styled};
use super::words::plain;
use crate::client::CallError;
use crate::model::ErrorKind;

/// The exit codes. The same numbers in text and JSON; `docs/operating.md` lists them for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Ok,
    /// An unexpected failure.
    Failure,
    /// The command line, or what it was given, makes no sense.
    Usage,
    /// No daemon, or one that does not answer.
    NotRunning,
    /// It runs, but something is wrong.
    Unhealthy,
    /// Not in time.
    TimedOut,
    /// Not allowed.
    Refused,
    /// A limit is reached.
    Limit,
    /// No such message, cursor, event, dialect.
    NotFound,
    /// The message ended, or will end, without delivery.
    Undelivered,
    /// The code the daemon itself ended with.
    Daemon(u8),
}

impl Exit {
    /// The number the shell sees.
    #[must_use]
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::NotRunning => 3,
            Self::Unhealthy => 4,
            Self::TimedOut => 5,
            Self::Refused => 6,
            Self::Limit => 7,
            Self::NotFound => 8,
            Self::Undelivered => 9,
            Self::Daemon(code) => code,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

impl From<ErrorKind> for Exit {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::InvalidParams | ErrorKind::NoKey => Self::Usage,
            ErrorKind::ShuttingDown => Self::NotRunning,
            ErrorKind::Timeout => Self::TimedOut,
            ErrorKind::Forbidden => Self::Refused,
            ErrorKind::QueueFull | ErrorKind::TooLarge => Self::Limit,
            ErrorKind::NotFound => Self::NotFound,
            ErrorKind::NotConnected | ErrorKind::Ended | ErrorKind::Uncertain => Self::Undelivered,
            ErrorKind::Conflict
            | ErrorKind::WrongEpoch
            | ErrorKind::Busy
            | ErrorKind::StoreFailed
            | ErrorKind::Unsupported
            | ErrorKind::Internal => Self::Failure,
        }
    }
}

/// What a command comes to.
pub(crate) type Outcome = Result<Exit, Failed>;

/// A command that failed: what happened, where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failed {
    /// How it exits.
    pub(crate) exit: Exit,
    /// For programs; none where only the exit code tells.
    pub(crate) kind: Option<ErrorKind>,
    /// A sentence: what happened. Empty where `detail` says it all.
    pub(crate) message: String,
    /// Further lines as they are, such as the place in a file. Empty where there are none.
    pub(crate) detail: String,
    /// What to do. Empty where there is nothing.
    pub(crate) hint: String,
    /// No answer came: what was asked for may have happened all the same.
    pub(crate) unanswered: bool,
    /// What else belongs to it, for programs.
    pub(crate) extra: Map<String, Value>,
}

impl Failed {
    /// A failure that exits as `exit` and says `message`.
    #[must_use]
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            kind: None,
            message: message.into(),
            detail: String::new(),
            hint: String::new(),
            unanswered: false,
            extra: Map::new(),
        }
    }

    /// What was typed, or handed in, makes no sense.
    #[must_use]
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// With the word for programs.
    #[must_use]
    pub(crate) fn kind(mut self, kind: ErrorKind) -> Self {
        self.kind = Some(kind);
        self
    }

    /// With what to do.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// With lines that say where.
    #[must_use]
    pub(crate) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }
}

impl From<CallError> for Failed {
    fn from(error: CallError) -> Self {
        let said = error.to_string();
        match error {
            CallError::Refused(refusal) => {
                let kind = refusal.kind();
                let mut failed = Self::new(kind.map_or(Exit::Failure, Exit::from), plain(&said));
                failed.kind = kind;
                failed.hint = plain(refusal.hint());
                failed.extra = refusal.data.map(|data| data.extra).unwrap_or_default();
                failed
            }
            CallError::Deadline(_) | CallError::Closed(_) | CallError::Stopped(_) => {
                Self { unanswered: true, ..Self::new(Exit::NotRunning, plain(&said)) }
            }
            CallError::Unreadable(_) => Self::new(Exit::Failure, plain(&said)).hint(
                "daemon and command may be of different versions; `holdline ctl stop`, then start it anew",
            ),
        }
    }
}

impl From<io::Error> for Failed {
    /// A reader that went away had what it wanted; all else is a failure.
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::new(Exit::Ok, "");
        }
        Self::new(Exit::Failure, format!("input or output failed: {error}"))
    }
}

impl Failed {
    /// As a person reads it: what happened, where, what to do.
    #[must_use]
    pub(crate) fn to_text(&self) -> String {
        if self.exit == Exit::NotRunning && !self.unanswered {
            // That nothing runs is an answer, not an error.
            return format!("{}\n{}", self.message, field("Start it", &self.hint)).trim_end().to_owned();
        }
        let mut lines = Vec::new();
        if !self.message.is_empty() {
            lines.push(format!("{}: {}", styled(BAD.bold(), "error"), self.message));
        }
        if !self.detail.is_empty() {
            lines.push(self.detail.trim_end_matches('\n').to_owned());
        }
        if !self.hint.is_empty() {
            lines.push(format!("  hint: {}", self.hint));
        }
        lines.join("\n")
    }

    /// As a program reads it: one line.
    #[must_use]
    pub(crate) fn to_json(&self) -> String {
        let mut error = self.extra.clone();
        error.insert("exit".to_owned(), self.exit.code().into());
        if let Some(kind) = self.kind.and_then(|kind| serde_json::to_value(kind).ok()) {
            error.insert("kind".to_owned(), kind);
        }
        for (name, text) in [("message", &self.message), ("detail", &self.detail), ("hint", &self.hint)] {
            if !text.is_empty() {
                error.insert(name.to_owned(), text.clone().into());
            }
        }
        serde_json::json!({ "error": error }).to_string()
    }
}
