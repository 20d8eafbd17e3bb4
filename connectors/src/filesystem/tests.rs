//! Files as lookup tables: declarations, and loads of folders.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use arrow_cast::display::array_value_to_string;
use arrow_schema::DataType;
use futures::TryStreamExt;
use parquet::arrow::ArrowWriter;
use weir_base::options::OptionBag;
use weir_base::{Classified, ErrorKind};
use weir_fs::FileSystems;

use super::FilesystemConnector;
use crate::error::ConnectorError;
use crate::lookup::{Charge, Lookup, Newest};
use crate::registry::{Connector, Role};
use crate::table::{ColumnDef, ColumnKind, TableDef, TablePath};

fn table(options: &[(&str, &str)]) -> TableDef {
    let path = TablePath { catalog: "c".to_owned(), database: "d".to_owned(), table: "users".to_owned() };
    let mut bag = OptionBag::new(format!("Table '{path}'"));
    for (key, value) in [("connector", "filesystem")].iter().chain(options) {
        bag.insert(*key, *value, None);
    }
    let column = |(name, data_type, sql_type): (&str, DataType, &str)| ColumnDef {
        name: name.to_owned(),
        data_type,
        nullable: true,
        kind: ColumnKind::Physical,
        sql_type: sql_type.to_owned(),
        comment: None,
    };
    let columns = [("id", DataType::Int64, "BIGINT"), ("dt", DataType::Date32, "DATE"), ("name", DataType::Utf8, "STRING")].map(column);
    TableDef { path, columns: columns.to_vec(), primary_key: Vec::new(), options: bag }
}

fn opened(options: &[(&str, &str)]) -> Result<Arc<dyn Lookup>, String> {
    let opened = FilesystemConnector.lookup(&table(options), &FileSystems::default());
    opened.map(|opened| opened.value.0).map_err(|problems| problems.to_string())
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

fn write(folder: &Path, path: &str, content: &str) {
    let file = folder.join(path);
    std::fs::create_dir_all(file.parent().expect("a folder")).expect("made");
    std::fs::write(file, content).expect("written");
}

/// Ids of INT and names, as Parquet.
fn write_parquet(file: &Path, rows: &[(i32, &str)]) {
    let ids: ArrayRef = Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.0)));
    let names: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.1)));
    let batch = RecordBatch::try_from_iter([("more", Arc::clone(&ids)), ("name", names), ("id", ids)]).expect("a batch");
    std::fs::create_dir_all(file.parent().expect("a folder")).expect("made");
    let mut writer = ArrowWriter::try_new(std::fs::File::create(file).expect("a file"), batch.schema(), None).expect("a writer");
    writer.write(&batch).expect("written");
    writer.close().expect("closed");
}

/// The rows as texts, sorted, and their version; `None` if that is `known`.
async fn loaded(lookup: &Arc<dyn Lookup>, known: Option<&str>) -> Result<Option<(Vec<String>, String)>, ConnectorError> {
    let Some(load) = lookup.load(2, known, Charge::free()).await?.rows() else { return Ok(None) };
    let batches: Vec<RecordBatch> = load.rows.try_collect().await?;
    let mut rows = Vec::new();
    for batch in &batches {
        assert_eq!(batch.schema(), lookup.schema());
        let text = |row: usize| batch.columns().iter().map(move |column| array_value_to_string(column, row).expect("shown")).collect::<Vec<_>>();
        rows.extend((0..batch.num_rows()).map(|row| text(row).join(",")));
    }
    rows.sort_unstable();
    Ok(Some((rows, load.version.expect("files have versions"))))
}

async fn rows(lookup: &Arc<dyn Lookup>) -> Vec<String> {
    loaded(lookup, None).await.expect("loaded").expect("there is nothing known").0
}

async fn told(lookup: &Arc<dyn Lookup>) -> String {
    loaded(lookup, None).await.expect_err("wrong").to_string()
}

