//! The handle every other room holds: asks the two threads, and waits for nothing it need not.

mod cursors;
mod quarantine;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::care;
use super::checkup::Checkup;
use super::deeds::Deed;
use super::disk::OpenFiles;
use super::files::{Folder, file_bytes};
use super::open::{self, OpenError};
use super::pulse::Pulse;
use super::reader::{self, Question};
use super::request::{ClientAsk, EngineAsk};
use super::trouble::gone;
use super::writer::{self, Room, Writer};
use super::{
    Counters, EventPage, EventQuery, Full, Inserted, MessagePage, MessageQuery, QuarantinePage, Settings,
    StatePage, StoreEvent, Stored, memory, rescue,
};
use crate::clock::Clock;
use crate::model::{
    DueQuery, Epoch, ErrorKind, EventRow, Held, Message, MessageId, NewMessage, Place, Record, Refusal,
    Remembered, Seq, Timestamp, Transition,
};

/// Events of the writer that may wait for the engine.
const EVENTS: usize = 256;

/// How long [`Store::close`] waits for the last commit and the checkpoint.
pub const CLOSE_WAIT: Duration = Duration::from_secs(4);

/// What opening gave.
#[derive(Debug)]
pub struct Opened {
    /// The handle.
    pub store: Store,
    /// What the writer tells the engine. It must be drained until [`Store::close`] is answered
    /// (or be dropped): the writer waits for room in it.
    pub events: mpsc::Receiver<StoreEvent>,
    /// What earlier runs left for the session.
    pub remembered: Remembered,
    /// Which database this is.
    pub epoch: Epoch,
    /// The clock to go by from here on: it goes on from the last run.
    pub clock: Clock,
    /// The last process ended without closing the database.
    pub unclean: bool,
    /// What happened on the way that a person should know: recovered, set aside, upgraded.
    pub notes: Vec<String>,
    /// Files beside the database that are kept for people, with their sizes.
    pub set_aside: Vec<(PathBuf, u64)>,
}

/// A handle on the store. Clones are cheap; the threads end when the last one is gone, or with
/// [`Store::close`].
#[derive(Debug, Clone)]
pub struct Store {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    engine: mpsc::Sender<EngineAsk>,
    clients: mpsc::Sender<ClientAsk>,
    questions: Mutex<Option<mpsc::Sender<Question>>>,
    counters: Arc<Mutex<Counters>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    epoch: Epoch,
    pub(super) path: PathBuf,
    pub(super) clock: Clock,
    pub(super) files: Arc<Mutex<Option<OpenFiles>>>,
    pub(super) last_check: Mutex<Option<Checkup>>,
    pub(super) concern: Arc<Mutex<Option<String>>>,
    pub(super) pulse: Pulse,
    /// Last, so that it wakes the writer when the channels above are gone.
    writer: Waker,
}

#[derive(Debug)]
struct Waker(Thread);

/// A place in line that is kept for one message.
#[derive(Debug)]
pub struct Slot<'a> {
    place: mpsc::Permit<'a, ClientAsk>,
    writer: &'a Waker,
}

impl Slot<'_> {
    /// As [`Store::submit`], at once. `answered` is called after the commit, on the thread that
    /// writes, so it must not wait; only where it is told that its commit has few answers may it make
    /// a system call. Where the store is closed first it may be dropped instead.
    pub fn post(
        self,
        new: NewMessage,
        answered: impl FnOnce(Result<Inserted, Refusal>, bool) + Send + 'static,
    ) {
        self.place.send(ClientAsk::Post(Box::new((new, answered))));
        self.writer.0.unpark();
    }
}

impl Drop for Waker {
    fn drop(&mut self) {
        self.0.unpark();
    }
}

