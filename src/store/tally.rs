//! The one row of numbers: what is handed out, and how much there is.
//!
//! The writer holds it in memory and writes it in every commit. When a batch is rolled back the
//! copy from before it is put back, so a number of a rolled-back batch was never seen by anyone.

use rusqlite::{Connection, params_from_iter};

use super::Counters;
use super::codes::{self, confirmed, count, unfinished};
use super::seal::Sum;
use super::trouble::damaged;
use crate::model::{MessageState, Seq, Timestamp};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Highest place ever handed out.
    pub(super) last_place: i64,
    /// No queued or sending row stands before this place.
    pub(super) low_place: i64,
    pub(super) unfinished: i64,
    pub(super) parked: i64,
    pub(super) uncertain: i64,
    pub(super) outbox_bytes: i64,
    pub(super) finished: i64,
    pub(super) confirmed_total: i64,
    pub(super) dropped_total: i64,
    /// Highest number of an event ever handed out.
    pub(super) last_seq: i64,
    /// Number of the first row kept; 0 where there is none.
    pub(super) first_seq: i64,
    /// Everything through here was pruned.
    pub(super) pruned_through: i64,
    pub(super) inbox_rows: i64,
    pub(super) events: i64,
    pub(super) inbox_bytes: i64,
    pub(super) quarantined: i64,
    pub(super) duplicates_total: i64,
    pub(super) last_transition: i64,
    /// Highest place given to a queued row. Not on disk: at start it is `last_place`.
    pub(super) tail: i64,
    /// The row at `low_place` may have ended. Not on disk.
    pub(super) low_is_stale: bool,
    /// Receipt time of the row at `low_place`. Not on disk.
    pub(super) oldest_queued_at: Option<i64>,
}

impl Tally {
    pub(super) fn load(conn: &Connection) -> rusqlite::Result<Self> {
        conn.query_row("SELECT * FROM tally WHERE one = 1", [], |row| {
            let last_place = row.get("last_place")?;
            let seal: Option<i64> = row.get("seal")?;
            let loaded = Self {
                last_place,
                low_place: row.get("low_place")?,
                unfinished: row.get("unfinished")?,
                parked: row.get("parked")?,
                uncertain: row.get("uncertain")?,
                outbox_bytes: row.get("outbox_bytes")?,
                finished: row.get("finished")?,
                confirmed_total: row.get("confirmed_total")?,
                dropped_total: row.get("dropped_total")?,
                last_seq: row.get("last_seq")?,
                first_seq: row.get("first_seq")?,
                pruned_through: row.get("pruned_through")?,
                inbox_rows: row.get("inbox_rows")?,
                events: row.get("events")?,
                inbox_bytes: row.get("inbox_bytes")?,
                quarantined: row.get("quarantined")?,
                duplicates_total: row.get("duplicates_total")?,
                last_transition: row.get("last_transition")?,
                tail: last_place,
                low_is_stale: true,
                oldest_queued_at: None,
            };
            match seal {
                Some(seal) if seal != loaded.seal() => Err(damaged("its numbers are not what was written")),
                Some(_) | None => Ok(loaded),
            }
        })
    }

    /// The columns, in their order.
    const fn numbers(&self) -> [i64; 18] {
        [
            self.last_place,
            self.low_place,
            self.unfinished,
            self.parked,
            self.uncertain,
            self.outbox_bytes,
            self.finished,
            self.confirmed_total,
            self.dropped_total,
            self.last_seq,
            self.first_seq,
            self.pruned_through,
            self.inbox_rows,
            self.events,
            self.inbox_bytes,
            self.quarantined,
            self.duplicates_total,
            self.last_transition,
        ]
    }

    fn seal(&self) -> i64 {
        let mut sum = Sum::default();
        for number in self.numbers() {
            sum.int(number);
        }
        sum.seal()
    }

    pub(super) fn save(&self, conn: &Connection) -> rusqlite::Result<()> {
        let numbers = self.numbers();
        conn.prepare_cached(
            "INSERT OR REPLACE INTO tally (one, last_place, low_place, unfinished, parked, uncertain,
                outbox_bytes, finished, confirmed_total, dropped_total, last_seq, first_seq,
                pruned_through, inbox_rows, events, inbox_bytes, quarantined, duplicates_total,
                last_transition, seal)
             VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)",
        )?
        .execute(params_from_iter(numbers.into_iter().chain([self.seal()])))?;
        Ok(())
    }

    /// A new row of the outbox, `size` bytes, in `state`.
    pub(super) fn message_added(&mut self, state: MessageState, size: i64) {
        if unfinished(state) {
            self.unfinished += 1;
            self.outbox_bytes += size;
        } else {
            self.finished += 1;
        }
        self.waiting(state, 1);
    }

    /// A row of the outbox went from one state to another.
    pub(super) fn message_moved(&mut self, from: MessageState, to: MessageState, size: i64) {
        match (unfinished(from), unfinished(to)) {
            (true, false) => {
                self.unfinished -= 1;
                self.outbox_bytes -= size;
                self.finished += 1;
            }
            (false, true) => {
                self.unfinished += 1;
                self.outbox_bytes += size;
                self.finished -= 1;
            }
            (true, true) | (false, false) => {}
        }
        self.waiting(from, -1);
        self.waiting(to, 1);
        if confirmed(to) && !confirmed(from) {
            self.confirmed_total += 1;
        }
        if to == MessageState::Dropped && from != to {
            self.dropped_total += 1;
        }
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "only two states wait for a person")]
    const fn waiting(&mut self, state: MessageState, by: i64) {
        match state {
            MessageState::Parked => self.parked += by,
            MessageState::Uncertain => self.uncertain += by,
            _ => {}
        }
    }

    /// Counts the outbox anew. Reads all of it: only for what damage left behind.
    pub(super) fn recount_messages(&mut self, conn: &Connection) -> rusqlite::Result<()> {
        let mut fresh = Self::default();
        let mut statement = conn
            .prepare("SELECT state, count(*), coalesce(sum(length(body)), 0) FROM outbox GROUP BY state")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (count, bytes): (i64, i64) = (row.get(1)?, row.get(2)?);
            let state = codes::state(row.get(0)?);
            if state.is_some_and(unfinished) {
                fresh.unfinished += count;
                fresh.outbox_bytes += bytes;
            } else {
                fresh.finished += count;
            }
            if let Some(state) = state {
                fresh.waiting(state, count);
            }
        }
        self.unfinished = fresh.unfinished;
        self.outbox_bytes = fresh.outbox_bytes;
        self.finished = fresh.finished;
        self.parked = fresh.parked;
        self.uncertain = fresh.uncertain;
        Ok(())
    }

    pub(super) fn counters(&self, file_bytes: u64) -> Counters {
        Counters {
            unfinished: count(self.unfinished),
            parked: count(self.parked),
            uncertain: count(self.uncertain),
            outbox_bytes: count(self.outbox_bytes),
            confirmed_total: count(self.confirmed_total),
            dropped_total: count(self.dropped_total),
            events: count(self.events),
            inbox_bytes: count(self.inbox_bytes),
            quarantined: count(self.quarantined),
            duplicates_total: count(self.duplicates_total),
            first_seq: (self.first_seq > 0).then_some(Seq(self.first_seq)),
            last_seq: (self.last_seq > 0).then_some(Seq(self.last_seq)),
            oldest_queued_at: self.oldest_queued_at.map(Timestamp::from_millis),
            file_bytes,
            commits: super::Commits::default(),
        }
    }
}
