//! The writer thread: group commit without a timer.
//!
//! While one commit syncs, the next batch gathers; then everything that gathered is carried out
//! in one transaction, committed, and only then answered. What nobody waits for (ends, failed
//! attempts, link history, cursor marks) opens a transaction too but lets a little time pass for
//! a commit to ride on (`transaction`). With nothing to do the thread sleeps without a timer.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::AtomicI32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::config::DbConfig;
use tokio::sync::mpsc;

use super::batch;
use super::desk::Desk;
use super::disk::{self, OpenFiles};
use super::files::{Folder, file_bytes};
use super::handle::lock;
use super::pulse::Pulse;
use super::request::{ClientAsk, EngineAsk, Reply};
use super::transaction::{BATCH, BATCH_BYTES, Open};
use super::trouble::{
    Weight, damaged, gone, is_suspicious, little_room, moved, refusal_for, too_little_room, unsynced, weigh,
};
use super::{
    Commits, Counters, StoreEvent, checkpoint, clockwork, codes, fresh, inbox, outbox, rescue, retention,
    suspicion,
};
use crate::model::{Instant, Refusal};

/// Requests that may wait, for each inbox.
pub(super) const INBOX: usize = 1024;

/// However much the engine has, this many requests of apps get into each commit.
const CLIENTS_SHARE: usize = 256;

/// When a disk that was full is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// How often the free space is looked at while something is written, or while it is too little.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The writer's end of everything.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) desk: Desk,
    pub(super) path: PathBuf,
    pub(super) folder: Folder,
    pub(super) engine: mpsc::Receiver<EngineAsk>,
    pub(super) clients: mpsc::Receiver<ClientAsk>,
    pub(super) events: mpsc::Sender<StoreEvent>,
    pub(super) counters: Arc<Mutex<Counters>>,
    /// Pages in the WAL after the last commit, as its hook says.
    pub(super) wal_pages: Arc<AtomicI32>,
    /// The files that are open; none where they cannot be told from others.
    pub(super) files: Arc<Mutex<Option<OpenFiles>>>,
    pub(super) room: Room,
    /// How commits went so far.
    pub(super) commits: Commits,
    pub(super) pulse: Pulse,
}

/// How much room the disk has, as of the last look.
#[derive(Debug, Default)]
pub(super) struct Room {
    looked_at: Option<Instant>,
    /// Free bytes, where they are too few.
    low: Option<u64>,
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
    /// The file is damaged, as a check found.
    condemned: Option<String>,
    /// Whether the files are still in their places is to be seen now.
    look: bool,
    /// The log holds something, and the mark beside it says so.
    log_in_use: bool,
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
        let Self { mut desk, mut clients, path, .. } = self;
        let mut outcome = state.failed.map_or(Ok(()), Err);
        if outcome.is_err() {
            // Closing would write the log back and sync once more, on the handle that failed.
            let _ = desk.conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        } else {
            if let Err(error) = clockwork::put_down(&mut desk) {
                tracing::debug!(%error, "the time of the end was not put down");
            }
            rescue::log_is_written_back(&path);
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
        if state.failed.is_none() {
            if let Some(why) = state.condemned.take() {
                return Err(damaged(&why));
            }
            if std::mem::take(&mut state.look) {
                self.see_files()?;
            }
            self.look_for_room(now);
        }
        if state.failed.is_some() || state.try_again_at.is_some_and(|at| now < at) {
            return Ok(self.refuse_all(state));
        }
        let nobody_left = self.gather(state);
        if state.look || state.condemned.is_some() {
            return Ok(Next::Work);
        }
        let idle = state.asks.is_empty() && state.clients.is_empty();
        let leaving = idle && (state.closing.is_some() || nobody_left);
        let probing = state.stalled && idle && state.open.is_none();
        if !idle || probing {
            self.carry_out(state, now)?;
        }
        if let Some(open) = &state.open {
            if open.is_due(now) || leaving {
                self.commit(state)?;
                return Ok(Next::Work);
            }
            return Ok(if idle { Next::Sleep(Some(open.deadline())) } else { Next::Work });
        }
        if leaving {
            return Ok(Next::End);
        }
        if idle && retention::is_due(&self.desk) {
            self.begin(state, now)?;
            self.commit(state)?;
            return Ok(Next::Work);
        }
        Ok(if idle { Next::Sleep(self.room.look_again_at()) } else { Next::Work })
    }

