//! What is planned.

/// A query: what its filter is, in SQL.
#[derive(Debug)]
pub(crate) struct Query {
    pub(crate) name: &'static str,
    pub(crate) filter: Option<Filter>,
}

/// The filters, which each engine builds in its own way.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Filter {
    /// An hour of a day and one id: partitions by day and bucket rule most of the table out.
    HourAndId,
    /// A range of a column that no partition knows: only the metrics of every file tell.
    Position,
}

/// An hour of the sixtieth day, in seconds since 1970.
pub(crate) const HOUR: std::ops::Range<i64> = table_start() + 59 * 86_400 + 12 * 3_600..table_start() + 59 * 86_400 + 13 * 3_600;
pub(crate) const ID: i64 = 4_242;
pub(crate) const POSITIONS: std::ops::RangeInclusive<i64> = 31_415_000..=31_415_900;

/// Midnight of 2026-01-01.
pub(crate) const fn table_start() -> i64 {
    1_767_225_600
}

/// What is planned.
pub(crate) const QUERIES: [Query; 3] = [
    Query { name: "an hour and an id (partitions tell)", filter: Some(Filter::HourAndId) },
    Query { name: "a range of an unpartitioned column (metrics of every file tell)", filter: Some(Filter::Position) },
    Query { name: "the whole table", filter: None },
];

impl Query {
    /// The filter in SQL.
    pub(crate) fn sql(&self) -> String {
        match self.filter {
            None => "TRUE".to_owned(),
            Some(Filter::Position) => format!("pos BETWEEN {} AND {}", POSITIONS.start(), POSITIONS.end()),
            Some(Filter::HourAndId) => {
                format!("ts >= TIMESTAMP '2026-03-01 12:00:00' AND ts < TIMESTAMP '2026-03-01 13:00:00' AND id = {ID}")
            }
        }
    }

    /// The filter as PyIceberg reads it.
    pub(crate) fn text(&self) -> String {
        match self.filter {
            None => String::new(),
            Some(Filter::Position) => format!("pos >= {} and pos <= {}", POSITIONS.start(), POSITIONS.end()),
            Some(Filter::HourAndId) => format!("ts >= '2026-03-01T12:00:00' and ts < '2026-03-01T13:00:00' and id = {ID}"),
        }
    }
}