impl Store {
    /// Opens the database and starts the two threads. Blocks (the disk); call it before serving.
    ///
    /// # Errors
    /// When the file must not be touched (newer, foreign, unsuitable file system) or cannot be
    /// read or written. A damaged file is no error: it is set aside, salvaged, and noted.
    pub fn open(settings: Settings, clock: Clock) -> Result<Opened, OpenError> {
        let path = settings.path.clone();
        let found = open::open(settings, clock)?;
        let storage = |detail: String| OpenError::storage(&path, detail);
        let remembered = memory::remembered(&found.desk.conn, &found.desk.settings.server_key)
            .map_err(|error| storage(error.to_string()))?;
        let found_clock = found.desk.clock;
        let counters = Arc::new(Mutex::new(found.desk.tally.counters(file_bytes(&path))));

        let files = Arc::new(Mutex::new(OpenFiles::of(&path)));
        let concern = Arc::new(Mutex::new(None));
        let pulse = Pulse::default();

        let (engine, engine_asks) = mpsc::channel(writer::INBOX);
        let (clients, client_asks) = mpsc::channel(writer::INBOX);
        let (questions, asked) = mpsc::channel(reader::INBOX);
        let (events_in, events) = mpsc::channel(EVENTS);
        let writer = Writer {
            desk: found.desk,
            path: path.clone(),
            folder: Folder::of(&path).map_err(|error| storage(error.to_string()))?,
            engine: engine_asks,
            clients: client_asks,
            events: events_in,
            counters: counters.clone(),
            wal_pages: found.wal_pages,
            files: files.clone(),
            room: Room::default(),
            commits: Default::default(),
            pulse: pulse.clone(),
        };
        let reading = {
            let (conn, path, concern) = (found.reader, path.clone(), concern.clone());
            spawn("store reader", move || reader::run(conn, &path, &concern, asked)).map_err(&storage)?
        };
        let writing = spawn("store writer", move || writer.run()).map_err(&storage)?;
        let waker = Waker(writing.thread().clone());
        let inner = Inner {
            engine,
            clients,
            questions: Mutex::new(Some(questions)),
            counters,
            threads: Mutex::new(vec![reading, writing]),
            epoch: found.epoch.clone(),
            path,
            clock,
            files,
            last_check: Mutex::new(None),
            concern,
            pulse,
            writer: waker,
        };
        let set_aside = rescue::left_for_people(&inner.path);
        Ok(Opened {
            store: Self { inner: Arc::new(inner) },
            events,
            remembered,
            epoch: found.epoch,
            clock: found_clock,
            unclean: found.unclean,
            notes: found.notes,
            set_aside,
        })
    }

    // --- for the engine: never waits ---

    /// Puts things down for the session, all in one commit; answered by
    /// [`StoreEvent::Recorded`] after it.
    ///
    /// # Errors
    /// Hands the batch back when the writer's inbox is full: stop reading, try again after the
    /// next store event.
    pub fn record(&self, batch: Vec<(u64, Record)>) -> Result<(), Full<Vec<(u64, Record)>>> {
        if batch.is_empty() {
            return Ok(());
        }
        self.tell(EngineAsk::Records(batch)).map_err(|ask| match ask {
            EngineAsk::Records(batch) => Full(batch),
            EngineAsk::Due(_) => Full(Vec::new()),
        })
    }

    /// Asks for due rows; answered by [`StoreEvent::Due`], which knows all that was recorded
    /// before this call.
    ///
    /// # Errors
    /// Hands the question back when the writer's inbox is full.
    pub fn load_due(&self, query: DueQuery) -> Result<(), Full<DueQuery>> {
        self.tell(EngineAsk::Due(query.clone())).map_err(|_| Full(query))
    }

    /// Waits until the writer's inbox has room for what [`Store::record`] or [`Store::load_due`]
    /// handed back. Comes back at once where the writer is gone.
    pub async fn room(&self) {
        // Closed: whoever asks again is told.
        let _ = self.inner.engine.reserve().await;
    }

    fn tell(&self, ask: EngineAsk) -> Result<(), EngineAsk> {
        match self.inner.engine.try_send(ask) {
            Ok(()) => {
                self.inner.writer.0.unpark();
                Ok(())
            }
            Err(mpsc::error::TrySendError::Full(ask) | mpsc::error::TrySendError::Closed(ask)) => Err(ask),
        }
    }

    // --- for apps: waits for room, and for the commit ---

    /// Queues a message, once per id. The answer is given after the commit.
    ///
    /// # Errors
    /// `conflict` (the id is taken by another body), `queue_full`, `store_failed`, `busy`.
    pub async fn send(&self, new: NewMessage) -> Result<Inserted, Refusal> {
        self.ask(|reply| ClientAsk::Send(Box::new(new), reply)).await
    }

