//! What is wrong with a configuration, as a person and as a program reads it.

use std::fmt::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::{EXIT_INVALID, EXIT_UNSAFE};

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

/// A line of the file with the place that is meant. What could be secret is already hidden.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Excerpt {
    /// The line, without its end.
    pub(super) text: String,
    /// Where the carets begin, in characters from 0.
    pub(super) start: usize,
    /// How many carets, at least 1.
    pub(super) width: usize,
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
        let line = self.line.map(|line| line.to_string());
        let gutter = " ".repeat(line.as_ref().map_or(1, String::len));
        if let Some(file) = &self.file {
            let _ = write!(out, "\n{gutter}--> {}", shorten(file, home));
            if let (Some(line), Some(column)) = (self.line, self.column) {
                let _ = write!(out, ":{line}:{column}");
            }
        }
        match (&self.excerpt, line) {
            (Some(excerpt), Some(line)) => {
                let pad = " ".repeat(excerpt.start);
                let carets = "^".repeat(excerpt.width);
                let _ = write!(out, "\n{gutter} |\n{line} | {}\n{gutter} | {pad}{carets}", excerpt.text);
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

/// Most characters of a line that are shown.
const WIDEST: usize = 400;

/// Cuts the excerpt for `span` out of `text`; `hidden` are byte ranges that must not be seen.
/// Gives line and column from 1 with it.
pub(super) fn excerpt(text: &str, span: &Range<usize>, hidden: &[Range<usize>]) -> (usize, usize, Excerpt) {
    let (begin, end) = line_of(text, span);
    // What a person wrote into a comment may be the token of last week.
    cut(text, span, hidden, begin..begin + before_comment(&text[begin..end]).len())
}

/// As [`excerpt`], for a span within a text: what stands before it is no comment, although it may look
/// like one where the text has several lines.
pub(super) fn excerpt_inside(
    text: &str,
    span: &Range<usize>,
    hidden: &[Range<usize>],
) -> (usize, usize, Excerpt) {
    let (begin, end) = line_of(text, span);
    let uncommented = begin + before_comment(&text[begin..end]).len();
    // Where it looks like one, what is behind the span is not shown: a comment may be among it.
    let end = if uncommented > span.start { uncommented } else { floor(text, span.end).clamp(begin, end) };
    cut(text, span, hidden, begin..end)
}

/// Begin and end of the line in which `span` begins.
fn line_of(text: &str, span: &Range<usize>) -> (usize, usize) {
    let start = floor(text, span.start);
    let begin = text[..start].rfind('\n').map_or(0, |at| at + 1);
    (begin, text[begin..].find('\n').map_or(text.len(), |at| begin + at))
}

fn cut(
    text: &str,
    span: &Range<usize>,
    hidden: &[Range<usize>],
    shown: Range<usize>,
) -> (usize, usize, Excerpt) {
    let Range { start: begin, end } = shown;
    let start = floor(text, span.start);
    let stop = floor(text, span.end).clamp(start, end.max(start));
    let line = text[..begin].matches('\n').count() + 1;
    let column = text[begin..start].chars().count() + 1;

    let hidden: Vec<_> = hidden.iter().filter(|range| range.start < end && range.end > begin).collect();
    let mut shown = String::new();
    // How many characters of the shown line stand before a place of the text.
    let mut from = None;
    let mut to = None;
    let mut length = 0;
    let mut masking = false;
    for (offset, c) in text[begin..end].char_indices().take(10 * WIDEST) {
        let at = begin + offset;
        if at >= start {
            from = from.or(Some(length));
        }
        if at >= stop {
            to = to.or(Some(length));
        }
        if length >= WIDEST {
            shown.push('…');
            break;
        }
        let hide = hidden.iter().any(|range| range.contains(&at));
        if hide && !masking {
            shown.push_str("***");
            length += 3;
        } else if !hide && (c == '\t' || !c.is_control()) {
            shown.push(if c == '\t' { ' ' } else { c });
            length += 1;
        }
        masking = hide;
    }
    let start = from.unwrap_or(length);
    let width = to.unwrap_or(length).saturating_sub(start).max(1);
    (line, column, Excerpt { text: shown, start, width })
}

/// The line without its comment.
fn before_comment(line: &str) -> &str {
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in line.char_indices() {
        match (quote, c) {
            (None, '#') => return line[..at].trim_end(),
            (None, '"' | '\'') => quote = Some(c),
            (Some('"'), '\\') => {
                escaped = !escaped;
                continue;
            }
            (Some(open), _) if open == c && !escaped => quote = None,
            _ => {}
        }
        escaped = false;
    }
    line
}

/// The character boundary at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{excerpt, shorten};

    #[test]
    fn an_excerpt_shows_the_line_and_counts_in_characters() {
        let text = "a = 1\nä = \"ö\" # x\nb = 2";
        let start = text.find('"').expect("there");
        let (line, column, cut) = excerpt(text, &(start..start + 4), &[]);
        assert_eq!((line, column, cut.text.as_str(), cut.start, cut.width), (2, 5, "ä = \"ö\"", 4, 3));
    }

    #[test]
    fn comments_are_not_shown_and_texts_with_their_sign_are() {
        for (line, shown) in [
            ("a = 5 # was \"HLCANARY\"", "a = 5"),
            ("a = \"x#y\" # z", "a = \"x#y\""),
            (r##"a = "x\"#y" # z"##, r##"a = "x\"#y""##),
            (r#"a = "x\\" # z"#, r#"a = "x\\""#),
            ("a = 'x\\' # z", "a = 'x\\'"),
        ] {
            assert_eq!(excerpt(line, &(0..1), &[]).2.text, shown);
        }
    }

    #[test]
    fn what_is_hidden_is_not_in_the_excerpt_and_the_carets_stay_right() {
        let text = "x = { a = \"secret\", bad = 1 }";
        let hidden = text.find("secret").expect("there");
        let bad = text.find("bad").expect("there");
        let (_, column, cut) = excerpt(text, &(bad..bad + 3), std::slice::from_ref(&(hidden..hidden + 6)));
        assert_eq!(cut.text, "x = { a = \"***\", bad = 1 }");
        assert_eq!((column, cut.start, cut.width), (bad + 1, bad - 3, 3));
    }

    #[test]
    fn a_span_at_the_end_of_the_text_still_gets_a_caret() {
        let (line, column, cut) = excerpt("a = ", &(4..4), &[]);
        assert_eq!((line, column, cut.start, cut.width), (1, 5, 4, 1));
        let (line, column, cut) = excerpt("a\n", &(2..9), &[]);
        assert_eq!((line, column, cut.text.as_str(), cut.width), (2, 1, "", 1));
    }

    #[test]
    fn home_is_written_as_a_tilde() {
        let home = Some(Path::new("/home/kim"));
        assert_eq!(shorten(Path::new("/home/kim/.config/x"), home), "~/.config/x");
        assert_eq!(shorten(Path::new("/home/kimberly/x"), home), "/home/kimberly/x");
        assert_eq!(shorten(Path::new("/x"), Some(Path::new("/"))), "/x");
    }
}
