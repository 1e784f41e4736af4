//! Writes a session down as a transcript that replays.
//!
//! A recorded session is an ordinary one whose dialect is overheard: [`Recorder::overhear`] puts a
//! layer between session and dialect that hands everything on as it is and notes it. So a
//! recording knows what a replay asks for: which frames came, which the dialect gave back, which
//! messages were turned into frames, how a connection began and ended. What is secret is replaced
//! when a line is written out, by all that is known to be secret by then.

mod hide;
mod line;
mod overheard;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value};

use self::hide::Hidden;
use self::line::{Entry, Line};
use self::overheard::Overheard;
use super::Dialect;
use super::declarative::Handed;
use crate::model::{Moment, Secret, Timestamp};

/// Most lines of a recording: what a replay takes.
pub const MOST_LINES: usize = super::declarative::TRANSCRIPT_LINES;
/// Most bytes of a recording. It stands in memory until it is written.
pub const MOST_BYTES: usize = 32 << 20;

/// What is told while it happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Milliseconds since the recording began.
    pub at: u64,
    /// What happened, as `dir` of the line says it; `came_to` for what follows from a frame.
    pub dir: &'static str,
    /// The line of the transcript, without what is known to be secret so far; empty for `came_to`.
    pub line: String,
    /// The content for people: the frame, the type of a message, why it ended.
    pub content: String,
}

/// A recording that is complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transcript {
    /// The file: one JSON object a line, with a line end each.
    pub text: String,
    /// Lines in it.
    pub lines: usize,
    /// Frames that came.
    pub came: u64,
    /// Frames of ours.
    pub went: u64,
    /// Different secrets that were known, whether or not they came up.
    pub secrets: usize,
    /// A start-up was through: messages could flow.
    pub started: bool,
    /// It ends before the session did: there was no more room.
    pub full: bool,
}

/// Hears what is told while it happens.
type Ear = Box<dyn Fn(Told) + Send + Sync>;

/// Takes a session down.
pub struct Recorder {
    state: Mutex<State>,
    ear: Ear,
}

#[derive(Debug, Default)]
struct State {
    hidden: Hidden,
    vars: Map<String, Value>,
    token: Option<Secret>,
    began: Option<Timestamp>,
    /// Time never goes back in a transcript, whatever the wall clock does.
    at: u64,
    lines: Vec<Line>,
    bytes: usize,
    came: u64,
    went: u64,
    full: bool,
    /// A start-up was through.
    started: bool,
    /// Nothing that happens from here on is the server's doing.
    ending: bool,
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("state", &self.state).finish_non_exhaustive()
    }
}

impl Recorder {
    /// Takes down a session with these values for the dialect; `ear` is told each line at once.
    #[must_use]
    pub fn new(vars: Map<String, Value>, ear: impl Fn(Told) + Send + Sync + 'static) -> Arc<Self> {
        let state = Mutex::new(State { vars, ..State::default() });
        Arc::new(Self { state, ear: Box::new(ear) })
    }

    /// The same dialect, overheard.
    #[must_use]
    pub fn overhear(self: &Arc<Self>, dialect: Arc<dyn Dialect>) -> Arc<dyn Dialect> {
        Arc::new(Overheard::new(Arc::clone(self), dialect))
    }

    /// Keeps `secret` out of the recording; `name` is what its reader sees in its place.
    pub fn hide(&self, name: &str, secret: &str) {
        self.state().hidden.hide(name, secret);
    }

    /// The session is ended from here: what still happens is our doing.
    pub fn ending(&self) {
        self.state().ending = true;
    }

    /// Whether there is no more room.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.state().full
    }

    /// Frames so far, either way.
    #[must_use]
    pub fn frames(&self) -> u64 {
        let state = self.state();
        state.came + state.went
    }

    /// The transcript as it is now.
    #[must_use]
    pub fn transcript(&self) -> Transcript {
        let state = self.state();
        let mut text = state.first_line();
        for line in &state.lines {
            text.push_str(&line.written(&state.hidden));
            text.push('\n');
        }
        Transcript {
            text,
            lines: state.lines.len() + 1,
            came: state.came,
            went: state.went,
            secrets: state.hidden.len(),
            started: state.started,
            full: state.full,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what happened, and tells it.
    fn note(&self, at: Moment, entry: Entry) {
        let told = self.state().note(at, entry);
        if let Some(told) = told {
            (self.ear)(told);
        }
    }

    /// Tells what the line before came to. It stands in no transcript: a replay finds out itself.
    fn came_to(&self, content: &str) {
        let told = {
            let state = self.state();
            if state.full {
                return;
            }
            let content = state.hidden.clean(content);
            Told { at: state.at, dir: "came_to", line: String::new(), content }
        };
        (self.ear)(told);
    }
}

impl State {
    fn note(&mut self, at: Moment, entry: Entry) -> Option<Told> {
        if self.full {
            return None;
        }
        let began = *self.began.get_or_insert(at.wall);
        let since = at.wall.as_millis().saturating_sub(began.as_millis());
        self.at = self.at.max(u64::try_from(since).unwrap_or(0));
        let line = Line { at: self.at, entry };
        let size = line.size();
        // The first line counts as well.
        if self.lines.len() + 1 >= MOST_LINES || self.bytes + size > MOST_BYTES {
            self.full = true;
            return None;
        }
        match line.entry {
            Entry::In(_) => self.came += 1,
            Entry::Out(_) => self.went += 1,
            Entry::Open(_) | Entry::Refused(_) | Entry::Send(_) | Entry::Close { .. } => {}
        }
        self.bytes += size;
        let told = Told {
            at: line.at,
            dir: line.entry.dir(),
            line: line.written(&self.hidden),
            content: line.entry.content(&self.hidden),
        };
        self.lines.push(line);
        Some(told)
    }

    fn first_line(&self) -> String {
        let mut set = Map::new();
        set.insert("dir".to_owned(), "set".into());
        let token = self.token.as_ref().and_then(|token| self.hidden.stand_in(token.expose()));
        if let Some(token) = token {
            set.insert("token".to_owned(), token.into());
        }
        if !self.vars.is_empty() {
            set.insert("vars".to_owned(), Value::Object(self.vars.clone()));
        }
        if let Some(began) = self.began {
            set.insert("now".to_owned(), began.to_string().into());
        }
        self.hidden.clean(&Value::Object(set).to_string()) + "\n"
    }
}

/// Reads a message to hand in, written as a `send` line of a transcript without its `dir`:
/// `{"type":"chat","data":{…}}`, `{"text":"…"}` or `{"binary":"…"}`, and perhaps an `id`.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn message(json: &str) -> Result<Handed, String> {
    super::declarative::handed(json)
}
