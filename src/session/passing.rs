//! What passes through without being kept: ephemeral messages, and requests that wait for their
//! one reply.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;

use crate::dialect::{About, Outgoing};
use crate::model::{ErrorKind, MessageId, Payload, Refusal};

use super::connection::Connection;
use super::turn::Turn;
use super::{Change, MOST_REQUESTS};

/// Frames handed to the link and not flushed, at most, before ephemeral messages are dropped.
const MOST_AHEAD: u64 = 512;
/// Bytes of requests handed to the link and not flushed, at most; one always fits.
const MOST_ASKED_AHEAD: usize = 8 << 20;
/// Bytes held of replies whose last word is still to come, for all requests together.
const MOST_SAID: usize = 8 << 20;
/// Requests nobody waits for any more whose replies are still known as such, at most.
const MOST_FORGOTTEN: usize = 1024;

/// A request that waits for its reply.
#[derive(Debug)]
struct Asked {
    ticket: u64,
    counter: Option<u64>,
    /// What the server said before its last word: the reply, where that has no body of its own.
    said: Option<Arc<str>>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Passing {
    /// Ephemeral messages being written: frame's ticket, caller's ticket.
    writing: BTreeMap<u64, u64>,
    /// Requests being written: frame's ticket, bytes; and all those bytes.
    asked: BTreeMap<u64, usize>,
    asked_bytes: usize,
    /// Requests by what their reply will name …
    asking: BTreeMap<Arc<str>, Asked>,
    /// … and by their number on this connection, where they have one.
    numbered: BTreeMap<u64, Arc<str>>,
    /// Bytes in `said` of all of them.
    said: usize,
    /// What replies will name that nobody waits for any more, and in which order they were given up.
    forgotten: HashSet<Arc<str>>,
    forgotten_order: VecDeque<Arc<str>>,
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
                    let frame = turn.out.write_message(encoded.frame, encoded.behind);
                    self.writing.insert(frame, ticket);
                    return;
                }
                Err(refusal) => refusal.message,
            },
        };
        turn.out.publish(Change::Ephemeral { ticket, dropped: Some(dropped) });
    }

    /// Sends a request now, or tells why not. `taken`: whether a message on the wire will be
    /// answered under this name.
    pub(super) fn request(
        &mut self,
        turn: &mut Turn<'_>,
        link: Option<&mut Connection>,
        ticket: u64,
        outgoing: Outgoing<'_>,
        taken: impl Fn(&str) -> bool,
    ) {
        let refusal = match link.filter(|link| link.started) {
            None => not_connected(),
            Some(_) if self.asking.len() >= MOST_REQUESTS => busy(),
            Some(link) => match link.talk.encode(turn.at, outgoing) {
                Ok(encoded) => {
                    let bytes = encoded.len();
                    match encoded.reference {
                        // Two of one name could get each other's replies.
                        Some(reference) if self.asking.contains_key(&reference) || taken(&reference) => {
                            Refusal::new(ErrorKind::Conflict, "another one under this id waits for its reply")
                                .hint("let the daemon choose the id, or use a new one for each request")
                        }
                        Some(_) if self.asked_bytes > 0 && self.asked_bytes + bytes > MOST_ASKED_AHEAD => {
                            busy()
                        }
                        Some(reference) => {
                            let frame = turn.out.write_message(encoded.frame, encoded.behind);
                            self.asked.insert(frame, bytes);
                            self.asked_bytes += bytes;
                            self.recall(&reference);
                            if let Some(counter) = encoded.counter {
                                self.numbered.insert(counter, reference.clone());
                            }
                            let asked = Asked { ticket, counter: encoded.counter, said: None };
                            self.asking.insert(reference, asked);
                            return;
                        }
                        None => nameless(),
                    }
                }
                Err(refusal) => refusal,
            },
        };
        turn.out.publish(Change::Replied { ticket, outcome: Err(refusal) });
    }

    /// Nobody waits for the reply any longer.
    pub(super) fn forget_request(&mut self, ticket: u64) {
        let found = self.asking.iter().find(|(_, asked)| asked.ticket == ticket);
        let Some(reference) = found.map(|(reference, _)| reference.clone()) else { return };
        self.take(&reference);
        if self.forgotten.len() >= MOST_FORGOTTEN
            && let Some(oldest) = self.forgotten_order.pop_front()
        {
            self.forgotten.remove(&oldest);
        }
        self.forgotten_order.push_back(reference.clone());
        self.forgotten.insert(reference);
    }

    /// The server's last word. Returns whether it was about a request.
    pub(super) fn accepted(&mut self, turn: &mut Turn<'_>, about: &About, data: Option<&Arc<str>>) -> bool {
        match about {
            About::One(reference) => match self.take(reference) {
                Some(asked) => {
                    answer(turn, asked, data);
                    true
                }
                None => self.late(turn, reference),
            },
            About::UpTo(number) => {
                let covered: Vec<Arc<str>> =
                    self.numbered.range(..=*number).map(|(_, reference)| reference.clone()).collect();
                let known = !covered.is_empty();
                for asked in covered.iter().filter_map(|reference| self.take(reference)) {
                    answer(turn, asked, data);
                }
                known
            }
        }
    }

    /// The server has the request; its last word comes later. Returns whether it was one.
    pub(super) fn received(&mut self, turn: &mut Turn<'_>, about: &About, data: Option<&Arc<str>>) -> bool {
        let About::One(reference) = about else { return false };
        let Some(asked) = self.asking.get_mut(&**reference) else {
            return self.forgotten.contains(&**reference);
        };
        if let Some(data) = data {
            let before = asked.said.as_ref().map_or(0, |said| said.len());
            if self.said - before + data.len() > MOST_SAID {
                let refusal = Refusal::new(
                    ErrorKind::TooLarge,
                    "replies that are still to be completed hold too many bytes; this one was let go",
                )
                .hint("the server has the request, and may have carried it out");
                if let Some(asked) = self.take(reference) {
                    turn.out.publish(Change::Replied { ticket: asked.ticket, outcome: Err(refusal) });
                }
                return true;
            }
            self.said = self.said - before + data.len();
            asked.said = Some(Arc::clone(data));
        }
        true
    }

    /// The server will not do it. Returns whether it spoke of a request.
    pub(super) fn refused(
        &mut self,
        turn: &mut Turn<'_>,
        about: &About,
        refusal: impl FnOnce() -> Refusal,
    ) -> bool {
        let About::One(reference) = about else { return false };
        match self.take(reference) {
            Some(asked) => {
                let outcome = Err(refusal());
                turn.out.publish(Change::Replied { ticket: asked.ticket, outcome });
                true
            }
            None => self.late(turn, reference),
        }
    }

    /// Everything up to `frame` is flushed.
    pub(super) fn flushed(&mut self, turn: &mut Turn<'_>, frame: u64) {
        while let Some(first) = self.writing.first_entry().filter(|first| *first.key() <= frame) {
            turn.out.publish(Change::Ephemeral { ticket: first.remove(), dropped: None });
        }
        while let Some(first) = self.asked.first_entry().filter(|first| *first.key() <= frame) {
            self.asked_bytes -= first.remove();
        }
    }

    /// The link is gone.
    pub(super) fn link_lost(&mut self, turn: &mut Turn<'_>) {
        let lost = std::mem::take(self);
        for ticket in lost.writing.into_values() {
            let dropped = Some("the link was lost".to_owned());
            turn.out.publish(Change::Ephemeral { ticket, dropped });
        }
        for asked in lost.asking.into_values() {
            let refusal = Refusal::new(ErrorKind::Uncertain, "the link was lost before the server replied")
                .hint("whether the server carried the request out is not known");
            turn.out.publish(Change::Replied { ticket: asked.ticket, outcome: Err(refusal) });
        }
    }

    fn take(&mut self, reference: &str) -> Option<Asked> {
        let asked = self.asking.remove(reference)?;
        if let Some(counter) = asked.counter {
            self.numbered.remove(&counter);
        }
        self.said -= asked.said.as_ref().map_or(0, |said| said.len());
        Some(asked)
    }

    /// A reply to a request nobody waits for any more: it means nothing, and is no event.
    fn late(&mut self, turn: &mut Turn<'_>, reference: &str) -> bool {
        let late = self.recall(reference);
        if late {
            turn.out.publish(Change::Count("request_replies_late_total"));
        }
        late
    }

    fn recall(&mut self, reference: &str) -> bool {
        let known = self.forgotten.remove(reference);
        if known {
            self.forgotten_order.retain(|other| **other != *reference);
        }
        known
    }
}

fn answer(turn: &mut Turn<'_>, asked: Asked, data: Option<&Arc<str>>) {
    let outcome = Ok(data.cloned().or(asked.said));
    turn.out.publish(Change::Replied { ticket: asked.ticket, outcome });
}

fn busy() -> Refusal {
    Refusal::new(ErrorKind::Busy, "too many requests are waiting for the server")
        .hint("try again once some are answered")
}

fn not_connected() -> Refusal {
    Refusal::new(
        ErrorKind::NotConnected,
        "there is no link to the server, and a request does not wait for one",
    )
    .hint("`holdline ctl status` says why; what may wait is sent with `messages.send`")
}

/// The dialect has no way to tell which reply answers which request.
fn nameless() -> Refusal {
    Refusal::new(ErrorKind::Unsupported, "this server's replies cannot name what they answer")
        .hint("send it as a message, and listen for the event it brings")
}
