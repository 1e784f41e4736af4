//! The apps connected now.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Backend, metric};
use crate::model::{ClientStatus, Peer};

/// Apps that `status` shows. More would make each report long and slow for all who ask for it.
const SHOWN: usize = 32;

/// All connected apps, in the order they came.
#[derive(Debug, Default)]
pub(super) struct Clients(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    last: u64,
    entries: BTreeMap<u64, ClientStatus>,
}

impl Clients {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many there are, and those that `status` shows: who listens, and who said its name,
    /// before the others.
    pub(super) fn list(&self) -> (u64, Vec<ClientStatus>) {
        let table = self.lock();
        let total = table.entries.len();
        let mut shown: Vec<(u64, &ClientStatus)> = Vec::with_capacity(total.min(SHOWN));
        let classes: [fn(&ClientStatus) -> bool; 3] = [
            |app| app.subscriptions > 0,
            |app| app.subscriptions == 0 && !app.name.is_empty(),
            |app| app.subscriptions == 0 && app.name.is_empty(),
        ];
        for class in classes {
            let room = SHOWN - shown.len();
            let of_class = table.entries.iter().filter(|(_, app)| class(app));
            shown.extend(of_class.take(room).map(|(number, app)| (*number, app)));
        }
        shown.sort_by_key(|(number, _)| *number);
        (total as u64, shown.into_iter().map(|(_, app)| app.clone()).collect())
    }
}

/// One app's place in the list; it leaves with it.
pub(super) struct Entry {
    clients: Arc<Clients>,
    backend: Arc<dyn Backend>,
    number: u64,
}

impl Entry {
    /// Puts an app into the list.
    pub(super) fn new(clients: Arc<Clients>, backend: Arc<dyn Backend>, peer: Peer) -> Self {
        let number = {
            let mut table = clients.lock();
            table.last += 1;
            let number = table.last;
            let since = backend.now();
            let status = ClientStatus { name: String::new(), pid: peer.pid, since, subscriptions: 0 };
            table.entries.insert(number, status);
            number
        };
        let entry = Self { clients, backend, number };
        entry.gauge();
        entry
    }

    /// The app said its name.
    pub(super) fn name(&self, name: &str) {
        if let Some(entry) = self.clients.lock().entries.get_mut(&self.number) {
            name.clone_into(&mut entry.name);
        }
    }

    /// It holds so many subscriptions now.
    pub(super) fn subscriptions(&self, count: usize) {
        if let Some(entry) = self.clients.lock().entries.get_mut(&self.number) {
            entry.subscriptions = count as u64;
        }
        self.gauge();
    }

    fn gauge(&self) {
        let (clients, subscriptions) = {
            let table = self.clients.lock();
            (table.entries.len() as u64, table.entries.values().map(|entry| entry.subscriptions).sum::<u64>())
        };
        self.backend.gauge(metric::CLIENTS, i64::try_from(clients).unwrap_or(i64::MAX));
        self.backend.gauge(metric::SUBSCRIPTIONS, i64::try_from(subscriptions).unwrap_or(i64::MAX));
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.clients.lock().entries.remove(&self.number);
        self.gauge();
    }
}
