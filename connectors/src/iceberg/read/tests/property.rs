//! Whatever the history of a table and whatever a query asks of it: the answer is the one over the rows that the history leaves, read whole.

use std::sync::Arc;

use datafusion::datasource::MemTable;
use iceberg::spec::{FormatVersion, Struct};
use serde_json::{Value, json};

use super::super::snapshot::Version;
use super::deletes::{equality, positions, vector};
use super::history::{History, batch, lines, number_of, session};
use super::model::{Columns, Held, Kind, Numbers, WORDS};

/// A table with a random history, and the rows that it should have.
struct Case {
    table: History,
    columns: Columns,
    rows: Vec<(i64, Held)>,
}

impl Case {
    async fn new(numbers: &mut Numbers) -> Self {
        let columns = Columns::random(numbers);
        let version = if numbers.one_in(3) { FormatVersion::V3 } else { FormatVersion::V2 };
        let table = History::new(columns.schema(0), &[], version);
        let mut case = Self { table, columns, rows: Vec::new() };
        let mut next = 0;
        for step in 0..=numbers.below(4) {
            if step > 0 {
                for _ in 0..numbers.below(4) {
                    case.columns.evolve(numbers);
                }
                let schema = case.columns.schema(i32::try_from(step).expect("small"));
                case.table.evolve(schema);
            }
            let count = 1 + i64::try_from(numbers.below(40)).expect("small");
            case.add(next, count, numbers).await;
            next += count;
        }
        case
    }

    /// A file of rows, and deletes of rows of it or of older ones.
    async fn add(&mut self, first: i64, count: i64, numbers: &mut Numbers) {
        let fresh: Vec<(i64, Held)> = (first..first + count).map(|id| (id, self.columns.row(id, numbers))).collect();
        let schema = self.table.metadata.current_schema().as_ref().clone();
        let shown: Vec<Value> = fresh.iter().map(|(_, row)| self.columns.named(row)).collect();
        let file = self.table.write(&batch(&schema, &shown), Struct::empty(), 1 + numbers.below(30)).await;
        let path = file.file_path().to_owned();
        let mut deletes = Vec::new();
        if numbers.one_in(3) && !self.rows.is_empty() {
            // An upsert deletes older rows, and not those that come with it.
            let ids: Vec<i64> = (0..3).filter_map(|_| numbers.pick(&self.rows).map(|(id, _)| *id)).collect();
            let keys: Vec<Value> = ids.iter().map(|id| json!({"id": id})).collect();
            deletes.push(equality(&mut self.table, &schema, &keys, &[1]).await);
            self.rows.retain(|(id, _)| !ids.contains(id));
        }
        self.rows.extend(fresh);
        self.table.commit(vec![file], deletes).await;
        if numbers.one_in(3) {
            let gone: Vec<i64> = (0..count).filter(|_| numbers.one_in(4)).collect();
            let delete = if self.table.metadata.format_version() == FormatVersion::V3 {
                let places: Vec<u64> = gone.iter().map(|place| place.cast_unsigned()).collect();
                vector(&mut self.table, &path, &places).await
            } else {
                let places: Vec<(&str, i64)> = gone.iter().map(|place| (path.as_str(), *place)).collect();
                positions(&mut self.table, &places).await
            };
            self.table.commit(Vec::new(), vec![delete]).await;
            self.rows.retain(|(id, _)| !gone.contains(&(id - first)));
        }
    }

    /// The rows that the table should have, in its columns of today, as a table in memory.
    fn expected(&self) -> MemTable {
        let shown: Vec<Value> = self.rows.iter().map(|(_, row)| self.columns.named(row)).collect();
        let rows = batch(self.table.metadata.current_schema(), &shown);
        MemTable::try_new(rows.schema(), vec![vec![rows]]).expect("table")
    }
}

/// A random way into a column: its expression and its type.
fn path(columns: &Columns, numbers: &mut Numbers) -> (String, Kind) {
    let Some(part) = numbers.pick(&columns.parts) else { return ("id".to_owned(), Kind::Long) };
    let (mut text, mut kind) = (part.name.clone(), part.kind.clone());
    while !numbers.one_in(4) {
        let (step, inner) = match &kind {
            Kind::Row(parts) => match numbers.pick(parts) {
                Some(part) => (format!("['{}']", part.name), part.kind.clone()),
                None => break,
            },
            Kind::List(_, inner) => (format!("[{}]", 1 + numbers.below(2)), inner.as_ref().clone()),
            Kind::Map(_, _, inner) => (format!("['{}']", WORDS[numbers.below(3)]), inner.as_ref().clone()),
            _ => break,
        };
        text.push_str(&step);
        kind = inner;
    }
    (text, kind)
}

