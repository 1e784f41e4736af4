//! `ctl status` for people: first how it stands, in one sentence, then the detail.

use super::{BAD, FAINT, GOOD, WAITING, field, styled};
use crate::cli::words::{self, Reader, count, counted, cut, plain};
use crate::model::{
    ClientStatus, CursorStatus, HealthEntry, LinkState, LinkStatus, OutboxStatus, Severity, StatusReport,
};

/// Most apps that are named one by one.
const NAMED_APPS: usize = 8;
/// Longest name of an app or a cursor.
const NAME_WIDTH: usize = 40;

/// The whole report. `wordy` adds what is rarely asked for.
pub(crate) fn report(report: &StatusReport, reader: &Reader, wordy: bool) -> String {
    let mut text = sentence(&report.link, &report.outbox, reader);
    text.push('\n');
    text.push_str(&what_to_do(&report.link));
    for entry in &report.health {
        text.push_str(&health(entry));
    }
    text.push('\n');
    text.push_str(&field("link", &link(&report.link, reader)));
    text.push_str(&field("out", &outbox(&report.outbox, report.link.state, reader)));
    text.push_str(&field("in", &inbox(report, reader)));
    text.push_str(&cursors(&report.cursors, reader));
    text.push_str(&field("apps", &apps(&report.clients)));
    if wordy {
        text.push_str(&process(report, reader));
    }
    text
}

/// How the link stands, in one sentence with a dot in front.
pub(crate) fn sentence(link: &LinkStatus, outbox: &OutboxStatus, reader: &Reader) -> String {
    let host = plain(host(&link.url));
    let because = reason(link).map(|text| format!(": {text}")).unwrap_or_default();
    let waiting = waiting(outbox);
    let held = if waiting == 0 {
        String::new()
    } else {
        format!(" Nothing is lost: {} {}.", counted(waiting, "message"), waits(waiting))
    };
    let said = match link.state {
        LinkState::Connected => {
            let rest = match waiting {
                0 => "nothing waiting".to_owned(),
                _ => format!("{} on the way", counted(waiting, "message")),
            };
            format!("Connected to {host} for {}; {rest}.", reader.since(link.since))
        }
        LinkState::Connecting => format!("Connecting to {host}{}.", tries(link, reader)),
        LinkState::Authenticating => format!("Signing in to {host}."),
        LinkState::Reconnecting => {
            format!("Reconnecting to {host}{}{}", stopped(&because), next(link, reader))
        }
        LinkState::Offline => {
            format!("No network{} It dials {host} as soon as the network is back.", stopped(&because))
        }
        LinkState::Unavailable => {
            format!("{host} is unavailable{}{}", stopped(&because), next(link, reader))
        }
        LinkState::Unauthorized => format!("Sign-in refused by {host}{}{held}", stopped(&because)),
        LinkState::Misconfigured => {
            format!("Configuration problem with {host}{}{}{held}", stopped(&because), next(link, reader))
        }
        LinkState::Paused => {
            format!("Paused since {}.{held} `holdline ctl link resume` goes on.", reader.clock(link.since))
        }
        LinkState::Stopping => format!("The daemon is stopping.{held}"),
    };
    format!("{} {said}", dot(link.state))
}

