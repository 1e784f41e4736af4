//! Holes: named places for values, in what we send and in what we take from a frame.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::filter::{Filter, apply_all};
use super::scalars::Digits;
use super::spec::MAX_NAMES;
use super::tape::Doc;
use super::value::Value;
use crate::dialect::Outgoing;
use crate::model::json::Pointer;
use crate::model::{Payload, Secret, Timestamp};

/// What a hole is filled from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Base {
    /// The message at hand.
    In,
    /// The frame the item came from.
    Outer,
    /// The item of a step's list.
    Item,
    Token,
    Type,
    Data,
    Id,
    Text,
    Binary,
    Counter,
    Uuid,
    Cursor,
    Now,
    Null,
    /// Captured, kept or configured.
    Name(Arc<str>),
}

/// The holes that are not names of one's own.
pub(crate) const BUILT_IN: [(&str, Base); 14] = [
    ("in", Base::In),
    ("outer", Base::Outer),
    ("item", Base::Item),
    ("token", Base::Token),
    ("type", Base::Type),
    ("data", Base::Data),
    ("id", Base::Id),
    ("text", Base::Text),
    ("binary", Base::Binary),
    ("counter", Base::Counter),
    ("uuid", Base::Uuid),
    ("cursor", Base::Cursor),
    ("now", Base::Now),
    ("null", Base::Null),
];

/// A place for a value: where it comes from, what of it, and what is done with it.
#[derive(Debug, Clone)]
pub(crate) struct Hole {
    pub(crate) base: Base,
    pub(crate) pointer: Option<Pointer>,
    pub(crate) filters: Vec<Filter>,
}

/// What is drawn once per frame we send, however often the frame names it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Drawn {
    pub(crate) number: Option<Digits>,
    /// In place of the number (recordings of other clients). JSON text.
    pub(crate) counter: Option<Arc<str>>,
    pub(crate) uuid: Option<Arc<str>>,
    /// In place of the message's own (recordings of other clients).
    pub(crate) id: Option<Arc<str>>,
    /// In place of the clock's (recordings).
    pub(crate) now: Option<Arc<str>>,
    /// In place of the credential (recordings). JSON text.
    pub(crate) token: Option<Arc<str>>,
}

impl Drawn {
    /// JSON text.
    pub(crate) fn counter(&self) -> Option<&str> {
        self.counter.as_deref().or_else(|| self.number.as_ref().map(Digits::as_str))
    }
}

/// Names of one's own and their values, as JSON text.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub(crate) captured: BTreeMap<Arc<str>, Arc<str>>,
    pub(crate) kept: BTreeMap<Arc<str>, Arc<str>>,
    pub(crate) vars: Arc<BTreeMap<Arc<str>, Arc<str>>>,
    /// What was kept before, until other values took its place. The server may still speak of it.
    pub(crate) was_kept: VecDeque<Arc<str>>,
}

impl Names {
    /// Keeps a value.
    pub(crate) fn keep(&mut self, name: &Arc<str>, json: &Arc<str>) {
        let before = self.kept.insert(Arc::clone(name), Arc::clone(json));
        self.retire(before);
    }

    /// Forgets a value. Returns whether there was one to be taken away from the disk.
    pub(crate) fn forget(&mut self, name: &str) -> bool {
        self.captured.remove(name);
        let before = self.kept.remove(name);
        let kept = before.is_some();
        self.retire(before);
        kept
    }

    fn retire(&mut self, json: Option<Arc<str>>) {
        let Some(json) = json else { return };
        if self.was_kept.len() >= MAX_NAMES {
            self.was_kept.pop_front();
        }
        self.was_kept.push_back(json);
    }

    /// The value of `name`: captured, else kept, else configured.
    fn get(&self, name: &str) -> Option<&str> {
        let found = self.captured.get(name).or_else(|| self.kept.get(name)).or_else(|| self.vars.get(name));
        found.map(|json| &**json)
    }
}

