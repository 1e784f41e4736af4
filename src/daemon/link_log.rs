//! One line per change of the line's state. A line that comes and goes, or stays away, is told at
//! first and then seldom, with what happened in between.

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::watch;

use super::standing::Standing;
use crate::clock::Clock;
use crate::model::{Instant, LinkState, LinkStatus, ReasonKind};

/// Connected this long, the trouble before is over: what comes after is told anew.
const SETTLED: Duration = Duration::from_secs(60);
/// The first pause between two lines that say the same; each one after it is twice as long …
const PAUSE: Duration = Duration::from_secs(60);
/// … up to this one.
const LONGEST: Duration = Duration::from_secs(3_600);

/// Writes the lines, and the sentence for the service manager.
pub(super) async fn keep(mut link: watch::Receiver<LinkStatus>, clock: Clock) {
    let mut log = LinkLog::default();
    let mut standing = Standing::new();
    standing.tell(&link.borrow().clone());
    loop {
        let due = log.due();
        tokio::select! {
            changed = link.changed() => if changed.is_err() {
                return;
            },
            () = tokio::time::sleep_until(clock.deadline(due.unwrap_or_default())), if due.is_some() => {
                let text = log.settled();
                tracing::info!(state = LinkState::Connected.as_str(), "{text}");
                continue;
            }
        }
        let now = link.borrow_and_update().clone();
        standing.tell(&now);
        let Some((loudness, text)) = log.line(&now, clock.instant()) else { continue };
        let (state, attempt) = (now.state.as_str(), now.attempt);
        let reason = now.reason.as_ref().map(|reason| reason.kind.as_str());
        match loudness {
            Loudness::Warn => tracing::warn!(state, reason, attempt, "{text}"),
            Loudness::Info => tracing::info!(state, reason, attempt, "{text}"),
            Loudness::Debug => tracing::debug!(state, reason, attempt, "{text}"),
        }
    }
}

/// How loud a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loudness {
    /// Somebody should know.
    Warn,
    /// A change of state.
    Info,
    /// One more of the same.
    Debug,
}

#[derive(Debug)]
struct Told {
    first: Instant,
    next: Instant,
    pause: Duration,
    times: u64,
}

/// What was told since the line was last connected for a while.
#[derive(Debug, Default)]
pub(super) struct LinkLog {
    told: HashMap<(LinkState, Option<ReasonKind>), Told>,
    last: Option<(LinkState, Option<ReasonKind>, u32)>,
    connected: Option<Instant>,
    /// The connection that stands was not told of.
    untold: bool,
    /// By the last line that was told aloud there is no connection.
    told_down: bool,
}

impl LinkLog {
    /// The line for what `now` shows, and how loud it is; none where nothing changed. Whoever was told
    /// of a loss is told of the connection that ends it.
    pub(super) fn line(&mut self, now: &LinkStatus, at: Instant) -> Option<(Loudness, String)> {
        let (mut loudness, text) = self.in_turn(now, at)?;
        let up = now.state == LinkState::Connected;
        if up && self.told_down && loudness == Loudness::Debug {
            loudness = Loudness::Info;
            self.untold = false;
        }
        if loudness != Loudness::Debug {
            self.told_down = !up;
        }
        Some((loudness, text))
    }

    /// The line, as loud as one that may have been told before.
    fn in_turn(&mut self, now: &LinkStatus, at: Instant) -> Option<(Loudness, String)> {
        let kind = now.reason.as_ref().map(|reason| reason.kind);
        let this = (now.state, kind, now.attempt);
        if self.last.replace(this) == Some(this) {
            return None;
        }
        self.untold = false;
        if now.state != LinkState::Connected
            && self.connected.take().is_some_and(|since| at.since(since) >= SETTLED)
        {
            self.told.clear();
        }
        let why = now.reason.as_ref().map(|reason| reason.text.as_str()).unwrap_or_default();
        let text = format!("{} {why}", now.label).trim_end().to_owned();
        let loudness = loudness(now.state);
        let new = Told { first: at, next: at + PAUSE, pause: PAUSE, times: 1 };
        let Some(told) = self.told.get_mut(&(now.state, kind)) else {
            self.told.insert((now.state, kind), new);
            if now.state == LinkState::Connected {
                self.connected = Some(at);
            }
            return Some((loudness, text));
        };
        told.times += 1;
        if now.state == LinkState::Connected {
            self.connected = Some(at);
        }
        if at < told.next {
            self.untold = now.state == LinkState::Connected;
            return Some((Loudness::Debug, text));
        }
        told.pause = (told.pause * 2).min(LONGEST);
        told.next = at + told.pause;
        let text = format!("{text} ({} times in {})", told.times, span(at.since(told.first)));
        Some((loudness, text))
    }

    /// When to look again although nothing changed: a connection that was not told of, because it
    /// was one of many, is told of once it holds.
    pub(super) fn due(&self) -> Option<Instant> {
        self.connected.filter(|_| self.untold).map(|since| since + SETTLED)
    }

