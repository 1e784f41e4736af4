//! What the machine tells: it woke, the network changed, the clock was set. None of it says that a
//! dial will work; it says that waiting longer makes no sense.

use std::time::Duration;

use super::{Phase, Stage};
use crate::model::{LinkState, ReasonKind};
use crate::session::turn::Turn;
use crate::session::{Change, Output, ReconnectSettings};

/// Hints never make dials follow each other faster than this.
const HINT_SPACING: Duration = Duration::from_secs(1);

impl Phase {
    /// The machine woke or the network changed: no waiting any longer, but for a server that named
    /// a time.
    pub(in crate::session) fn hint(&mut self, turn: &mut Turn<'_>) {
        let now = turn.at.instant;
        let earliest = self.last_dial.map_or(now, |last| now.max(last + HINT_SPACING));
        let earliest = self.not_before.map_or(earliest, |wish| wish.max(earliest));
        match self.stage {
            Stage::Waiting => {
                self.backoff.reset();
                self.due(turn, self.redial.map_or(earliest, |due| due.min(earliest)));
            }
            // It began on a network that is gone, and would only find out in time.
            Stage::Dialing if earliest <= now => {
                turn.out.push(Output::AbandonDial);
                self.dial(turn);
            }
            Stage::Dialing | Stage::Down | Stage::Open | Stage::Closing => {}
        }
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
