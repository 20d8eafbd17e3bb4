//! What metadata says of the rows of a manifest and of a data file, as [`Facts`] about leaves. Pure.

use std::collections::{BTreeMap, HashMap};

use arrow_schema::{DataType, Fields};
use datafusion::common::ScalarValue;
use iceberg::spec::{DataFile, Datum, FieldSummary, Literal, PrimitiveType, TableMetadata, Transform, Type};

use weir_catalog::read::LiveFile;

use super::condition::{Facts, Known};
use super::need::parts_of;
use super::transforms;
use super::values::of_literal;
use crate::iceberg::types::field_id;

/// The Arrow types of all leaves of some columns, by id.
pub(super) fn leaf_types(fields: &Fields) -> HashMap<i32, DataType> {
    let mut types = HashMap::new();
    let mut open: Vec<_> = fields.iter().collect();
    while let Some(field) = open.pop() {
        let parts = parts_of(field.data_type());
        if let (true, Some(id)) = (parts.is_empty(), field_id(field)) {
            types.insert(id, field.data_type().clone());
        }
        open.extend(parts);
    }
    types
}

/// One field of a partition spec.
#[derive(Debug, Clone)]
pub(super) struct PartitionPart {
    pub(super) source: i32,
    pub(super) transform: Transform,
    /// Type of the source column as it is read, if it is.
    data_type: Option<DataType>,
    /// Type of the partition values.
    stored: Option<PrimitiveType>,
}

/// The partition specs of a table.
#[derive(Debug, Default)]
pub(super) struct Specs(HashMap<i32, Vec<PartitionPart>>);

impl Specs {
    /// Those of `metadata`, for leaves of these types.
    pub(super) fn of(metadata: &TableMetadata, types: &HashMap<i32, DataType>) -> Self {
        let source_type = |id: i32| {
            let current = metadata.current_schema().field_by_id(id);
            current.or_else(|| metadata.schemas_iter().find_map(|schema| schema.field_by_id(id))).map(|field| field.field_type.as_ref().clone())
        };
        let part = |source: i32, transform: Transform| {
            let stored = source_type(source).and_then(|ty| transform.result_type(&ty).ok());
            let stored = stored.and_then(|ty| if let Type::Primitive(primitive) = ty { Some(primitive) } else { None });
            PartitionPart { source, transform, data_type: types.get(&source).cloned(), stored }
        };
        let specs = metadata.partition_specs_iter();
        Self(specs.map(|spec| (spec.spec_id(), spec.fields().iter().map(|field| part(field.source_id, field.transform)).collect())).collect())
    }

    /// The fields of a spec; none for one that the table does not have.
    pub(super) fn parts(&self, spec: i32) -> &[PartitionPart] {
        self.0.get(&spec).map(Vec::as_slice).unwrap_or_default()
    }

    /// The columns whose value is the same in all rows of a file, which need not be in it.
    pub(super) fn constants(&self, spec: i32, file: &DataFile) -> BTreeMap<i32, ScalarValue> {
        let parts = self.parts(spec).iter().zip(file.partition().fields());
        let identity = parts.filter(|(part, _)| part.transform == Transform::Identity);
        identity.filter_map(|(part, value)| Some((part.source, constant(part.data_type.as_ref()?, value.as_ref())?))).collect()
    }
}

/// What identity partitions say of a table's files.
#[derive(Debug)]
pub(in crate::iceberg) struct PartitionConstants {
    specs: Specs,
    /// Field ids of the columns of the present spec, by name.
    columns: HashMap<String, i32>,
}

impl PartitionConstants {
    /// Those of a table, in the columns of today.
    pub(in crate::iceberg) fn of(metadata: &TableMetadata) -> Self {
        let schema = metadata.current_schema();
        let types = crate::iceberg::types::file_schema(schema).map(|columns| leaf_types(columns.fields())).unwrap_or_default();
        let identity = metadata.default_partition_spec().fields().iter().filter(|field| field.transform == Transform::Identity);
        let columns = identity.filter_map(|field| Some((schema.name_by_field_id(field.source_id)?.to_owned(), field.source_id))).collect();
        Self { specs: Specs::of(metadata, &types), columns }
    }

    /// Whether a column is an identity partition of the present spec.
    pub(in crate::iceberg) fn is_partitioned_by(&self, column: &str) -> bool {
        self.columns.contains_key(column)
    }

