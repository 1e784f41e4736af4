//! Recorded sessions: one JSON object a line, `#` for comments.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::filter::parse_duration;
use crate::dialect::problem::Problem;
use crate::model::json::compact;
use crate::model::{Frame, Payload};

/// Most lines of a transcript.
pub const MAX_LINES: usize = 100_000;

/// One line.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) number: usize,
    /// When it happened, in milliseconds since the session began.
    pub(crate) at: Option<u64>,
    pub(crate) entry: Entry,
}

/// What a line says.
#[derive(Debug)]
pub(crate) enum Entry {
    Set(Set),
    Open(Open),
    Refused {
        status: u16,
    },
    In(Frame),
    Out(Recorded),
    Send(Message),
    Close {
        code: Option<u16>,
        reason: String,
        ours: bool,
    },
    Wait(std::time::Duration),
    Expect(Expected),
    /// The beginning of one: whoever wrote it was killed.
    Torn,
}

/// What the configuration would give.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Set {
    pub(crate) token: Option<String>,
    #[serde(default)]
    pub(crate) vars: serde_json::Map<String, serde_json::Value>,
    pub(crate) now: Option<crate::model::Timestamp>,
}

/// An upgrade.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Open {
    pub(crate) query: Option<serde_json::Map<String, serde_json::Value>>,
    pub(crate) headers: Option<serde_json::Map<String, serde_json::Value>>,
    pub(crate) subprotocols: Option<Vec<String>>,
}

/// A frame that was sent when the recording was made.
#[derive(Debug, Clone)]
pub(crate) enum Recorded {
    Json(String),
    Text(String),
    Binary(Vec<u8>),
}

/// A message as an app hands it in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its type.
    pub kind: String,
    /// Its id, where the app names one.
    pub id: Option<String>,
    /// Its body.
    pub payload: Payload,
}

