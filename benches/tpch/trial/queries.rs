//! The 22 queries with the parameters of the specification's validation runs (TPC-H 3.0.1, clause 2.4), one file each.

/// A query.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Query {
    /// From 1 on.
    pub(crate) number: usize,
    text: &'static str,
}

impl Query {
    /// The text at a scale: query 11 asks for a share that falls with it.
    pub(crate) fn at(self, scale: f64) -> String {
        self.text.replace("${FRACTION}", &format!("{:.10}", 0.0001 / scale))
    }
}

macro_rules! queries {
    ($($number:literal => $file:literal),* $(,)?) => {
        [$(Query { number: $number, text: include_str!(concat!("queries/", $file)) }),*]
    };
}

/// All of them.
pub(crate) const QUERIES: [Query; 22] = queries![
    1 => "q01.sql", 2 => "q02.sql", 3 => "q03.sql", 4 => "q04.sql", 5 => "q05.sql", 6 => "q06.sql", 7 => "q07.sql", 8 => "q08.sql",
    9 => "q09.sql", 10 => "q10.sql", 11 => "q11.sql", 12 => "q12.sql", 13 => "q13.sql", 14 => "q14.sql", 15 => "q15.sql", 16 => "q16.sql",
    17 => "q17.sql", 18 => "q18.sql", 19 => "q19.sql", 20 => "q20.sql", 21 => "q21.sql", 22 => "q22.sql",
];