    /// Looks whether the disk has room for more, and tells a change.
    fn look_for_room(&mut self, now: Instant) {
        if self.room.looked_at.is_some_and(|at| now.since(at) < LOOK_EVERY) {
            return;
        }
        self.room.looked_at = Some(now);
        let low = disk::free_bytes(&self.path).filter(|free| *free < disk::FLOOR);
        let was = std::mem::replace(&mut self.room.low, low);
        if was.is_some() != low.is_some() {
            let _ = self.events.blocking_send(StoreEvent::Low(low.map(little_room)));
        }
    }

    /// Fails where the open files do not stand under their names any more.
    fn see_files(&self) -> rusqlite::Result<()> {
        let fate = lock(&self.files).as_mut().and_then(|files| files.fate(&self.path));
        fate.map_or(Ok(()), |fate| Err(moved(fate.text())))
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
                        bytes += records.iter().map(|(_, record)| batch::weight(record)).sum::<usize>();
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
                Ok(ClientAsk::Condemn(why)) => state.condemned = Some(why),
                Ok(ClientAsk::Look) => state.look = true,
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
                Ok(ClientAsk::Condemn(why)) => state.condemned = Some(why),
                Ok(ClientAsk::Look) => state.look = true,
                Ok(ask) => ask.refuse(&why),
                Err(mpsc::error::TryRecvError::Empty) => break,
                Err(mpsc::error::TryRecvError::Disconnected) => return Next::End,
            }
        }
        if state.failed.is_none() && (state.look || state.condemned.is_some()) {
            return Next::Work;
        }
        match (state.closing.is_some(), state.failed.is_some()) {
            (true, _) => Next::End,
            (false, true) => Next::Sleep(None),
            (false, false) => Next::Sleep(state.try_again_at),
        }
    }

    fn carry_out(&mut self, state: &mut State, now: Instant) -> rusqlite::Result<()> {
        self.begin(state, now)?;
        self.desk.now = self.desk.clock.now();
        while let Some(ask) = state.asks.front_mut() {
            let open = state.open.as_mut().expect("begin opened it");
            match ask {
                EngineAsk::Records(records) => {
                    for (ticket, record) in &*records {
                        let recorded = batch::record(&mut self.desk, record, &mut open.replaced)?;
                        self.desk.told.recorded.push((*ticket, recorded));
                        open.take_in(record);
                    }
                    fresh::settle(&mut self.desk)?;
                    open.records.append(records);
                }
                EngineAsk::Due(query) => {
                    let due = super::due::load(&mut self.desk, query.clone())?;
                    if let Some(due) = open.hold_back(due) {
                        // The engine always drains this channel; if it is gone nobody wants the answer.
                        let _ = self.events.blocking_send(StoreEvent::Due(due));
                    }
                }
            }
            state.asks.pop_front();
        }
        let open = state.open.as_mut().expect("begin opened it");
        while let Some(ask) = state.clients.pop_front() {
            if let (Some(free), ClientAsk::Send(..) | ClientAsk::Post(..)) = (self.room.low, &ask) {
                ask.refuse(&too_little_room(free));
                continue;
            }
            open.take_in_request(ask.bytes(), ask.is_urgent());
            batch::client(&mut self.desk, ask, &mut open.answers)?;
        }
        Ok(())
    }

    fn begin(&self, state: &mut State, now: Instant) -> rusqlite::Result<()> {
        if state.open.is_none() {
            self.desk.conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
            state.open = Some(Open::new(self.desk.tally, self.desk.conn.total_changes(), now));
        }
        Ok(())
    }

    /// Commits, then answers.
    fn commit(&mut self, state: &mut State) -> rusqlite::Result<()> {
        let Some(open) = &state.open else { return Ok(()) };
        let _at_disk = self.pulse.at_disk(self.desk.clock.instant());
        // What comes in faster than one step takes away is met by more steps.
        inbox::put_down_resume(&mut self.desk)?;
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
            clockwork::keep(&mut self.desk)?;
            self.desk.tally.save(&self.desk.conn)?;
            let began = self.desk.clock.instant();
            self.desk.conn.prepare_cached("COMMIT")?.execute([])?;
            self.commits.add(self.desk.clock.instant().since(began), open.requests);
            // What went into a file that nobody finds again is nobody's receipt.
            self.see_files()?;
            if !state.log_in_use {
                let marked = rescue::log_is_in_use(&self.folder, &self.path);
                state.log_in_use = marked.map_err(|error| unsynced(&error))?;
            }
        }
        let Some(mut open) = state.open.take() else { return Ok(()) };
        self.publish_counters();
        open.answers.give(None, self.clients.is_empty() && self.engine.is_empty());
        batch::conflate(&mut self.desk.told.recorded, &open.replaced);
        let tail = self.desk.tally.tail;
        let held = open.held.drain(..).map(StoreEvent::Due);
        for event in self.desk.told.take(tail).into_iter().chain(held) {
            // The engine always drains this channel; if it is gone nobody wants to know.
            let _ = self.events.blocking_send(event);
        }
        state.try_again_at = None;
        checkpoint::write_back(&self.desk.conn, &self.wal_pages)?;
        if std::mem::take(&mut state.stalled) {
            state.stalled_by = None;
            let _ = self.events.blocking_send(StoreEvent::Stalled(None));
        }
        Ok(())
    }

    fn publish_counters(&self) {
        let bytes = lock(&self.files).map_or_else(|| file_bytes(&self.path), |files| files.bytes);
        let counters = Counters { commits: self.commits.clone(), ..self.desk.tally.counters(bytes) };
        match self.counters.lock() {
            Ok(mut shown) => *shown = counters,
            Err(poisoned) => *poisoned.into_inner() = counters,
        }
    }

    /// What is still to be done before the handle is given up, and why it is.
    fn last_words(&self, error: &rusqlite::Error) -> String {
        let fate = lock(&self.files).as_mut().and_then(|files| files.fate(&self.path));
        if let Some(fate) = fate {
            return rescue::save(&self.desk.conn, &self.path, fate, self.desk.clock);
        }
        if is_suspicious(error) {
            suspicion::raise(&self.path);
        }
        error.to_string()
    }

    /// Undoes the open transaction and tells everyone whose request was in it.
    fn fail(&mut self, state: &mut State, error: &rusqlite::Error) {
        let refusal = refusal_for(error);
        if let Some(mut open) = state.open.take() {
            self.desk.tally = open.tally;
            open.answers.give(Some(&refusal), false);
            for due in open.held.into_iter().rev() {
                state.asks.push_front(EngineAsk::Due(due.query));
            }
            if !open.records.is_empty() {
                state.asks.push_front(EngineAsk::Records(open.records));
            }
        }
        for ask in state.clients.drain(..) {
            ask.refuse(&refusal);
        }
        self.desk.mark = None;
        self.desk.told.take(0);
        self.desk.windows.forget();
        self.desk.fresh.forget();
        self.desk.ends = None;
        self.desk.resume.clear();
        self.desk.retention.restart();
        let clean = self.desk.conn.is_autocommit() || self.desk.conn.execute_batch("ROLLBACK").is_ok();
        tracing::error!(%error, clean, "a transaction failed");

        if weigh(error) != Weight::Stall || !clean {
            state.failed = Some(refusal);
            state.asks.clear();
            let why = self.last_words(error);
            let _ = self.events.blocking_send(StoreEvent::Fatal(why));
            return;
        }
        state.try_again_at = Some(self.desk.clock.instant() + TRY_AGAIN);
        state.stalled_by = Some(refusal.clone());
        if !std::mem::replace(&mut state.stalled, true) {
            let _ = self.events.blocking_send(StoreEvent::Stalled(Some(refusal.message)));
        }
    }
}

impl Room {
    /// When to look again although nothing is written: while there is too little.
    fn look_again_at(&self) -> Option<Instant> {
        self.low.and(self.looked_at).map(|at| at + LOOK_EVERY)
    }
}
