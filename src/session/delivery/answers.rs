//! What comes back for a message on the wire, or does not, and what that makes of it.

use std::sync::Arc;
use std::time::Duration;

use crate::dialect::About;
use crate::model::{Confirm, MessageId, MessageState, Place, Record, Resend};

use super::{By, Delivery, Entry, Stage};
use crate::session::Change;
use crate::session::backoff::{LONGEST_WISH, delay_at, shorten, stretch};
use crate::session::connection::Connection;
use crate::session::lanes::Lanes;
use crate::session::learned::Learned;
use crate::session::trail::Spot;
use crate::session::turn::Turn;
use crate::session::wire::Late;

/// How long a message that was read may turn out to be answered, where it is not known yet whether
/// the server answers such messages.
const UNDECIDED: Duration = Duration::from_secs(5);

/// A server's code and words as one reason: the code first, for programs.
pub(in crate::session) fn reason(word: &str, code: Option<&str>, message: Option<&str>) -> String {
    let code = code.unwrap_or(word);
    message.map_or_else(|| code.to_owned(), |message| format!("{code}: {message}"))
}

impl Delivery {
    /// Everything up to `ticket` is flushed.
    pub(in crate::session) fn flushed(&mut self, turn: &mut Turn<'_>, link: &mut Connection, ticket: u64) {
        while let Some(first) = self.wire.flushing.first_entry().filter(|first| *first.key() <= ticket) {
            let (ticket, place) = first.remove_entry();
            let now = turn.at.instant;
            let Some(entry) = self.rows.get_mut(&place) else { continue };
            let Stage::Wire(flight) = &mut entry.stage else { continue };
            flight.flushed = now;
            let read = flight.shown == MessageState::Received;
            if !read {
                flight.shown = MessageState::Sent;
            }
            let by = flight.by;
            if !read {
                self.tell(turn, place, MessageState::Sent, None);
            }
            self.set_deadline(place, Some(now + turn.settings.outbox.confirm_timeout));
            match by {
                By::Write => self.end(turn, place, MessageState::Sent, None, false),
                By::Reply => {}
                By::Pong | By::Undecided if link.barrier.usable() => {
                    self.wire.unread.insert(ticket, place);
                    link.barrier.flushed(now);
                }
                By::Pong => self.end(turn, place, MessageState::Sent, None, false),
                By::Undecided => self.await_answer(turn, place),
            }
        }
    }

    /// Everything up to `covers` was read by the next hop.
    pub(in crate::session) fn read(&mut self, turn: &mut Turn<'_>, link: &mut Connection, covers: u64) {
        let trusted = link.trusts_pongs(turn.settings.sign_in);
        while let Some(first) = self.wire.unread.first_entry().filter(|first| *first.key() <= covers) {
            let place = first.remove();
            let Some(entry) = self.rows.get_mut(&place) else { continue };
            let Stage::Wire(flight) = &mut entry.stage else { continue };
            let by = flight.by;
            if flight.shown < MessageState::Received {
                flight.shown = MessageState::Received;
                self.tell(turn, place, MessageState::Received, None);
            }
            match by {
                By::Pong if trusted => self.end(turn, place, MessageState::Received, None, false),
                By::Pong => self.set_aside(place),
                By::Undecided => self.await_answer(turn, place),
                By::Write | By::Reply => {}
            }
        }
        if !self.wire.awaits_pong() {
            link.barrier.idle();
        }
    }

    /// It is as far as it gets without an answer; whether one comes is not known.
    fn await_answer(&mut self, turn: &Turn<'_>, place: Place) {
        if let Some(Entry { stage: Stage::Wire(flight), .. }) = self.rows.get_mut(&place) {
            flight.awaiting = true;
        }
        self.set_aside(place);
        self.set_deadline(place, Some(turn.at.instant + UNDECIDED));
    }

    /// The first real frame came where pongs were not trusted: what they said counts now.
    pub(in crate::session) fn pongs_trusted(&mut self, turn: &mut Turn<'_>) {
        for place in self.flights(|by, shown| by == By::Pong && shown == MessageState::Received) {
            self.end(turn, place, MessageState::Received, None, false);
        }
    }

