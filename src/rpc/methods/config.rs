//! `config.reload` and `config.show`.

use crate::model::{ErrorKind, Refusal};
use crate::rpc::api::{Empty, ReloadResult};
use crate::rpc::call::{Call, Caller, Order, Reply};

pub(super) struct Reload;

impl Call for Reload {
    const NAME: &'static str = "config.reload";
    const SUMMARY: &'static str = "Reads the configuration anew; a bad one changes nothing.";
    const ERRORS: &'static [ErrorKind] = &[ErrorKind::Conflict, ErrorKind::Forbidden, ErrorKind::Busy];
    const ORDER: Order = Order::InLine;
    type Params = Empty;
    type Result = ReloadResult;

    async fn call(caller: Caller, _: Empty) -> Result<Reply<ReloadResult>, Refusal> {
        caller.client.shared.backend.reload().await.map(Reply::Now)
    }
}

pub(super) struct Show;

impl Call for Show {
    const NAME: &'static str = "config.show";
    const SUMMARY: &'static str = "The configuration that holds now, without anything secret.";
    type Params = Empty;
    type Result = serde_json::Value;

    async fn call(caller: Caller, _: Empty) -> Result<Reply<serde_json::Value>, Refusal> {
        caller.client.shared.backend.config().await.map(Reply::Now)
    }
}
