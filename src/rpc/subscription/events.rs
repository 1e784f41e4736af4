//! `events.subscribe`: everything from a point on, in order, at the app's own pace.
//!
//! Replay and live tail are one path: the subscription asks for what lies above its own position
//! and waits when there is nothing. So there is no seam where an event could be lost or told
//! twice. Only ephemeral events, which have no position, come on a lossy channel beside it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{broadcast, watch};
use tokio::time::sleep;

use super::{tell, tell_end};
use crate::model::{EventRow, Gap, GapReason, RowKind, Seq, TypeGlob};
use crate::rpc::api::{AckMode, CaughtUpNote, EndReason, GapNote, LaggedNote};
use crate::rpc::backend::{EventsPage, EventsQuery};
use crate::rpc::connection::{Client, Registered};
use crate::rpc::cursors::Claim;
use crate::rpc::message::notification;
use crate::rpc::out::{Gone, Written};
use crate::rpc::{metric, splice};

/// Rows asked for at a time …
const QUANTUM_ROWS: usize = 500;

/// … and their bytes, so that many readers take turns.
const QUANTUM_BYTES: usize = 256 * 1024;

/// How long to rest after the database could not answer.
const REST: Duration = Duration::from_secs(1);

/// How a subscription reads with a durable cursor.
#[derive(Debug)]
pub(in crate::rpc) struct Reading {
    /// Whose cursor it is.
    pub(in crate::rpc) claim: Claim,
    /// Who moves it.
    pub(in crate::rpc) ack: AckMode,
    /// Unacknowledged events at which to stop.
    pub(in crate::rpc) max_inflight: usize,
}

impl Reading {
    /// How many more events may be told now.
    fn room(&self) -> usize {
        match self.ack {
            AckMode::Auto => QUANTUM_ROWS,
            AckMode::Manual => self.max_inflight.saturating_sub(self.claim.holder.lock().in_flight()),
        }
    }
}

/// An `events.subscribe` subscription.
pub(in crate::rpc) struct Events {
    pub(in crate::rpc) client: Arc<Client>,
    pub(in crate::rpc) registered: Registered,
    pub(in crate::rpc) types: Vec<TypeGlob>,
    /// The next number to look at.
    pub(in crate::rpc) next: Seq,
    pub(in crate::rpc) reading: Option<Reading>,
    pub(in crate::rpc) last_seq: watch::Receiver<Seq>,
    pub(in crate::rpc) ephemeral: broadcast::Receiver<Arc<EventRow>>,
}

/// How far it is told.
struct Position {
    prev: Seq,
    caught_up: bool,
}

/// Why it ends.
enum End {
    /// Nobody listens any more, or the app ended it.
    Silent,
    TakenOver,
    StoreFailed,
}

impl From<Gone> for End {
    fn from(Gone: Gone) -> Self {
        Self::Silent
    }
}

impl Events {
    /// Runs until it is ended, by whomever.
    pub(in crate::rpc) async fn run(mut self) {
        let stop = self.registered.running.stop.clone();
        let taken = self.reading.as_ref().map(|reading| reading.claim.holder.taken.clone());
        let taken = async {
            match taken {
                Some(taken) => taken.cancelled().await,
                None => std::future::pending().await,
            }
        };
        let end = tokio::select! {
            biased;
            () = stop.cancelled() => End::Silent,
            () = taken => End::TakenOver,
            end = self.feed() => end,
        };
        // What is acknowledged so far must be in the store before anybody else may look.
        self.settle().await;
        self.reading = None;
        match end {
            End::Silent => {}
            End::TakenOver => tell_end(&self.client, &self.registered, EndReason::TakenOver).await,
            End::StoreFailed => tell_end(&self.client, &self.registered, EndReason::StoreFailed).await,
        }
    }

    async fn feed(&mut self) -> End {
        let mut position = Position { prev: Seq(self.next.0.saturating_sub(1)), caught_up: false };
        loop {
            if let Err(end) = self.turn(&mut position).await {
                return end;
            }
        }
    }

    /// One quantum, or one wait.
    async fn turn(&mut self, position: &mut Position) -> Result<(), End> {
        self.pass_ephemeral().await?;
        self.settle().await;
        let limit = self.reading.as_ref().map_or(QUANTUM_ROWS, Reading::room).min(QUANTUM_ROWS);
        if limit == 0 {
            return self.wait(false).await;
        }
        let query = EventsQuery { from: self.next, types: self.types.clone(), limit, bytes: QUANTUM_BYTES };
        let page = match self.client.shared.backend.events(query).await {
            Ok(page) => page,
            Err(refusal) if refusal.retryable => {
                sleep(REST).await;
                return Ok(());
            }
            Err(refusal) => {
                tracing::error!(error = %refusal, "a subscription ends: its events cannot be read");
                return Err(End::StoreFailed);
            }
        };
        let more = page.more;
        self.tell_page(page, position).await?;
        if more {
            return Ok(());
        }
        if !position.caught_up {
            position.caught_up = true;
            let seq = Seq(self.next.0.saturating_sub(1));
            let subscription = self.registered.name.clone();
            tell(&self.client, "caught_up", &CaughtUpNote { subscription, seq }).await?;
        }
        self.settle().await;
        self.wait(true).await
    }

