//! Metadata columns: what the connector offers, and how whole columns of it are built beside the decoded ones.

use std::sync::Arc;

use arrow_array::builder::{ArrayBuilder as _, BinaryBuilder, Int32Builder, StringBuilder, TimestampMillisecondBuilder};
use arrow_array::{Array as _, ArrayRef, Int32Array, Int64Array, ListArray, MapArray, StringArray, StructArray};
use arrow_buffer::{OffsetBuffer, ScalarBuffer};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Fields, TimeUnit};

use super::ffi::{Message, TimestampKind};
use crate::registry::MetadataKey;

/// A metadata key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Metadata {
    Topic,
    Partition,
    Offset,
    Timestamp,
    TimestampType,
    LeaderEpoch,
    Headers,
    HeaderList,
}

impl Metadata {
    /// The key named so.
    pub(super) fn of(key: &str) -> Option<Self> {
        Some(match key {
            "topic" => Self::Topic,
            "partition" => Self::Partition,
            "offset" => Self::Offset,
            "timestamp" => Self::Timestamp,
            "timestamp-type" => Self::TimestampType,
            "leader-epoch" => Self::LeaderEpoch,
            "headers" => Self::Headers,
            "header-list" => Self::HeaderList,
            _ => return None,
        })
    }

    /// Whether a value may be missing even where the column is declared NOT NULL.
    pub(super) fn may_be_null(self) -> bool {
        matches!(self, Self::LeaderEpoch)
    }

    /// Whether a column may be declared with type `declared`.
    pub(super) fn fits(self, declared: &DataType) -> bool {
        match self {
            Self::Topic | Self::TimestampType => matches!(declared, DataType::Utf8),
            Self::Partition | Self::Offset | Self::LeaderEpoch => declared.is_numeric() || matches!(declared, DataType::Utf8),
            Self::Timestamp => matches!(declared, DataType::Timestamp(..) | DataType::Utf8),
            Self::Headers => matches!(declared, DataType::Map(entries, _) if header_fields(entries.data_type()).is_some()),
            Self::HeaderList => matches!(declared, DataType::List(item) if header_fields(item.data_type()).is_some()),
        }
    }
}

/// The fields of a name and a value, whatever they are called.
fn header_fields(data_type: &DataType) -> Option<&Fields> {
    match data_type {
        DataType::Struct(fields) => {
            let types: Vec<&DataType> = fields.iter().map(|field| field.data_type()).collect();
            (types == [&DataType::Utf8, &DataType::Binary]).then_some(fields)
        }
        _ => None,
    }
}

/// What the connector offers.
pub(super) fn keys() -> Vec<MetadataKey> {
    let header =
        |value: &'static str| DataType::Struct(vec![Field::new("key", DataType::Utf8, false), Field::new(value, DataType::Binary, true)].into());
    let map = DataType::Map(Arc::new(Field::new("entries", header("value"), false)), false);
    let list = DataType::List(Arc::new(Field::new("item", header("value"), true)));
    let key = |key, data_type, writable, doc| MetadataKey { key, data_type, writable, doc };
    vec![
        key("topic", DataType::Utf8, true, "Topic of the record."),
        key("partition", DataType::Int32, false, "Partition of the record."),
        key("offset", DataType::Int64, false, "Offset of the record in its partition."),
        key("timestamp", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true, "Timestamp of the record."),
        key("timestamp-type", DataType::Utf8, false, "`NoTimestampType`, `CreateTime` or `LogAppendTime`."),
        key("leader-epoch", DataType::Int32, false, "Leader epoch of the record, NULL if the broker tells none."),
        key("headers", map, true, "Headers; of several with one name the last."),
        key("header-list", list, true, "Headers in order, all of them."),
    ]
}

/// A metadata column that is being built.
#[derive(Debug)]
pub(super) struct MetadataColumn {
    kind: Metadata,
    declared: DataType,
    nullable: bool,
    values: Values,
}

#[derive(Debug)]
enum Values {
    /// Known without the messages.
    Given,
    Time(TimestampMillisecondBuilder),
    Text(StringBuilder),
    Number(Int32Builder),
    Headers(Headers),
}

#[derive(Debug)]
struct Headers {
    names: StringBuilder,
    values: BinaryBuilder,
    ends: Vec<i32>,
    last_wins: bool,
    row: Vec<(String, Option<Vec<u8>>)>,
}

impl MetadataColumn {
    /// An empty column of `kind`, for a declared `field`.
    pub(super) fn new(kind: Metadata, field: &Field) -> Self {
        let values = match kind {
            Metadata::Topic | Metadata::Partition | Metadata::Offset => Values::Given,
            Metadata::Timestamp => Values::Time(TimestampMillisecondBuilder::new().with_timezone("UTC")),
            Metadata::TimestampType => Values::Text(StringBuilder::new()),
            Metadata::LeaderEpoch => Values::Number(Int32Builder::new()),
            Metadata::Headers | Metadata::HeaderList => Values::Headers(Headers::new(kind == Metadata::Headers)),
        };
        Self { kind, declared: field.data_type().clone(), nullable: field.is_nullable(), values }
    }

