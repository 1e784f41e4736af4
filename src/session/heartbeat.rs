//! Is the other side alive? Any inbound byte says so; silence is asked about, then believed.

use std::time::Duration;

use crate::dialect::Pulse;
use crate::model::Instant;

use super::{HeartbeatMode, HeartbeatSettings};

const INTERVAL: Duration = Duration::from_secs(20);
const TIMEOUT: Duration = Duration::from_secs(10);

/// How one connection is kept alive: the configuration over the dialect over the defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plan {
    /// A WebSocket Ping is sent into the silence.
    pub(super) ping: bool,
    /// The dialect's own frame is.
    pub(super) message: bool,
    /// How long silence is borne before that.
    interval: Duration,
    /// How long an answer may take.
    pub(super) timeout: Duration,
    /// How often the server speaks by itself.
    pub(super) beat: Option<Duration>,
}

impl Plan {
    /// What holds for a connection with this pulse.
    pub(super) fn new(settings: &HeartbeatSettings, pulse: &Pulse) -> Self {
        let (ping, message) = match settings.mode {
            // A server that beats by itself needs no asking; asking where it must not be pinged
            // and has no heartbeat of its own is impossible.
            HeartbeatMode::Auto => (pulse.ws_ping && pulse.beat.is_none(), pulse.message),
            HeartbeatMode::Ping => (true, false),
            HeartbeatMode::Message => (false, pulse.message),
            HeartbeatMode::Off => (false, false),
        };
        Self {
            ping,
            message,
            interval: settings.interval.or(pulse.every).unwrap_or(INTERVAL),
            timeout: settings.timeout.or(pulse.timeout).unwrap_or(TIMEOUT),
            beat: if settings.mode == HeartbeatMode::Off { None } else { pulse.beat },
        }
    }

    /// Whether anything is ever sent into the silence.
    pub(super) const fn asks(&self) -> bool {
        self.ping || self.message
    }
}

/// What was heard of one connection, and what it was asked.
#[derive(Debug)]
pub(super) struct Heartbeat {
    heard: Instant,
    /// Silence counts from here: what was heard last, or a later moment before which the silence
    /// says nothing of the other side.
    since: Instant,
    asked: Option<Instant>,
    /// Something happened to the machine: an answer must come by then.
    urgent: Option<Urgent>,
    message_sent: Option<Instant>,
    rtt: Option<Duration>,
    /// We do not read ourselves: the silence is our own.
    frozen: bool,
}

#[derive(Debug, Clone, Copy)]
struct Urgent {
    by: Instant,
    patience: Duration,
    /// There was no network when it was set.
    offline: bool,
}

