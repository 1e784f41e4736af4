//! The apps connected now.

use std::collections::{BTreeMap, BTreeSet};
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
    /// The numbers of those who listen, of those who said no more than their name, and of the others.
    /// Kept, for a thousand of them are not to be looked through at each `status`.
    classes: [BTreeSet<u64>; 3],
    subscriptions: u64,
}

/// In which of [`Table::classes`] an app is.
fn class(app: &ClientStatus) -> usize {
    match app {
        ClientStatus { subscriptions: 1.., .. } => 0,
        ClientStatus { name, .. } if !name.is_empty() => 1,
        ClientStatus { .. } => 2,
    }
}

impl Table {
    fn insert(&mut self, app: ClientStatus) -> u64 {
        self.last += 1;
        self.classes[class(&app)].insert(self.last);
        self.subscriptions += app.subscriptions;
        self.entries.insert(self.last, app);
        self.last
    }

    fn remove(&mut self, number: u64) -> Option<ClientStatus> {
        let app = self.entries.remove(&number)?;
        self.classes[class(&app)].remove(&number);
        self.subscriptions -= app.subscriptions;
        Some(app)
    }

    fn change(&mut self, number: u64, change: impl FnOnce(&mut ClientStatus)) {
        if let Some(mut app) = self.remove(number) {
            change(&mut app);
            self.classes[class(&app)].insert(number);
            self.subscriptions += app.subscriptions;
            self.entries.insert(number, app);
        }
    }
}

impl Clients {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many there are, and those that `status` shows: who listens, and who said its name,
    /// before the others.
    pub(super) fn list(&self) -> (u64, Vec<ClientStatus>) {
        let table = self.lock();
        let mut shown: Vec<u64> = table.classes.iter().flatten().copied().take(SHOWN).collect();
        shown.sort_unstable();
        let shown = shown.iter().filter_map(|number| table.entries.get(number)).cloned().collect();
        (table.entries.len() as u64, shown)
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
            let since = backend.now();
            let app = ClientStatus { name: String::new(), pid: peer.pid, since, subscriptions: 0 };
            clients.lock().insert(app)
        };
        let entry = Self { clients, backend, number };
        entry.gauge();
        entry
    }

    /// The app said its name.
    pub(super) fn name(&self, name: &str) {
        self.clients.lock().change(self.number, |app| name.clone_into(&mut app.name));
    }

    /// It holds so many subscriptions now.
    pub(super) fn subscriptions(&self, count: usize) {
        self.clients.lock().change(self.number, |app| app.subscriptions = count as u64);
        self.gauge();
    }

    fn gauge(&self) {
        let (clients, subscriptions) = {
            let table = self.clients.lock();
            (table.entries.len() as u64, table.subscriptions)
        };
        self.backend.gauge(metric::CLIENTS, i64::try_from(clients).unwrap_or(i64::MAX));
        self.backend.gauge(metric::SUBSCRIPTIONS, i64::try_from(subscriptions).unwrap_or(i64::MAX));
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.clients.lock().remove(self.number);
        self.gauge();
    }
}
