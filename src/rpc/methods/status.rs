//! `status` and `status.watch`.

use crate::model::{ErrorKind, Refusal, StatusReport};
use crate::rpc::api::{Empty, SubscriptionResult};
use crate::rpc::call::{Call, Caller, Order, Reply};
use crate::rpc::subscription::LinkStates;

pub(super) struct Status;

impl Call for Status {
    const NAME: &'static str = "status";
    const SUMMARY: &'static str = "Tells how everything stands, from memory.";
    type Params = Empty;
    type Result = StatusReport;

    async fn call(caller: Caller, _: Empty) -> Result<Reply<StatusReport>, Refusal> {
        let shared = &caller.client.shared;
        let mut report = shared.backend.status();
        (report.clients_total, report.clients) = shared.clients.list();
        for cursor in &mut report.cursors {
            cursor.connected = shared.cursors.is_live(&cursor.name);
        }
        Ok(Reply::Now(report))
    }
}

pub(super) struct Watch;

impl Call for Watch {
    const NAME: &'static str = "status.watch";
    const SUMMARY: &'static str =
        "Tells the link's status at once and on each change, as `status` notifications.";
    const ERRORS: &'static [ErrorKind] = &[ErrorKind::Busy];
    const ORDER: Order = Order::InLine;
    type Params = Empty;
    type Result = SubscriptionResult;

    async fn call(caller: Caller, _: Empty) -> Result<Reply<SubscriptionResult>, Refusal> {
        let registered = caller.client.register()?;
        let result = SubscriptionResult { subscription: registered.name.clone() };
        let link = caller.client.shared.backend.link();
        let states = LinkStates { client: caller.client, registered, link };
        Ok(Reply::Then(result, Box::pin(states.run())))
    }
}
