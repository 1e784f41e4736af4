//! Durations (`250ms`, `10s`, `1h30m`) and sizes (`64 KiB`), read and written.

use std::fmt;
use std::time::Duration;

/// Why a text is no duration or no size, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitError {
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub hint: String,
}

impl fmt::Display for UnitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.message, self.hint)
    }
}

impl std::error::Error for UnitError {}

/// Units of a duration, largest first, with what each stands for in milliseconds and what people
/// also call it.
const TIMES: [(&str, u64, &[&str]); 5] = [
    ("d", 86_400_000, &["day", "days", "D"]),
    ("h", 3_600_000, &["hour", "hours", "hr", "hrs", "H"]),
    ("m", 60_000, &["min", "mins", "minute", "minutes", "M"]),
    ("s", 1_000, &["sec", "secs", "second", "seconds", "S"]),
    ("ms", 1, &["msec", "msecs", "milli", "millis", "millisecond", "milliseconds", "MS", "Ms"]),
];

const TIME_HINT: &str = "write it like `250ms`, `10s`, `5m`, `1h30m` or `7d`";

/// Reads a duration: whole numbers with the units `d h m s ms`, larger ones first, each at most
/// once, blanks between them allowed (`1h30m`, `1h 30m`).
///
/// # Errors
/// When `text` is anything else; the error says what to write.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(error("a duration cannot be empty", TIME_HINT));
    }
    if rest.starts_with(['-', '+']) {
        return Err(error("a duration has no sign", TIME_HINT));
    }
    let mut millis = 0_u64;
    let mut units = TIMES.as_slice();
    while !rest.is_empty() {
        let (number, after) = split_number(rest);
        if number.is_empty() {
            return Err(error(format!("`{}` is no duration", brief(text)), TIME_HINT));
        }
        let after = after.trim_start();
        let end = after.find(|c: char| !c.is_alphabetic()).unwrap_or(after.len());
        let (unit, next) = after.split_at(end);
        if unit.is_empty() {
            return Err(error(
                "a duration needs a unit",
                format!("write `{number}s` for seconds, `{number}ms` for milliseconds"),
            ));
        }
        let Some(at) = units.iter().position(|(name, ..)| *name == unit) else {
            return Err(wrong_time_unit(number, unit));
        };
        if number.contains('.') {
            return Err(fraction(number, units[at].1));
        }
        millis = number
            .parse::<u64>()
            .ok()
            .and_then(|count| count.checked_mul(units[at].1))
            .and_then(|part| millis.checked_add(part))
            .ok_or_else(|| error("the duration is too long", TIME_HINT))?;
        units = &units[at + 1..];
        rest = next.trim_start();
    }
    Ok(Duration::from_millis(millis))
}

fn wrong_time_unit(number: &str, unit: &str) -> UnitError {
    if TIMES.iter().any(|(name, ..)| *name == unit) {
        return error("each unit stands once, larger ones first", "write it like `1h30m`");
    }
    match TIMES.iter().find(|(_, _, others)| others.contains(&unit)) {
        Some((name, ..)) => error(format!("unknown unit `{unit}`"), format!("write `{number}{name}`")),
        None => error(
            format!("unknown unit `{}`", brief(unit)),
            "the units are `ms`, `s`, `m`, `h` and `d`, as in `250ms` or `10s`",
        ),
    }
}

fn fraction(number: &str, unit_millis: u64) -> UnitError {
    let millis = number
        .split_once('.')
        .and_then(|(whole, part)| {
            let part: u64 = format!("{part:0<3}").get(..3)?.parse().ok()?;
            let whole: u64 = whole.parse().ok()?;
            whole.checked_mul(unit_millis)?.checked_add(unit_millis.checked_mul(part)? / 1000)
        })
        .map(Duration::from_millis);
    let hint = millis.map_or_else(|| TIME_HINT.to_owned(), |it| format!("write `{}`", format_duration(it)));
    error("a duration is written in whole numbers", hint)
}

/// Writes a duration in the largest unit that gives a whole number. Below a millisecond is cut.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return "0s".to_owned();
    }
    let (name, size, _) = TIMES
        .iter()
        .find(|(_, size, _)| millis % size == 0)
        .expect("every whole number of milliseconds is a multiple of 1 ms");
    format!("{}{name}", millis / size)
}

/// Units of a size, largest first, in bytes.
const SIZES: [(&str, u64); 5] =
    [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

const SIZE_HINT: &str = "write it like `64 KiB`, `4 MiB`, `1 GiB`, or a plain number of bytes";

/// Reads a size in bytes: a whole number with one of `B KiB MiB GiB TiB`, or alone for bytes.
///
/// # Errors
/// When `text` is anything else; the error says what to write.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Err(error("a size cannot be empty", SIZE_HINT));
    }
    if trimmed.starts_with(['-', '+']) {
        return Err(error("a size has no sign", SIZE_HINT));
    }
    let (number, unit) = split_number(trimmed);
    let unit = unit.trim();
    if number.is_empty() {
        return Err(error(format!("`{}` is no size", brief(text)), SIZE_HINT));
    }
    if number.contains('.') {
        return Err(error(
            "a size is written in whole numbers",
            "take the next smaller unit: `1536 KiB`, not `1.5 MiB`",
        ));
    }
    let bytes = match unit {
        "" => 1,
        unit => match SIZES.iter().find(|(name, _)| *name == unit) {
            Some((_, bytes)) => *bytes,
            None => return Err(wrong_size_unit(number, unit)),
        },
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|count| count.checked_mul(bytes))
        .ok_or_else(|| error("the size is too large", SIZE_HINT))
}

