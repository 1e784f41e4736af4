//! What apps written in Rust, and the command line, use to talk to a running daemon.
//!
//! ```no_run
//! # async fn f() -> Result<(), Box<dyn std::error::Error>> {
//! use holdline::client::{Client, Note};
//! use holdline::rpc::api::{SubscribeParams, SubscribeResult};
//!
//! let client = Client::connect("/run/user/1000/holdline/default.sock".as_ref()).await?;
//! let report: holdline::model::StatusReport = client.call("status", &()).await?;
//! println!("{}", report.link.label);
//!
//! let from = SubscribeParams { cursor: Some("my-app".into()), ..SubscribeParams::default() };
//! let (_, mut events) = client.subscribe::<_, SubscribeResult>("events.subscribe", &from).await?;
//! while let Some(note) = events.next().await {
//!     if let Note::Event(note) = note? {
//!         println!("{} {}", note.event.kind, note.event.data.map_or("".into(), |data| data.to_string()));
//!     }
//! }
//! # Ok(()) }
//! ```
//!
//! # The law
//! Every call has a deadline. Calls may overlap in any number; each gets its own answer. A
//! subscription's notifications come in order and none is lost while the connection lives: an
//! app that does not read them stops the connection from being read (and nothing else on the
//! machine), except that answers to its own calls always come through. A connection that broke
//! stays broken: connect anew, and with a cursor go on where you were.

mod connection;
mod subscription;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use crate::ipc;
use crate::rpc::api::{RequestParams, RequestResult};
use crate::rpc::error::ErrorObject;

pub use crate::ipc::ConnectError;
pub use subscription::{Note, Subscription};

use connection::Connection;

/// How long a call may take where nothing else is said.
pub const CALL_WITHIN: Duration = Duration::from_secs(5);

/// How long the server may take for a reply where a request does not say.
const REPLY_WITHIN: Duration = Duration::from_secs(30);

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The daemon refused it.
    #[error("{}", .0.message)]
    Refused(ErrorObject),
    /// No answer in time. What was asked for may have happened all the same.
    #[error("the daemon did not answer within {} ms", .0.as_millis())]
    Deadline(Duration),
    /// The connection is gone. What was asked for may have happened all the same.
    #[error("the connection to the daemon is gone: {0}")]
    Closed(String),
    /// The daemon stopped, and said so, before it answered. What was asked for may have happened all
    /// the same.
    #[error("the connection to the daemon is gone: {0}")]
    Stopped(String),
    /// The answer has another shape than was asked for.
    #[error("the daemon's answer cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
}

/// A connection to the daemon. Clones share it; it is closed with the last of them and of their
/// subscriptions.
#[derive(Debug, Clone)]
pub struct Client {
    connection: Arc<Connection>,
    within: Duration,
}

impl Client {
    /// Connects to the daemon's socket, after checking that it is a daemon of this user.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn connect(path: &Path) -> Result<Self, ConnectError> {
        ipc::connect(path).await.map(Self::over)
    }

    /// Talks to a daemon over any stream. Call it within a tokio runtime.
    pub fn over<S: AsyncRead + AsyncWrite + Send + 'static>(stream: S) -> Self {
        Self { connection: Connection::start(stream), within: CALL_WITHIN }
    }

    /// The same connection, with another deadline for [`Client::call`] and its like.
    #[must_use]
    pub fn within(&self, deadline: Duration) -> Self {
        Self { connection: Arc::clone(&self.connection), within: deadline }
    }

    /// Calls `method` and waits for the result. `&()` stands for no parameters.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn call<P, R>(&self, method: &str, params: &P) -> Result<R, CallError>
    where
        P: Serialize + ?Sized,
        R: DeserializeOwned,
    {
        let answer = self.in_time(self.connection.call(method, &text_of(params)?, None)).await?;
        Ok(serde_json::from_str(answer.get())?)
    }

    /// Asks the server behind the daemon, and waits for its reply as long as the request says
    /// (30 s where it does not).
    ///
    /// # Errors
    /// See [`CallError`]. `not_connected`, `timeout`, `ended` (the server refused it) and
    /// `uncertain` (the link died before the reply) are refusals.
    pub async fn request(&self, params: &RequestParams) -> Result<RequestResult, CallError> {
        let wait = params.timeout_ms.map_or(REPLY_WITHIN, Duration::from_millis);
        self.within(self.within.saturating_add(wait)).call("messages.request", params).await
    }

    /// Calls `method` and expects no answer; comes back once the call is on its way.
    ///
    /// # Errors
    /// When the connection is gone, or takes nothing within the deadline.
    pub async fn notify<P: Serialize + ?Sized>(&self, method: &str, params: &P) -> Result<(), CallError> {
        self.in_time(self.connection.notify(method, &text_of(params)?)).await
    }

    /// Calls `method`, which must be one that answers with a `subscription`
    /// (`events.subscribe`, `messages.watch`, `status.watch`), and collects its notifications.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn subscribe<P, R>(&self, method: &str, params: &P) -> Result<(R, Subscription), CallError>
    where
        P: Serialize + ?Sized,
        R: DeserializeOwned,
    {
        let queue = Arc::default();
        // It owns the queue from now on, so that giving up at any point unsubscribes.
        let subscription = Subscription::new(Arc::clone(&self.connection), Arc::clone(&queue));
        let params = text_of(params)?;
        let answer = self.in_time(self.connection.call(method, &params, Some(queue))).await?;
        Ok((serde_json::from_str(answer.get())?, subscription))
    }

    /// Comes back when the connection is gone; with the daemon's reason where it named one.
    pub async fn closed(&self) -> String {
        self.connection.closed().await
    }

    async fn in_time<T>(&self, call: impl Future<Output = Result<T, CallError>>) -> Result<T, CallError> {
        timeout(self.within, call).await.unwrap_or(Err(CallError::Deadline(self.within)))
    }
}

/// Parameters as JSON text; `()` is none.
fn text_of<P: Serialize + ?Sized>(params: &P) -> Result<String, CallError> {
    let text = serde_json::to_string(params)?;
    Ok(if text == "null" { "{}".into() } else { text })
}

#[cfg(test)]
mod tests;
