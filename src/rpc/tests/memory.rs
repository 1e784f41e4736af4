//! A backend in memory, for tests of this room and of the contract.
//!
//! Long, for it implements the whole of one trait over one state.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use tokio::sync::{Notify, broadcast, watch};

use super::model::{
    CloseStatus, CursorStatus, DaemonStatus, Durability, Epoch, ErrorKind, EventRow, GapReason, InboxStatus,
    LinkState, LinkStatus, Message, MessageId, MessageState, Moved, NoticeEntry, NoticeOutcome,
    NotificationStatus, OutboxStatus, Payload, QuarantineEntry, Reason, ReasonKind, Receipt, Refusal,
    RowKind, Seq, StatusReport, StoreStatus, Timestamp, Transition, TypeGlob,
};
use super::rpc::api::{
    Check, MessagesListResult, NotificationsResult, QuarantineListResult, QuarantineRetryResult,
    ReloadResult, RequestResult,
};
use super::rpc::backend::{
    Asked, Backend, EventsPage, EventsQuery, Identity, MessagesQuery, OpenedCursor, Outgoing, Pending,
    StatePage, Told,
};

const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);

#[derive(Debug, Default)]
struct State {
    messages: Vec<Message>,
    bodies: BTreeMap<MessageId, Payload>,
    rows: BTreeMap<i64, Arc<EventRow>>,
    last: i64,
    pruned_through: i64,
    cursors: BTreeMap<String, i64>,
    quarantine: BTreeMap<i64, QuarantineEntry>,
    paused: bool,
    counts: BTreeMap<&'static str, u64>,
    gauges: BTreeMap<&'static str, i64>,
    acks: Vec<(String, i64, bool)>,
    stopped: bool,
    pages: usize,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Memory {
    state: Mutex<State>,
    link: watch::Sender<LinkStatus>,
    last: watch::Sender<Seq>,
    moves: broadcast::Sender<Moved>,
    ephemeral: broadcast::Sender<Arc<EventRow>>,
    /// Sends of this type answer only after this.
    pub(crate) release: Arc<Notify>,
    /// A page of events takes a while to come once it was read.
    pub(crate) distant: AtomicBool,
    /// Sends of the type `alone` and what comes of them: a test tells it, from whatever thread.
    pub(crate) alone: Mutex<Vec<(Told, Result<Receipt, Refusal>)>>,
}

impl Memory {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            link: watch::Sender::new(link(LinkState::Connected)),
            last: watch::Sender::new(Seq(0)),
            moves: broadcast::Sender::new(16),
            ephemeral: broadcast::Sender::new(16),
            release: Arc::new(Notify::new()),
            distant: AtomicBool::new(false),
            alone: Mutex::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn append(&self, kind: RowKind) -> i64 {
        let mut state = self.lock();
        state.last += 1;
        let seq = state.last;
        let row = EventRow { seq: Some(Seq(seq)), received_at: NOW, kind };
        state.rows.insert(seq, Arc::new(row));
        drop(state);
        self.last.send_replace(Seq(seq));
        seq
    }

    pub(crate) fn event(&self, kind: &str, data: &str) -> i64 {
        let payload = Payload::Json(data.into());
        self.append(RowKind::Event { id: None, kind: kind.into(), payload })
    }

    pub(crate) fn text(&self, text: &str) -> i64 {
        let payload = Payload::Text(text.into());
        self.append(RowKind::Event { id: None, kind: "text".into(), payload })
    }

    pub(crate) fn gap(&self, reason: GapReason) -> i64 {
        self.append(RowKind::Gap(reason))
    }

    pub(crate) fn bad(&self, raw: &str) -> i64 {
        let seq = self.append(RowKind::Bad);
        let entry = QuarantineEntry {
            id: Seq(seq),
            received_at: NOW,
            reason: "invalid_json".into(),
            detail: "expected value at column 1".into(),
            kind: None,
            event_id: None,
            raw: raw.into(),
        };
        self.lock().quarantine.insert(seq, entry);
        seq
    }

