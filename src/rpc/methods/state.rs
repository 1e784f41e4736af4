//! `state.get` and `state.list`.

use super::{limit, name};
use crate::model::{ErrorKind, Event, Refusal};
use crate::rpc::api::{StateGetParams, StateListParams, StateListResult};
use crate::rpc::call::{Call, Caller, Reply};
use crate::rpc::message::to_json;
use crate::rpc::splice;

pub(super) struct Get;

impl Call for Get {
    const NAME: &'static str = "state.get";
    const SUMMARY: &'static str = "The newest event of a type and key.";
    const ERRORS: &'static [ErrorKind] = &[ErrorKind::NotFound, ErrorKind::StoreFailed];
    type Params = StateGetParams;
    type Result = Event;

    async fn call(caller: Caller, params: StateGetParams) -> Result<Reply<Event>, Refusal> {
        name("a type", &params.kind)?;
        let row = caller.client.shared.backend.state(params.kind, params.key).await?;
        let event = splice::event(&row)
            .ok_or_else(|| Refusal::new(ErrorKind::NotFound, "there is no event of this type and key"))?;
        Ok(Reply::Text(event))
    }
}

pub(super) struct List;

impl Call for List {
    const NAME: &'static str = "state.list";
    const SUMMARY: &'static str = "The newest event of each key of a type, by key.";
    const ERRORS: &'static [ErrorKind] = &[ErrorKind::StoreFailed];
    type Params = StateListParams;
    type Result = StateListResult;

    async fn call(caller: Caller, params: StateListParams) -> Result<Reply<StateListResult>, Refusal> {
        name("a type", &params.kind)?;
        let limit = limit(params.limit);
        let page =
            caller.client.shared.backend.states(params.kind, params.after, limit, caller.page_bytes).await?;
        let events: Vec<String> = page.rows.iter().filter_map(|(_, row)| splice::event(row)).collect();
        let next = page.rows.last().map_or(String::new(), |(key, _)| format!(r#","next":{}"#, to_json(key)));
        Ok(Reply::Text(format!(r#"{{"events":[{}],"more":{}{next}}}"#, events.join(","), page.more)))
    }
}
