//! Carrying out what the dialect makes of frames, in its order.

use std::sync::Arc;
use std::time::Duration;

use crate::dialect::{About, Act};
use crate::model::{ErrorKind, LinkState, MessageState, Moment, NewRow, Payload, Refusal, Severity, Unit};

use super::{NORMAL, Session};
use crate::session::Change;
use crate::session::barrier::Echo;
use crate::session::delivery::reason;
use crate::session::inbound::Thanks;
use crate::session::turn::Turn;

/// Room for so many acts is kept for the next frame; nearly all come to fewer.
const MOST_KEPT: usize = 64;

impl Session {
    pub(super) fn act(&mut self, at: Moment, mut acts: Vec<Act>) {
        for act in acts.drain(..) {
            let Some(link) = &mut self.link else { return };
            match act {
                Act::Send(frame) => {
                    self.out.write(frame);
                }
                Act::Started { resumed } => self.started(at, resumed),
                Act::Store { unit, then, cumulative } => {
                    // Where a session that was kept is refused nothing came yet: the gap is told by
                    // the connection that comes about.
                    if !unit.rows.is_empty() {
                        self.tell_gap(at);
                    }
                    self.store(at, unit, Thanks::new(then, cumulative));
                }
                Act::Accepted { about, data } => self.accepted(at, &about, data),
                Act::Received { about, data } => {
                    if self.passing.received(&mut turn!(self, at), &about, data.as_ref())
                        || self.delivery.received(&mut turn!(self, at), &mut self.learned, &about)
                    {
                        self.replied(at);
                    } else {
                        self.stray();
                    }
                }
                Act::Rejected { about, code, message, otherwise } => {
                    let why = reason("rejected", code.as_deref(), message.as_deref());
                    let refusal = || refused(&why, code, message, &otherwise);
                    if self.passing.refused(&mut turn!(self, at), &about, refusal)
                        || self.delivery.rejected(&mut turn!(self, at), &mut self.learned, &about, &why)
                    {
                        self.replied(at);
                    } else {
                        // A complaint of no message in particular.
                        let words = why.strip_prefix("rejected").unwrap_or(&why).trim_start_matches(": ");
                        let text = match words {
                            "" => "the server complains of something".to_owned(),
                            words => format!("the server complains: {words}"),
                        };
                        let hint = "the event `error` has all of it".to_owned();
                        let entry = Some((Severity::Info, text, hint));
                        self.out.publish(Change::Health { code: "server_error", entry });
                        self.tell_gap(at);
                        let unit = Unit { rows: vec![otherwise], ..Unit::default() };
                        self.store(at, unit, Thanks::default());
                    }
                }
                Act::Deferred { about, code, message, retry_after } => {
                    let why = reason("deferred", code.as_deref(), message.as_deref());
                    let turn = &mut turn!(self, at);
                    let refusal = || not_now(&why, code, message, retry_after);
                    if self.passing.refused(turn, &about, refusal)
                        || self.delivery.deferred(turn, &mut self.learned, &about, &why, retry_after)
                    {
                        self.replied(at);
                    } else {
                        self.stray();
                    }
                }
                Act::Pong => link.heartbeat.message_answered(at.instant),
                Act::Health { code, severity, text, hint } => {
                    self.out.publish(Change::Health { code, entry: Some((severity, text, hint)) });
                }
                Act::HangUp(failure) => self.hang_up(at, NORMAL, failure),
            }
        }
        if acts.capacity() <= MOST_KEPT {
            self.acts = acts;
        }
    }

    fn started(&mut self, at: Moment, resumed: Option<bool>) {
        let Some(link) = &mut self.link else { return };
        if std::mem::replace(&mut link.started, true) {
            return;
        }
        link.resumed = resumed;
        if !link.talk.pulse().ws_ping {
            link.barrier.set_echo(Echo::Forbidden);
        }
        let may_ping = link.barrier.echo() != Echo::Forbidden && !link.barrier.is_out();
        self.phase.started(&mut turn!(self, at));
        self.tell_gap(at);
        self.learned.set_seen(&mut self.out);
        self.delivery.link_up(&turn!(self, at));
        if may_ping {
            // Does it send back what it is sent? Known before the first message waits for it.
            self.ping(at);
        }
    }

    /// Says once that what came before this connection may be missing, before anything newer.
    fn tell_gap(&mut self, at: Moment) {
        let Some(link) = &mut self.link else { return };
        if let Some(detail) = link.hole.take() {
            self.learned.set_seen(&mut self.out);
            self.inbound.gap(&mut turn!(self, at), link.number, detail);
        }
    }

    fn store(&mut self, at: Moment, unit: Unit, then: Thanks) {
        let Some(link) = &self.link else { return };
        self.inbound.store(&mut turn!(self, at), link.number, unit, then);
    }

    fn accepted(&mut self, at: Moment, about: &About, data: Option<Arc<str>>) {
        let mut known = self.passing.accepted(&mut turn!(self, at), about, data.as_ref());
        // A name means one of them, a number all up to it.
        if !known || matches!(about, About::UpTo(_)) {
            known |= self.delivery.accepted(&mut turn!(self, at), &mut self.learned, about, data.as_ref());
        }
        if known {
            self.replied(at);
        } else {
            self.stray();
        }
    }

    /// An answer that names no message on the wire. While the session begins it is one to a step.
    fn stray(&mut self) {
        if self.link.as_ref().is_some_and(|link| link.started) {
            self.out.publish(Change::Count("outbox_answers_unmatched_total"));
        }
    }

    /// The server answered one of our messages: the session works.
    fn replied(&mut self, at: Moment) {
        if let Some(link) = &mut self.link {
            link.replies += 1;
            if self.phase.state() == LinkState::Connected {
                self.phase.settled(&mut turn!(self, at));
            }
        }
    }
}

/// The server refuses a request for good: its words, and the body they came in.
fn refused(why: &str, code: Option<String>, message: Option<String>, said: &NewRow) -> Refusal {
    let mut refusal = ended(format!("the server refused the request: {why}"), code, message);
    if let NewRow::Event { payload, .. } = said {
        let reply = match payload {
            Payload::Json(json) => serde_json::from_str(json).ok(),
            Payload::Text(text) => Some(serde_json::Value::from(&**text)),
            Payload::Binary(_) => None,
        };
        if let Some(reply) = reply {
            refusal = refusal.with("reply", reply);
        }
    }
    refusal
}

/// The server will not do it now: a request is tried once, so that is its end.
fn not_now(why: &str, code: Option<String>, message: Option<String>, after: Option<Duration>) -> Refusal {
    let mut refusal = ended(format!("the server cannot do it now: {why}"), code, message);
    refusal.retryable = true;
    refusal.retry_after_ms = after.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
    refusal
}

fn ended(text: String, code: Option<String>, message: Option<String>) -> Refusal {
    let mut refusal = Refusal::new(ErrorKind::Ended, text).with("state", MessageState::Rejected.as_str());
    for (name, words) in [("code", code), ("reason", message)] {
        if let Some(words) = words {
            refusal = refusal.with(name, words);
        }
    }
    refusal
}
