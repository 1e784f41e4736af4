//! What passes through without being kept: ephemeral messages, and requests that wait for their
//! one reply.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::dialect::{About, Outgoing};
use crate::model::{ErrorKind, MessageId, Payload, Refusal};

use super::Change;
use super::connection::Connection;
use super::turn::Turn;

/// Frames handed to the link and not flushed, at most, before ephemeral messages are dropped.
const MOST_AHEAD: u64 = 128;
/// Requests that wait for a reply, at most.
const MOST_REQUESTS: usize = 256;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Passing {
    /// Ephemeral messages being written: frame's ticket, caller's ticket.
    writing: BTreeMap<u64, u64>,
    /// Requests by what their reply will name.
    asking: HashMap<String, u64>,
}

impl Passing {
    /// Sends an ephemeral message now, or tells why not.
    pub(super) fn ephemeral(
        &mut self,
        turn: &mut Turn<'_>,
        link: Option<&mut Connection>,
        ticket: u64,
        id: &MessageId,
        kind: &str,
        payload: &Payload,
    ) {
        let dropped = match link.filter(|link| link.started) {
            None => "not connected".to_owned(),
            Some(_) if turn.out.unwritten() >= MOST_AHEAD => "the line is busy".to_owned(),
            Some(link) => match link.talk.encode(turn.at, Outgoing { id, kind, payload }) {
                Ok(encoded) => {
                    let frame = turn.out.write(encoded.frame);
                    self.writing.insert(frame, ticket);
                    return;
                }
                Err(refusal) => refusal.message,
            },
        };
        turn.out.publish(Change::Ephemeral { ticket, dropped: Some(dropped) });
    }

    /// Sends a request now, or tells why not.
    pub(super) fn request(
        &mut self,
        turn: &mut Turn<'_>,
        link: Option<&mut Connection>,
        ticket: u64,
        id: &MessageId,
        kind: &str,
        payload: &Payload,
    ) {
        let refusal = match link.filter(|link| link.started) {
            None => Refusal::new(ErrorKind::NotConnected, "there is no link to the server"),
            Some(_) if self.asking.len() >= MOST_REQUESTS || turn.out.unwritten() >= MOST_AHEAD => {
                Refusal::new(ErrorKind::Busy, "too many requests are waiting for the server")
            }
            Some(link) => match link.talk.encode(turn.at, Outgoing { id, kind, payload }) {
                Ok(encoded) => {
                    if let Some(reference) = encoded.reference {
                        turn.out.write(encoded.frame);
                        self.asking.insert(reference, ticket);
                        return;
                    }
                    Refusal::new(ErrorKind::Unsupported, "this server's replies cannot name what they answer")
                }
                Err(refusal) => refusal,
            },
        };
        turn.out.publish(Change::Replied { ticket, outcome: Err(refusal) });
    }

    /// Nobody waits for the reply any longer.
    pub(super) fn forget_request(&mut self, ticket: u64) {
        self.asking.retain(|_, asking| *asking != ticket);
    }

    /// An answer came. Returns whether it was one to a request.
    pub(super) fn answered(
        &mut self,
        turn: &mut Turn<'_>,
        about: &About,
        outcome: Result<Option<Arc<str>>, Refusal>,
    ) -> bool {
        let About::One(reference) = about else { return false };
        let Some(ticket) = self.asking.remove(reference) else { return false };
        turn.out.publish(Change::Replied { ticket, outcome });
        true
    }

    /// Everything up to `frame` is flushed.
    pub(super) fn flushed(&mut self, turn: &mut Turn<'_>, frame: u64) {
        while let Some(first) = self.writing.first_entry().filter(|first| *first.key() <= frame) {
            turn.out.publish(Change::Ephemeral { ticket: first.remove(), dropped: None });
        }
    }

    /// The link is gone.
    pub(super) fn link_lost(&mut self, turn: &mut Turn<'_>) {
        for ticket in std::mem::take(&mut self.writing).into_values() {
            let dropped = Some("the link was lost".to_owned());
            turn.out.publish(Change::Ephemeral { ticket, dropped });
        }
        for ticket in std::mem::take(&mut self.asking).into_values() {
            let refusal = Refusal::new(ErrorKind::Uncertain, "the link was lost before the server replied");
            turn.out.publish(Change::Replied { ticket, outcome: Err(refusal) });
        }
    }
}
