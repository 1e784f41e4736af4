//! The ping behind the messages: its pong says that the next hop has read all before it.
//!
//! One ping is out at a time, and it serves as heartbeat too. It is sent when messages wait for
//! it: at once where the window is full, else [`LINGER`] after the first flush, and never closer
//! than [`SPACING`] to the last. What counts as read is what was flushed before it was issued.

use std::time::Duration;

use crate::model::Instant;

/// How long flushed messages wait for company.
const LINGER: Duration = Duration::from_millis(100);
/// Shortest time between two pings.
const SPACING: Duration = Duration::from_millis(20);

/// What is known of the other side's pongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Echo {
    /// Not tried on this connection; earlier ones give no reason for doubt.
    Expected,
    /// It sends back what it was sent.
    Seen,
    /// It does not: pongs prove nothing here.
    Missing,
    /// It must not be pinged.
    Forbidden,
}

#[derive(Debug, Clone, Copy)]
struct Out {
    number: u64,
    sent: Instant,
    /// Its time counts from here.
    asked: Instant,
    covers: u64,
    /// A pong came instead that is none of ours.
    odd: bool,
    /// It had its time.
    overdue: bool,
}

/// What the pong to our ping tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Echoed {
    /// Frames up to this ticket were read.
    pub(super) covers: u64,
    /// How long it took.
    pub(super) rtt: Duration,
}

/// The barrier of one connection.
#[derive(Debug)]
pub(super) struct Barrier {
    nonce: u64,
    number: u64,
    out: Option<Out>,
    last: Option<Instant>,
    waiting_since: Option<Instant>,
    echo: Echo,
}

impl Barrier {
    /// `nonce` tells the pongs of this connection from all others.
    pub(super) const fn new(nonce: u64, echo: Echo) -> Self {
        Self { nonce, number: 0, out: None, last: None, waiting_since: None, echo }
    }

    /// What is known of the pongs.
    pub(super) const fn echo(&self) -> Echo {
        self.echo
    }

    /// Whether a pong can confirm messages.
    pub(super) const fn usable(&self) -> bool {
        matches!(self.echo, Echo::Expected | Echo::Seen)
    }

    /// What is known of the pongs changed.
    pub(super) const fn set_echo(&mut self, echo: Echo) {
        self.echo = echo;
    }

    /// Whether a ping is out.
    pub(super) const fn is_out(&self) -> bool {
        self.out.is_some()
    }

    /// A message that waits for a pong was flushed.
    pub(super) fn flushed(&mut self, now: Instant) {
        self.waiting_since.get_or_insert(now);
    }

    /// Nothing waits for a pong any more.
    pub(super) const fn idle(&mut self) {
        self.waiting_since = None;
    }

    /// When the next ping is due; `hurry`: the window is full.
    pub(super) fn due(&self, hurry: bool) -> Option<Instant> {
        if self.out.is_some() || !self.usable() {
            return None;
        }
        let since = self.waiting_since?;
        let wish = if hurry { since } else { since + LINGER };
        Some(self.last.map_or(wish, |last| wish.max(last + SPACING)))
    }

    /// A ping goes out now, behind everything up to `covers`: its payload.
    pub(super) fn ping(&mut self, now: Instant, covers: u64) -> Vec<u8> {
        self.number += 1;
        self.out =
            Some(Out { number: self.number, sent: now, asked: now, covers, odd: false, overdue: false });
        self.last = Some(now);
        self.waiting_since = None;
        self.payload(self.number)
    }

    fn payload(&self, number: u64) -> Vec<u8> {
        [self.nonce.to_be_bytes(), number.to_be_bytes()].concat()
    }

    /// A pong came. None where it is not the one that is out.
    pub(super) fn pong(&mut self, now: Instant, payload: &[u8]) -> Option<Echoed> {
        let out = self.out?;
        if payload == self.payload(out.number) {
            self.out = None;
            return Some(Echoed { covers: out.covers, rtt: now - out.sent });
        }
        let ours = payload.starts_with(&self.nonce.to_be_bytes());
        self.out = Some(Out { odd: out.odd || !ours, ..out });
        None
    }

