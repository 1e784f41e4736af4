//! `hello`.

use super::name;
use crate::model::Refusal;
use crate::model::json::MAX_DEPTH;
use crate::rpc::api::{HelloLimits, HelloParams, HelloResult, PROTOCOL};
use crate::rpc::call::{Call, Caller, Order, Reply};
use crate::rpc::connection::MAX_SUBSCRIPTIONS;
use crate::rpc::dispatch::MAX_UNANSWERED;
use crate::rpc::message::MAX_BATCH;

pub(super) struct Hello;

impl Call for Hello {
    const NAME: &'static str = "hello";
    const SUMMARY: &'static str = "Says who calls, and learns who answers and what it takes at most.";
    const ORDER: Order = Order::InLine;
    type Params = HelloParams;
    type Result = HelloResult;

    async fn call(caller: Caller, params: HelloParams) -> Result<Reply<HelloResult>, Refusal> {
        name("the name of a client", &params.client.name)?;
        caller.client.entry.name(&params.client.name);
        let (identity, limits) = (caller.client.shared.backend.identity(), caller.client.shared.limits);
        Ok(Reply::Now(HelloResult {
            protocol: PROTOCOL,
            daemon_version: identity.daemon_version.clone(),
            epoch: identity.epoch.clone(),
            instance_id: identity.instance_id.clone(),
            limits: HelloLimits {
                max_line: limits.max_line as u64,
                max_batch: MAX_BATCH as u64,
                max_depth: MAX_DEPTH as u64,
                max_unanswered: MAX_UNANSWERED as u64,
                max_subscriptions: MAX_SUBSCRIPTIONS as u64,
                max_clients: limits.max_clients as u64,
                max_message: identity.max_message,
                keep_finished: identity.keep_finished,
                keep_finished_age_ms: u64::try_from(identity.keep_finished_age.as_millis())
                    .unwrap_or(u64::MAX),
            },
            features: identity.features.clone(),
        }))
    }
}
