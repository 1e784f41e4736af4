//! What the configuration says of a message an app hands in. Replaced as a whole by a reload;
//! rows that are queued already keep what was stamped on them.

use std::sync::Arc;

use crate::dialect::Dialect;
use crate::model::{
    Confirm, Delivery, Durability, ErrorKind, Level, NewMessage, Payload, Refusal, Resend, TypeRules,
};
use crate::rpc::backend::Outgoing;

/// The lane of messages that name none.
const DEFAULT_LANE: &str = "default";

/// The rules in force.
#[derive(Debug, Clone)]
pub(super) struct Policy {
    pub(super) types: Arc<TypeRules>,
    /// `[outbox] confirm`; none: `auto`, the dialect decides.
    pub(super) confirm: Option<Confirm>,
    pub(super) dialect: Arc<dyn Dialect>,
    pub(super) durability: Durability,
    /// `server.max_message`, in bytes.
    pub(super) max_message: u64,
    /// `[outbox]`: what may wait, and what is remembered.
    pub(super) outbox: crate::config::Outbox,
}

impl Policy {
    /// Applies the rules to what an app handed in.
    ///
    /// # Errors
    /// Whatever makes the message impossible; nothing is queued then.
    pub(super) fn apply(&self, message: Outgoing) -> Result<NewMessage, Refusal> {
        let Outgoing { kind, payload, id, ttl, key, lane, delivery, wait, timeout: _ } = message;
        self.check(&kind, &payload)?;
        let rule = self.types.find(&kind);
        let delivery = delivery.or(rule.map(|rule| rule.delivery)).unwrap_or_default();
        let key = key.or_else(|| rule.and_then(|rule| rule.key_of(&payload)));
        if delivery == Delivery::Latest && key.is_none() {
            return Err(Refusal::new(
                ErrorKind::NoKey,
                format!("`{kind}` keeps the newest value per key, and this one has no key"),
            )
            .hint(match rule.and_then(|rule| rule.key.as_ref()) {
                Some(pointer) => {
                    format!("give `key`, or put text, a number or a boolean at {pointer} of the data")
                }
                None => format!("give `key`, or name its place: [types.\"{kind}\"] key = \"/pointer\""),
            }));
        }
        let confirm = self.confirm_of(&kind, &payload, rule.and_then(|rule| rule.confirm));
        if let Some(level) = wait {
            reachable(level, delivery, confirm)?;
        }
        Ok(NewMessage {
            id,
            lane: lane
                .map(Arc::from)
                .or_else(|| rule.and_then(|rule| rule.lane.clone()))
                .unwrap_or_else(|| DEFAULT_LANE.into()),
            key: key.map(Arc::from),
            delivery,
            confirm,
            resend: rule.map_or(Resend::Always, |rule| rule.resend),
            ttl: ttl.or_else(|| rule.and_then(|rule| rule.ttl)),
            kind,
            payload,
        })
    }

    /// Whether such a message can go out at all.
    fn check(&self, kind: &str, payload: &Payload) -> Result<(), Refusal> {
        let size = payload.len() as u64;
        if size > self.max_message {
            return Err(Refusal::new(
                ErrorKind::TooLarge,
                format!("the message has {size} bytes, the limit is {}", self.max_message),
            )
            .hint("raise server.max_message, or send less at a time"));
        }
        self.dialect.check(kind, payload)
    }

    /// Whether such a message can be a request, one that the server replies to.
    ///
    /// # Errors
    /// Whatever makes it impossible, with a link or without.
    pub(super) fn check_request(&self, kind: &str, payload: &Payload) -> Result<(), Refusal> {
        self.check(kind, payload)?;
        if self.dialect.answers(kind, payload) {
            return Ok(());
        }
        let dialect = &self.dialect.traits().name;
        let message = format!(
            "a reply cannot name such a message in the dialect `{dialect}`, so it cannot be a request"
        );
        Err(Refusal::new(ErrorKind::Unsupported, message)
            .hint("send it as a message, and listen for the event it brings"))
    }

    /// What confirms the message. A raw frame carries no id a reply could name, so where a reply
    /// is asked for the barrier stands in.
    fn confirm_of(&self, kind: &str, payload: &Payload, by_rule: Option<Confirm>) -> Confirm {
        let of_dialect = self.dialect.confirm(kind, payload);
        let wanted = by_rule.or(self.confirm).unwrap_or(of_dialect);
        match (payload, wanted) {
            (Payload::Text(_) | Payload::Binary(_), Confirm::Reply | Confirm::Learned) => match of_dialect {
                Confirm::Sent => Confirm::Sent,
                Confirm::Reply | Confirm::Learned | Confirm::Barrier => Confirm::Barrier,
            },
            _ => wanted,
        }
    }
}

/// Whether a message with this class and confirmation can ever reach `level`.
fn reachable(level: Level, delivery: Delivery, confirm: Confirm) -> Result<(), Refusal> {
    let highest = match (delivery, confirm) {
        (Delivery::Ephemeral, _) | (_, Confirm::Sent) => Level::Sent,
        (_, Confirm::Barrier) => Level::Received,
        (_, Confirm::Reply | Confirm::Learned) => Level::Accepted,
    };
    if level <= highest {
        return Ok(());
    }
    let (level, highest) = (word(level), word(highest));
    Err(Refusal::new(
        ErrorKind::Unsupported,
        format!(
            "this message can never be `{level}`: with what confirms it here it gets as far as `{highest}`"
        ),
    )
    .hint(format!("wait for `{highest}`; see outbox.confirm and the dialect")))
}

/// A level as it is written in JSON.
pub(super) const fn word(level: Level) -> &'static str {
    match level {
        Level::Queued => "queued",
        Level::Sent => "sent",
        Level::Received => "received",
        Level::Accepted => "accepted",
    }
}
