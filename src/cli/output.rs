//! Where output goes: the only file that touches the terminal.

use std::io::{self, BufRead, IsTerminal, Write};

use anstream::AutoStream;
use serde::Serialize;

use super::args::{Color, Globals};
use super::{Exit, Failed, Outcome};

/// What every command gets: the global options, and the way out.
#[derive(Debug)]
pub(crate) struct Shell {
    globals: Globals,
    out: AutoStream<io::Stdout>,
    err: AutoStream<io::Stderr>,
    /// Lines of what [`Shell::redraw`] showed last.
    drawn: usize,
}

impl Shell {
    /// Output as the global options want it. `NO_COLOR`, `CLICOLOR_FORCE` and `TERM=dumb` count
    /// unless `--color` says otherwise.
    #[must_use]
    pub(crate) fn new(globals: Globals) -> Self {
        let choice = match globals.color {
            Color::Auto => None,
            Color::Always => Some(anstream::ColorChoice::Always),
            Color::Never => Some(anstream::ColorChoice::Never),
        };
        let out = choice.unwrap_or_else(|| AutoStream::choice(&io::stdout()));
        let err = choice.unwrap_or_else(|| AutoStream::choice(&io::stderr()));
        Self {
            globals,
            out: AutoStream::new(io::stdout(), out),
            err: AutoStream::new(io::stderr(), err),
            drawn: 0,
        }
    }

    /// The global options.
    #[must_use]
    pub(crate) const fn globals(&self) -> &Globals {
        &self.globals
    }

    /// Whether `--json` was given.
    #[must_use]
    pub(crate) const fn json(&self) -> bool {
        self.globals.json
    }

    /// Whether a person watches standard output.
    #[must_use]
    pub(crate) fn watched(&self) -> bool {
        io::stdout().is_terminal()
    }

    /// Writes `text` as it is. What is styled loses its style where there is no colour.
    ///
    /// # Errors
    /// When it cannot be written; with exit 0 when the reader has gone.
    pub(crate) fn print(&mut self, text: &str) -> Result<(), Failed> {
        self.out.write_all(text.as_bytes())?;
        self.out.flush()?;
        Ok(())
    }

    /// Writes bytes that are no text for people (raw payloads, generated files).
    ///
    /// # Errors
    /// As [`Shell::print`].
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> Result<(), Failed> {
        let mut out = io::stdout().lock();
        out.write_all(bytes)?;
        out.flush()?;
        Ok(())
    }

    /// Writes `value` as one line of JSON.
    ///
    /// # Errors
    /// As [`Shell::print`].
    pub(crate) fn document(&mut self, value: &(impl Serialize + ?Sized)) -> Result<(), Failed> {
        let mut line = serde_json::to_vec(value).map_err(io::Error::other)?;
        line.push(b'\n');
        self.raw(&line)
    }

    /// Shows `text` where the last one stood, for a person at a terminal.
    ///
    /// # Errors
    /// As [`Shell::print`].
    pub(crate) fn redraw(&mut self, text: &str) -> Result<(), Failed> {
        // Up to where the last one began; no wrapping meanwhile, so that a line stays a line.
        let up = if self.drawn == 0 { String::new() } else { format!("\x1b[{}F", self.drawn) };
        self.raw(format!("\x1b[?7l{up}").as_bytes())?;
        for line in text.lines() {
            self.print(line)?;
            self.raw(b"\x1b[K\n")?;
        }
        self.raw(b"\x1b[J\x1b[?7h")?;
        self.drawn = text.lines().count();
        Ok(())
    }

    /// Goes on only where a person says so, or `--yes` was given.
    ///
    /// # Errors
    /// A usage error where nobody can be asked; exit 1 where the person says no.
    pub(crate) fn confirm(&mut self, question: &str, yes: bool) -> Result<(), Failed> {
        if yes {
            return Ok(());
        }
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return Err(Failed::usage("this cannot be undone, and nobody can be asked here")
                .hint("say --yes if it is meant"));
        }
        write!(self.err, "{question} [y/N] ")?;
        self.err.flush()?;
        let mut answer = String::new();
        io::stdin()
            .lock()
            .read_line(&mut answer)
            .map_err(|error| Failed::new(Exit::Failure, format!("cannot read the answer: {error}")))?;
        match answer.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => Ok(()),
            _ => Err(Failed::new(Exit::Failure, "nothing was done")),
        }
    }

    /// Says something beside the data, on standard error. Nobody depends on it being read.
    pub(crate) fn note(&mut self, text: &str) {
        let _ = writeln!(self.err, "{text}");
    }

    /// Says how it ended, where there is something to say.
    #[must_use]
    pub(crate) fn finish(&mut self, outcome: Outcome) -> Exit {
        let failed = match outcome {
            Ok(exit) => return exit,
            Err(failed) => failed,
        };
        if failed.message.is_empty() && failed.detail.is_empty() {
            return failed.exit;
        }
        if self.globals.json {
            self.note(&failed.to_json());
        } else {
            self.note(&failed.to_text());
        }
        failed.exit
    }
}
