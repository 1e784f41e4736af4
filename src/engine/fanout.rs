//! What the loop shows to others: the live edge of the events, message changes, the link.
//!
//! Nobody who looks can slow the loop down. The tail is a bounded ring that readers copy from
//! at their own pace (whoever falls behind it reads from disk); ephemeral events and message
//! changes go by lossy broadcast, and a receiver is told how many it missed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{broadcast, watch};

use crate::model::{EventRow, HealthEntry, LinkStatus, Moved, Payload, RowKind, Seq, Timestamp};

/// Rows the tail holds at most …
const TAIL_ROWS: usize = 2_048;
/// … and bytes of their bodies.
const TAIL_BYTES: usize = 1 << 20;
/// Ephemeral events a slow receiver may lag behind before it misses some.
const EPHEMERAL: usize = 256;
/// Message changes a slow receiver may lag behind before it misses some.
const CHANGES: usize = 1_024;

/// A feed of ephemeral events.
pub type EphemeralFeed = broadcast::Receiver<Arc<EventRow>>;

/// All that others may look at.
#[derive(Debug)]
pub struct Fanout {
    /// The live edge of the event sequence.
    pub tail: Tail,
    /// Events that are never stored.
    pub ephemeral: broadcast::Sender<Arc<EventRow>>,
    /// Message changes.
    pub changes: broadcast::Sender<Moved>,
    /// The link, as `status` shows it.
    pub link: watch::Sender<LinkStatus>,
    /// Messages written and not confirmed.
    pub in_flight: AtomicU64,
    /// Attempts written since the start of this run.
    pub sent: AtomicU64,
    /// What is not as it should be.
    pub health: Health,
    /// Things counted by name, for metrics, and by what they differ in where they do.
    pub counts: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
}

impl Fanout {
    /// Begins with the link as it is and the last number given.
    #[must_use]
    pub fn new(link: LinkStatus, last: Option<Seq>) -> Self {
        Self {
            tail: Tail::new(last),
            ephemeral: broadcast::channel(EPHEMERAL).0,
            changes: broadcast::channel(CHANGES).0,
            link: watch::channel(link).0,
            in_flight: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            health: Health::default(),
            counts: Mutex::new(BTreeMap::new()),
        }
    }

    /// Shows the link as it is now; those who watch it wake only for what people would call a
    /// change (a new round trip time is none).
    pub fn show_link(&self, now: LinkStatus) {
        self.link.send_if_modified(|shown| {
            let changed = (shown.state, shown.since, &shown.reason, shown.attempt, shown.next_retry_at)
                != (now.state, now.since, &now.reason, now.attempt, now.next_retry_at);
            *shown = now;
            changed
        });
    }

    /// Counts one more of `name`.
    pub fn count(&self, name: &'static str) {
        self.count_more(name, "", 1);
    }

    /// Counts one more of `name` of the kind `of`.
    pub fn count_as(&self, name: &'static str, of: &'static str) {
        self.count_more(name, of, 1);
    }

    /// Counts `more` of `name` of the kind `of`; empty where there are no kinds.
    pub fn count_more(&self, name: &'static str, of: &'static str, more: u64) {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner).entry((name, of)).or_default() += more;
    }

    /// Counts rows that were added to the event sequence.
    pub fn count_rows(&self, rows: &[Arc<EventRow>]) {
        let mut events = 0;
        for row in rows {
            match &row.kind {
                RowKind::Event { .. } => events += 1,
                RowKind::Bad => self.count("inbox_quarantined_total"),
                RowKind::Gap(reason) => self.count_as("inbox_gaps_total", reason.as_str()),
            }
        }
        self.count_more("inbox_events_total", "", events);
    }
}

/// The newest rows of the event sequence, in memory.
#[derive(Debug)]
pub struct Tail {
    ring: Mutex<Ring>,
    last: watch::Sender<Seq>,
}

#[derive(Debug, Default)]
struct Ring {
    rows: VecDeque<Arc<EventRow>>,
    bytes: usize,
    /// Every row behind this number is in the ring: there is none between that the ring lacks.
    complete_after: Seq,
    /// The last number appended.
    last: Seq,
}

impl Tail {
    fn new(last: Option<Seq>) -> Self {
        let last = last.unwrap_or_default();
        Self {
            ring: Mutex::new(Ring { complete_after: last, last, ..Ring::default() }),
            last: watch::channel(last).0,
        }
    }

