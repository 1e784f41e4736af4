//! Quiet hours. Local time is handed in: what the clock on the wall says decides, also on the two days
//! of the year on which an hour is missing or comes twice.

use super::{QuietRange, Weekday};
use crate::model::Timestamp;

/// What the clock on the wall says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalTime {
    /// The day.
    pub day: Weekday,
    /// Minutes after midnight.
    pub minute: u32,
}

impl LocalTime {
    /// What the clock says here.
    #[must_use]
    pub fn here(at: Timestamp) -> Self {
        Self::of(&at.to_jiff().to_zoned(jiff::tz::TimeZone::system()))
    }

    /// What the clock says at this point in that zone.
    #[must_use]
    pub fn of(at: &jiff::Zoned) -> Self {
        let day = match at.weekday() {
            jiff::civil::Weekday::Monday => Weekday::Monday,
            jiff::civil::Weekday::Tuesday => Weekday::Tuesday,
            jiff::civil::Weekday::Wednesday => Weekday::Wednesday,
            jiff::civil::Weekday::Thursday => Weekday::Thursday,
            jiff::civil::Weekday::Friday => Weekday::Friday,
            jiff::civil::Weekday::Saturday => Weekday::Saturday,
            jiff::civil::Weekday::Sunday => Weekday::Sunday,
        };
        let part = |part: i8| u32::try_from(part).unwrap_or(0);
        Self { day, minute: part(at.hour()) * 60 + part(at.minute()) }
    }
}

/// Whether it is quiet then. A range belongs to the day on which it begins: one that goes over
/// midnight is quiet on the next morning whatever that day's name is.
#[must_use]
pub(super) fn is_quiet(ranges: &[QuietRange], now: LocalTime) -> bool {
    ranges.iter().any(|QuietRange { from, to, days }| {
        let (today, yesterday) = (days.contains(&now.day), days.contains(&before(now.day)));
        if from < to {
            today && (*from..*to).contains(&now.minute)
        } else {
            today && now.minute >= *from || yesterday && now.minute < *to
        }
    })
}

const fn before(day: Weekday) -> Weekday {
    match day {
        Weekday::Monday => Weekday::Sunday,
        Weekday::Tuesday => Weekday::Monday,
        Weekday::Wednesday => Weekday::Tuesday,
        Weekday::Thursday => Weekday::Wednesday,
        Weekday::Friday => Weekday::Thursday,
        Weekday::Saturday => Weekday::Friday,
        Weekday::Sunday => Weekday::Saturday,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Weekday::{Friday, Monday, Saturday, Sunday};

    fn at(day: Weekday, hour: u32, minute: u32) -> LocalTime {
        LocalTime { day, minute: hour * 60 + minute }
    }

    #[test]
    fn a_range_within_a_day_holds_from_its_first_minute_to_before_its_last() {
        let noon = [QuietRange { from: 12 * 60, to: 13 * 60, days: vec![Monday] }];
        for (day, hour, minute, quiet) in [
            (Monday, 11, 59, false),
            (Monday, 12, 0, true),
            (Monday, 12, 59, true),
            (Monday, 13, 0, false),
            (Sunday, 12, 30, false),
        ] {
            assert_eq!(is_quiet(&noon, at(day, hour, minute)), quiet, "{day:?} {hour}:{minute}");
        }
    }

    #[test]
    fn a_range_over_midnight_belongs_to_the_day_on_which_it_begins() {
        let night = [QuietRange { from: 22 * 60, to: 7 * 60, days: vec![Friday, Sunday] }];
        for (day, hour, minute, quiet) in [
            (Friday, 21, 59, false),
            (Friday, 22, 0, true),
            (Saturday, 0, 0, true),
            (Saturday, 6, 59, true),
            (Saturday, 7, 0, false),
            (Saturday, 23, 0, false),
            (Friday, 6, 0, false),
            (Sunday, 23, 59, true),
            (Monday, 3, 0, true),
        ] {
            assert_eq!(is_quiet(&night, at(day, hour, minute)), quiet, "{day:?} {hour}:{minute}");
        }
    }

    #[test]
    fn a_range_that_ends_where_it_begins_is_a_whole_day() {
        let day = [QuietRange { from: 600, to: 600, days: vec![Monday] }];
        assert!(is_quiet(&day, at(Monday, 10, 0)) && is_quiet(&day, at(Weekday::Tuesday, 9, 59)));
        assert!(!is_quiet(&day, at(Monday, 9, 59)) && !is_quiet(&day, at(Weekday::Tuesday, 10, 0)));
        assert!(!is_quiet(&[], at(Monday, 3, 0)));
    }

    #[test]
    fn the_clock_on_the_wall_decides_when_an_hour_is_missing_or_comes_twice() {
        let zone = jiff::tz::TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").expect("a zone");
        let quiet = [QuietRange { from: 150, to: 240, days: vec![Sunday] }];
        let says = |at: &str| {
            let at: jiff::Timestamp = at.parse().expect("written here");
            is_quiet(&quiet, LocalTime::of(&at.to_zoned(zone.clone())))
        };
        // 2026-03-29: 01:59:59 is followed by 03:00, within the range.
        assert!(
            !says("2026-03-29T00:59:59Z") && says("2026-03-29T01:00:00Z") && !says("2026-03-29T02:00:00Z")
        );
        // 2026-10-25: 02:30 comes twice, and the clock shows 02:10 in between.
        assert!(
            says("2026-10-25T00:30:00Z") && !says("2026-10-25T01:10:00Z") && says("2026-10-25T01:30:00Z")
        );
    }
}
