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
use crate::model::{EventRow, Gap, GapReason, RowKind, Seq};
use crate::rpc::api::{AckMode, CaughtUpNote, EndReason, LaggedNote};
use crate::rpc::backend::{EventsPage, EventsQuery};
use crate::rpc::chunk::{CHUNK, Chunk, Composer, Fetch, Fetching, Voice};
use crate::rpc::connection::{Client, Registered};
use crate::rpc::cursors::Claim;
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
    pub(in crate::rpc) voice: Voice,
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
    /// What follows, read while what stands before it was told.
    ahead: Option<(Seq, EventsPage)>,
    /// Held while a page is fetched that others wait for too.
    fetching: Option<Fetching>,
}

fn behind(seq: Seq) -> Seq {
    Seq(seq.0.saturating_add(1))
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
        let _listener = self.client.shared.chunks.listen();
        let mut position = Position {
            prev: Seq(self.next.0.saturating_sub(1)),
            caught_up: false,
            ahead: None,
            fetching: None,
        };
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
        // Once caught up, others are likely to stand at the same place.
        let together = position.caught_up;
        let shared = Arc::clone(&self.client.shared);
        let mut kept = if together { self.kept(position, limit) } else { None };
        if together && kept.is_none() {
            match shared.chunks.fetch(&self.voice, self.next, position.prev) {
                Fetch::Ours(fetching) => position.fetching = Some(fetching),
                Fetch::Theirs(done) => {
                    done.cancelled().await;
                    kept = self.kept(position, limit);
                }
            }
        }
        if let Some(chunk) = kept {
            self.tell_chunk(chunk, position).await?;
        } else {
            let ahead = position.ahead.take().filter(|(from, _)| *from == self.next && !together);
            let page = match ahead {
                Some((_, page)) => page,
                None => match shared.backend.events(self.query(limit, together)).await {
                    Ok(page) => page,
                    Err(refusal) if refusal.retryable => {
                        position.fetching = None;
                        sleep(REST).await;
                        return Ok(());
                    }
                    Err(refusal) => {
                        tracing::error!(error = %refusal, "a subscription ends: its events cannot be read");
                        return Err(End::StoreFailed);
                    }
                },
            };
            if page.more {
                return self.tell_and_read_on(page, position, limit).await;
            }
            self.tell_page(page, position).await?;
        }
        if position.caught_up {
            if *self.last_seq.borrow() >= self.next {
                return Ok(());
            }
        } else {
            position.caught_up = true;
            let seq = Seq(self.next.0.saturating_sub(1));
            let subscription = self.registered.name.clone();
            tell(&self.client, "caught_up", &CaughtUpNote { subscription, seq }).await?;
        }
        self.settle().await;
        self.wait(true).await
    }

    /// The piece that others were told from here on.
    fn kept(&self, position: &Position, limit: usize) -> Option<Arc<Chunk>> {
        let chunk = self.client.shared.chunks.get(&self.voice, self.next, position.prev)?;
        (chunk.told.len() <= limit).then_some(chunk)
    }

    /// What to ask for next.
    fn query(&self, limit: usize, together: bool) -> EventsQuery {
        let bytes = if together { CHUNK } else { QUANTUM_BYTES };
        EventsQuery { from: self.next, types: self.voice.types.clone(), limit, bytes }
    }

    /// Tells a page behind which there is more. While history is told the next page is read beside it:
    /// else database and socket would wait for each other by turns.
    async fn tell_and_read_on(
        &mut self,
        page: EventsPage,
        position: &mut Position,
        limit: usize,
    ) -> Result<(), End> {
        if position.caught_up || limit < QUANTUM_ROWS {
            return self.tell_page(page, position).await;
        }
        let from = page.next.max(self.next);
        let query = EventsQuery { from, ..self.query(limit, false) };
        let shared = Arc::clone(&self.client.shared);
        let (read, told) = tokio::join!(shared.backend.events(query), self.tell_page(page, position));
        // What could not be read is asked for again, where its failure is dealt with.
        position.ahead = read.ok().map(|page| (from, page));
        told
    }

    async fn tell_page(&mut self, page: EventsPage, position: &mut Position) -> Result<(), End> {
        let from = self.next;
        let joint =
            if position.caught_up { self.client.shared.chunks.joint(&self.voice, from) } else { None };
        let mut composer = self.composer(!position.caught_up, position.prev, from);
        // Whether others may be told the very same: all from here on to where it ends, and nothing else.
        let shared = position.caught_up && page.pruned.is_none();
        // Let go of before any app is waited for: at once where there is nothing for others in it.
        let fetching = position.fetching.take().filter(|_| shared);
        if let Some((first, to)) = page.pruned
            && to >= from
        {
            composer.gap(Gap { from: first.max(from), to, reason: GapReason::Retention });
        }
        let mut next = page.next.max(from);
        let mut pieces = Vec::new();
        for row in &page.rows {
            let Some(seq) = row.seq else {
                continue;
            };
            if let Some(joint) = joint.filter(|joint| *joint <= seq) {
                next = joint;
                break;
            }
            match splice::gap(row) {
                Some(gap) => composer.gap(gap),
                None => composer.event(row),
            }
            if composer.is_full() {
                pieces.push(Arc::new(composer.cut(behind(seq))));
                // What is shared is there for the others before this app takes any of it.
                if !shared {
                    self.tell_pieces(&mut pieces, position).await?;
                }
            }
        }
        pieces.push(Arc::new(composer.cut(next)));
        if shared {
            let (mut from, mut prev) = (from, position.prev);
            for piece in pieces.iter().filter(|piece| !piece.told.is_empty()) {
                self.client.shared.chunks.keep(&self.voice, from, prev, piece);
                (from, prev) = (piece.next, piece.prev);
            }
        }
        drop(fetching);
        self.tell_pieces(&mut pieces, position).await
    }

    async fn tell_pieces(
        &mut self,
        pieces: &mut Vec<Arc<Chunk>>,
        position: &mut Position,
    ) -> Result<(), End> {
        for piece in pieces.drain(..) {
            self.tell_chunk(piece, position).await?;
        }
        Ok(())
    }

    async fn tell_chunk(&mut self, chunk: Arc<Chunk>, position: &mut Position) -> Result<(), End> {
        self.next = chunk.next;
        position.prev = chunk.prev;
        let written = self.on_its_way(&chunk);
        if !chunk.told.is_empty() {
            self.client.out.push_all(chunk, written).await?;
        }
        Ok(())
    }

    fn composer(&self, replay: bool, prev: Seq, next: Seq) -> Composer {
        Composer::new(&self.voice, &self.client.shared.identity.epoch, replay, prev, next)
    }

    /// Takes down what is being told, and what its being written means.
    fn on_its_way(&self, chunk: &Chunk) -> Option<Written> {
        let reading = self.reading.as_ref()?;
        {
            let mut told = reading.claim.holder.lock();
            for (seq, event) in &chunk.told {
                told.tell(*seq, *event);
            }
            told.look(Seq(chunk.next.0.saturating_sub(1)));
        }
        let (last, _) = chunk.told.last()?;
        match reading.ack {
            AckMode::Manual => None,
            AckMode::Auto => {
                let (holder, last) = (Arc::clone(&reading.claim.holder), *last);
                Some(Box::new(move || holder.acknowledge(last)))
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
            Ok(row) => {
                let mut composer = self.composer(false, Seq(0), Seq(0));
                if self.wants(&row) {
                    composer.event(&row);
                }
                self.tell_ephemeral(&mut composer).await
            }
            Err(RecvError::Lagged(missed)) => self.tell_lag(missed).await,
            Err(RecvError::Closed) => Err(End::Silent),
        }
    }

    /// Tells what has come of ephemeral events, all at once.
    async fn pass_ephemeral(&mut self) -> Result<(), End> {
        if self.ephemeral.is_empty() {
            return Ok(());
        }
        let mut composer = self.composer(false, Seq(0), Seq(0));
        loop {
            match self.ephemeral.try_recv() {
                Ok(row) if self.wants(&row) => composer.event(&row),
                Ok(_) => {}
                Err(TryRecvError::Lagged(missed)) => {
                    self.tell_ephemeral(&mut composer).await?;
                    self.tell_lag(missed).await?;
                }
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
            if composer.is_full() {
                self.tell_ephemeral(&mut composer).await?;
            }
        }
        self.tell_ephemeral(&mut composer).await
    }

    /// Whether the ephemeral event in `row` was asked for.
    fn wants(&self, row: &EventRow) -> bool {
        let RowKind::Event { kind, .. } = &row.kind else {
            return false;
        };
        self.voice.types.is_empty() || self.voice.types.iter().any(|glob| glob.matches(kind))
    }

    async fn tell_ephemeral(&self, composer: &mut Composer) -> Result<(), End> {
        let chunk = composer.cut(Seq(0));
        if !chunk.text.is_empty() {
            self.client.out.push_all(Arc::new(chunk), None).await?;
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
