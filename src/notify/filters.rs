//! Filters that templates have beside those of the language.

use jiff::Zoned;
use jiff::tz::TimeZone;
use minijinja::value::Value;
use minijinja::{Error, ErrorKind};

/// Characters that `truncate` leaves where it is not told.
const TRUNCATED: usize = 60;
/// Decimal places that `money` writes at most.
const PLACES: u32 = 6;
/// Numbers of at least this size are milliseconds since 1970, smaller ones seconds.
const MILLISECONDS: f64 = 1e11;

/// `{{ data.text | truncate(40) }}`: at most so many characters, the last of them `…` where something
/// is missing.
#[expect(clippy::needless_pass_by_value, reason = "as filters are called")]
pub(super) fn truncate(text: String, length: Option<usize>) -> String {
    super::text::cut(&text, length.unwrap_or(TRUNCATED))
}

/// `{{ data.total | money }}`: `1,234.50`.
#[expect(clippy::needless_pass_by_value, reason = "as filters are called")]
pub(super) fn money(value: Value, places: Option<u32>) -> Result<String, Error> {
    let number = number(&value).filter(|it| it.is_finite() && it.abs() < 1e15);
    let number = number.ok_or_else(|| Error::new(ErrorKind::InvalidOperation, "this is no amount"))?;
    let places = places.unwrap_or(2).min(PLACES) as usize;
    let plain = format!("{:.places$}", number.abs());
    let (whole, rest) = plain.split_once('.').map_or((plain.as_str(), ""), |(whole, rest)| (whole, rest));
    let mut text = String::new();
    if number < 0.0 && plain.bytes().any(|b| b.is_ascii_digit() && b != b'0') {
        text.push('-');
    }
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if !rest.is_empty() {
        text.push('.');
        text.push_str(rest);
    }
    Ok(text)
}

/// `{{ data.at | time }}`: `14:05` in local time, of RFC 3339 text or of seconds or milliseconds since
/// 1970; `time("%a %d %b")` as `strftime` writes it.
#[expect(clippy::needless_pass_by_value, reason = "as filters are called")]
pub(super) fn time(value: Value, format: Option<String>) -> Result<String, Error> {
    let unfit = || Error::new(ErrorKind::InvalidOperation, "this is no point in time");
    let at = match value.as_str() {
        Some(text) => text.parse::<jiff::Timestamp>().map_err(|_| unfit())?,
        None => {
            let number = number(&value).filter(|it| it.abs() < 1e15).ok_or_else(unfit)?;
            let millis = if number.abs() < MILLISECONDS { number * 1e3 } else { number };
            #[expect(clippy::cast_possible_truncation, reason = "bounded above; below a millisecond is cut")]
            let millis = millis as i64;
            jiff::Timestamp::from_millisecond(millis).map_err(|_| unfit())?
        }
    };
    let local = Zoned::new(at, TimeZone::system());
    jiff::fmt::strtime::format(format.as_deref().unwrap_or("%H:%M"), &local).map_err(|_| unfit())
}

/// A number, also one in quotes, as many servers write amounts.
fn number(value: &Value) -> Option<f64> {
    match value.as_str() {
        Some(text) => text.trim().parse().ok(),
        None => f64::try_from(value.clone()).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_has_its_thousands_apart_and_two_places() {
        for (value, said) in [
            (Value::from(1_234_567.5), "1,234,567.50"),
            (Value::from(999), "999.00"),
            (Value::from(-1000), "-1,000.00"),
            (Value::from(-0.001), "0.00"),
            (Value::from("12.5"), "12.50"),
        ] {
            assert_eq!(money(value, None).expect("an amount"), said);
        }
        assert_eq!(money(Value::from(1234), Some(0)).expect("an amount"), "1,234");
        assert!(money(Value::from("much"), None).is_err());
        assert!(money(Value::from(f64::NAN), None).is_err());
    }

    #[test]
    fn a_time_may_be_text_seconds_or_milliseconds() {
        let year = || Some("%Y".to_owned());
        for value in [
            Value::from("2026-06-15T12:00:00Z"),
            Value::from(1_781_500_000),
            Value::from(1_781_500_000_000_i64),
        ] {
            assert_eq!(time(value, year()).expect("a time"), "2026");
        }
        assert!(time(Value::from("soon"), None).is_err());
        assert!(time(Value::from(true), Some("%".to_owned())).is_err());
    }
}
