//! Carrying out what the dialect makes of frames, in its order.

use std::sync::Arc;

use crate::dialect::{About, Act};
use crate::model::{ErrorKind, Frame, LinkState, Moment, Refusal, Unit};

use super::{NORMAL, Session};
use crate::session::Change;
use crate::session::barrier::Echo;
use crate::session::delivery::reason;
use crate::session::turn::Turn;

impl Session {
    pub(super) fn act(&mut self, at: Moment, acts: Vec<Act>) {
        for act in acts {
            let Some(link) = &mut self.link else { return };
            match act {
                Act::Send(frame) => {
                    self.out.write(frame);
                }
                Act::Started { resumed } => self.started(at, resumed),
                Act::Store { unit, then } => {
                    self.tell_gap(at);
                    self.store(at, unit, then);
                }
                Act::Accepted { about, data } => self.accepted(at, &about, data),
                Act::Received { about, data: _ } => {
                    if self.delivery.received(&mut turn!(self, at), &mut self.learned, &about) {
                        self.replied(at);
                    }
                }
                Act::Rejected { about, code, message, otherwise } => {
                    let why = reason("rejected", code.as_deref(), message.as_deref());
                    if self.delivery.rejected(&mut turn!(self, at), &mut self.learned, &about, &why)
                        || self.refused_request(at, &about, &why)
                    {
                        self.replied(at);
                    } else {
                        self.tell_gap(at);
                        self.store(at, Unit { rows: vec![otherwise], ..Unit::default() }, Vec::new());
                    }
                }
                Act::Deferred { about, code, message, retry_after } => {
                    let why = reason("deferred", code.as_deref(), message.as_deref());
                    let turn = &mut turn!(self, at);
                    if self.delivery.deferred(turn, &mut self.learned, &about, &why, retry_after)
                        || self.refused_request(at, &about, &why)
                    {
                        self.replied(at);
                    }
                }
                Act::Pong => link.heartbeat.message_answered(at.instant),
                Act::Health { code, severity, text, hint } => {
                    self.out.publish(Change::Health { code, entry: Some((severity, text, hint)) });
                }
                Act::HangUp(failure) => self.hang_up(at, NORMAL, failure),
            }
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

    /// Says once that what came while there was no link is unknown, before anything newer.
    fn tell_gap(&mut self, at: Moment) {
        let Some(link) = &mut self.link else { return };
        if std::mem::take(&mut link.gap_due) {
            let detail = "this server does not resume: what it sent while there was no link is unknown";
            self.inbound.gap(&mut turn!(self, at), link.number, detail);
        }
    }

    fn store(&mut self, at: Moment, unit: Unit, then: Vec<Frame>) {
        let Some(link) = &self.link else { return };
        self.inbound.store(&mut turn!(self, at), link.number, unit, then);
    }

    fn accepted(&mut self, at: Moment, about: &About, data: Option<Arc<str>>) {
        let known = self.delivery.accepted(&mut turn!(self, at), &mut self.learned, about, data.as_ref());
        if known || self.passing.answered(&mut turn!(self, at), about, Ok(data)) {
            self.replied(at);
        }
    }

    fn refused_request(&mut self, at: Moment, about: &About, why: &str) -> bool {
        let refusal = Refusal::new(ErrorKind::Ended, format!("the server refused the request: {why}"));
        self.passing.answered(&mut turn!(self, at), about, Err(refusal))
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
