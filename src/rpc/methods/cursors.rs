//! `cursors.list` and `cursors.delete`.

use super::name;
use crate::model::{ErrorKind, Refusal};
use crate::rpc::api::{CursorParams, CursorsListResult, Done, Empty};
use crate::rpc::call::{Call, Caller, Order, Reply};

pub(super) struct List;

impl Call for List {
    const NAME: &'static str = "cursors.list";
    const SUMMARY: &'static str = "The durable cursors, where each stands and whether an app reads with it.";
    const ERRORS: &'static [ErrorKind] = &[ErrorKind::StoreFailed];
    type Params = Empty;
    type Result = CursorsListResult;

    async fn call(caller: Caller, _: Empty) -> Result<Reply<CursorsListResult>, Refusal> {
        let shared = &caller.client.shared;
        let mut cursors = shared.backend.cursors().await?;
        for cursor in &mut cursors {
            cursor.connected = shared.cursors.is_live(&cursor.name);
        }
        Ok(Reply::Now(CursorsListResult { cursors }))
    }
}

pub(super) struct Delete;

impl Call for Delete {
    const NAME: &'static str = "cursors.delete";
    const SUMMARY: &'static str = "Forgets a cursor that no app reads with.";
    const ERRORS: &'static [ErrorKind] = &[ErrorKind::NotFound, ErrorKind::Conflict, ErrorKind::StoreFailed];
    const ORDER: Order = Order::InLine;
    type Params = CursorParams;
    type Result = Done;

    async fn call(caller: Caller, params: CursorParams) -> Result<Reply<Done>, Refusal> {
        name("the name of a cursor", &params.name)?;
        let shared = &caller.client.shared;
        if shared.cursors.is_live(&params.name) {
            let message = format!("an app reads with the cursor {:?} now", params.name);
            return Err(Refusal::new(ErrorKind::Conflict, message).hint("end its subscription first"));
        }
        shared.backend.delete_cursor(params.name).await?;
        Ok(Reply::Now(Done {}))
    }
}
