//! The queries.

/// A table of the benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Table {
    /// A struct of a struct, a list of structs, a map of structs.
    Nested,
    /// Ten plain columns.
    Flat,
}

/// A query.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) table: Table,
    /// Both engines that speak SQL understand the same text.
    pub(crate) sql: &'static str,
    pub(crate) scan: Scan,
}

/// What PyIceberg, which has no SQL, is told to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scan {
    /// Fields to read, `,` between them; all if empty.
    pub(crate) fields: &'static str,
    /// A filter; none if empty.
    pub(crate) filter: &'static str,
    /// What is done with the rows: `rows`, `count`, `first:PATH`, `top:COLUMN`.
    pub(crate) then: &'static str,
}

const fn rows(fields: &'static str, filter: &'static str) -> Scan {
    Scan { fields, filter, then: "rows" }
}

const fn then(fields: &'static str, then: &'static str) -> Scan {
    Scan { fields, filter: "", then }
}

/// All queries.
pub(crate) fn all() -> impl Iterator<Item = Case> {
    let of = |table| move |(name, sql, scan)| Case { name, table, sql, scan };
    let nested = [
        ("full scan, nested", "SELECT * FROM nested", rows("", "")),
        ("one leaf", "SELECT ev['b']['c'] FROM nested", rows("ev.b.c", "")),
        ("sub-struct", "SELECT ev['b'] FROM nested", rows("ev.b", "")),
        ("list leaf", "SELECT tags[1]['k'] FROM nested", then("tags.element.k", "first:tags.k")),
        ("filter on a nested leaf", "SELECT ev['a'] FROM nested WHERE ev['b']['c'] < 20", rows("ev.a", "ev.b.c < 20")),
        ("top 10, rows in order", "SELECT * FROM nested ORDER BY id DESC LIMIT 10", then("", "top:id")),
        ("join with 2 rows", "SELECT id, ev['a'] FROM nested JOIN (VALUES (7), (500000)) AS s (k) ON id = k", rows("id,ev.a", "id in (7, 500000)")),
        ("count(*)", "SELECT count(*) FROM nested", then("", "count")),
    ];
    let flat = [
        ("full scan, flat", "SELECT * FROM flat", rows("", "")),
        ("top 10, rows in no order", "SELECT * FROM flat ORDER BY user_id DESC, id LIMIT 10", then("", "top:user_id")),
    ];
    flat.into_iter().map(of(Table::Flat)).chain(nested.into_iter().map(of(Table::Nested)))
}
