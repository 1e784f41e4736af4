//! A value on its way from a frame into an event, or from the configuration into a frame.

use std::borrow::Cow;

use super::scalars::{unescape, write_string};
use super::tape::{Doc, Tape};
use crate::model::json::Pointer;

/// A value, borrowed for as long as possible.
#[derive(Debug, Clone)]
pub(crate) enum Value<'a> {
    /// A place in a frame.
    Doc(Doc<'a>),
    /// Valid JSON text.
    Json(Cow<'a, str>),
    /// A text that is not written as JSON yet.
    Text(Cow<'a, str>),
}

impl<'a> Value<'a> {
    /// JSON null.
    pub(crate) const NULL: Self = Self::Json(Cow::Borrowed("null"));

    /// The value as JSON text.
    pub(crate) fn json(&self) -> Cow<'_, str> {
        match self {
            Self::Doc(doc) => Cow::Borrowed(doc.json()),
            Self::Json(json) => Cow::Borrowed(json),
            Self::Text(text) => {
                let mut json = String::with_capacity(text.len() + 2);
                write_string(text, &mut json);
                Cow::Owned(json)
            }
        }
    }

    /// Appends the value as JSON text.
    pub(crate) fn write(&self, out: &mut String) {
        match self {
            Self::Doc(doc) => out.push_str(doc.json()),
            Self::Json(json) => out.push_str(json),
            Self::Text(text) => write_string(text, out),
        }
    }

    /// The first byte of its JSON text: what kind of value it is.
    pub(crate) fn kind(&self) -> u8 {
        match self {
            Self::Doc(doc) => doc.json().as_bytes().first().copied().unwrap_or(b'n'),
            Self::Json(json) => json.trim_ascii_start().as_bytes().first().copied().unwrap_or(b'n'),
            Self::Text(_) => b'"',
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        self.kind() == b'n'
    }

    pub(crate) fn is_object(&self) -> bool {
        self.kind() == b'{'
    }

    pub(crate) fn is_number(&self) -> bool {
        matches!(self.kind(), b'-' | b'0'..=b'9')
    }

    /// The content, where it is a string.
    pub(crate) fn string(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Doc(doc) => doc.string(),
            Self::Json(json) => json_string(json),
            Self::Text(text) => Some(Cow::Borrowed(text)),
        }
    }

    /// The value as it stands within a text: a string's content, anything else as JSON.
    pub(crate) fn text(&self) -> Cow<'_, str> {
        self.string().unwrap_or_else(|| self.json())
    }

    /// As [`Value::text`], without keeping the value.
    pub(crate) fn into_text(self) -> Cow<'a, str> {
        match self {
            Self::Text(text) => text,
            Self::Doc(doc) => doc.string().unwrap_or(Cow::Borrowed(doc.json())),
            Self::Json(json) => match json_string(&json) {
                Some(text) => Cow::Owned(text.into_owned()),
                None => json,
            },
        }
    }

    /// The value's JSON text, without keeping the value.
    pub(crate) fn into_json(self) -> Cow<'a, str> {
        match self {
            Self::Doc(doc) => Cow::Borrowed(doc.json()),
            Self::Json(json) => json,
            Self::Text(_) => Cow::Owned(self.json().into_owned()),
        }
    }

    /// What `pointer` points at within the value.
    pub(crate) fn find(&self, pointer: &Pointer) -> Option<Self> {
        if pointer.tokens().is_empty() {
            return Some(self.clone());
        }
        match self {
            Self::Doc(doc) => doc.find(pointer).map(Self::Doc),
            Self::Json(Cow::Borrowed(json)) => {
                pointer.find(json).map(|found| Self::Json(Cow::Borrowed(found)))
            }
            Self::Json(Cow::Owned(json)) => {
                pointer.find(json).map(|found| Self::Json(Cow::Owned(found.to_owned())))
            }
            Self::Text(_) => None,
        }
    }

    /// Calls `look` with the value as a parsed place; none where it is not JSON within limits.
    pub(crate) fn with_doc<T>(&self, look: impl FnOnce(Doc<'_>) -> T) -> Option<T> {
        if let Self::Doc(doc) = self {
            return Some(look(*doc));
        }
        let json = self.json();
        let mut tape = Tape::default();
        tape.read(&json).ok()?;
        Some(look(tape.doc(&json)))
    }

    /// Whether both are the same JSON value.
    pub(crate) fn same(&self, other: &Value<'_>) -> bool {
        self.with_doc(|mine| other.with_doc(|theirs| mine.same(theirs))).flatten().unwrap_or(false)
    }
}

/// The content of a JSON text that is a string.
fn json_string(json: &str) -> Option<Cow<'_, str>> {
    let json = json.trim_ascii();
    let inner = match json.as_bytes() {
        [b'"', _, .., b'"'] | [b'"', b'"'] => &json[1..json.len() - 1],
        _ => return None,
    };
    if inner.contains('\\') { unescape(json).map(Cow::Owned) } else { Some(Cow::Borrowed(inner)) }
}