    /// Whether all rows of a file have these values.
    pub(in crate::iceberg) fn have(&self, live: &LiveFile, values: &[(String, ScalarValue)]) -> bool {
        let constants = self.specs.constants(live.spec_id, &live.file);
        values.iter().all(|(column, value)| self.columns.get(column).and_then(|id| constants.get(id)) == Some(value))
    }
}

fn constant(data_type: &DataType, value: Option<&Literal>) -> Option<ScalarValue> {
    match value {
        None => ScalarValue::try_from(data_type).ok(),
        Some(value) => of_literal(&value.as_primitive_literal()?, data_type),
    }
}

/// What a manifest list says of a manifest.
#[derive(Debug)]
pub(super) struct OfManifest<'a> {
    pub(super) parts: &'a [PartitionPart],
    pub(super) summaries: &'a [FieldSummary],
}

impl Known for OfManifest<'_> {
    fn facts(&self, leaf: i32) -> Vec<Facts> {
        let of_leaf = self.parts.iter().zip(self.summaries).filter(|(part, _)| part.source == leaf);
        of_leaf.filter_map(|(part, summary)| of_summary(part, summary)).collect()
    }
}

fn of_summary(part: &PartitionPart, summary: &FieldSummary) -> Option<Facts> {
    let data_type = part.data_type.as_ref()?;
    if matches!(part.transform, Transform::Void | Transform::Unknown) {
        return None;
    }
    let bound = |bytes: Option<&[u8]>| Datum::try_from_bytes(bytes?, part.stored.clone()?).ok();
    let lower = bound(summary.lower_bound.as_ref().map(|bytes| bytes.as_slice()));
    let upper = bound(summary.upper_bound.as_ref().map(|bytes| bytes.as_slice()));
    let known = match (lower, upper) {
        (Some(lower), Some(upper)) => transforms::facts(part.transform, data_type, lower.literal(), upper.literal()),
        _ => Facts::default(),
    };
    Some(Facts { no_nulls: !summary.contains_null, ..known })
}

/// What a manifest says of a data file.
#[derive(Debug)]
pub(super) struct OfFile<'a> {
    pub(super) file: &'a DataFile,
    pub(super) parts: &'a [PartitionPart],
    pub(super) types: &'a HashMap<i32, DataType>,
}

impl Known for OfFile<'_> {
    fn facts(&self, leaf: i32) -> Vec<Facts> {
        let of_leaf = self.parts.iter().zip(self.file.partition().fields()).filter(|(part, _)| part.source == leaf);
        let mut facts: Vec<Facts> = of_leaf.filter_map(|(part, value)| of_partition(part, value.as_ref())).collect();
        if let Some(data_type) = self.types.get(&leaf) {
            facts.push(of_metrics(self.file, leaf, data_type));
        }
        facts
    }
}

fn of_partition(part: &PartitionPart, value: Option<&Literal>) -> Option<Facts> {
    match (value, part.transform) {
        (_, Transform::Void | Transform::Unknown) => None,
        (None, _) => Some(Facts { all_null: true, ..Facts::default() }),
        (Some(value), transform) => {
            let literal = value.as_primitive_literal()?;
            Some(transforms::facts(transform, part.data_type.as_ref()?, &literal, &literal))
        }
    }
}

fn of_metrics(file: &DataFile, leaf: i32, data_type: &DataType) -> Facts {
    let bound = |bounds: &HashMap<i32, Datum>| {
        bounds.get(&leaf).and_then(|datum| of_literal(datum.literal(), data_type)).filter(|_| is_ordered(file, leaf, data_type))
    };
    let values = file.value_counts().get(&leaf);
    let nulls = file.null_value_counts().get(&leaf);
    Facts {
        min: bound(file.lower_bounds()),
        max: bound(file.upper_bounds()),
        // Writers that count the values of present structs only cannot say that no row lacks one.
        no_nulls: nulls == Some(&0) && values == Some(&file.record_count()),
        all_null: matches!((nulls, values), (Some(nulls), Some(values)) if nulls >= values),
        buckets: None,
    }
}

/// Whether bounds of the column hold for all its values: a NaN lies outside of them, and filters take it for the greatest number.
pub(super) fn is_ordered(file: &DataFile, leaf: i32, data_type: &DataType) -> bool {
    !matches!(data_type, DataType::Float32 | DataType::Float64) || file.nan_value_counts().get(&leaf) == Some(&0)
}
