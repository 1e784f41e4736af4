//! Numbers, times and foreign text as people read them. Pure; JSON never comes through here.

use std::time::Duration;

use jiff::tz::TimeZone;

pub(crate) use crate::model::plain;
pub(crate) use crate::model::words::{count, counted, length, size};
use crate::model::{Times, Timestamp};

/// When and where something is read: what "2 s ago" and "10:02:11" refer to.
#[derive(Debug, Clone)]
pub(crate) struct Reader {
    /// The time of reading.
    pub(crate) now: Timestamp,
    /// The reader's time zone.
    pub(crate) zone: TimeZone,
}

impl Reader {
    /// A reader in this machine's time zone.
    #[must_use]
    pub(crate) fn here(now: Timestamp) -> Self {
        Self { now, zone: TimeZone::system() }
    }

    /// How long ago, rounded down.
    #[must_use]
    pub(crate) fn since(&self, at: Timestamp) -> String {
        length(self.now.since(at))
    }

    /// As [`Reader::since`], as people say it: `2 s ago`, `just now`.
    #[must_use]
    pub(crate) fn ago(&self, at: Timestamp) -> String {
        let age = self.now.since(at);
        if age < Duration::from_secs(1) { "just now".to_owned() } else { format!("{} ago", length(age)) }
    }

    /// How long until then; zero where it has passed.
    #[must_use]
    pub(crate) fn until(&self, at: Timestamp) -> String {
        length(at.since(self.now))
    }

    /// Local time of day, with the date where it is another day.
    #[must_use]
    pub(crate) fn clock(&self, at: Timestamp) -> String {
        self.format(at, "%H:%M:%S")
    }

    /// As [`Reader::clock`], to the millisecond.
    #[must_use]
    pub(crate) fn precise(&self, at: Timestamp) -> String {
        self.format(at, "%H:%M:%S%.3f")
    }

    fn format(&self, at: Timestamp, time: &str) -> String {
        let then = at.to_jiff().to_zoned(self.zone.clone());
        let today = self.now.to_jiff().to_zoned(self.zone.clone()).date();
        if then.date() == today {
            then.strftime(time).to_string()
        } else if then.year() == today.year() {
            then.strftime(&format!("%b %-d {time}")).to_string()
        } else {
            then.strftime(&format!("%Y-%m-%d {time}")).to_string()
        }
    }
}

impl Times for Reader {
    fn since(&self, at: Timestamp) -> String {
        format!("for {}", self.since(at))
    }

    fn due(&self, at: Timestamp) -> Option<String> {
        (at > self.now).then(|| format!("in {}", self.until(at)))
    }

    fn clock(&self, at: Timestamp) -> String {
        self.clock(at)
    }
}

/// `text` cut to `width` characters, with `…` where something is missing.
#[must_use]
pub(crate) fn cut(text: &str, width: usize) -> String {
    match text.char_indices().nth(width) {
        None => text.to_owned(),
        Some(_) => text.chars().take(width.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// Rows with their columns aligned, two spaces between them; the last column is as long as it is.
#[must_use]
pub(crate) fn table<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    rows.iter()
        .map(|row| {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(widths) {
                line.push_str(cell);
                line.extend(std::iter::repeat_n(' ', width - cell.chars().count() + 2));
            }
            line.truncate(line.trim_end().len());
            line
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_another_day_carry_the_date() {
        let at = |text| Timestamp::parse(text).expect("written here");
        let reader = Reader { now: at("2026-11-23T12:00:00Z"), zone: TimeZone::UTC };
        assert_eq!(reader.clock(at("2026-11-23T10:02:11Z")), "10:02:11");
        assert_eq!(reader.precise(at("2026-11-23T10:02:11.104Z")), "10:02:11.104");
        assert_eq!(reader.clock(at("2026-11-02T10:02:11Z")), "Nov 2 10:02:11");
        assert_eq!(reader.clock(at("2025-12-31T23:59:59Z")), "2025-12-31 23:59:59");
        assert_eq!(reader.since(at("2026-11-23T08:48:00Z")), "3 h 12 m");
        assert_eq!(reader.ago(at("2026-11-23T11:59:58Z")), "2 s ago");
        assert_eq!(reader.ago(at("2026-11-23T12:00:01Z")), "just now");
        assert_eq!(reader.until(at("2026-11-23T11:00:00Z")), "0 ms");
    }

    #[test]
    fn foreign_text_cannot_steer_the_terminal() {
        assert_eq!(plain("\u{1b}[2Jgone\r\nnext\u{9b}31m"), r"\u{1b}[2Jgone\r\nnext\u{9b}31m");
        assert_eq!(plain("a\u{202e}cod.exe\u{200b}"), r"a\u{202e}cod.exe\u{200b}");
        assert_eq!(plain("Grüße, 世界 👋"), "Grüße, 世界 👋");
    }

    #[test]
    fn tables_align_every_column_but_the_last() {
        let rows = [["a", "long cell", "x"], ["ccc", "é", ""]].map(|row| row.map(str::to_owned));
        assert_eq!(table(&rows), ["a    long cell  x", "ccc  é"]);
    }
}
