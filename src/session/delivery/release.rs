//! The end of a connection: what was on the wire is let go, and whose fault it may have been.

use crate::model::{Delivery as Class, Failure, MessageId, MessageState, Place, Record, Resend};

use super::{Delivery, Stage};
use crate::session::suspicion::STRIKES;
use crate::session::turn::Turn;
use crate::session::wire::Wire;
use crate::session::{Change, Timer};

impl Delivery {
    pub(super) fn lost_for_good(&mut self, turn: &mut Turn<'_>, id: &MessageId, state: MessageState) {
        let reason = if state == MessageState::Uncertain {
            "the link was lost before the server answered"
        } else {
            "a newer value of its key is queued"
        };
        let mut spot = self.trails.spot(id);
        let attempt = self.trails.tries(id, spot);
        self.trails.note(&mut spot, id, state, turn.at.wall, attempt, Some(reason));
        turn.out.publish(Change::Message {
            id: id.clone(),
            state,
            attempt,
            finished: !state.waits_for_person(),
            reason: Some(reason.to_owned()),
            reply: None,
        });
    }

    /// The link is gone: what was on the wire is released, everything is read anew on the next one.
    pub(in crate::session) fn link_lost(&mut self, turn: &mut Turn<'_>, failure: &Failure) {
        self.find_poison(turn, failure);
        let mut released = Vec::new();
        let places: Vec<Place> = self.rows.keys().copied().collect();
        for place in places {
            let Some(entry) = self.rows.get(&place) else { continue };
            let out = matches!(entry.stage, Stage::Wire(_));
            if out || entry.doubt || entry.row.delivery == Class::Latest && entry.tries > 0 {
                released.push(place);
                // Its rest was for a server that heard it. Perhaps it did not: then all of its lane
                // go out anew, in their order.
                self.past.rested(place, turn.at.instant);
            }
            if out && entry.row.resend == Resend::Always {
                let why = "the link was lost before the server answered";
                self.tell(turn, place, MessageState::Queued, Some(why));
            }
        }
        if !released.is_empty() {
            let ticket = turn.out.record(Record::Released { places: released.clone() });
            self.releases.insert(ticket, released);
        }
        self.rows.clear();
        self.bytes = 0;
        self.waiting.clear();
        self.deadlines.clear();
        self.wire = Wire::default();
        self.lanes.clear();
        self.loader.reset();
        self.window_full = false;
        for timer in [Timer::Confirm, Timer::Deferred, Timer::Decide, Timer::Drain] {
            turn.timers.set(timer, None);
        }
    }

    /// A message that was alone on the wire at a death may be its cause.
    fn find_poison(&mut self, turn: &mut Turn<'_>, failure: &Failure) {
        let cautious = self.suspicion.cautious();
        let flying = self.rows.iter().filter(|(_, entry)| matches!(entry.stage, Stage::Wire(_)));
        let suspects: Vec<Place> = flying.map(|(place, _)| *place).collect();
        if !self.suspicion.died(suspects.len(), failure) {
            return;
        }
        let Some(place) = suspects.first().copied() else { return };
        let Some(entry) = self.rows.get_mut(&place) else { return };
        entry.row.strikes += 1;
        let (attempts, strikes) = (entry.row.attempts, entry.row.strikes);
        if cautious && matches!(failure, Failure::Closed { code: 1009, .. }) {
            let why = format!("too_large: {failure}");
            self.end(turn, place, MessageState::Rejected, Some(why), false);
        } else if entry.row.resend == Resend::Never {
            // It goes out no more anyhow, and its claim on disk must stand until it is released.
        } else if strikes >= STRIKES {
            let why = format!("poison: {STRIKES} connections ended while it was alone on the wire");
            self.end(turn, place, MessageState::Parked, Some(why), false);
        } else {
            self.past.failed(&entry.row, turn.at.instant);
            turn.out.record(Record::Failed { place, attempts, strikes });
        }
    }
}
