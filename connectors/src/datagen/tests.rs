//! The datagen connector as a whole.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int8Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, Field, Fields, TimeUnit};
use weir_base::memory::MemoryBudget;
use weir_base::options::OptionBag;

use super::source::frontier_after;
use super::{DatagenConnector, open};
use crate::registry::{Connector, Role};
use crate::source::{Cut, Read, SplitId, SplitPosition, StreamSource};
use crate::table::{ColumnDef, ColumnKind, TableDef, TablePath};

fn table(columns: &[(&str, DataType, &str)], options: &[(&str, &str)]) -> TableDef {
    let mut bag = OptionBag::new("Table 'c.d.t'");
    bag.insert("connector", "datagen", None);
    for (key, value) in options {
        bag.insert(*key, *value, None);
    }
    let column = |(name, data_type, sql_type): &(&str, DataType, &str)| ColumnDef {
        name: (*name).to_owned(),
        data_type: data_type.clone(),
        nullable: !sql_type.contains("NOT NULL"),
        kind: ColumnKind::Physical,
        sql_type: (*sql_type).to_owned(),
        comment: None,
    };
    let path = TablePath { catalog: "c".to_owned(), database: "d".to_owned(), table: "t".to_owned() };
    TableDef { path, columns: columns.iter().map(column).collect(), primary_key: vec![], options: bag }
}

fn source(table: &TableDef) -> super::source::DatagenSource {
    super::source::DatagenSource::new(open(table).expect("declaration").value, "Table 'c.d.t'")
}

async fn read(source: &dyn StreamSource, split: &str, from: &SplitPosition, until: i64) -> RecordBatch {
    let all: Vec<usize> = (0..source.schema().fields().len()).collect();
    let mut reader = source.reader(&SplitId(split.to_owned()), from, &all, &MemoryBudget::new(0)).await.expect("reader");
    let mut batches = Vec::new();
    while let Read::Rows { batch, position } = reader.next(until).await.expect("rows") {
        assert_eq!(position, reader.position());
        batches.push(batch);
    }
    arrow_select::concat::concat_batches(&source.schema(), &batches).expect("one schema")
}

fn every_type() -> TableDef {
    let row = DataType::Struct(Fields::from(vec![Field::new("x", DataType::Int8, true), Field::new("y", DataType::Utf8, true)]));
    let entries = Fields::from(vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Float64, true)]);
    let map = DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries), false)), false);
    let columns = [
        ("b", DataType::Boolean, "BOOLEAN"),
        ("i", DataType::Int64, "BIGINT"),
        ("f", DataType::Float32, "FLOAT"),
        ("d", DataType::Decimal128(38, 4), "DECIMAL(38, 4)"),
        ("s", DataType::Utf8, "VARCHAR(7)"),
        ("v", DataType::Binary, "BYTES"),
        ("h", DataType::FixedSizeBinary(3), "BINARY(3)"),
        ("dt", DataType::Date32, "DATE"),
        ("tm", DataType::Time64(TimeUnit::Microsecond), "TIME"),
        ("ts", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), "TIMESTAMP_LTZ(3)"),
        ("r", row, "ROW<x TINYINT, y STRING>"),
        ("l", DataType::List(Arc::new(Field::new("element", DataType::Int64, true))), "ARRAY<BIGINT>"),
        ("m", map, "MAP<STRING, DOUBLE>"),
        ("n", DataType::Int64, "BIGINT"),
    ];
    let options = [
        ("rows-per-second", "1000"),
        ("scan.parallelism", "2"),
        ("fields.n.kind", "sequence"),
        ("fields.n.start", "100"),
        ("fields.n.end", "20099"),
        ("fields.i.null-rate", "0.5"),
        ("fields.r.x.min", "-3"),
        ("fields.r.x.max", "3"),
        ("fields.l.length", "2"),
        ("fields.l.element.min", "0"),
        ("fields.m.length", "3"),
        ("fields.v.var-len", "true"),
        ("fields.ts.max-past", "1 s"),
    ];
    table(&columns, &options)
}

#[tokio::test]
async fn a_split_reads_the_same_rows_from_any_position_in_any_run() {
    let first = source(&every_type());
    let start = first.enumerator(None).await.expect("enumerator").start().clone();
    let all = read(&first, "1", &start[&SplitId("1".to_owned())], i64::MAX).await;
    assert_eq!(all.num_rows(), 10_000);
    let sequence = all.column(13).as_primitive::<Int64Type>();
    assert!(sequence.values().iter().copied().eq((0..10_000).map(|row| 100 + 1 + row * 2)));

    let again = source(&every_type());
    let cut: Cut = [(SplitId("1".to_owned()), SplitPosition { offset: 9_000, ..start[&SplitId("1".to_owned())].clone() })].into();
    let restored = again.enumerator(Some(&cut)).await.expect("enumerator").start().clone();
    assert_eq!(restored[&SplitId("1".to_owned())], cut[&SplitId("1".to_owned())]);
    assert_eq!(read(&again, "1", &restored[&SplitId("1".to_owned())], 9_500).await, all.slice(9_000, 500));
}

