//! The namespaces of one connection: who let us in, and whether the server goes on where the last
//! connection ended.

use std::fmt;
use std::sync::Arc;

use super::packet::{Kind, head};
use super::settings::Settings;
use crate::dialect::Given;
use crate::dialect::declarative::scalars::{unescape, write_string};
use crate::dialect::declarative::tape::Doc;
use crate::model::{Frame, GapReason, NewRow, Unit, Veiled};

/// Longest session id that is kept, in bytes.
const MAX_PID: usize = 1024;
/// Longest offset that is taken for one, in bytes.
pub(super) const MAX_OFFSET: usize = 256;

/// One namespace.
pub(super) struct Room {
    pub(super) name: Arc<str>,
    /// The stream of its events, and of its offset.
    pub(super) stream: Arc<str>,
    pub(super) joined: bool,
    /// The session that the server can recover. Before the answer: the one that was asked for.
    pub(super) pid: Option<String>,
    /// A connection before this one was let in.
    seen: bool,
    /// The last event had this offset.
    offset: Option<String>,
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The session's name is kept: whoever has it can take the session over.
        f.debug_struct("Room")
            .field("name", &self.name)
            .field("joined", &self.joined)
            .field("pid", &self.pid.as_ref().map(|_| Veiled))
            .field("offset", &self.offset)
            .finish_non_exhaustive()
    }
}

/// How the server let us in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Joined {
    /// For the first time.
    New,
    /// All that was missed has come before.
    Recovered,
    /// What came meanwhile is unknown.
    Lost,
}

impl Room {
    pub(super) fn new(name: &Arc<str>, home: bool, given: &Given) -> Self {
        let stream = if home { Arc::from("") } else { Arc::clone(name) };
        let kept = given.kept.get(&*kept_name(name));
        let offset = given.cursors.get(&stream).and_then(|cursor| unescape(cursor));
        Self {
            name: Arc::clone(name),
            stream,
            joined: false,
            pid: kept.and_then(|kept| unescape(kept)),
            seen: kept.is_some(),
            offset,
        }
    }

    /// The packet that asks to be let in.
    pub(super) fn connect(&self, settings: &Settings, given: &Given) -> Frame {
        let mut members = Vec::new();
        let mut member = |name: &str, json: &str| {
            let mut text = String::new();
            write_string(name, &mut text);
            members.push(format!("{text}:{json}"));
        };
        if let Some((pid, offset)) = self.asks() {
            member("pid", &written(pid));
            member("offset", &written(offset));
        }
        for (name, value) in &settings.auth {
            member(name, &value.to_string());
        }
        if let Some(token) = &given.token {
            member(&settings.token, &written(token.expose()));
        }
        let mut text = head(Kind::Connect, 0, &self.name, None);
        if !members.is_empty() {
            text.push('{');
            text.push_str(&members.join(","));
            text.push('}');
        }
        Frame::Text(text)
    }

    /// Where the server is asked to go on.
    fn asks(&self) -> Option<(&str, &str)> {
        Some((self.pid.as_deref()?, self.offset.as_deref()?))
    }

    /// The server let us in. What that puts down goes into `unit`.
    pub(super) fn join(&mut self, answer: Doc<'_>, unit: &mut Unit) -> Joined {
        let pid = answer.member("pid").and_then(|pid| pid.string()).filter(|pid| pid.len() <= MAX_PID);
        let pid = pid.map(|pid| pid.into_owned());
        let recovered = pid.is_some() && pid == self.pid && self.offset.is_some();
        let joined = match (self.seen, recovered) {
            (true, true) => Joined::Recovered,
            (true, false) => Joined::Lost,
            (false, _) => Joined::New,
        };
        if joined == Joined::Lost {
            let why = match (&self.pid, &pid, &self.offset) {
                (_, None, _) => "the server recovers no sessions",
                (None, Some(_), _) => "the server did not recover sessions until now",
                (Some(_), Some(_), None) => "no event had an offset from which to go on",
                (Some(_), Some(_), Some(_)) => "the server no longer knows the session",
            };
            let detail = format!("{why}: what it sent to {} while there was no link is unknown", self.name);
            unit.rows.push(NewRow::Gap { reason: GapReason::Server, detail });
            if self.offset.take().is_some() {
                unit.cursors.push((Arc::clone(&self.stream), None));
            }
        }
        if !self.seen || pid != self.pid {
            let kept = pid.as_deref().map_or_else(|| "null".to_owned(), written);
            unit.kept.push((kept_name(&self.name).into(), Some(kept.into())));
        }
        self.pid = pid;
        self.seen = true;
        self.joined = true;
        joined
    }

    /// An event with this offset is stored with `unit`.
    pub(super) fn move_on(&mut self, offset: &str, unit: &mut Unit) {
        self.offset = Some(offset.to_owned());
        unit.cursors.push((Arc::clone(&self.stream), Some(written(offset).into())));
    }
}

/// Under what name the session of a namespace is kept. Its value is `null` where the server gave
/// none: that we were let in is worth remembering too.
fn kept_name(namespace: &str) -> String {
    format!("session {namespace}")
}

fn written(text: &str) -> String {
    let mut json = String::new();
    write_string(text, &mut json);
    json
}
