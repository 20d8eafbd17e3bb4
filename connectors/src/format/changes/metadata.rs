//! What tools tell of a change beside its rows: the metadata columns of a change log, read only.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, Int64Array, MapArray, StringArray};
use arrow_cast::cast;
use arrow_schema::{ArrowError, DataType, Field, TimeUnit};

use super::dialects::Tool;
use crate::registry::MetadataKey;

/// The key under which the metadata of a field says that a decoder of change logs fills it with [`keys`], and with which.
pub const TOLD: &str = "change.told";

/// A metadata column of one tool.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) key: &'static str,
    /// The field of a message.
    pub(super) field: &'static str,
    pub(super) how: How,
}

/// How the field of a message becomes the column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    Same,
    /// So many ticks a second since 1970.
    Ticks(i64),
    /// A text.
    Time,
    /// An entry of an object.
    Entry(&'static str),
    /// An entry that is milliseconds since 1970.
    MillisEntry(&'static str),
    /// As it is, but it stands beside the payload.
    Outside,
}

const fn told(key: &'static str, field: &'static str, how: How) -> Told {
    Told { key, field, how }
}

const DEBEZIUM: &[Told] = &[
    told("value.schema", "schema", How::Outside),
    told("value.ingestion-timestamp", "ts_ms", How::Ticks(1_000)),
    told("value.source.timestamp", "source", How::MillisEntry("ts_ms")),
    told("value.source.database", "source", How::Entry("db")),
    told("value.source.schema", "source", How::Entry("schema")),
    told("value.source.table", "source", How::Entry("table")),
    told("value.source.properties", "source", How::Same),
];
const CANAL: &[Told] = &[
    told("value.database", "database", How::Same),
    told("value.table", "table", How::Same),
    told("value.sql-type", "sqlType", How::Same),
    told("value.pk-names", "pkNames", How::Same),
    told("value.ingestion-timestamp", "ts", How::Ticks(1_000)),
];
const MAXWELL: &[Told] = &[
    told("value.database", "database", How::Same),
    told("value.table", "table", How::Same),
    told("value.primary-key-columns", "primary_key_columns", How::Same),
    told("value.ingestion-timestamp", "ts", How::Ticks(1)),
];
const OGG: &[Told] = &[
    told("value.table", "table", How::Same),
    told("value.primary-keys", "primary_keys", How::Same),
    told("value.ingestion-timestamp", "current_ts", How::Time),
    told("value.event-timestamp", "op_ts", How::Time),
];

impl Tool {
    /// What the tool tells.
    pub(super) fn told(self) -> &'static [Told] {
        match self {
            Self::Debezium => DEBEZIUM,
            Self::Canal => CANAL,
            Self::Maxwell => MAXWELL,
            Self::Ogg => OGG,
        }
    }
}

/// What all tools together tell, as metadata of a connector whose values are their messages.
#[must_use]
pub fn keys() -> Vec<MetadataKey> {
    let key = |key, data_type, doc| MetadataKey { key, data_type, writable: false, doc };
    let time = || DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    vec![
        key("value.schema", DataType::Utf8, "`debezium-json` with `schema-include`: the schema of the payload, as JSON."),
        key("value.ingestion-timestamp", time(), "Change logs: when the tool handled the change."),
        key("value.source.timestamp", time(), "`debezium-json`, `debezium-avro-confluent`: when the database made the change."),
        key("value.source.database", DataType::Utf8, "`debezium-json`, `debezium-avro-confluent`: the database."),
        key("value.source.schema", DataType::Utf8, "`debezium-json`, `debezium-avro-confluent`: the schema of the database."),
        key("value.source.table", DataType::Utf8, "`debezium-json`, `debezium-avro-confluent`: the table."),
        key("value.source.properties", map(DataType::Utf8), "`debezium-json`, `debezium-avro-confluent`: all that it tells of where the change was."),
        key("value.database", DataType::Utf8, "`canal-json`, `maxwell-json`: the database."),
        key("value.table", DataType::Utf8, "`canal-json`, `maxwell-json`, `ogg-json`: the table."),
        key("value.sql-type", map(DataType::Int32), "`canal-json`: numbers of the SQL types, by column."),
        key("value.pk-names", list(), "`canal-json`: the columns of the primary key."),
        key("value.primary-key-columns", list(), "`maxwell-json`: the columns of the primary key."),
        key("value.primary-keys", list(), "`ogg-json`: the columns of the primary key."),
        key("value.event-timestamp", time(), "`ogg-json`: when the database made the change."),
    ]
}

