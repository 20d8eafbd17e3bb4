//! What a writer hands over for one finished file, as it stands in a checkpoint.

use std::collections::{BTreeMap, HashMap};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use iceberg::spec::{DataContentType, DataFile, DataFileBuilder, DataFileFormat, Datum, PrimitiveType, Schema, Struct, TableMetadata, Type};
use serde::{Deserialize, Serialize};
use weir_base::ErrorKind;

use super::metrics::ColumnMetrics;
use super::partitioning::PartitionTuple;
use crate::error::ConnectorError;

/// A finished data file. Values are in Iceberg's single-value serialisation, base 64.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::iceberg) struct WrittenFile {
    version: u32,
    pub(in crate::iceberg) path: String,
    schema_id: i32,
    spec_id: i32,
    partition: Vec<Option<String>>,
    pub(in crate::iceberg) records: u64,
    pub(in crate::iceberg) bytes: u64,
    column_sizes: BTreeMap<i32, u64>,
    value_counts: BTreeMap<i32, u64>,
    null_counts: BTreeMap<i32, u64>,
    nan_counts: BTreeMap<i32, u64>,
    lower: BTreeMap<i32, String>,
    upper: BTreeMap<i32, String>,
    split_offsets: Vec<i64>,
}

const VERSION: u32 = 1;

/// Where a file belongs in its table.
#[derive(Debug, Clone, Copy)]
pub(super) struct TableIds {
    pub(super) schema: i32,
    pub(super) spec: i32,
}

/// Size and layout of a finished file.
#[derive(Debug, Clone)]
pub(super) struct FileFacts {
    pub(super) path: String,
    pub(super) records: u64,
    pub(super) bytes: u64,
    pub(super) split_offsets: Vec<i64>,
}

impl WrittenFile {
    /// # Errors
    /// A value that cannot be serialised: a defect.
    pub(super) fn try_new(facts: FileFacts, ids: TableIds, partition: &PartitionTuple, metrics: ColumnMetrics) -> Result<Self, ConnectorError> {
        Ok(Self {
            version: VERSION,
            path: facts.path,
            schema_id: ids.schema,
            spec_id: ids.spec,
            partition: partition.values.iter().map(|value| value.as_ref().map(encode).transpose()).collect::<Result<_, _>>()?,
            records: facts.records,
            bytes: facts.bytes,
            column_sizes: metrics.sizes,
            value_counts: metrics.values,
            null_counts: metrics.nulls,
            nan_counts: metrics.nans,
            lower: encode_all(&metrics.lower)?,
            upper: encode_all(&metrics.upper)?,
            split_offsets: facts.split_offsets,
        })
    }

    /// The file as the table's metadata describes it.
    ///
    /// # Errors
    /// A schema or partition spec that the table no longer has, or a record that is damaged.
    pub(in crate::iceberg) fn to_data_file(&self, table: &TableMetadata) -> Result<DataFile, ConnectorError> {
        let corrupt = |what: String| self.corrupt(what);
        if self.version != VERSION {
            return Err(corrupt(format!("version {} is not known to this program", self.version)));
        }
        let schema = table.schema_by_id(self.schema_id).ok_or_else(|| corrupt(format!("the table has no schema {}", self.schema_id)))?;
        let spec = table.partition_spec_by_id(self.spec_id).ok_or_else(|| corrupt(format!("the table has no partition spec {}", self.spec_id)))?;
        let types = spec.partition_type(schema).map_err(|error| corrupt(error.to_string()))?;
        let mut values = Vec::with_capacity(self.partition.len());
        for (text, field) in self.partition.iter().zip(types.fields()) {
            let primitive = primitive(&field.field_type).ok_or_else(|| corrupt(format!("partition field `{}` is not primitive", field.name)))?;
            values.push(text.as_deref().map(|text| decode(text, primitive).ok_or_else(|| corrupt(format!("partition value `{text}`")))).transpose()?);
        }
        if values.len() != types.fields().len() {
            return Err(corrupt(format!("{} partition values for {} fields", values.len(), types.fields().len())));
        }
        self.described(schema, PartitionTuple { values, folder: String::new() }.to_struct(), 0)
    }

    /// The same for a file of a partition that is known, whose rows stand in the order of that number.
    pub(super) fn to_data_file_in(&self, table: &TableMetadata, partition: Struct, sort_order: i32) -> Result<DataFile, ConnectorError> {
        let missing = || self.corrupt(format!("the table has no schema {}", self.schema_id));
        self.described(table.schema_by_id(self.schema_id).ok_or_else(missing)?, partition, sort_order)
    }

    fn corrupt(&self, what: String) -> ConnectorError {
        ConnectorError::new(ErrorKind::Corrupt, format!("committable of `{}`: {what}", self.path))
    }

    fn described(&self, schema: &Schema, partition: Struct, sort_order: i32) -> Result<DataFile, ConnectorError> {
        let corrupt = |what: String| self.corrupt(what);
        let bounds = |texts: &BTreeMap<i32, String>| -> Result<HashMap<i32, Datum>, ConnectorError> {
            let of = |(id, text): (&i32, &String)| {
                let field = schema.field_by_id(*id).and_then(|field| primitive(&field.field_type));
                let datum = field.and_then(|primitive| decode(text, primitive)).ok_or_else(|| corrupt(format!("bound of field {id}")))?;
                Ok((*id, datum))
            };
            texts.iter().map(of).collect()
        };
        let counts = |counts: &BTreeMap<i32, u64>| counts.iter().map(|(id, count)| (*id, *count)).collect::<HashMap<_, _>>();
        DataFileBuilder::default()
            .content(DataContentType::Data)
            .file_path(self.path.clone())
            .file_format(DataFileFormat::Parquet)
            .partition_spec_id(self.spec_id)
            .partition(partition)
            .record_count(self.records)
            .file_size_in_bytes(self.bytes)
            .column_sizes(counts(&self.column_sizes))
            .value_counts(counts(&self.value_counts))
            .null_value_counts(counts(&self.null_counts))
            .nan_value_counts(counts(&self.nan_counts))
            .lower_bounds(bounds(&self.lower)?)
            .upper_bounds(bounds(&self.upper)?)
            .split_offsets(Some(self.split_offsets.clone()))
            .sort_order_id(sort_order)
            .build()
            .map_err(|error| corrupt(error.to_string()))
    }
}

fn primitive(ty: &Type) -> Option<&PrimitiveType> {
    match ty {
        Type::Primitive(primitive) => Some(primitive),
        Type::Struct(_) | Type::List(_) | Type::Map(_) => None,
    }
}

fn encode(value: &Datum) -> Result<String, ConnectorError> {
    let bytes = value.to_bytes().map_err(|error| ConnectorError::internal("a value has no serialised form").with_source(error))?;
    Ok(BASE64.encode(bytes))
}

fn encode_all(values: &BTreeMap<i32, Datum>) -> Result<BTreeMap<i32, String>, ConnectorError> {
    values.iter().map(|(id, value)| Ok((*id, encode(value)?))).collect()
}

fn decode(text: &str, primitive: &PrimitiveType) -> Option<Datum> {
    Datum::try_from_bytes(&BASE64.decode(text).ok()?, primitive.clone()).ok()
}
