//! Finding the next row behind a part of a table that cannot be read.

/// The lowest key in `from..=last` from which `readable` says that reading works; none where it
/// works from none. Looks at few keys: steps that double, then halves back.
pub(super) fn next_readable(from: i64, last: i64, mut readable: impl FnMut(i64) -> bool) -> Option<i64> {
    let (mut bad, mut step) = (from.saturating_sub(1), 1_i64);
    let mut good = loop {
        let at = bad.saturating_add(step);
        if at >= last {
            // From the last key itself, or from nowhere.
            break Some(last).filter(|last| *last > bad && readable(*last))?;
        }
        if readable(at) {
            break at;
        }
        bad = at;
        step = step.saturating_mul(2);
    };
    while good - bad > 1 {
        let middle = bad + (good - bad) / 2;
        if readable(middle) { good = middle } else { bad = middle }
    }
    Some(good)
}

#[cfg(test)]
mod tests {
    use super::next_readable;

    #[test]
    fn the_first_readable_key_is_found_exactly() {
        for first in 10..200 {
            assert_eq!(next_readable(10, 1000, |key| key >= first), Some(first));
        }
        assert_eq!(next_readable(10, 1000, |key| key >= 1000), Some(1000));
        assert_eq!(next_readable(10, 1000, |_| false), None);
        assert_eq!(next_readable(10, 10, |_| true), Some(10));
        assert_eq!(next_readable(10, i64::MAX, |_| false), None);
    }
}
