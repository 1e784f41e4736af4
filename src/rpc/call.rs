//! What a method is: a name, parameters, a result, and what it does.

use std::pin::Pin;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::backend::Pending;
use super::connection::Client;
use super::message::to_json;
use crate::model::{ErrorKind, Refusal};

/// Something that is done later.
pub(super) type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// When the next request of the same connection may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// At once: the method changes nothing, or the order of its changes does not matter.
    Free,
    /// Once this one is through (or at least has its place in line).
    InLine,
}

/// Who calls, and how.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    /// The connection it came by.
    pub(super) client: Arc<Client>,
    /// Nobody will read the answer.
    pub(super) notification: bool,
    /// Bytes of bodies that the answer may hold.
    pub(super) page_bytes: usize,
}

/// What a method comes to.
pub(super) enum Reply<R> {
    /// The result.
    Now(R),
    /// The result as JSON text.
    Text(String),
    /// The result follows; the next request may begin.
    Later(Pending<R>),
    /// The result, and what begins once it is on its way.
    Then(R, Task),
}

/// A result as JSON text, and what begins once it is on its way.
pub(super) struct Answer {
    pub(super) result: String,
    pub(super) then: Option<Task>,
}

impl Answer {
    const fn of(result: String) -> Self {
        Self { result, then: None }
    }
}

/// How a call is answered.
pub(super) type Outcome = Result<Answer, Refusal>;

/// What the first part of a call comes to.
pub(super) enum Step {
    /// It is done.
    Done(Outcome),
    /// It has its place; this is the rest.
    Later(Pin<Box<dyn Future<Output = Outcome> + Send>>),
}

/// A call that is about to begin.
pub(super) type Begun = Pin<Box<dyn Future<Output = Step> + Send>>;

/// One method; its implementors are in `methods`.
pub(super) trait Call: 'static {
    /// Its name.
    const NAME: &'static str;
    /// One line on what it does.
    const SUMMARY: &'static str;
    /// Refusals of its own, beyond `invalid_params`, `internal` and `shutting_down`.
    const ERRORS: &'static [ErrorKind] = &[];
    /// When the next request may begin.
    const ORDER: Order = Order::Free;
    /// Its parameters.
    type Params: DeserializeOwned + JsonSchema + Send;
    /// Its result.
    type Result: Serialize + JsonSchema + Send;

    /// Does it.
    fn call(
        caller: Caller,
        params: Self::Params,
    ) -> impl Future<Output = Result<Reply<Self::Result>, Refusal>> + Send;
}

/// A [`Call`] as a value.
#[derive(Debug)]
pub(super) struct Method {
    pub(super) name: &'static str,
    pub(super) order: Order,
    pub(super) begin: fn(Caller, Option<&str>) -> Result<Begun, Refusal>,
}

impl Method {
    /// `C` as a value.
    pub(super) const fn of<C: Call>() -> Self {
        Self { name: C::NAME, order: C::ORDER, begin: begin::<C> }
    }
}

/// What is to be said of a [`Call`]. Apart from [`Method`], so that a program that only reads the
/// document carries nothing of what writes it.
#[derive(Debug)]
pub(super) struct Described {
    pub(super) name: &'static str,
    pub(super) summary: &'static str,
    pub(super) errors: &'static [ErrorKind],
    pub(super) params: fn(&mut SchemaGenerator) -> Schema,
    pub(super) result: fn(&mut SchemaGenerator) -> Schema,
}

impl Described {
    /// What `C` says of itself.
    pub(super) const fn of<C: Call>() -> Self {
        Self {
            name: C::NAME,
            summary: C::SUMMARY,
            errors: C::ERRORS,
            params: C::Params::json_schema,
            result: SchemaGenerator::subschema_for::<C::Result>,
        }
    }
}

fn begin<C: Call>(caller: Caller, params: Option<&str>) -> Result<Begun, Refusal> {
    let params: C::Params = read(params)?;
    Ok(Box::pin(async move {
        match C::call(caller, params).await {
            Err(refusal) => Step::Done(Err(refusal)),
            Ok(Reply::Now(result)) => Step::Done(Ok(Answer::of(to_json(&result)))),
            Ok(Reply::Text(result)) => Step::Done(Ok(Answer::of(result))),
            Ok(Reply::Then(result, task)) => {
                Step::Done(Ok(Answer { result: to_json(&result), then: Some(task) }))
            }
            Ok(Reply::Later(pending)) => {
                Step::Later(Box::pin(async move { Ok(Answer::of(to_json(&pending.await?))) }))
            }
        }
    }))
}

/// Parameters by name. None at all, and an empty list, stand for no parameters.
fn read<P: DeserializeOwned>(params: Option<&str>) -> Result<P, Refusal> {
    let text = match params {
        None => "{}",
        Some(text) if text.starts_with('[') => {
            if !text[1..].trim_start().starts_with(']') {
                return Err(invalid("parameters are given by name, as an object"));
            }
            "{}"
        }
        Some(text) => text,
    };
    serde_json::from_str(text).map_err(|error| {
        // Where in the line it stands helps nobody; the parameters have no lines.
        let text = error.to_string();
        invalid(text.split(" at line ").next().unwrap_or_default())
    })
}

/// A refusal of parameters.
pub(super) fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new(ErrorKind::InvalidParams, message)
}