    /// Appends committed rows, in order of their numbers, and wakes the readers once.
    pub fn append(&self, rows: impl IntoIterator<Item = Arc<EventRow>>) {
        let mut last = None;
        {
            let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
            for row in rows {
                let Some(seq) = row.seq else { continue };
                last = Some(seq);
                ring.last = seq;
                ring.bytes += weight(&row);
                ring.rows.push_back(row);
                while ring.rows.len() > TAIL_ROWS || ring.bytes > TAIL_BYTES {
                    let Some(oldest) = ring.rows.pop_front() else { break };
                    ring.bytes -= weight(&oldest);
                    ring.complete_after = oldest.seq.unwrap_or(ring.complete_after);
                }
            }
        }
        if let Some(last) = last {
            self.last.send_replace(last);
        }
    }

    /// Rows behind `after`, at most `limit`, and the last number there was at that moment; none
    /// where the ring does not reach back that far and the disk must be asked.
    #[must_use]
    pub fn after(&self, after: Seq, limit: usize) -> Option<(Vec<Arc<EventRow>>, Seq)> {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        if after < ring.complete_after {
            return None;
        }
        let start = ring.rows.partition_point(|row| row.seq.is_some_and(|seq| seq <= after));
        Some((ring.rows.iter().skip(start).take(limit).cloned().collect(), ring.last))
    }

    /// When the newest event came and of which type it was, if one came in this run.
    #[must_use]
    pub fn newest(&self) -> Option<(Timestamp, String)> {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        ring.rows.iter().rev().find_map(|row| match &row.kind {
            RowKind::Event { kind, .. } => Some((row.received_at, kind.clone())),
            RowKind::Gap(_) | RowKind::Bad => None,
        })
    }

    /// The last committed number, and news of it.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Seq> {
        self.last.subscribe()
    }
}

fn weight(row: &EventRow) -> usize {
    // A row's own weight beside its body: names, ids, the allocation.
    const ROW: usize = 160;
    ROW + match &row.kind {
        RowKind::Event { payload: Payload::Json(text) | Payload::Text(text), .. } => text.len(),
        RowKind::Event { payload: Payload::Binary(bytes), .. } => bytes.len(),
        RowKind::Gap(_) | RowKind::Bad => 0,
    }
}

/// What is not as it should be, one entry per code.
#[derive(Debug, Default)]
pub struct Health {
    entries: Mutex<BTreeMap<String, HealthEntry>>,
}

impl Health {
    /// Puts an entry, keeping the time of one that stands already.
    pub fn put(&self, mut entry: HealthEntry) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(old) = entries.get(&entry.code) {
            entry.since = old.since;
        }
        entries.insert(entry.code.clone(), entry);
    }

    /// Takes an entry away.
    pub fn clear(&self, code: &str) {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).remove(code);
    }

    /// All entries, gravest first.
    #[must_use]
    pub fn list(&self) -> Vec<HealthEntry> {
        let mut all: Vec<_> =
            self.entries.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        all.sort_by(|a, b| b.severity.cmp(&a.severity).then_with(|| a.code.cmp(&b.code)));
        all
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{TAIL_ROWS, Tail};
    use crate::model::{EventRow, GapReason, RowKind, Seq, Timestamp};

    fn row(seq: i64) -> Arc<EventRow> {
        Arc::new(EventRow {
            seq: Some(Seq(seq)),
            received_at: Timestamp::default(),
            kind: RowKind::Gap(GapReason::Server),
        })
    }

    fn numbers(found: Option<(Vec<Arc<EventRow>>, Seq)>) -> Option<Vec<i64>> {
        found.map(|(rows, _)| rows.iter().filter_map(|row| row.seq).map(|seq| seq.0).collect())
    }

    #[test]
    fn the_tail_gives_what_it_has_whole_and_sends_others_to_the_disk() {
        let tail = Tail::new(Some(Seq(10)));
        tail.append([row(11), row(14), row(15)]);
        assert_eq!(numbers(tail.after(Seq(10), 9)), Some(vec![11, 14, 15]));
        assert_eq!(numbers(tail.after(Seq(12), 9)), Some(vec![14, 15]));
        assert_eq!(numbers(tail.after(Seq(10), 2)), Some(vec![11, 14]));
        assert_eq!(numbers(tail.after(Seq(15), 9)), Some(vec![]));
        assert_eq!(numbers(tail.after(Seq(9), 9)), None, "10 was before this run");
        assert_eq!(*tail.watch().borrow(), Seq(15));
    }

    #[test]
    fn a_full_tail_forgets_its_oldest_rows_and_says_so() {
        let tail = Tail::new(None);
        let count = i64::try_from(TAIL_ROWS).expect("small") + 5;
        tail.append((1..=count).map(row));
        assert_eq!(numbers(tail.after(Seq(4), 1)), None);
        assert_eq!(numbers(tail.after(Seq(5), 1)), Some(vec![6]));
    }
}