#[tokio::test]
async fn values_keep_to_their_options() {
    let source = source(&every_type());
    let start = source.enumerator(None).await.expect("enumerator").start().clone();
    let begin = chrono::Utc::now().timestamp_micros();
    let rows = read(&source, "0", &start[&SplitId("0".to_owned())], i64::MAX).await;
    let x = rows.column(10).as_struct().column(0).as_primitive::<Int8Type>();
    assert_eq!(x.values().iter().copied().collect::<HashSet<_>>(), (-3..=3).collect());
    let nulls = rows.column(1).null_count();
    assert!((4_500..5_500).contains(&nulls), "{nulls}");
    assert!(rows.column(4).as_string::<i32>().iter().flatten().all(|text| text.len() == 7), "VARCHAR(7)");
    let lengths: HashSet<usize> = rows.column(5).as_binary::<i32>().iter().flatten().map(<[u8]>::len).collect();
    assert!(lengths.len() == 100 && !lengths.contains(&0));
    assert!(rows.column(11).as_list::<i32>().values().as_primitive::<Int64Type>().values().iter().all(|value| *value >= 0));
    // Row 20,000 is due 20 s after the first.
    let last = rows.column(9).as_primitive::<TimestampMicrosecondType>().value(9_999) - begin;
    assert!((18_000_000..=20_000_000).contains(&last), "{last}");
}

#[tokio::test]
async fn rows_become_readable_at_the_rate_and_end() {
    let table = table(&[("i", DataType::Int64, "BIGINT")], &[("rows-per-second", "10"), ("number-of-rows", "25"), ("scan.parallelism", "2")]);
    let rows = open(&table).expect("declaration").value;
    let source = source(&table);
    assert!(source.is_bounded());
    let start = source.enumerator(None).await.expect("enumerator").start().clone();
    let seen = (0..4).map(|second| {
        let frontier = frontier_after(&rows, &start, 0, Duration::from_secs(second));
        (frontier.ends.values().map(|end| end.offset).collect::<Vec<_>>(), frontier.finished)
    });
    assert_eq!(seen.collect::<Vec<_>>(), [(vec![0, 0], false), (vec![5, 5], false), (vec![10, 10], false), (vec![13, 12], true)]);
}

#[tokio::test]
async fn a_checkpoint_of_another_parallelism_is_refused() {
    let with = |splits: &str| source(&table(&[("i", DataType::Int64, "BIGINT")], &[("scan.parallelism", splits)]));
    let cut = with("2").enumerator(None).await.expect("enumerator").start().clone();
    let error = with("3").enumerator(Some(&cut)).await.expect_err("another number of splits").to_string();
    assert!(error.contains("made with 'scan.parallelism' = '2', and the table has '3'"), "{error}");
}

#[tokio::test]
async fn a_bounded_table_is_a_table_of_batch_queries() {
    let connector = DatagenConnector;
    let columns = [("i", DataType::Int64, "BIGINT"), ("s", DataType::Utf8, "STRING")];
    let options = [
        ("number-of-rows", "20000"),
        ("scan.parallelism", "3"),
        ("fields.i.kind", "sequence"),
        ("fields.i.start", "1"),
        ("fields.i.end", "10000000"),
    ];
    let file_systems = weir_fs::FileSystems::default();
    let opened = connector.scan(&table(&columns, &options), &file_systems).expect("bounded").value;
    let context = datafusion::prelude::SessionContext::new();
    context.register_table("t", opened.provider().await.expect("provider")).expect("registered");
    let answer = context.sql("SELECT count(*), sum(i), count(DISTINCT s) FROM t").await.expect("plan").collect().await.expect("rows");
    let value = |column: usize| answer[0].column(column).as_primitive::<Int64Type>().value(0);
    assert_eq!((value(0), value(1), value(2)), (20_000, 20_000 * 20_001 / 2, 20_000));
    let problems = connector.scan(&table(&columns, &[]), &file_systems).expect_err("unbounded").to_string();
    assert!(problems.contains("[OPT-005] Table 'c.d.t': 'number-of-rows' is required in a batch query but missing"), "{problems}");
    assert!(!connector.supports(Role::Sink));
}

#[test]
fn every_wrong_option_is_said() {
    let columns = [
        ("i", DataType::Int8, "TINYINT"),
        ("j", DataType::Int64, "BIGINT NOT NULL"),
        ("c", DataType::Utf8, "CHAR(5)"),
        ("v", DataType::Utf8, "VARCHAR(5)"),
        ("k", DataType::Int64, "BIGINT"),
        ("o", DataType::Duration(TimeUnit::Millisecond), "INTERVAL DAY TO SECOND(3)"),
        ("l", DataType::List(Arc::new(Field::new("element", DataType::Int64, true))), "ARRAY<BIGINT>"),
    ];
    let options = [
        ("rows-per-second", "0"),
        ("fields.i.max", "128"),
        ("fields.j.null-rate", "0.1"),
        ("fields.c.length", "3"),
        ("fields.v.length", "6"),
        ("fields.k.kind", "sequence"),
        ("fields.k.start", "1"),
        ("fields.l.element.kind", "sequence"),
        ("fields.l.null-rate", "2"),
        ("fields.m.min", "1"),
    ];
    let text = open(&table(&columns, &options)).expect_err("problems").to_string();
    for part in [
        "'rows-per-second' must be >= 1, but is 0.",
        "Invalid value for option 'fields.i.max': '128' is not a value of the column's type.",
        "'fields.j.null-rate' must be 0 because the column is NOT NULL.",
        "Unsupported options found for 'datagen': 'fields.c.length'.",
        "'fields.v.length' must be <= 5, but is 6.",
        "'fields.k.end' is required in a sequence but missing.",
        "cannot make values of column 'o'",
        "'fields.l.element.kind' must be 'random' for the elements of arrays and maps.",
        "'fields.l.null-rate' must be from 0 to 1, but is 2.",
        "Unsupported options found for 'datagen': 'fields.m.min'.",
    ] {
        assert!(text.contains(part), "{part}\nnot in\n{text}");
    }
}