fn map(value: DataType) -> DataType {
    let entries = DataType::Struct(vec![Field::new("key", DataType::Utf8, false), Field::new("value", value, true)].into());
    DataType::Map(Arc::new(Field::new("entries", entries, false)), false)
}

fn list() -> DataType {
    DataType::List(Arc::new(Field::new("item", DataType::Utf8, true)))
}

impl Told {
    /// The type of the field of a message.
    pub(super) fn data_type(&self) -> DataType {
        match self.how {
            How::Ticks(_) => DataType::Int64,
            How::Time | How::Outside => DataType::Utf8,
            How::Entry(_) | How::MillisEntry(_) => map(DataType::Utf8),
            How::Same => keys().into_iter().find(|key| key.key == self.key).map_or(DataType::Utf8, |key| key.data_type),
        }
    }

    /// The column of `declared` type, from the field of a message; what is no time is NULL.
    pub(super) fn column(&self, found: &ArrayRef, declared: &DataType) -> Result<ArrayRef, ArrowError> {
        let time = |unit| DataType::Timestamp(unit, Some("UTC".into()));
        let ticks = |array: &ArrayRef, a_second: i64| {
            let millis: Int64Array = array.as_primitive::<Int64Type>().unary_opt(|ticks| ticks.checked_mul(1_000 / a_second));
            cast(&millis, &time(TimeUnit::Millisecond))
        };
        let array = match self.how {
            How::Same | How::Outside => Arc::clone(found),
            How::Ticks(a_second) => ticks(found, a_second)?,
            How::Time => cast(found, &time(TimeUnit::Microsecond))?,
            How::Entry(name) => entry(found.as_map(), name),
            How::MillisEntry(name) => ticks(&cast(&entry(found.as_map(), name), &DataType::Int64)?, 1_000)?,
        };
        if array.data_type() == declared { Ok(array) } else { cast(&array, declared) }
    }
}

