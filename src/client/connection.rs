//! One connection: who waits for which answer, and which notification goes where.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::CallError;
use crate::rpc::api::{ClosingNote, UnsubscribeParams};
use crate::rpc::framing::{Framing, Reader};
use crate::rpc::message::{self, FromDaemon, Id};

/// Calls on their way to the socket.
const MAX_OUTGOING: usize = 64;

/// Bytes of one answer or notification: far above what the daemon writes, so that only a
/// stranger at the other end ever meets it.
const MAX_MESSAGE: usize = 64 * 1024 * 1024;

/// A daemon that takes nothing more may have said why, and that is still to be read.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Notifications of one subscription at which the connection is not read until some are taken.
const MAX_WAITING: usize = 1_024;

/// What came on a subscription and was not taken yet.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) state: Mutex<Waiting>,
    /// Something came, or nothing will any more.
    pub(super) came: Notify,
}

#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// As the daemon named it; empty before its answer.
    pub(super) name: String,
    pub(super) notes: VecDeque<(String, Box<RawValue>)>,
    pub(super) over: bool,
}

impl Queue {
    pub(super) fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self) {
        self.lock().over = true;
        self.came.notify_one();
    }
}

type Answer = Result<Box<RawValue>, CallError>;

#[derive(Debug)]
struct Expected {
    answer: oneshot::Sender<Answer>,
    queue: Option<Arc<Queue>>,
}

#[derive(Debug, Default)]
struct Table {
    last_id: u64,
    expected: HashMap<u64, Expected>,
    queues: HashMap<String, Arc<Queue>>,
    reason: Option<String>,
}

#[derive(Debug)]
struct Shared {
    table: Mutex<Table>,
    /// Room was made in a queue, or a call began that waits for an answer.
    relief: Notify,
    closed: watch::Sender<Option<String>>,
    /// The daemon said that it stops.
    stopping: AtomicBool,
    outgoing: mpsc::WeakSender<String>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the daemon to end a subscription, as far as that can be said without waiting: a
    /// full channel means that it hears of it with the end of the connection.
    fn unsubscribe(&self, name: String) {
        let params = message::to_json(&UnsubscribeParams { subscription: name });
        if let Some(outgoing) = self.outgoing.upgrade() {
            let _ = outgoing.try_send(message::notification("unsubscribe", &params));
        }
    }

