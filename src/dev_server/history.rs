//! The events the server still has, and what a client that comes back has missed.
//!
//! An event's id is `LIFE-NUMBER`: the life changes when the server forgets, so that a position
//! of an earlier life is recognised and answered with a gap instead of the wrong events.

use std::collections::VecDeque;

use tokio_tungstenite::tungstenite::Utf8Bytes;

/// Numbered events, oldest first, bounded by count and bytes.
#[derive(Debug)]
pub(super) struct History {
    life: String,
    /// Number of the oldest event kept; one past the newest when none is.
    first: u64,
    frames: VecDeque<Utf8Bytes>,
    bytes: usize,
    max_events: usize,
    max_bytes: usize,
}

/// Where a client that asked to resume goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resumption {
    /// After this number; nothing is missing.
    From(u64),
    /// After this number; what lay before it and after the client's position is gone.
    Gap(u64),
}

impl History {
    pub(super) fn new(max_events: usize, max_bytes: usize) -> Self {
        Self {
            life: new_life(),
            first: 1,
            frames: VecDeque::new(),
            bytes: 0,
            max_events: max_events.max(1),
            max_bytes,
        }
    }

    /// Begins a new life: no event of the old one is known any more. The numbers go on, so that
    /// a connection notices what it has not been sent.
    pub(super) fn forget(&mut self) {
        let first = self.newest() + 1;
        *self = Self { first, ..Self::new(self.max_events, self.max_bytes) };
    }

    /// Number of the newest event; 0 before the first.
    pub(super) fn newest(&self) -> u64 {
        self.first + self.frames.len() as u64 - 1
    }

    /// The id, or position, that stands for `number`.
    pub(super) fn id(&self, number: u64) -> String {
        format!("{}-{number}", self.life)
    }

    /// Appends an event; `data` is JSON text.
    pub(super) fn push(&mut self, kind: &str, data: &str) -> u64 {
        let number = self.newest() + 1;
        let kind = serde_json::Value::from(kind);
        let life = &self.life;
        let frame = format!(r#"{{"type":{kind},"eventId":"{life}-{number}","data":{data}}}"#);
        self.bytes += frame.len();
        self.frames.push_back(frame.into());
        while self.frames.len() > self.max_events || (self.bytes > self.max_bytes && self.frames.len() > 1) {
            if let Some(gone) = self.frames.pop_front() {
                self.bytes -= gone.len();
                self.first += 1;
            }
        }
        number
    }

    /// Where to go on for a client that has everything up to `since`; without one it begins now.
    pub(super) fn resume(&self, since: Option<&str>) -> Resumption {
        let Some(since) = since else { return Resumption::From(self.newest()) };
        match self.number_of(since) {
            Some(number) if number + 1 >= self.first => Resumption::From(number),
            Some(_) | None => Resumption::Gap(self.first - 1),
        }
    }

    /// The number of an id of this life, at most that of the newest event.
    pub(super) fn number_of(&self, id: &str) -> Option<u64> {
        let number = id.strip_prefix(self.life.as_str())?.strip_prefix('-')?.parse().ok()?;
        (number <= self.newest()).then_some(number)
    }

    /// At most `limit` events after `number`, oldest first.
    ///
    /// # Errors
    /// The number to go on after, when events after `number` are gone.
    pub(super) fn after(
        &self,
        number: u64,
        limit: usize,
    ) -> Result<impl Iterator<Item = &Utf8Bytes> + '_, u64> {
        if number + 1 < self.first {
            return Err(self.first - 1);
        }
        let skip = usize::try_from(number + 1 - self.first).unwrap_or(usize::MAX);
        Ok(self.frames.iter().skip(skip).take(limit))
    }
}

/// Six letters and digits.
fn new_life() -> String {
    std::iter::repeat_with(fastrand::alphanumeric).map(|c| c.to_ascii_lowercase()).take(6).collect()
}

#[cfg(test)]
mod tests {
    use super::{History, Resumption};

    fn filled(events: usize, max_events: usize) -> History {
        let mut history = History::new(max_events, usize::MAX);
        for n in 1..=events {
            history.push("tick", &n.to_string());
        }
        history
    }

    fn texts(history: &History, after: u64) -> Vec<String> {
        history.after(after, 100).expect("nothing is gone").map(ToString::to_string).collect()
    }

    #[test]
    fn whoever_has_everything_up_to_an_event_gets_exactly_the_later_ones() {
        let history = filled(4, 10);
        assert_eq!(history.resume(Some(&history.id(2))), Resumption::From(2));
        let missed = texts(&history, 2);
        assert_eq!(missed.len(), 2);
        assert_eq!(
            missed[0],
            format!(r#"{{"type":"tick","eventId":"{}","data":3}}"#, history.id(3)),
            "the first missed event"
        );
        assert!(texts(&history, 4).is_empty());
    }

    #[test]
    fn whoever_has_no_position_begins_now() {
        assert_eq!(filled(4, 10).resume(None), Resumption::From(4));
        assert_eq!(filled(0, 10).resume(None), Resumption::From(0));
    }

    #[test]
    fn the_position_before_the_first_event_is_a_position_too() {
        let mut history = filled(0, 10);
        let start = history.id(0);
        history.push("tick", "1");
        assert_eq!(history.resume(Some(&start)), Resumption::From(0));
    }

    #[test]
    fn a_position_older_than_what_is_kept_is_a_gap() {
        let history = filled(10, 3);
        assert_eq!(history.resume(Some(&history.id(6))), Resumption::Gap(7));
        assert_eq!(history.resume(Some(&history.id(7))), Resumption::From(7));
        assert!(matches!(history.after(6, 10), Err(7)));
    }

    #[test]
    fn positions_of_another_life_or_from_the_future_are_a_gap() {
        let mut history = filled(3, 10);
        let old = history.id(2);
        let future = history.id(9);
        assert_eq!(history.resume(Some(&future)), Resumption::Gap(0));
        history.forget();
        history.push("tick", "1");
        assert_eq!(history.resume(Some(&old)), Resumption::Gap(3));
        assert_eq!(history.resume(Some("nonsense")), Resumption::Gap(3));
    }

    #[test]
    fn the_byte_limit_keeps_the_newest() {
        let mut history = History::new(1000, 200);
        for _ in 0..50 {
            history.push("tick", "\"0123456789\"");
        }
        let kept = history.newest() + 1 - history.first;
        assert!((1..10).contains(&kept), "{kept} kept");
        assert_eq!(history.newest(), 50);
    }

    #[test]
    fn a_type_is_escaped_like_any_json_text() {
        let mut history = History::new(10, 1000);
        history.push("a\"b", "null");
        let frame: serde_json::Value = serde_json::from_str(&texts(&history, 0)[0]).expect("valid JSON");
        assert_eq!(frame["type"], "a\"b");
    }
}
