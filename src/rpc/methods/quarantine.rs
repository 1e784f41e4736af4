//! `quarantine.list` and `quarantine.drop`.

use super::limit;
use crate::model::{ErrorKind, Refusal};
use crate::rpc::api::{Done, QuarantineDropParams, QuarantineListParams, QuarantineListResult};
use crate::rpc::call::{Call, Caller, Order, Reply};

pub(super) struct List;

impl Call for List {
    const NAME: &'static str = "quarantine.list";
    const SUMMARY: &'static str = "Frames of the server that could not be read, oldest first.";
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
    const SUMMARY: &'static str = "Drops a frame from quarantine; the gap it left stays.";
    const ERRORS: &'static [ErrorKind] = &[ErrorKind::NotFound, ErrorKind::StoreFailed];
    const ORDER: Order = Order::InLine;
    type Params = QuarantineDropParams;
    type Result = Done;

    async fn call(caller: Caller, params: QuarantineDropParams) -> Result<Reply<Done>, Refusal> {
        caller.client.shared.backend.drop_quarantine(params.id).await?;
        Ok(Reply::Now(Done {}))
    }
}