    /// The line for a connection that holds.
    pub(super) fn settled(&mut self) -> String {
        self.untold = false;
        let times: u64 = self
            .told
            .iter()
            .filter(|((state, _), _)| *state == LinkState::Connected)
            .map(|(_, told)| told.times)
            .sum();
        format!("Connected for {}: of {times} connections in a row the first that lasts", span(SETTLED))
    }
}

/// States that last until a person acts, or that people notice.
const fn loudness(state: LinkState) -> Loudness {
    match state {
        LinkState::Unavailable | LinkState::Unauthorized | LinkState::Misconfigured => Loudness::Warn,
        LinkState::Connecting
        | LinkState::Authenticating
        | LinkState::Connected
        | LinkState::Reconnecting
        | LinkState::Offline
        | LinkState::Paused
        | LinkState::Stopping => Loudness::Info,
    }
}

fn span(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Reason, Timestamp};

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    fn status(state: LinkState, attempt: u32) -> LinkStatus {
        let reason = (state != LinkState::Connected).then(|| Reason {
            kind: ReasonKind::ConnectionRefused,
            text: "nobody there".into(),
            hint: String::new(),
            at: Timestamp::default(),
        });
        LinkStatus {
            state,
            label: state.as_str().into(),
            since: Timestamp::default(),
            reason,
            url: String::new(),
            attempt,
            next_retry_at: None,
            last_connected_at: None,
            last_close: None,
            last_http_status: None,
            rtt_ms: None,
            reconnects: 0,
            resumed: None,
            dialect: String::new(),
            confirm: String::new(),
        }
    }

    #[test]
    fn an_outage_is_told_at_once_and_then_seldom_with_its_number() {
        let mut log = LinkLog::default();
        let loud: Vec<(u64, String)> = (0..1_440_u32)
            .filter_map(|n| {
                let second = u64::from(n) * 60;
                let (loudness, text) = log.line(&status(LinkState::Unavailable, n), at(second))?;
                (loudness == Loudness::Warn).then_some((second / 60, text))
            })
            .collect();
        let minutes: Vec<u64> = loud.iter().map(|(minute, _)| *minute).collect();
        assert_eq!(minutes[..7], [0, 1, 3, 7, 15, 31, 63]);
        assert!(minutes.len() < 32, "a day of it: {} lines", minutes.len());
        assert_eq!(loud[0].1, "unavailable nobody there");
        assert_eq!(loud[3].1, "unavailable nobody there (8 times in 7 min)");
    }

    #[test]
    fn what_did_not_change_is_no_line() {
        let mut log = LinkLog::default();
        assert!(log.line(&status(LinkState::Connected, 0), at(0)).is_some());
        assert!(log.line(&status(LinkState::Connected, 0), at(1)).is_none());
    }

    #[test]
    fn after_a_settled_connection_everything_is_told_anew() {
        let mut log = LinkLog::default();
        for lost in 0..10 {
            let second = lost * 1_000;
            for (state, after) in [(LinkState::Reconnecting, 0), (LinkState::Connected, 2)] {
                let line = log.line(&status(state, 0), at(second + after));
                assert_eq!(line.expect("a change").0, Loudness::Info);
            }
            assert_eq!(log.due(), None, "nothing wakes up for it");
        }
    }

    #[test]
    fn a_recovery_is_told_as_loud_as_the_loss_it_ends() {
        let mut log = LinkLog::default();
        let mut told = |state, second| log.line(&status(state, 0), at(second)).expect("a change").0;
        let (up, down) = (LinkState::Connected, LinkState::Reconnecting);
        assert_eq!([told(up, 0), told(down, 10), told(up, 12)], [Loudness::Info; 3]);
        assert_eq!([told(down, 20), told(up, 22)], [Loudness::Debug; 2], "by what was told it stands");
        assert_eq!([told(LinkState::Unavailable, 30), told(up, 31)], [Loudness::Warn, Loudness::Info]);
        assert_eq!(log.due(), None, "nothing is left to tell");
    }

    #[test]
    fn a_line_that_flaps_is_told_seldom_and_once_it_holds() {
        let mut log = LinkLog::default();
        let mut loud = 0;
        for second in 0..3_600 {
            let state = if second % 2 == 0 { LinkState::Reconnecting } else { LinkState::Connected };
            let (loudness, _) = log.line(&status(state, 0), at(second)).expect("a change");
            loud += usize::from(loudness == Loudness::Info);
        }
        assert!((8..20).contains(&loud), "{loud} lines in an hour of flapping");
        assert_eq!(log.due(), Some(at(3_599) + SETTLED));
        assert_eq!(log.settled(), "Connected for 60 s: of 1800 connections in a row the first that lasts");
        assert_eq!(log.due(), None);
    }
}
