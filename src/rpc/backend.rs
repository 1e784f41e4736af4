//! What the methods need of the rest of the daemon, in words of the model.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{broadcast, watch};

use super::api::{
    Check, MessagesListResult, NotificationsResult, QuarantineListResult, QuarantineRetryResult,
    ReloadResult, RequestResult,
};
use crate::model::{
    CursorStatus, Delivery, Epoch, EventRow, Level, LinkState, LinkStatus, Message, MessageId, MessageState,
    Moved, NoticeEntry, Payload, Receipt, Refusal, Seq, StatusReport, Timestamp, Transition, TypeGlob,
};

pub use super::receipts::Told;

/// An answer that is still to come.
pub type Pending<T> = Pin<Box<dyn Future<Output = Result<T, Refusal>> + Send>>;

/// Who the daemon is, for its whole life, and what it takes at most, until a reload.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Version of holdline.
    pub daemon_version: String,
    /// Which database.
    pub epoch: Epoch,
    /// Changes with every start.
    pub instance_id: String,
    /// `server.max_message`, in bytes.
    pub max_message: u64,
    /// `outbox.keep_finished`.
    pub keep_finished: u64,
    /// `outbox.keep_finished_age`.
    pub keep_finished_age: Duration,
    /// What the daemon can do beyond the plain methods.
    pub features: Vec<String>,
}

/// A message as an app handed it in: its form is checked, the type rules are not applied yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Its type; `text` and `binary` for raw frames.
    pub kind: Arc<str>,
    /// Its body; JSON is compact.
    pub payload: Payload,
    /// The app's id for it.
    pub id: Option<MessageId>,
    /// Its TTL, where the app names one.
    pub ttl: Option<Duration>,
    /// Its key, where the app names one.
    pub key: Option<String>,
    /// Its lane, where the app names one.
    pub lane: Option<String>,
    /// Its class, where the app names one.
    pub delivery: Option<Delivery>,
    /// How far to wait; none: `queued`, and an ephemeral message without a link is no error.
    pub wait: Option<Level>,
    /// How long to wait for that level.
    pub timeout: Duration,
}

/// A request as an app handed it in; its form is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Its type; `text` and `binary` for raw frames.
    pub kind: Arc<str>,
    /// Its body; JSON is compact.
    pub payload: Payload,
    /// The app's id for it.
    pub id: Option<MessageId>,
    /// How long to wait for the reply.
    pub timeout: Duration,
}

/// Which messages to list, by their places, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessagesQuery {
    /// Only these states; empty: all.
    pub states: Vec<MessageState>,
    /// Only types that fit one of these; empty: all.
    pub types: Vec<TypeGlob>,
    /// Behind this one.
    pub after: Option<MessageId>,
    /// At most so many …
    pub limit: usize,
    /// … and so many bytes of bodies (one always fits).
    pub bytes: usize,
}

/// Which events to read, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventsQuery {
    /// First number of interest.
    pub from: Seq,
    /// Only types that fit one of these; empty: all. Gap and bad rows always come.
    pub types: Vec<TypeGlob>,
    /// At most so many rows …
    pub limit: usize,
    /// … and so many bytes of bodies (one always fits).
    pub bytes: usize,
}

/// What an [`EventsQuery`] found.
#[derive(Debug, Clone, Default)]
pub struct EventsPage {
    /// Rows, by number; gap rows and bad rows among them.
    pub rows: Vec<Arc<EventRow>>,
    /// Where to go on: the number behind the last row looked at, matching or not. At the end of
    /// the sequence: behind the last number given.
    pub next: Seq,
    /// Whether there is more to look at behind it now.
    pub more: bool,
    /// First kept number.
    pub first_seq: Option<Seq>,
    /// Last number given and committed.
    pub last_seq: Option<Seq>,
    /// The page would have begun before what is kept: first and last of the numbers pruned.
    pub pruned: Option<(Seq, Seq)>,
}

/// The newest events of a type, one per key, by key.
#[derive(Debug, Clone, Default)]
pub struct StatePage {
    /// Key and row.
    pub rows: Vec<(String, Arc<EventRow>)>,
    /// Whether there are more keys behind the last one.
    pub more: bool,
}

/// A durable cursor as it was found, or made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenedCursor {
    /// Acknowledged through here. A new one stands right before the first kept number.
    pub seq: Seq,
    /// It was made by this call, and is on disk.
    pub created: bool,
}

