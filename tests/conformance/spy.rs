//! Stands between session and dialect, and writes down what passes.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use holdline::dialect::{Act, Connect, Conversation, Dialect, Encoded, Given, Outgoing, Pulse, Traits};
use holdline::model::{Confirm, Frame, Instant, Moment, Payload, Refusal, Unit, Verdict};

/// What passed.
#[derive(Debug, Default)]
pub struct Seen {
    /// In order; those of a close as verdicts beside them.
    pub acts: Vec<Act>,
    pub verdicts: Vec<Verdict>,
    /// Messages made into frames: id, frame, what the answer will name.
    pub encoded: Vec<(String, Frame, Option<String>)>,
    /// Messages that could not be.
    pub refused: usize,
    pub heartbeats: Vec<Frame>,
    /// What dialect and conversations show of themselves when they are printed.
    pub shown: Vec<String>,
}

#[derive(Debug, Clone)]
pub struct Spy {
    inner: Arc<dyn Dialect>,
    pub seen: Arc<Mutex<Seen>>,
}

impl Spy {
    pub fn new(inner: Arc<dyn Dialect>) -> Self {
        Self { inner, seen: Arc::default() }
    }

    pub fn look<T>(&self, look: impl FnOnce(&mut Seen) -> T) -> T {
        look(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Dialect for Spy {
    fn traits(&self) -> &Traits {
        self.inner.traits()
    }
    fn connect(&self, given: &Given, at: Moment) -> Connect {
        self.inner.connect(given, at)
    }
    fn check(&self, kind: &str, payload: &Payload) -> Result<(), Refusal> {
        self.inner.check(kind, payload)
    }
    fn confirm(&self, kind: &str, payload: &Payload) -> Confirm {
        self.inner.confirm(kind, payload)
    }
    fn answers(&self, kind: &str, payload: &Payload) -> bool {
        self.inner.answers(kind, payload)
    }
    fn refused(&self, status: u16) -> Option<Verdict> {
        self.inner.refused(status)
    }
    fn converse(&self, given: Given, seed: u64) -> Box<dyn Conversation> {
        let inner = self.inner.converse(given, seed);
        self.look(|seen| seen.shown.push(format!("{:?}", self.inner)));
        Box::new(Overheard { inner, spy: self.clone() })
    }
}

struct Overheard {
    inner: Box<dyn Conversation>,
    spy: Spy,
}

impl fmt::Debug for Overheard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl Overheard {
    fn note(&self, new: &[Act]) {
        let shown = format!("{:?}", self.inner);
        self.spy.look(|seen| {
            seen.acts.extend_from_slice(new);
            seen.shown.push(shown);
        });
    }
}

impl Conversation for Overheard {
    fn begin(&mut self, at: Moment, acts: &mut Vec<Act>) {
        let before = acts.len();
        self.inner.begin(at, acts);
        self.note(&acts[before..]);
    }
    fn frame(&mut self, at: Moment, frame: Frame, acts: &mut Vec<Act>) {
        let before = acts.len();
        self.inner.frame(at, frame, acts);
        self.note(&acts[before..]);
    }
    fn closed(&mut self, code: u16, reason: &str) -> Option<Verdict> {
        let verdict = self.inner.closed(code, reason);
        self.spy.look(|seen| seen.verdicts.extend(verdict));
        verdict
    }
    fn left_behind(&mut self) -> Unit {
        self.inner.left_behind()
    }
    fn encode(&mut self, at: Moment, message: Outgoing<'_>) -> Result<Encoded, Refusal> {
        let encoded = self.inner.encode(at, message);
        let id = message.id.as_str().to_owned();
        self.spy.look(|seen| match &encoded {
            Ok(encoded) => seen.encoded.push((
                id,
                encoded.frame.clone(),
                encoded.reference.as_deref().map(str::to_owned),
            )),
            Err(_) => seen.refused += 1,
        });
        encoded
    }
    fn pulse(&self) -> Pulse {
        self.inner.pulse()
    }
    fn heartbeat(&mut self, at: Moment) -> Option<Frame> {
        let frame = self.inner.heartbeat(at);
        self.spy.look(|seen| seen.heartbeats.extend(frame.clone()));
        frame
    }
    fn poll_timeout(&self) -> Option<Instant> {
        self.inner.poll_timeout()
    }
    fn handle_timeout(&mut self, at: Moment, acts: &mut Vec<Act>) {
        let before = acts.len();
        self.inner.handle_timeout(at, acts);
        self.note(&acts[before..]);
    }
}
