//! The order of messages: one lane is one order of first attempts.
//!
//! All lanes are read from the store together, by place. A lane that must not or need not be read
//! further (a failed attempt stops it, or it is far ahead of its window) is set *apart*: it is left
//! out of the common reading and has a position of its own, from which it is read again later.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::{Place, Record, STOPPED_LANE};

use super::turn::Outputs;
use super::{LaneSettings, Settings};

/// Rows of a lane with a small window held ready beyond it.
const AHEAD: usize = 32;
/// Lanes set apart at most; beyond it the common reading rests until some are back.
pub(super) const MOST_APART: usize = 256;

/// A lane's own reading position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Apart {
    /// Its rows up to here are held, or have ended.
    pub(super) after: Place,
    /// The highest place of a row of its that was passed over since.
    pub(super) beyond: Place,
}

/// One lane with messages on their way.
#[derive(Debug, Default)]
pub(super) struct Lane {
    /// On the wire, unconfirmed.
    pub(super) wire: usize,
    /// Held, not on the wire, in no need of rest.
    pub(super) waiting: usize,
    /// Claims on their way to disk: nothing of the lane is written before them.
    pub(super) claiming: usize,
    /// Messages whose last attempt failed, or that somebody is about to take back: no first attempts
    /// behind them until that is over.
    pub(super) failed: BTreeSet<Place>,
    /// See [`Apart`].
    pub(super) apart: Option<Apart>,
    /// Something of the lane could not go out in this pass of the pump.
    pub(super) passed_in: u64,
}

impl Lane {
    fn idle(&self) -> bool {
        self.wire == 0
            && self.waiting == 0
            && self.claiming == 0
            && self.failed.is_empty()
            && self.apart.is_none()
    }
}

/// All lanes with messages on their way, and those that wait for a person.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    lanes: BTreeMap<Arc<str>, Lane>,
    stopped: BTreeMap<Arc<str>, Place>,
}

impl Lanes {
    /// With the lanes an earlier run left stopped.
    pub(super) fn new(values: &BTreeMap<String, String>) -> Self {
        let stopped = values.iter().filter_map(|(name, place)| {
            Some((Arc::from(name.strip_prefix(STOPPED_LANE)?), Place(place.parse().ok()?)))
        });
        Self { lanes: BTreeMap::new(), stopped: stopped.collect() }
    }

    /// A lane, made where it is not there.
    pub(super) fn at(&mut self, name: &Arc<str>) -> &mut Lane {
        self.lanes.entry(Arc::clone(name)).or_default()
    }

    /// Forgets a lane that has nothing on its way.
    pub(super) fn tidy(&mut self, name: &str) {
        if self.lanes.get(name).is_some_and(Lane::idle) {
            self.lanes.remove(name);
        }
    }

    /// The link is gone: everything is read anew from the store.
    pub(super) fn clear(&mut self) {
        self.lanes.clear();
    }

    /// What the configuration says of a lane.
    pub(super) fn settings(settings: &Settings, name: &str) -> Option<LaneSettings> {
        settings.lanes.iter().find(|(lane, _)| &**lane == name).map(|(_, settings)| *settings)
    }

    /// Most unconfirmed messages of a lane.
    pub(super) fn window(settings: &Settings, name: &str, total: usize) -> usize {
        Self::settings(settings, name).and_then(|lane| lane.window).unwrap_or(total).clamp(1, total.max(1))
    }

    /// Whether a message must not go out: one before it waits for a person where that stops the
    /// lane, or (first attempts only) one before it has failed and not ended.
    pub(super) fn barred(&self, name: &str, place: Place, first: bool) -> bool {
        self.stopped.get(name).is_some_and(|stop| *stop < place)
            || first
                && self
                    .lanes
                    .get(name)
                    .and_then(|lane| lane.failed.first())
                    .is_some_and(|failed| *failed < place)
    }

    /// Whether a lane holds as much as it can use: its window and some more.
    pub(super) fn has_enough(&self, settings: &Settings, name: &str, total: usize) -> bool {
        let window = Self::window(settings, name, total);
        window < total && self.lanes.get(name).is_some_and(|lane| lane.waiting >= window + AHEAD)
    }

