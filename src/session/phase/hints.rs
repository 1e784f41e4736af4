//! What the machine tells: it goes to sleep, it woke, the network changed, the clock was set. None of
//! it says that a dial will work; it says that waiting longer makes no sense.

use std::time::Duration;

use super::{Phase, Stage, reason};
use crate::model::{Failure, Instant, LinkState, ReasonKind};
use crate::session::turn::Turn;
use crate::session::{Change, Output, ReconnectSettings};

/// Hints never make dials follow each other faster than this.
const HINT_SPACING: Duration = Duration::from_secs(1);
/// Dials that hints may bring about in a row. A network that comes up does so in several steps.
const HINT_BURST: u32 = 8;
/// After those, one more in this time: a network that comes and goes all day is no reason to dial all
/// day, and the delays grow as for any other failure.
const HINT_REFILL: Duration = Duration::from_secs(10);
/// A machine that said it would sleep, and neither slept nor said another word for this long, has
/// stayed awake. The clock counts sleep: one that did sleep finds this past as it wakes.
pub(super) const FALLS_ASLEEP: Duration = Duration::from_secs(120);

/// Dials that hints brought about lately.
#[derive(Debug, Default)]
pub(super) struct Hints {
    spent: u32,
    /// `spent` falls by one every [`HINT_REFILL`] from here on.
    since: Option<Instant>,
}

impl Hints {
    /// When the next hint may bring a dial about.
    fn free_at(&mut self, now: Instant) -> Instant {
        let Some(since) = self.since else { return now };
        let passed = now.since(since).as_nanos() / HINT_REFILL.as_nanos();
        let passed = u32::try_from(passed).unwrap_or(u32::MAX);
        self.spent = self.spent.saturating_sub(passed);
        if self.spent == 0 {
            self.since = None;
            return now;
        }
        let since = since + HINT_REFILL.saturating_mul(passed);
        self.since = Some(since);
        match self.spent.checked_sub(HINT_BURST) {
            Some(over) => since + HINT_REFILL.saturating_mul(over + 1),
            None => now,
        }
    }

    /// One did.
    fn spend(&mut self, now: Instant) {
        self.since.get_or_insert(now);
        self.spent = self.spent.saturating_add(1);
    }
}

impl Phase {
    /// The machine woke or the network changed: no waiting any longer, but for a server that named
    /// a time.
    pub(in crate::session) fn hint(&mut self, turn: &mut Turn<'_>) {
        if self.asleep || self.paused || self.stopping {
            return;
        }
        let now = turn.at.instant;
        let free = self.hints.free_at(now);
        let earliest = self.last_dial.map_or(free, |last| free.max(last + HINT_SPACING));
        let earliest = self.not_before.map_or(earliest, |wish| wish.max(earliest));
        match self.stage {
            Stage::Waiting | Stage::Closing => {
                if free <= now {
                    self.backoff.reset();
                }
                if self.redial.is_none_or(|due| earliest < due) {
                    self.hints.spend(now);
                    self.redial = Some(earliest);
                    self.next_retry_at = Some(turn.at.wall.after(earliest.since(now)));
                    turn.out.publish(Change::Link);
                }
                // A link on its way out has its end first.
                if let Some(at) = self.redial.filter(|_| self.stage == Stage::Waiting) {
                    self.due(turn, at);
                }
            }
            // It began on a network that is gone, and would only find out in time.
            Stage::Dialing if earliest <= now => {
                self.hints.spend(now);
                turn.out.push(Output::AbandonDial);
                self.dial(turn);
            }
            Stage::Dialing | Stage::Down | Stage::Open => {}
        }
    }

    /// The machine is about to sleep: nothing is dialled before it wakes. Returns whether there is a
    /// link to be closed.
    pub(in crate::session) fn sleep(&mut self, turn: &mut Turn<'_>) -> bool {
        if self.paused || self.stopping || !self.shown_before {
            return false;
        }
        self.asleep = true;
        if self.stage == Stage::Dialing {
            turn.out.push(Output::AbandonDial);
            self.stage = Stage::Waiting;
            let failure = Failure::Redial(ReasonKind::Sleeping);
            let mut reason = reason(turn, ReasonKind::Sleeping, &failure.to_string());
            reason.hint = failure.hint();
            self.show(turn, self.state, Some(reason));
        }
        if matches!(self.stage, Stage::Waiting | Stage::Closing) {
            let awake = turn.at.instant + FALLS_ASLEEP;
            let at = self.redial.map_or(awake, |due| due.max(awake));
            self.redial = Some(at);
            if self.stage == Stage::Waiting {
                self.due(turn, at);
            }
        }
        self.has_link()
    }

    /// It woke.
    pub(in crate::session) const fn woke(&mut self) {
        self.asleep = false;
    }

    /// The wall clock was set. What failed for a wrong clock is tried again at once.
    pub(in crate::session) fn clock_set(&mut self, turn: &mut Turn<'_>) {
        let by_clock = self
            .reason
            .as_ref()
            .is_some_and(|reason| matches!(reason.kind, ReasonKind::TlsNotYetValid | ReasonKind::TlsExpired));
        if by_clock {
            self.hint(turn);
        }
        if self.stage == Stage::Waiting {
            self.next_retry_at = self.redial.map(|at| turn.at.wall.after(at - turn.at.instant));
            turn.out.publish(Change::Link);
        }
    }

    /// `[reconnect]` changed: a try that waits for its turn comes no later than it says now, but
    /// not before the time a server named.
    pub(in crate::session) fn reloaded(&mut self, turn: &mut Turn<'_>, before: &ReconnectSettings) {
        let waits = matches!(
            self.state,
            LinkState::Connecting | LinkState::Reconnecting | LinkState::Unavailable | LinkState::Offline
        );
        if self.stage != Stage::Waiting || !waits || *before == turn.settings.reconnect {
            return;
        }
        let now = turn.at.instant;
        let at = now + self.backoff.again(&turn.settings.reconnect, turn.rng);
        let at = self.not_before.map_or(at, |wish| wish.max(at));
        if self.redial.is_some_and(|due| at < due) {
            self.next_retry_at = Some(turn.at.wall.after(at - now));
            self.due(turn, at);
            turn.out.publish(Change::Link);
        }
    }
}