    pub(crate) fn pass(&self, kind: &str) {
        let payload = Payload::Json("1".into());
        let kind = RowKind::Event { id: None, kind: kind.into(), payload };
        let _ = self.ephemeral.send(Arc::new(EventRow { seq: None, received_at: NOW, kind }));
    }

    /// The type of an event; none where the row is none.
    pub(crate) fn kind_of(&self, seq: i64) -> Option<String> {
        match &self.lock().rows.get(&seq)?.kind {
            RowKind::Event { kind, .. } => Some(kind.clone()),
            RowKind::Gap(_) | RowKind::Bad => None,
        }
    }

    fn page(&self, query: &EventsQuery) -> EventsPage {
        let mut state = self.lock();
        state.pages += 1;
        let mut page = EventsPage {
            next: Seq(state.last + 1),
            first_seq: state.rows.keys().next().map(|seq| Seq(*seq)),
            last_seq: Some(Seq(state.last)),
            pruned: (query.from.0 <= state.pruned_through).then_some((query.from, Seq(state.pruned_through))),
            ..EventsPage::default()
        };
        let mut bytes = 0;
        for (seq, row) in state.rows.range(query.from.0..) {
            let size = match &row.kind {
                RowKind::Event { kind, payload, .. } if fits(&query.types, kind) => payload.len(),
                RowKind::Event { .. } => continue,
                RowKind::Gap(_) | RowKind::Bad => 0,
            };
            let full = page.rows.len() >= query.limit || bytes + size > query.bytes;
            if full && !page.rows.is_empty() {
                page.next = Seq(*seq);
                page.more = true;
                break;
            }
            bytes += size;
            page.rows.push(Arc::clone(row));
        }
        page
    }

    /// Pages of events asked for so far.
    pub(crate) fn pages(&self) -> usize {
        self.lock().pages
    }

    pub(crate) fn prune(&self, through: i64) {
        let mut state = self.lock();
        state.rows.retain(|seq, _| *seq > through);
        state.pruned_through = through;
    }

    pub(crate) fn move_message(&self, id: &str, to: MessageState) {
        let moved = Moved { id: MessageId::new(id).unwrap(), state: to, attempt: 1, reason: None };
        let _ = self.moves.send(moved);
    }

    pub(crate) fn link_is(&self, state: LinkState) {
        self.link.send_replace(link(state));
    }

    pub(crate) fn kinds(&self) -> Vec<String> {
        self.lock().messages.iter().map(|message| message.kind.clone()).collect()
    }

    pub(crate) fn cursor(&self, name: &str) -> Option<i64> {
        self.lock().cursors.get(name).copied()
    }

    pub(crate) fn acks(&self) -> Vec<(String, i64, bool)> {
        self.lock().acks.clone()
    }

    pub(crate) fn counted(&self, metric: &str) -> u64 {
        self.lock().counts.get(metric).copied().unwrap_or(0)
    }

    pub(crate) fn gauged(&self, metric: &str) -> i64 {
        self.lock().gauges.get(metric).copied().unwrap_or(0)
    }

    pub(crate) fn stopped(&self) -> bool {
        self.lock().stopped
    }

