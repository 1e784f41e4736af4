//! JSON-RPC 2.0 as text: what comes in is taken apart just as far as needed, what goes out is
//! put together around values that are JSON already.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::de::{self, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::error::{ErrorObject, INVALID_REQUEST, PARSE_ERROR};
use crate::model::json::{MAX_DEPTH, deeper_than};

/// Requests in one batch.
pub const MAX_BATCH: usize = 100;

/// A request's id, kept as it was written: a string, a number of any size or form, or null.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Id(Arc<str>);

impl Id {
    /// The id of answers to what had none that could be read.
    #[must_use]
    pub fn null() -> Self {
        Self("null".into())
    }

    /// The id as JSON text.
    #[must_use]
    pub fn as_json(&self) -> &str {
        &self.0
    }

    fn from_raw(raw: &RawValue) -> Option<Self> {
        match raw.get().as_bytes().first() {
            Some(b'"' | b'-' | b'0'..=b'9' | b'n') => Some(Self(raw.get().into())),
            _ => None,
        }
    }
}

impl From<u64> for Id {
    fn from(number: u64) -> Self {
        Self(number.to_string().into())
    }
}

/// One call: a request, or a notification where there is no id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call<'a> {
    /// To be answered under this id; none: not to be answered at all.
    pub id: Option<Id>,
    /// Which method.
    pub method: Cow<'a, str>,
    /// Parameters as JSON text: an object or an array.
    pub params: Option<&'a str>,
}

/// A call that cannot be made: to be answered with this error under this id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// The id, where it could be read; else null.
    pub id: Id,
    /// What is wrong.
    pub error: ErrorObject,
}

impl Malformed {
    pub(crate) fn new(code: i64, message: impl Into<String>) -> Self {
        Self { id: Id::null(), error: ErrorObject::plain(code, message) }
    }
}

/// What stands in one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// One call.
    Single(Result<Call<'a>, Malformed>),
    /// A batch: its answers go out together.
    Batch(Vec<Result<Call<'a>, Malformed>>),
}

impl<'a> Incoming<'a> {
    /// Reads one line (or one body of header framing).
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Self {
        Self::read(bytes).unwrap_or_else(|malformed| Self::Single(Err(malformed)))
    }

    fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let text = std::str::from_utf8(bytes)
            .map_err(|error| Malformed::new(PARSE_ERROR, format!("the request is not UTF-8: {error}")))?;
        if deeper_than(text, MAX_DEPTH) {
            let message = format!("the request nests deeper than {MAX_DEPTH} levels");
            return Err(Malformed::new(INVALID_REQUEST, message));
        }
        let broken = |error: serde_json::Error| {
            Malformed::new(PARSE_ERROR, format!("the request is no JSON: {error}"))
        };
        if text.starts_with('{')
            && let Ok(members) = serde_json::from_str::<Members<'a>>(text)
        {
            // What nearly all lines are, read in one go. What this does not fit is looked at closely.
            return Ok(Self::Single(members.check()));
        }
        if !text.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('[') {
            let raw: &RawValue = serde_json::from_str(text).map_err(broken)?;
            return Ok(Self::Single(call(raw)));
        }
        let items: Items<'_> = serde_json::from_str(text).map_err(broken)?;
        match items.count {
            0 => Err(Malformed::new(INVALID_REQUEST, "the batch is empty")),
            count if count > MAX_BATCH => {
                let message = format!("a batch has at most {MAX_BATCH} requests, this one has {count}");
                Err(Malformed::new(INVALID_REQUEST, message))
            }
            _ => Ok(Self::Batch(items.kept.into_iter().map(call).collect())),
        }
    }
}

/// The items of a batch: no more of them kept than a batch may have, however many there are.
struct Items<'a> {
    kept: Vec<&'a RawValue>,
    count: usize,
}

impl<'de> Deserialize<'de> for Items<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Seen;
        impl<'de> Visitor<'de> for Seen {
            type Value = Items<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a batch")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut kept = Vec::new();
                while kept.len() < MAX_BATCH {
                    match seq.next_element::<&'de RawValue>()? {
                        Some(item) => kept.push(item),
                        None => return Ok(Items { count: kept.len(), kept }),
                    }
                }
                let mut count = kept.len();
                while seq.next_element::<IgnoredAny>()?.is_some() {
                    count += 1;
                }
                Ok(Items { kept, count })
            }
        }
        deserializer.deserialize_seq(Seen)
    }
}

fn call(raw: &RawValue) -> Result<Call<'_>, Malformed> {
    if !raw.get().starts_with('{') {
        return Err(Malformed::new(INVALID_REQUEST, "a request is an object"));
    }
    let members: Members<'_> = serde_json::from_str(raw.get()).map_err(|error| {
        Malformed::new(INVALID_REQUEST, format!("the request is no JSON-RPC 2.0: {error}"))
    })?;
    members.check()
}

