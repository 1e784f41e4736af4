//! The durable cursors, in memory: `status` shows them without asking the store.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::model::{Seq, Timestamp};
use crate::store::Cursor;

/// All cursors as they stand, by name.
#[derive(Debug, Default)]
pub(super) struct Cursors(Mutex<BTreeMap<String, Cursor>>);

impl Cursors {
    /// Begins with what the store has.
    pub(super) fn of(cursors: Vec<Cursor>) -> Self {
        Self(Mutex::new(cursors.into_iter().map(|cursor| (cursor.name.clone(), cursor)).collect()))
    }

    /// A cursor as the store has just given it. What was acknowledged since stays.
    pub(super) fn put(&self, mut cursor: Cursor) {
        let mut all = self.lock();
        if let Some(known) = all.get(&cursor.name) {
            cursor.seq = cursor.seq.max(known.seq);
            cursor.last_seen = cursor.last_seen.max(known.last_seen);
        }
        all.insert(cursor.name.clone(), cursor);
    }

    /// Moves a cursor forward, never back; none where there is no such cursor.
    pub(super) fn advance(&self, name: &str, seq: Seq, at: Timestamp) -> Option<Seq> {
        let mut all = self.lock();
        let cursor = all.get_mut(name)?;
        cursor.seq = cursor.seq.max(seq);
        cursor.last_seen = Some(at);
        Some(cursor.seq)
    }

    /// A cursor was deleted.
    pub(super) fn remove(&self, name: &str) {
        self.lock().remove(name);
    }

    /// All, by name.
    pub(super) fn list(&self) -> Vec<Cursor> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Cursor>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
