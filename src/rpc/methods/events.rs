//! `events.list`, `.subscribe`, `.ack`.

use std::time::Duration;

use tokio::time::timeout;

use super::{check_epoch, globs, limit, name};
use crate::model::{ErrorKind, Gap, GapReason, Refusal, Seq};
use crate::rpc::api::{
    AckParams, AckResult, Anchor, EventsListParams, EventsListResult, Start, SubscribeParams, SubscribeResult,
};
use crate::rpc::backend::EventsQuery;
use crate::rpc::call::{Call, Caller, Order, Reply, invalid};
use crate::rpc::chunk::Voice;
use crate::rpc::cursors::{Claim, Told};
use crate::rpc::message::to_json;
use crate::rpc::subscription::{Events, Reading};
use crate::rpc::{Shared, splice};

/// Unacknowledged events at which feeding stops, where the call does not say.
const USUAL_INFLIGHT: u32 = 1_000;

/// The most that can be asked for.
const MAX_INFLIGHT: u32 = 100_000;

/// How long a cursor's former reader may take to let go of it.
const TAKE_OVER_WITHIN: Duration = Duration::from_secs(2);

/// The oldest kept number, or the next one where nothing is kept.
async fn earliest(shared: &Shared) -> Result<Seq, Refusal> {
    let query = EventsQuery { from: Seq(1), types: Vec::new(), limit: 1, bytes: 1 };
    let page = shared.backend.events(query).await?;
    Ok(page.first_seq.unwrap_or_else(|| behind(page.last_seq.unwrap_or_default())))
}

fn now(shared: &Shared) -> Seq {
    behind(*shared.backend.last_seq().borrow())
}

fn behind(seq: Seq) -> Seq {
    Seq(seq.0.saturating_add(1))
}

/// Numbers begin at 1.
fn at_least_one(seq: Seq) -> Seq {
    seq.max(Seq(1))
}

pub(super) struct List;

impl Call for List {
    const NAME: &'static str = "events.list";
    const SUMMARY: &'static str =
        "The oldest kept events from a number on, and what is missing between them.";
    const ERRORS: &'static [ErrorKind] = &[ErrorKind::WrongEpoch, ErrorKind::StoreFailed];
    type Params = EventsListParams;
    type Result = EventsListResult;

    async fn call(caller: Caller, params: EventsListParams) -> Result<Reply<EventsListResult>, Refusal> {
        let shared = &caller.client.shared;
        check_epoch(shared, params.epoch.as_ref())?;
        let types = globs(params.types)?;
        let from = match params.from {
            Start::Seq(seq) => at_least_one(seq),
            Start::At(Anchor::Earliest) => earliest(shared).await?,
            Start::At(Anchor::Now) => now(shared),
            Start::At(Anchor::Cursor) => {
                return Err(invalid(
                    "events.list knows no cursor: `from` is a number, \"earliest\" or \"now\"",
                ));
            }
        };
        let query = EventsQuery { from, types, limit: limit(params.limit), bytes: caller.page_bytes };
        let page = shared.backend.events(query).await?;
        let mut gaps: Vec<Gap> = page
            .pruned
            .filter(|(_, to)| *to >= from)
            .map(|(first, to)| Gap { from: first.max(from), to, reason: GapReason::Retention })
            .into_iter()
            .collect();
        gaps.extend(page.rows.iter().filter_map(|row| splice::gap(row)));
        let events: Vec<String> = page.rows.iter().filter_map(|row| splice::event(row)).collect();
        // Put together by hand: the stored bodies are not parsed again.
        Ok(Reply::Text(format!(
            r#"{{"events":[{}],"gaps":{},"next":{},"more":{},"epoch":{},"first_seq":{},"last_seq":{}}}"#,
            events.join(","),
            to_json(&gaps),
            to_json(&page.next.max(from)),
            page.more,
            to_json(&shared.identity.epoch),
            to_json(&page.first_seq),
            to_json(&page.last_seq),
        )))
    }
}

pub(super) struct Subscribe;

impl Call for Subscribe {
    const NAME: &'static str = "events.subscribe";
    const SUMMARY: &'static str = "Tells events from a point on and as they come, as `event`, `gap`, `caught_up` and `lagged` notifications.";
    const ERRORS: &'static [ErrorKind] = &[ErrorKind::WrongEpoch, ErrorKind::Busy, ErrorKind::StoreFailed];
    const ORDER: Order = Order::InLine;
    type Params = SubscribeParams;
    type Result = SubscribeResult;