    /// As [`Store::send`], in two steps: this comes back once the message has its place in line,
    /// which is the order of these calls; what it gives is the answer to wait for.
    ///
    /// # Errors
    /// `shutting_down`; the answer has those of [`Store::send`].
    pub async fn submit(
        &self,
        new: NewMessage,
    ) -> Result<impl Future<Output = Result<Inserted, Refusal>> + Send + use<>, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.hand_in(ClientAsk::Send(Box::new(new), reply)).await?;
        Ok(async move { answer.await.map_err(|_| gone())? })
    }

    /// A place in the line of [`Store::submit`], where there is one without waiting for it.
    #[must_use]
    pub fn slot(&self) -> Option<Slot<'_>> {
        let place = self.inner.clients.try_reserve().ok()?;
        Some(Slot { place, writer: &self.inner.writer })
    }

    /// Takes a queued, parked or uncertain message back.
    ///
    /// # Errors
    /// `not_found`, `conflict` (its state forbids it), `busy` (on the wire).
    pub async fn cancel(&self, id: &MessageId) -> Result<Message, Refusal> {
        self.act(id, Deed::Cancel).await
    }

    /// Queues a parked, uncertain or rejected message again, at its place.
    ///
    /// # Errors
    /// As [`Store::cancel`].
    pub async fn retry(&self, id: &MessageId) -> Result<Message, Refusal> {
        self.act(id, Deed::Retry).await
    }

    /// Gives a parked, uncertain or rejected message up.
    ///
    /// # Errors
    /// As [`Store::cancel`].
    pub async fn drop_message(&self, id: &MessageId) -> Result<Message, Refusal> {
        self.act(id, Deed::Drop).await
    }

    async fn act(&self, id: &MessageId, deed: Deed) -> Result<Message, Refusal> {
        let id = id.clone();
        self.ask(|reply| ClientAsk::Act(id, deed, reply)).await
    }

    /// Ends what is overdue at `now` (steady clock), but the places in `skip`; told as
    /// [`StoreEvent::Gone`]. Gives the time of the next one, `now` itself where more is overdue.
    ///
    /// # Errors
    /// `store_failed`.
    pub async fn expire(&self, now: Timestamp, skip: Vec<Place>) -> Result<Option<Timestamp>, Refusal> {
        self.ask(|reply| ClientAsk::Expire { now, skip, reply }).await
    }

    /// When the first message expires (steady clock).
    ///
    /// # Errors
    /// `store_failed`.
    pub async fn next_expiry(&self) -> Result<Option<Timestamp>, Refusal> {
        self.ask(ClientAsk::NextExpiry).await
    }

    /// Keeps a value under a name (the names are shared with [`Record::Remember`]); none forgets
    /// it. Answered after the commit.
    ///
    /// # Errors
    /// `store_failed`.
    pub async fn value_set(&self, name: &str, value: Option<String>) -> Result<(), Refusal> {
        self.ask(|reply| ClientAsk::ValueSet(name.to_owned(), value, reply)).await
    }

    /// The value under a name.
    ///
    /// # Errors
    /// `store_failed`.
    pub async fn value_get(&self, name: &str) -> Result<Option<String>, Refusal> {
        self.ask(|reply| ClientAsk::ValueGet(name.to_owned(), reply)).await
    }

    /// Takes new limits from here on. Path and durability need a restart, the server is another
    /// matter ([`Store::use_server`]).
    ///
    /// # Errors
    /// `store_failed`.
    pub async fn reconfigure(&self, settings: Settings) -> Result<(), Refusal> {
        self.ask(|reply| ClientAsk::Reconfigure(Box::new(settings), reply)).await
    }

    /// Looks for what has become too old and gives free space back. Pruning by count and bytes
    /// goes with every commit; call this now and then (hourly) for what only ages.
    ///
    /// # Errors
    /// `store_failed`.
    pub async fn maintain(&self) -> Result<(), Refusal> {
        self.ask(ClientAsk::Maintain).await
    }

    pub(super) async fn hand_in(&self, ask: ClientAsk) -> Result<(), Refusal> {
        self.inner.clients.send(ask).await.map_err(|_| gone())?;
        self.inner.writer.0.unpark();
        Ok(())
    }

    pub(super) async fn ask<T>(
        &self,
        ask: impl FnOnce(oneshot::Sender<Result<T, Refusal>>) -> ClientAsk,
    ) -> Result<T, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.hand_in(ask(reply)).await?;
        answer.await.map_err(|_| gone())?
    }

    // --- questions, on the reader's connection ---

    /// The message with this id, as committed.
    ///
    /// # Errors
    /// `store_failed`.
    pub async fn get(&self, id: &MessageId) -> Result<Option<Stored>, Refusal> {
        let id = id.clone();
        self.question(|reply| Question::Message(id, reply)).await
    }

    /// A page of messages, by place.
    ///
    /// # Errors
    /// `store_failed`.
    pub async fn list_messages(&self, query: MessageQuery) -> Result<MessagePage, Refusal> {
        self.question(|reply| Question::Messages(query, reply)).await
    }

    /// A page of the event sequence.
    ///
    /// # Errors
    /// `store_failed`.
    pub async fn events(&self, query: EventQuery) -> Result<EventPage, Refusal> {
        self.question(|reply| Question::Events(query, reply)).await
    }

    /// The newest event of a key.
    ///
    /// # Errors
    /// `store_failed`.
    pub async fn state_get(&self, kind: &str, key: &str) -> Result<Option<Arc<EventRow>>, Refusal> {
        self.question(|reply| Question::StateOf(kind.to_owned(), key.to_owned(), reply)).await
    }

    /// The newest event of each key of a type, by key, behind the key `after`.
    ///
    /// # Errors
    /// `store_failed`.
    pub async fn state_list(
        &self,
        kind: &str,
        limit: usize,
        after: Option<String>,
    ) -> Result<StatePage, Refusal> {
        self.question(|reply| Question::States { kind: kind.to_owned(), limit, after, reply }).await
    }

    /// The newest changes of the link's state, oldest first.
    ///
    /// # Errors
    /// `store_failed`.
    pub async fn history(&self, limit: usize) -> Result<Vec<Transition>, Refusal> {
        self.question(|reply| Question::History(limit, reply)).await
    }

    async fn question<T>(
        &self,
        question: impl FnOnce(oneshot::Sender<Result<T, Refusal>>) -> Question,
    ) -> Result<T, Refusal> {
        let questions = lock(&self.inner.questions).clone();
        let Some(questions) = questions else {
            return Err(gone());
        };
        let (reply, answer) = oneshot::channel();
        questions.send(question(reply)).await.map_err(|_| gone())?;
        // A clone held here would keep the reader alive past `close`.
        drop(questions);
        answer.await.map_err(|_| gone())?
    }

    // --- from memory ---

    /// The numbers as of the last commit. Never touches the database.
    #[must_use]
    pub fn counters(&self) -> Counters {
        lock(&self.inner.counters).clone()
    }

    /// Which database this is.
    #[must_use]
    pub fn epoch(&self) -> &Epoch {
        &self.inner.epoch
    }

    /// Commits what is pending, writes the log back, and ends both threads. Every later call is
    /// refused as `shutting_down`.
    ///
    /// # Errors
    /// `store_failed` when the last commit or the checkpoint failed, `timeout` after 4 s.
    pub async fn close(&self) -> Result<(), Refusal> {
        // The reader first: the last connection to go is the one that cleans up.
        lock(&self.inner.questions).take();
        let threads = std::mem::take(&mut *lock(&self.inner.threads));
        let closing = async {
            let outcome = self.ask(ClientAsk::Close).await;
            care::join(threads).await;
            outcome
        };
        tokio::time::timeout(CLOSE_WAIT, closing).await.map_err(|_| {
            Refusal::new(ErrorKind::Timeout, "the database did not close within 4 s")
                .hint("nothing is lost: the next start recovers what was committed")
        })?
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // What is in there is whole at any moment; a panic elsewhere does not spoil it.
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

pub(super) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, String> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map_err(|error| format!("the {name} thread could not be started: {error}"))
}
