//! The server side of the `holdline` and `json` dialects, for developing and testing against.
//!
//! Both are spoken on one port: a client that sends no `resume` gets none, and one that counts
//! its messages (`messageNo`) gets cumulative acks. `docs/server-protocol.md` describes the
//! protocol for server authors.
//!
//! What holds:
//! - An event is sent on a connection at most once, in order; none between two sent is left out
//!   without a `gap` between them.
//! - A message is acted on once, however often it comes; each copy is answered.
//! - Nothing is kept without bound: events, messages, waiting answers and connections have limits.
//! - [`Control`] breaks these manners on purpose, and nothing else does.

mod connection;
mod control;
mod frames;
mod history;
mod received;
mod scenario;
mod shared;
#[cfg(test)]
mod tests;
mod upgrade;

use std::future::pending;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_tungstenite::accept_hdr_async_with_config;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_util::sync::{CancellationToken, DropGuard};

use self::connection::Connection;
pub use self::control::{Control, Garbage};
pub use self::received::Received;
use self::scenario::MAX_HEARD;
pub use self::scenario::{ORDER_WAY, Scenario};
use self::shared::{MAX_ORDERS, Shared};
use self::upgrade::Shown;
use crate::model::Secret;

/// Most connections at a time; further ones are not accepted until one ends.
const MAX_CONNECTIONS: usize = 1024;
/// How long a client may take over the HTTP part.
const UPGRADE_TIME: Duration = Duration::from_secs(10);
/// Largest message taken from a client, in bytes.
const MAX_MESSAGE: usize = 16 * 1024 * 1024;

/// How messages are acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Acks {
    /// Each by its id.
    Single,
    /// All up to a number, where the client numbers its messages; else by id.
    #[default]
    Cumulative,
    /// Not at all.
    None,
}

/// How the server is to be.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to listen. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Whether `listen` may be an address that other machines reach.
    pub allow_remote: bool,
    /// The credential to ask for; none: anyone is let in, whatever they show.
    pub token: Option<Secret>,
    /// What it plays.
    pub scenario: Scenario,
    /// How it acknowledges.
    pub acks: Acks,
    /// Time between two steps of the scenario.
    pub pace: Duration,
    /// What it is told before the first client comes.
    pub faults: Vec<Control>,
    /// Events kept for those who resume.
    pub keep_events: usize,
    /// Bytes of events kept.
    pub keep_event_bytes: usize,
    /// Messages kept, to recognise copies and to be looked at.
    pub keep_received: usize,
    /// Whether the frames of messages are kept too.
    pub keep_bodies: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            allow_remote: false,
            token: None,
            scenario: Scenario::Quiet,
            acks: Acks::Cumulative,
            pace: Duration::from_secs(1),
            faults: Vec::new(),
            keep_events: 200_000,
            keep_event_bytes: 256 * 1024 * 1024,
            keep_received: 200_000,
            keep_bodies: true,
        }
    }
}

/// Figures since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Connections open now.
    pub connected: u64,
    /// Connections that came about.
    pub connections: u64,
    /// Upgrades answered with an HTTP error.
    pub upgrades_refused: u64,
    /// Sign-ins by message that were accepted.
    pub sign_ins: u64,
    /// Sign-ins by message that were refused.
    pub sign_ins_refused: u64,
    /// Resumes asked for.
    pub resumes: u64,
    /// Resumes answered with a gap.
    pub gaps: u64,
    /// Messages, each once.
    pub received: u64,
    /// Copies of messages that had come before.
    pub repeated: u64,
    /// Messages and copies acknowledged.
    pub acked: u64,
    /// Messages answered with an error by [`Control::Reject`].
    pub rejected: u64,
    /// Number of the newest event; they begin at 1.
    pub events: u64,
    /// Acks of events.
    pub event_acks: u64,
    /// Number of the latest event acknowledged.
    pub events_acked: u64,
}

/// A running server. Dropping it ends the server.
#[derive(Debug)]
pub struct DevServer {
    addr: SocketAddr,
    shared: Arc<Shared>,
    doors: mpsc::Sender<Door>,
    acceptor: JoinHandle<()>,
    alive: DropGuard,
}

/// Whether clients can come in.
#[derive(Debug)]
enum Door {
    Close(oneshot::Sender<()>),
    Open(oneshot::Sender<io::Result<()>>),
}

