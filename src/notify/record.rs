//! What became of notifications: numbers of all, and the newest ones by name.

use std::collections::VecDeque;

use crate::model::{NoticeEntry, NoticeOutcome};

/// Lines that are kept.
pub(super) const KEPT: usize = 256;

/// The record of this run.
#[derive(Debug, Default)]
pub(super) struct Record {
    ring: VecDeque<NoticeEntry>,
    pub(super) shown: u64,
    pub(super) collapsed: u64,
    pub(super) suppressed: u64,
    pub(super) failed: u64,
    pub(super) template_failed: u64,
    pub(super) run: u64,
    pub(super) run_failed: u64,
}

impl Record {
    /// Notes a line. What says the same as the last one is added to it, so that many of one sort do
    /// not drive the others out.
    pub(super) fn note(&mut self, entry: NoticeEntry) {
        match self.ring.back_mut() {
            Some(last)
                if entry.outcome != NoticeOutcome::Shown
                    && (last.outcome, &last.reason, &last.kind)
                        == (entry.outcome, &entry.reason, &entry.kind) =>
            {
                *last = NoticeEntry { count: last.count + entry.count, ..entry };
            }
            _ => {
                if self.ring.len() == KEPT {
                    self.ring.pop_front();
                }
                self.ring.push_back(entry);
            }
        }
    }

    /// The newest `limit` lines, oldest first.
    pub(super) fn newest(&self, limit: usize) -> Vec<NoticeEntry> {
        self.ring.iter().skip(self.ring.len().saturating_sub(limit)).cloned().collect()
    }
}