#[tokio::test]
async fn files_of_each_format_give_rows_with_the_values_of_their_folders() {
    let folder = folder();
    write(folder.path(), "csv/dt=2026-01-01/a", "1,one\r\n2,\"two, too\"\n");
    write(folder.path(), "csv/dt=2026-01-02/b", "\n3,three");
    write(folder.path(), "csv/dt=__DEFAULT_PARTITION__/c", "4,four\n");
    write(folder.path(), "json/a.json", "{\"id\":1,\"dt\":\"2026-01-01\",\"name\":\"one\"}\n{\"id\":2}\n");
    write_parquet(&folder.path().join("parquet/dt=2026-01-01/a.parquet"), &[(1, "one"), (2, "two")]);
    for (format, expected) in [
        ("csv", vec!["1,2026-01-01,one", "2,2026-01-01,two, too", "3,2026-01-02,three", "4,,four"]),
        ("json", vec!["1,2026-01-01,one", "2,,"]),
        ("parquet", vec!["1,2026-01-01,one", "2,2026-01-01,two"]),
    ] {
        let path = folder.path().join(format).display().to_string();
        assert_eq!(rows(&opened(&[("path", &path), ("format", format)]).expect("fine")).await, expected, "{format}");
    }
    let newest = [("path", &*folder.path().join("csv").display().to_string()), ("format", "csv"), ("scan.partitions", "max_pt()")];
    assert_eq!(rows(&opened(&newest).expect("fine")).await, ["3,2026-01-02,three"]);
    let file = folder.path().join("json/a.json").display().to_string();
    assert_eq!(rows(&opened(&[("path", &file), ("format", "json")]).expect("fine")).await.len(), 2, "a file by itself");
}

#[tokio::test]
async fn a_version_that_is_known_is_not_read_and_a_half_written_one_never() {
    let folder = folder();
    let path = folder.path().display().to_string();
    let lookup = opened(&[("path", &path), ("format", "csv"), ("sink.partition-commit.policy.kind", "success-file")]).expect("fine");
    write(folder.path(), "a", "1,2026-01-01,one\n");
    let error = loaded(&lookup, None).await.expect_err("no marker");
    assert!(error.kind() == ErrorKind::Transient && error.to_string().contains("no folder has the marker '_SUCCESS' yet"), "{error}");
    write(folder.path(), "_SUCCESS", "");
    let (rows, first) = loaded(&lookup, None).await.expect("loaded").expect("new");
    assert_eq!(rows, ["1,2026-01-01,one"]);
    assert_eq!(loaded(&lookup, Some(&first)).await.expect("looked"), None, "it is known");
    std::fs::remove_file(folder.path().join("_SUCCESS")).expect("removed");
    write(folder.path(), "b", "nonsense");
    assert!(matches!(lookup.load(1, Some(&first), Charge::free()).await.expect("looked"), Newest::BeingWritten));
    write(folder.path(), "b", "2,2026-01-01,two\n");
    write(folder.path(), "_SUCCESS", "second");
    let (rows, second) = loaded(&lookup, Some(&first)).await.expect("loaded").expect("new");
    assert_eq!(rows.len(), 2);
    assert_ne!(first, second);
}

#[tokio::test]
async fn files_that_change_while_they_are_read_are_no_version() {
    let folder = folder();
    let path = folder.path().display().to_string();
    write(folder.path(), "a", "1,2026-01-01,one\n");
    let lookup = opened(&[("path", &path), ("format", "csv")]).expect("fine");
    let load = lookup.load(1, None, Charge::free()).await.expect("opened").rows().expect("new");
    write(folder.path(), "b", "2,2026-01-01,two\n");
    let error = load.rows.try_collect::<Vec<_>>().await.expect_err("half of it");
    assert!(error.to_string().contains("written while it was read"), "{error}");
}

#[tokio::test]
async fn what_is_no_row_is_told_with_its_file_and_line() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name).display().to_string();
    write(folder.path(), "csv/a", "1,2026-01-01,one\nmany,2026-01-01,two\n");
    write(folder.path(), "text", "not Parquet");
    write_parquet(&folder.path().join("narrow/a"), &[(1, "one")]);
    write(folder.path(), "odd/dt=never/a", "1,one\n");
    let table = |name: &str, format: &str| opened(&[("path", &path(name)), ("format", format)]).expect("fine");
    let wrong = told(&table("csv", "csv")).await;
    assert!(wrong.contains("/csv/a': line 2: column 'id'") && wrong.contains("'csv.ignore-parse-errors' = 'true' leaves"), "{wrong}");
    assert!(told(&table("text", "parquet")).await.contains("cannot be read as Parquet"));
    let wrong = told(&table("narrow", "parquet")).await;
    assert!(wrong.contains("it has no column 'dt'; it has: more, name, id"), "{wrong}");
    assert!(told(&table("odd", "csv")).await.contains("the value 'never' of its folder is no Date32, which column 'dt' is"));
    assert!(told(&table("nowhere", "csv")).await.contains("nothing is there"));
    let tolerant = [("path", &*path("csv")), ("format", "csv"), ("csv.ignore-parse-errors", "true")];
    let tolerant = opened(&tolerant).expect("fine");
    assert_eq!(rows(&tolerant).await, [",2026-01-01,two", "1,2026-01-01,one"]);
}

