//! Each state of the report, as people read it.

use super::*;
use crate::model::{
    ClientStatus, DaemonStatus, Durability, Epoch, InboxStatus, NotificationStatus, Reason, ReasonKind, Seq,
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
        clients_total: 2,
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