    /// Pongs prove nothing here: what waits for one is as far as it gets.
    pub(in crate::session) fn pongs_missing(&mut self, turn: &mut Turn<'_>) {
        let waiting: Vec<Place> = std::mem::take(&mut self.wire.unread).into_values().collect();
        for place in waiting {
            let Some(entry) = self.rows.get(&place) else { continue };
            match &entry.stage {
                Stage::Wire(flight) if flight.by == By::Pong => {
                    self.end(turn, place, MessageState::Sent, None, false);
                }
                Stage::Wire(flight) if flight.by == By::Undecided => self.await_answer(turn, place),
                Stage::Wire(_) | Stage::Waiting | Stage::Resting | Stage::Claiming => {}
            }
        }
    }

    fn flights(&self, wanted: impl Fn(By, MessageState) -> bool) -> Vec<Place> {
        let flying = self.rows.iter().filter(
            |(_, entry)| matches!(&entry.stage, Stage::Wire(flight) if wanted(flight.by, flight.shown)),
        );
        flying.map(|(place, _)| *place).collect()
    }

    /// Something was confirmed on this connection: no message kills it.
    fn confirmed(&mut self, turn: &mut Turn<'_>) {
        if !self.suspicion.confirmed() {
            return;
        }
        let struck: Vec<Place> =
            self.rows.iter().filter(|(_, entry)| entry.row.strikes > 0).map(|(place, _)| *place).collect();
        for place in struck {
            let Some(entry) = self.rows.get_mut(&place) else { continue };
            entry.row.strikes = 0;
            let attempts = entry.row.attempts;
            self.past.failed(&entry.row, turn.at.instant);
            turn.out.record(Record::Failed { place, attempts, strikes: 0 });
        }
    }

    /// The server answered a message of this type: it is one that does.
    fn answered(&mut self, turn: &mut Turn<'_>, learned: &mut Learned, place: Place) {
        self.confirmed(turn);
        let Some(entry) = self.rows.get_mut(&place) else { return };
        if entry.row.confirm == Confirm::Learned {
            learned.answered(&entry.row.kind, turn.out);
        }
    }

    /// The server has the last word: done.
    pub(in crate::session) fn accepted(
        &mut self,
        turn: &mut Turn<'_>,
        learned: &mut Learned,
        about: &About,
        data: Option<&Arc<str>>,
    ) -> bool {
        let places = self.wire.spoken_of(about);
        if places.is_empty() {
            let late = self.wire.take_late(about);
            if let Some(late) = &late {
                self.end_late(turn, learned, late, MessageState::Accepted, None, data.cloned());
            }
            return late.is_some();
        }
        for place in places {
            self.answered(turn, learned, place);
            self.end_with(turn, place, MessageState::Accepted, None, false, data.cloned());
        }
        true
    }

    /// The server has it; the last word comes later.
    pub(in crate::session) fn received(
        &mut self,
        turn: &mut Turn<'_>,
        learned: &mut Learned,
        about: &About,
    ) -> bool {
        let places = self.wire.spoken_of(about);
        let known = !places.is_empty();
        for place in places {
            self.answered(turn, learned, place);
            let Some(entry) = self.rows.get_mut(&place) else { continue };
            if entry.row.confirm == Confirm::Barrier {
                self.end(turn, place, MessageState::Received, None, false);
            } else if let Stage::Wire(flight) = &mut entry.stage {
                // A server that says so much says the rest too.
                flight.by = By::Reply;
                if flight.shown != MessageState::Received {
                    flight.shown = MessageState::Received;
                    self.tell(turn, place, MessageState::Received, None);
                }
                self.set_deadline(place, Some(turn.at.instant + turn.settings.outbox.confirm_timeout));
            }
        }
        known
    }

