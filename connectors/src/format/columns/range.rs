//! Where the values of DATE, TIME and TIMESTAMP lie: from 0000-01-01 to 9999-12-31, as those of texts do, and within a day. What is given
//! as a number is checked here.

use super::fault::Fault;

/// Days of 0000-01-01 and 9999-12-31.
const FIRST_DAY: i64 = -719_528;
const LAST_DAY: i64 = 2_932_896;
const MICROS_OF_DAY: i64 = 86_400_000_000;

/// The days since 1970-01-01 of a DATE.
pub(in crate::format) fn date(days: i32) -> Result<i32, Fault> {
    within(days.into(), FIRST_DAY, LAST_DAY, "DATE in days")?;
    Ok(days)
}

/// The microseconds of a TIME.
pub(in crate::format) fn time(micros: i64) -> Result<i64, Fault> {
    within(micros, 0, MICROS_OF_DAY - 1, "TIME in microseconds")
}

/// The microseconds since 1970-01-01 00:00:00 of a TIMESTAMP, or its nanoseconds, which do not reach further than the years 1677 and 2262.
pub(in crate::format) fn timestamp(value: i64, nanos: bool) -> Result<i64, Fault> {
    if nanos { Ok(value) } else { within(value, FIRST_DAY * MICROS_OF_DAY, (LAST_DAY + 1) * MICROS_OF_DAY - 1, "TIMESTAMP in microseconds") }
}

#[inline]
fn within(value: i64, least: i64, most: i64, what: &str) -> Result<i64, Fault> {
    if (least..=most).contains(&value) { Ok(value) } else { Err(Fault::field(format!("'{value}' is out of range for a {what}"))) }
}
