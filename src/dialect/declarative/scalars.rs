//! Strings and numbers as JSON writes them.

use std::borrow::Cow;

/// The content of a string, given with its quotation marks.
pub(crate) fn unescape(json: &str) -> Option<String> {
    serde_json::from_str(json).ok()
}

/// A number in the one form that equal numbers share: `1` for `1.0`, `10` for `1e1`. Integers
/// keep all their digits.
pub(crate) fn plain_number(json: &str) -> Cow<'_, str> {
    if json.bytes().all(|byte| byte.is_ascii_digit()) {
        return Cow::Borrowed(json);
    }
    if let Ok(integer) = json.parse::<i128>() {
        return Cow::Owned(integer.to_string());
    }
    match json.parse::<f64>() {
        // Below 2^53 a float is exactly that integer.
        #[allow(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
        Ok(float) if float.fract() == 0.0 && float.abs() < 9_007_199_254_740_992.0 => {
            Cow::Owned((float as i64).to_string())
        }
        Ok(float) => Cow::Owned(float.to_string()),
        Err(_) => Cow::Borrowed(json),
    }
}

/// A whole number as JSON writes it, without memory of its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Digits {
    /// The digits stand at the end: as many as the largest number has.
    bytes: [u8; 20],
    start: u8,
}

impl Digits {
    pub(crate) const fn of(number: u64) -> Self {
        let mut digits = Self { bytes: [b'0'; 20], start: 20 };
        let mut rest = number;
        while digits.start > 0 {
            digits.start -= 1;
            #[allow(clippy::cast_possible_truncation, reason = "a digit")]
            let digit = (rest % 10) as u8;
            digits.bytes[digits.start as usize] = b'0' + digit;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        digits
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[usize::from(self.start)..]).unwrap_or("0")
    }
}

/// Writes `text` as a JSON string.
pub(crate) fn write_string(text: &str, out: &mut String) {
    out.push('"');
    write_inner(text, out);
    out.push('"');
}

/// Writes `text` as it stands within a JSON string.
fn write_inner(text: &str, out: &mut String) {
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        let short = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0x08 => "\\b",
            0x0c => "\\f",
            0x00..=0x1f => "",
            _ => continue,
        };
        out.push_str(&text[plain..at]);
        plain = at + 1;
        if short.is_empty() {
            out.push_str("\\u00");
            for nibble in [byte >> 4, byte & 15] {
                out.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
            }
        } else {
            out.push_str(short);
        }
    }
    out.push_str(&text[plain..]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Digits, plain_number, unescape, write_string};

    #[test]
    fn equal_numbers_share_one_form() {
        for (a, b) in [("1", "1.0"), ("10", "1e1"), ("-0", "0"), ("0.50", "0.5"), ("-3", "-3.0")] {
            assert_eq!(plain_number(a), plain_number(b));
        }
        assert_ne!(plain_number("9007199254740993"), plain_number("9007199254740992"));
    }

    proptest! {
        #[test]
        fn digits_are_what_anybody_would_write(number in any::<u64>()) {
            for number in [number, number % 1000, 0, u64::MAX] {
                let digits = Digits::of(number);
                prop_assert_eq!(digits.as_str(), number.to_string());
            }
        }

        #[test]
        fn a_written_string_reads_back(text in any::<String>()) {
            let mut json = String::new();
            write_string(&text, &mut json);
            prop_assert_eq!(unescape(&json), Some(text));
        }
    }
}
