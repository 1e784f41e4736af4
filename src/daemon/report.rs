//! The status report, put together from what is held in memory. It never asks the store's
//! threads, so it is answered while they are busy.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};

use super::cursors::Cursors;
use crate::config::Outbox;
use crate::engine::Fanout;
use crate::model::{
    CursorStatus, DaemonStatus, InboxStatus, NotificationStatus, OutboxStatus, StatusReport, StoreStatus,
};
use crate::store::Store;

/// What does not change while the daemon runs, and the gauges others set.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) daemon: DaemonStatus,
    pub(super) store: StoreStatus,
    pub(super) cursors: Cursors,
    /// The limits of the local socket, by their keys in the configuration.
    pub(super) limits: Vec<(&'static str, u64)>,
    pub(super) gauges: Mutex<BTreeMap<&'static str, i64>>,
}

impl Report {
    /// Sets a gauge for the metrics.
    pub(super) fn gauge(&self, name: &'static str, value: i64) {
        self.gauges.lock().unwrap_or_else(PoisonError::into_inner).insert(name, value);
    }

    /// The whole report, without the connected apps.
    pub(super) fn status(&self, store: &Store, fanout: &Fanout, limits: &Outbox) -> StatusReport {
        let counters = store.counters();
        let link = fanout.link.borrow().clone();
        let in_flight = fanout.in_flight.load(Ordering::Relaxed);
        let waiting = counters.parked + counters.uncertain;
        let last = counters.last_seq.unwrap_or_default();
        StatusReport {
            schema: 1,
            daemon: self.daemon.clone(),
            link,
            outbox: OutboxStatus {
                queued: counters.unfinished.saturating_sub(waiting).saturating_sub(in_flight),
                in_flight,
                parked: counters.parked,
                uncertain: counters.uncertain,
                bytes: counters.outbox_bytes,
                limit_messages: limits.max_messages,
                limit_bytes: limits.max_bytes,
                oldest_queued_at: counters.oldest_queued_at,
                sent_total: fanout.sent.load(Ordering::Relaxed),
                confirmed_total: counters.confirmed_total,
                dropped_total: counters.dropped_total,
            },
            inbox: InboxStatus {
                first_seq: counters.first_seq,
                last_seq: counters.last_seq,
                events: counters.events,
                bytes: counters.inbox_bytes,
                quarantined: counters.quarantined,
                duplicates_total: counters.duplicates_total,
                last_event_at: fanout.tail.newest().map(|(at, _)| at),
                last_event_type: fanout.tail.newest().map(|(_, kind)| kind),
            },
            cursors: self
                .cursors
                .list()
                .into_iter()
                .map(|cursor| CursorStatus {
                    lag: u64::try_from(last.0.saturating_sub(cursor.seq.0)).unwrap_or(0),
                    connected: false,
                    name: cursor.name,
                    seq: cursor.seq,
                    last_seen: cursor.last_seen,
                })
                .collect(),
            clients: Vec::new(),
            clients_total: 0,
            notifications: NotificationStatus::default(),
            store: StoreStatus { bytes: counters.file_bytes, ..self.store.clone() },
            health: fanout.health.list(),
        }
    }
}