/// The members of a request as they stand.
#[derive(Default)]
struct Members<'a> {
    jsonrpc: Option<&'a RawValue>,
    id: Option<&'a RawValue>,
    method: Option<&'a RawValue>,
    params: Option<&'a RawValue>,
    fault: Option<String>,
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Seen;
        impl<'de> Visitor<'de> for Seen {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a request")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut found = Members::default();
                while let Some(name) = map.next_key::<Text<'de>>()? {
                    let name = name.0;
                    let slot = match &*name {
                        "jsonrpc" => &mut found.jsonrpc,
                        "id" => &mut found.id,
                        "method" => &mut found.method,
                        "params" => &mut found.params,
                        other => {
                            let shown: String = other.chars().take(64).collect();
                            found.fault.get_or_insert_with(|| format!("it has no member {shown:?}"));
                            map.next_value::<IgnoredAny>()?;
                            continue;
                        }
                    };
                    if slot.is_some() {
                        return Err(de::Error::custom(format!("its member {name:?} stands there twice")));
                    }
                    *slot = Some(map.next_value()?);
                }
                Ok(found)
            }
        }
        deserializer.deserialize_map(Seen)
    }
}

impl<'a> Members<'a> {
    fn check(self) -> Result<Call<'a>, Malformed> {
        let id = match self.id.map(Id::from_raw) {
            None => None,
            Some(Some(id)) => Some(id),
            Some(None) => {
                return Err(Malformed::new(INVALID_REQUEST, "`id` is a string, a number or null"));
            }
        };
        let refuse = |message: &str| Malformed {
            id: id.clone().unwrap_or_else(Id::null),
            error: ErrorObject::plain(INVALID_REQUEST, message),
        };
        if let Some(fault) = &self.fault {
            return Err(refuse(&format!("the request is no JSON-RPC 2.0: {fault}")));
        }
        if self.jsonrpc.map(RawValue::get) != Some("\"2.0\"") {
            return Err(refuse("`jsonrpc` must be \"2.0\""));
        }
        let method: Cow<'a, str> = match self.method.map(|raw| serde_json::from_str::<Text<'a>>(raw.get())) {
            Some(Ok(Text(method))) => method,
            Some(Err(_)) | None => return Err(refuse("`method` must be a string")),
        };
        let params = self.params.map(RawValue::get);
        if params.is_some_and(|params| !params.starts_with(['{', '['])) {
            return Err(refuse("`params` must be an object"));
        }
        Ok(Call { id, method, params })
    }
}

/// A string that is borrowed where it has no escapes.
#[derive(Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// The text of an answer with a result.
#[must_use]
pub fn answer(id: &Id, result: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, id.as_json())
}

/// The text of an answer with an error.
#[must_use]
pub fn refusal(id: &Id, error: &ErrorObject) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{},"error":{}}}"#, id.as_json(), to_json(error))
}

/// Writes an answer with a result.
#[cfg(feature = "daemon")]
pub(super) fn write_answer<T: Serialize>(id: &Id, result: &T, out: &mut Vec<u8>) {
    write_with(id, b",\"result\":", result, out);
}

/// Writes an answer with an error.
#[cfg(feature = "daemon")]
pub(super) fn write_refusal(id: &Id, error: &ErrorObject, out: &mut Vec<u8>) {
    write_with(id, b",\"error\":", error, out);
}

#[cfg(feature = "daemon")]
fn write_with<T: Serialize>(id: &Id, name: &[u8], value: &T, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    out.extend_from_slice(id.as_json().as_bytes());
    out.extend_from_slice(name);
    write_json(value, out);
    out.push(b'}');
}

/// As [`to_json`], behind what is in `out`.
///
/// # Panics
/// As [`to_json`]: never.
#[cfg(feature = "daemon")]
pub(super) fn write_json<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("types of the contract always have a JSON form");
}

/// The text of a notification.
#[must_use]
pub fn notification(method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{params}}}"#)
}

/// The text of a request.
#[must_use]
pub fn request(id: &Id, method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{},"method":"{method}","params":{params}}}"#, id.as_json())
}

/// `value` as JSON text.
///
/// # Panics
/// Never for the types of the contract: they have string keys and no failing serializers.
#[must_use]
pub(crate) fn to_json<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).expect("types of the contract always have a JSON form")
}

/// What the daemon writes, as an app reads it.
#[derive(Debug, Clone, Deserialize)]
pub struct FromDaemon {
    /// The id of the request answered; none in a notification.
    #[serde(default)]
    pub id: Option<Box<RawValue>>,
    /// The result.
    #[serde(default)]
    pub result: Option<Box<RawValue>>,
    /// The error.
    #[serde(default)]
    pub error: Option<ErrorObject>,
    /// Which notification it is.
    #[serde(default)]
    pub method: Option<String>,
    /// The notification's parameters.
    #[serde(default)]
    pub params: Option<Box<RawValue>>,
}

#[cfg(test)]
mod tests;
