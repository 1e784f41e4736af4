//! `messages.get`, `.list`, `.watch`, `.cancel`, `.retry`, `.drop`.

use super::{globs, limit};
use crate::model::{ErrorKind, Message, Refusal};
use crate::rpc::api::{
    MessageParams, MessagesListParams, MessagesListResult, SubscriptionResult, WatchParams,
};
use crate::rpc::backend::MessagesQuery;
use crate::rpc::call::{Call, Caller, Order, Reply, invalid};
use crate::rpc::subscription::Deliveries;

/// Messages that one watch can name.
const MAX_IDS: usize = 1_000;

pub(super) struct Get;

impl Call for Get {
    const NAME: &'static str = "messages.get";
    const SUMMARY: &'static str = "One message with what happened to it.";
    const ERRORS: &'static [ErrorKind] = &[ErrorKind::NotFound, ErrorKind::StoreFailed];
    type Params = MessageParams;
    type Result = Message;

    async fn call(caller: Caller, params: MessageParams) -> Result<Reply<Message>, Refusal> {
        caller.client.shared.backend.message(params.id).await.map(Reply::Now)
    }
}

pub(super) struct List;

impl Call for List {
    const NAME: &'static str = "messages.list";
    const SUMMARY: &'static str = "Messages by their places in the queue, oldest first.";
    const ERRORS: &'static [ErrorKind] = &[ErrorKind::NotFound, ErrorKind::StoreFailed];
    type Params = MessagesListParams;
    type Result = MessagesListResult;

    async fn call(caller: Caller, params: MessagesListParams) -> Result<Reply<MessagesListResult>, Refusal> {
        let query = MessagesQuery {
            states: params.state.unwrap_or_default(),
            types: globs(params.kind)?,
            after: params.after,
            limit: limit(params.limit),
            bytes: caller.page_bytes,
        };
        caller.client.shared.backend.messages(query).await.map(Reply::Now)
    }
}

pub(super) struct Watch;

impl Call for Watch {
    const NAME: &'static str = "messages.watch";
    const SUMMARY: &'static str = "Tells the moves of messages from now on, as `delivery` notifications.";
    const ERRORS: &'static [ErrorKind] = &[ErrorKind::Busy];
    const ORDER: Order = Order::InLine;
    type Params = WatchParams;
    type Result = SubscriptionResult;

    async fn call(caller: Caller, params: WatchParams) -> Result<Reply<SubscriptionResult>, Refusal> {
        if params.ids.as_ref().is_some_and(|ids| ids.len() > MAX_IDS) {
            return Err(invalid(format!("a watch names at most {MAX_IDS} messages")));
        }
        let registered = caller.client.register()?;
        let result = SubscriptionResult { subscription: registered.name.clone() };
        let moves = caller.client.shared.backend.moves();
        let ids = params.ids.map(|ids| ids.into_iter().collect());
        let deliveries = Deliveries { client: caller.client, registered, moves, ids };
        Ok(Reply::Then(result, Box::pin(deliveries.run())))
    }
}

pub(super) struct Cancel;

impl Call for Cancel {
    const NAME: &'static str = "messages.cancel";
    const SUMMARY: &'static str = "Takes a message back that is not on the wire.";
    const ERRORS: &'static [ErrorKind] =
        &[ErrorKind::NotFound, ErrorKind::Conflict, ErrorKind::Busy, ErrorKind::StoreFailed];
    const ORDER: Order = Order::InLine;
    type Params = MessageParams;
    type Result = Message;

    async fn call(caller: Caller, params: MessageParams) -> Result<Reply<Message>, Refusal> {
        caller.client.shared.backend.cancel(params.id).await.map(Reply::Now)
    }
}

pub(super) struct Retry;

impl Call for Retry {
    const NAME: &'static str = "messages.retry";
    const SUMMARY: &'static str = "Puts a parked, uncertain or rejected message back into its place.";
    const ERRORS: &'static [ErrorKind] = &[ErrorKind::NotFound, ErrorKind::Conflict, ErrorKind::StoreFailed];
    const ORDER: Order = Order::InLine;
    type Params = MessageParams;
    type Result = Message;

    async fn call(caller: Caller, params: MessageParams) -> Result<Reply<Message>, Refusal> {
        caller.client.shared.backend.retry(params.id).await.map(Reply::Now)
    }
}

pub(super) struct Drop;

impl Call for Drop {
    const NAME: &'static str = "messages.drop";
    const SUMMARY: &'static str = "Gives a parked, uncertain or rejected message up.";
    const ERRORS: &'static [ErrorKind] = &[ErrorKind::NotFound, ErrorKind::Conflict, ErrorKind::StoreFailed];
    const ORDER: Order = Order::InLine;
    type Params = MessageParams;
    type Result = Message;

    async fn call(caller: Caller, params: MessageParams) -> Result<Reply<Message>, Refusal> {
        caller.client.shared.backend.drop_message(params.id).await.map(Reply::Now)
    }
}
