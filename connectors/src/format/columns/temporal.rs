//! Dates, times and timestamps as text, in the two standards of `json.timestamp-format.standard`.

/// Which text a timestamp is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::format) enum Standard {
    /// `yyyy-MM-dd HH:mm:ss[.fraction]`
    #[default]
    Sql,
    /// `yyyy-MM-ddTHH:mm[:ss[.fraction]]`
    Iso8601,
}

impl Standard {
    /// What stands between date and time.
    pub(in crate::format) fn separator(self) -> u8 {
        match self {
            Self::Sql => b' ',
            Self::Iso8601 => b'T',
        }
    }

    /// The pattern, for messages.
    pub(in crate::format) fn pattern(self, zoned: bool) -> &'static str {
        match (self, zoned) {
            (Self::Sql, false) => "yyyy-MM-dd HH:mm:ss[.fraction]",
            (Self::Sql, true) => "yyyy-MM-dd HH:mm:ss[.fraction]Z",
            (Self::Iso8601, false) => "yyyy-MM-ddTHH:mm:ss[.fraction]",
            (Self::Iso8601, true) => "yyyy-MM-ddTHH:mm:ss[.fraction]Z",
        }
    }
}

/// Seconds since 1970-01-01 00:00:00 and nanoseconds.
pub(in crate::format) type Instant = (i64, u32);

/// The last date that was read, since most messages of a stream carry the same.
#[derive(Debug, Clone)]
pub(in crate::format) struct DateCache {
    text: [u8; 10],
    days: i32,
}

impl Default for DateCache {
    fn default() -> Self {
        Self { text: *b"1970-01-01", days: 0 }
    }
}

impl DateCache {
    /// Days since 1970-01-01.
    #[inline]
    fn days(&mut self, text: &[u8; 10]) -> Option<i32> {
        if *text != self.text {
            self.days = date(text)?;
            self.text = *text;
        }
        Some(self.days)
    }

    /// Reads a timestamp; `zoned` ones end in `Z`, others do not.
    #[inline]
    pub(in crate::format) fn timestamp(&mut self, text: &[u8], standard: Standard, zoned: bool) -> Option<Instant> {
        let text = if zoned { text.strip_suffix(b"Z")? } else { text };
        let (day, rest) = text.split_first_chunk::<10>()?;
        let (separator, clock) = rest.split_first()?;
        if *separator != standard.separator() {
            return None;
        }
        let (seconds, nanos) = match clock {
            [h, hh, b':', m, mm] if standard == Standard::Iso8601 => (clock_seconds([*h, *hh, *m, *mm, b'0', b'0'])?, 0),
            _ => time(clock)?,
        };
        Some((i64::from(self.days(day)?) * 86_400 + i64::from(seconds), nanos))
    }
}

/// Days since 1970-01-01 of `yyyy-MM-dd`.
pub(in crate::format) fn date(text: &[u8]) -> Option<i32> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = *text else { return None };
    let year = i32::from(pair(y1, y2)?) * 100 + i32::from(pair(y3, y4)?);
    let (month, day) = (pair(m1, m2)?, pair(d1, d2)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        2 => 28 + u8::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    ((1..=last).contains(&day)).then(|| days_before(year, i32::from(month)) + i32::from(day) - 1)
}

/// Days from 1970-01-01 to the first of `month`: years are counted from March, so that the leap day is the last one of its year.
fn days_before(year: i32, month: i32) -> i32 {
    let year = if month > 2 { year } else { year - 1 };
    let months = (month + 9) % 12;
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + (153 * months + 2) / 5 - 719_468
}

/// Seconds of the day and nanoseconds of `HH:mm:ss[.fraction]`.
#[inline]
pub(in crate::format) fn time(text: &[u8]) -> Option<(u32, u32)> {
    let ([h, hh, b':', m, mm, b':', s, ss], fraction) = text.split_first_chunk::<8>()? else { return None };
    let seconds = clock_seconds([*h, *hh, *m, *mm, *s, *ss])?;
    let nanos = match fraction {
        [] => 0,
        [b'.', digits @ ..] if (1..=9).contains(&digits.len()) => {
            let mut nanos = 0;
            for digit in digits {
                nanos = nanos * 10 + digit.is_ascii_digit().then(|| u32::from(digit - b'0'))?;
            }
            nanos * 10_u32.pow(9 - u32::try_from(digits.len()).ok()?)
        }
        _ => return None,
    };
    Some((seconds, nanos))
}

