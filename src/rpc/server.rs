//! Accepts connections and serves each in a task of its own.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::backend::{Backend, Identity};
use super::chunk::Chunks;
use super::clients::Clients;
use super::cursors::LiveCursors;
use super::error::ErrorObject;
use super::message::{Id, refusal};
use super::{Limits, connection, metric};
use crate::ipc::{Arrival, Listener, Stream};
use crate::model::{ErrorKind, Refusal};

/// How long accepting rests after the system refused (too many open files) …
const REST: Duration = Duration::from_millis(50);
/// … and at most, as each refusal in a row doubles it. An app waits so long when there is room
/// again.
const LONGEST_REST: Duration = Duration::from_secs(1);

/// How long a full house waits for somebody who is about to leave.
const LEFT_WITHIN: Duration = Duration::from_millis(10);

/// How long a refused app may take to hear why.
const REFUSED_WITHIN: Duration = Duration::from_millis(100);

/// What all connections share.
pub(super) struct Shared {
    pub(super) backend: Arc<dyn Backend>,
    pub(super) identity: Identity,
    pub(super) limits: Limits,
    pub(super) clients: Arc<Clients>,
    pub(super) cursors: Arc<LiveCursors>,
    pub(super) chunks: Arc<Chunks>,
}

impl Shared {
    pub(super) fn new(backend: Arc<dyn Backend>, limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            identity: backend.identity(),
            backend,
            limits,
            clients: Arc::default(),
            cursors: Arc::default(),
            chunks: Arc::default(),
        })
    }
}

/// Serves the daemon's apps until `shutdown` is cancelled. Then nobody new gets in, all are told
/// that the daemon is closing, get a moment to take what is left, and are let go; the socket goes
/// with the listener.
pub async fn serve(
    listener: Listener,
    backend: Arc<dyn Backend>,
    limits: Limits,
    shutdown: CancellationToken,
) {
    let shared = Shared::new(backend, limits);
    let places = Arc::new(Semaphore::new(limits.max_clients));
    let mut apps = JoinSet::new();
    let mut rest = REST;
    loop {
        let arrival = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            // A task that panicked took only its own connection with it.
            Some(_) = apps.join_next() => continue,
            arrival = listener.accept() => arrival,
        };
        match arrival {
            Ok(Arrival::Ours(stream, peer)) => match place(&places).await {
                Some(place) => {
                    let (shared, shutdown) = (Arc::clone(&shared), shutdown.clone());
                    apps.spawn(async move {
                        connection::serve(stream, peer, shared, shutdown).await;
                        drop(place);
                    });
                }
                None => {
                    shared.backend.count(metric::CLIENTS_REFUSED);
                    turn_away(stream, limits).await;
                }
            },
            Ok(Arrival::Foreign(peer)) => {
                shared.backend.count(metric::FOREIGN_REFUSED);
                tracing::warn!(uid = peer.uid, pid = peer.pid, "a process of another user was turned away");
            }
            Err(error) => {
                shared.backend.count(metric::ACCEPTS_FAILED);
                tracing::warn!(%error, "no connection can be accepted just now");
                // Those who leave make room, and are let go meanwhile; so does the end.
                tokio::select! {
                    () = shutdown.cancelled() => break,
                    () = sleep(rest) => {}
                }
                rest = (rest * 2).min(LONGEST_REST);
                continue;
            }
        }
        rest = REST;
    }
    drop(listener);
    while apps.join_next().await.is_some() {}
}

/// A place for one more app. One that comes as another leaves is not to suffer for it: what is left to
/// do for that one takes a moment.
async fn place(places: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    match Arc::clone(places).try_acquire_owned() {
        Ok(place) => Some(place),
        Err(_) => timeout(LEFT_WITHIN, Arc::clone(places).acquire_owned()).await.ok()?.ok(),
    }
}

/// Says that the house is full. A fresh connection has room for one line, so nobody is waited for.
async fn turn_away(mut stream: Stream, limits: Limits) {
    let full = Refusal::new(
        ErrorKind::Busy,
        format!("{} apps are connected, which is as many as ipc.max_clients allows", limits.max_clients),
    )
    .hint("close one, or raise ipc.max_clients");
    let mut line = refusal(&Id::null(), &ErrorObject::from(full));
    line.push('\n');
    let _ = timeout(REFUSED_WITHIN, stream.write_all(line.as_bytes())).await;
}
