//! Every metric there is. `docs/metrics.md` has the same table; a test compares them.

/// How a metric is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Only grows, from zero at each start unless it says otherwise.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by size.
    Histogram,
}

/// One metric.
#[derive(Debug, Clone, Copy)]
pub(super) struct Metric {
    /// Its name without the `holdline_` before it.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) help: &'static str,
}

const fn counter(name: &'static str, help: &'static str) -> Metric {
    Metric { name, kind: Kind::Counter, help }
}

const fn gauge(name: &'static str, help: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, help }
}

const fn histogram(name: &'static str, help: &'static str) -> Metric {
    Metric { name, kind: Kind::Histogram, help }
}

/// All of them, in the order they are written.
pub(super) const METRICS: &[Metric] = &[
    gauge("info", "Always 1; the labels are the version of the program and the profile."),
    gauge("start_time_seconds", "When the daemon started, in seconds since 1970."),
    gauge("health_entries", "Entries in health, by severity."),
    // The line.
    gauge("link_state", "1 for the state the line is in, 0 for the others."),
    gauge("link_attempt", "Attempts since the line was last connected."),
    counter("link_reconnects_total", "Connections after the first."),
    counter("link_failures_total", "Attempts that failed and connections that ended, by reason."),
    gauge("link_rtt_seconds", "Round trip of the last heartbeat; without a value until there is one."),
    // Out.
    gauge("outbox_messages", "Unfinished messages, by where they are: queued, in_flight, parked, uncertain."),
    gauge("outbox_bytes", "Bytes of unfinished messages."),
    gauge("outbox_oldest_age_seconds", "Age of the oldest message in the queue; 0 where there is none."),
    counter("outbox_attempts_total", "Messages written to the wire, repeated attempts included."),
    counter(
        "outbox_ended_total",
        "Messages that reached an end, by state. One that a late answer lifts counts for both.",
    ),
    counter("outbox_set_aside_total", "Messages set aside for a person, by state: parked, uncertain."),
    counter("outbox_confirmed_total", "Messages that ended well since the database was made."),
    counter("outbox_dropped_total", "Messages dropped since the database was made."),
    counter(
        "outbox_answers_unmatched_total",
        "Answers of the server that named no message on the wire: late ones, and those to subscriptions.",
    ),
    // In.
    gauge("inbox_events", "Events kept."),
    gauge("inbox_bytes", "Bytes of kept events."),
    gauge("inbox_quarantined", "Frames in quarantine."),
    gauge("inbox_last_seq", "Number of the last event."),
    counter("inbox_events_total", "Events stored."),
    counter("inbox_ephemeral_total", "Events passed on and not stored."),
    counter("inbox_duplicates_total", "Events that had come before, since the database was made."),
    counter("inbox_quarantined_total", "Frames that went to quarantine."),
    counter("inbox_gaps_total", "Gaps recorded in the sequence of events, by reason."),
    counter("inbox_events_without_key_total", "Events of a type with a key in which there was none."),
    counter(
        "inbox_ephemeral_misfits_total",
        "Events that would not have been stored and did not fit their schema.",
    ),
    counter("request_replies_late_total", "Replies to requests nobody waited for any more."),
    gauge("cursors", "Durable cursors."),
    gauge("cursor_lag_events", "How far the slowest durable cursor is behind the last event."),
    // The database.
    gauge("store_bytes", "Size of the database's files."),
    histogram("store_commit_seconds", "How long commits took, the sync of the disk included."),
    histogram("store_commit_requests", "Requests that shared a commit."),
    // Notifications.
    gauge("notifications_available", "1 while somebody shows notifications, else 0."),
    counter("notifications_total", "Notifications, by outcome: shown, collapsed, suppressed, failed."),
    counter("notifications_template_failed_total", "Templates and conditions that failed on an event."),
    counter("notifications_commands_total", "Commands of rules that were run, or found no place."),
    counter("notifications_commands_failed_total", "Commands of rules that failed, or found no place."),
    // Apps.
    gauge("ipc_clients", "Apps connected."),
    gauge("ipc_subscriptions", "Subscriptions that run."),
    counter("ipc_requests_total", "Requests and notifications of apps that were carried out."),
    counter("ipc_foreign_refused_total", "Connections of other users, closed before a byte was read."),
    counter(
        "ipc_accepts_failed_total",
        "Times the system had no file left for a connection, or could not hand one over.",
    ),
    counter("ipc_slow_closed_total", "Apps cut off because they read nothing for too long."),
    counter("ipc_ephemeral_lagged_total", "Ephemeral events that slow apps did not get."),
    // Bounds.
    gauge("limit", "The limits in force, by the key that sets them."),
    counter("limit_hits_total", "How often a limit refused something, by the key that sets it."),
    counter("log_lines_dropped_total", "Log lines that were dropped because nobody took them."),
];
