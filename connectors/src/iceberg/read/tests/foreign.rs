//! Files that other writers leave: without ids, with INT96, with Arrow's large types, with columns that only the partition has.

use std::sync::Arc;

use arrow_array::{ArrayRef, DictionaryArray, Int32Array, Int64Array, LargeStringArray, RecordBatch, StringArray, StructArray};
use arrow_schema::{DataType, Field, Fields, Schema as ArrowSchema};
use iceberg::spec::{DEFAULT_SCHEMA_NAME_MAPPING, FormatVersion, Literal, NestedField, PrimitiveType, Schema, Struct, StructType, Transform, Type};
use parquet::data_type::{ByteArray, ByteArrayType, Int96, Int96Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use super::history::{History, parquet};

fn schema() -> Schema {
    let optional = |id, name: &str, ty| Arc::new(NestedField::optional(id, name, ty));
    let inner = Type::Struct(StructType::new(vec![
        optional(11, "c", Type::Primitive(PrimitiveType::Long)),
        optional(12, "d", Type::Primitive(PrimitiveType::String)),
    ]));
    let fields = vec![
        optional(1, "id", Type::Primitive(PrimitiveType::Long)),
        optional(2, "s", Type::Primitive(PrimitiveType::String)),
        optional(10, "ev", inner),
    ];
    Schema::builder().with_fields(fields).build().expect("schema")
}

/// Columns without ids, in Arrow's large and dictionary types, which the file's `ARROW:schema` says.
fn without_ids(id: &str, event: &str, leaf: &str) -> RecordBatch {
    let inner = Fields::from(vec![Field::new("d", DataType::LargeUtf8, true), Field::new(leaf, DataType::Int32, true)]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![1, 2])),
        Arc::new(DictionaryArray::new(Int32Array::from(vec![0, 1]), Arc::new(StringArray::from(vec!["x", "y"])))),
        Arc::new(StructArray::new(
            inner.clone(),
            vec![Arc::new(LargeStringArray::from(vec!["p", "q"])), Arc::new(Int32Array::from(vec![10, 20]))],
            None,
        )),
    ];
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let fields = vec![Field::new(id, DataType::Int64, true), Field::new("s", dictionary, true), Field::new(event, DataType::Struct(inner), true)];
    RecordBatch::try_new(Arc::new(ArrowSchema::new(fields)), columns).expect("batch")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_without_ids_is_read_by_the_names_of_today() {
    let mut table = History::new(schema(), &[], FormatVersion::V2);
    let file = table.add(parquet(&without_ids("id", "ev", "c"), 100), None, Struct::empty()).await;
    table.commit(vec![file], Vec::new()).await;
    assert_eq!(table.rows("SELECT id, s, ev['c'], ev['d'] FROM t").await, ["1|x|10|p", "2|y|20|q"]);
    assert_eq!(table.rows("SELECT id FROM t WHERE ev['c'] = 20 AND s = 'y'").await, ["2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_mapping_gives_ids_at_any_depth() {
    let mut table = History::new(schema(), &[], FormatVersion::V2);
    let file = table.add(parquet(&without_ids("old_id", "event", "old_c"), 100), None, Struct::empty()).await;
    let mapping = r#"[{"field-id": 1, "names": ["id", "old_id"]}, {"field-id": 2, "names": ["s"]},
        {"field-id": 10, "names": ["event"], "fields": [{"field-id": 11, "names": ["old_c"]}, {"field-id": 12, "names": ["d"]}]}]"#;
    table.change(|builder| builder.set_properties([(DEFAULT_SCHEMA_NAME_MAPPING.to_owned(), mapping.to_owned())].into()));
    table.commit(vec![file], Vec::new()).await;
    assert_eq!(table.rows("SELECT id, s, ev['c'] FROM t").await, ["1|x|10", "2|y|20"]);
    assert_eq!(table.rows("SELECT count(*) FROM t WHERE ev['d'] = 'q'").await, ["1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn times_in_int96_are_read_beyond_the_years_that_nanoseconds_hold() {
    let time = |id, name: &str, ty| Arc::new(NestedField::optional(id, name, Type::Primitive(ty)));
    let schema = Schema::builder()
        .with_fields(vec![time(1, "at", PrimitiveType::Timestamptz), time(2, "raw", PrimitiveType::String)])
        .build()
        .expect("schema");
    let message = "message spark { optional int96 at = 1; optional binary raw = 2; }";
    let mut writer =
        SerializedFileWriter::new(Vec::new(), Arc::new(parse_message_type(message).expect("schema")), Arc::new(WriterProperties::default()))
            .expect("writer");
    let mut group = writer.next_row_group().expect("group");
    let mut times = group.next_column().expect("next").expect("column");
    // Julian days of 1970-01-02 and 9999-12-31; nanoseconds of the day.
    let of_day = |day: u32, nanos: u64| Int96::from(vec![(nanos & 0xffff_ffff) as u32, (nanos >> 32) as u32, day]);
    let values = [of_day(2_440_589, 1_000), of_day(5_373_484, 0)];
    times.typed::<Int96Type>().write_batch(&values, Some(&[1, 1]), None).expect("writes");
    times.close().expect("closes");
    let mut texts = group.next_column().expect("next").expect("column");
    texts.typed::<ByteArrayType>().write_batch(&[ByteArray::from("a"), ByteArray::from("b")], Some(&[1, 1]), None).expect("writes");
    texts.close().expect("closes");
    group.close().expect("closes");
    let bytes = writer.into_inner().expect("bytes");
    let mut table = History::new(schema, &[], FormatVersion::V2);
    let file = table.add(bytes, None, Struct::empty()).await;
    table.commit(vec![file], Vec::new()).await;
    assert_eq!(table.rows("SELECT CAST(at AS BIGINT), raw FROM t").await, ["253402214400000000|b", "86400000001|a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_only_the_partition_has_is_read_from_it() {
    let mut table = History::new(schema(), &[("s", Transform::Identity)], FormatVersion::V2);
    let rows = without_ids("id", "ev", "c").project(&[0, 2]).expect("columns");
    let file = table.add(parquet(&rows, 100), None, Struct::from_iter([Some(Literal::string("north"))])).await;
    table.commit(vec![file], Vec::new()).await;
    assert_eq!(table.rows("SELECT s, id FROM t WHERE s = 'north'").await, ["north|1", "north|2"]);
    assert!(table.rows("SELECT id FROM t WHERE s = 'south'").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_initial_default_stands_for_a_column_that_old_files_lack() {
    let mut table = History::new(schema(), &[], FormatVersion::V3);
    let file = table.add(parquet(&without_ids("id", "ev", "c"), 100), None, Struct::empty()).await;
    table.commit(vec![file], Vec::new()).await;
    let mut fields = schema().as_struct().fields().to_vec();
    fields.push(Arc::new(NestedField::required(20, "rank", Type::Primitive(PrimitiveType::Int)).with_initial_default(Literal::int(7))));
    table.evolve(Schema::builder().with_schema_id(1).with_fields(fields).build().expect("schema"));
    assert_eq!(table.rows("SELECT id, rank FROM t WHERE rank = 7").await, ["1|7", "2|7"]);
    assert!(table.rows("SELECT id FROM t WHERE rank = 8").await.is_empty());
}
