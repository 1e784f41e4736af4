//! What is wrong with a configuration, as a person and as a program reads it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::{EXIT_INVALID, EXIT_UNSAFE};
use crate::model::Excerpt;

/// How much a problem matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The daemon does not start with it.
    Error,
    /// It works, but somebody should look.
    Warning,
}

impl Severity {
    /// The word as it is printed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One thing that is wrong, where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// One word for programs: `unknown_key`, `wrong_type`, `bad_value`, `missing_key`,
    /// `conflict`, `not_built`, `syntax`, `unsafe`, `unreadable`, `missing_file`, …
    pub code: &'static str,
    /// Error or warning.
    pub severity: Severity,
    /// Which file or folder, if any.
    pub file: Option<PathBuf>,
    /// Line, from 1.
    pub line: Option<usize>,
    /// Column in characters, from 1.
    pub column: Option<usize>,
    /// The key as it would be written with dots, if one is meant.
    pub key: Option<String>,
    /// What is wrong, as a sentence without a full stop.
    pub message: String,
    /// What to do; empty where there is nothing more to say.
    pub hint: String,
    /// Exit code: [`EXIT_INVALID`] or [`EXIT_UNSAFE`].
    pub exit: u8,
    pub(super) excerpt: Option<Excerpt>,
}

impl Problem {
    /// An error of content (exit 78) that belongs to no line.
    #[must_use]
    pub fn new(code: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            code,
            severity: Severity::Error,
            file: None,
            line: None,
            column: None,
            key: None,
            message: message.into(),
            hint: hint.into(),
            exit: EXIT_INVALID,
            excerpt: None,
        }
    }

    /// An unsafe owner, mode or type (exit 77).
    #[must_use]
    pub fn unsafe_file(file: &Path, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { exit: EXIT_UNSAFE, ..Self::new("unsafe", message, hint).in_file(file) }
    }

    /// The same problem, of this file.
    #[must_use]
    pub fn in_file(mut self, file: &Path) -> Self {
        self.file = Some(file.to_owned());
        self
    }

    /// The same problem, at this line and column, both from 1.
    #[must_use]
    pub fn at(mut self, line: usize, column: usize) -> Self {
        self.line = Some(line);
        self.column = Some(column);
        self
    }

    /// The same problem, of this key.
    #[must_use]
    pub fn of_key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// The same problem as a warning.
    #[must_use]
    pub fn as_warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// The problem as people read it; paths below `home` begin with `~`.
    #[must_use]
    pub fn render(&self, home: Option<&Path>) -> String {
        let mut out = format!("{}: {}", self.severity.as_str(), self.message);
        let gutter = " ".repeat(self.line.map_or(1, |line| line.to_string().len()));
        if let Some(file) = &self.file {
            let _ = write!(out, "\n{gutter}--> {}", shorten(file, home));
            if let (Some(line), Some(column)) = (self.line, self.column) {
                let _ = write!(out, ":{line}:{column}");
            }
        }
        match (&self.excerpt, self.line) {
            (Some(excerpt), Some(line)) => {
                let _ = write!(out, "\n{}", excerpt.under(line));
                if !self.hint.is_empty() {
                    let _ = write!(out, " {}", self.hint);
                }
            }
            _ if self.hint.is_empty() => {}
            _ => {
                let _ = write!(out, "\n{gutter}hint: {}", self.hint);
            }
        }
        out
    }

    /// The problem as programs read it.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        json!({
            "severity": self.severity.as_str(),
            "code": self.code,
            "file": self.file.as_ref().map(|file| file.to_string_lossy()),
            "line": self.line,
            "column": self.column,
            "key": self.key,
            "message": self.message,
            "hint": (!self.hint.is_empty()).then_some(&self.hint),
            "exit": matches!(self.severity, Severity::Error).then_some(self.exit),
        })
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.render(None))
    }
}

/// All problems as people read them, a blank line between them.
#[must_use]
pub fn render(problems: &[Problem], home: Option<&Path>) -> String {
    problems.iter().map(|problem| problem.render(home)).collect::<Vec<_>>().join("\n\n")
}

/// All problems as programs read them.
#[must_use]
pub fn render_json(problems: &[Problem]) -> serde_json::Value {
    problems.iter().map(Problem::to_json).collect()
}

/// `path` with `~` for the home folder.
#[must_use]
pub fn shorten(path: &Path, home: Option<&Path>) -> String {
    match home.filter(|home| home.parent().is_some()).and_then(|home| path.strip_prefix(home).ok()) {
        Some(rest) => Path::new("~").join(rest).display().to_string(),
        None => path.display().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::shorten;

    #[test]
    fn home_is_written_as_a_tilde() {
        let home = Some(Path::new("/home/kim"));
        assert_eq!(shorten(Path::new("/home/kim/.config/x"), home), "~/.config/x");
        assert_eq!(shorten(Path::new("/home/kimberly/x"), home), "/home/kimberly/x");
        assert_eq!(shorten(Path::new("/x"), Some(Path::new("/"))), "/x");
    }
}
