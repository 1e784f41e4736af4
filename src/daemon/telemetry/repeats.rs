//! The same line again and again: told a few times, then seldom, with the number in between.

use std::collections::HashMap;
use std::time::Duration;

use crate::model::Instant;

/// A line is told this often before it counts as a repetition.
const AT_FIRST: u32 = 3;
/// The first pause; each one after it is twice as long …
const PAUSE: Duration = Duration::from_secs(60);
/// … up to this one.
const LONGEST: Duration = Duration::from_secs(3_600);
/// Not seen for so long, a line is new again.
const FORGET: Duration = Duration::from_secs(600);
/// Different lines that are remembered at most.
const MOST: usize = 256;

#[derive(Debug)]
struct Seen {
    last: Instant,
    told: u32,
    held_back: u64,
    silent_until: Instant,
    pause: Duration,
}

/// What was told lately.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    seen: HashMap<u64, Seen>,
}

impl Repeats {
    /// Whether this line is told now, and how many like it were not since the last one that was.
    pub(super) fn told(&mut self, line: u64, now: Instant) -> Option<u64> {
        if self.seen.len() >= MOST && !self.seen.contains_key(&line) {
            self.make_room(now);
        }
        let new = || Seen { last: now, told: 0, held_back: 0, silent_until: now, pause: PAUSE };
        let seen = self.seen.entry(line).or_insert_with(new);
        if now.since(seen.last) >= FORGET {
            *seen = Seen { held_back: seen.held_back, ..new() };
        }
        seen.last = now;
        if seen.told >= AT_FIRST && now < seen.silent_until {
            seen.held_back += 1;
            return None;
        }
        seen.told += 1;
        if seen.told >= AT_FIRST {
            seen.silent_until = now + seen.pause;
            seen.pause = (seen.pause * 2).min(LONGEST);
        }
        Some(std::mem::take(&mut seen.held_back))
    }

    fn make_room(&mut self, now: Instant) {
        self.seen.retain(|_, seen| now.since(seen.last) < FORGET);
        if self.seen.len() >= MOST
            && let Some(oldest) = self.seen.iter().min_by_key(|(_, seen)| seen.last).map(|(line, _)| *line)
        {
            self.seen.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn the_same_line_is_told_three_times_and_then_seldom_with_its_number() {
        let mut repeats = Repeats::default();
        let told: Vec<(u64, u64)> =
            (0..7_200).filter_map(|second| Some((second, repeats.told(1, at(second))?))).collect();
        assert_eq!(
            told,
            [(0, 0), (1, 0), (2, 0), (62, 59), (182, 119), (422, 239), (902, 479), (1862, 959), (3782, 1919),]
        );
    }

    #[test]
    fn another_line_is_told_meanwhile_and_a_rare_one_always() {
        let mut repeats = Repeats::default();
        for second in 0..10 {
            repeats.told(1, at(second));
        }
        assert_eq!(repeats.told(2, at(10)), Some(0));
        assert_eq!(repeats.told(1, at(10 + 600)), Some(7), "what was held back is told in the end");
        for hour in 1..100 {
            assert_eq!(repeats.told(2, at(hour * 3_600)), Some(0), "once an hour is no flood");
        }
    }

    #[test]
    fn ever_new_lines_cost_a_bounded_memory() {
        let mut repeats = Repeats::default();
        for line in 0..100_000 {
            assert_eq!(repeats.told(line, at(1)), Some(0));
        }
        assert!(repeats.seen.len() <= MOST);
    }
}
