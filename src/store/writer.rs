//! The writer thread: group commit without a timer.
//!
//! While one commit syncs, the next batch gathers; then everything that gathered is carried out
//! in one transaction, committed, and only then answered. What nobody waits for (ends, failed
//! attempts, link history, cursor marks) opens a transaction too but lets up to [`RIDE`] pass for
//! a commit to ride on. With nothing to do the thread sleeps without a timer.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc;

use super::batch::{self, Urgency};
use super::desk::Desk;
use super::request::{Answers, ClientAsk, EngineAsk, Reply};
use super::tally::Tally;
use super::trouble::{Weight, gone, is_damage, refusal_for, weigh};
use super::{Counters, StoreEvent, codes, outbox, retention, suspicion};
use crate::model::{Instant, NewRow, Record, Refusal};

/// Requests that may wait, for each inbox.
pub(super) const INBOX: usize = 1024;

/// Requests in one commit, and bytes of bodies they bring, at most. (What the engine hands over as
/// one goes into one commit however much it is.)
const BATCH: usize = 1024;
const BATCH_BYTES: usize = 1024 * 1024;

/// However much the engine has, this many requests of apps get into each commit.
const CLIENTS_SHARE: usize = 256;

/// How long a record that nobody waits for may wait for a commit to ride on.
const RIDE: Duration = Duration::from_millis(100);

/// When a disk that was full is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// Pages in the WAL after which it is written back into the database. The file is kept at its
/// size: overwriting in place syncs faster than growing.
const CHECKPOINT_PAGES: i32 = 8000;

/// The writer's end of everything.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) desk: Desk,
    pub(super) path: PathBuf,
    pub(super) engine: mpsc::Receiver<EngineAsk>,
    pub(super) clients: mpsc::Receiver<ClientAsk>,
    pub(super) events: mpsc::Sender<StoreEvent>,
    pub(super) counters: Arc<Mutex<Counters>>,
    /// Pages in the WAL after the last commit, as its hook says.
    pub(super) wal_pages: Arc<AtomicI32>,
}

/// The transaction that is open.
#[derive(Debug)]
struct Open {
    /// To be put back if it fails.
    tally: Tally,
    changes: u64,
    /// Done in it; to be done again if it fails.
    records: Vec<(u64, Record)>,
    answers: Answers,
    replaced: Vec<i64>,
    urgency: Urgency,
    requests: usize,
    bytes: usize,
    since: Instant,
}

/// What is between two turns.
#[derive(Debug, Default)]
struct State {
    open: Option<Open>,
    asks: VecDeque<EngineAsk>,
    clients: VecDeque<ClientAsk>,
    closing: Option<Reply<()>>,
    /// The last transaction could not be written, and the engine was told.
    stalled: bool,
    stalled_by: Option<Refusal>,
    try_again_at: Option<Instant>,
    /// The handle is not trusted any more.
    failed: Option<Refusal>,
}

/// What the thread does next.
#[derive(Debug, Clone, Copy)]
enum Next {
    Work,
    Sleep(Option<Instant>),
    End,
}

impl Writer {
    /// Works until it is closed, or until nobody is left who could ask.
    pub(super) fn run(mut self) {
        let mut state = State::default();
        loop {
            match self.turn(&mut state) {
                Ok(Next::Work) => {}
                Ok(Next::Sleep(None)) => std::thread::park(),
                Ok(Next::Sleep(Some(until))) => {
                    std::thread::park_timeout(until.since(self.desk.clock.instant()));
                }
                Ok(Next::End) => break,
                Err(error) => self.fail(&mut state, &error),
            }
        }
        self.end(state);
    }

    /// Leaves a file that needs no recovery, and answers whoever closed it.
    fn end(self, state: State) {
        let Self { desk, mut clients, .. } = self;
        let mut outcome = state.failed.map_or(Ok(()), Err);
        if outcome.is_ok() {
            let truncate = "PRAGMA wal_checkpoint(TRUNCATE)";
            if let Err(error) = desk.conn.query_row(truncate, [], |_| Ok(())) {
                outcome = Err(refusal_for(&error));
            }
        }
        if let Err((_, error)) = desk.conn.close() {
            tracing::error!(%error, "closing the database failed");
        }
        clients.close();
        while let Ok(ask) = clients.try_recv() {
            ask.refuse(&gone());
        }
        if let Some(reply) = state.closing {
            // Whoever closed may not have waited.
            let _ = reply.send(outcome);
        }
    }

