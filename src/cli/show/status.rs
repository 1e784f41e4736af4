//! `ctl status` for people: first how it stands, in one sentence, then the detail.

use super::{BAD, FAINT, GOOD, WAITING, field, styled};
use crate::cli::words::{self, Reader, count, counted, cut, plain};
use crate::model::{
    self, CursorStatus, HealthEntry, LinkState, LinkStatus, OutboxStatus, Severity, StatusReport,
};

/// Most apps that are named one by one.
const NAMED_APPS: usize = 8;
/// Longest name of an app or a cursor.
const NAME_WIDTH: usize = 40;

/// The whole report. `wordy` adds what is only good to know.
pub(crate) fn report(report: &StatusReport, reader: &Reader, wordy: bool) -> String {
    let mut text = sentence(&report.link, &report.outbox, reader);
    text.push('\n');
    text.push_str(&what_to_do(&report.link));
    for entry in report.health.iter().filter(|entry| wordy || entry.severity > Severity::Info) {
        text.push_str(&health(entry));
    }
    text.push('\n');
    text.push_str(&field("link", &link(&report.link, reader)));
    text.push_str(&field("out", &outbox(&report.outbox, report.link.state, reader)));
    text.push_str(&field("in", &inbox(report, reader)));
    text.push_str(&cursors(&report.cursors, reader));
    text.push_str(&field("apps", &apps(report)));
    if report.notifications.rules > 0 {
        text.push_str(&field("notices", &super::notice::standing(&report.notifications, reader)));
    }
    if wordy {
        text.push_str(&process(report, reader));
    }
    text
}

/// How the link stands, in one sentence with a dot in front.
pub(crate) fn sentence(link: &LinkStatus, outbox: &OutboxStatus, reader: &Reader) -> String {
    let said = model::sentence(link, Some(waiting(outbox)), reader);
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

const fn waiting(outbox: &OutboxStatus) -> u64 {
    outbox.queued.saturating_add(outbox.in_flight)
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
        text.push_str(&format!(", last {}", reader.ago(at)));
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
    let mut name = "cursors";
    let mut text = String::new();
    for line in cursor_lines(cursors, reader) {
        text.push_str(&field(name, &line));
        name = "";
    }
    text
}

/// `ctl cursors`: one line each.
pub(crate) fn cursor_list(cursors: &[CursorStatus], reader: &Reader) -> String {
    if cursors.is_empty() {
        return "No cursors.\n".to_owned();
    }
    cursor_lines(cursors, reader).join("\n") + "\n"
}

fn cursor_lines(cursors: &[CursorStatus], reader: &Reader) -> Vec<String> {
    let rows: Vec<_> = cursors
        .iter()
        .map(|cursor| {
            let behind = match cursor.lag {
                0 => "up to date".to_owned(),
                lag => format!("{} behind", count(lag)),
            };
            let seen = match (cursor.connected, cursor.last_seen) {
                (true, _) => "connected".to_owned(),
                (false, Some(at)) => format!("last seen {}", reader.ago(at)),
                (false, None) => "not read yet".to_owned(),
            };
            [cut(&plain(&cursor.name), NAME_WIDTH), format!("#{}", cursor.seq), behind, seen]
        })
        .collect();
    words::table(&rows)
}

fn apps(report: &StatusReport) -> String {
    let clients = &report.clients;
    let total = usize::try_from(report.clients_total).unwrap_or(usize::MAX).max(clients.len());
    if clients.is_empty() {
        return "none connected".to_owned();
    }
    let names = clients.iter().take(NAMED_APPS).map(|client| match (client.name.as_str(), client.pid) {
        ("", None) => "unnamed".to_owned(),
        ("", Some(pid)) => format!("unnamed (pid {pid})"),
        (name, None) => cut(&plain(name), NAME_WIDTH),
        (name, Some(pid)) => format!("{} (pid {pid})", cut(&plain(name), NAME_WIDTH)),
    });
    let mut text = format!("{total} connected: ");
    text.push_str(&names.collect::<Vec<_>>().join(", "));
    if let Some(more) = total.checked_sub(NAMED_APPS).filter(|more| *more > 0) {
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
mod tests;