impl DevServer {
    /// Starts a server within the running runtime.
    ///
    /// # Errors
    /// When the address cannot be listened on, or is none of this machine alone while
    /// [`Options::allow_remote`] is off.
    pub async fn start(options: Options) -> io::Result<Self> {
        if !options.allow_remote && !options.listen.ip().is_loopback() {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!("{} can be reached from other machines, which has to be allowed", options.listen),
            ));
        }
        let listener = TcpListener::bind(options.listen).await?;
        let addr = listener.local_addr()?;
        let (heard, hears) = mpsc::channel(MAX_HEARD);
        let (down, downs) = mpsc::channel(1);
        let (doors, door_calls) = mpsc::channel(1);
        let shared = Arc::new(Shared::new(options, heard, down));
        shared.options.faults.iter().cloned().for_each(|fault| shared.control(fault));
        let alive = CancellationToken::new();
        let acceptor = Acceptor {
            addr,
            listener: Some(listener),
            shared: Arc::clone(&shared),
            connections: JoinSet::new(),
            reopen: None,
        };
        let play = scenario::play(Arc::clone(&shared), hears);
        let over = alive.clone();
        let acceptor = tokio::spawn(async move {
            tokio::select! {
                () = over.cancelled() => {}
                () = acceptor.run(door_calls, downs) => {}
                () = async { play.await; pending().await } => {}
            }
        });
        Ok(Self { addr, shared, doors, acceptor, alive: alive.drop_guard() })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where it listens, as clients want it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("ws://{}/", self.addr)
    }

    /// Does what `control` says, or switches it on.
    pub fn control(&self, control: Control) {
        self.shared.control(control);
    }

    /// Publishes an event and gives its id.
    pub fn push(&self, kind: &str, data: &serde_json::Value) -> String {
        self.shared.publish(kind, [data.to_string()]).unwrap_or_default()
    }

    /// Sends an event without an id to those connected now; nobody gets it later.
    pub fn push_ephemeral(&self, kind: &str, data: &serde_json::Value) {
        self.shared.say_now(&frames::ephemeral(kind, &data.to_string()));
    }

    /// The messages received and kept, in the order of their first arrival.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.shared.state().inbox.messages().cloned().collect()
    }

    /// The figures as they stand.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.state().stats.clone()
    }

    /// Waits until the figures fulfil `condition`, at most so long. The figures as they then
    /// stand; as an error when the time was over first.
    ///
    /// # Errors
    /// The last figures, when the condition did not come true in time.
    pub async fn until(&self, within: Duration, condition: impl Fn(&Stats) -> bool) -> Result<Stats, Stats> {
        let mut changed = self.shared.changed.subscribe();
        let wait = async {
            loop {
                changed.mark_unchanged();
                let stats = self.stats();
                if condition(&stats) {
                    return stats;
                }
                if changed.changed().await.is_err() {
                    return pending().await;
                }
            }
        };
        timeout(within, wait).await.map_err(|_| self.stats())
    }

    /// Stops listening and cuts all connections, as a server that dies. What was published and
    /// received stays known.
    pub async fn go_down(&self) {
        let (done, is_done) = oneshot::channel();
        if self.doors.send(Door::Close(done)).await.is_ok() {
            let _ = is_done.await;
        }
    }

    /// Listens again, on the same address.
    ///
    /// # Errors
    /// When the address cannot be listened on, or the server has ended.
    pub async fn come_back(&self) -> io::Result<()> {
        let (done, is_done) = oneshot::channel();
        let ended = || io::Error::other("the server has ended");
        self.doors.send(Door::Open(done)).await.map_err(|_| ended())?;
        is_done.await.map_err(|_| ended())?
    }

    /// Ends the server; when this returns the address is free.
    pub async fn stop(self) {
        drop(self.alive);
        // An acceptor that panicked has freed the address too.
        let _ = self.acceptor.await;
    }
}

/// Lets clients in. Owns their tasks: they end with it.
struct Acceptor {
    addr: SocketAddr,
    listener: Option<TcpListener>,
    shared: Arc<Shared>,
    connections: JoinSet<()>,
    /// When to listen again by itself.
    reopen: Option<Instant>,
}