/// The dot in front of a state: its colour says what its words say.
pub(crate) fn dot(state: LinkState) -> String {
    match state {
        LinkState::Connected => styled(GOOD, "●"),
        LinkState::Unauthorized | LinkState::Misconfigured => styled(BAD, "✖"),
        LinkState::Connecting
        | LinkState::Authenticating
        | LinkState::Reconnecting
        | LinkState::Offline
        | LinkState::Unavailable
        | LinkState::Paused
        | LinkState::Stopping => styled(WAITING, "○"),
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

fn tries(link: &LinkStatus, reader: &Reader) -> String {
    match (link.attempt, link.next_retry_at) {
        (attempt, Some(at)) if at > reader.now => {
            format!(": attempt {attempt} in {}", reader.until(at))
        }
        (0 | 1, _) => String::new(),
        (attempt, _) => format!(", attempt {attempt}"),
    }
}

fn next(link: &LinkStatus, reader: &Reader) -> String {
    match link.next_retry_at {
        Some(at) if at > reader.now => {
            format!(" Next try in {} (attempt {}).", reader.until(at), count(link.attempt.into()))
        }
        _ => format!(" Trying now (attempt {}).", count(link.attempt.into())),
    }
}

const fn waiting(outbox: &OutboxStatus) -> u64 {
    outbox.queued.saturating_add(outbox.in_flight)
}

const fn waits(number: u64) -> &'static str {
    if number == 1 { "waits" } else { "wait" }
}

/// The line a red state never comes without.
fn what_to_do(link: &LinkStatus) -> String {
    let hint = link.reason.as_ref().map_or("", |reason| reason.hint.as_str());
    let red = match link.state {
        LinkState::Unauthorized => {
            "give it a working credential; `holdline config check` names where it is read from"
        }
        LinkState::Misconfigured => {
            "compare [server] in the configuration with what the server expects, then `holdline ctl reload`"
        }
        LinkState::Connecting
        | LinkState::Authenticating
        | LinkState::Connected
        | LinkState::Reconnecting
        | LinkState::Offline
        | LinkState::Unavailable
        | LinkState::Paused
        | LinkState::Stopping => "",
    };
    match if hint.is_empty() { red } else { hint } {
        "" => String::new(),
        hint => field("What to do", &plain(hint)),
    }
}

fn health(entry: &HealthEntry) -> String {
    let mark = match entry.severity {
        Severity::Info => styled(FAINT, "–"),
        Severity::Warning => styled(WAITING, "▲"),
        Severity::Error => styled(BAD, "✖"),
    };
    let mut text = format!("{mark} {}\n", plain(&entry.text));
    if !entry.hint.is_empty() {
        text.push_str(&field("What to do", &plain(&entry.hint)));
    }
    text
}

fn link(link: &LinkStatus, reader: &Reader) -> String {
    let mut text = format!("{} ({})", plain(&link.url), plain(&link.dialect));
    if link.state == LinkState::Connected {
        if let Some(rtt) = link.rtt_ms {
            text.push_str(&format!(", round trip {}", milliseconds(rtt)));
        }
    } else if let Some(at) = link.last_connected_at {
        text.push_str(&format!(", last connection began {}", reader.clock(at)));
    } else {
        text.push_str(", never connected so far");
    }
    if link.reconnects > 0 {
        text.push_str(&format!(", {}", counted(link.reconnects, "reconnect")));
    }
    text
}

fn milliseconds(rtt: f64) -> String {
    if rtt < 10.0 { format!("{rtt:.1} ms") } else { format!("{rtt:.0} ms") }
}

fn outbox(outbox: &OutboxStatus, state: LinkState, reader: &Reader) -> String {
    let mut text = format!("{} queued", count(outbox.queued));
    if let Some(oldest) = outbox.oldest_queued_at.filter(|_| waiting(outbox) > 0) {
        text.push_str(&format!(" since {} (oldest {})", reader.clock(oldest), reader.since(oldest)));
    }
    text.push_str(&format!(", {} on the wire, {} parked", count(outbox.in_flight), count(outbox.parked)));
    if outbox.uncertain > 0 {
        text.push_str(&format!(", {} uncertain", count(outbox.uncertain)));
    }
    text.push_str(&format!("; {} delivered", count(outbox.confirmed_total)));
    if outbox.dropped_total > 0 {
        text.push_str(&format!(", {} dropped", count(outbox.dropped_total)));
    }
    if waiting(outbox) > 0 && goes_on_by_itself(state) {
        text.push_str("; they go out as soon as the line is back");
    }
    text
}

const fn goes_on_by_itself(state: LinkState) -> bool {
    matches!(
        state,
        LinkState::Connecting
            | LinkState::Authenticating
            | LinkState::Reconnecting
            | LinkState::Offline
            | LinkState::Unavailable
    )
}

fn inbox(report: &StatusReport, reader: &Reader) -> String {
    let inbox = &report.inbox;
    let mut text = format!("{} stored", counted(inbox.events, "event"));
    if let (Some(first), Some(last)) = (inbox.first_seq, inbox.last_seq) {
        text.push_str(&format!(" (#{first} – #{last})"));
    }
    if let Some(at) = inbox.last_event_at {
        text.push_str(&format!(", last {} ago", reader.since(at)));
        if let Some(kind) = &inbox.last_event_type {
            text.push_str(&format!(" ({})", cut(&plain(kind), NAME_WIDTH)));
        }
    }
    if inbox.quarantined > 0 {
        text.push_str(&format!(", {} in quarantine", count(inbox.quarantined)));
    }
    text
}

fn cursors(cursors: &[CursorStatus], reader: &Reader) -> String {
    let rows: Vec<_> = cursors
        .iter()
        .map(|cursor| {
            let behind = match cursor.lag {
                0 => "up to date".to_owned(),
                lag => format!("{} behind", count(lag)),
            };
            let seen = match (cursor.connected, cursor.last_seen) {
                (true, _) => "connected".to_owned(),
                (false, Some(at)) => format!("last seen {} ago", reader.since(at)),
                (false, None) => "not read yet".to_owned(),
            };
            [cut(&plain(&cursor.name), NAME_WIDTH), format!("#{}", cursor.seq), behind, seen]
        })
        .collect();
    let mut name = "cursors";
    let mut text = String::new();
    for line in words::table(&rows) {
        text.push_str(&field(name, &line));
        name = "";
    }
    text
}

fn apps(clients: &[ClientStatus]) -> String {
    if clients.is_empty() {
        return "none connected".to_owned();
    }
    let names = clients.iter().take(NAMED_APPS).map(|client| match (client.name.as_str(), client.pid) {
        ("", None) => "unnamed".to_owned(),
        ("", Some(pid)) => format!("unnamed (pid {pid})"),
        (name, None) => cut(&plain(name), NAME_WIDTH),
        (name, Some(pid)) => format!("{} (pid {pid})", cut(&plain(name), NAME_WIDTH)),
    });
    let mut text = format!("{} connected: ", clients.len());
    text.push_str(&names.collect::<Vec<_>>().join(", "));
    if let Some(more) = clients.len().checked_sub(NAMED_APPS).filter(|more| *more > 0) {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

fn process(report: &StatusReport, reader: &Reader) -> String {
    let daemon = &report.daemon;
    let store = &report.store;
    let durability = serde_json::to_value(store.durability).ok();
    let durability = durability.as_ref().and_then(serde_json::Value::as_str).unwrap_or_default();
    let mut text = field(
        "daemon",
        &format!(
            "holdline {}, pid {}, profile {}, up {}",
            plain(&daemon.version),
            daemon.pid,
            plain(&daemon.profile),
            reader.since(daemon.started_at)
        ),
    );
    text.push_str(&field("config", &plain(&daemon.config_path)));
    text.push_str(&field(
        "store",
        &format!("{}, {}, durability {durability}", plain(&store.path), words::size(store.bytes)),
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        DaemonStatus, Durability, Epoch, InboxStatus, NotificationStatus, Reason, ReasonKind, Seq,
        StoreStatus, Timestamp,
    };

    fn at(time: &str) -> Timestamp {
        Timestamp::parse(&format!("2026-11-23T{time}Z")).expect("written here")
    }

    fn reader() -> Reader {
        Reader { now: at("10:02:59"), zone: jiff::tz::TimeZone::UTC }
    }

    fn calm() -> StatusReport {
        StatusReport {
            schema: 1,
            daemon: DaemonStatus {
                version: "0.1.0".to_owned(),
                pid: 4_000,
                instance_id: "i".to_owned(),
                profile: "default".to_owned(),
                started_at: at("06:00:00"),
                config_path: "/home/a/.config/holdline/config.toml".to_owned(),
            },
            link: LinkStatus {
                state: LinkState::Connected,
                label: LinkState::Connected.label().to_owned(),
                since: at("06:50:00"),
                reason: None,
                url: "wss://api.example.com/socket".to_owned(),
                attempt: 0,
                next_retry_at: None,
                last_connected_at: Some(at("06:50:00")),
                last_close: None,
                last_http_status: None,
                rtt_ms: Some(23.7),
                reconnects: 2,
                resumed: Some(true),
                dialect: "json".to_owned(),
                confirm: "reply".to_owned(),
            },
            outbox: OutboxStatus { confirmed_total: 18_204, ..OutboxStatus::default() },
            inbox: InboxStatus {
                first_seq: Some(Seq(1)),
                last_seq: Some(Seq(41_377)),
                events: 41_377,
                last_event_at: Some(at("10:02:57")),
                last_event_type: Some("order_status".to_owned()),
                ..InboxStatus::default()
            },
            cursors: vec![
                CursorStatus {
                    name: "orders-widget".to_owned(),
                    seq: Seq(41_377),
                    lag: 0,
                    connected: true,
                    last_seen: None,
                },
                CursorStatus {
                    name: "nightly-report".to_owned(),
                    seq: Seq(39_002),
                    lag: 2_375,
                    connected: false,
                    last_seen: Some(at("01:02:00")),
                },
            ],
            clients: vec![
                ClientStatus {
                    name: "chat".to_owned(),
                    pid: Some(4_121),
                    since: at("09:00:00"),
                    subscriptions: 1,
                },
                ClientStatus { name: String::new(), pid: None, since: at("09:00:00"), subscriptions: 0 },
            ],
            notifications: NotificationStatus::default(),
            store: StoreStatus {
                path: "/home/a/.local/state/holdline/default.db".to_owned(),
                epoch: Epoch("e1".into()),
                bytes: 42_991_616,
                durability: Durability::Full,
            },
            health: Vec::new(),
        }
    }

    fn troubled(state: LinkState, kind: ReasonKind, text: &str, hint: &str) -> StatusReport {
        let mut report = calm();
        report.link.state = state;
        report.link.label = state.label().to_owned();
        report.link.since = at("10:02:06");
        report.link.reason =
            Some(Reason { kind, text: text.to_owned(), hint: hint.to_owned(), at: at("10:02:06") });
        report.link.attempt = 3;
        report.link.rtt_ms = None;
        report.link.next_retry_at = Some(at("10:03:03"));
        report.outbox.queued = 37;
        report.outbox.oldest_queued_at = Some(at("10:02:11"));
        report.clients.clear();
        report.cursors.clear();
        report
    }

    fn shown(status: &StatusReport) -> String {
        anstream::adapter::strip_str(&report(status, &reader(), false)).to_string()
    }

    #[test]
    fn every_state_begins_with_a_sentence() {
        let lost = "Connection lost: the server closed the connection (1012 \"service restart\")";
        let cases = [
            calm(),
            {
                let mut first =
                    troubled(LinkState::Connecting, ReasonKind::Starting, "the daemon has just started", "");
                first.link.last_connected_at = None;
                first.link.next_retry_at = None;
                first.link.attempt = 1;
                first.link.reconnects = 0;
                first
            },
            troubled(LinkState::Authenticating, ReasonKind::SigningIn, "signing in", ""),
            troubled(LinkState::Reconnecting, ReasonKind::ServerRestart, lost, ""),
            troubled(LinkState::Offline, ReasonKind::NoNetwork, "no usable network", ""),
            troubled(
                LinkState::Unavailable,
                ReasonKind::ServerBusy,
                "HTTP 503 at the upgrade, it asked for 30 s",
                "",
            ),
            troubled(
                LinkState::Unauthorized,
                ReasonKind::AuthRefused,
                "HTTP 401 \"token expired\"",
                "put a new token into ~/.config/holdline/token; it is picked up at once",
            ),
            troubled(
                LinkState::Misconfigured,
                ReasonKind::TlsWrongName,
                "the certificate is for *.example.net, not api.example.com",
                "",
            ),
            troubled(LinkState::Paused, ReasonKind::Requested, "paused on request", ""),
            troubled(LinkState::Stopping, ReasonKind::ShuttingDown, "the daemon stops", ""),
        ];
        let text = cases.map(|status| shown(&status)).join("\n");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn every_red_state_says_what_to_do() {
        for state in LinkState::ALL {
            let text = shown(&troubled(state, ReasonKind::ServerError, "x", ""));
            assert_eq!(text.contains("✖"), text.contains("What to do"), "{text}");
        }
    }

    #[test]
    fn what_is_not_as_it_should_be_stands_above_the_detail() {
        let mut status = calm();
        status.outbox.parked = 2;
        status.outbox.uncertain = 1;
        status.outbox.dropped_total = 12_000;
        status.inbox.quarantined = 3;
        status.clients = (0..11).map(|_| status.clients[0].clone()).collect();
        status.health = [Severity::Info, Severity::Warning, Severity::Error]
            .map(|severity| HealthEntry {
                code: "parked".to_owned(),
                severity,
                since: at("09:00:00"),
                text: "2 messages are parked".to_owned(),
                hint: "holdline ctl messages --state parked".to_owned(),
            })
            .to_vec();
        let text = anstream::adapter::strip_str(&report(&status, &reader(), true)).to_string();
        insta::assert_snapshot!(text);
    }

    #[test]
    fn names_and_reasons_from_outside_cannot_steer_the_terminal() {
        let mut status = troubled(
            LinkState::Unauthorized,
            ReasonKind::AuthRefused,
            "HTTP 401 \"\u{1b}]0;owned\u{7}\"",
            "\u{1b}[2J",
        );
        status.clients = calm().clients;
        status.clients[0].name = "\u{1b}[31mred\nline".to_owned();
        status.cursors = calm().cursors;
        status.cursors[0].name = "\u{9b}2J".to_owned();
        status.inbox.last_event_type = Some("\u{7}bell".to_owned());
        let text = shown(&status);
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
        let raw = report(&status, &reader(), false);
        for foreign in ["\u{1b}]", "\u{1b}[2J", "\u{9b}", "\u{7}", "red\nline"] {
            assert!(!raw.contains(foreign), "{raw:?}");
        }
    }

    #[test]
    fn the_host_is_what_stands_between_scheme_and_path() {
        assert_eq!(host("wss://api.example.com/socket?x=1"), "api.example.com");
        assert_eq!(host("ws://[::1]:9800"), "[::1]:9800");
        assert_eq!(host("odd"), "odd");
    }
}