/// What the line before came to.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expected {
    #[serde(rename = "as")]
    pub(crate) to: Option<String>,
    #[serde(rename = "type")]
    pub(crate) kind: Option<Box<RawValue>>,
    pub(crate) id: Option<Box<RawValue>>,
    pub(crate) data: Option<Box<RawValue>>,
    pub(crate) cursor: Option<Box<RawValue>>,
    pub(crate) code: Option<Box<RawValue>>,
    pub(crate) message: Option<Box<RawValue>>,
    pub(crate) state: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    frame: Option<Box<RawValue>>,
    text: Option<String>,
    binary: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Handed {
    #[serde(rename = "type")]
    kind: Option<String>,
    id: Option<String>,
    data: Option<Box<RawValue>>,
    text: Option<String>,
    binary: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ended {
    code: Option<u16>,
    #[serde(default)]
    reason: String,
    by: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Status {
    status: u16,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pause {
    #[serde(rename = "for")]
    length: String,
}

/// Reads a transcript; `file` is its name in problems.
pub(crate) fn read(text: &str, file: &str) -> Result<Vec<Line>, Vec<Problem>> {
    let mut lines = Vec::new();
    let mut problems = Vec::new();
    for (index, written) in text.lines().enumerate() {
        let written = written.trim();
        if written.is_empty() || written.starts_with('#') {
            continue;
        }
        let number = index + 1;
        let first = lines.is_empty();
        match entry(written) {
            Ok((_, Entry::Set(_))) if !first => {
                problems.push(fault(file, number, "`set` is the first line, or none"))
            }
            Ok(_) if lines.len() == MAX_LINES => {
                problems.push(fault(file, number, &format!("a transcript has at most {MAX_LINES} lines")));
                break;
            }
            Ok((at, entry)) => lines.push(Line { number, at, entry }),
            Err(_) if is_torn(text, number, written) => {
                lines.push(Line { number, at: None, entry: Entry::Torn });
            }
            Err(message) => problems.push(fault(file, number, &message)),
        }
    }
    if problems.is_empty() { Ok(lines) } else { Err(problems) }
}

/// Whether the file ends within this line.
fn is_torn(text: &str, number: usize, line: &str) -> bool {
    let last = number > 1 && !text.ends_with('\n') && number == text.lines().count();
    last && serde_json::from_str::<serde::de::IgnoredAny>(line).is_err_and(|error| error.is_eof())
}

fn fault(file: &str, line: usize, message: &str) -> Problem {
    Problem { line, column: 1, ..Problem::whole("bad_transcript", file, message, "") }
}

fn entry(line: &str) -> Result<(Option<u64>, Entry), String> {
    let mut members: BTreeMap<String, Box<RawValue>> = from_json(line)?;
    let Some(dir) = members.remove("dir") else {
        return Err("`dir` is missing: what happens in this line".to_owned());
    };
    let dir: String = from_json(dir.get())?;
    let at = members.remove("at").map(|at| from_json(at.get())).transpose();
    let at = at.map_err(|_| "`at` is a number of milliseconds".to_owned())?;
    // Values stay the text they are, so that numbers keep their digits.
    let rest = serde_json::to_string(&members).map_err(|error| error.to_string())?;
    let entry = match dir.as_str() {
        "set" => Entry::Set(from_json(&rest)?),
        "open" => Entry::Open(from_json(&rest)?),
        "refused" => Entry::Refused { status: from_json::<Status>(&rest)?.status },
        "in" => Entry::In(match content(&rest)? {
            Recorded::Json(text) | Recorded::Text(text) => Frame::Text(text),
            Recorded::Binary(bytes) => Frame::Binary(bytes),
        }),
        "out" => Entry::Out(content(&rest)?),
        "send" => Entry::Send(message(&rest)?),
        "close" => {
            let ended: Ended = from_json(&rest)?;
            let ours = match ended.by.as_deref() {
                None => false,
                Some("us") => true,
                Some(_) => return Err("`by` is \"us\", or left out".to_owned()),
            };
            Entry::Close { code: ended.code, reason: ended.reason, ours }
        }
        "wait" => {
            let pause: Pause = from_json(&rest)?;
            let length = parse_duration(&pause.length);
            Entry::Wait(length.ok_or_else(|| format!("`{}` is no duration: write \"10s\"", pause.length))?)
        }
        "expect" => Entry::Expect(from_json(&rest)?),
        other => return Err(format!("there is no `dir` called `{other}`")),
    };
    Ok((at, entry))
}

fn from_json<'de, T: Deserialize<'de>>(json: &'de str) -> Result<T, String> {
    serde_json::from_str(json).map_err(|error| error.to_string())
}

fn content(json: &str) -> Result<Recorded, String> {
    let content: Content = from_json(json)?;
    match (content.frame, content.text, content.binary) {
        (Some(frame), None, None) => Ok(Recorded::Json(frame.get().to_owned())),
        (None, Some(text), None) => Ok(Recorded::Text(text)),
        (None, None, Some(base64)) => Ok(Recorded::Binary(bytes(&base64)?)),
        _ => Err("a frame is one of `frame` (JSON), `text` or `binary` (base64)".to_owned()),
    }
}

fn bytes(base64: &str) -> Result<Vec<u8>, String> {
    BASE64.decode(base64).map_err(|error| format!("`binary` is no base64: {error}"))
}

/// Reads a message as a `send` line has it.
pub(crate) fn message(json: &str) -> Result<Message, String> {
    let handed: Handed = from_json(json)?;
    let (kind, payload) = match (handed.kind, handed.data, handed.text, handed.binary) {
        (Some(kind), data, None, None) => {
            let data = data.as_ref().map_or("{}", |data| data.get());
            (kind, Payload::Json(compact(data).into()))
        }
        (None, None, Some(text), None) => ("text".to_owned(), Payload::Text(text.into())),
        (None, None, None, Some(base64)) => ("binary".to_owned(), Payload::Binary(bytes(&base64)?.into())),
        _ => return Err("a message has `type` and `data`, or `text`, or `binary`".to_owned()),
    };
    Ok(Message { kind, id: handed.id, payload })
}
