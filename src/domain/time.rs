//! Points in time as Postgres keeps them: UTC, to the microsecond.

use chrono::{DateTime, Utc};

use super::validation::InvalidField;

/// The earliest time that is accepted: the beginning of the year 1.
pub const TIME_MIN: DateTime<Utc> = at_second(-62_135_596_800);
/// The end of the times that are accepted, itself excluded: the beginning of the year 10000.
pub const TIME_MAX: DateTime<Utc> = at_second(253_402_300_800);

const fn at_second(seconds: i64) -> DateTime<Utc> {
    match DateTime::from_timestamp(seconds, 0) {
        Some(time) => time,
        None => DateTime::UNIX_EPOCH,
    }
}

/// The time to the microsecond, as `timestamptz` keeps it.
///
/// Digits below are cut off towards the past, before 1970 as after it, and a leap second becomes the first
/// second of the next minute.
#[must_use]
pub fn to_microseconds(time: DateTime<Utc>) -> DateTime<Utc> {
    // Every microsecond of a time that chrono can hold is one that it can hold.
    DateTime::from_timestamp_micros(time.timestamp_micros()).unwrap_or(time)
}

/// The time to the microsecond, if it lies between [`TIME_MIN`] and [`TIME_MAX`].
pub(crate) fn instant(field: &'static str, time: DateTime<Utc>) -> Result<DateTime<Utc>, InvalidField> {
    let time = to_microseconds(time);
    if (TIME_MIN..TIME_MAX).contains(&time) {
        return Ok(time);
    }
    Err(InvalidField::new(field, format!("expected a time of the years 1 to 9999, found {time}")))
}

/// A span of time from its beginning up to its end, the end itself excluded: adjoining windows share no point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeWindow {
    from: DateTime<Utc>,
    until: DateTime<Utc>,
}

impl TimeWindow {
    /// The window `from <= time < until`, both to the microsecond.
    ///
    /// # Errors
    /// When it holds no time, or lies outside the years 1 to 9999.
    pub fn new(from: DateTime<Utc>, until: DateTime<Utc>) -> Result<Self, InvalidField> {
        let window = Self { from: instant("from", from)?, until: instant("until", until)? };
        if window.from >= window.until {
            let reason = format!("expected a time after {}, found {}", window.from, window.until);
            return Err(InvalidField::new("until", reason));
        }
        Ok(window)
    }

    /// The beginning, included.
    #[must_use]
    pub fn from(&self) -> DateTime<Utc> {
        self.from
    }

    /// The end, excluded.
    #[must_use]
    pub fn until(&self) -> DateTime<Utc> {
        self.until
    }

    /// Whether the time lies in the window.
    #[must_use]
    pub fn contains(&self, time: DateTime<Utc>) -> bool {
        self.from <= time && time < self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn the_limits_are_whole_years() {
        assert_eq!(TIME_MIN, time("0001-01-01T00:00:00Z"));
        assert_eq!(TIME_MAX, time("+10000-01-01T00:00:00Z"));
    }

    #[test]
    fn digits_below_a_microsecond_are_cut_off_towards_the_past() {
        for (given, kept) in [
            ("2024-02-29T23:59:59.123456789Z", "2024-02-29T23:59:59.123456Z"),
            ("1969-12-31T23:59:59.999999999Z", "1969-12-31T23:59:59.999999Z"),
            ("1900-01-01T00:00:00.000000001Z", "1900-01-01T00:00:00Z"),
            ("2016-12-31T23:59:60.500Z", "2017-01-01T00:00:00.500Z"),
        ] {
            assert_eq!(to_microseconds(time(given)), time(kept), "{given}");
        }
        for extreme in [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC] {
            assert_eq!(to_microseconds(extreme).timestamp_micros(), extreme.timestamp_micros());
        }
    }

    #[test]
    fn a_window_holds_its_beginning_and_not_its_end() {
        let (from, until) = (time("2024-01-01T00:00:00Z"), time("2024-01-01T00:00:00.000001Z"));
        let window = TimeWindow::new(from, until).unwrap();
        assert!(window.contains(from));
        assert!(!window.contains(until));
    }

    #[test]
    fn a_window_that_holds_nothing_is_refused() {
        let from = time("2024-01-01T00:00:00.000000100Z");
        for until in [from, time("2024-01-01T00:00:00.000000900Z"), time("2023-01-01T00:00:00Z"), TIME_MAX] {
            assert_eq!(TimeWindow::new(from, until).unwrap_err().field, "until", "{until}");
        }
        assert_eq!(TimeWindow::new(DateTime::<Utc>::MIN_UTC, from).unwrap_err().field, "from");
    }
}
