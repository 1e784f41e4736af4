//! What the local interface can ask for, on top of the store and the loop.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;

use super::policy::Policy;
use super::report::Report;
use super::{metrics, pages};
use crate::clock::Clock;
use crate::engine::{self, Command, Fanout, LinkOrder, Waits};
use crate::model::{
    CursorStatus, Delivery, ErrorKind, EventRow, LinkState, LinkStatus, Message, MessageId, MessageState,
    Moved, NoticeEntry, NotificationStatus, Place, Receipt, Refusal, Seq, StatusReport, Timestamp,
    Transition,
};
use crate::rpc::api::{
    Check, MessagesListResult, NotificationsResult, QuarantineListResult, QuarantineRetryResult,
    ReloadResult, RequestResult,
};
use crate::rpc::backend::{
    Asked, Backend, EventsPage, EventsQuery, Identity, MessagesQuery, OpenedCursor, Outgoing, Pending,
    StatePage, Told,
};
use crate::rpc::metric;
use crate::session::Input;
use crate::store::{self, Store};

/// Everything the methods lean on.
#[derive(Debug)]
pub(super) struct Daemon {
    pub(super) clock: Clock,
    pub(super) identity: Identity,
    pub(super) store: Store,
    pub(super) engine: engine::Handle,
    pub(super) fanout: Arc<Fanout>,
    pub(super) waits: Arc<Waits>,
    pub(super) policy: RwLock<Arc<Policy>>,
    pub(super) report: Report,
    pub(super) reloader: super::reload::Reloader,
    pub(super) notices: Arc<super::notices::Notices>,
    /// One doctor at a time.
    pub(super) doctor: tokio::sync::Mutex<()>,
    /// One second look at the quarantine at a time: each holds a page of frames in memory.
    pub(super) retrying: tokio::sync::Mutex<()>,
    /// Cancelled: the daemon ends.
    pub(super) stop: CancellationToken,
}

impl Daemon {
    pub(super) fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.policy.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The report, with the limits that hold now.
    pub(super) fn status(&self) -> StatusReport {
        let report = self.report.status(&self.store, &self.fanout, &self.policy().outbox);
        StatusReport { notifications: self.notices.status(), ..report }
    }

    /// The metrics as text.
    pub(super) fn metrics(&self) -> String {
        let config = self.reloader.config();
        // Those of the local socket are as they were at the start.
        let mut limits = self.report.limits.clone();
        limits.extend(metrics::limits(&config));
        metrics::text(&self.status(), &self.store, &self.fanout, &self.report, &limits, self.clock.now().wall)
    }

    /// Counts what a limit refused.
    pub(super) fn note_limit(&self, refusal: &Refusal) {
        let named = refusal.extra.get("limit").and_then(serde_json::Value::as_str);
        let limit = if refusal.kind == ErrorKind::TooLarge { Some("server.max_message") } else { named };
        let known = metrics::LIMITS.iter().find(|key| Some(**key) == limit);
        if let Some(key) = known {
            self.fanout.count_as("limit_hits_total", key);
        }
    }

    /// The message as the store has it, with what this run knows beyond.
    pub(super) async fn look(&self, id: MessageId) -> Result<Message, Refusal> {
        let view = self.engine.look(id.clone()).await?;
        let mut message = self.store.get(&id).await?.ok_or_else(|| not_found(&id))?.message;
        if let Some(view) = view {
            // The store knows ends and parkings; what happens in between is in memory only.
            if message.state == MessageState::Queued {
                message.state = view.state;
                message.attempts = message.attempts.max(view.attempt);
                message.reason = view.history.last().and_then(|entry| entry.reason.clone());
            }
            message.history.extend(view.history);
            message.history.sort_by_key(|entry| entry.at);
            message.history.dedup();
        }
        Ok(message)
    }

    /// A page of messages behind `after`, each as far as this run knows it.
    async fn list(&self, query: MessagesQuery, mut after: Place) -> Result<MessagesListResult, Refusal> {
        let mut found = MessagesListResult { messages: Vec::new(), more: true };
        let mut bytes = 0;
        while found.more && found.messages.len() < query.limit {
            let page = self
                .store
                .list_messages(store::MessageQuery {
                    states: query.states.clone(),
                    types: query.types.clone(),
                    after,
                    limit: query.limit - found.messages.len(),
                })
                .await?;
            (after, found.more) = (page.next, page.more);
            for stored in page.rows {
                let message = stored.message;
                bytes += message.data.as_ref().map_or(0, |data| data.get().len())
                    + message.text.as_ref().map_or(0, String::len)
                    + message.binary.as_ref().map_or(0, |data| data.get().len());
                if bytes > query.bytes && !found.messages.is_empty() {
                    found.more = true;
                    return Ok(found);
                }
                found.messages.push(message);
            }
        }
        Ok(found)
    }
}

fn not_found(id: &MessageId) -> Refusal {
    Refusal::new(ErrorKind::NotFound, format!("there is no message {id}"))
        .hint("finished messages are kept for outbox.keep_finished and keep_finished_age")
}

