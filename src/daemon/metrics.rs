//! The metrics, as Prometheus text: built anew from the status report at each question, so that
//! nothing is counted twice and nothing wakes up to be measured.

mod exposition;
mod table;
pub(super) mod textfile;

use std::sync::PoisonError;

use self::exposition::Samples;
use super::report::Report;
use crate::config::Config;
use crate::engine::Fanout;
use crate::model::{LinkState, NotificationStatus, Severity, StatusReport, Timestamp};
use crate::store::{Commits, Store};

/// The text.
pub(super) fn text(
    status: &StatusReport,
    store: &Store,
    fanout: &Fanout,
    report: &Report,
    limits: &[(&'static str, u64)],
    now: Timestamp,
) -> String {
    let mut samples = Samples::default();
    daemon(&mut samples, status);
    link(&mut samples, status);
    outbox(&mut samples, status, now);
    inbox(&mut samples, status);
    database(&mut samples, status, &store.counters().commits);
    notices(&mut samples, &status.notifications);
    apps(&mut samples, report, limits);
    counted(&mut samples, fanout);
    samples.text()
}

/// Limits that refuse messages.
pub(super) const LIMITS: [&str; 3] = ["server.max_message", "outbox.max_messages", "outbox.max_bytes"];

/// The limits that a reload can change, as they are now.
pub(super) fn limits(config: &Config) -> [(&'static str, u64); 5] {
    [
        ("server.max_message", config.server.max_message),
        ("outbox.max_messages", config.outbox.max_messages),
        ("outbox.max_bytes", config.outbox.max_bytes),
        ("inbox.max_events", config.inbox.max_events),
        ("inbox.max_bytes", config.inbox.max_bytes),
    ]
}

fn daemon(samples: &mut Samples, status: &StatusReport) {
    samples.put_info(&status.daemon.version, &status.daemon.profile);
    samples.put("start_time_seconds", seconds(status.daemon.started_at.as_millis()));
    for severity in [Severity::Info, Severity::Warning, Severity::Error] {
        let entries = status.health.iter().filter(|entry| entry.severity == severity).count();
        let word = match severity {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        samples.put_one("health_entries", "severity", word, entries);
    }
    samples.put("log_lines_dropped_total", super::telemetry::dropped());
}

fn link(samples: &mut Samples, status: &StatusReport) {
    for state in LinkState::ALL {
        let is = u8::from(state == status.link.state);
        samples.put_one("link_state", "state", state.as_str(), is);
    }
    samples.put("link_attempt", status.link.attempt);
    samples.put("link_reconnects_total", status.link.reconnects);
    if let Some(rtt) = status.link.rtt_ms {
        samples.put("link_rtt_seconds", rtt / 1e3);
    }
}

fn outbox(samples: &mut Samples, status: &StatusReport, now: Timestamp) {
    let out = &status.outbox;
    for (state, messages) in [
        ("queued", out.queued),
        ("in_flight", out.in_flight),
        ("parked", out.parked),
        ("uncertain", out.uncertain),
    ] {
        samples.put_one("outbox_messages", "state", state, messages);
    }
    samples.put("outbox_bytes", out.bytes);
    let age = out.oldest_queued_at.map_or(0.0, |since| now.since(since).as_secs_f64());
    samples.put("outbox_oldest_age_seconds", age);
    samples.put("outbox_attempts_total", out.sent_total);
    samples.put("outbox_confirmed_total", out.confirmed_total);
    samples.put("outbox_dropped_total", out.dropped_total);
}

fn inbox(samples: &mut Samples, status: &StatusReport) {
    let inbox = &status.inbox;
    samples.put("inbox_events", inbox.events);
    samples.put("inbox_bytes", inbox.bytes);
    samples.put("inbox_quarantined", inbox.quarantined);
    samples.put("inbox_last_seq", inbox.last_seq.unwrap_or_default().0);
    samples.put("inbox_duplicates_total", inbox.duplicates_total);
    samples.put("cursors", status.cursors.len());
    let lag = status.cursors.iter().map(|cursor| cursor.lag).max().unwrap_or(0);
    samples.put("cursor_lag_events", lag);
}

fn database(samples: &mut Samples, status: &StatusReport, commits: &Commits) {
    samples.put("store_bytes", status.store.bytes);
    let micros = Commits::MICROS.iter().map(|bound| f64::from(*bound) / 1e6);
    samples.put_histogram(
        "store_commit_seconds",
        micros.zip(commits.by_time.iter().copied()),
        commits.count,
        commits.time.as_secs_f64(),
    );
    let sizes = Commits::SIZES.iter().map(|bound| f64::from(*bound));
    samples.put_histogram(
        "store_commit_requests",
        sizes.zip(commits.by_size.iter().copied()),
        commits.count,
        commits.requests,
    );
}

fn notices(samples: &mut Samples, notices: &NotificationStatus) {
    samples.put("notifications_available", u8::from(notices.available));
    for (outcome, number) in [
        ("shown", notices.shown),
        ("collapsed", notices.collapsed),
        ("suppressed", notices.suppressed),
        ("failed", notices.failed),
    ] {
        samples.put_one("notifications_total", "outcome", outcome, number);
    }
    samples.put("notifications_template_failed_total", notices.template_failed);
    samples.put("notifications_commands_total", notices.commands);
    samples.put("notifications_commands_failed_total", notices.commands_failed);
}

fn apps(samples: &mut Samples, report: &Report, limits: &[(&'static str, u64)]) {
    for (key, value) in limits {
        samples.put_one("limit", "limit", key, value);
    }
    let gauges = report.gauges.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for (name, value) in gauges {
        samples.put(name, value);
    }
}

/// What was counted by name since the start. What was never counted but has no labels is zero.
fn counted(samples: &mut Samples, fanout: &Fanout) {
    let mut counts = fanout.counts.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for name in [
        "outbox_answers_unmatched_total",
        "inbox_events_total",
        "inbox_ephemeral_total",
        "inbox_quarantined_total",
        "inbox_events_without_key_total",
        "inbox_ephemeral_misfits_total",
        "request_replies_late_total",
        "ipc_requests_total",
        "ipc_foreign_refused_total",
        "ipc_accepts_failed_total",
        "ipc_slow_closed_total",
        "ipc_ephemeral_lagged_total",
    ] {
        counts.entry((name, "")).or_default();
    }
    for ((name, of), value) in counts {
        match label(name) {
            Some(label) => samples.put_one(name, label, of, value),
            None => samples.put(name, value),
        }
    }
}

/// What the series of a counter differ in.
fn label(counter: &str) -> Option<&'static str> {
    match counter {
        "link_failures_total" | "inbox_gaps_total" => Some("reason"),
        "outbox_ended_total" | "outbox_set_aside_total" => Some("state"),
        "limit_hits_total" => Some("limit"),
        _ => None,
    }
}

/// Milliseconds as seconds, exactly.
fn seconds(millis: i64) -> String {
    format!("{}.{:03}", millis.div_euclid(1_000), millis.rem_euclid(1_000))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rpc::metric;

    #[test]
    fn whatever_the_local_socket_counts_is_in_the_table() {
        for name in [
            metric::CLIENTS,
            metric::SUBSCRIPTIONS,
            metric::REQUESTS,
            metric::FOREIGN_REFUSED,
            metric::SLOW_CLOSED,
            metric::ACCEPTS_FAILED,
            metric::LAGGED,
        ] {
            assert!(table::METRICS.iter().any(|metric| metric.name == name), "{name}");
        }
    }

    #[test]
    fn whatever_the_session_counts_is_in_the_table() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/session");
        let mut folders = vec![folder];
        let mut counted = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().flatten() {
                if entry.path().is_dir() {
                    folders.push(entry.path());
                    continue;
                }
                let text = std::fs::read_to_string(entry.path()).unwrap();
                for rest in text.split("Change::Count(\"").skip(1) {
                    let name = rest.split('"').next().unwrap_or_default();
                    assert!(table::METRICS.iter().any(|metric| metric.name == name), "{name}");
                    counted += 1;
                }
            }
        }
        assert!(counted > 0);
    }

    #[test]
    fn names_say_what_they_count_and_in_which_unit() {
        for metric in table::METRICS {
            let name = metric.name;
            let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            assert!(name.chars().all(word), "{name}");
            assert_eq!(name.ends_with("_total"), metric.kind == table::Kind::Counter, "{name}");
            assert!(metric.help.ends_with('.') && !metric.help.contains(['\n', '\\']), "{name}");
            let twins = table::METRICS.iter().filter(|other| other.name == name).count();
            assert_eq!(twins, 1, "{name}");
        }
    }

    #[test]
    fn labels_cannot_break_out_of_their_line() {
        let mut samples = Samples::default();
        samples.put_info("1.0", "a\"b\\c\nd");
        assert!(samples.text().contains(r#"holdline_info{version="1.0",profile="a\"b\\c\nd"} 1"#));
    }
}
