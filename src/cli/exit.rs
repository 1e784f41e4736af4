//! How a command ends: its exit code, and what it says when it failed.

use std::io;
use std::process::ExitCode;

use crate::model::{ErrorKind, Refusal};

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
    /// A sentence: what happened. Empty: nothing is said.
    pub(crate) message: String,
    /// Further lines as they are, such as the place in a file. Empty where there are none.
    pub(crate) detail: String,
    /// What to do. Empty where there is nothing.
    pub(crate) hint: String,
}

impl Failed {
    /// A failure that exits as `exit` and says `message`.
    #[must_use]
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, kind: None, message: message.into(), detail: String::new(), hint: String::new() }
    }

    /// What was typed, or handed in, makes no sense.
    #[must_use]
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
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

impl From<Refusal> for Failed {
    fn from(refusal: Refusal) -> Self {
        Self {
            exit: refusal.kind.into(),
            kind: Some(refusal.kind),
            message: refusal.message,
            detail: String::new(),
            hint: refusal.hint,
        }
    }
}

impl From<io::Error> for Failed {
    /// Failing to write what was asked for. A reader that went away had what it wanted.
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::new(Exit::Ok, "");
        }
        Self::new(Exit::Failure, format!("cannot write the output: {error}"))
    }
}

impl Failed {
    /// As a person reads it: what happened, where, what to do.
    #[must_use]
    pub(crate) fn to_text(&self) -> String {
        let mut text = format!("{ERROR}error{ERROR:#}: {}", self.message);
        if !self.detail.is_empty() {
            text.push('\n');
            text.push_str(self.detail.trim_end_matches('\n'));
        }
        if !self.hint.is_empty() {
            text.push_str("\n  hint: ");
            text.push_str(&self.hint);
        }
        text
    }

    /// As a program reads it: one line.
    #[must_use]
    pub(crate) fn to_json(&self) -> String {
        let mut error = serde_json::Map::new();
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

const ERROR: anstyle::Style = anstyle::AnsiColor::Red.on_default().bold();