    async fn tell_page(&mut self, page: EventsPage, position: &mut Position) -> Result<(), End> {
        if let Some((from, to)) = page.pruned
            && to >= self.next
        {
            let gap = Gap { from: from.max(self.next), to, reason: GapReason::Retention };
            self.tell_gap(gap, position).await?;
        }
        for row in page.rows {
            let Some(seq) = row.seq else {
                continue;
            };
            match splice::gap(&row) {
                Some(gap) => self.tell_gap(gap, position).await?,
                None => self.tell_event(&row, seq, position).await?,
            }
        }
        self.next = self.next.max(page.next);
        if let Some(reading) = &self.reading {
            reading.claim.holder.lock().look(Seq(self.next.0.saturating_sub(1)));
        }
        Ok(())
    }

    async fn tell_event(&mut self, row: &EventRow, seq: Seq, position: &mut Position) -> Result<(), End> {
        let Some(event) = splice::event(row) else {
            return Ok(());
        };
        let note = self.note(&event, Some(position.prev), !position.caught_up);
        let written = self.on_its_way(seq, true);
        self.client.out.push_then(note, written).await?;
        position.prev = seq;
        Ok(())
    }

    async fn tell_gap(&mut self, gap: Gap, position: &mut Position) -> Result<(), End> {
        let subscription = self.registered.name.clone();
        let note = GapNote { subscription, from: gap.from, to: gap.to, reason: gap.reason };
        let text = notification("gap", &crate::rpc::message::to_json(&note));
        let written = self.on_its_way(gap.to, false);
        self.client.out.push_then(text, written).await?;
        position.prev = gap.to;
        Ok(())
    }

    fn note(&self, event: &str, prev: Option<Seq>, replay: bool) -> String {
        let epoch = &self.client.shared.identity.epoch;
        notification("event", &splice::event_note(&self.registered.name, epoch, event, prev, replay))
    }

    /// Takes down that `seq` is being told, and what its being written means.
    fn on_its_way(&self, seq: Seq, event: bool) -> Written {
        let Some(reading) = &self.reading else {
            return Box::new(|| {});
        };
        reading.claim.holder.lock().tell(seq, event);
        match reading.ack {
            AckMode::Manual => Box::new(|| {}),
            AckMode::Auto => {
                let holder = Arc::clone(&reading.claim.holder);
                Box::new(move || holder.acknowledge(seq))
            }
        }
    }

    /// Waits until there may be something to do. `hungry`: also for new events.
    async fn wait(&mut self, hungry: bool) -> Result<(), End> {
        let (next, reading) = (self.next, &self.reading);
        let changed = async {
            match reading {
                Some(reading) => reading.claim.holder.changed.notified().await,
                None => std::future::pending().await,
            }
        };
        let grown = async {
            if !hungry || self.last_seq.wait_for(|last| *last >= next).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let came = tokio::select! {
            () = changed => return Ok(()),
            () = grown => return Ok(()),
            came = self.ephemeral.recv() => came,
        };
        match came {
            Ok(row) => self.tell_ephemeral(&row).await,
            Err(RecvError::Lagged(missed)) => self.tell_lag(missed).await,
            Err(RecvError::Closed) => Err(End::Silent),
        }
    }

    async fn pass_ephemeral(&mut self) -> Result<(), End> {
        loop {
            match self.ephemeral.try_recv() {
                Ok(row) => self.tell_ephemeral(&row).await?,
                Err(TryRecvError::Lagged(missed)) => self.tell_lag(missed).await?,
                Err(TryRecvError::Empty | TryRecvError::Closed) => return Ok(()),
            }
        }
    }

    async fn tell_ephemeral(&self, row: &EventRow) -> Result<(), End> {
        let RowKind::Event { kind, .. } = &row.kind else {
            return Ok(());
        };
        let wanted = self.types.is_empty() || self.types.iter().any(|glob| glob.matches(kind));
        if wanted && let Some(event) = splice::event(row) {
            self.client.out.push(self.note(&event, None, false)).await?;
        }
        Ok(())
    }

    async fn tell_lag(&self, missed: u64) -> Result<(), End> {
        self.client.shared.backend.count(metric::LAGGED);
        let subscription = self.registered.name.clone();
        Ok(tell(&self.client, "lagged", &LaggedNote { subscription, missed }).await?)
    }

    /// Moves the cursor as far as it may be.
    async fn settle(&self) {
        let Some(reading) = &self.reading else {
            return;
        };
        let to = reading.claim.holder.lock().advance();
        if let Some(seq) = to {
            let name = reading.claim.name.clone();
            // Without it the same events come once more, which is what was promised.
            let _ = self.client.shared.backend.ack_cursor(name, seq, false).await;
        }
    }
}