    fn place(&self, message: Outgoing) -> Result<Pending<Receipt>, Refusal> {
        assert!(&*message.kind != "panic", "a fault of ours");
        if &*message.kind == "full" {
            return Err(Refusal::new(ErrorKind::QueueFull, "the queue is full").hint("wait, or drop some"));
        }
        let mut state = self.lock();
        let id = message
            .id
            .clone()
            .unwrap_or_else(|| MessageId::new(&format!("made-{}", state.messages.len() + 1)).unwrap());
        if state.bodies.get(&id).is_some_and(|before| *before != message.payload) {
            let text = "this id belongs to a message with another body";
            return Err(Refusal::new(ErrorKind::Conflict, text).with("id", id.as_str()));
        }
        let duplicate = state.bodies.insert(id.clone(), message.payload.clone()).is_some();
        if !duplicate {
            let (data, text) = match &message.payload {
                Payload::Json(json) => (serde_json::from_str(json).ok(), None),
                Payload::Text(text) => (None, Some(text.to_string())),
                Payload::Binary(_) => (None, None),
            };
            state.messages.push(Message {
                id: id.clone(),
                kind: message.kind.to_string(),
                lane: message.lane.unwrap_or_else(|| "default".into()),
                key: message.key,
                delivery: message.delivery.unwrap_or_default(),
                state: MessageState::Queued,
                attempts: 0,
                queued_at: NOW,
                expires_at: message.ttl.map(|ttl| NOW.after(ttl)),
                reason: None,
                maybe_delivered: false,
                data,
                text,
                binary: None,
                history: Vec::new(),
            });
        }
        let receipt = Receipt {
            id,
            state: MessageState::Queued,
            durability: Durability::Full,
            duplicate,
            reason: None,
        };
        let later = (&*message.kind == "later").then(|| Arc::clone(&self.release));
        Ok(Box::pin(async move {
            if let Some(release) = later {
                release.notified().await;
            }
            Ok(receipt)
        }))
    }

    fn change(&self, id: &MessageId, to: MessageState) -> Result<Message, Refusal> {
        let mut state = self.lock();
        let message = state.messages.iter_mut().find(|message| message.id == *id).ok_or_else(|| no(id))?;
        message.state = to;
        Ok(message.clone())
    }
}

fn no(what: impl std::fmt::Display) -> Refusal {
    Refusal::new(ErrorKind::NotFound, format!("there is no {what}"))
}

fn link(state: LinkState) -> LinkStatus {
    LinkStatus {
        state,
        label: state.label().into(),
        since: NOW,
        reason: (state != LinkState::Connected).then(|| Reason {
            kind: ReasonKind::ConnectionLost,
            text: "Connection lost: the connection ended without a close".into(),
            hint: String::new(),
            at: NOW,
        }),
        url: "wss://example.com/socket".into(),
        attempt: 0,
        next_retry_at: None,
        last_connected_at: Some(NOW),
        last_close: Some(CloseStatus { code: 1012, reason: "restart".into() }),
        last_http_status: None,
        rtt_ms: Some(12.5),
        reconnects: 1,
        resumed: Some(true),
        dialect: "json".into(),
        confirm: "barrier".into(),
    }
}

fn fits(types: &[TypeGlob], kind: &str) -> bool {
    types.is_empty() || types.iter().any(|glob| glob.matches(kind))
}

#[async_trait]
impl Backend for Memory {
    fn identity(&self) -> Identity {
        Identity {
            daemon_version: "0.1.0".into(),
            epoch: Epoch("epoch-1".into()),
            instance_id: "instance-1".into(),
            max_message: 4 * 1024 * 1024,
            keep_finished: 100_000,
            keep_finished_age: Duration::from_secs(7 * 24 * 3600),
            features: vec!["state".into()],
        }
    }

    fn now(&self) -> Timestamp {
        NOW
    }

    fn status(&self) -> StatusReport {
        let state = self.lock();
        StatusReport {
            schema: 1,
            daemon: DaemonStatus {
                version: "0.1.0".into(),
                pid: 4242,
                instance_id: "instance-1".into(),
                profile: "default".into(),
                started_at: NOW,
                config_path: "/home/me/.config/holdline/config.toml".into(),
            },
            link: self.link.borrow().clone(),
            outbox: OutboxStatus { queued: state.messages.len() as u64, ..OutboxStatus::default() },
            inbox: InboxStatus { last_seq: Some(Seq(state.last)), ..InboxStatus::default() },
            cursors: cursors(&state),
            clients: Vec::new(),
            clients_total: 0,
            notifications: NotificationStatus::default(),
            store: StoreStatus {
                path: "/home/me/.local/state/holdline/default.db".into(),
                epoch: Epoch("epoch-1".into()),
                bytes: 4096,
                durability: Durability::Full,
            },
            health: Vec::new(),
        }
    }

