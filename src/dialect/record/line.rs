//! The lines of a transcript, as a replay reads them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::hide::Hidden;
use crate::model::json::compact;
use crate::model::{Frame, Payload};

/// Something that happened, and when: in milliseconds since the recording began.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) at: u64,
    pub(super) entry: Entry,
}

/// Something that happened.
#[derive(Debug)]
pub(super) enum Entry {
    /// A connection stands.
    Open(Opened),
    /// An upgrade was refused with this status.
    Refused(u16),
    /// A frame came.
    In(Frame),
    /// A frame of ours.
    Out(Frame),
    /// A message was turned into a frame, or refused.
    Send(Sent),
    /// The connection is over; without a code it broke.
    Close { code: Option<u16>, reason: String, ours: bool },
}

/// What the dialect had the dial carry.
#[derive(Debug, Default)]
pub(super) struct Opened {
    pub(super) query: Vec<(String, String)>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) subprotocols: Vec<String>,
    /// Values that hold a secret in a form of their own: a replay cannot make the like of them.
    pub(super) unlike: bool,
}

/// A message.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) id: Option<String>,
    pub(super) kind: String,
    pub(super) payload: Payload,
}

impl Entry {
    pub(super) const fn dir(&self) -> &'static str {
        match self {
            Self::Open(_) => "open",
            Self::Refused(_) => "refused",
            Self::In(_) => "in",
            Self::Out(_) => "out",
            Self::Send(_) => "send",
            Self::Close { .. } => "close",
        }
    }

    /// What a person reads of it.
    pub(super) fn content(&self, hidden: &Hidden) -> String {
        match self {
            Self::Open(opened) => {
                let names = |pairs: &[(String, String)]| {
                    pairs.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
                };
                let mut parts = Vec::new();
                for (what, which) in [
                    ("query", names(&opened.query)),
                    ("headers", names(&opened.headers)),
                    ("sub-protocols", opened.subprotocols.join(", ")),
                ] {
                    if !which.is_empty() {
                        parts.push(format!("{what}: {which}"));
                    }
                }
                hidden.clean(&parts.join("; "))
            }
            Self::Refused(status) => format!("HTTP status {status}"),
            Self::In(Frame::Text(text)) | Self::Out(Frame::Text(text)) => hidden.clean(text),
            Self::In(Frame::Binary(bytes)) | Self::Out(Frame::Binary(bytes)) => {
                format!("{} bytes", bytes.len())
            }
            Self::Send(sent) => hidden.clean(&sent.kind),
            Self::Close { ours: true, .. } => "by us".to_owned(),
            Self::Close { code: None, .. } => "the connection broke".to_owned(),
            Self::Close { code: Some(code), reason, .. } => {
                hidden.clean(format!("{code} {reason}").trim_end())
            }
        }
    }
}

impl Line {
    /// Bytes, about.
    pub(super) fn size(&self) -> usize {
        const FRAME: usize = 64;
        FRAME
            + match &self.entry {
                Entry::In(frame) | Entry::Out(frame) => frame.len(),
                Entry::Send(sent) => sent.kind.len() + sent.payload.len(),
                Entry::Close { reason, .. } => reason.len(),
                Entry::Open(opened) => {
                    opened.query.iter().chain(&opened.headers).map(|(a, b)| a.len() + b.len()).sum()
                }
                Entry::Refused(_) => 0,
            }
    }

    /// The line without its end.
    pub(super) fn written(&self, hidden: &Hidden) -> String {
        let mut line = format!("{{\"dir\":\"{}\",\"at\":{}", self.entry.dir(), self.at);
        let mut put = |name: &str, json: &str| line.push_str(&format!(",\"{name}\":{json}"));
        match &self.entry {
            Entry::Open(opened) => {
                for (name, pairs) in [("query", &opened.query), ("headers", &opened.headers)] {
                    if !pairs.is_empty() && !opened.unlike {
                        let pairs: Map<_, _> =
                            pairs.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
                        put(name, &Value::Object(pairs).to_string());
                    }
                }
                if !opened.subprotocols.is_empty() {
                    put("subprotocols", &Value::from(opened.subprotocols.clone()).to_string());
                }
            }
            Entry::Refused(status) => put("status", &status.to_string()),
            Entry::In(frame) | Entry::Out(frame) => {
                let (name, json) = content(frame, hidden);
                put(name, &json);
            }
            Entry::Send(sent) => {
                if let Some(id) = &sent.id {
                    put("id", &text(id));
                }
                match &sent.payload {
                    Payload::Json(json) => {
                        put("type", &text(&sent.kind));
                        put("data", json);
                    }
                    Payload::Text(content) => put("text", &text(content)),
                    Payload::Binary(bytes) => put("binary", &binary(bytes, hidden)),
                }
            }
            Entry::Close { code, reason, ours } => {
                if *ours {
                    put("by", "\"us\"");
                } else if let Some(code) = code {
                    put("code", &code.to_string());
                }
                if !reason.is_empty() {
                    put("reason", &text(reason));
                }
            }
        }
        line.push('}');
        hidden.clean(&line)
    }
}

fn text(text: &str) -> String {
    Value::from(text).to_string()
}

fn binary(bytes: &[u8], hidden: &Hidden) -> String {
    text(&BASE64.encode(hidden.clean_bytes(bytes)))
}

/// A frame as a transcript has it: JSON as such, so that people can read it.
fn content(frame: &Frame, hidden: &Hidden) -> (&'static str, String) {
    match frame {
        Frame::Text(content) => match serde_json::from_str::<&RawValue>(content) {
            Ok(json) => ("frame", compact(json.get()).into_owned()),
            Err(_) => ("text", text(content)),
        },
        Frame::Binary(bytes) => ("binary", binary(bytes, hidden)),
    }
}