/// The value of an entry in each map.
fn entry(maps: &MapArray, name: &str) -> ArrayRef {
    let (keys, values) = (maps.keys().as_string::<i32>(), maps.values().as_string::<i32>());
    let of_row = |row: usize| {
        let slots = maps.offsets().get(row).zip(maps.offsets().get(row + 1));
        let (start, end) = slots.map_or((0, 0), |(start, end)| (usize::try_from(*start).unwrap_or(0), usize::try_from(*end).unwrap_or(0)));
        let slot = (start..end).find(|slot| keys.value(*slot) == name)?;
        (maps.is_valid(row) && values.is_valid(slot)).then(|| values.value(slot))
    };
    Arc::new((0..maps.len()).map(of_row).collect::<StringArray>())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use arrow_cast::display::array_value_to_string;
    use arrow_schema::{Schema, SchemaRef};
    use weir_base::options::OptionBag;

    use super::*;
    use crate::format::changes::{ChangeFactory, ROW_KIND, canal, debezium, maxwell, ogg};
    use crate::format::{Decoded, FormatFactory};

    /// The rows of `messages`: the id, the kind, and what `told` says.
    fn rows(factory: ChangeFactory, options: &[(&str, &str)], told: &[&str], messages: &[&str]) -> Vec<String> {
        let mut bag = OptionBag::new("Table 'c.d.t'");
        for (key, value) in options {
            bag.insert(format!("f.{key}"), *value, None);
        }
        let mut fields = vec![Field::new("id", DataType::Int64, true)];
        let declared: SchemaRef = Arc::new(Schema::new(fields.clone()));
        let format = factory.open("f.", &mut bag, &declared).expect("format");
        for key in told {
            let offered = factory.metadata().into_iter().find(|offered| offered.key == *key).expect("offered");
            fields.push(Field::new(*key, offered.data_type, true).with_metadata(HashMap::from([(TOLD.to_owned(), (*key).to_owned())])));
        }
        fields.insert(1, Field::new(ROW_KIND, DataType::Utf8, false));
        let mut decoder = format.decoder(&Arc::new(Schema::new(fields)));
        for message in messages {
            assert!(matches!(decoder.push(message.as_bytes()), Decoded::Row | Decoded::Rows(_) | Decoded::Nothing), "{message}");
        }
        let batch = decoder.take().expect("batch");
        let value =
            |column: &ArrayRef, row| if column.is_null(row) { "NULL".to_owned() } else { array_value_to_string(column, row).expect("display") };
        (0..batch.num_rows()).map(|row| batch.columns().iter().map(|column| value(column, row)).collect::<Vec<_>>().join(" ")).collect()
    }

    #[test]
    fn debezium_tells_where_and_when_a_change_was_made() {
        let event = |id: u8, op: &str| {
            format!(
                r#"{{"before":{{"id":{id}}},"after":{{"id":{id}}},"source":{{"connector":"mysql","db":"inventory","schema":null,"table":"t{id}","ts_ms":1465581029100}},"op":"{op}","ts_ms":1465581029523}}"#
            )
        };
        let told = ["value.source.table", "value.source.database", "value.source.schema", "value.source.timestamp", "value.ingestion-timestamp"];
        let messages = [event(1, "c"), r#"{"status":"BEGIN","id":"x"}"#.to_owned(), event(2, "u"), event(3, "d")];
        let tail = "inventory NULL 2016-06-10T17:50:29.100Z 2016-06-10T17:50:29.523Z";
        let expected = [format!("1 +I t1 {tail}"), format!("2 -U t2 {tail}"), format!("2 +U t2 {tail}"), format!("3 -D t3 {tail}")];
        let messages = messages.each_ref().map(String::as_str);
        assert_eq!(rows(debezium(), &[], &told, &messages), expected);

        let bare = r#"{"after":{"id":7},"op":"c","source":{"a":1,"b":"x"}}"#;
        let told = ["value.schema", "value.source.timestamp", "value.source.properties", "value.source.database"];
        assert_eq!(rows(debezium(), &[], &told, &[bare]), ["7 +I NULL NULL {a: 1, b: x} NULL"]);
        let enveloped = format!(r#"{{"schema":{{"type":"struct"}},"payload":{bare}}}"#);
        let shown = rows(debezium(), &[("schema-include", "true")], &told, &["{\"payload\":null}", &enveloped]);
        assert_eq!(shown, [r#"7 +I {"type":"struct"} NULL {a: 1, b: x} NULL"#]);
    }

    #[test]
    fn the_other_tools_tell_tables_keys_and_times_of_each_row() {
        let message = r#"{"data":[{"id":"1"},{"id":"2"}],"database":"inventory","isDdl":false,"old":null,"pkNames":["id"],"sqlType":{"id":4},"table":"products","ts":1589373560798,"type":"INSERT"}"#;
        let told = ["value.database", "value.table", "value.sql-type", "value.pk-names", "value.ingestion-timestamp"];
        let tail = "inventory products {id: 4} [id] 2020-05-13T12:39:20.798Z";
        assert_eq!(rows(canal(), &[], &told, &[message]), [format!("1 +I {tail}"), format!("2 +I {tail}")]);

        let message = r#"{"database":"test","table":"e","type":"delete","ts":1477053217,"primary_key_columns":["id","c"],"data":{"id":1}}"#;
        let told = ["value.database", "value.table", "value.primary-key-columns", "value.ingestion-timestamp"];
        assert_eq!(rows(maxwell(), &[], &told, &[message]), ["1 -D test e [id, c] 2016-10-21T12:33:37Z"]);

        let message = r#"{"table":"SH.P","op_type":"I","op_ts":"2020-05-13 15:40:06.000001","current_ts":"2020-05-13T15:40:07.5","primary_keys":["ID"],"after":{"id":1}}"#;
        let strange = r#"{"table":"SH.P","op_type":"I","op_ts":"now","after":{"id":2}}"#;
        let told = ["value.table", "value.primary-keys", "value.event-timestamp", "value.ingestion-timestamp"];
        let expected = ["1 +I SH.P [ID] 2020-05-13T15:40:06.000001Z 2020-05-13T15:40:07.500Z", "2 +I SH.P NULL NULL NULL"];
        assert_eq!(rows(ogg(), &[], &told, &[message, strange]), expected);
    }

    #[test]
    fn each_tool_offers_what_it_tells_and_nothing_is_offered_that_none_does() {
        let tools = [Tool::Debezium, Tool::Canal, Tool::Maxwell, Tool::Ogg];
        let mut offered: Vec<&str> = keys().iter().map(|key| key.key).collect();
        let mut told: Vec<&str> = tools.iter().flat_map(|tool| tool.told()).map(|told| told.key).collect();
        offered.sort_unstable();
        told.sort_unstable();
        told.dedup();
        assert_eq!(offered, told);
    }
}
