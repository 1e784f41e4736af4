//! Which state the link is in, why, and when the next dial is due.
//!
//! Two things are kept apart: the [`Stage`] says what there is (nothing, a dial, a link, a link on
//! its way out), the shown [`LinkState`] says what it means to people. A failure moves both, and is
//! judged exactly once: where we hang up ourselves it is judged then, and the end of the link that
//! follows only opens the way for the next dial.

use std::time::Duration;

use crate::model::{
    CloseStatus, Failure, Instant, LinkState, Reason, ReasonKind, Record, Severity, Timestamp, Transition,
    Verdict,
};

use super::backoff::{Backoff, LONGEST_WISH, stretch};
use super::credential::Credential;
use super::turn::Turn;
use super::{Change, Output, Timer};

mod hints;

use hints::Hints;

/// How often a refused credential is tried again, in case it was the server's fault.
const UNAUTHORIZED_PROBE: Duration = Duration::from_secs(15 * 60);
/// How long a configuration that does not fit is tried like any other failure.
const MISCONFIGURED_PATIENCE: Duration = Duration::from_secs(10 * 60);
/// How often after that.
const MISCONFIGURED_PROBE: Duration = Duration::from_secs(5 * 60);
/// What is remembered of a pause.
const PAUSED: &str = "paused";

/// What there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nothing, and nothing is wanted.
    Down,
    /// Nothing; a dial is due at some time.
    Waiting,
    /// A dial is running.
    Dialing,
    /// A link.
    Open,
    /// A link on its way out.
    Closing,
}

/// What connections were like; only for showing.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) last_connected_at: Option<Timestamp>,
    pub(super) last_close: Option<CloseStatus>,
    pub(super) last_http_status: Option<u16>,
    pub(super) connections: u64,
}

/// The link's phase.
#[derive(Debug)]
pub(super) struct Phase {
    stage: Stage,
    state: LinkState,
    since: Timestamp,
    reason: Option<Reason>,
    attempt: u32,
    next_retry_at: Option<Timestamp>,
    shown_before: bool,
    redial: Option<Instant>,
    paused: bool,
    stopping: bool,
    backoff: Backoff,
    failures: u32,
    stable: bool,
    credential: Credential,
    policy_close: bool,
    planned: Option<Instant>,
    misconfigured_since: Option<Instant>,
    last_dial: Option<Instant>,
    /// The server asked to be left alone until then.
    not_before: Option<Instant>,
    /// The machine is about to sleep, or sleeps.
    asleep: bool,
    hints: Hints,
    facts: Facts,
}

impl Phase {
    pub(super) fn new(paused: bool) -> Self {
        Self {
            stage: Stage::Down,
            state: LinkState::Connecting,
            since: Timestamp::default(),
            reason: None,
            attempt: 0,
            next_retry_at: None,
            shown_before: false,
            redial: None,
            paused,
            stopping: false,
            backoff: Backoff::default(),
            failures: 0,
            stable: false,
            credential: Credential::default(),
            policy_close: false,
            planned: None,
            misconfigured_since: None,
            last_dial: None,
            not_before: None,
            asleep: false,
            hints: Hints::default(),
            facts: Facts::default(),
        }
    }

    /// What there is.
    pub(super) const fn stage(&self) -> Stage {
        self.stage
    }

    /// The state people see.
    pub(super) const fn state(&self) -> LinkState {
        self.state
    }

    /// Since when.
    pub(super) const fn since(&self) -> Timestamp {
        self.since
    }

    /// Why.
    pub(super) const fn reason(&self) -> Option<&Reason> {
        self.reason.as_ref()
    }

    /// Which attempt since the last connection.
    pub(super) const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// When the next one is due.
    pub(super) const fn next_retry_at(&self) -> Option<Timestamp> {
        self.next_retry_at
    }

    /// What connections were like.
    pub(super) const fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Whether the value remembered from an earlier run says paused.
    pub(super) fn remembered_pause(values: &std::collections::BTreeMap<String, String>) -> bool {
        values.contains_key(PAUSED)
    }