    /// What stands before the ping is being taken, bit by bit: its time begins anew.
    pub(super) fn taken(&mut self, now: Instant) {
        if let Some(out) = &mut self.out {
            out.asked = now;
            out.overdue = false;
        }
    }

    /// When the pong that is out has had its time.
    pub(super) fn overdue_at(&self, timeout: Duration) -> Option<Instant> {
        self.out.filter(|out| !out.overdue).map(|out| out.asked + timeout)
    }

    /// The pong that is out has had its time. Returns whether it is given up: the other side
    /// answered pings meanwhile, only not with what it was sent. Silence, though, may be the link's.
    pub(super) fn overdue(&mut self) -> bool {
        let Some(out) = &mut self.out else { return false };
        out.overdue = true;
        let answered = out.odd;
        if answered {
            self.out = None;
        }
        answered
    }

    /// Bytes came. Returns whether a pong is given up: what is heard behind it in time came before
    /// it in the stream, so it never was there.
    pub(super) fn heard(&mut self) -> bool {
        let missing = self.out.is_some_and(|out| out.overdue);
        if missing {
            self.out = None;
        }
        missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn a_ping_waits_100_ms_for_company_or_goes_at_once_when_the_window_is_full() {
        let mut barrier = Barrier::new(7, Echo::Expected);
        assert_eq!(barrier.due(true), None, "nothing waits");
        barrier.flushed(at(10));
        barrier.flushed(at(50));
        assert_eq!(barrier.due(false), Some(at(110)));
        assert_eq!(barrier.due(true), Some(at(10)));
    }

    #[test]
    fn one_ping_is_out_at_a_time_and_never_two_within_20_ms() {
        let mut barrier = Barrier::new(7, Echo::Expected);
        barrier.flushed(at(0));
        let payload = barrier.ping(at(0), 3);
        barrier.flushed(at(1));
        assert_eq!(barrier.due(true), None);
        let echoed = barrier.pong(at(5), &payload).expect("our pong");
        assert_eq!(echoed, Echoed { covers: 3, rtt: Duration::from_millis(5) });
        assert_eq!(barrier.due(true), Some(at(20)));
    }

    #[test]
    fn only_the_exact_payload_counts_and_only_once() {
        let mut barrier = Barrier::new(7, Echo::Expected);
        let first = barrier.ping(at(0), 1);
        assert!(barrier.pong(at(1), b"").is_none());
        assert!(barrier.pong(at(1), &first).is_some());
        let second = barrier.ping(at(30), 2);
        assert_ne!(first, second);
        assert!(barrier.pong(at(31), &first).is_none(), "an old pong proves nothing new");
        assert!(barrier.pong(at(32), &second).is_some());
    }

    #[test]
    fn a_ping_behind_much_that_goes_out_slowly_is_not_given_up() {
        let mut barrier = Barrier::new(7, Echo::Expected);
        let payload = barrier.ping(at(0), 1);
        barrier.taken(at(9_000));
        assert_eq!(barrier.overdue_at(Duration::from_secs(10)), Some(at(19_000)));
        barrier.overdue();
        barrier.taken(at(20_000));
        assert!(!barrier.heard(), "events meanwhile say nothing of it");
        let echoed = barrier.pong(at(25_000), &payload).expect("it came");
        assert_eq!(echoed.rtt, Duration::from_secs(25));
    }

    #[test]
    fn a_pong_is_given_up_when_others_come_instead_or_bytes_come_after_its_time() {
        let mut barrier = Barrier::new(7, Echo::Expected);
        barrier.ping(at(0), 1);
        assert!(!barrier.heard(), "it may still be on its way");
        assert!(!barrier.overdue(), "the silence may be the link's");
        assert_eq!(barrier.overdue_at(LINGER), None);
        assert!(barrier.heard());
        barrier.ping(at(100), 1);
        barrier.pong(at(101), b"");
        assert!(barrier.overdue());
        assert!(!barrier.is_out());
    }
}