    /// One turn: gather, carry out, commit if it is time.
    fn turn(&mut self, state: &mut State) -> rusqlite::Result<Next> {
        let now = self.desk.clock.instant();
        if state.failed.is_some() || state.try_again_at.is_some_and(|at| now < at) {
            return Ok(self.refuse_all(state));
        }
        let nobody_left = self.gather(state);
        let idle = state.asks.is_empty() && state.clients.is_empty();
        let leaving = idle && (state.closing.is_some() || nobody_left);
        let probing = state.stalled && idle && state.open.is_none();
        if !idle || probing {
            self.carry_out(state, now)?;
        }
        if let Some(open) = &state.open {
            let deadline = open.since + RIDE;
            let full = open.requests >= BATCH || open.bytes >= BATCH_BYTES;
            let only_questions = open.requests == 0;
            if open.urgency == Urgency::Now || full || only_questions || now >= deadline || leaving {
                self.commit(state)?;
                return Ok(Next::Work);
            }
            return Ok(if idle { Next::Sleep(Some(deadline)) } else { Next::Work });
        }
        if leaving {
            return Ok(Next::End);
        }
        if idle && retention::is_due(&self.desk) {
            self.begin(state, now)?;
            self.commit(state)?;
            return Ok(Next::Work);
        }
        Ok(if idle { Next::Sleep(None) } else { Next::Work })
    }

    /// Takes what has gathered, the engine's first. True once nobody can ask any more.
    fn gather(&mut self, state: &mut State) -> bool {
        use mpsc::error::TryRecvError::Disconnected;
        let (mut requests, mut bytes) = (0, 0);
        let mut engine_gone = false;
        // What waits to be done again is done first; more would only pile up here.
        let room = !state.stalled || state.asks.is_empty();
        while room && requests < BATCH - CLIENTS_SHARE && bytes < BATCH_BYTES {
            match self.engine.try_recv() {
                Ok(ask) => {
                    if let EngineAsk::Records(records) = &ask {
                        requests += records.len();
                        bytes += records.iter().map(|(_, record)| weight(record)).sum::<usize>();
                    }
                    state.asks.push_back(ask);
                }
                Err(error) => {
                    engine_gone = error == Disconnected;
                    break;
                }
            }
        }
        let enough = bytes.saturating_add(BATCH_BYTES);
        while state.closing.is_none() && requests < BATCH && bytes < enough {
            match self.clients.try_recv() {
                Ok(ClientAsk::Close(reply)) => state.closing = Some(reply),
                Ok(ask) => {
                    requests += 1;
                    bytes += ask.bytes();
                    state.clients.push_back(ask);
                }
                Err(error) => return engine_gone && error == Disconnected,
            }
        }
        false
    }

    /// While nothing can be written: apps hear so at once, the engine's requests stay where they
    /// are until it can (or, once nothing is trusted any more, for good).
    fn refuse_all(&mut self, state: &mut State) -> Next {
        let why = state.failed.as_ref().or(state.stalled_by.as_ref()).cloned().unwrap_or_else(gone);
        loop {
            match self.clients.try_recv() {
                Ok(ClientAsk::Close(reply)) => state.closing = Some(reply),
                Ok(ask) => ask.refuse(&why),
                Err(mpsc::error::TryRecvError::Empty) => break,
                Err(mpsc::error::TryRecvError::Disconnected) => return Next::End,
            }
        }
        match (state.closing.is_some(), state.failed.is_some()) {
            (true, _) => Next::End,
            (false, true) => Next::Sleep(None),
            (false, false) => Next::Sleep(state.try_again_at),
        }
    }

    fn carry_out(&mut self, state: &mut State, now: Instant) -> rusqlite::Result<()> {
        self.begin(state, now)?;
        let open = state.open.as_mut().expect("begin opened it");
        while let Some(ask) = state.asks.front_mut() {
            match ask {
                EngineAsk::Records(records) => {
                    for (ticket, record) in &*records {
                        let recorded = batch::record(&mut self.desk, record, &mut open.replaced)?;
                        self.desk.told.recorded.push((*ticket, recorded));
                        open.urgency = open.urgency.max(batch::urgency(record));
                        open.requests += 1;
                        open.bytes += weight(record);
                    }
                    open.records.append(records);
                }
                EngineAsk::Due(query) => {
                    let due = super::due::load(&mut self.desk, query.clone())?;
                    // The engine always drains this channel; if it is gone nobody wants the answer.
                    let _ = self.events.blocking_send(StoreEvent::Due(due));
                }
            }
            state.asks.pop_front();
        }
        while let Some(ask) = state.clients.pop_front() {
            if ask.is_urgent() {
                open.urgency = Urgency::Now;
            }
            open.requests += 1;
            open.bytes += ask.bytes();
            batch::client(&mut self.desk, ask, &mut open.answers)?;
        }
        Ok(())
    }