impl Acceptor {
    async fn run(mut self, mut doors: mpsc::Receiver<Door>, mut downs: mpsc::Receiver<Duration>) {
        loop {
            let full = self.connections.len() >= MAX_CONNECTIONS;
            let accept = async {
                match &self.listener {
                    Some(listener) if !full => listener.accept().await,
                    Some(_) | None => pending().await,
                }
            };
            let reopen = async {
                match self.reopen {
                    Some(at) => sleep_until(at).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                Some(door) = doors.recv() => match door {
                    Door::Close(done) => {
                        self.close(None).await;
                        let _ = done.send(());
                    }
                    Door::Open(done) => {
                        let _ = done.send(self.open().await);
                    }
                },
                Some(time) = downs.recv() => self.close(Some(time)).await,
                () = reopen => {
                    if self.open().await.is_err() {
                        self.reopen = Some(Instant::now() + Duration::from_millis(100));
                    }
                }
                accepted = accept => match accepted {
                    Ok((stream, _)) => {
                        self.connections.spawn(serve(Arc::clone(&self.shared), stream));
                    }
                    // Out of file descriptors, most likely: some may come free.
                    Err(_) => sleep(Duration::from_millis(50)).await,
                },
                Some(_) = self.connections.join_next() => {}
            }
        }
    }

    async fn close(&mut self, time: Option<Duration>) {
        self.listener = None;
        self.connections.shutdown().await;
        self.reopen = time.map(|time| Instant::now() + time);
    }

    async fn open(&mut self) -> io::Result<()> {
        if self.listener.is_none() {
            self.listener = Some(TcpListener::bind(self.addr).await?);
        }
        self.reopen = None;
        Ok(())
    }
}

/// Serves one client from the HTTP request to the end.
#[allow(clippy::result_large_err, reason = "the shape is that of the library's callback")]
async fn serve(shared: Arc<Shared>, stream: TcpStream) {
    // Only speed hangs on it.
    let _ = stream.set_nodelay(true);
    let mut signed_in = false;
    let callback = |request: &Request, response: Response| admit(&shared, request, response, &mut signed_in);
    let config =
        WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE)).max_frame_size(Some(MAX_MESSAGE));
    let accepted = timeout(UPGRADE_TIME, accept_hdr_async_with_config(stream, callback, Some(config))).await;
    let Ok(Ok(ws)) = accepted else { return };
    let (orders, order_calls) = mpsc::channel(MAX_ORDERS);
    let number = {
        let mut state = shared.state();
        state.stats.connections += 1;
        state.stats.connected += 1;
        let number = state.stats.connections;
        state.connections.insert(number, orders);
        number
    };
    let _leaving = Leaving { shared: Arc::clone(&shared), number };
    shared.changed.send_replace(());
    Connection::new(Arc::clone(&shared), number, ws, order_calls, signed_in).run().await;
}

/// Strikes the connection off when its task ends, however that comes.
struct Leaving {
    shared: Arc<Shared>,
    number: u64,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.connections.remove(&self.number);
        state.stats.connected -= 1;
        drop(state);
        self.shared.changed.send_replace(());
    }
}

/// Decides about an upgrade, and whether the client is signed in by it.
#[allow(clippy::result_large_err, reason = "the shape is that of the library's callback")]
fn admit(
    shared: &Shared,
    request: &Request,
    mut response: Response,
    signed_in: &mut bool,
) -> Result<Response, ErrorResponse> {
    let mut state = shared.state();
    let refusal = match state.faults.refuses_upgrade() {
        Some(refusal) => {
            Some(upgrade::refusal(refusal.status, refusal.retry_after, "refused by a fault switch"))
        }
        None => match state.token.as_ref().map(|wanted| upgrade::credential(request, wanted)) {
            None => {
                *signed_in = true;
                None
            }
            Some(Shown::None) => None,
            Some(Shown::Right) if !state.faults.refuses_sign_in() => {
                *signed_in = true;
                None
            }
            Some(Shown::Right | Shown::Wrong) => Some(upgrade::refusal(401, None, "the token is not valid")),
        },
    };
    if let Some(refusal) = refusal {
        state.stats.upgrades_refused += 1;
        drop(state);
        shared.changed.send_replace(());
        return Err(refusal);
    }
    upgrade::choose_subprotocol(request, &mut response);
    Ok(response)
}
