//! `notifications.mute`, `.unmute`, `.test`, `.history`.

use std::time::Duration;

use super::limit;
use crate::model::{ErrorKind, Refusal};
use crate::rpc::api::{Empty, HistoryParams, MuteParams, NotificationsHistoryResult, NotificationsResult};
use crate::rpc::call::{Call, Caller, Order, Reply, invalid};

pub(super) struct Mute;

impl Call for Mute {
    const NAME: &'static str = "notifications.mute";
    const SUMMARY: &'static str =
        "Shows no notifications for a while, or until that is ended; over restarts too.";
    const ERRORS: &'static [ErrorKind] = &[ErrorKind::StoreFailed];
    const ORDER: Order = Order::InLine;
    type Params = MuteParams;
    type Result = NotificationsResult;

    async fn call(caller: Caller, params: MuteParams) -> Result<Reply<NotificationsResult>, Refusal> {
        if params.for_ms == Some(0) {
            return Err(invalid("`for_ms` is at least 1; `notifications.unmute` ends a mute"));
        }
        let span = params.for_ms.map(Duration::from_millis);
        let until = caller.client.shared.backend.mute(span).await?;
        Ok(Reply::Now(NotificationsResult { muted_until: Some(until), backend: None }))
    }
}

pub(super) struct Unmute;

impl Call for Unmute {
    const NAME: &'static str = "notifications.unmute";
    const SUMMARY: &'static str = "Shows notifications again. What was stopped meanwhile is not shown.";
    const ERRORS: &'static [ErrorKind] = &[ErrorKind::StoreFailed];
    const ORDER: Order = Order::InLine;
    type Params = Empty;
    type Result = NotificationsResult;

    async fn call(caller: Caller, _: Empty) -> Result<Reply<NotificationsResult>, Refusal> {
        caller.client.shared.backend.unmute().await?;
        Ok(Reply::Now(NotificationsResult::default()))
    }
}

pub(super) struct Test;

impl Call for Test {
    const NAME: &'static str = "notifications.test";
    const SUMMARY: &'static str =
        "Shows a notification now, muted or not, and answers once the desktop has taken it.";
    const ERRORS: &'static [ErrorKind] = &[ErrorKind::Unsupported, ErrorKind::Timeout];
    type Params = Empty;
    type Result = NotificationsResult;

    async fn call(caller: Caller, _: Empty) -> Result<Reply<NotificationsResult>, Refusal> {
        caller.client.shared.backend.test_notice().await.map(Reply::Now)
    }
}

pub(super) struct History;

impl Call for History {
    const NAME: &'static str = "notifications.history";
    const SUMMARY: &'static str = "What became of the newest notifications of this run, oldest first.";
    const ERRORS: &'static [ErrorKind] = &[];
    type Params = HistoryParams;
    type Result = NotificationsHistoryResult;

    async fn call(
        caller: Caller,
        params: HistoryParams,
    ) -> Result<Reply<NotificationsHistoryResult>, Refusal> {
        let history = caller.client.shared.backend.notices(limit(params.limit));
        Ok(Reply::Now(NotificationsHistoryResult { history }))
    }
}
