//! Errors as they stand in JSON, and the numbers that stand for them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::model::{ErrorKind, Refusal};

/// What came is no JSON.
pub const PARSE_ERROR: i64 = -32700;
/// It is JSON, but no request.
pub const INVALID_REQUEST: i64 = -32600;
/// There is no such method.
pub const METHOD_NOT_FOUND: i64 = -32601;
/// The parameters do not fit the method.
pub const INVALID_PARAMS: i64 = -32602;
/// A fault of ours.
pub const INTERNAL: i64 = -32603;

/// All kinds, in the order of their numbers.
pub const KINDS: [ErrorKind; 17] = [
    ErrorKind::QueueFull,
    ErrorKind::TooLarge,
    ErrorKind::NotFound,
    ErrorKind::Conflict,
    ErrorKind::WrongEpoch,
    ErrorKind::NotConnected,
    ErrorKind::Timeout,
    ErrorKind::Ended,
    ErrorKind::Uncertain,
    ErrorKind::NoKey,
    ErrorKind::Forbidden,
    ErrorKind::Busy,
    ErrorKind::ShuttingDown,
    ErrorKind::StoreFailed,
    ErrorKind::Unsupported,
    ErrorKind::InvalidParams,
    ErrorKind::Internal,
];

/// The number of `kind`; it never changes. Programs should look at `kind` all the same.
#[must_use]
pub const fn code(kind: ErrorKind) -> i64 {
    match kind {
        ErrorKind::QueueFull => -32001,
        ErrorKind::TooLarge => -32002,
        ErrorKind::NotFound => -32003,
        ErrorKind::Conflict => -32004,
        ErrorKind::WrongEpoch => -32005,
        ErrorKind::NotConnected => -32006,
        ErrorKind::Timeout => -32007,
        ErrorKind::Ended => -32008,
        ErrorKind::Uncertain => -32009,
        ErrorKind::NoKey => -32010,
        ErrorKind::Forbidden => -32011,
        ErrorKind::Busy => -32012,
        ErrorKind::ShuttingDown => -32013,
        ErrorKind::StoreFailed => -32014,
        ErrorKind::Unsupported => -32015,
        ErrorKind::InvalidParams => INVALID_PARAMS,
        ErrorKind::Internal => INTERNAL,
    }
}

/// The word for `kind`.
#[must_use]
pub const fn name(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::QueueFull => "queue_full",
        ErrorKind::TooLarge => "too_large",
        ErrorKind::NotFound => "not_found",
        ErrorKind::Conflict => "conflict",
        ErrorKind::WrongEpoch => "wrong_epoch",
        ErrorKind::NotConnected => "not_connected",
        ErrorKind::Timeout => "timeout",
        ErrorKind::Ended => "ended",
        ErrorKind::Uncertain => "uncertain",
        ErrorKind::NoKey => "no_key",
        ErrorKind::Forbidden => "forbidden",
        ErrorKind::Busy => "busy",
        ErrorKind::ShuttingDown => "shutting_down",
        ErrorKind::StoreFailed => "store_failed",
        ErrorKind::Unsupported => "unsupported",
        ErrorKind::InvalidParams => "invalid_params",
        ErrorKind::Internal => "internal",
    }
}

/// An error in an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorObject {
    /// The number.
    pub code: i64,
    /// For people: what happened.
    pub message: String,
    /// For programs. Absent where not even a request could be read.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub data: Option<Box<ErrorData>>,
}

/// What programs branch on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorData {
    /// Which refusal; a later daemon may know more of them.
    pub kind: String,
    /// Whether the same call may succeed later.
    pub retryable: bool,
    /// When, where that is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub retry_after_ms: Option<u64>,
    /// For people: what to do; empty where there is nothing.
    #[serde(default)]
    pub hint: String,
    /// What else belongs to it (`id`, `state`, …).
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl ErrorObject {
    /// An error of JSON-RPC itself.
    #[must_use]
    pub fn plain(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    /// The kind, where it is one this version knows.
    #[must_use]
    pub fn kind(&self) -> Option<ErrorKind> {
        let data = self.data.as_ref()?;
        KINDS.into_iter().find(|kind| name(*kind) == data.kind)
    }

    /// What to do; empty where there is nothing.
    #[must_use]
    pub fn hint(&self) -> &str {
        self.data.as_ref().map_or("", |data| &data.hint)
    }
}

impl From<Refusal> for ErrorObject {
    fn from(refusal: Refusal) -> Self {
        Self {
            code: code(refusal.kind),
            message: refusal.message,
            data: Some(Box::new(ErrorData {
                kind: name(refusal.kind).to_owned(),
                retryable: refusal.retryable,
                retry_after_ms: refusal.retry_after_ms,
                hint: refusal.hint,
                extra: refusal.extra,
            })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ErrorObject, KINDS, code, name};
    use crate::model::Refusal;

    #[test]
    fn every_kind_has_a_number_and_a_word_of_its_own() {
        for (index, kind) in KINDS.into_iter().enumerate() {
            for other in &KINDS[..index] {
                assert_ne!(code(kind), code(*other));
                assert_ne!(name(kind), name(*other));
            }
            assert_eq!(serde_json::to_value(kind).unwrap(), name(kind));
            let error = ErrorObject::from(Refusal::new(kind, "m").hint("h").with("state", "parked"));
            let back: ErrorObject = serde_json::from_str(&serde_json::to_string(&error).unwrap()).unwrap();
            assert_eq!(back, error);
            assert_eq!(back.kind(), Some(kind));
            assert_eq!(back.data.unwrap().extra["state"], "parked");
        }
    }
}
