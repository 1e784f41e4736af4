//! `rpc.discover`.

use crate::model::{ErrorKind, Refusal};
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
        let document = serde_json::from_str(openrpc::WRITTEN).map_err(|error| {
            Refusal::new(ErrorKind::Internal, format!("the document cannot be read: {error}"))
        })?;
        Ok(Reply::Now(document))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_that_is_served_is_what_the_types_say() {
        let served: serde_json::Value = serde_json::from_str(openrpc::WRITTEN).unwrap();
        assert_eq!(served, openrpc::document());
    }
}
