//! Columns of metadata tables, made of plain values.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::builder::{Int32Builder, Int64Builder, ListBuilder, MapBuilder, MapFieldNames, StringBuilder};
use arrow_array::{ArrayRef, BooleanArray, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow_schema::{Field, Schema};

use crate::error::ConnectorError;

/// The columns of a table that is being made.
#[derive(Debug, Default)]
pub(super) struct Columns {
    columns: Vec<(&'static str, ArrayRef)>,
}

impl Columns {
    fn with(mut self, name: &'static str, column: ArrayRef) -> Self {
        self.columns.push((name, column));
        self
    }

    pub(super) fn texts(self, name: &'static str, values: impl Iterator<Item = Option<String>>) -> Self {
        self.with(name, Arc::new(values.collect::<StringArray>()))
    }

    pub(super) fn longs(self, name: &'static str, values: impl Iterator<Item = Option<i64>>) -> Self {
        self.with(name, Arc::new(values.collect::<Int64Array>()))
    }

    /// Whole numbers that are never negative.
    pub(super) fn counts(self, name: &'static str, values: impl Iterator<Item = Option<u64>>) -> Self {
        self.longs(name, values.map(|value| value.and_then(|value| i64::try_from(value).ok())))
    }

    pub(super) fn ints(self, name: &'static str, values: impl Iterator<Item = Option<i32>>) -> Self {
        self.with(name, Arc::new(values.collect::<Int32Array>()))
    }

    pub(super) fn flags(self, name: &'static str, values: impl Iterator<Item = bool>) -> Self {
        self.with(name, Arc::new(values.map(Some).collect::<BooleanArray>()))
    }

    /// Times in milliseconds since 1970, shown in UTC.
    pub(super) fn times(self, name: &'static str, millis: impl Iterator<Item = i64>) -> Self {
        let micros: TimestampMicrosecondArray = millis.map(|millis| millis.checked_mul(1_000)).collect();
        self.with(name, Arc::new(micros.with_timezone("UTC")))
    }

    /// Lists of whole numbers.
    pub(super) fn lists(self, name: &'static str, values: impl Iterator<Item = Option<Vec<i64>>>) -> Self {
        let mut lists = ListBuilder::new(Int64Builder::new());
        for value in values {
            lists.append_option(value.map(|numbers| numbers.into_iter().map(Some)));
        }
        self.with(name, Arc::new(lists.finish()))
    }

    /// Texts by text.
    pub(super) fn properties<'a>(
        self,
        name: &'static str,
        values: impl Iterator<Item = &'a HashMap<String, String>>,
    ) -> Result<Self, ConnectorError> {
        let mut maps = MapBuilder::new(Some(names()), StringBuilder::new(), StringBuilder::new());
        for value in values {
            let mut entries: Vec<_> = value.iter().collect();
            entries.sort_unstable();
            for (key, text) in entries {
                maps.keys().append_value(key);
                maps.values().append_value(text);
            }
            maps.append(true).map_err(|error| unshown(&error))?;
        }
        Ok(self.with(name, Arc::new(maps.finish())))
    }

    /// Counts by field id.
    pub(super) fn counts_by_id<'a>(self, name: &'static str, values: impl Iterator<Item = &'a HashMap<i32, u64>>) -> Result<Self, ConnectorError> {
        let mut maps = MapBuilder::new(Some(names()), Int32Builder::new(), Int64Builder::new());
        for value in values {
            let mut entries: Vec<_> = value.iter().collect();
            entries.sort_unstable();
            for (id, count) in entries {
                maps.keys().append_value(*id);
                maps.values().append_option(i64::try_from(*count).ok());
            }
            maps.append(true).map_err(|error| unshown(&error))?;
        }
        Ok(self.with(name, Arc::new(maps.finish())))
    }

    /// Values by field id, as people read them.
    pub(super) fn values_by_id(self, name: &'static str, values: impl Iterator<Item = Vec<(i32, String)>>) -> Result<Self, ConnectorError> {
        let mut maps = MapBuilder::new(Some(names()), Int32Builder::new(), StringBuilder::new());
        for mut entries in values {
            entries.sort_unstable();
            for (id, text) in entries {
                maps.keys().append_value(id);
                maps.values().append_value(text);
            }
            maps.append(true).map_err(|error| unshown(&error))?;
        }
        Ok(self.with(name, Arc::new(maps.finish())))
    }

    pub(super) fn finish(self) -> Result<RecordBatch, ConnectorError> {
        let fields: Vec<Field> = self.columns.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), true)).collect();
        let columns = self.columns.into_iter().map(|(_, column)| column).collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(|error| unshown(&error))
    }
}

fn names() -> MapFieldNames {
    MapFieldNames { entry: "key_value".to_owned(), key: "key".to_owned(), value: "value".to_owned() }
}

fn unshown(error: &arrow_schema::ArrowError) -> ConnectorError {
    ConnectorError::internal(format!("a metadata table cannot be shown: {error}"))
}
