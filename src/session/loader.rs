//! What to ask the store for next.
//!
//! The loader keeps one position: everything up to it is held, has ended, or belongs to a lane
//! that is set apart. One question is out at a time. An answer speaks of the moment it was asked
//! in: what the session heard since is newer (see `past`).

use std::sync::Arc;

use crate::model::{Due, DueQuery, DueRow, Place};

use super::Settings;
use super::lanes::{Lanes, MOST_APART};

/// Bytes of bodies held ready at most.
pub(super) const MOST_BYTES: usize = 2 << 20;

#[derive(Debug)]
struct Asked {
    query: DueQuery,
    known: Place,
}

/// The reading position, and the question that is out.
#[derive(Debug, Default)]
pub(super) struct Loader {
    cursor: Place,
    known: Place,
    complete: bool,
    /// The first pass through what was queued when the link came up is over.
    caught_up: bool,
    asked: Option<Asked>,
    /// Answers to come that nobody wants any more.
    stale: usize,
}

/// An answer, with what it proves.
#[derive(Debug)]
pub(super) struct Answer {
    /// Only this lane was asked for.
    pub(super) lane: Option<Arc<str>>,
    /// Behind this place.
    pub(super) after: Place,
    /// The rows.
    pub(super) rows: Vec<DueRow>,
    /// There was nothing more.
    pub(super) end: bool,
    /// How far it reaches.
    pub(super) through: Place,
    /// The rows were queued when the link came up.
    pub(super) backlog: bool,
}

impl Loader {
    /// Everything is to be read anew.
    pub(super) fn reset(&mut self) {
        self.cursor = Place::default();
        self.complete = false;
        self.caught_up = false;
        self.withdraw_question();
    }

    fn withdraw_question(&mut self) {
        if self.asked.take().is_some() {
            self.stale += 1;
        }
    }

    /// Whether an answer is to come, wanted or not.
    pub(super) const fn is_waiting(&self) -> bool {
        self.asked.is_some() || self.stale > 0
    }

    /// The reading position.
    pub(super) const fn cursor(&self) -> Place {
        self.cursor
    }

    /// There are rows up to here. Returns whether the session has read all before `previous`, and
    /// may take what follows without asking.
    pub(super) fn heard(&mut self, previous: Place, last: Place) -> bool {
        let common = self.asked.as_ref().is_some_and(|asked| asked.query.lane.is_none());
        let direct = self.complete && !common && previous <= self.cursor;
        self.known = self.known.max(previous).max(last);
        if !direct {
            self.complete = false;
        }
        direct
    }

    /// Rows up to here were taken without asking; `all`: there was room for all of them.
    pub(super) fn took(&mut self, through: Place, all: bool) {
        self.cursor = self.cursor.max(through);
        self.complete = all;
    }

    /// A row at `place` is to be read again.
    pub(super) fn rewind(&mut self, place: Place) {
        self.withdraw_question();
        self.cursor = self.cursor.min(Place(place.0.saturating_sub(1)));
        self.known = self.known.max(place);
        self.complete = false;
    }

    /// The next question, where there is one and room for the answer.
    pub(super) fn next(
        &mut self,
        lanes: &Lanes,
        settings: &Settings,
        total: usize,
        rows: usize,
        bytes: usize,
    ) -> Option<DueQuery> {
        if self.asked.is_some() || rows == 0 || bytes == 0 {
            return None;
        }
        let query = if let Some((lane, after)) = lanes.to_read(settings, total) {
            DueQuery { after, lane: Some(lane), skip: Vec::new(), limit: rows, bytes }
        } else {
            let skip = lanes.skipped();
            if self.complete || skip.len() >= MOST_APART {
                return None;
            }
            DueQuery { after: self.cursor, lane: None, skip, limit: rows, bytes }
        };
        self.asked = Some(Asked { query: query.clone(), known: self.known });
        Some(query)
    }

    /// The answer came. None where nobody wants it any more.
    pub(super) fn answered(&mut self, due: Due) -> Option<Answer> {
        if self.stale > 0 {
            self.stale -= 1;
            return None;
        }
        let asked = self.asked.take()?;
        let end = due.end || due.rows.is_empty();
        let last = due.rows.last().map_or(asked.query.after, |row| row.place);
        // What was known when the question was asked was on disk then, so an answer that reached
        // the end covers it, even where the rows themselves are gone.
        let through = if end { last.max(asked.known) } else { last };
        let backlog = !self.caught_up;
        if asked.query.lane.is_none() {
            self.cursor = self.cursor.max(through);
            self.complete = end && self.cursor >= self.known;
            self.caught_up |= end;
        }
        let DueQuery { after, lane, .. } = asked.query;
        Some(Answer { lane, after, rows: due.rows, end, through, backlog })
    }
}
