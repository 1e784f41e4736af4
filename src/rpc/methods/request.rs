//! `messages.request`.

use std::time::Duration;

use super::send::{USUAL_TIMEOUT_MS, body};
use crate::model::{ErrorKind, Refusal};
use crate::rpc::api::{RequestParams, RequestResult};
use crate::rpc::backend::Asked;
use crate::rpc::call::{Call, Caller, Order, Reply};

pub(super) struct Request;

impl Call for Request {
    const NAME: &'static str = "messages.request";
    const SUMMARY: &'static str =
        "Sends once, without storing anything, and answers with the server's own reply.";
    const ERRORS: &'static [ErrorKind] = &[
        ErrorKind::TooLarge,
        ErrorKind::Conflict,
        ErrorKind::NotConnected,
        ErrorKind::Timeout,
        ErrorKind::Ended,
        ErrorKind::Uncertain,
        ErrorKind::Busy,
        ErrorKind::Unsupported,
    ];
    const ORDER: Order = Order::InLine;
    type Params = RequestParams;
    type Result = RequestResult;

    async fn call(caller: Caller, params: RequestParams) -> Result<Reply<RequestResult>, Refusal> {
        let RequestParams { kind, data, text, binary, id, timeout_ms } = params;
        let (kind, payload) = body(kind.as_deref(), data.as_deref(), text.as_deref(), binary.as_ref())?;
        let timeout = Duration::from_millis(timeout_ms.unwrap_or(USUAL_TIMEOUT_MS));
        let request = Asked { kind, payload, id, timeout };
        Ok(Reply::Later(caller.client.shared.backend.request(request).await?))
    }
}