    /// Appends the value of `message`.
    pub(super) fn push(&mut self, message: Message<'_>) {
        match &mut self.values {
            Values::Given => {}
            Values::Time(times) => match message.timestamp() {
                (_, TimestampKind::None) if self.nullable => times.append_null(),
                (time, _) => times.append_value(time),
            },
            Values::Text(texts) => texts.append_value(match message.timestamp().1 {
                TimestampKind::None => "NoTimestampType",
                TimestampKind::Create => "CreateTime",
                TimestampKind::LogAppend => "LogAppendTime",
            }),
            Values::Number(numbers) => numbers.append_option(message.leader_epoch()),
            Values::Headers(headers) => headers.push(message),
        }
    }

    /// The column; it is empty again.
    pub(super) fn finish(&mut self, topic: &str, partition: i32, offsets: &[i64]) -> Result<ArrayRef, ArrowError> {
        let array: ArrayRef = match &mut self.values {
            Values::Given => match self.kind {
                Metadata::Topic => Arc::new(StringArray::from_iter_values(std::iter::repeat_n(topic, offsets.len()))),
                Metadata::Partition => Arc::new(Int32Array::from_value(partition, offsets.len())),
                _ => Arc::new(Int64Array::from(offsets.to_vec())),
            },
            Values::Time(times) => Arc::new(times.finish()),
            Values::Text(texts) => Arc::new(texts.finish()),
            Values::Number(numbers) => Arc::new(numbers.finish()),
            Values::Headers(headers) => return headers.finish(&self.declared),
        };
        if array.data_type() == &self.declared {
            return Ok(array);
        }
        cast_with_options(&array, &self.declared, &CastOptions { safe: false, ..CastOptions::default() })
    }
}

impl Headers {
    fn new(last_wins: bool) -> Self {
        Self { names: StringBuilder::new(), values: BinaryBuilder::new(), ends: vec![0], last_wins, row: Vec::new() }
    }

    fn push(&mut self, message: Message<'_>) {
        self.row.clear();
        let (row, last_wins) = (&mut self.row, self.last_wins);
        message.headers(|name, value| {
            let value = value.map(<[u8]>::to_vec);
            match row.iter_mut().find(|(known, _)| last_wins && known == name) {
                Some(known) => known.1 = value,
                None => row.push((name.to_owned(), value)),
            }
        });
        self.append_row();
    }

    fn append_row(&mut self) {
        for (name, value) in &self.row {
            self.names.append_value(name);
            self.values.append_option(value.as_deref());
        }
        self.ends.push(i32::try_from(self.names.len()).unwrap_or(i32::MAX));
    }

    fn finish(&mut self, declared: &DataType) -> Result<ArrayRef, ArrowError> {
        let ends = std::mem::replace(&mut self.ends, vec![0]);
        let ends = OffsetBuffer::new(ScalarBuffer::from(ends));
        let columns: Vec<ArrayRef> = vec![Arc::new(self.names.finish()), Arc::new(self.values.finish())];
        let entries = |field: &FieldRef| match header_fields(field.data_type()) {
            Some(fields) => StructArray::try_new(fields.clone(), columns.clone(), None),
            None => Err(ArrowError::SchemaError("headers have a name and a value".to_owned())),
        };
        Ok(match declared {
            DataType::Map(field, ordered) => Arc::new(MapArray::try_new(Arc::clone(field), ends, entries(field)?, None, *ordered)?),
            DataType::List(field) => Arc::new(ListArray::try_new(Arc::clone(field), ends, Arc::new(entries(field)?), None)?),
            other => return Err(ArrowError::SchemaError(format!("headers cannot be {other}"))),
        })
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::cast::AsArray as _;
    use arrow_array::types::Int32Type;

    use super::*;

    #[test]
    fn every_key_fits_the_type_it_is_offered_with() {
        for key in keys() {
            let kind = Metadata::of(key.key).expect("a known key");
            assert!(kind.fits(&key.data_type), "{}", key.key);
        }
        assert!(Metadata::Partition.fits(&DataType::Int64) && Metadata::Offset.fits(&DataType::Utf8));
        assert!(!Metadata::Topic.fits(&DataType::Int32) && !Metadata::Headers.fits(&DataType::Utf8));
        assert_eq!(Metadata::of("value.source.timestamp"), None);
    }

    #[test]
    fn given_columns_are_cast_and_an_overflow_is_an_error() {
        let field = Field::new("o", DataType::Int32, false);
        let mut offsets = MetadataColumn::new(Metadata::Offset, &field);
        let column = offsets.finish("t", 3, &[7, 9]).expect("fits");
        assert_eq!(column.as_primitive::<Int32Type>().values(), &[7, 9]);
        offsets.finish("t", 3, &[i64::MAX]).expect_err("does not fit");
        let mut topics = MetadataColumn::new(Metadata::Topic, &Field::new("t", DataType::Utf8, false));
        assert_eq!(topics.finish("t", 3, &[7, 9]).expect("text").len(), 2);
    }

    #[test]
    fn headers_take_the_declared_field_names() {
        let fields: Fields = vec![Field::new("keys", DataType::Utf8, false), Field::new("values", DataType::Binary, true)].into();
        let declared = DataType::Map(Arc::new(Field::new("key_value", DataType::Struct(fields), false)), false);
        let mut headers = Headers::new(true);
        headers.row = vec![("a".to_owned(), Some(vec![1])), ("b".to_owned(), None)];
        headers.append_row();
        headers.row.clear();
        headers.append_row();
        let column = headers.finish(&declared).expect("a map");
        assert_eq!((column.data_type(), column.len()), (&declared, 2));
        assert_eq!((column.as_map().value_length(0), column.as_map().value_length(1)), (2, 0));
        assert_eq!(headers.finish(&declared).expect("empty").len(), 0);
    }
}