/// What the methods need of the daemon. All of it may be called from any task at any time.
///
/// A future that is dropped gives up the answer only: what it asked for may happen all the same.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// Who the daemon is.
    fn identity(&self) -> Identity;

    /// What time it is, for showing.
    fn now(&self) -> Timestamp;

    /// The report, from memory. `clients` and `connected` of the cursors are filled in by rpc.
    fn status(&self) -> StatusReport;

    /// The link's status; changes whenever people should be told.
    fn link(&self) -> watch::Receiver<LinkStatus>;

    /// Prometheus text.
    fn metrics(&self) -> String;

    /// Adds to a counter.
    fn count_more(&self, metric: &'static str, more: u64);

    /// Adds one to a counter.
    fn count(&self, metric: &'static str) {
        self.count_more(metric, 1);
    }

    /// Sets a gauge.
    fn gauge(&self, metric: &'static str, value: i64);

    /// Hands a message in. Comes back once the message has its place in the order of sends,
    /// which is the order of these calls; the answer inside follows after the commit (or when
    /// the level waited for is reached).
    async fn send(&self, message: Outgoing) -> Result<Pending<Receipt>, Refusal>;

    /// As [`Backend::send`], at once and without a future: what comes of the message goes to `told`.
    ///
    /// # Errors
    /// Hands both back where that cannot be without waiting; nothing has happened then.
    fn post(&self, message: Outgoing, told: Told) -> Result<(), (Outgoing, Told)>;

    /// Sends a request, which is never stored. Comes back once it has its place in the order of
    /// requests; the answer inside is the server's reply. Dropped, it is forgotten.
    async fn request(&self, request: Asked) -> Result<Pending<RequestResult>, Refusal>;

    /// One message with its history.
    async fn message(&self, id: MessageId) -> Result<Message, Refusal>;

    /// A page of messages.
    async fn messages(&self, query: MessagesQuery) -> Result<MessagesListResult, Refusal>;

    /// Takes a message back that is not on the wire.
    async fn cancel(&self, id: MessageId) -> Result<Message, Refusal>;

    /// Puts a message back into the queue.
    async fn retry(&self, id: MessageId) -> Result<Message, Refusal>;

    /// Gives a message up.
    async fn drop_message(&self, id: MessageId) -> Result<Message, Refusal>;

    /// Every move of every message; a receiver that lags has lost some.
    fn moves(&self) -> broadcast::Receiver<Moved>;

    /// A page of events, from memory where it has them. Behind the last number: an empty page.
    async fn events(&self, query: EventsQuery) -> Result<EventsPage, Refusal>;

    /// The last number that is committed; [`Seq`] 0 before the first. Wakes those who read at
    /// the live edge.
    fn last_seq(&self) -> watch::Receiver<Seq>;

    /// Ephemeral events, as they come; a receiver that lags has lost some.
    fn ephemeral(&self) -> broadcast::Receiver<Arc<EventRow>>;

    /// The newest event of a key, or `not_found`.
    async fn state(&self, kind: String, key: String) -> Result<Arc<EventRow>, Refusal>;

    /// The newest event of each key behind `after`: at most `limit`, at most `bytes` of bodies
    /// (one always fits).
    async fn states(
        &self,
        kind: String,
        after: Option<String>,
        limit: usize,
        bytes: usize,
    ) -> Result<StatePage, Refusal>;

    /// Opens a cursor; an unknown one is made at the earliest kept event, on disk before this
    /// answers. Marks it as seen now.
    async fn open_cursor(&self, name: String) -> Result<OpenedCursor, Refusal>;

    /// Moves a cursor forward to `seq` (never back) and says where it stands then. `durable`:
    /// answered after the commit; else it rides on the next one. `not_found` where there is none.
    async fn ack_cursor(&self, name: String, seq: Seq, durable: bool) -> Result<Seq, Refusal>;

    /// All cursors, by name. `connected` is filled in by rpc.
    async fn cursors(&self) -> Result<Vec<CursorStatus>, Refusal>;

    /// Deletes a cursor, or `not_found`.
    async fn delete_cursor(&self, name: String) -> Result<(), Refusal>;

    /// A page of the quarantine behind `after`: at most `limit`, at most `bytes` of frames (one
    /// always fits).
    async fn quarantine(
        &self,
        after: Option<Seq>,
        limit: usize,
        bytes: usize,
    ) -> Result<QuarantineListResult, Refusal>;

    /// Drops an entry; its row stays as a told gap.
    async fn drop_quarantine(&self, id: Seq) -> Result<(), Refusal>;

    /// Looks again at the entry `id` (`not_found` where there is none), or at entries behind
    /// `after`, at most `limit`: what fits by now becomes events at the end of the sequence.
    async fn retry_quarantine(
        &self,
        id: Option<Seq>,
        after: Option<Seq>,
        limit: usize,
    ) -> Result<QuarantineRetryResult, Refusal>;

    /// Pauses the link; also over restarts.
    async fn pause(&self) -> Result<LinkState, Refusal>;

    /// Ends the pause.
    async fn resume(&self) -> Result<LinkState, Refusal>;

    /// Dials anew at once; `conflict` while paused.
    async fn reconnect(&self) -> Result<LinkState, Refusal>;

    /// The newest `limit` changes of the link's state, oldest first.
    async fn link_history(&self, limit: usize) -> Result<Vec<Transition>, Refusal>;

    /// Shows no notifications for so long, or until that is ended; also over restarts. Gives until when.
    async fn mute(&self, span: Option<Duration>) -> Result<Timestamp, Refusal>;

    /// Ends that.
    async fn unmute(&self) -> Result<(), Refusal>;

    /// Shows a notification now, and says until when they are muted and who showed it.
    async fn test_notice(&self) -> Result<NotificationsResult, Refusal>;

    /// What became of the newest `limit` notifications, oldest first.
    fn notices(&self, limit: usize) -> Vec<NoticeEntry>;

    /// Reads the configuration anew.
    async fn reload(&self) -> Result<ReloadResult, Refusal>;

    /// The effective configuration without anything secret.
    async fn config(&self) -> Result<serde_json::Value, Refusal>;

    /// Looks at everything, one thing after the other, and takes up to half a minute for it
    /// (longer with `full`: the whole database is read). `busy` while another one is at it.
    async fn doctor(&self, full: bool) -> Result<Vec<Check>, Refusal>;

    /// Begins the end of the daemon; the answer is written first.
    fn stop(&self);
}
