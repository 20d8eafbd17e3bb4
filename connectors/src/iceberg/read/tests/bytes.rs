//! How many bytes of a nested table are read for each kind of path: those of its leaves, and hardly any more.

use std::sync::Arc;

use arrow_array::builder::{Int32Builder, ListBuilder, MapBuilder, MapFieldNames, StringBuilder, StructBuilder};
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StructArray};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType, Field, Fields, Schema as ArrowSchema};
use iceberg::spec::{FormatVersion, ListType, MapType, NestedField, PrimitiveType, Schema, Struct, StructType, Type};
use parquet::file::metadata::ParquetMetaData;

use super::history::{History, footer, lines, number_of};
use crate::iceberg::types::{conform_batch, file_schema, plain_schema};

/// `id, ev<a, b<c, d>>, tags array<row<k, v>>, m map<text, row<x, y>>`.
fn nested() -> Schema {
    let optional = |id, name: &str, ty| Arc::new(NestedField::optional(id, name, ty));
    let int = || Type::Primitive(PrimitiveType::Int);
    let text = || Type::Primitive(PrimitiveType::String);
    let inner = Type::Struct(StructType::new(vec![optional(12, "c", int()), optional(13, "d", text())]));
    let event = Type::Struct(StructType::new(vec![optional(10, "a", text()), optional(11, "b", inner)]));
    let pair = Type::Struct(StructType::new(vec![optional(21, "k", text()), optional(22, "v", text())]));
    let tags = Type::List(ListType::new(Arc::new(NestedField::list_element(20, pair, false))));
    let value = Type::Struct(StructType::new(vec![optional(32, "x", int()), optional(33, "y", text())]));
    let map = Type::Map(MapType::new(Arc::new(NestedField::map_key_element(30, text())), Arc::new(NestedField::map_value_element(31, value, false))));
    let id = Arc::new(NestedField::required(1, "id", Type::Primitive(PrimitiveType::Long)));
    Schema::builder().with_fields(vec![id, optional(2, "ev", event), optional(3, "tags", tags), optional(4, "m", map)]).build().expect("schema")
}

fn scattered(row: i64, salt: u64) -> u64 {
    (row.cast_unsigned() ^ salt).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31).wrapping_mul(0xd134_2543_de82_ef95)
}

fn word(row: i64, salt: u64) -> String {
    format!("{:016x}", scattered(row, salt))
}

/// Rows with nulls at every level, empty lists and maps, texts that do not compress.
fn rows(count: i64) -> RecordBatch {
    let small = |row: i64| i32::try_from(scattered(row, 1) % 1_000_000).expect("small");
    let nullable = |name: &str, data_type| Field::new(name, data_type, true);
    let inner_fields = Fields::from(vec![nullable("c", DataType::Int32), nullable("d", DataType::Utf8)]);
    let present = |every: i64| Some(NullBuffer::from((0..count).map(|row| row % every != 0).collect::<Vec<bool>>()));
    let c: ArrayRef = Arc::new((0..count).map(|row| (row % 11 != 0).then(|| small(row))).collect::<arrow_array::Int32Array>());
    let d: ArrayRef = Arc::new((0..count).map(|row| Some(word(row, 2))).collect::<arrow_array::StringArray>());
    let inner: ArrayRef = Arc::new(StructArray::new(inner_fields.clone(), vec![c, d], present(19)));
    let a: ArrayRef = Arc::new((0..count).map(|row| Some(word(row, 3) + &word(row, 4) + &word(row, 5))).collect::<arrow_array::StringArray>());
    let event_fields = Fields::from(vec![nullable("a", DataType::Utf8), nullable("b", DataType::Struct(inner_fields))]);
    let event: ArrayRef = Arc::new(StructArray::new(event_fields, vec![a, inner], present(23)));

    let pair = Fields::from(vec![nullable("k", DataType::Utf8), nullable("v", DataType::Utf8)]);
    let mut tags = ListBuilder::new(StructBuilder::from_fields(pair, 0));
    let names = MapFieldNames { entry: "key_value".to_owned(), key: "key".to_owned(), value: "value".to_owned() };
    let value = Fields::from(vec![nullable("x", DataType::Int32), nullable("y", DataType::Utf8)]);
    let mut map = MapBuilder::new(Some(names), StringBuilder::new(), StructBuilder::from_fields(value, 0));
    for row in 0..count {
        for element in 0..row % 3 {
            let pair = tags.values();
            pair.field_builder::<StringBuilder>(0).expect("k").append_value(format!("k{}", (row + element) % 5));
            pair.field_builder::<StringBuilder>(1).expect("v").append_value(word(row, 6 + element.cast_unsigned()));
            pair.append(true);
        }
        tags.append(row % 29 != 0);
        for key in ["x", "z"].into_iter().take(usize::try_from(row % 3).expect("small")) {
            map.keys().append_value(key);
            let value = map.values();
            value.field_builder::<Int32Builder>(0).expect("x").append_value(small(row));
            value.field_builder::<StringBuilder>(1).expect("y").append_value(word(row, 9));
            value.append(true);
        }
        map.append(true).expect("entries");
    }
    let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from_iter_values(0..count)), event, Arc::new(tags.finish()), Arc::new(map.finish())];
    let names = ["id", "ev", "tags", "m"];
    let fields: Vec<Field> = names.iter().zip(&columns).map(|(name, column)| Field::new(*name, column.data_type().clone(), true)).collect();
    let read = RecordBatch::try_new(Arc::new(ArrowSchema::new(fields)), columns).expect("rows");
    conform_batch(&read, &plain_schema(&file_schema(&nested()).expect("schema"))).expect("conforms")
}

