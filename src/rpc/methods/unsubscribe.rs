//! `unsubscribe`.

use super::name;
use crate::model::{ErrorKind, Refusal};
use crate::rpc::api::{Done, UnsubscribeParams};
use crate::rpc::call::{Call, Caller, Order, Reply};

pub(super) struct Unsubscribe;

impl Call for Unsubscribe {
    const NAME: &'static str = "unsubscribe";
    const SUMMARY: &'static str = "Ends a subscription; nothing of it comes behind the answer.";
    const ERRORS: &'static [ErrorKind] = &[ErrorKind::NotFound];
    const ORDER: Order = Order::InLine;
    type Params = UnsubscribeParams;
    type Result = Done;

    async fn call(caller: Caller, params: UnsubscribeParams) -> Result<Reply<Done>, Refusal> {
        name("the name of a subscription", &params.subscription)?;
        let Some(running) = caller.client.subscription(&params.subscription) else {
            let message = format!("this connection has no subscription {:?}", params.subscription);
            return Err(Refusal::new(ErrorKind::NotFound, message));
        };
        running.stop.cancel();
        running.ended.cancelled().await;
        Ok(Reply::Now(Done {}))
    }
}
