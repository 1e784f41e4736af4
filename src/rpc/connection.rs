//! One connection: reads requests, keeps their order where it matters, writes answers.
//!
//! All tasks of a connection end with it. What it holds is bounded: requests by number and
//! bytes, answers by the outbox and by how many questions are worked on at a time.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::api::ClosingNote;
use super::clients::Entry;
use super::dispatch::{Dispatch, MAX_UNANSWERED};
use super::error::{ErrorObject, INVALID_REQUEST, PARSE_ERROR};
use super::framing::{FrameError, Framing, Reader};
use super::message::{Id, Incoming, notification, refusal, to_json};
use super::out::{self, Outbox, WriteError};
use super::receipts::{Late, Receipts};
use super::{Shared, metric};
use crate::model::{ErrorKind, Peer, Refusal};

/// Subscriptions of one connection.
pub(super) const MAX_SUBSCRIPTIONS: usize = 1_000;

/// All of what may be unanswered.
#[allow(clippy::cast_possible_truncation, reason = "a few thousand")]
const EVERY_ANSWER: u32 = MAX_UNANSWERED as u32;

/// Requests that are taken in a row before others get their turn.
const AT_ONCE: usize = 256;

/// How long an app that closed its half may wait for the answers it asked for.
const LINGER: Duration = Duration::from_secs(35);

/// How long apps get to take what is left when the daemon stops.
const PARTING: Duration = Duration::from_secs(1);

/// One connected app, as its requests and subscriptions see it.
pub(super) struct Client {
    pub(super) shared: Arc<Shared>,
    pub(super) out: Outbox,
    /// Requests that may be begun and not answered.
    pub(super) unanswered: Arc<Semaphore>,
    pub(super) receipts: Arc<Receipts>,
    framing: Arc<OnceLock<Framing>>,
    pub(super) entry: Entry,
    /// The connection ends: subscriptions do too.
    ending: CancellationToken,
    last_subscription: AtomicU64,
    subscriptions: Mutex<HashMap<String, Running>>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

/// A subscription that runs.
#[derive(Debug, Clone)]
pub(super) struct Running {
    /// Ends it.
    pub(super) stop: CancellationToken,
    /// It said its last word.
    pub(super) ended: CancellationToken,
}

/// A subscription's place in the table of its connection.
pub(super) struct Registered {
    pub(super) name: String,
    pub(super) running: Running,
    client: Arc<Client>,
}

impl Drop for Registered {
    fn drop(&mut self) {
        let left = {
            let mut table = self.client.lock();
            table.remove(&self.name);
            table.len()
        };
        self.client.entry.subscriptions(left);
        self.running.ended.cancel();
    }
}

impl Client {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Running>> {
        self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new subscription of this connection.
    pub(super) fn register(self: &Arc<Self>) -> Result<Registered, Refusal> {
        let name = (self.last_subscription.fetch_add(1, Ordering::Relaxed) + 1).to_string();
        let running = Running { stop: self.ending.child_token(), ended: CancellationToken::new() };
        let count = {
            let mut table = self.lock();
            if table.len() >= MAX_SUBSCRIPTIONS {
                let message = format!("a connection holds at most {MAX_SUBSCRIPTIONS} subscriptions");
                return Err(
                    Refusal::new(ErrorKind::Busy, message).hint("end some, or use another connection")
                );
            }
            table.insert(name.clone(), running.clone());
            table.len()
        };
        self.entry.subscriptions(count);
        Ok(Registered { name, running, client: Arc::clone(self) })
    }

    /// How its messages are told apart.
    pub(super) fn framing(&self) -> Framing {
        self.framing.get().copied().unwrap_or(Framing::Lines)
    }

