//! Between those who log and the thread that writes: whoever logs never waits.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::line::Line;
use super::sink::Sink;

/// Bytes of lines that wait to be written at most. What is being written comes on top, as much again.
const MOST_BYTES: usize = 256 * 1024;

/// Lines on their way. Nothing wakes up while there are none.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    work: Condvar,
    idle: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<Line>,
    bytes: usize,
    writing: bool,
    /// Dropped since the start.
    dropped: u64,
    /// Of these, those the log itself told of.
    told: u64,
}

impl Queue {
    /// Adds a line, or drops it where there is no room.
    pub(super) fn push(&self, line: Line) {
        let mut state = self.state();
        let weight = line.weight();
        if state.bytes + weight > MOST_BYTES {
            state.dropped += 1;
            return;
        }
        state.bytes += weight;
        state.lines.push_back(line);
        self.work.notify_one();
    }

    /// Lines dropped since the start.
    pub(super) fn dropped(&self) -> u64 {
        self.state().dropped
    }

    /// Waits until everything is written, but not for ever. False where it was in vain.
    pub(super) fn drain(&self, patience: Duration) -> bool {
        let waited = self
            .idle
            .wait_timeout_while(self.state(), patience, |state| state.writing || !state.lines.is_empty());
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// Writes what comes, for ever.
    pub(super) fn write_to(&self, sink: &mut Sink) {
        loop {
            let (lines, untold) = self.take();
            let dropped = (untold > 0).then(|| Line::about_dropped(untold));
            let lost = sink.write(lines.iter().chain(&dropped));
            if lost > 0 {
                let mut state = self.state();
                state.dropped += lost;
                // A line about it would be lost as well.
                state.told += lost;
            }
        }
    }

    /// Waits for lines and takes all there are, with the number of those dropped since.
    fn take(&self) -> (VecDeque<Line>, u64) {
        let mut state = self.state();
        state.writing = false;
        self.idle.notify_all();
        while state.lines.is_empty() {
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.writing = true;
        state.bytes = 0;
        let untold = state.dropped - state.told;
        state.told = state.dropped;
        (std::mem::take(&mut state.lines), untold)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