/// Bytes of leaves, and of what stands behind all leaves.
fn sizes(footer: &ParquetMetaData, file: u64, leaves: &[&str]) -> (u64, u64) {
    let mut wanted = 0;
    let mut end = 0;
    for column in footer.row_groups().iter().flat_map(|group| group.columns()) {
        let (start, length) = column.byte_range();
        end = end.max(start + length);
        if leaves.contains(&column.column_path().string().as_str()) {
            wanted += length;
        }
    }
    (wanted, file - end)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_path_reads_the_bytes_of_its_leaves_and_hardly_any_more() {
    let count = i64::try_from(number_of("WEIR_TEST_ROWS", 200_000)).expect("a number of rows");
    let mut table = History::new(nested(), &[], FormatVersion::V2);
    let file = table.write(&rows(count), Struct::empty(), usize::try_from(count / 4).expect("small")).await;
    let location = table.file_systems.resolve(file.file_path()).expect("resolves");
    let stored = object_store::ObjectStoreExt::get(&location.store, &location.path).await.expect("there").bytes().await.expect("bytes");
    let footer = footer(&stored);
    let size = file.file_size_in_bytes();
    table.commit(vec![file], Vec::new()).await;

    let cases: [(&str, &[&str]); 12] = [
        ("SELECT sum(ev['b']['c']) FROM t", &["ev.b.c"]),
        ("SELECT ev['b'] FROM t", &["ev.b.c", "ev.b.d"]),
        ("SELECT count(ev['b']['d']) FROM t WHERE ev['b']['c'] >= 0", &["ev.b.c", "ev.b.d"]),
        ("SELECT tags[1]['k'] FROM t", &["tags.list.element.k"]),
        ("SELECT u['k'] FROM (SELECT unnest(tags) AS u FROM t)", &["tags.list.element.k"]),
        ("SELECT id, u['k'] FROM (SELECT id, unnest(tags) AS u FROM t)", &["id", "tags.list.element.k"]),
        ("SELECT m['x']['y'] FROM t", &["m.key_value.key", "m.key_value.value.y"]),
        ("SELECT map_keys(m) FROM t", &["m.key_value.key", "m.key_value.value.x"]),
        ("SELECT ev['b']['c'], tags[1]['k'] FROM t", &["ev.b.c", "tags.list.element.k"]),
        ("SELECT ev['b'], m['x']['x'] FROM t", &["ev.b.c", "ev.b.d", "m.key_value.key", "m.key_value.value.x"]),
        ("SELECT m['x']['y'], u['k'] FROM (SELECT m, unnest(tags) AS u FROM t)", &["m.key_value.key", "m.key_value.value.y", "tags.list.element.k"]),
        ("SELECT count(*) FROM t", &[]),
    ];
    for (sql, leaves) in cases {
        let before = table.read_so_far();
        let read = table.query(sql).await;
        let after = table.read_so_far();
        assert!(!lines(&read).is_empty());
        let (wanted, tail) = sizes(&footer, size, leaves);
        let bytes = after.1 - before.1;
        if leaves.is_empty() {
            assert_eq!(after, before, "{sql}: the metadata knows the number of rows");
            continue;
        }
        assert!(wanted > 0 && bytes >= wanted, "{sql}: {bytes} bytes cannot be all of {wanted}");
        assert!(bytes <= wanted + wanted / 50 + tail, "{sql}: {bytes} bytes read for {wanted} of leaves and {tail} of footer");
    }
}