    /// Sets a lane apart: of its rows those up to `after` are held or have ended.
    pub(super) fn set_apart(&mut self, name: &Arc<str>, after: Place, beyond: Place) {
        let lane = self.at(name);
        let apart = lane.apart.get_or_insert(Apart { after, beyond });
        apart.after = apart.after.min(after);
        apart.beyond = apart.beyond.max(beyond);
    }

    /// The lanes in which the row at `place` holds others up.
    pub(super) fn barred_by(&self, place: Place) -> Vec<Arc<str>> {
        let barred = self.lanes.iter().filter(|(_, lane)| lane.failed.contains(&place));
        barred.map(|(name, _)| Arc::clone(name)).collect()
    }

    /// The row at `place` holds nothing up any more.
    pub(super) fn unbar(&mut self, place: Place) {
        for lane in self.lanes.values_mut() {
            lane.failed.remove(&place);
        }
        self.lanes.retain(|_, lane| !lane.idle());
    }

    /// A row of some lane is to be read again from `place`.
    pub(super) fn rewind(&mut self, place: Place) {
        for apart in self.lanes.values_mut().filter_map(|lane| lane.apart.as_mut()) {
            apart.after = apart.after.min(Place(place.0 - 1));
            apart.beyond = apart.beyond.max(place);
        }
    }

    /// The reading position of a lane that is set apart.
    pub(super) fn apart(&self, name: &str) -> Option<Apart> {
        self.lanes.get(name)?.apart
    }

    /// A row of a lane that is set apart was passed over.
    pub(super) fn passed(&mut self, name: &str, place: Place) {
        if let Some(apart) = self.lanes.get_mut(name).and_then(|lane| lane.apart.as_mut()) {
            apart.beyond = apart.beyond.max(place);
        }
    }

    /// A lane set apart was read up to `after`; `end`: there was nothing more. It joins the common
    /// reading again when nothing was passed over meanwhile.
    pub(super) fn read(&mut self, name: &str, after: Place, end: bool) {
        if let Some(lane) = self.lanes.get_mut(name)
            && let Some(apart) = &mut lane.apart
        {
            apart.after = apart.after.max(after);
            if end && apart.beyond <= apart.after {
                lane.apart = None;
            }
        }
        self.tidy(name);
    }

    /// The lanes the common reading leaves out.
    pub(super) fn skipped(&self) -> Vec<Arc<str>> {
        let apart = self.lanes.iter().filter(|(_, lane)| lane.apart.is_some());
        apart.map(|(name, _)| Arc::clone(name)).collect()
    }

    /// The lane set apart that is to be read on first: the one furthest behind that may be read and
    /// can use it.
    pub(super) fn to_read(&self, settings: &Settings, total: usize) -> Option<(Arc<str>, Place)> {
        let readable = self.lanes.iter().filter_map(|(name, lane)| {
            let apart = lane.apart?;
            let window = Self::window(settings, name, total);
            let hungry = lane.waiting <= if window < total { AHEAD / 2 } else { usize::MAX };
            let next = Place(apart.after.0.saturating_add(1));
            (hungry && !self.barred(name, next, true)).then(|| (Arc::clone(name), apart.after))
        });
        readable.min_by_key(|(_, after)| *after)
    }

    /// A message that came to a bad end stops its lane until a person has dealt with it.
    pub(super) fn stop(&mut self, name: &Arc<str>, place: Place, out: &mut Outputs) {
        let stop = self.stopped.entry(Arc::clone(name)).or_insert(place);
        *stop = place.min(*stop);
        let value = Some(stop.0.to_string());
        out.record(Record::Remember { name: format!("{STOPPED_LANE}{name}"), value });
    }

    /// The message at `place` was dealt with: its lane goes on. Returns the lane.
    pub(super) fn release(&mut self, place: Place, out: &mut Outputs) -> Option<Arc<str>> {
        let name = self.stopped.iter().find(|(_, stop)| **stop == place).map(|(name, _)| Arc::clone(name))?;
        self.stopped.remove(&name);
        out.record(Record::Remember { name: format!("{STOPPED_LANE}{name}"), value: None });
        Some(name)
    }

    /// Lanes that wait for a person.
    pub(super) fn stopped(&self) -> impl Iterator<Item = (&Arc<str>, Place)> {
        self.stopped.iter().map(|(name, place)| (name, *place))
    }
}