    /// The server refuses it for good. Returns whether it spoke of a message of this connection.
    pub(in crate::session) fn rejected(
        &mut self,
        turn: &mut Turn<'_>,
        learned: &mut Learned,
        about: &About,
        why: &str,
    ) -> bool {
        let places = self.wire.spoken_of(about);
        if places.is_empty() {
            let late = self.wire.take_late(about);
            if let Some(late) = &late {
                self.end_late(turn, learned, late, MessageState::Rejected, Some(why.to_owned()), None);
            }
            return late.is_some();
        }
        for place in places {
            self.answered(turn, learned, place);
            self.end(turn, place, MessageState::Rejected, Some(why.to_owned()), false);
        }
        true
    }

    /// Not now, says the server.
    pub(in crate::session) fn deferred(
        &mut self,
        turn: &mut Turn<'_>,
        learned: &mut Learned,
        about: &About,
        why: &str,
        wish: Option<Duration>,
    ) -> bool {
        let places = self.wire.spoken_of(about);
        let known = !places.is_empty();
        for place in places {
            self.answered(turn, learned, place);
            let Some(entry) = self.rows.get_mut(&place) else { continue };
            if matches!(entry.stage, Stage::Wire(_)) {
                entry.doubt = false;
                self.failed(turn, place, why, wish);
            }
        }
        known
    }

    /// Looks at the rows whose time is up.
    pub(in crate::session) fn deadlines_due(
        &mut self,
        turn: &mut Turn<'_>,
        link: &Connection,
        learned: &Learned,
    ) {
        while let Some((at, place)) = self.deadlines.first().copied().filter(|(at, _)| *at <= turn.at.instant)
        {
            self.deadlines.remove(&(at, place));
            let Some(entry) = self.rows.get_mut(&place) else { continue };
            entry.deadline = None;
            let expired = entry.expired(turn.at);
            let maybe = entry.maybe_delivered();
            match &mut entry.stage {
                Stage::Waiting | Stage::Claiming => {}
                Stage::Resting if expired => {
                    self.end(turn, place, MessageState::Expired, Some("ttl".to_owned()), maybe);
                }
                Stage::Resting => self.off_wire(place, Stage::Waiting),
                Stage::Wire(flight) => {
                    let (by, shown, flushed) = (flight.by, flight.shown, flight.flushed);
                    let read = flight.awaiting || shown == MessageState::Received;
                    let silent = link.replies == 0 && link.trusts_pongs(turn.settings.sign_in);
                    let undecided = by == By::Undecided && !learned.answers(&entry.row.kind);
                    if undecided && flight.awaiting && !flight.waited && !silent {
                        // It answers others, or may yet throw us out: this one gets all its time.
                        flight.waited = true;
                        self.set_deadline(place, Some(flushed + turn.settings.outbox.confirm_timeout));
                    } else if read && (undecided || by == By::Pong) {
                        // Nothing more will come of it on a link that stood all this time.
                        self.end(turn, place, shown, None, false);
                    } else {
                        self.failed(turn, place, "no_answer", None);
                    }
                }
            }
        }
    }

    /// An attempt failed on a link that stands: it counts. `entry.doubt` says whether the server
    /// may have the message nevertheless.
    fn failed(&mut self, turn: &mut Turn<'_>, place: Place, why: &str, wish: Option<Duration>) {
        let Some(entry) = self.rows.get_mut(&place) else { return };
        entry.row.attempts = entry.row.attempts.saturating_add(1);
        let (attempts, strikes) = (entry.row.attempts, entry.row.strikes);
        if entry.doubt && entry.row.resend == Resend::Never {
            self.end(turn, place, MessageState::Uncertain, Some(why.to_owned()), false);
            return;
        }
        if attempts >= turn.settings.outbox.max_attempts {
            let why = format!("max_attempts: {why}");
            self.end(turn, place, MessageState::Parked, Some(why), false);
            return;
        }
        // Its failure takes the claim back; the next attempt makes a new one.
        entry.claimed = false;
        let until = turn.at.instant + rest_after(turn, attempts, wish);
        self.off_wire(place, Stage::Resting);
        let Some(entry) = self.rows.get(&place) else { return };
        let wake = entry.expires.map_or(until, |expires| until.min(expires));
        self.past.failed(&entry.row, until);
        turn.out.record(Record::Failed { place, attempts, strikes });
        let name = Arc::clone(&entry.row.lane);
        self.lanes.at(&name).failed.insert(place);
        self.set_deadline(place, Some(wake));
        self.tell(turn, place, MessageState::Queued, Some(why));
        self.make_way(&name);
    }

