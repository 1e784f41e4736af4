//! `Retry-After` (RFC 9110, section 10.2.3): how long the server asks to be left alone.

use std::time::Duration;

use jiff::fmt::rfc2822::DateTimeParser;

use crate::model::Timestamp;

/// Shortest wait that is taken over.
const SHORTEST: Duration = Duration::from_secs(1);
/// Longest wait that is taken over.
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// Reads seconds or an HTTP date, clamped to 1 s … 1 h; none where it is neither. `now` is the
/// time of whoever wrote the date.
pub(super) fn parse(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    let wait = match text.strip_prefix('-') {
        Some(digits) if is_number(digits) => Duration::ZERO,
        None if is_number(text) => Duration::from_secs(text.parse().unwrap_or(u64::MAX)),
        _ => date(text)?.since(now),
    };
    Some(wait.clamp(SHORTEST, LONGEST))
}

/// Reads an HTTP date (RFC 9110, section 5.6.7).
pub(super) fn date(text: &str) -> Option<Timestamp> {
    let date = DateTimeParser::new().relaxed_weekday(true).parse_timestamp(text.trim()).ok()?;
    Some(Timestamp::from_millis(date.as_millisecond()))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    #[test]
    fn seconds_are_taken_over_within_the_limits() {
        let now = at("2026-01-01T00:00:00Z");
        let cases = [
            ("120", Some(120)),
            (" 7 ", Some(7)),
            ("0", Some(1)),
            ("-5", Some(1)),
            ("3601", Some(3600)),
            ("99999999999999999999999", Some(3600)),
            ("", None),
            ("-", None),
            ("+5", None),
            ("1.5", None),
            ("soon", None),
        ];
        for (text, wanted) in cases {
            assert_eq!(parse(text, now), wanted.map(Duration::from_secs), "{text:?}");
        }
    }

    #[test]
    fn a_date_is_taken_as_the_time_until_then() {
        let now = at("1994-11-06T08:49:00Z");
        assert_eq!(parse("Sun, 06 Nov 1994 08:49:37 GMT", now), Some(Duration::from_secs(37)));
        assert_eq!(parse("Sun, 06 Nov 1994 08:48:37 GMT", now), Some(SHORTEST));
        assert_eq!(parse("Sun, 06 Nov 2094 08:49:37 GMT", now), Some(LONGEST));
        assert_eq!(parse("Sun, 99 Nov 1994 08:49:37 GMT", now), None);
    }

    proptest! {
        #[test]
        fn whatever_it_says_the_wait_stays_within_the_limits(text in "-?[0-9]{1,25}|.{0,40}", now in any::<i64>()) {
            if let Some(wait) = parse(&text, Timestamp::from_millis(now)) {
                prop_assert!((SHORTEST..=LONGEST).contains(&wait));
            }
        }
    }
}
