//! The store as other rooms use it, each test on a database of its own.

mod commit;
mod flips;
mod fresh;
mod inbound;
mod keeping;
mod numbers;
mod older;
mod opening;
mod outbound;
mod quarantine;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::{InboxSettings, Inserted, Opened, OutboxSettings, Settings, Store, StoreEvent};
use crate::clock::Clock;
use crate::model::{
    Confirm, Delivery, Due, DueQuery, Durability, MessageId, NewMessage, NewRow, Payload, Place, Record,
    Recorded, Resend, Timestamp, Unit,
};

/// A store in a folder of its own.
struct Room {
    dir: tempfile::TempDir,
    settings: Settings,
    store: Store,
    events: mpsc::Receiver<StoreEvent>,
    tickets: u64,
}

fn settings(dir: &tempfile::TempDir) -> Settings {
    Settings {
        path: dir.path().join("default.db"),
        durability: Durability::Full,
        server_key: "wss://example.org json".to_owned(),
        outbox: OutboxSettings {
            max_messages: 1000,
            max_bytes: 1 << 20,
            drop_oldest: false,
            keep_finished: 1000,
            keep_finished_age: Duration::from_secs(3600),
        },
        ages_after: Duration::ZERO,
        inbox: InboxSettings { max_events: 10_000, max_age: Duration::from_secs(3600), max_bytes: 1 << 24 },
    }
}

fn open(settings: Settings) -> Opened {
    Store::open(settings, Clock::start()).unwrap()
}

impl Room {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = settings(&dir);
        change(&mut settings);
        let opened = open(settings.clone());
        Self { dir, settings, store: opened.store, events: opened.events, tickets: 0 }
    }

    fn path(&self) -> PathBuf {
        self.settings.path.clone()
    }

    /// Closes and opens again.
    async fn reopen(self) -> Self {
        self.store.close().await.unwrap();
        let Self { dir, settings, .. } = self;
        let opened = open(settings.clone());
        Self { dir, settings, store: opened.store, events: opened.events, tickets: 0 }
    }

    /// What a start finds after the process was killed at this very moment: what is in the files.
    fn after_kill(&self) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings { path: dir.path().join("default.db"), ..self.settings.clone() };
        for suffix in ["", "-wal"] {
            let from = super::files::beside(&self.path(), suffix);
            if from.exists() {
                std::fs::copy(&from, super::files::beside(&settings.path, suffix)).unwrap();
            }
        }
        let opened = open(settings.clone());
        Self { dir, settings, store: opened.store, events: opened.events, tickets: 0 }
    }

    /// The next event that `pick` takes; the others are passed over.
    async fn event<T>(&mut self, mut pick: impl FnMut(StoreEvent) -> Option<T>) -> T {
        let wait = async {
            loop {
                let event = self.events.recv().await.expect("the writer lives");
                if let Some(found) = pick(event) {
                    return found;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.expect("the event comes")
    }

    /// Records, and waits for the answers.
    async fn record(&mut self, records: Vec<Record>) -> Vec<Recorded> {
        let first = self.tickets;
        let batch: Vec<_> = records
            .into_iter()
            .map(|record| {
                self.tickets += 1;
                (self.tickets - 1, record)
            })
            .collect();
        let count = batch.len();
        self.store.record(batch).unwrap();
        let mut answers = Vec::new();
        while answers.len() < count {
            let recorded = self
                .event(|event| match event {
                    StoreEvent::Recorded(recorded) => Some(recorded),
                    StoreEvent::Queued { .. }
                    | StoreEvent::Superseded { .. }
                    | StoreEvent::Requeued(_)
                    | StoreEvent::Gone(_)
                    | StoreEvent::Due(_)
                    | StoreEvent::Stalled(_)
                    | StoreEvent::Low(_)
                    | StoreEvent::Fatal(_) => None,
                })
                .await;
            answers.extend(recorded);
        }
        let tickets: Vec<u64> = answers.iter().map(|(ticket, _)| *ticket).collect();
        assert_eq!(tickets, (first..first + count as u64).collect::<Vec<_>>(), "answers come in order");
        answers.into_iter().map(|(_, answer)| answer).collect()
    }

    async fn due(&mut self, query: DueQuery) -> Due {
        self.store.load_due(query).unwrap();
        self.event(|event| if let StoreEvent::Due(due) = event { Some(due) } else { None }).await
    }

    async fn due_all(&mut self) -> Due {
        self.due(everything()).await
    }

    async fn send(&self, new: NewMessage) -> Inserted {
        self.store.send(new).await.unwrap()
    }

    /// Sends and ends a message.
    async fn finish(&mut self, new: NewMessage, state: crate::model::MessageState) -> MessageId {
        let id = self.send(new).await.id;
        let place = self.place(&id).await;
        self.record(vec![ended(place, &id, state)]).await;
        id
    }

    async fn place(&self, id: &MessageId) -> Place {
        self.store.get(id).await.unwrap().expect("the message is there").place
    }

    async fn state(&self, id: &MessageId) -> crate::model::MessageState {
        self.store.get(id).await.unwrap().expect("the message is there").message.state
    }

    /// Stores events, and gives what became of them.
    async fn receive(&mut self, rows: Vec<NewRow>) -> Vec<crate::model::Appended> {
        let unit = Unit { rows, ..Unit::default() };
        let record = Record::Inbound { received_at: Timestamp::from_millis(Self::NOW), unit };
        match self.record(vec![record]).await.remove(0) {
            Recorded::Inbound(appended) => appended,
            other @ (Recorded::Done | Recorded::Released { .. } | Recorded::Retried { .. }) => {
                panic!("{other:?}")
            }
        }
    }

    /// A receipt time that is not too old for any test.
    const NOW: i64 = 4_000_000_000_000;
}

fn everything() -> DueQuery {
    DueQuery { after: Place(0), lane: None, skip: Vec::new(), limit: 10_000, bytes: usize::MAX }
}

fn message(body: &str) -> NewMessage {
    NewMessage {
        id: None,
        kind: "chat".into(),
        lane: "default".into(),
        key: None,
        delivery: Delivery::Durable,
        confirm: Confirm::Reply,
        resend: Resend::Always,
        ttl: None,
        payload: Payload::Json(format!("{{\"b\":\"{body}\"}}").into()),
    }
}

fn named(id: &str, body: &str) -> NewMessage {
    NewMessage { id: Some(MessageId::new(id).unwrap()), ..message(body) }
}

fn latest(key: &str, body: &str) -> NewMessage {
    NewMessage { delivery: Delivery::Latest, key: Some(key.into()), ..message(body) }
}

fn ended(place: Place, id: &MessageId, state: crate::model::MessageState) -> Record {
    Record::Ended { place, id: id.clone(), state, reason: None, attempts: 1, maybe_delivered: false }
}

fn event(id: Option<&str>, kind: &str, body: &str) -> NewRow {
    NewRow::Event {
        stream: "".into(),
        id: id.map(str::to_owned),
        kind: kind.to_owned(),
        payload: Payload::Json(Arc::from(body)),
        delivery: Delivery::Durable,
        key: None,
    }
}

fn keyed(delivery: Delivery, kind: &str, key: &str, body: &str) -> NewRow {
    NewRow::Event {
        stream: "".into(),
        id: None,
        kind: kind.to_owned(),
        payload: Payload::Json(Arc::from(body)),
        delivery,
        key: Some(key.to_owned()),
    }
}
