//! Messages that kill connections.
//!
//! A connection that died with messages unconfirmed and none confirmed makes the next one
//! cautious: one message at a time until something is confirmed. A message alone on the wire at
//! a death gets a strike; [`STRIKES`] of them set it aside. What counts as confirmation is a
//! message that is finished, or answered: one that was only read may be the culprit, and while it
//! waits to be finished it must not clear the way for one that kills the connection each time.

use crate::model::{Failure, ReasonKind, Verdict};

/// Deaths alone on the wire after which a message is set aside.
pub(super) const STRIKES: u32 = 3;

/// What is suspected of the messages on the wire.
#[derive(Debug, Default)]
pub(super) struct Suspicion {
    cautious: bool,
    confirmed: bool,
}

impl Suspicion {
    /// Whether only one message may be on the wire.
    pub(super) const fn cautious(&self) -> bool {
        self.cautious
    }

    /// Something was confirmed. Returns whether it is the first on this connection.
    pub(super) const fn confirmed(&mut self) -> bool {
        let first = !self.confirmed;
        self.confirmed = true;
        self.cautious = false;
        first
    }

    /// The connection died with `unconfirmed` messages on the wire. Returns whether a message
    /// that was alone gets a strike.
    pub(super) fn died(&mut self, unconfirmed: usize, failure: &Failure) -> bool {
        let innocent = innocent(failure);
        let strike = unconfirmed == 1 && !self.confirmed && !innocent;
        // A connection that carried nothing proves nothing in either direction.
        if unconfirmed > 0 && !innocent {
            self.cautious = !self.confirmed;
        }
        self.confirmed = false;
        strike
    }
}

/// Whether the end had causes of its own: we or the server's operators wanted it.
fn innocent(failure: &Failure) -> bool {
    matches!(failure, Failure::Redial(_) | Failure::StoreStalled { .. })
        || failure.verdict() == Verdict::Reconnect
        || failure.reason_kind() == ReasonKind::ServerRestart
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost() -> Failure {
        Failure::Lost { detail: String::new() }
    }

    #[test]
    fn a_death_without_any_confirmation_makes_the_next_connection_cautious() {
        let mut suspicion = Suspicion::default();
        assert!(!suspicion.died(5, &lost()), "five were on the wire, none of them alone");
        assert!(suspicion.cautious());
        assert!(suspicion.died(1, &lost()));
        assert!(suspicion.cautious());
        assert!(suspicion.confirmed());
        assert!(!suspicion.cautious());
        assert!(!suspicion.died(1, &lost()), "a connection that confirmed something is no proof");
    }

    #[test]
    fn an_end_of_our_own_making_is_no_proof_against_a_message() {
        let mut suspicion = Suspicion::default();
        assert!(!suspicion.died(1, &Failure::Redial(ReasonKind::NetworkChanged)));
        assert!(!suspicion.cautious());
    }
}
