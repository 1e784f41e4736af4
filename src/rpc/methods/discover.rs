//! `rpc.discover`.

use crate::model::Refusal;
use crate::rpc::api::Empty;
use crate::rpc::call::{Call, Caller, Reply};
use crate::rpc::openrpc;

pub(super) struct Discover;

impl Call for Discover {
    const NAME: &'static str = "rpc.discover";
    const SUMMARY: &'static str = "This interface as an OpenRPC document.";
    type Params = Empty;
    type Result = serde_json::Value;

    async fn call(_: Caller, _: Empty) -> Result<Reply<serde_json::Value>, Refusal> {
        Ok(Reply::Now(openrpc::document()))
    }
}
