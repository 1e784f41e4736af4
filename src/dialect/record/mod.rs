//! Writes a session down as a transcript that replays.
//!
//! A recorded session is an ordinary one whose dialect is overheard: [`Recorder::overhear`] puts a
//! layer between session and dialect that hands everything on as it is and notes it. So a
//! recording knows what a replay asks for: which frames came, which the dialect gave back, which
//! messages were turned into frames, how a connection began and ended.
//!
//! What is secret is replaced when a line is given out, by all that is known to be secret by then. Two
//! things keep a secret out that is learned after the line it stands in. The lines of a start-up are held
//! back until it is through or over: what a server hands out, it hands out there. And where a line that
//! was given out has such a secret in it all the same, everything is given out anew
//! ([`Growth::anew`]).

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
/// Most bytes of a recording. All of it stays in memory, so that it can be written anew.
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

/// What a file of the recording lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Growth {
    /// Whole lines, with their ends.
    pub text: String,
    /// They take the place of all that was written: there was something in it that is known to be secret
    /// now.
    pub anew: bool,
}

/// Told that there is more to write down.
type Waker = Box<dyn Fn() + Send + Sync>;

/// Hears what is told while it happens.
type Ear = Box<dyn Fn(Told) + Send + Sync>;

/// Takes a session down.
pub struct Recorder {
    state: Mutex<State>,
    ear: Ear,
    grown: Waker,
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
    /// Lines that make sense by themselves: what follows from the last of them is among them.
    settled: usize,
    /// The lines from here on are of a start-up that is not through.
    held: Option<usize>,
    /// Lines that were given out, and the first line that went with them.
    given: usize,
    given_first: String,
    /// How many secrets were known then.
    given_secrets: usize,
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
    /// Takes down a session with these values for the dialect. `ear` is told each line at once, `grown`
    /// that [`Recorder::growth`] may have more.
    #[must_use]
    pub fn new(
        vars: Map<String, Value>,
        ear: impl Fn(Told) + Send + Sync + 'static,
        grown: impl Fn() + Send + Sync + 'static,
    ) -> Arc<Self> {
        let state = Mutex::new(State { vars, ..State::default() });
        Arc::new(Self { state, ear: Box::new(ear), grown: Box::new(grown) })
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

    /// What is to be written down beyond what was given out before; with `all` what is held back as well.
    /// What was written down is a transcript that replays, wherever it ends.
    #[must_use]
    pub fn growth(&self, all: bool) -> Option<Growth> {
        let mut state = self.state();
        let ready = match state.held {
            _ if all => state.lines.len(),
            held => state.settled.min(held.unwrap_or(usize::MAX)),
        };
        let first = state.first_line();
        let anew = state.given > 0 && (first != state.given_first || state.has_learned_of_what_was_given());
        let from = if anew { 0 } else { state.given };
        let ready = ready.max(state.given);
        state.given_secrets = state.hidden.len();
        if from == ready {
            return None;
        }
        let mut text = if from == 0 { first.clone() } else { String::new() };
        for line in &state.lines[from..ready] {
            text.push_str(&line.written(&state.hidden));
            text.push('\n');
        }
        state.given = ready;
        state.given_first = first;
        Some(Growth { text, anew })
    }

    /// What happened just now is noted, and all that follows from it.
    fn settle(&self) {
        {
            let mut state = self.state();
            state.settled = state.lines.len();
        }
        (self.grown)();
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
        match line.entry {
            Entry::Open(_) => self.held = Some(self.lines.len()),
            Entry::Close { .. } => self.held = None,
            Entry::In(_) | Entry::Out(_) | Entry::Refused(_) | Entry::Send(_) => {}
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

    /// Whether a line that was given out has something in it that is known to be secret only now.
    fn has_learned_of_what_was_given(&self) -> bool {
        let (later, none) = (self.hidden.since(self.given_secrets), Hidden::default());
        later.len() > 0
            && self.lines[..self.given].iter().any(|line| line.written(&later) != line.written(&none))
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

#[cfg(test)]
mod tests {
    use super::super::{Conversation, Given, Options};
    use super::*;
    use crate::model::{Frame, Instant};

    /// Greets, keeps the session it is given, and takes everything else for an event.
    const SHOP: &str = r#"
dialect = 1
in = [
  { as = "ignore", when = { "/type" = "welcome" }, keep = { session = "/session" } },
  { as = "event", when = { "/type" = { exists = true } }, type = "/type", data = "/body" },
]
start = [{ send = { session = "$session" }, ok = { "/type" = "welcome" }, fail = { "/type" = "denied" } }]
"#;

    fn shop() -> (Arc<Recorder>, Box<dyn Conversation>) {
        let recorder = Recorder::new(Map::new(), |_| {}, || {});
        let shop = super::super::read(SHOP, "shop", &Map::new(), &Options::default()).expect("in order");
        let mut talk = recorder.overhear(shop).converse(Given::default(), 1);
        talk.begin(at(0), &mut Vec::new());
        (recorder, talk)
    }

    fn at(seconds: u64) -> Moment {
        let wall = Timestamp::from_millis(1_800_000_000_000 + i64::try_from(seconds).expect("few") * 1_000);
        Moment { instant: Instant::from_nanos(seconds * 1_000_000_000), steady: wall, wall }
    }

    fn says(talk: &mut dyn Conversation, text: &str) {
        talk.frame(at(1), Frame::Text(text.into()), &mut Vec::new());
    }

    #[test]
    fn a_start_up_is_held_back_until_all_that_it_hands_out_is_known() {
        let (recorder, mut talk) = shop();
        says(&mut *talk, r#"{"type":"hint","body":"session-canary"}"#);
        assert_eq!(recorder.growth(false), None);
        says(&mut *talk, r#"{"type":"welcome","session":"session-canary"}"#);
        let growth = recorder.growth(false).expect("something");
        assert!(growth.text.contains("hint") && !growth.text.contains("canary"), "{}", growth.text);
        assert!(!growth.anew);
        assert_eq!(recorder.growth(false), None);
        says(&mut *talk, r#"{"type":"news"}"#);
        let more = recorder.growth(false).expect("something");
        assert_eq!(recorder.transcript().text, growth.text + &more.text);
    }

    #[test]
    fn a_start_up_that_never_comes_about_is_given_out_when_it_is_over() {
        let (recorder, mut talk) = shop();
        says(&mut *talk, r#"{"type":"hint"}"#);
        talk.closed(1001, "later");
        let growth = recorder.growth(false).expect("something");
        assert_eq!(recorder.transcript().text, growth.text);
        assert_eq!(growth.text.lines().count(), recorder.transcript().lines);
    }

    #[test]
    fn a_secret_that_is_learned_late_has_all_that_was_given_out_given_anew() {
        let (recorder, mut talk) = shop();
        says(&mut *talk, r#"{"type":"welcome","session":"session-1-canary"}"#);
        says(&mut *talk, r#"{"type":"news","body":"session-2-canary"}"#);
        let early = recorder.growth(false).expect("something");
        assert!(early.text.contains("session-2-canary"), "nothing says that it is one: {}", early.text);
        says(&mut *talk, r#"{"type":"welcome","session":"session-2-canary"}"#);
        let growth = recorder.growth(false).expect("something");
        assert!(growth.anew);
        assert_eq!(recorder.transcript().text, growth.text);
        assert!(!growth.text.contains("canary"), "{}", growth.text);
        // One that stands nowhere changes nothing.
        says(&mut *talk, r#"{"type":"welcome","session":"session-3-canary"}"#);
        assert!(!recorder.growth(false).expect("something").anew);
        recorder.hide("query", "stands-nowhere");
        assert_eq!(recorder.growth(false), None);
    }

    #[test]
    fn what_is_given_out_ends_behind_all_that_follows_from_a_frame() {
        let (recorder, mut talk) = shop();
        says(&mut *talk, r#"{"type":"welcome","session":"session-canary"}"#);
        recorder.growth(false).expect("something");
        recorder.note(at(2), Entry::In(Frame::Text("{}".into())));
        assert_eq!(recorder.growth(false), None);
        recorder.note(at(2), Entry::Out(Frame::Text("{}".into())));
        recorder.settle();
        assert_eq!(recorder.growth(false).expect("something").text.lines().count(), 2);
    }
}
