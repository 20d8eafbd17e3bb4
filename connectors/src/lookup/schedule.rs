//! When a whole table is loaded again.

use std::time::Duration;

use chrono::{DateTime, Days, FixedOffset, Local, NaiveTime, TimeZone};

/// What calls for the next load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reload {
    /// Nothing: the table is loaded once.
    Never,
    /// A time after the end of the last load.
    AfterEnd(Duration),
    /// A time after the beginning of the last load.
    AfterStart(Duration),
    /// A time of the day, every so many days.
    Daily {
        /// The time.
        at: NaiveTime,
        /// Its zone; without one it is a time of the process's zone.
        zone: Option<FixedOffset>,
        /// From one load to the next; at least 1.
        days: u32,
    },
}

impl Reload {
    /// `10:15`, `10:15Z` or `10:15+07:00`, with seconds if need be.
    #[must_use]
    pub fn daily(text: &str, days: u32) -> Option<Self> {
        let text = text.trim();
        let (clock, zone) = match text.find(['Z', 'z', '+', '-']) {
            None => (text, None),
            Some(at) => {
                let (clock, zone) = text.split_at(at);
                (clock, Some(parse_zone(zone)?))
            }
        };
        let at = NaiveTime::parse_from_str(clock, "%H:%M:%S").or_else(|_| NaiveTime::parse_from_str(clock, "%H:%M")).ok()?;
        Some(Self::Daily { at, zone, days: days.max(1) })
    }

    /// How long to wait at `now` after a load that took `took`; `None`: for ever.
    #[must_use]
    pub fn wait(&self, now: DateTime<Local>, took: Duration) -> Option<Duration> {
        match self {
            Self::Never => None,
            Self::AfterEnd(interval) => Some(*interval),
            Self::AfterStart(interval) => Some(interval.saturating_sub(took)),
            Self::Daily { at, zone: Some(zone), days } => next(&now.with_timezone(zone), *at, *days),
            Self::Daily { at, zone: None, days } => next(&now, *at, *days),
        }
    }
}

fn parse_zone(text: &str) -> Option<FixedOffset> {
    if text.eq_ignore_ascii_case("z") { FixedOffset::east_opt(0) } else { text.parse().ok() }
}

/// From `now` to the next `at` of the day; of later days, all but the first are passed over.
fn next<Z: TimeZone>(now: &DateTime<Z>, at: NaiveTime, days: u32) -> Option<Duration> {
    let today = now.date_naive();
    let first = if now.time() < at { today } else { today.checked_add_days(Days::new(1))? };
    let day = first.checked_add_days(Days::new(u64::from(days) - 1))?;
    // A time that a change of clocks leaves out is an hour later.
    let shifted = at.overflowing_add_signed(chrono::TimeDelta::hours(1)).0;
    let zone = now.timezone();
    let due = zone.from_local_datetime(&day.and_time(at)).earliest().or_else(|| zone.from_local_datetime(&day.and_time(shifted)).earliest())?;
    Some((due - now.clone()).to_std().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(zone: i32, hour: u32, minute: u32) -> DateTime<FixedOffset> {
        FixedOffset::east_opt(zone * 3_600).expect("zone").with_ymd_and_hms(2026, 3, 5, hour, minute, 0).single().expect("time")
    }

    fn clock(text: &str) -> NaiveTime {
        NaiveTime::parse_from_str(text, "%H:%M").expect("time")
    }

    #[test]
    fn a_daily_load_waits_for_the_next_time_of_the_day_and_skips_days() {
        assert_eq!(next(&at(0, 9, 0), clock("10:15"), 1), Some(Duration::from_secs(75 * 60)));
        assert_eq!(next(&at(0, 10, 15), clock("10:15"), 1), Some(Duration::from_secs(24 * 3_600)));
        assert_eq!(next(&at(0, 9, 0), clock("10:15"), 3), Some(Duration::from_secs(48 * 3_600 + 75 * 60)));
    }

    #[test]
    fn a_zone_counts_and_nonsense_is_no_time() {
        let seven = FixedOffset::east_opt(7 * 3_600).expect("zone");
        assert_eq!(Reload::daily("10:15+07:00", 2), Some(Reload::Daily { at: clock("10:15"), zone: Some(seven), days: 2 }));
        assert!(matches!(Reload::daily("10:15Z", 1), Some(Reload::Daily { zone: Some(zone), .. }) if zone.local_minus_utc() == 0));
        assert!(matches!(Reload::daily("23:59:30", 1), Some(Reload::Daily { zone: None, .. })));
        for wrong in ["", "25:00", "10", "noon", "10:15+99", "10:15 UTC"] {
            assert_eq!(Reload::daily(wrong, 1), None, "{wrong}");
        }
        let now = at(0, 2, 0).with_timezone(&Local);
        let in_seven = Reload::daily("10:00+07:00", 1).and_then(|reload| reload.wait(now, Duration::ZERO));
        assert_eq!(in_seven, Some(Duration::from_secs(3_600)));
    }

    #[test]
    fn a_fixed_rate_counts_from_the_beginning_of_a_load() {
        let now = Local::now();
        let (minute, took) = (Duration::from_secs(60), Duration::from_secs(20));
        assert_eq!(Reload::AfterEnd(minute).wait(now, took), Some(minute));
        assert_eq!(Reload::AfterStart(minute).wait(now, took), Some(Duration::from_secs(40)));
        assert_eq!(Reload::AfterStart(minute).wait(now, minute * 2), Some(Duration::ZERO));
        assert_eq!(Reload::Never.wait(now, took), None);
    }
}