    fn link(&self) -> watch::Receiver<LinkStatus> {
        self.link.subscribe()
    }

    fn metrics(&self) -> String {
        "# TYPE holdline_clients gauge\n".into()
    }

    fn count_more(&self, metric: &'static str, more: u64) {
        *self.lock().counts.entry(metric).or_default() += more;
    }

    fn gauge(&self, metric: &'static str, value: i64) {
        self.lock().gauges.insert(metric, value);
    }

    /// Types that begin with `slow` take their time before they have their place; `later` are
    /// answered only once they are released; `panic` is a fault of ours.
    async fn send(&self, message: Outgoing) -> Result<Pending<Receipt>, Refusal> {
        if message.kind.starts_with("slow") {
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
        }
        self.place(message)
    }

    /// Those that take their time before they have their place cannot be posted, nor can one in ten
    /// of the others.
    fn post(&self, message: Outgoing, told: Told) -> Result<(), (Outgoing, Told)> {
        if &*message.kind == "alone" {
            let outcome =
                self.place(message).map(|pending| pending.now_or_never().expect("it is there already"));
            self.alone.lock().unwrap().push((told, outcome.and_then(|outcome| outcome)));
            return Ok(());
        }
        if message.kind.starts_with("slow") || self.lock().messages.len() % 10 == 9 {
            return Err((message, told));
        }
        let later = &*message.kind == "later";
        match self.place(message) {
            Ok(pending) if later => told.later(pending),
            Ok(pending) => told.now(pending.now_or_never().expect("it is there already")),
            Err(refusal) => told.now(Err(refusal)),
        }
        Ok(())
    }

    /// The type `later` is answered once it is released, `no` is refused by the server; all others
    /// get their own body back.
    async fn request(&self, request: Asked) -> Result<Pending<RequestResult>, Refusal> {
        let id = request.id.unwrap_or_else(|| MessageId::new("made").unwrap());
        if &*request.kind == "no" {
            let refusal = Refusal::new(ErrorKind::Ended, "the server refused the request: too_late");
            return Err(refusal.with("state", "rejected").with("code", "too_late").with("id", id.as_str()));
        }
        let reply = match &request.payload {
            Payload::Json(json) => serde_json::from_str(json).ok(),
            Payload::Text(_) | Payload::Binary(_) => {
                return Err(Refusal::new(ErrorKind::Unsupported, "a reply cannot name such a message"));
            }
        };
        let later = (&*request.kind == "later").then(|| Arc::clone(&self.release));
        Ok(Box::pin(async move {
            if let Some(release) = later {
                release.notified().await;
            }
            Ok(RequestResult { id, reply })
        }))
    }

    async fn message(&self, id: MessageId) -> Result<Message, Refusal> {
        self.lock().messages.iter().find(|message| message.id == id).cloned().ok_or_else(|| no(id))
    }

    async fn messages(&self, query: MessagesQuery) -> Result<MessagesListResult, Refusal> {
        let state = self.lock();
        let mut fitting = state
            .messages
            .iter()
            .skip_while(|message| query.after.as_ref().is_some_and(|after| message.id != *after))
            .skip(usize::from(query.after.is_some()))
            .filter(|message| query.states.is_empty() || query.states.contains(&message.state))
            .filter(|message| fits(&query.types, &message.kind));
        let messages = fitting.by_ref().take(query.limit).cloned().collect();
        Ok(MessagesListResult { messages, more: fitting.next().is_some() })
    }

    async fn cancel(&self, id: MessageId) -> Result<Message, Refusal> {
        self.change(&id, MessageState::Cancelled)
    }

    async fn retry(&self, id: MessageId) -> Result<Message, Refusal> {
        self.change(&id, MessageState::Queued)
    }

    async fn drop_message(&self, id: MessageId) -> Result<Message, Refusal> {
        self.change(&id, MessageState::Dropped)
    }

