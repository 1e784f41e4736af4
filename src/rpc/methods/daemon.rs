//! `metrics`, `doctor` and `daemon.stop`.

use std::sync::Arc;

use crate::model::{ErrorKind, Refusal};
use crate::rpc::api::{DoctorParams, DoctorResult, Empty, MetricsResult, StopResult};
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

pub(super) struct Doctor;

impl Call for Doctor {
    const NAME: &'static str = "doctor";
    const SUMMARY: &'static str =
        "Looks at one thing after the other and says what is wrong and what to do; takes up to 30 s.";
    const ERRORS: &'static [ErrorKind] = &[ErrorKind::Busy];
    type Params = DoctorParams;
    type Result = DoctorResult;

    async fn call(caller: Caller, params: DoctorParams) -> Result<Reply<DoctorResult>, Refusal> {
        let checks = caller.client.shared.backend.doctor(params.full.unwrap_or(false)).await?;
        Ok(Reply::Now(DoctorResult { checks }))
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