    fn begin(&self, state: &mut State, now: Instant) -> rusqlite::Result<()> {
        if state.open.is_none() {
            self.desk.conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
            state.open = Some(Open {
                tally: self.desk.tally,
                changes: self.desk.conn.total_changes(),
                records: Vec::new(),
                answers: Answers::default(),
                replaced: Vec::new(),
                urgency: Urgency::Rides,
                requests: 0,
                bytes: 0,
                since: now,
            });
        }
        Ok(())
    }

    /// Commits, then answers.
    fn commit(&mut self, state: &mut State) -> rusqlite::Result<()> {
        let Some(open) = &state.open else { return Ok(()) };
        // What comes in faster than one step takes away is met by more steps.
        let (before, now) = (&open.tally, &self.desk.tally);
        let added = (now.inbox_rows - before.inbox_rows).max(now.finished - before.finished).max(0);
        for _ in 0..=added * 2 / codes::int(retention::STEP) {
            if !retention::is_due(&self.desk) {
                break;
            }
            retention::step(&mut self.desk)?;
        }
        if self.desk.conn.total_changes() == open.changes && !state.stalled {
            // Questions only: nothing to sync.
            self.desk.conn.prepare_cached("ROLLBACK")?.execute([])?;
        } else {
            outbox::settle_low(&mut self.desk)?;
            self.desk.tally.save(&self.desk.conn)?;
            self.desk.conn.prepare_cached("COMMIT")?.execute([])?;
        }
        let Some(mut open) = state.open.take() else { return Ok(()) };
        self.publish_counters();
        open.answers.give(None);
        batch::conflate(&mut self.desk.told.recorded, &open.replaced);
        let tail = self.desk.tally.tail;
        for event in self.desk.told.take(tail) {
            // The engine always drains this channel; if it is gone nobody wants to know.
            let _ = self.events.blocking_send(event);
        }
        state.try_again_at = None;
        self.checkpoint()?;
        if std::mem::take(&mut state.stalled) {
            state.stalled_by = None;
            let _ = self.events.blocking_send(StoreEvent::Stalled(None));
        }
        Ok(())
    }

    /// Writes the WAL back once it has grown. SQLite would do so by itself, but it hides a failed
    /// sync of the database file, and after one of those nothing is to be trusted.
    fn checkpoint(&self) -> rusqlite::Result<()> {
        if self.wal_pages.load(Ordering::Relaxed) >= CHECKPOINT_PAGES {
            self.desk.conn.prepare_cached("PRAGMA wal_checkpoint(PASSIVE)")?.query_row([], |_| Ok(()))?;
        }
        Ok(())
    }

    fn publish_counters(&self) {
        let counters = self.desk.tally.counters(super::open::file_bytes(&self.path));
        match self.counters.lock() {
            Ok(mut shown) => *shown = counters,
            Err(poisoned) => *poisoned.into_inner() = counters,
        }
    }

    /// Undoes the open transaction and tells everyone whose request was in it.
    fn fail(&mut self, state: &mut State, error: &rusqlite::Error) {
        let refusal = refusal_for(error);
        if let Some(mut open) = state.open.take() {
            self.desk.tally = open.tally;
            open.answers.give(Some(&refusal));
            if !open.records.is_empty() {
                state.asks.push_front(EngineAsk::Records(open.records));
            }
        }
        for ask in state.clients.drain(..) {
            ask.refuse(&refusal);
        }
        self.desk.told.take(0);
        self.desk.windows.forget();
        self.desk.retention.restart();
        let clean = self.desk.conn.is_autocommit() || self.desk.conn.execute_batch("ROLLBACK").is_ok();
        tracing::error!(%error, clean, "a transaction failed");

        if weigh(error) != Weight::Stall || !clean {
            if is_damage(error) {
                suspicion::raise(&self.path);
            }
            state.failed = Some(refusal);
            state.asks.clear();
            let _ = self.events.blocking_send(StoreEvent::Fatal(error.to_string()));
            return;
        }
        state.try_again_at = Some(self.desk.clock.instant() + TRY_AGAIN);
        state.stalled_by = Some(refusal.clone());
        if !std::mem::replace(&mut state.stalled, true) {
            let _ = self.events.blocking_send(StoreEvent::Stalled(Some(refusal.message)));
        }
    }
}

/// Bytes a record brings into a batch.
fn weight(record: &Record) -> usize {
    let Record::Inbound { unit, .. } = record else {
        return 0;
    };
    unit.rows
        .iter()
        .map(|row| match row {
            NewRow::Event { payload, .. } => payload.len(),
            NewRow::Bad { frame, .. } => frame.len(),
            NewRow::Gap { detail, .. } => detail.len(),
        })
        .sum()
}
