//! The metrics, as Prometheus text: built anew from the status report at each question, so that
//! nothing is counted twice and nothing wakes up to be measured.

use std::sync::PoisonError;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::{Registry, Unit};

use super::report::Report;
use crate::engine::Fanout;
use crate::model::{LinkState, StatusReport};

/// The text.
pub(super) fn text(status: &StatusReport, fanout: &Fanout, report: &Report) -> String {
    let mut registry = Registry::with_prefix("holdline");
    link(&mut registry, status);
    outbox(&mut registry, status);
    inbox(&mut registry, status);
    registry.register(
        "log_lines_dropped",
        "Log lines that nobody took",
        ConstCounter::new(super::telemetry::dropped()),
    );
    let named = fanout.counts.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for (name, value) in named {
        registry.register(name, "See the operating manual", ConstCounter::new(value));
    }
    let gauges = report.gauges.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for (name, value) in gauges {
        registry.register(name, "See the operating manual", ConstGauge::new(value));
    }
    let mut text = String::new();
    // Writing into a String cannot fail.
    let _ = encode(&mut text, &registry);
    text
}

fn link(registry: &mut Registry, status: &StatusReport) {
    let states = Family::<Vec<(&'static str, &'static str)>, Gauge>::default();
    for state in LinkState::ALL {
        states.get_or_create(&vec![("state", state.as_str())]).set(i64::from(state == status.link.state));
    }
    registry.register("link_state", "1 for the state the link is in", states);
    registry.register(
        "link_attempt",
        "Attempts since the last connection",
        ConstGauge::new(i64::from(status.link.attempt)),
    );
    registry.register(
        "link_reconnects",
        "Connections after the first",
        ConstCounter::new(status.link.reconnects),
    );
    if let Some(rtt) = status.link.rtt_ms {
        registry.register_with_unit(
            "link_rtt",
            "Round trip of the last heartbeat",
            Unit::Seconds,
            ConstGauge::new(rtt / 1e3),
        );
    }
}

fn outbox(registry: &mut Registry, status: &StatusReport) {
    let out = &status.outbox;
    for (name, help, value) in [
        ("outbox_queued", "Messages waiting for their turn", out.queued),
        ("outbox_in_flight", "Messages written and not confirmed", out.in_flight),
        ("outbox_parked", "Messages waiting for a person after failures", out.parked),
        ("outbox_uncertain", "Messages of unknown fate, waiting for a person", out.uncertain),
        ("outbox_bytes", "Bytes of unfinished messages", out.bytes),
        ("outbox_limit_messages", "outbox.max_messages", out.limit_messages),
        ("outbox_limit_bytes", "outbox.max_bytes", out.limit_bytes),
    ] {
        registry.register(name, help, ConstGauge::new(signed(value)));
    }
    for (name, help, value) in [
        ("outbox_sent", "Messages written to the socket since the start", out.sent_total),
        ("outbox_confirmed", "Messages that ended well", out.confirmed_total),
        ("outbox_dropped", "Messages dropped", out.dropped_total),
    ] {
        registry.register(name, help, ConstCounter::new(value));
    }
}

fn inbox(registry: &mut Registry, status: &StatusReport) {
    let inbox = &status.inbox;
    for (name, help, value) in [
        ("inbox_events", "Events kept", inbox.events),
        ("inbox_bytes", "Bytes of kept events", inbox.bytes),
        ("inbox_quarantined", "Frames in quarantine", inbox.quarantined),
        ("store_bytes", "Size of the database's files", status.store.bytes),
        ("cursors", "Durable cursors", status.cursors.len() as u64),
        ("health_entries", "Entries in health", status.health.len() as u64),
    ] {
        registry.register(name, help, ConstGauge::new(signed(value)));
    }
    registry.register(
        "inbox_last_seq",
        "Last event number",
        ConstGauge::new(inbox.last_seq.unwrap_or_default().0),
    );
    registry.register("inbox_duplicates", "Events seen again", ConstCounter::new(inbox.duplicates_total));
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
