//! `messages.send`.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;

use super::name;
use crate::model::{ErrorKind, Payload, Receipt, Refusal, json};
use crate::rpc::api::{Binary, SendParams};
use crate::rpc::backend::Outgoing;
use crate::rpc::call::{Call, Caller, Order, Reply, invalid};

/// How long to wait for a level where the call does not say.
pub(super) const USUAL_TIMEOUT_MS: u64 = 30_000;

/// Bytes of a key.
const MAX_KEY: usize = 1_024;

pub(super) struct Send;

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
        let pending = caller.client.shared.backend.send(outgoing(params)?).await?;
        Ok(Reply::Later(pending))
    }
}

fn outgoing(params: SendParams) -> Result<Outgoing, Refusal> {
    let (kind, payload) =
        body(params.kind.as_deref(), params.data.as_deref(), params.text.as_deref(), params.binary.as_ref())?;
    if let Some(lane) = &params.lane {
        name("a lane", lane)?;
    }
    if params.key.as_ref().is_some_and(|key| key.len() > MAX_KEY) {
        return Err(invalid(format!("a key has at most {MAX_KEY} bytes")));
    }
    if params.ttl_ms == Some(0) {
        return Err(invalid("ttl_ms is at least 1: with no time at all the message could never go out"));
    }
    Ok(Outgoing {
        kind,
        payload,
        id: params.id,
        ttl: params.ttl_ms.map(Duration::from_millis),
        key: params.key,
        lane: params.lane,
        delivery: params.delivery,
        wait: params.wait,
        timeout: Duration::from_millis(params.timeout_ms.unwrap_or(USUAL_TIMEOUT_MS)),
    })
}

/// Type and body, of which one form is given.
pub(super) fn body(
    kind: Option<&str>,
    data: Option<&RawValue>,
    text: Option<&str>,
    binary: Option<&Binary>,
) -> Result<(String, Payload), Refusal> {
    let raw_kind = |raw: &str| match kind {
        None => Ok(raw.to_owned()),
        Some(_) => Err(invalid(format!("`{raw}` goes without `type`: the frame carries nothing but itself"))),
    };
    match (data, text, binary) {
        (Some(data), None, None) => {
            let kind = kind.ok_or_else(|| invalid("`data` needs a `type`"))?;
            name("a type", kind)?;
            Ok((kind.to_owned(), Payload::Json(json::compact(data.get()).into())))
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
