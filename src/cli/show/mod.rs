//! What people read, made from what the daemon answers. Pure: a value and a [`Reader`] in, a
//! `String` out, styled with ANSI sequences that [`crate::cli::output`] drops where there is no
//! colour. Every text that came from a server or an app goes through [`words::plain`].
//!
//! [`Reader`]: super::words::Reader
//! [`words::plain`]: super::words::plain

pub(crate) mod doctor;
pub(crate) mod event;
pub(crate) mod history;
pub(crate) mod message;
pub(crate) mod notice;
pub(crate) mod status;

use anstyle::{AnsiColor, Style};

/// Connected, done.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// Waiting: it goes on by itself.
pub(crate) const WAITING: Style = AnsiColor::Yellow.on_default();
/// A person is needed.
pub(crate) const BAD: Style = AnsiColor::Red.on_default();
/// Beside the point.
pub(crate) const FAINT: Style = Style::new().dimmed();

/// `text` in `style`.
pub(crate) fn styled(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

/// A line with its name in front, as all named lines of a report are laid out.
pub(crate) fn field(name: &str, value: &str) -> String {
    format!("  {name:<12}{value}\n")
}