    /// A message ends here, or waits for a person.
    pub(super) fn end(
        &mut self,
        turn: &mut Turn<'_>,
        place: Place,
        state: MessageState,
        why: Option<String>,
        maybe: bool,
    ) {
        self.end_with(turn, place, state, why, maybe, None);
    }

    fn end_with(
        &mut self,
        turn: &mut Turn<'_>,
        place: Place,
        state: MessageState,
        why: Option<String>,
        maybe_delivered: bool,
        reply: Option<Arc<str>>,
    ) {
        let Some(entry) = self.forget(place) else { return };
        if matches!(state, MessageState::Accepted | MessageState::Received) {
            self.confirmed(turn);
        }
        let late = Late::of(&entry.row, state, entry.tries);
        self.wire.unname(place, &entry.names, late.as_ref());
        let lane = &entry.row.lane;
        self.lanes.at(lane).failed.remove(&place);
        self.stop_lane(turn, lane, place, state);
        self.put_down(
            turn,
            place,
            &entry.row.id,
            entry.spot,
            state,
            entry.tries,
            why,
            maybe_delivered,
            reply,
        );
        self.lanes.tidy(lane);
    }

    /// A late word about a message that had ended by less.
    fn end_late(
        &mut self,
        turn: &mut Turn<'_>,
        learned: &mut Learned,
        late: &Late,
        state: MessageState,
        why: Option<String>,
        reply: Option<Arc<str>>,
    ) {
        if late.learned {
            learned.answered(&late.kind, turn.out);
        }
        self.stop_lane(turn, &late.lane, late.place, state);
        let spot = self.trails.spot(&late.id);
        self.put_down(turn, late.place, &late.id, spot, state, late.tries, why, false, reply);
        self.lanes.tidy(&late.lane);
    }

    /// A bad end stops the lane where the configuration says so.
    fn stop_lane(&mut self, turn: &mut Turn<'_>, lane: &Arc<str>, place: Place, state: MessageState) {
        let bad = matches!(state, MessageState::Parked | MessageState::Rejected);
        if bad && Lanes::settings(turn.settings, lane).is_some_and(|lane| lane.block) {
            // Put down before the end itself: a lane that is stopped for a message still queued
            // frees itself, one that is not stopped would run on.
            self.lanes.stop(lane, place, turn.out);
            self.make_way(lane);
            self.tell_stopped(turn);
        }
    }

    #[allow(clippy::too_many_arguments, reason = "one place for the record, the trail and the news")]
    fn put_down(
        &mut self,
        turn: &mut Turn<'_>,
        place: Place,
        id: &MessageId,
        mut spot: Spot,
        state: MessageState,
        attempts: u32,
        reason: Option<String>,
        maybe_delivered: bool,
        reply: Option<Arc<str>>,
    ) {
        let ticket = if reason.is_none() && !maybe_delivered {
            turn.out.record_end(place, id.clone(), state, attempts)
        } else {
            let (id, reason) = (id.clone(), reason.clone());
            turn.out.record(Record::Ended { place, id, state, reason, attempts, maybe_delivered })
        };
        self.past.ended(place, id.clone(), ticket);
        self.trails.note(&mut spot, id, state, turn.at.wall, attempts, reason.as_deref());
        turn.out.publish(Change::Message {
            id: id.clone(),
            state,
            attempt: attempts,
            finished: !state.waits_for_person(),
            reason,
            reply,
        });
    }
}

/// How long a message rests after its `attempts`th failure that counts.
fn rest_after(turn: &mut Turn<'_>, attempts: u32, wish: Option<Duration>) -> Duration {
    let step = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX);
    let delay = delay_at(&turn.settings.reconnect.delays, step);
    let rest = shorten(delay, turn.settings.reconnect.jitter, turn.rng);
    wish.map_or(rest, |wish| rest.max(stretch(wish.min(LONGEST_WISH), turn.rng)))
}