fn wrong_size_unit(number: &str, unit: &str) -> UnitError {
    let first = unit.chars().next().map(|c| c.to_ascii_uppercase());
    let meant = SIZES.iter().find(|(name, _)| name.chars().next() == first);
    match meant {
        Some((name, _)) => {
            error(format!("unknown unit `{}`", brief(unit)), format!("write `{number} {name}`"))
        }
        None => error(
            format!("unknown unit `{}`", brief(unit)),
            "the units are `B`, `KiB`, `MiB`, `GiB` and `TiB`, as in `64 KiB`",
        ),
    }
}

/// Writes a size in the largest unit that gives a whole number.
#[must_use]
pub fn format_size(bytes: u64) -> String {
    if bytes == 0 {
        return "0 B".to_owned();
    }
    let (name, size) = SIZES
        .iter()
        .find(|(_, size)| bytes.is_multiple_of(*size))
        .expect("every whole number of bytes is a multiple of 1 B");
    format!("{} {name}", bytes / size)
}

/// Digits and dots at the beginning, and the rest.
fn split_number(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    text.split_at(end)
}

/// The beginning of what was written, for a message.
fn brief(text: &str) -> String {
    const SHOWN: usize = 40;
    let mut short: String = text.chars().filter(|c| !c.is_control()).take(SHOWN).collect();
    if text.chars().count() > SHOWN {
        short.push('…');
    }
    short
}

fn error(message: impl Into<String>, hint: impl Into<String>) -> UnitError {
    UnitError { message: message.into(), hint: hint.into() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{format_duration, format_size, parse_duration, parse_size};

    #[test]
    fn durations_are_whole_numbers_with_units_larger_ones_first() {
        for (text, millis) in [
            ("250ms", 250),
            ("10s", 10_000),
            (" 5m ", 300_000),
            ("1h", 3_600_000),
            ("7d", 604_800_000),
            ("1h30m", 5_400_000),
            ("1h 30m", 5_400_000),
            ("1d2h3m4s5ms", 93_784_005),
            ("10 s", 10_000),
            ("0s", 0),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused_with_what_to_write() {
        for (text, says) in [
            ("", "a duration cannot be empty; write it like `250ms`, `10s`, `5m`, `1h30m` or `7d`"),
            ("30", "a duration needs a unit; write `30s` for seconds, `30ms` for milliseconds"),
            (
                "20 parsecs",
                "unknown unit `parsecs`; the units are `ms`, `s`, `m`, `h` and `d`, as in `250ms` or `10s`",
            ),
            ("20sec", "unknown unit `sec`; write `20s`"),
            ("5 minutes", "unknown unit `minutes`; write `5m`"),
            ("1.5s", "a duration is written in whole numbers; write `1500ms`"),
            ("0.5h", "a duration is written in whole numbers; write `30m`"),
            ("-3s", "a duration has no sign; write it like `250ms`, `10s`, `5m`, `1h30m` or `7d`"),
            ("soon", "`soon` is no duration; write it like `250ms`, `10s`, `5m`, `1h30m` or `7d`"),
            ("5m1h", "each unit stands once, larger ones first; write it like `1h30m`"),
            ("5s5s", "each unit stands once, larger ones first; write it like `1h30m`"),
            (
                "99999999999999999999d",
                "the duration is too long; write it like `250ms`, `10s`, `5m`, `1h30m` or `7d`",
            ),
        ] {
            assert_eq!(parse_duration(text).map_err(|e| e.to_string()), Err(says.to_owned()), "{text}");
        }
    }

    #[test]
    fn sizes_are_whole_numbers_with_binary_units() {
        for (text, bytes) in [
            ("64 KiB", 65_536),
            ("4MiB", 4_194_304),
            ("1 GiB", 1_073_741_824),
            ("500 B", 500),
            ("500", 500),
            ("2 TiB", 2_199_023_255_552),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused_with_what_to_write() {
        for (text, says) in [
            ("4 MB", "unknown unit `MB`; write `4 MiB`"),
            ("64k", "unknown unit `k`; write `64 KiB`"),
            ("64 kib", "unknown unit `kib`; write `64 KiB`"),
            (
                "3 pages",
                "unknown unit `pages`; the units are `B`, `KiB`, `MiB`, `GiB` and `TiB`, as in `64 KiB`",
            ),
            (
                "1.5 MiB",
                "a size is written in whole numbers; take the next smaller unit: `1536 KiB`, not `1.5 MiB`",
            ),
            (
                "-1",
                "a size has no sign; write it like `64 KiB`, `4 MiB`, `1 GiB`, or a plain number of bytes",
            ),
            (
                "99999999999 TiB",
                "the size is too large; write it like `64 KiB`, `4 MiB`, `1 GiB`, or a plain number of bytes",
            ),
        ] {
            assert_eq!(parse_size(text).map_err(|e| e.to_string()), Err(says.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_is_written_reads_back_the_same() {
        for millis in [0, 1, 250, 1_000, 90_000, 5_400_000, 604_800_000] {
            let duration = Duration::from_millis(millis);
            assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }
        for bytes in [0, 1, 1_024, 1_500, 4 << 20, 1 << 30] {
            assert_eq!(parse_size(&format_size(bytes)), Ok(bytes));
        }
    }
}