/// The way in for connections: the daemon behind a cheap handle, as futures outlive calls.
#[derive(Debug, Clone)]
pub(super) struct Shared(pub(super) Arc<Daemon>);

#[async_trait]
impl Backend for Shared {
    fn identity(&self) -> Identity {
        let policy = self.0.policy();
        Identity {
            max_message: policy.max_message,
            keep_finished: policy.outbox.keep_finished,
            keep_finished_age: policy.outbox.keep_finished_age,
            ..self.0.identity.clone()
        }
    }

    fn now(&self) -> Timestamp {
        self.0.clock.now().wall
    }

    fn status(&self) -> StatusReport {
        self.0.status()
    }

    fn link(&self) -> watch::Receiver<LinkStatus> {
        self.0.fanout.link.subscribe()
    }

    fn metrics(&self) -> String {
        self.0.metrics()
    }

    fn count_more(&self, metric: &'static str, more: u64) {
        match metric {
            metric::CLIENTS_REFUSED | metric::LINES_REFUSED => {
                self.0.fanout.count_more("limit_hits_total", metric, more);
            }
            counted => self.0.fanout.count_more(counted, "", more),
        }
    }

    fn gauge(&self, metric: &'static str, value: i64) {
        self.0.report.gauge(metric, value);
    }

    async fn send(&self, message: Outgoing) -> Result<Pending<Receipt>, Refusal> {
        let policy = self.0.policy();
        let (wait, timeout) = (message.wait, message.timeout);
        let new = policy.apply(message).inspect_err(|refusal| self.0.note_limit(refusal))?;
        if new.delivery == Delivery::Ephemeral {
            return self.0.ephemeral(new, wait);
        }
        let durability = policy.durability;
        let pending = self.0.store.submit(new).await?;
        let daemon = Arc::clone(&self.0);
        Ok(Box::pin(async move {
            let inserted = pending.await.inspect_err(|refusal| daemon.note_limit(refusal))?;
            daemon.receipt(inserted, durability, wait, timeout).await
        }))
    }

    fn post(&self, message: Outgoing, told: Told) -> Result<(), (Outgoing, Told)> {
        self.0.post(message, told)
    }

    async fn request(&self, request: Asked) -> Result<Pending<RequestResult>, Refusal> {
        super::request::request(&self.0, request).await
    }

    async fn message(&self, id: MessageId) -> Result<Message, Refusal> {
        self.0.look(id).await
    }

    async fn messages(&self, query: MessagesQuery) -> Result<MessagesListResult, Refusal> {
        let after = match &query.after {
            Some(id) => self.0.store.get(id).await?.ok_or_else(|| not_found(id))?.place,
            None => Place::default(),
        };
        self.0.list(query, after).await
    }

    async fn cancel(&self, id: MessageId) -> Result<Message, Refusal> {
        let place = self.0.store.get(&id).await?.ok_or_else(|| not_found(&id))?.place;
        if !self.0.engine.release(place).await? {
            return Err(Refusal::new(ErrorKind::Busy, format!("message {id} is on the wire"))
                .hint("it can be cancelled while it waits, not while the server may be reading it"));
        }
        let cancelled = self.0.store.cancel(&id).await;
        if cancelled.is_err() {
            // It had ended, or the store cannot: either way the session need not hold it back.
            self.0.engine.tell_soon(Command::Hint(Input::Kept(place))).await?;
        }
        cancelled
    }

    async fn retry(&self, id: MessageId) -> Result<Message, Refusal> {
        self.0.store.retry(&id).await
    }

    async fn drop_message(&self, id: MessageId) -> Result<Message, Refusal> {
        self.0.store.drop_message(&id).await
    }

    fn moves(&self) -> broadcast::Receiver<Moved> {
        self.0.fanout.changes.subscribe()
    }

    async fn events(&self, query: EventsQuery) -> Result<EventsPage, Refusal> {
        let counters = self.0.store.counters();
        // What is pruned is gone from memory too: the disk knows which numbers that concerns.
        let pruned = match counters.first_seq {
            Some(first) => query.from < first,
            None => counters.last_seq.is_some_and(|last| query.from <= last),
        };
        let tail = &self.0.fanout.tail;
        let from_memory =
            (!pruned).then(|| tail.after(Seq(query.from.0.saturating_sub(1)), query.limit)).flatten();
        if let Some((rows, last)) = from_memory {
            return Ok(pages::from_tail(rows, &query, counters.first_seq, last));
        }
        let page = self
            .0
            .store
            .events(store::EventQuery {
                from: query.from,
                types: query.types,
                limit: query.limit,
                bytes: query.bytes,
            })
            .await?;
        Ok(EventsPage {
            rows: page.rows,
            next: page.next,
            more: page.more,
            first_seq: page.first_seq,
            last_seq: page.last_seq,
            pruned: page.pruned,
        })
    }

    fn last_seq(&self) -> watch::Receiver<Seq> {
        self.0.fanout.tail.watch()
    }