/// Where holes look: everything that has a value at one moment.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    /// The message at hand.
    pub(crate) message: Option<Said<'a>>,
    pub(crate) outer: Option<Said<'a>>,
    pub(crate) item: Option<&'a str>,
    pub(crate) sending: Option<Outgoing<'a>>,
    pub(crate) drawn: Option<&'a Drawn>,
    pub(crate) token: Option<&'a Secret>,
    pub(crate) cursor: Option<&'a str>,
    pub(crate) names: &'a Names,
    pub(crate) now: Timestamp,
}

impl std::fmt::Debug for Scope<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Its values may be secret.
        f.debug_struct("Scope").finish_non_exhaustive()
    }
}

/// What came: read as JSON, or a raw text.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Said<'a> {
    Doc(Doc<'a>),
    Raw(&'a str),
}

impl<'a> Said<'a> {
    pub(crate) const fn value(self) -> Value<'a> {
        match self {
            Self::Doc(doc) => Value::Doc(doc),
            Self::Raw(text) => Value::Text(Cow::Borrowed(text)),
        }
    }
}

impl<'a> Scope<'a> {
    /// With nothing but names.
    pub(crate) const fn new(names: &'a Names, now: Timestamp) -> Self {
        Self {
            message: None,
            outer: None,
            item: None,
            sending: None,
            drawn: None,
            token: None,
            cursor: None,
            names,
            now,
        }
    }

    fn base(&self, base: &'a Base) -> Option<Value<'a>> {
        let json = |text: &'a str| Value::Json(Cow::Borrowed(text));
        let text = |text: &'a str| Value::Text(Cow::Borrowed(text));
        match base {
            Base::In => self.message.map(Said::value),
            Base::Outer => self.outer.map(Said::value),
            Base::Item => self.item.map(json),
            Base::Token => match self.drawn.and_then(|drawn| drawn.token.as_deref()) {
                Some(recorded) => Some(json(recorded)),
                None => self.token.map(|token| text(token.expose())),
            },
            Base::Type => self.sending.map(|message| text(message.kind)),
            Base::Data => match self.sending?.payload {
                Payload::Json(data) => Some(json(data)),
                Payload::Text(_) | Payload::Binary(_) => None,
            },
            Base::Id => match self.drawn.and_then(|drawn| drawn.id.as_deref()) {
                Some(recorded) => Some(json(recorded)),
                None => self.sending.map(|message| text(message.id.as_str())),
            },
            Base::Text => match self.sending?.payload {
                Payload::Text(content) => Some(text(content)),
                Payload::Json(_) | Payload::Binary(_) => None,
            },
            Base::Binary => match self.sending?.payload {
                Payload::Binary(bytes) => Some(Value::Text(Cow::Owned(BASE64.encode(bytes)))),
                Payload::Json(_) | Payload::Text(_) => None,
            },
            Base::Counter => self.drawn?.counter().map(json),
            Base::Uuid => self.drawn?.uuid.as_deref().map(json),
            Base::Cursor => self.cursor.map(json),
            Base::Now => match self.drawn.and_then(|drawn| drawn.now.as_deref()) {
                Some(recorded) => Some(json(recorded)),
                None => Some(Value::Text(Cow::Owned(self.now.to_string()))),
            },
            Base::Null => Some(Value::NULL),
            Base::Name(name) => self.names.get(name).map(json),
        }
    }
}

impl Hole {
    /// Calls `look` with this hole and those within its filters.
    pub(crate) fn each<'h>(&'h self, look: &mut dyn FnMut(&'h Self)) {
        look(self);
        for filter in &self.filters {
            if let Some(hole) = filter.hole() {
                hole.each(look);
            }
        }
    }

    /// The value, if there is one now.
    pub(crate) fn value<'a>(&'a self, scope: &Scope<'a>) -> Option<Value<'a>> {
        let mut value = scope.base(&self.base);
        if let Some(pointer) = &self.pointer {
            value = value.and_then(|value| value.find(pointer));
        }
        apply_all(&self.filters, value, scope)
    }
}
