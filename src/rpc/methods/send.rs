//! `messages.send`.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::name;
use crate::model::{Delivery, ErrorKind, Level, MessageId, Payload, Receipt, Refusal, json};
use crate::rpc::api::{Binary, SendParams};
use crate::rpc::backend::Outgoing;
use crate::rpc::call::{Call, Caller, Order, Reply, invalid};
use crate::rpc::message::Text;

/// How long to wait for a level where the call does not say.
pub(super) const USUAL_TIMEOUT_MS: u64 = 30_000;

/// Bytes of a key.
const MAX_KEY: usize = 1_024;

pub(in crate::rpc) struct Send;

impl Call for Send {
    const NAME: &'static str = "messages.send";
    const SUMMARY: &'static str =
        "Hands a message in; the receipt means that it is on disk and will have an end that is told.";
    const ERRORS: &'static [ErrorKind] = &[
        ErrorKind::QueueFull,
        ErrorKind::TooLarge,
        ErrorKind::Conflict,
        ErrorKind::NotConnected,
        ErrorKind::Timeout,
        ErrorKind::Ended,
        ErrorKind::Uncertain,
        ErrorKind::NoKey,
        ErrorKind::StoreFailed,
        ErrorKind::Unsupported,
    ];
    const ORDER: Order = Order::InLine;
    type Params = SendParams;
    type Result = Receipt;

    async fn call(caller: Caller, params: SendParams) -> Result<Reply<Receipt>, Refusal> {
        let SendParams { kind, data, text, binary, id, ttl_ms, key, lane, delivery, wait, timeout_ms } =
            params;
        let body = body(kind.as_deref(), data.as_deref(), text.as_deref(), binary.as_ref());
        let given = Given { id, ttl_ms, key, lane, delivery, wait, timeout_ms };
        let pending = caller.client.shared.backend.send(outgoing(body, given)?).await?;
        Ok(Reply::Later(pending))
    }
}

/// [`SendParams`] of a JSON body, read without copying what is copied once more anyway.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Plain<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Option<Text<'a>>,
    #[serde(borrow)]
    data: &'a RawValue,
    #[serde(default)]
    id: Option<MessageId>,
    #[serde(default)]
    ttl_ms: Option<u64>,
    #[serde(default)]
    key: Option<String>,
    #[serde(default)]
    lane: Option<String>,
    #[serde(default)]
    delivery: Option<Delivery>,
    #[serde(default)]
    wait: Option<Level>,
    #[serde(default)]
    timeout_ms: Option<u64>,
}

/// What [`Send`] makes of `params`, if they are those of a JSON body. What is wrong with others, and
/// with those that cannot be read, [`Send`] knows.
pub(in crate::rpc) fn plain(params: &str) -> Option<Result<Outgoing, Refusal>> {
    let Plain { kind, data, id, ttl_ms, key, lane, delivery, wait, timeout_ms } =
        serde_json::from_str(params).ok()?;
    let body = body(kind.as_ref().map(|kind| &*kind.0), Some(data), None, None);
    Some(outgoing(body, Given { id, ttl_ms, key, lane, delivery, wait, timeout_ms }))
}

/// What stands beside the body.
struct Given {
    id: Option<MessageId>,
    ttl_ms: Option<u64>,
    key: Option<String>,
    lane: Option<String>,
    delivery: Option<Delivery>,
    wait: Option<Level>,
    timeout_ms: Option<u64>,
}

fn outgoing(body: Result<(Arc<str>, Payload), Refusal>, given: Given) -> Result<Outgoing, Refusal> {
    let (kind, payload) = body?;
    if let Some(lane) = &given.lane {
        name("a lane", lane)?;
    }
    if given.key.as_ref().is_some_and(|key| key.len() > MAX_KEY) {
        return Err(invalid(format!("a key has at most {MAX_KEY} bytes")));
    }
    if given.ttl_ms == Some(0) {
        return Err(invalid("ttl_ms is at least 1: with no time at all the message could never go out"));
    }
    Ok(Outgoing {
        kind,
        payload,
        id: given.id,
        ttl: given.ttl_ms.map(Duration::from_millis),
        key: given.key,
        lane: given.lane,
        delivery: given.delivery,
        wait: given.wait,
        timeout: Duration::from_millis(given.timeout_ms.unwrap_or(USUAL_TIMEOUT_MS)),
    })
}

/// Type and body, of which one form is given.
pub(super) fn body(
    kind: Option<&str>,
    data: Option<&RawValue>,
    text: Option<&str>,
    binary: Option<&Binary>,
) -> Result<(Arc<str>, Payload), Refusal> {
    let raw_kind = |raw: &str| match kind {
        None => Ok(raw.into()),
        Some(_) => Err(invalid(format!("`{raw}` goes without `type`: the frame carries nothing but itself"))),
    };
    match (data, text, binary) {
        (Some(data), None, None) => {
            let kind = kind.ok_or_else(|| invalid("`data` needs a `type`"))?;
            name("a type", kind)?;
            Ok((kind.into(), Payload::Json(json::compact(data.get()).into())))
        }
        (None, Some(text), None) => Ok((raw_kind("text")?, Payload::Text(text.into()))),
        (None, None, Some(binary)) => {
            let bytes = STANDARD
                .decode(&binary.data)
                .map_err(|error| invalid(format!("`binary.data` is no base64: {error}")))?;
            Ok((raw_kind("binary")?, Payload::Binary(bytes.into())))
        }
        _ => Err(invalid("exactly one of `data`, `text` and `binary` is given")),
    }
}