#[inline]
fn clock_seconds([h, hh, m, mm, s, ss]: [u8; 6]) -> Option<u32> {
    let (hours, minutes, seconds) = (pair(h, hh)?, pair(m, mm)?, pair(s, ss)?);
    (hours < 24 && minutes < 60 && seconds < 60).then(|| u32::from(hours) * 3_600 + u32::from(minutes) * 60 + u32::from(seconds))
}

#[inline]
fn pair(tens: u8, ones: u8) -> Option<u8> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens <= 9 && ones <= 9).then(|| tens * 10 + ones)
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, NaiveDate};
    use proptest::prelude::*;

    use super::*;

    fn timestamp(text: &str, standard: Standard, zoned: bool) -> Option<Instant> {
        DateCache::default().timestamp(text.as_bytes(), standard, zoned)
    }

    #[test]
    fn both_standards_take_their_own_text_only() {
        let noon = Some((951_825_600, 0));
        assert_eq!(timestamp("2000-02-29 12:00:00", Standard::Sql, false), noon);
        assert_eq!(timestamp("2000-02-29T12:00:00", Standard::Iso8601, false), noon);
        assert_eq!(timestamp("2000-02-29T12:00", Standard::Iso8601, false), noon);
        assert_eq!(timestamp("2000-02-29 12:00:00Z", Standard::Sql, true), noon);
        assert_eq!(timestamp("2000-02-29 12:00:00.000000001", Standard::Sql, false), Some((951_825_600, 1)));
        for bad in ["2000-02-29T12:00:00", "2000-02-29 12:00", "2000-02-29 12:00:00Z", "2000-02-29 12:00:00.", "2000-02-29 12:00:00.0000000000"] {
            assert_eq!(timestamp(bad, Standard::Sql, false), None, "{bad}");
        }
        for bad in ["1999-02-29 12:00:00", "2000-13-01 12:00:00", "2000-00-01 12:00:00", "2000-01-01 24:00:00", "2000-1-1 12:00:00", ""] {
            assert_eq!(timestamp(bad, Standard::Sql, false), None, "{bad}");
        }
        for bad in ["2000-02-29 12:00:00", "2000-02-29T12:00:00+01:00", "2000-02-29T12:00:00.1ZZ"] {
            assert_eq!(timestamp(bad, Standard::Iso8601, true), None, "{bad}");
        }
    }

    #[test]
    fn a_bad_date_does_not_spoil_the_cache() {
        let mut cache = DateCache::default();
        assert!(cache.timestamp(b"2000-01-01 00:00:00", Standard::Sql, false).is_some());
        assert_eq!(cache.timestamp(b"2000-01-99 00:00:00", Standard::Sql, false), None);
        assert_eq!(cache.timestamp(b"2000-01-01 00:00:01", Standard::Sql, false), Some((946_684_801, 0)));
    }

    proptest! {
        #[test]
        fn every_second_is_the_calendars(seconds in -62_167_219_200_i64..253_402_300_800, nanos in 0_u32..1_000_000_000) {
            let moment = DateTime::from_timestamp(seconds, nanos).expect("in range").naive_utc();
            let text = moment.format("%Y-%m-%d %H:%M:%S%.9f").to_string();
            prop_assert_eq!(timestamp(&text, Standard::Sql, false), Some((seconds, nanos)));
        }

        #[test]
        fn a_date_is_refused_where_the_calendar_refuses_it(year in 0_i32..10_000, month in 0_u32..14, day in 0_u32..33) {
            let text = format!("{year:04}-{month:02}-{day:02}");
            let epoch = DateTime::UNIX_EPOCH.date_naive();
            let expected = NaiveDate::from_ymd_opt(year, month, day).map(|date| i32::try_from((date - epoch).num_days()).expect("small"));
            prop_assert_eq!(date(text.as_bytes()), expected);
        }
    }
}