    /// Begins.
    pub(super) fn start(&mut self, turn: &mut Turn<'_>) {
        if self.shown_before {
            return;
        }
        self.since = turn.at.wall;
        if self.paused {
            self.show_pause(turn);
        } else {
            self.attempt = 1;
            let reason = reason(turn, ReasonKind::Starting, "the daemon has just started");
            self.show(turn, LinkState::Connecting, Some(reason));
            self.dial(turn);
        }
    }

    /// Whether a link has to be closed for the wish just granted (pause, stop): by the caller.
    const fn has_link(&self) -> bool {
        matches!(self.stage, Stage::Open)
    }

    /// A person pauses. Returns whether there is a link to be closed.
    pub(super) fn pause(&mut self, turn: &mut Turn<'_>) -> bool {
        if self.paused || self.stopping {
            return false;
        }
        self.paused = true;
        turn.out.record(Record::Remember { name: PAUSED.to_owned(), value: Some("1".to_owned()) });
        self.rest(turn);
        self.show_pause(turn);
        self.has_link()
    }

    fn show_pause(&mut self, turn: &mut Turn<'_>) {
        turn.out.publish(Change::Health {
            code: PAUSED,
            entry: Some((
                Severity::Info,
                "the link is paused".to_owned(),
                "`holdline ctl link resume` connects again".to_owned(),
            )),
        });
        let reason = reason(turn, ReasonKind::Requested, "paused on request");
        self.show(turn, LinkState::Paused, Some(reason));
    }

    /// A person resumes.
    pub(super) fn resume(&mut self, turn: &mut Turn<'_>) {
        if !self.paused || self.stopping {
            return;
        }
        self.paused = false;
        turn.out.record(Record::Remember { name: PAUSED.to_owned(), value: None });
        turn.out.publish(Change::Health { code: PAUSED, entry: None });
        self.forgive();
        self.dial_for(turn, ReasonKind::Requested, "resumed on request");
    }

    /// The daemon stops. Returns whether there is a link to be closed.
    pub(super) fn stop(&mut self, turn: &mut Turn<'_>) -> bool {
        if self.stopping {
            return false;
        }
        self.stopping = true;
        self.rest(turn);
        let reason = reason(turn, ReasonKind::ShuttingDown, "the daemon stops");
        self.show(turn, LinkState::Stopping, Some(reason));
        self.has_link()
    }

    /// Nothing is dialled from here on.
    fn rest(&mut self, turn: &mut Turn<'_>) {
        self.asleep = false;
        self.redial = None;
        self.next_retry_at = None;
        self.attempt = 0;
        if self.stage == Stage::Dialing {
            turn.out.push(Output::AbandonDial);
        }
        if matches!(self.stage, Stage::Dialing | Stage::Waiting) {
            self.stage = Stage::Down;
        }
    }

    /// Somebody asks for a new connection, with fresh delays. Returns whether there is a link to
    /// be closed first.
    pub(super) fn reconnect(&mut self, turn: &mut Turn<'_>, kind: ReasonKind) -> bool {
        if self.paused || self.stopping || !self.shown_before {
            return false;
        }
        self.forgive();
        if self.has_link() {
            return true;
        }
        self.dial_for(turn, kind, &Failure::Redial(kind).to_string());
        false
    }

    /// Old failures count no longer.
    fn forgive(&mut self) {
        self.backoff.reset();
        self.failures = 0;
        self.credential.forgive();
        self.misconfigured_since = None;
        self.policy_close = false;
        self.not_before = None;
    }

    /// Dials at once, or as soon as the link on its way out is gone.
    fn dial_for(&mut self, turn: &mut Turn<'_>, kind: ReasonKind, text: &str) {
        if self.stage == Stage::Dialing {
            turn.out.push(Output::AbandonDial);
        }
        self.attempt = 1;
        let state = if self.facts.connections == 0 { LinkState::Connecting } else { LinkState::Reconnecting };
        let reason = reason(turn, kind, text);
        self.show(turn, state, Some(reason));
        if self.stage == Stage::Closing {
            self.redial = Some(turn.at.instant);
        } else {
            self.dial(turn);
        }
    }