    async fn call(caller: Caller, params: SubscribeParams) -> Result<Reply<SubscribeResult>, Refusal> {
        let shared = &caller.client.shared;
        check_epoch(shared, params.epoch.as_ref())?;
        let types = globs(params.types)?;
        let max_inflight = params.max_inflight.unwrap_or(USUAL_INFLIGHT);
        if !(1..=MAX_INFLIGHT).contains(&max_inflight) {
            return Err(invalid(format!("max_inflight lies between 1 and {MAX_INFLIGHT}")));
        }
        if params.cursor.is_none() && (params.ack.is_some() || params.max_inflight.is_some()) {
            return Err(invalid("`ack` and `max_inflight` go with a `cursor`"));
        }
        // Both before the position is settled: nothing that comes from now on is missed.
        let (last_seq, ephemeral) = (shared.backend.last_seq(), shared.backend.ephemeral());
        let registered = caller.client.register()?;
        let (opened, claim) = match &params.cursor {
            None => (None, None),
            Some(cursor) => {
                name("the name of a cursor", cursor)?;
                let (claim, before) = Claim::new(&shared.cursors, cursor);
                if let Some(before) = before {
                    // A reader that does not let go in time may be told a little less than it got.
                    let _ = timeout(TAKE_OVER_WITHIN, before.released.cancelled()).await;
                }
                (Some(shared.backend.open_cursor(cursor.clone()).await?), Some(claim))
            }
        };
        let from = match (params.from, &opened) {
            (Some(Start::Seq(seq)), _) => at_least_one(seq),
            (Some(Start::At(Anchor::Earliest)), _) => earliest(shared).await?,
            (Some(Start::At(Anchor::Now)), _) | (None, None) => now(shared),
            (Some(Start::At(Anchor::Cursor)) | None, Some(opened)) => behind(opened.seq),
            (Some(Start::At(Anchor::Cursor)), None) => {
                return Err(invalid("`from` is \"cursor\", and no `cursor` is named"));
            }
        };
        let reading = claim.zip(opened).map(|(claim, opened)| {
            *claim.holder.lock() = Told::new(Seq(from.0.saturating_sub(1)), opened.seq);
            Reading { claim, ack: params.ack.unwrap_or_default(), max_inflight: max_inflight as usize }
        });
        let result = SubscribeResult {
            subscription: registered.name.clone(),
            from,
            epoch: shared.identity.epoch.clone(),
            created: opened.map(|opened| opened.created),
        };
        let client = caller.client;
        let voice = Voice { subscription: registered.name.clone(), types, framing: client.framing() };
        let events = Events { client, registered, voice, next: from, reading, last_seq, ephemeral };
        Ok(Reply::Then(result, Box::pin(events.run())))
    }
}

pub(super) struct Ack;

impl Call for Ack {
    const NAME: &'static str = "events.ack";
    const SUMMARY: &'static str = "Says that everything through a number is done; never moves a cursor back.";
    const ERRORS: &'static [ErrorKind] =
        &[ErrorKind::NotFound, ErrorKind::WrongEpoch, ErrorKind::StoreFailed];
    type Params = AckParams;
    type Result = AckResult;

    async fn call(caller: Caller, params: AckParams) -> Result<Reply<AckResult>, Refusal> {
        let shared = &caller.client.shared;
        name("the name of a cursor", &params.cursor)?;
        check_epoch(shared, params.epoch.as_ref())?;
        let holder = shared.cursors.get(&params.cursor);
        let through = match &holder {
            Some(holder) => holder.lock().through(),
            None => *shared.backend.last_seq().borrow(),
        };
        if params.seq > through {
            return Err(invalid(format!("{} was not told yet: the last one was {through}", params.seq))
                .with("last", through.0));
        }
        if let Some(holder) = &holder {
            holder.lock().stored(params.seq);
            holder.acknowledge(params.seq);
        }
        let durable = !caller.notification;
        let seq = shared.backend.ack_cursor(params.cursor.clone(), params.seq, durable).await?;
        Ok(Reply::Now(AckResult { cursor: params.cursor, seq }))
    }
}
