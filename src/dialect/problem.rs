//! What is wrong with a dialect file, said so that its author can mend it.

use std::fmt;

use serde::Serialize;

use crate::model::Excerpt;

/// How much a [`Problem`] matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// The file cannot be used.
    Error,
    /// The file can be used, and does not do what was meant, by all appearance.
    Warning,
}

/// One thing that is wrong with a dialect file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// One word, for programs.
    pub code: &'static str,
    /// How much it matters.
    pub severity: Grade,
    /// The file's path, or the built-in's name.
    pub file: String,
    /// Line, from 1; 0 where it is about the whole file.
    pub line: usize,
    /// Column in characters, from 1; 0 where it is about the whole file.
    pub column: usize,
    /// Which rule or step: `in[3]`, `start[1]`; none for the file's own keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to do. Empty where the message says it.
    pub advice: String,
    /// The line with the place, where the file has one. Programs have `line` and `column`.
    #[serde(skip)]
    pub excerpt: Option<Excerpt>,
}

impl Problem {
    /// A problem with the file as a whole.
    #[must_use]
    pub fn whole(
        code: &'static str,
        file: &str,
        message: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            code,
            severity: Grade::Error,
            file: file.to_owned(),
            line: 0,
            column: 0,
            rule: None,
            message: message.into(),
            advice: advice.into(),
            excerpt: None,
        }
    }

    /// Whether the file cannot be used with it.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Grade::Error
    }
}

/// `path:line:column: error[code] in[3]: what is wrong; what to do`
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        let grade = match self.severity {
            Grade::Error => "error",
            Grade::Warning => "warning",
        };
        write!(f, ": {grade}[{}]", self.code)?;
        if let Some(rule) = &self.rule {
            write!(f, " {rule}")?;
        }
        write!(f, ": {}", self.message)?;
        if !self.advice.is_empty() {
            write!(f, "; {}", self.advice)?;
        }
        Ok(())
    }
}

/// The known name nearest to `name`, where one is near enough to have been meant.
pub(crate) fn nearest<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}