    /// Nothing further comes: whoever waits is told why.
    fn close(&self, why: &str) {
        let mut table = self.lock();
        let why = table.reason.take().unwrap_or_else(|| why.to_owned());
        let (expected, queues) = (std::mem::take(&mut table.expected), std::mem::take(&mut table.queues));
        self.closed.send_if_modified(|closed| {
            let first = closed.is_none();
            closed.get_or_insert(why);
            first
        });
        drop(table);
        drop(expected);
        for queue in queues.into_values() {
            queue.end();
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Connection {
    shared: Arc<Shared>,
    outgoing: mpsc::Sender<String>,
    reader: AbortHandle,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Takes a call's place back where its caller gave up.
struct Place<'a> {
    shared: &'a Shared,
    id: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        // A subscribe call stays: its answer names what is to be unsubscribed.
        let mut table = self.shared.lock();
        if table.expected.get(&self.id).is_some_and(|expected| expected.queue.is_none()) {
            table.expected.remove(&self.id);
        }
    }
}

impl Connection {
    pub(super) fn start<S: AsyncRead + AsyncWrite + Send + 'static>(stream: S) -> Arc<Self> {
        let (from, to) = tokio::io::split(stream);
        let (outgoing, queue) = mpsc::channel(MAX_OUTGOING);
        let shared = Arc::new(Shared {
            table: Mutex::default(),
            relief: Notify::new(),
            closed: watch::Sender::new(None),
            stopping: AtomicBool::new(false),
            outgoing: outgoing.downgrade(),
        });
        tokio::spawn(write(to, queue, Arc::downgrade(&shared)));
        let reader = tokio::spawn(read(from, Arc::clone(&shared))).abort_handle();
        Arc::new(Self { shared, outgoing, reader })
    }

    /// Sends a request and waits for its answer. With a queue, the notifications of the
    /// subscription that the answer names go there, from the first one on.
    pub(super) async fn call(&self, method: &str, params: &str, queue: Option<Arc<Queue>>) -> Answer {
        let (answer, answered) = oneshot::channel();
        let place = {
            let mut table = self.shared.lock();
            table.last_id += 1;
            let id = table.last_id;
            table.expected.insert(id, Expected { answer, queue });
            Place { shared: &self.shared, id }
        };
        self.shared.relief.notify_one();
        self.send(message::request(&Id::from(place.id), method, params)).await?;
        match answered.await {
            Ok(answer) => answer,
            Err(_) => Err(self.gone()),
        }
    }

    pub(super) async fn notify(&self, method: &str, params: &str) -> Result<(), CallError> {
        self.send(message::notification(method, params)).await
    }

    /// Gives a subscription up.
    pub(super) fn forget(&self, queue: &Queue) {
        let name = std::mem::take(&mut queue.lock().name);
        if self.shared.lock().queues.remove(&name).is_some() {
            self.shared.unsubscribe(name);
        }
        self.shared.relief.notify_one();
    }

    /// Something was taken from a queue.
    pub(super) fn relieve(&self) {
        self.shared.relief.notify_one();
    }

    pub(super) async fn closed(&self) -> String {
        let mut closed = self.shared.closed.subscribe();
        let reason = closed.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
        reason.unwrap_or_default()
    }

    async fn send(&self, message: String) -> Result<(), CallError> {
        if self.shared.closed.borrow().is_some() {
            return Err(self.gone());
        }
        self.outgoing.send(message).await.map_err(|_| self.gone())
    }

    fn gone(&self) -> CallError {
        let why = self.shared.closed.borrow().clone().unwrap_or_else(|| "it ended".into());
        if self.shared.stopping.load(Ordering::Relaxed) {
            CallError::Stopped(why)
        } else {
            CallError::Closed(why)
        }
    }
}

async fn write<W: AsyncWrite + Unpin>(mut to: W, mut queue: mpsc::Receiver<String>, shared: Weak<Shared>) {
    let mut out = Vec::new();
    while let Some(message) = queue.recv().await {
        out.clear();
        Framing::Lines.frame(&message, &mut out);
        while out.len() < 64 * 1024
            && let Ok(message) = queue.try_recv()
        {
            Framing::Lines.frame(&message, &mut out);
        }
        let written = async {
            to.write_all(&out).await?;
            to.flush().await
        };
        let written: io::Result<()> = written.await;
        if let Err(error) = written {
            if let Some(shared) = shared.upgrade() {
                let mut closed = shared.closed.subscribe();
                if timeout(LAST_WORDS, closed.wait_for(Option::is_some)).await.is_err() {
                    shared.close(&format!("writing failed: {error}"));
                }
            }
            return;
        }
    }
}

/// What every notification of a subscription names.
#[derive(Deserialize)]
struct Addressed {
    subscription: String,
}

async fn read<R: AsyncRead + Unpin>(from: R, shared: Arc<Shared>) {
    let mut reader = Reader::new(from, MAX_MESSAGE);
    let why = loop {
        let line = match reader.next().await {
            Ok(Some(line)) => line,
            Ok(None) => break "the daemon closed it".to_owned(),
            Err(error) => break error.to_string(),
        };
        let message: FromDaemon = match serde_json::from_slice(line) {
            Ok(message) => message,
            Err(error) => break format!("what came is no JSON-RPC: {error}"),
        };
        if let Some(queue) = route(&shared, message) {
            let_it_drain(&shared, &queue).await;
        }
    };
    shared.close(&why);
}

/// Hands `message` to whoever it is for; the queue it went into, if any.
fn route(shared: &Shared, message: FromDaemon) -> Option<Arc<Queue>> {
    let Some(method) = message.method else {
        answer(shared, message);
        return None;
    };
    let params = message.params?;
    if method == "closing" {
        let note = serde_json::from_str::<ClosingNote>(params.get()).ok();
        shared.stopping.store(true, Ordering::Relaxed);
        shared.lock().reason = note.map(|note| note.reason);
        return None;
    }
    let name = serde_json::from_str::<Addressed>(params.get()).ok()?.subscription;
    let over = method == "ended";
    let queue = {
        let mut table = shared.lock();
        if over { table.queues.remove(&name) } else { table.queues.get(&name).cloned() }
    }?;
    {
        let mut waiting = queue.lock();
        waiting.notes.push_back((method, params));
        waiting.over = over;
    }
    queue.came.notify_one();
    Some(queue)
}

fn answer(shared: &Shared, message: FromDaemon) {
    let mut table = shared.lock();
    let id = message.id.as_ref().and_then(|id| id.get().parse::<u64>().ok());
    let Some(expected) = id.and_then(|id| table.expected.remove(&id)) else {
        // An error without an id is about the connection as a whole.
        table.reason = message.error.map(|error| error.message).or(table.reason.take());
        return;
    };
    let outcome = match (message.result, message.error) {
        (_, Some(error)) => Err(CallError::Refused(error)),
        (Some(result), None) => Ok(result),
        (None, None) => Ok(Box::<RawValue>::default()),
    };
    if let (Some(queue), Ok(result)) = (expected.queue, &outcome)
        && let Ok(named) = serde_json::from_str::<Addressed>(result.get())
    {
        if expected.answer.is_closed() {
            shared.unsubscribe(named.subscription);
        } else {
            queue.lock().name.clone_from(&named.subscription);
            table.queues.insert(named.subscription, queue);
        }
    }
    drop(table);
    // Nobody waits any more where the deadline came first.
    let _ = expected.answer.send(outcome);
}

/// Holds reading while `queue` is full, unless a call waits for its answer: the app may well be
/// calling from the very loop that takes from the queue.
async fn let_it_drain(shared: &Shared, queue: &Queue) {
    loop {
        let relieved = shared.relief.notified();
        let full = {
            let waiting = queue.lock();
            waiting.notes.len() >= MAX_WAITING && !waiting.over && !waiting.name.is_empty()
        };
        if !full || !shared.lock().expected.is_empty() {
            return;
        }
        relieved.await;
    }
}