impl Heartbeat {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            heard: now,
            since: now,
            asked: None,
            urgent: None,
            message_sent: None,
            rtt: None,
            frozen: false,
        }
    }

    /// Bytes came.
    pub(super) const fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.since = now;
        self.asked = None;
        self.urgent = None;
    }

    /// When something was last heard.
    pub(super) const fn last_heard(&self) -> Instant {
        self.heard
    }

    /// The other side takes what we write. Its answer stands behind that, however slow it goes.
    pub(super) fn taken(&mut self, now: Instant) {
        self.since = now;
        if let Some(urgent) = &mut self.urgent {
            urgent.by = urgent.by.max(now + urgent.patience);
        }
    }

    /// We did not run, so we could hear nothing.
    pub(super) const fn absent_until(&mut self, now: Instant) {
        self.since = now;
        self.asked = None;
    }

    /// We stop reading, or go on: silence counts from the moment reading goes on.
    pub(super) const fn freeze(&mut self, now: Instant, frozen: bool) {
        if self.frozen && !frozen {
            self.heard(now);
        }
        self.frozen = frozen;
    }

    /// A heartbeat goes out now; `message`: the dialect's own frame is among it.
    pub(super) const fn asked(&mut self, now: Instant, message: bool) {
        // The first question counts: another one gives no more time.
        if self.asked.is_none() {
            self.asked = Some(now);
        }
        if message {
            self.message_sent = Some(now);
        }
    }

    /// An answer must come within `patience` from now: the machine slept, or the network changed. An
    /// earlier deadline stands, or a network that changes all the time would keep a dead peer alive; but
    /// where that one was set `offline`, a network that is back gives the answer its time.
    pub(super) fn hurry(&mut self, now: Instant, patience: Duration, offline: bool) {
        let by = now + patience;
        self.urgent = match self.urgent {
            Some(old) if old.by < by && (offline || !old.offline) => Some(old),
            Some(_) | None => Some(Urgent { by, patience, offline }),
        };
    }

    /// The dialect's own heartbeat was answered.
    pub(super) fn message_answered(&mut self, now: Instant) {
        if let Some(sent) = self.message_sent.take() {
            self.rtt = Some(now - sent);
        }
    }

    /// A round trip was measured.
    pub(super) const fn measured(&mut self, rtt: Duration) {
        self.rtt = Some(rtt);
    }

    /// The last round trip.
    pub(super) const fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    /// When to ask next.
    pub(super) fn next_beat(&self, plan: &Plan) -> Option<Instant> {
        (plan.asks() && self.asked.is_none() && !self.frozen).then(|| self.since + plan.interval)
    }

    /// When the silence has lasted too long: never before a question had its time to be answered.
    pub(super) fn dead_at(&self, plan: &Plan) -> Option<Instant> {
        if self.frozen {
            return None;
        }
        let asked = plan.asks().then(|| {
            let silent = self.since + plan.interval + plan.timeout;
            self.asked.map_or(silent, |asked| silent.max(asked + plan.timeout))
        });
        let beat = plan.beat.map(|beat| self.since + beat + plan.timeout);
        [asked, beat, self.urgent.map(|urgent| urgent.by)].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PULSE: Pulse = Pulse { message: false, ws_ping: true, every: None, timeout: None, beat: None };

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    fn plan(mode: HeartbeatMode, pulse: Pulse) -> Plan {
        Plan::new(&HeartbeatSettings { mode, interval: None, timeout: None }, &pulse)
    }

    #[test]
    fn silence_is_asked_about_after_20_s_and_believed_after_30() {
        let plan = plan(HeartbeatMode::Auto, PULSE);
        let mut heartbeat = Heartbeat::new(at(0));
        assert_eq!(heartbeat.next_beat(&plan), Some(at(20)));
        assert_eq!(heartbeat.dead_at(&plan), Some(at(30)));
        heartbeat.asked(at(20), false);
        assert_eq!(heartbeat.next_beat(&plan), None, "asked once per silence");
        heartbeat.heard(at(25));
        assert_eq!(heartbeat.next_beat(&plan), Some(at(45)));
        assert_eq!(heartbeat.dead_at(&plan), Some(at(55)));
    }

    #[test]
    fn modes_choose_who_asks() {
        let chatty = Pulse { message: true, ..PULSE };
        let deaf = Pulse { ws_ping: false, ..PULSE };
        let beating = Pulse { beat: Some(Duration::from_secs(5)), ..PULSE };
        for (mode, pulse, ping, message, dead) in [
            (HeartbeatMode::Auto, chatty, true, true, Some(30)),
            (HeartbeatMode::Ping, chatty, true, false, Some(30)),
            (HeartbeatMode::Message, chatty, false, true, Some(30)),
            (HeartbeatMode::Off, chatty, false, false, None),
            (HeartbeatMode::Auto, deaf, false, false, None),
            (HeartbeatMode::Auto, beating, false, false, Some(15)),
        ] {
            let plan = plan(mode, pulse);
            assert_eq!((plan.ping, plan.message), (ping, message), "{mode:?} {pulse:?}");
            assert_eq!(Heartbeat::new(at(0)).dead_at(&plan), dead.map(at), "{mode:?} {pulse:?}");
        }
    }

    #[test]
    fn while_we_do_not_read_the_clock_stands_still() {
        let plan = plan(HeartbeatMode::Auto, PULSE);
        let mut heartbeat = Heartbeat::new(at(0));
        heartbeat.freeze(at(10), true);
        assert_eq!(heartbeat.dead_at(&plan), None);
        heartbeat.freeze(at(50), false);
        assert_eq!(heartbeat.dead_at(&plan), Some(at(80)));
    }

    #[test]
    fn after_a_wake_the_answer_must_come_sooner() {
        let plan = plan(HeartbeatMode::Auto, PULSE);
        let mut heartbeat = Heartbeat::new(at(0));
        heartbeat.hurry(at(5), Duration::from_secs(10), false);
        assert_eq!(heartbeat.dead_at(&plan), Some(at(15)));
        heartbeat.heard(at(6));
        assert_eq!(heartbeat.dead_at(&plan), Some(at(36)));
    }

    #[test]
    fn a_network_that_keeps_changing_gives_no_more_time_but_one_that_comes_back_does() {
        let plan = plan(HeartbeatMode::Auto, PULSE);
        let (short, usual) = (Duration::from_secs(4), Duration::from_secs(10));
        let mut heartbeat = Heartbeat::new(at(0));
        heartbeat.hurry(at(1), short, false);
        for second in 2..5 {
            heartbeat.hurry(at(second), short, false);
            heartbeat.hurry(at(second), usual, true);
            assert_eq!(heartbeat.dead_at(&plan), Some(at(5)));
        }
        heartbeat.heard(at(5));
        heartbeat.hurry(at(6), usual, true);
        assert_eq!(heartbeat.dead_at(&plan), Some(at(16)));
        heartbeat.hurry(at(15), short, false);
        assert_eq!(heartbeat.dead_at(&plan), Some(at(19)), "it was back in time");
        heartbeat.hurry(at(16), usual, true);
        heartbeat.hurry(at(17), short, false);
        assert_eq!(heartbeat.dead_at(&plan), Some(at(19)), "and gives no more when it does so again");
    }

    #[test]
    fn silence_is_not_believed_before_a_question_had_its_time() {
        let plan = plan(HeartbeatMode::Auto, PULSE);
        let mut heartbeat = Heartbeat::new(at(0));
        // The loop comes a minute late: both are due.
        assert!(heartbeat.next_beat(&plan) < Some(at(60)) && heartbeat.dead_at(&plan) < Some(at(60)));
        heartbeat.asked(at(60), false);
        assert_eq!(heartbeat.dead_at(&plan), Some(at(70)));
    }

    #[test]
    fn a_peer_that_takes_what_we_write_lives_however_long_its_answer_takes() {
        let plan = plan(HeartbeatMode::Auto, PULSE);
        let mut heartbeat = Heartbeat::new(at(0));
        heartbeat.asked(at(20), false);
        for second in (21..200).step_by(7) {
            heartbeat.taken(at(second));
            assert!(heartbeat.dead_at(&plan) > Some(at(second + 7)));
        }
        heartbeat.taken(at(200));
        assert_eq!(heartbeat.dead_at(&plan), Some(at(230)), "and then it has its time");
        heartbeat.hurry(at(210), Duration::from_secs(4), false);
        assert_eq!(heartbeat.dead_at(&plan), Some(at(214)));
        heartbeat.taken(at(213));
        assert_eq!(heartbeat.dead_at(&plan), Some(at(217)));
        assert_eq!(heartbeat.last_heard(), at(0));
    }

    #[test]
    fn what_could_not_be_heard_while_nothing_ran_is_not_held_against_the_peer() {
        let plan = plan(HeartbeatMode::Auto, PULSE);
        let mut heartbeat = Heartbeat::new(at(0));
        heartbeat.asked(at(20), false);
        heartbeat.absent_until(at(3600));
        heartbeat.hurry(at(3600), Duration::from_secs(4), false);
        assert_eq!(heartbeat.dead_at(&plan), Some(at(3604)));
    }

    #[test]
    fn a_second_question_gives_no_more_time() {
        let plan = plan(HeartbeatMode::Auto, PULSE);
        let mut heartbeat = Heartbeat::new(at(0));
        heartbeat.asked(at(20), false);
        heartbeat.hurry(at(28), Duration::from_secs(4), false);
        heartbeat.asked(at(28), false);
        assert_eq!(heartbeat.dead_at(&plan), Some(at(30)));
    }
}
