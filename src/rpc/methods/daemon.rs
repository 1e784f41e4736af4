//! `metrics` and `daemon.stop`.

use std::sync::Arc;

use crate::model::Refusal;
use crate::rpc::api::{Empty, MetricsResult, StopResult};
use crate::rpc::call::{Call, Caller, Order, Reply};

pub(super) struct Metrics;

impl Call for Metrics {
    const NAME: &'static str = "metrics";
    const SUMMARY: &'static str = "Counters and gauges as Prometheus text.";
    type Params = Empty;
    type Result = MetricsResult;

    async fn call(caller: Caller, _: Empty) -> Result<Reply<MetricsResult>, Refusal> {
        Ok(Reply::Now(MetricsResult { text: caller.client.shared.backend.metrics() }))
    }
}

pub(super) struct Stop;

impl Call for Stop {
    const NAME: &'static str = "daemon.stop";
    const SUMMARY: &'static str = "Stops the daemon; what is queued stays on disk.";
    const ORDER: Order = Order::InLine;
    type Params = Empty;
    type Result = StopResult;

    async fn call(caller: Caller, _: Empty) -> Result<Reply<StopResult>, Refusal> {
        let backend = Arc::clone(&caller.client.shared.backend);
        Ok(Reply::Then(StopResult { stopping: true }, Box::pin(async move { backend.stop() })))
    }
}