#[tokio::test]
async fn columns_that_nobody_wants_are_not_decoded_and_may_hold_anything() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name).display().to_string();
    write(folder.path(), "csv/dt=2026-01-01/a", "1,one\nmany,two\n");
    write(folder.path(), "json/a", "{\"id\":1,\"dt\":\"2026-01-01\",\"name\":\"one\"}\n{\"id\":2,\"dt\":\"never\"}\n");
    write_parquet(&folder.path().join("parquet/a"), &[(1, "one"), (2, "two")]);
    let table = |format: &str| opened(&[("path", &path(format)), ("format", format)]).expect("fine");
    for (format, columns, expected) in [
        ("csv", &[2][..], &["one", "two"][..]),
        ("csv", &[1, 2], &["2026-01-01,one", "2026-01-01,two"]),
        ("json", &[0], &["1", "2"]),
        ("parquet", &[0, 2], &["1,one", "2,two"]),
    ] {
        let whole = table(format);
        told(&whole).await;
        assert_eq!(rows(&whole.narrowed(columns, &[])).await, expected, "{format} {columns:?}");
    }
    assert_eq!(rows(&table("csv").narrowed(&[1], &[])).await, ["2026-01-01", "2026-01-01"], "of the folder alone");
}

#[tokio::test]
async fn lines_that_are_left_out_are_counted_by_load() {
    let folder = folder();
    write(folder.path(), "a", "{\"id\":1}\n{\n\n{\"id\":\n{\"id\":2}\n");
    write(folder.path(), "b", "x\n");
    let path = folder.path().display().to_string();
    let table = opened(&[("path", &path), ("format", "json"), ("json.ignore-parse-errors", "true")]).expect("fine");
    for _ in 0..2 {
        let load = table.load(2, None, Charge::free()).await.expect("opened").rows().expect("new");
        let batches: Vec<RecordBatch> = load.rows.try_collect().await.expect("read");
        let read: usize = batches.iter().map(RecordBatch::num_rows).sum();
        assert_eq!((read, load.skipped.map(|skipped| skipped.load(Ordering::Relaxed))), (2, Some(3)));
    }
}

#[tokio::test]
async fn lines_are_found_wherever_a_piece_of_a_file_ends() {
    let folder = folder();
    let long = "x".repeat(1_500_000);
    let text: String = (0..5_000).map(|id| format!("{id},2026-01-01,{}\n", "y".repeat(id % 700))).collect();
    write(folder.path(), "a", &format!("{text}5000,2026-01-01,{long}\n5001,2026-01-01,{long}"));
    let path = folder.path().display().to_string();
    let load = opened(&[("path", &path), ("format", "csv")]).expect("fine").load(1, None, Charge::free()).await.expect("opened").rows().expect("new");
    let batches: Vec<RecordBatch> = load.rows.try_collect().await.expect("read");
    let ids: Vec<i64> = batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect();
    assert_eq!(ids, (0..5_002).collect::<Vec<_>>());
}

#[test]
fn declarations_that_cannot_be_are_refused() {
    for (options, wanted) in [
        (&[("format", "csv")][..], "One or more required options are missing: 'path'"),
        (&[("path", "/x")], "One or more required options are missing: 'format'"),
        (&[("path", "/x"), ("format", "orc")], "'format'"),
        (&[("path", "nowhere://x"), ("format", "csv")], "Invalid value for option 'path'"),
        (&[("path", "/x"), ("format", "csv"), ("csv.field-delimitr", ";")], "Did you mean 'csv.field-delimiter'?"),
        (&[("path", "/x"), ("format", "csv"), ("source.monitor-interval", "0 s")], "'source.monitor-interval' must be > 0"),
        (&[("path", "/x"), ("format", "csv"), ("lookup.cache", "PARTIAL")], "its cache is FULL"),
    ] {
        let told = opened(options).expect_err("refused");
        assert!(told.contains(wanted), "{told}");
    }
    assert!(opened(&[("path", "/x"), ("format", "parquet"), ("lookup.preload.max-rows", "10")]).is_ok());
    let sink = FilesystemConnector.sink(&table(&[]), &FileSystems::default()).expect_err("no sink").to_string();
    assert!(sink.contains("can only be used as a lookup table") && !FilesystemConnector.supports(Role::Scan), "{sink}");
}