fn filter(columns: &Columns, numbers: &mut Numbers) -> String {
    let (path, kind) = path(columns, numbers);
    let comparison = ["=", "<", ">=", "<>", ">"][numbers.below(5)];
    match kind {
        _ if numbers.one_in(6) => format!("{path} IS {}NULL", if numbers.one_in(2) { "NOT " } else { "" }),
        Kind::Int | Kind::Long if numbers.one_in(4) => format!("{path} IN (1, 5, {})", numbers.below(20)),
        Kind::Int | Kind::Long => format!("{path} {comparison} {}", numbers.below(22)),
        Kind::Double => format!("{path} {comparison} {}.5", numbers.below(11)),
        Kind::Text if numbers.one_in(2) => format!("{path} LIKE '{}%'", WORDS[numbers.below(5)]),
        Kind::Text => format!("{path} {comparison} '{}'", WORDS[numbers.below(5)]),
        Kind::Flag => path,
        Kind::Row(_) | Kind::List(..) | Kind::Map(..) => format!("{path} IS NOT NULL"),
    }
}

fn query(columns: &Columns, numbers: &mut Numbers) -> String {
    let filters: Vec<String> = (0..numbers.below(3)).map(|_| filter(columns, numbers)).collect();
    let joined = filters.join(if numbers.one_in(2) { " AND " } else { " OR " });
    let condition = if filters.is_empty() { String::new() } else { format!(" WHERE {joined}") };
    let paths: Vec<(String, Kind)> = (0..=numbers.below(3)).map(|_| path(columns, numbers)).collect();
    let list = |kind: &Kind| matches!(kind, Kind::List(..));
    match (numbers.below(8), paths.first()) {
        (0, _) => format!("SELECT count(*) FROM t{condition}"),
        (1, Some((path, _))) => format!("SELECT count({path}), count(*) FROM t{condition}"),
        (2, _) => format!("SELECT * FROM t{condition}"),
        (3, _) => format!("SELECT id FROM t{condition} ORDER BY id DESC LIMIT {}", 1 + numbers.below(20)),
        (4, Some((path, kind))) if list(kind) => {
            let field = match kind {
                Kind::List(_, inner) => match inner.as_ref() {
                    Kind::Row(parts) => numbers.pick(parts).map(|part| format!("['{}']", part.name)),
                    _ => None,
                },
                _ => None,
            };
            format!("SELECT id, u{} FROM (SELECT id, unnest({path}) AS u FROM t{condition})", field.unwrap_or_default())
        }
        _ => {
            let shown: Vec<String> = paths.iter().enumerate().map(|(number, (path, _))| format!("{path} AS c{number}")).collect();
            format!("SELECT {} FROM t{condition}", shown.join(", "))
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_the_one_of_reading_everything() {
    let (cases, first) = (number_of("WEIR_TEST_CASES", 300), number_of("WEIR_TEST_SEED", 0));
    let mut asked = 0;
    for seed in first..first + cases {
        let mut numbers = Numbers::new(seed + 1);
        let case = Case::new(&mut numbers).await;
        let read = case.table.session(Version::Branch(None), 1 + numbers.below(3)).expect("session");
        let whole = session(1);
        whole.register_table("t", Arc::new(case.expected())).expect("registers");
        for _ in 0..4 {
            let sql = query(&case.columns, &mut numbers);
            let answer = |context: &datafusion::prelude::SessionContext| {
                let (context, sql) = (context.clone(), sql.clone());
                async move { context.sql(&sql).await?.collect().await }
            };
            match (answer(&whole).await, answer(&read).await) {
                (Ok(expected), Ok(found)) => {
                    assert_eq!(lines(&found), lines(&expected), "seed {seed}: {sql}");
                    asked += 1;
                }
                // Not every random query makes sense; then it makes none over either.
                (Err(_), Err(_)) => {}
                (Err(error), Ok(_)) => panic!("seed {seed}: {sql}: only the table in memory says {error}"),
                (Ok(_), Err(error)) => panic!("seed {seed}: {sql}: {error}"),
            }
        }
    }
    assert!(asked >= cases * 3, "only {asked} queries of {} made sense", cases * 4);
}