    /// The subscription called `name`.
    pub(super) fn subscription(&self, name: &str) -> Option<Running> {
        self.lock().get(name).cloned()
    }
}

/// Why a connection ends.
enum End {
    /// The app closed its half.
    Finished,
    /// It was cut off for this.
    Broken(ErrorObject),
    /// Nobody reads any more.
    Gone,
    /// The daemon stops.
    Stopping,
    /// A task of ours panicked.
    Panicked,
}

/// Serves one app until it goes or `shutdown` is called for.
pub(super) async fn serve<S>(stream: S, peer: Peer, shared: Arc<Shared>, shutdown: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let (from, to) = tokio::io::split(stream);
    let reader = Reader::new(from, shared.limits.max_line);
    let (out, lines) = out::buffer();
    let unanswered = Arc::new(Semaphore::new(MAX_UNANSWERED));
    let receipts = Receipts::new(Arc::clone(&unanswered), reader.framing());
    let (gone, finished) = (CancellationToken::new(), CancellationToken::new());
    let writer = tokio::spawn({
        let backend = Arc::clone(&shared.backend);
        let (ended, finished) = (gone.clone().drop_guard(), finished.clone());
        let receipts = Arc::clone(&receipts);
        async move {
            if let Err(WriteError::Slow) = out::write(to, lines, receipts, finished).await {
                backend.count(metric::SLOW_CLOSED);
                tracing::warn!(pid = peer.pid, "an app was cut off: it read nothing for too long");
            }
            drop(ended);
        }
    });
    let client = Arc::new(Client {
        entry: Entry::new(Arc::clone(&shared.clients), Arc::clone(&shared.backend), peer),
        out,
        unanswered,
        receipts,
        framing: reader.framing(),
        ending: CancellationToken::new(),
        last_subscription: AtomicU64::new(0),
        subscriptions: Mutex::default(),
        shared,
    });
    let mut tasks = JoinSet::new();
    let end = converse(reader, &client, &gone, &shutdown, &mut tasks).await;
    if matches!(end, End::Finished) {
        finished.cancel();
    }
    part(end, client, tasks, &gone, writer).await;
}

/// Reads requests and has them carried out until there is an end to it.
async fn converse<R: AsyncRead + Unpin>(
    mut reader: Reader<R>,
    client: &Arc<Client>,
    gone: &CancellationToken,
    shutdown: &CancellationToken,
    tasks: &mut JoinSet<()>,
) -> End {
    let mut dispatch = Dispatch::new(client);
    loop {
        // What has come already needs no looking around in between.
        for _ in 0..AT_ONCE {
            let Some(bytes) = reader.here() else { break };
            if let Some(incoming) = dispatch.post(Incoming::parse(bytes)) {
                let size = bytes.len();
                tokio::select! {
                    biased;
                    () = gone.cancelled() => return End::Gone,
                    () = dispatch.take(incoming, size, tasks) => {}
                }
                if shutdown.is_cancelled() {
                    return End::Stopping;
                }
            }
        }
        dispatch.count();
        tokio::task::yield_now().await;
        let bytes = tokio::select! {
            biased;
            () = gone.cancelled() => return End::Gone,
            () = shutdown.cancelled() => return End::Stopping,
            Some(joined) = tasks.join_next() => match joined {
                Err(error) if error.is_panic() => return End::Panicked,
                _ => continue,
            },
            () = client.receipts.lately.notified() => {
                wait_for_late(client, tasks);
                continue;
            }
            read = reader.next() => match read {
                Ok(Some(bytes)) => bytes,
                Ok(None) => return End::Finished,
                Err(FrameError::Io(_)) => return End::Gone,
                Err(error @ FrameError::Headers(_)) => {
                    return End::Broken(ErrorObject::plain(PARSE_ERROR, error.to_string()));
                }
                Err(error @ (FrameError::TooLong { .. } | FrameError::Stalled)) => {
                    if matches!(error, FrameError::TooLong { .. }) {
                        dispatch.note_long_line();
                    }
                    return End::Broken(ErrorObject::plain(INVALID_REQUEST, error.to_string()));
                }
            },
        };
        if let Some(incoming) = dispatch.post(Incoming::parse(bytes)) {
            let size = bytes.len();
            tokio::select! {
                biased;
                () = gone.cancelled() => return End::Gone,
                () = dispatch.take(incoming, size, tasks) => {}
            }
        }
    }
}

/// Waits beside all else for what comes of messages behind their commit.
fn wait_for_late(client: &Client, tasks: &mut JoinSet<()>) {
    for Late { told, rest } in client.receipts.take_late() {
        tasks.spawn(async move { told.now(rest.await) });
    }
}

/// Ends what runs, hands out what is left, closes.
async fn part(
    end: End,
    client: Arc<Client>,
    mut tasks: JoinSet<()>,
    gone: &CancellationToken,
    mut writer: JoinHandle<()>,
) {
    client.ending.cancel();
    let (last, patience) = match end {
        End::Finished => (None, LINGER),
        End::Broken(error) => (Some(refusal(&Id::null(), &error)), LINGER),
        End::Stopping => {
            let note = ClosingNote { reason: "the daemon stops".into() };
            (Some(notification("closing", &to_json(&note))), PARTING)
        }
        End::Gone | End::Panicked => (None, Duration::ZERO),
    };
    let answered = async {
        if let Some(last) = last {
            // Nobody reads it where the connection broke meanwhile.
            let _ = client.out.push(last).await;
        }
        // All tasks are through, and all requests answered.
        loop {
            wait_for_late(&client, &mut tasks);
            tokio::select! {
                biased;
                () = client.receipts.lately.notified() => {}
                Some(_) = tasks.join_next() => {}
                _ = client.unanswered.acquire_many(EVERY_ANSWER), if tasks.is_empty() => break,
            }
        }
    };
    tokio::select! {
        () = gone.cancelled() => {}
        _ = timeout(patience, answered) => {}
    }
    tasks.shutdown().await;
    drop(client);
    // The writer gives up by itself when nothing is accepted.
    let patience = if patience < LINGER { PARTING } else { out::ACCEPTED_WITHIN + PARTING };
    if timeout(patience, &mut writer).await.is_err() {
        writer.abort();
    }
}
