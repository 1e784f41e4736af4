//! `link.pause`, `.resume`, `.reconnect`, `.history`.

use super::limit;
use crate::model::{ErrorKind, Refusal};
use crate::rpc::api::{Empty, HistoryParams, HistoryResult, LinkResult};
use crate::rpc::call::{Call, Caller, Order, Reply};

pub(super) struct Pause;

impl Call for Pause {
    const NAME: &'static str = "link.pause";
    const SUMMARY: &'static str = "Closes the link and keeps it closed, over restarts too.";
    const ERRORS: &'static [ErrorKind] = &[ErrorKind::Busy];
    const ORDER: Order = Order::InLine;
    type Params = Empty;
    type Result = LinkResult;

    async fn call(caller: Caller, _: Empty) -> Result<Reply<LinkResult>, Refusal> {
        caller.client.shared.backend.pause().await.map(|state| Reply::Now(LinkResult { state }))
    }
}

pub(super) struct Resume;

impl Call for Resume {
    const NAME: &'static str = "link.resume";
    const SUMMARY: &'static str = "Ends the pause.";
    const ERRORS: &'static [ErrorKind] = &[ErrorKind::Busy];
    const ORDER: Order = Order::InLine;
    type Params = Empty;
    type Result = LinkResult;

    async fn call(caller: Caller, _: Empty) -> Result<Reply<LinkResult>, Refusal> {
        caller.client.shared.backend.resume().await.map(|state| Reply::Now(LinkResult { state }))
    }
}

pub(super) struct Reconnect;

impl Call for Reconnect {
    const NAME: &'static str = "link.reconnect";
    const SUMMARY: &'static str = "Dials anew at once.";
    const ERRORS: &'static [ErrorKind] = &[ErrorKind::Conflict, ErrorKind::Busy];
    const ORDER: Order = Order::InLine;
    type Params = Empty;
    type Result = LinkResult;

    async fn call(caller: Caller, _: Empty) -> Result<Reply<LinkResult>, Refusal> {
        caller.client.shared.backend.reconnect().await.map(|state| Reply::Now(LinkResult { state }))
    }
}

pub(super) struct History;

impl Call for History {
    const NAME: &'static str = "link.history";
    const SUMMARY: &'static str = "The newest changes of the link's state, oldest first; kept over restarts.";
    const ERRORS: &'static [ErrorKind] = &[ErrorKind::StoreFailed];
    type Params = HistoryParams;
    type Result = HistoryResult;

    async fn call(caller: Caller, params: HistoryParams) -> Result<Reply<HistoryResult>, Refusal> {
        let history = caller.client.shared.backend.link_history(limit(params.limit)).await?;
        Ok(Reply::Now(HistoryResult { history }))
    }
}
