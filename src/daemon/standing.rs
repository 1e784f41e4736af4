//! The sentence about the line that the service manager shows. It stands until the line changes, so it
//! names times of day: nothing wakes up to count them on.

use jiff::tz::TimeZone;

use super::ready;
use crate::model::{LinkStatus, Times, Timestamp, sentence};

/// Times as they are true for as long as they are read.
#[derive(Debug)]
struct Daytime {
    zone: TimeZone,
}

impl Daytime {
    fn format(&self, at: Timestamp, format: &str) -> String {
        at.to_jiff().to_zoned(self.zone.clone()).strftime(format).to_string()
    }
}

impl Times for Daytime {
    fn since(&self, at: Timestamp) -> String {
        format!("since {}", self.clock(at))
    }

    fn due(&self, at: Timestamp) -> Option<String> {
        Some(format!("at {}", self.format(at, "%H:%M:%S")))
    }

    fn clock(&self, at: Timestamp) -> String {
        self.format(at, "%b %-d %H:%M:%S")
    }
}

/// What the service manager was told last.
#[derive(Debug)]
pub(super) struct Standing {
    times: Daytime,
    told: String,
}

impl Standing {
    pub(super) fn new() -> Self {
        Self { times: Daytime { zone: TimeZone::system() }, told: String::new() }
    }

    /// Tells how the line stands, where that is something else than before.
    pub(super) fn tell(&mut self, link: &LinkStatus) {
        if let Some(line) = self.news(link) {
            ready::status(line);
        }
    }

    fn news(&mut self, link: &LinkStatus) -> Option<&str> {
        // Messages come and go without a change of the line: they are not spoken of.
        let line = sentence(link, None, &self.times);
        if line == self.told {
            return None;
        }
        self.told = line;
        Some(&self.told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{LinkState, Reason, ReasonKind};

    fn at(time: &str) -> Timestamp {
        Timestamp::parse(&format!("2026-11-23T{time}Z")).expect("written here")
    }

    fn link(state: LinkState, text: &str) -> LinkStatus {
        let kind = ReasonKind::ConnectionRefused;
        LinkStatus {
            state,
            label: state.label().into(),
            since: at("06:50:00"),
            reason: (!text.is_empty()).then(|| Reason {
                kind,
                text: text.into(),
                hint: String::new(),
                at: at("06:50:00"),
            }),
            url: "wss://api.example.com/socket?token=***".into(),
            attempt: 3,
            next_retry_at: (state == LinkState::Reconnecting).then(|| at("06:50:05")),
            last_connected_at: None,
            last_close: None,
            last_http_status: None,
            rtt_ms: None,
            reconnects: 0,
            resumed: None,
            dialect: "json".into(),
            confirm: "reply".into(),
        }
    }

    fn standing() -> Standing {
        Standing { times: Daytime { zone: TimeZone::UTC }, told: String::new() }
    }

    #[test]
    fn the_sentence_is_that_of_ctl_status_with_times_that_stay_true() {
        let mut standing = standing();
        assert_eq!(
            standing.news(&link(LinkState::Connected, "")),
            Some("Connected to api.example.com since Nov 23 06:50:00.")
        );
        assert_eq!(
            standing.news(&link(LinkState::Reconnecting, "Connection lost: the server closed it")),
            Some("Reconnecting to api.example.com: the server closed it. Next try at 06:50:05 (attempt 3).")
        );
    }

    #[test]
    fn what_was_told_is_not_told_again() {
        let mut standing = standing();
        assert!(standing.news(&link(LinkState::Connected, "")).is_some());
        let later = LinkStatus { rtt_ms: Some(1.0), ..link(LinkState::Connected, "") };
        assert_eq!(standing.news(&later), None);
        assert!(standing.news(&link(LinkState::Offline, "")).is_some());
    }

    #[test]
    fn words_of_a_server_are_no_message_to_the_service_manager() {
        let mut standing = standing();
        let line = standing.news(&link(LinkState::Unauthorized, "no\nSTOPPING=1\r\nMAINPID=1\u{2028}"));
        let line = line.expect("news");
        assert!(!line.contains(['\n', '\r', '\u{2028}']), "{line}");
        assert!(line.contains(r"no\nSTOPPING=1\r\nMAINPID=1\u{2028}"), "{line}");
    }
}