    fn moves(&self) -> broadcast::Receiver<Moved> {
        self.moves.subscribe()
    }

    async fn events(&self, query: EventsQuery) -> Result<EventsPage, Refusal> {
        if self.lock().last - query.from.0 > 1_000 {
            // What lies back is on disk.
            tokio::task::yield_now().await;
        }
        let page = self.page(&query);
        if self.distant.load(Ordering::Relaxed) {
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
        }
        Ok(page)
    }

    fn last_seq(&self) -> watch::Receiver<Seq> {
        self.last.subscribe()
    }

    fn ephemeral(&self) -> broadcast::Receiver<Arc<EventRow>> {
        self.ephemeral.subscribe()
    }

    async fn state(&self, kind: String, key: String) -> Result<Arc<EventRow>, Refusal> {
        let page = self.states(kind, None, usize::MAX, usize::MAX).await?;
        page.rows.into_iter().find(|(found, _)| *found == key).map(|(_, row)| row).ok_or_else(|| no(key))
    }

    /// The key of an event is its `k`.
    async fn states(
        &self,
        kind: String,
        after: Option<String>,
        limit: usize,
        _bytes: usize,
    ) -> Result<StatePage, Refusal> {
        let mut newest = BTreeMap::new();
        for row in self.lock().rows.values() {
            if let RowKind::Event { kind: found, payload: Payload::Json(json), .. } = &row.kind
                && *found == kind
                && let Ok(serde_json::Value::Object(data)) = serde_json::from_str(json)
                && let Some(key) = data.get("k").and_then(|key| key.as_str())
            {
                newest.insert(key.to_owned(), Arc::clone(row));
            }
        }
        let behind: Vec<_> =
            newest.into_iter().filter(|(key, _)| after.as_ref().is_none_or(|after| key > after)).collect();
        let more = behind.len() > limit;
        Ok(StatePage { rows: behind.into_iter().take(limit).collect(), more })
    }

    async fn open_cursor(&self, name: String) -> Result<OpenedCursor, Refusal> {
        let mut state = self.lock();
        let earliest = state.pruned_through;
        let created = !state.cursors.contains_key(&name);
        let seq = *state.cursors.entry(name).or_insert(earliest);
        Ok(OpenedCursor { seq: Seq(seq), created })
    }

    async fn ack_cursor(&self, name: String, seq: Seq, durable: bool) -> Result<Seq, Refusal> {
        let mut state = self.lock();
        state.acks.push((name.clone(), seq.0, durable));
        let cursor = state.cursors.get_mut(&name).ok_or_else(|| no(&name))?;
        *cursor = (*cursor).max(seq.0);
        Ok(Seq(*cursor))
    }

    async fn cursors(&self) -> Result<Vec<CursorStatus>, Refusal> {
        Ok(cursors(&self.lock()))
    }

    async fn delete_cursor(&self, name: String) -> Result<(), Refusal> {
        self.lock().cursors.remove(&name).map(|_| ()).ok_or_else(|| no(name))
    }

    async fn quarantine(
        &self,
        after: Option<Seq>,
        limit: usize,
        _bytes: usize,
    ) -> Result<QuarantineListResult, Refusal> {
        let state = self.lock();
        let mut behind = state.quarantine.range(after.map_or(0, |after| after.0 + 1)..);
        let entries = behind.by_ref().take(limit).map(|(_, entry)| entry.clone()).collect();
        Ok(QuarantineListResult { entries, more: behind.next().is_some() })
    }

    async fn drop_quarantine(&self, id: Seq) -> Result<(), Refusal> {
        self.lock().quarantine.remove(&id.0).map(|_| ()).ok_or_else(|| no(id))
    }