    /// Another credential may be there.
    pub(super) fn credential_changed(&mut self, turn: &mut Turn<'_>) {
        self.credential.changed();
        if self.stage == Stage::Waiting && self.credential.is_wanted() {
            self.due(turn, turn.at.instant);
        } else if self.credential.is_in_doubt() {
            self.hint(turn);
        }
    }

    fn due(&mut self, turn: &mut Turn<'_>, at: Instant) {
        if at <= turn.at.instant {
            self.dial(turn);
        } else {
            self.redial = Some(at);
            turn.timers.set(Timer::Redial, Some(at));
            let next = turn.at.wall.after(at - turn.at.instant);
            if self.next_retry_at != Some(next) {
                self.next_retry_at = Some(next);
                turn.out.publish(Change::Link);
            }
        }
    }

    /// Time for the next dial.
    pub(super) fn redial_due(&mut self, turn: &mut Turn<'_>) {
        if self.stage == Stage::Waiting {
            self.credential.probe();
            self.dial(turn);
        }
    }

    fn dial(&mut self, turn: &mut Turn<'_>) {
        self.stage = Stage::Dialing;
        self.asleep = false;
        self.redial = None;
        self.next_retry_at = None;
        self.last_dial = Some(turn.at.instant);
        turn.timers.set(Timer::Redial, None);
        let (fresh_credential, expired_too) = self.credential.dial();
        turn.out.push(Output::Dial { attempt: self.attempt, fresh_credential, expired_too });
        turn.out.publish(Change::Link);
    }

    /// The dial came about. Returns false where nobody wants it any more.
    pub(super) fn opened(&mut self) -> bool {
        if self.stage != Stage::Dialing {
            return false;
        }
        self.stage = Stage::Open;
        true
    }

    /// The link is up, and the server has not yet let us in.
    pub(super) fn signing_in(&mut self, turn: &mut Turn<'_>) {
        self.credential.shown();
        let reason = reason(turn, ReasonKind::SigningIn, "the link is up, the session is being started");
        self.show(turn, LinkState::Authenticating, Some(reason));
    }

    /// Messages may flow.
    pub(super) fn started(&mut self, turn: &mut Turn<'_>) {
        self.attempt = 0;
        self.stable = false;
        self.credential.taken();
        self.facts.last_connected_at = Some(turn.at.wall);
        self.facts.connections += 1;
        turn.timers.set(Timer::Stable, Some(turn.at.instant + turn.settings.reconnect.stable_after));
        self.show(turn, LinkState::Connected, None);
    }

    /// The connection has lasted, or the server has answered: delays start anew.
    pub(super) fn settled(&mut self, turn: &mut Turn<'_>) {
        self.stable = true;
        self.hints = Hints::default();
        self.forgive();
        turn.timers.set(Timer::Stable, None);
    }

    /// We hang up: judged now, dialled when the link is gone.
    pub(super) fn hang_up(&mut self, turn: &mut Turn<'_>, code: u16, failure: Failure) {
        turn.out.push(Output::HangUp { code, failure: failure.clone() });
        self.stage = Stage::Closing;
        self.judge(turn, failure, true);
    }

    /// A dial failed, or the link ended.
    pub(super) fn failed(&mut self, turn: &mut Turn<'_>, failure: Failure) {
        match self.stage {
            Stage::Dialing | Stage::Open => {
                self.stage = Stage::Waiting;
                self.judge(turn, failure, false);
            }
            Stage::Closing => self.stage = Stage::Waiting,
            Stage::Down | Stage::Waiting => return,
        }
        if self.paused || self.stopping {
            self.stage = Stage::Down;
        } else if let Some(at) = self.redial {
            self.due(turn, at);
        }
    }

