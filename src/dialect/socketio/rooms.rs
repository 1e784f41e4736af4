//! The namespaces of one connection: who let us in, and whether the server goes on where the last
//! connection ended.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::packet::{Kind, head};
use super::settings::Settings;
use crate::dialect::Given;
use crate::dialect::declarative::scalars::{unescape, write_string};
use crate::dialect::declarative::tape::Doc;
use crate::model::{Frame, GapReason, NewRow, Unit};

/// Longest session id that is kept, in bytes.
const MAX_PID: usize = 1024;
/// Longest offset that is taken for one, in bytes.
pub(super) const MAX_OFFSET: usize = 256;

/// What is kept of a namespace: that we were let in, the session that the server can recover, and
/// the largest frame it takes.
#[derive(Default, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    pid: Option<String>,
    max_payload: Option<u64>,
}

impl Kept {
    fn of(given: &Given, namespace: &str) -> Option<Self> {
        serde_json::from_str(given.kept.get(&*kept_name(namespace))?).ok()
    }
}

/// Most bytes of one frame that the server takes, as an earlier connection was told.
pub(super) fn kept_limit(given: &Given, namespace: &str) -> Option<u64> {
    Kept::of(given, namespace)?.max_payload
}

/// One namespace.
pub(super) struct Room {
    pub(super) name: Arc<str>,
    /// The stream of its events, and of its offset.
    pub(super) stream: Arc<str>,
    pub(super) joined: bool,
    /// The session that the server can recover. Before the answer: the one that was asked for.
    pub(super) pid: Option<String>,
    /// What is kept of a connection before this one, where there was one.
    kept: Option<Kept>,
    /// The last event had this offset.
    offset: Option<String>,
    /// The server was asked to go on.
    asked: bool,
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
        let kept = Kept::of(given, name);
        let offset = given.cursors.get(&stream).and_then(|cursor| unescape(cursor));
        Self {
            name: Arc::clone(name),
            stream,
            joined: false,
            pid: kept.as_ref().and_then(|kept| kept.pid.clone()),
            kept,
            offset,
            asked: false,
        }
    }

    /// The packet that asks to be let in.
    pub(super) fn connect(&mut self, settings: &Settings, given: &Given) -> Frame {
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
        self.asked = self.asks().is_some();
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
    pub(super) fn join(&mut self, answer: Doc<'_>, limit: Option<u64>, unit: &mut Unit) -> Joined {
        let pid = answer.member("pid").and_then(|pid| pid.string()).filter(|pid| pid.len() <= MAX_PID);
        let pid = pid.map(|pid| pid.into_owned());
        let recovered = pid.is_some() && pid == self.pid && self.asked;
        let joined = match (self.kept.is_some(), recovered) {
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
        let kept = Kept { pid: pid.clone(), max_payload: limit };
        if self.kept.as_ref() != Some(&kept)
            && let Ok(json) = serde_json::to_string(&kept)
        {
            unit.kept.push((kept_name(&self.name).into(), Some(json.into())));
        }
        self.kept = Some(kept);
        self.pid = pid;
        self.joined = true;
        joined
    }

    /// An event with this offset is stored with `unit`.
    pub(super) fn move_on(&mut self, offset: &str, unit: &mut Unit) {
        self.offset = Some(offset.to_owned());
        unit.cursors.push((Arc::clone(&self.stream), Some(written(offset).into())));
    }
}

/// Who has the session's id may take its place: it is not printed.
impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, stream, joined, pid: _, kept: _, offset, asked } = self;
        let mut room = f.debug_struct("Room");
        room.field("name", name)
            .field("stream", stream)
            .field("joined", joined)
            .field("offset", offset)
            .field("asked", asked);
        room.finish_non_exhaustive()
    }
}

/// Under what name a namespace is kept.
fn kept_name(namespace: &str) -> String {
    format!("session {namespace}")
}

fn written(text: &str) -> String {
    let mut json = String::new();
    write_string(text, &mut json);
    json
}
