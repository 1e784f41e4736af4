//! What the session wants of the store, in order, until the store has room for it.

use std::collections::VecDeque;

use crate::model::{DueQuery, Record};
use crate::store::Store;

#[derive(Debug)]
enum Ask {
    /// Go into one commit.
    Records(Vec<(u64, Record)>),
    Due(DueQuery),
}

/// The queue. While it holds anything the link is not read, which bounds it.
#[derive(Debug, Default)]
pub(super) struct Asks(VecDeque<Ask>);

impl Asks {
    /// Adds a record; records in a row share a commit.
    pub(super) fn record(&mut self, ticket: u64, record: Record) {
        match self.0.back_mut() {
            Some(Ask::Records(batch)) => batch.push((ticket, record)),
            Some(Ask::Due(_)) | None => self.0.push_back(Ask::Records(vec![(ticket, record)])),
        }
    }

    /// Adds a question for due rows: it sees everything recorded before it.
    pub(super) fn due(&mut self, query: DueQuery) {
        self.0.push_back(Ask::Due(query));
    }

    /// Whether nothing waits for room.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Hands over as much as the store has room for.
    pub(super) fn hand_over(&mut self, store: &Store) {
        while let Some(ask) = self.0.pop_front() {
            let refused = match ask {
                Ask::Records(batch) => store.record(batch).err().map(|full| Ask::Records(full.0)),
                Ask::Due(query) => store.load_due(query).err().map(|full| Ask::Due(full.0)),
            };
            if let Some(ask) = refused {
                self.0.push_front(ask);
                return;
            }
        }
    }
}
