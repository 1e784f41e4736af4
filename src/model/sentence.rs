//! How the line stands, in one sentence: the first line of `ctl status`, and what the service manager
//! shows.

use super::text::plain;
use super::words::{count, counted};
use super::{LinkState, LinkStatus, Timestamp};

/// How the times of the sentence are told: a reader sees how long ago something was, what stays on show
/// names the time of day.
pub trait Times {
    /// Since when: `for 3 h 12 m`, `since Nov 23 06:50:00`.
    fn since(&self, at: Timestamp) -> String;
    /// When it will be: `in 4 s`, `at 10:03:03`. None where that has passed.
    fn due(&self, at: Timestamp) -> Option<String>;
    /// The time of day.
    fn clock(&self, at: Timestamp) -> String;
}

/// The sentence. `waiting`: the messages that are queued or on the wire, where they are to be spoken of.
#[must_use]
pub fn sentence(link: &LinkStatus, waiting: Option<u64>, times: &impl Times) -> String {
    let host = plain(host(&link.url));
    let because = reason(link).map(|text| format!(": {text}")).unwrap_or_default();
    let held = match waiting {
        None | Some(0) => String::new(),
        Some(1) => " Nothing is lost: 1 message waits.".to_owned(),
        Some(number) => format!(" Nothing is lost: {} wait.", counted(number, "message")),
    };
    match link.state {
        LinkState::Connected => {
            let rest = match waiting {
                None => String::new(),
                Some(0) => "; nothing waiting".to_owned(),
                Some(number) => format!("; {} on the way", counted(number, "message")),
            };
            format!("Connected to {host} {}{rest}.", times.since(link.since))
        }
        LinkState::Connecting => format!("Connecting to {host}{}.", tries(link, times)),
        LinkState::Authenticating => format!("Signing in to {host}."),
        LinkState::Reconnecting => {
            format!("Reconnecting to {host}{}{}", stopped(&because), next(link, times))
        }
        LinkState::Offline => {
            format!("No network{} It dials {host} as soon as the network is back.", stopped(&because))
        }
        LinkState::Unavailable => {
            format!("{host} is unavailable{}{}", stopped(&because), next(link, times))
        }
        LinkState::Unauthorized => format!("Sign-in refused by {host}{}{held}", stopped(&because)),
        LinkState::Misconfigured => {
            format!("Configuration problem with {host}{}{}{held}", stopped(&because), next(link, times))
        }
        LinkState::Paused => {
            format!("Paused since {}.{held} `holdline ctl link resume` goes on.", times.clock(link.since))
        }
        LinkState::Stopping => format!("The daemon is stopping.{held}"),
    }
}

/// Host (and port) of a URL.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or(rest)
}

/// Why, as a clause: the state already says that the connection was lost.
fn reason(link: &LinkStatus) -> Option<String> {
    let text = &link.reason.as_ref()?.text;
    Some(plain(text.strip_prefix("Connection lost: ").unwrap_or(text)))
}

/// The clause as the end of a sentence.
fn stopped(clause: &str) -> String {
    if clause.ends_with('.') { clause.to_owned() } else { format!("{clause}.") }
}

fn tries(link: &LinkStatus, times: &impl Times) -> String {
    match (link.attempt, link.next_retry_at.and_then(|at| times.due(at))) {
        (attempt, Some(due)) => format!(": attempt {attempt} {due}"),
        (0 | 1, None) => String::new(),
        (attempt, None) => format!(", attempt {attempt}"),
    }
}

fn next(link: &LinkStatus, times: &impl Times) -> String {
    let attempt = count(link.attempt.into());
    match link.next_retry_at.and_then(|at| times.due(at)) {
        Some(due) => format!(" Next try {due} (attempt {attempt})."),
        None => format!(" Trying now (attempt {attempt})."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_what_stands_between_scheme_and_path() {
        assert_eq!(host("wss://api.example.com/socket?x=1"), "api.example.com");
        assert_eq!(host("ws://[::1]:9800"), "[::1]:9800");
        assert_eq!(host("odd"), "odd");
    }
}
