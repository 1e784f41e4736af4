//! `ctl why` for people: how the link came to where it is.

use super::{FAINT, styled};
use crate::cli::words::{self, Reader, length, plain};
use crate::model::{LinkState, LinkStatus, Timestamp, Transition};

/// The changes of the link's state, oldest first, and what it is doing now.
pub(crate) fn story(history: &[Transition], link: &LinkStatus, reader: &Reader) -> String {
    let mut rows: Vec<[String; 3]> = Vec::with_capacity(history.len());
    for (at, change) in history.iter().enumerate() {
        let until = history.get(at + 1).map_or(reader.now, |next| next.at);
        rows.push([reader.clock(change.at), what(change, until), then(change, reader)]);
    }
    let mut text = String::new();
    let width = rows.iter().map(|[time, ..]| time.chars().count()).max().unwrap_or(0).max(3);
    for line in words::table(&rows) {
        text.push_str(&line);
        text.push('\n');
    }
    text.push_str(&format!("{:<width$}  {}\n", "now", present(link, reader)));
    text
}

fn what(change: &Transition, until: Timestamp) -> String {
    match &change.reason {
        Some(reason) => plain(reason.text.strip_prefix("Connection lost: ").unwrap_or(&reason.text)),
        None if change.to == LinkState::Connected => {
            format!("connected for {}", length(until.since(change.at)))
        }
        None => change.to.as_str().to_owned(),
    }
}

/// What followed: the new state where it is another one, and when the next attempt was due.
fn then(change: &Transition, reader: &Reader) -> String {
    if change.to == LinkState::Connected {
        return String::new();
    }
    let mut parts = Vec::new();
    if change.from != Some(change.to) {
        parts.push(change.to.as_str().to_owned());
    }
    if let Some(at) = change.next_retry_at {
        let delay = at.since(change.at);
        let when = if delay.as_secs() < 60 {
            format!("in {}", length(delay))
        } else {
            format!("at {}", reader.clock(at))
        };
        parts.push(format!("attempt {} {when}", change.attempt));
    }
    if parts.is_empty() { String::new() } else { styled(FAINT, &format!("→ {}", parts.join(", "))) }
}

fn present(link: &LinkStatus, reader: &Reader) -> String {
    const AT_ONCE: &str = "`holdline ctl link reconnect` tries at once.";
    match (link.state, link.next_retry_at) {
        (LinkState::Connected, _) => format!("connected for {}.", reader.since(link.since)),
        (LinkState::Paused, _) => "paused. `holdline ctl link resume` goes on.".to_owned(),
        (LinkState::Stopping, _) => "stopping.".to_owned(),
        (LinkState::Authenticating, _) => "signing in.".to_owned(),
        (LinkState::Offline, _) => format!("waiting for a network. {AT_ONCE}"),
        (LinkState::Unauthorized, _) => {
            format!("waiting for another credential; a changed one is taken up at once. {AT_ONCE}")
        }
        (_, Some(at)) if at > reader.now => format!("waiting, {} left. {AT_ONCE}", reader.until(at)),
        (
            LinkState::Connecting
            | LinkState::Reconnecting
            | LinkState::Unavailable
            | LinkState::Misconfigured,
            _,
        ) => format!("trying, attempt {}.", link.attempt),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Reason, ReasonKind};

    fn at(time: &str) -> Timestamp {
        Timestamp::parse(&format!("2026-11-23T{time}Z")).expect("written here")
    }

    fn change(
        time: &str,
        from: Option<LinkState>,
        to: LinkState,
        text: Option<&str>,
        next: Option<(u32, &str)>,
    ) -> Transition {
        Transition {
            at: at(time),
            from,
            to,
            reason: text.map(|text| Reason {
                kind: ReasonKind::ServerError,
                text: text.to_owned(),
                hint: String::new(),
                at: at(time),
            }),
            attempt: next.map_or(0, |(attempt, _)| attempt),
            next_retry_at: next.map(|(_, time)| at(time)),
        }
    }

    fn link(state: LinkState, next: Option<&str>) -> LinkStatus {
        LinkStatus {
            state,
            label: state.label().to_owned(),
            since: at("10:02:11"),
            reason: None,
            url: "wss://api.example.com/socket".to_owned(),
            attempt: 3,
            next_retry_at: next.map(at),
            last_connected_at: None,
            last_close: None,
            last_http_status: None,
            rtt_ms: None,
            reconnects: 0,
            resumed: None,
            dialect: "json".to_owned(),
            confirm: "reply".to_owned(),
        }
    }

    #[test]
    fn the_story_is_told_from_the_beginning_to_now() {
        use LinkState::{Connected, Connecting, Reconnecting, Unavailable};
        let history = [
            change("06:53:04", None, Connecting, Some("the daemon has just started"), None),
            change("06:53:05", Some(Connecting), Connected, None, None),
            change(
                "10:02:06",
                Some(Connected),
                Reconnecting,
                Some("Connection lost: the server closed the connection: 1012 \"service restart\""),
                Some((1, "10:02:07.400")),
            ),
            change(
                "10:02:07.401",
                Some(Reconnecting),
                Reconnecting,
                Some("nobody listens at 203.0.113.7:443\u{1b}[2J"),
                Some((2, "10:02:11.500")),
            ),
            change(
                "10:02:11.600",
                Some(Reconnecting),
                Unavailable,
                Some("HTTP 503 at the upgrade; the server asked for 2 m"),
                Some((3, "10:04:12")),
            ),
        ];
        let reader = Reader { now: at("10:02:21"), zone: jiff::tz::TimeZone::UTC };
        let text = story(&history, &link(Unavailable, Some("10:04:12")), &reader);
        insta::assert_snapshot!(anstream::adapter::strip_str(&text).to_string());
    }

    #[test]
    fn every_state_says_what_it_is_doing_now() {
        let reader = Reader { now: at("10:02:21"), zone: jiff::tz::TimeZone::UTC };
        let told = LinkState::ALL.map(|state| {
            format!("{:<14} {}", state.as_str(), present(&link(state, Some("10:02:43")), &reader))
        });
        insta::assert_snapshot!(told.join("\n"));
    }
}
