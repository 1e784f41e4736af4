//! `quarantine.list`, `.drop`, `.retry`.

use super::limit;
use crate::model::{ErrorKind, Refusal};
use crate::rpc::api::{
    Done, QuarantineDropParams, QuarantineListParams, QuarantineListResult, QuarantineRetryParams,
    QuarantineRetryResult,
};
use crate::rpc::call::{Call, Caller, Order, Reply, invalid};

pub(super) struct List;

impl Call for List {
    const NAME: &'static str = "quarantine.list";
    const SUMMARY: &'static str =
        "Frames that could not be read and events that do not fit their schema, oldest first.";
    const ERRORS: &'static [ErrorKind] = &[ErrorKind::StoreFailed];
    type Params = QuarantineListParams;
    type Result = QuarantineListResult;

    async fn call(
        caller: Caller,
        params: QuarantineListParams,
    ) -> Result<Reply<QuarantineListResult>, Refusal> {
        let backend = &caller.client.shared.backend;
        backend.quarantine(params.after, limit(params.limit), caller.page_bytes).await.map(Reply::Now)
    }
}

pub(super) struct Drop;

impl Call for Drop {
    const NAME: &'static str = "quarantine.drop";
    const SUMMARY: &'static str = "Drops an entry of the quarantine; the gap it left stays.";
    const ERRORS: &'static [ErrorKind] = &[ErrorKind::NotFound, ErrorKind::StoreFailed];
    const ORDER: Order = Order::InLine;
    type Params = QuarantineDropParams;
    type Result = Done;

    async fn call(caller: Caller, params: QuarantineDropParams) -> Result<Reply<Done>, Refusal> {
        caller.client.shared.backend.drop_quarantine(params.id).await?;
        Ok(Reply::Now(Done {}))
    }
}

pub(super) struct Retry;

impl Call for Retry {
    const NAME: &'static str = "quarantine.retry";
    const SUMMARY: &'static str = "Judges entries of the quarantine anew, with the dialect and the schemas of now: what fits becomes events at the end of the sequence.";
    const ERRORS: &'static [ErrorKind] = &[ErrorKind::NotFound, ErrorKind::StoreFailed];
    const ORDER: Order = Order::InLine;
    type Params = QuarantineRetryParams;
    type Result = QuarantineRetryResult;

    async fn call(
        caller: Caller,
        params: QuarantineRetryParams,
    ) -> Result<Reply<QuarantineRetryResult>, Refusal> {
        let QuarantineRetryParams { id, limit: asked, after } = params;
        if id.is_some() && (asked.is_some() || after.is_some()) {
            return Err(invalid("`id` names one entry; `limit` and `after` go without it"));
        }
        caller.client.shared.backend.retry_quarantine(id, after, limit(asked)).await.map(Reply::Now)
    }
}
