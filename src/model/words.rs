//! Numbers, durations and sizes as people read them. JSON never comes through here.

use std::time::Duration;

/// A number with thousands separators: `18,204`.
#[must_use]
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A counted noun: `1 message`, `2,375 messages`.
#[must_use]
pub fn counted(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", count(number))
}

/// A duration in at most two units: `240 ms`, `4.1 s`, `48 s`, `3 h 12 m`, `9 d`.
#[must_use]
pub fn length(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let two = |large: u64, unit: &str, small: u64, below: &str| {
        if small == 0 { format!("{large} {unit}") } else { format!("{large} {unit} {small} {below}") }
    };
    match seconds {
        0 => format!("{} ms", duration.as_millis()),
        1..10 => match duration.subsec_millis() / 100 {
            0 => format!("{seconds} s"),
            tenths => format!("{seconds}.{tenths} s"),
        },
        10..60 => format!("{seconds} s"),
        60..3_600 => two(seconds / 60, "m", seconds % 60, "s"),
        3_600..86_400 => two(seconds / 3_600, "h", seconds % 3_600 / 60, "m"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
    }
}

/// A size: `812 B`, `41 MiB`.
#[must_use]
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1_024 {
        return format!("{bytes} B");
    }
    let mut tenths = u128::from(bytes) * 10 / 1_024;
    let mut unit = 0;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1_024;
        unit += 1;
    }
    if tenths < 100 && tenths % 10 != 0 {
        format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
    } else {
        format!("{} {}", tenths / 10, UNITS[unit])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_carry_thousands_separators() {
        assert_eq!(
            [0, 7, 999, 1_000, 18_204, 1_234_567].map(count),
            ["0", "7", "999", "1,000", "18,204", "1,234,567"]
        );
        assert_eq!(counted(1, "message"), "1 message");
        assert_eq!(counted(1_000, "message"), "1,000 messages");
    }

    #[test]
    fn durations_have_at_most_two_units() {
        let cases = [
            (0, "0 ms"),
            (240, "240 ms"),
            (4_000, "4 s"),
            (4_190, "4.1 s"),
            (48_900, "48 s"),
            (60_000, "1 m"),
            (125_000, "2 m 5 s"),
            (11_520_000, "3 h 12 m"),
            (86_400_000, "1 d"),
            (93_600_000, "1 d 2 h"),
        ];
        for (millis, text) in cases {
            assert_eq!(length(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn sizes_are_short() {
        let cases = [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_024, "1 KiB"),
            (1_536, "1.5 KiB"),
            (42_991_616, "41 MiB"),
            (u64::MAX, "16777215 TiB"),
        ];
        for (bytes, text) in cases {
            assert_eq!(size(bytes), text);
        }
    }
}