    fn ephemeral(&self) -> broadcast::Receiver<Arc<EventRow>> {
        self.0.fanout.ephemeral.subscribe()
    }

    async fn state(&self, kind: String, key: String) -> Result<Arc<EventRow>, Refusal> {
        let row = self.0.store.state_get(&kind, &key).await?;
        row.ok_or_else(|| {
            Refusal::new(ErrorKind::NotFound, format!("no event of type `{kind}` has the key `{key}`")).hint(
                format!("keys are known for types that have one: [types.\"{kind}\"] key = \"/pointer\""),
            )
        })
    }

    async fn states(
        &self,
        kind: String,
        after: Option<String>,
        limit: usize,
        bytes: usize,
    ) -> Result<StatePage, Refusal> {
        let page = self.0.store.state_list(&kind, limit, after).await?;
        let (rows, cut) = pages::within(page.rows, bytes, |(key, row)| key.len() + pages::body(row));
        Ok(StatePage { rows, more: page.more || cut })
    }

    async fn open_cursor(&self, name: String) -> Result<OpenedCursor, Refusal> {
        let (mut cursor, created) = self.0.store.cursor_create_or_get(&name).await?;
        let now = self.0.clock.now().wall;
        self.0.store.cursor_touch(&name, now).await?;
        cursor.last_seen = Some(now);
        let seq = cursor.seq;
        self.0.report.cursors.put(cursor);
        Ok(OpenedCursor { seq, created })
    }

    async fn ack_cursor(&self, name: String, seq: Seq, durable: bool) -> Result<Seq, Refusal> {
        if durable {
            let cursor = self.0.store.cursor_ack(&name, seq).await?;
            let stands = cursor.seq;
            self.0.report.cursors.put(cursor);
            return Ok(stands);
        }
        let Some(stands) = self.0.report.cursors.advance(&name, seq, self.0.clock.now().wall) else {
            return Err(Refusal::new(ErrorKind::NotFound, format!("there is no cursor `{name}`")));
        };
        self.0.store.cursor_ack_later(&name, seq).await?;
        Ok(stands)
    }

    async fn cursors(&self) -> Result<Vec<CursorStatus>, Refusal> {
        Ok(self.status().cursors)
    }

    async fn delete_cursor(&self, name: String) -> Result<(), Refusal> {
        self.0.store.cursor_delete(&name).await?;
        self.0.report.cursors.remove(&name);
        Ok(())
    }

    async fn quarantine(
        &self,
        after: Option<Seq>,
        limit: usize,
        bytes: usize,
    ) -> Result<QuarantineListResult, Refusal> {
        let page = self.0.store.quarantine_list(limit, after).await?;
        let (entries, cut) = pages::within(page.entries, bytes, |entry| entry.raw.len());
        Ok(QuarantineListResult { entries, more: page.more || cut })
    }

    async fn drop_quarantine(&self, id: Seq) -> Result<(), Refusal> {
        self.0.store.quarantine_drop(id).await
    }

    async fn retry_quarantine(
        &self,
        id: Option<Seq>,
        after: Option<Seq>,
        limit: usize,
    ) -> Result<QuarantineRetryResult, Refusal> {
        match id {
            Some(id) => super::quarantine::retry_one(&self.0, id).await,
            None => super::quarantine::retry_all(&self.0, after, limit).await,
        }
    }

    async fn pause(&self) -> Result<LinkState, Refusal> {
        self.0.engine.link(LinkOrder::Pause).await
    }

    async fn resume(&self) -> Result<LinkState, Refusal> {
        self.0.engine.link(LinkOrder::Resume).await
    }

    async fn reconnect(&self) -> Result<LinkState, Refusal> {
        self.0.engine.link(LinkOrder::Reconnect).await
    }

    async fn link_history(&self, limit: usize) -> Result<Vec<Transition>, Refusal> {
        self.0.store.history(limit).await
    }

    async fn mute(&self, span: Option<Duration>) -> Result<Timestamp, Refusal> {
        self.0.notices.mute(span).await
    }

    async fn unmute(&self) -> Result<(), Refusal> {
        self.0.notices.unmute().await
    }

    async fn test_notice(&self) -> Result<NotificationsResult, Refusal> {
        self.0.notices.test().await?;
        let NotificationStatus { muted_until, backend, .. } = self.0.notices.status();
        Ok(NotificationsResult { muted_until, backend })
    }

    fn notices(&self, limit: usize) -> Vec<NoticeEntry> {
        self.0.notices.history(limit)
    }

    async fn reload(&self) -> Result<ReloadResult, Refusal> {
        super::reload::reload(&self.0).await
    }

    async fn config(&self) -> Result<serde_json::Value, Refusal> {
        Ok(self.0.reloader.shown())
    }

    async fn doctor(&self, full: bool) -> Result<Vec<Check>, Refusal> {
        super::doctor::examine(&self.0, full).await
    }

    fn stop(&self) {
        self.0.stop.cancel();
    }
}