    async fn retry_quarantine(
        &self,
        id: Option<Seq>,
        after: Option<Seq>,
        limit: usize,
    ) -> Result<QuarantineRetryResult, Refusal> {
        let after = id.map_or(after.unwrap_or_default().0, |id| id.0 - 1);
        let found: Vec<i64> = {
            let state = self.lock();
            state.quarantine.range(after + 1..).map(|(seq, _)| *seq).collect()
        };
        let mut result = QuarantineRetryResult::default();
        for seq in found.iter().take(if id.is_some() { 1 } else { limit }) {
            if id.is_some_and(|id| id.0 != *seq) {
                break;
            }
            // Whatever was half is whole now.
            self.lock().quarantine.remove(seq);
            self.event("whole", "{}");
            (result.released, result.events) = (result.released + 1, result.events + 1);
            result.next = id.is_none().then_some(Seq(*seq));
        }
        match id {
            Some(id) if result.released == 0 => Err(no(id)),
            Some(_) => Ok(result),
            None => Ok(QuarantineRetryResult { more: found.len() > limit, ..result }),
        }
    }

    async fn pause(&self) -> Result<LinkState, Refusal> {
        self.lock().paused = true;
        self.link_is(LinkState::Paused);
        Ok(LinkState::Paused)
    }

    async fn resume(&self) -> Result<LinkState, Refusal> {
        self.lock().paused = false;
        self.link_is(LinkState::Connecting);
        Ok(LinkState::Connecting)
    }

    async fn reconnect(&self) -> Result<LinkState, Refusal> {
        if self.lock().paused {
            return Err(Refusal::new(ErrorKind::Conflict, "the link is paused").hint("resume it"));
        }
        Ok(LinkState::Connecting)
    }

    async fn link_history(&self, limit: usize) -> Result<Vec<Transition>, Refusal> {
        let entry =
            |to| Transition { at: NOW, from: None, to, reason: None, attempt: 0, next_retry_at: None };
        let all = [entry(LinkState::Connecting), entry(LinkState::Connected)];
        Ok(all.into_iter().skip(2_usize.saturating_sub(limit)).collect())
    }

    async fn mute(&self, span: Option<Duration>) -> Result<Timestamp, Refusal> {
        Ok(NOW.after(span.unwrap_or(Duration::from_secs(86_400))))
    }

    async fn unmute(&self) -> Result<(), Refusal> {
        Ok(())
    }

    async fn test_notice(&self) -> Result<NotificationsResult, Refusal> {
        Ok(NotificationsResult { muted_until: None, backend: Some("dunst 1.9.0".into()) })
    }

    fn notices(&self, limit: usize) -> Vec<NoticeEntry> {
        let entry = NoticeEntry {
            at: NOW,
            outcome: NoticeOutcome::Suppressed,
            reason: Some("quiet".into()),
            detail: None,
            kind: "order_status".into(),
            title: None,
            seq: Some(Seq(2)),
            count: 2,
        };
        vec![entry; limit.min(1)]
    }

    async fn reload(&self) -> Result<ReloadResult, Refusal> {
        Ok(ReloadResult { changed: vec!["log.level".into()], ..ReloadResult::default() })
    }

    async fn config(&self) -> Result<serde_json::Value, Refusal> {
        Ok(serde_json::json!({ "server": { "url": "wss://example.com/socket" } }))
    }

    async fn doctor(&self, full: bool) -> Result<Vec<Check>, Refusal> {
        Ok(vec![
            Check::good("name", "example.com \u{2192} 203.0.113.7").took(Duration::from_millis(3)),
            Check::bad("tls", "the certificate has expired", "renew it"),
            Check::open("upgrade", if full { "not tried: looking at the database" } else { "not tried" }),
        ])
    }

    fn stop(&self) {
        self.lock().stopped = true;
    }
}

fn cursors(state: &State) -> Vec<CursorStatus> {
    let names: BTreeSet<_> = state.cursors.keys().collect();
    let status = |name: &String| CursorStatus {
        name: name.clone(),
        seq: Seq(state.cursors[name]),
        lag: u64::try_from(state.last - state.cursors[name]).unwrap_or(0),
        connected: false,
        last_seen: None,
    };
    names.into_iter().map(status).collect()
}