    /// What a failure means: state, reason, and when to dial again. `own`: we ended the link.
    fn judge(&mut self, turn: &mut Turn<'_>, mut failure: Failure, own: bool) {
        turn.timers.set(Timer::Stable, None);
        let was_connected = self.state == LinkState::Connected;
        let was_starting = self.state == LinkState::Authenticating;
        self.note(&mut failure, own);
        self.credential.ended(&failure);
        if self.paused || self.stopping {
            return;
        }
        let asked_for = matches!(failure, Failure::Redial(_));
        if !(asked_for || was_connected && self.stable) {
            self.failures = self.failures.saturating_add(1);
        }
        self.attempt = self.attempt.saturating_add(1);
        let (state, wait) = self.sentence(turn, &failure);
        self.redial = Some(turn.at.instant + wait);
        self.next_retry_at = Some(turn.at.wall.after(wait));
        let text = if was_connected && !asked_for {
            format!("Connection lost: {failure}")
        } else {
            failure.to_string()
        };
        let hint = if was_starting { failure.hint_at_the_start() } else { failure.hint() };
        let reason = Reason { kind: failure.reason_kind(), text, hint, at: turn.at.wall };
        self.show(turn, state, Some(reason));
    }

    /// Keeps what is shown of a failure, and completes it: a second 1008 in a row is a refusal.
    fn note(&mut self, failure: &mut Failure, own: bool) {
        let mut policy = false;
        if let Failure::Closed { code, reason, repeated_policy, .. } = failure {
            policy = *code == 1008;
            *repeated_policy = policy && self.policy_close;
            if !own {
                self.facts.last_close = Some(CloseStatus { code: *code, reason: reason.clone() });
            }
        }
        self.policy_close = policy;
        if let Failure::Refused { status, .. } = failure {
            self.facts.last_http_status = Some(*status);
        }
    }

    /// The state a failure leads to, and how long to wait in it.
    fn sentence(&mut self, turn: &mut Turn<'_>, failure: &Failure) -> (LinkState, Duration) {
        let now = turn.at.instant;
        let mut verdict = failure.verdict();
        if verdict == Verdict::Reconnect && !matches!(failure, Failure::Redial(_)) {
            let again = self.planned.is_some_and(|last| now - last < turn.settings.reconnect.stable_after);
            if again {
                verdict = Verdict::Retry { after: None };
            } else {
                self.planned = Some(now);
            }
        }
        if verdict != Verdict::Misconfigured {
            self.misconfigured_since = None;
        }
        self.not_before = None;
        let state = verdict.state();
        match verdict {
            Verdict::Reconnect if self.asleep => (state, hints::FALLS_ASLEEP),
            Verdict::Reconnect => (state, Duration::ZERO),
            Verdict::Retry { after } | Verdict::Unavailable { after } => {
                let many = self.failures >= turn.settings.reconnect.unavailable_after;
                let delay = self.backoff.next(&turn.settings.reconnect, turn.rng);
                let wish = after.map_or(Duration::ZERO, |after| stretch(after.min(LONGEST_WISH), turn.rng));
                self.not_before = after.map(|_| now + wish);
                (if many { LinkState::Unavailable } else { state }, delay.max(wish))
            }
            Verdict::Unauthorized => {
                let wait = if self.credential.refused(failure) {
                    Duration::ZERO
                } else {
                    stretch(UNAUTHORIZED_PROBE, turn.rng)
                };
                (state, wait)
            }
            Verdict::Misconfigured => {
                let since = *self.misconfigured_since.get_or_insert(now);
                if now - since < MISCONFIGURED_PATIENCE {
                    (state, self.backoff.next(&turn.settings.reconnect, turn.rng))
                } else {
                    (state, stretch(MISCONFIGURED_PROBE, turn.rng))
                }
            }
            Verdict::Offline => (state, self.backoff.next(&turn.settings.reconnect, turn.rng)),
        }
    }

    /// Moves to a state, puts that down, tells it.
    fn show(&mut self, turn: &mut Turn<'_>, to: LinkState, reason: Option<Reason>) {
        let from = self.shown_before.then_some(self.state);
        if from != Some(to) {
            self.since = turn.at.wall;
        }
        self.shown_before = true;
        self.state = to;
        self.reason.clone_from(&reason);
        turn.out.record(Record::Transition(Transition {
            at: turn.at.wall,
            from,
            to,
            reason,
            attempt: self.attempt,
            next_retry_at: self.next_retry_at,
        }));
        turn.out.publish(Change::Link);
    }
}

fn reason(turn: &Turn<'_>, kind: ReasonKind, text: &str) -> Reason {
    Reason { kind, text: text.to_owned(), hint: String::new(), at: turn.at.wall }
}
