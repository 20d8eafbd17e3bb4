//! What metadata says of the rows of a manifest and of a data file, as [`Facts`] about leaves. Pure.

use std::collections::{BTreeMap, HashMap};

use arrow_schema::{DataType, Fields};
use datafusion::common::ScalarValue;
use iceberg::spec::{FieldSummary, TableMetadata, Transform};

use weir_catalog::read::LiveFile;

use super::condition::{Facts, Known};
use super::listed::of_entries::of_live;
use super::listed::{ListedFile, ListedFiles, Metrics};
use super::need::parts_of;
use super::transforms;
use super::values::of_stored;
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
}

/// The partition specs of a table.
#[derive(Debug, Default)]
pub(super) struct Specs(HashMap<i32, Vec<PartitionPart>>);

impl Specs {
    /// Those of `metadata`, for leaves of these types.
    pub(super) fn of(metadata: &TableMetadata, types: &HashMap<i32, DataType>) -> Self {
        let part = |source: i32, transform: Transform| PartitionPart { source, transform, data_type: types.get(&source).cloned() };
        let specs = metadata.partition_specs_iter();
        Self(specs.map(|spec| (spec.spec_id(), spec.fields().iter().map(|field| part(field.source_id, field.transform)).collect())).collect())
    }

    /// The fields of a spec; none for one that the table does not have.
    pub(super) fn parts(&self, spec: i32) -> &[PartitionPart] {
        self.0.get(&spec).map(Vec::as_slice).unwrap_or_default()
    }

    /// The columns whose value is the same in all rows of a file, which need not be in it.
    pub(super) fn constants(&self, file: &ListedFile) -> BTreeMap<i32, ScalarValue> {
        let parts = self.parts(file.spec_id()).iter().zip(file.partition());
        let identity = parts.filter(|(part, _)| part.transform == Transform::Identity);
        identity.filter_map(|(part, value)| Some((part.source, constant(part.data_type.as_ref()?, value.as_deref())?))).collect()
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
        let Some(listed) = of_live(live) else { return false };
        let constants = self.specs.constants(&listed);
        values.iter().all(|(column, value)| self.columns.get(column).and_then(|id| constants.get(id)) == Some(value))
    }
}

fn constant(data_type: &DataType, value: Option<&[u8]>) -> Option<ScalarValue> {
    match value {
        None => ScalarValue::try_from(data_type).ok(),
        Some(value) => of_stored(value, data_type),
    }
}

/// What a manifest list says of a manifest.
#[derive(Debug)]
pub(super) struct OfManifest<'a> {
    pub(super) parts: &'a [PartitionPart],
    pub(super) summaries: &'a [FieldSummary],
}

impl Known for OfManifest<'_> {
    fn all(&self, leaf: i32, test: &dyn Fn(&Facts) -> bool) -> bool {
        let of_leaf = self.parts.iter().zip(self.summaries).filter(|(part, _)| part.source == leaf);
        of_leaf.filter_map(|(part, summary)| of_summary(part, summary)).all(|facts| test(&facts))
    }
}

fn of_summary(part: &PartitionPart, summary: &FieldSummary) -> Option<Facts> {
    let data_type = part.data_type.as_ref()?;
    if matches!(part.transform, Transform::Void | Transform::Unknown) {
        return None;
    }
    let known = match (&summary.lower_bound, &summary.upper_bound) {
        (Some(lower), Some(upper)) => transforms::facts(part.transform, data_type, lower, upper),
        _ => Facts::default(),
    };
    Some(Facts { no_nulls: !summary.contains_null, ..known })
}

/// What a partition says of all files in it.
#[derive(Debug)]
pub(super) struct OfPartition<'a> {
    pub(super) parts: &'a [PartitionPart],
    pub(super) values: &'a [Option<Box<[u8]>>],
}

impl Known for OfPartition<'_> {
    fn all(&self, leaf: i32, test: &dyn Fn(&Facts) -> bool) -> bool {
        let of_leaf = self.parts.iter().zip(self.values).filter(|(part, _)| part.source == leaf);
        of_leaf.filter_map(|(part, value)| of_partition(part, value.as_deref())).all(|facts| test(&facts))
    }
}

fn of_partition(part: &PartitionPart, value: Option<&[u8]>) -> Option<Facts> {
    match (value, part.transform) {
        (_, Transform::Void | Transform::Unknown) => None,
        (None, _) => Some(Facts { all_null: true, ..Facts::default() }),
        (Some(value), transform) => Some(transforms::facts(transform, part.data_type.as_ref()?, value, value)),
    }
}

/// The metrics of a leaf in the files of a manifest.
#[derive(Debug)]
pub(super) struct LeafMetrics<'a> {
    id: i32,
    data_type: &'a DataType,
    metrics: &'a Metrics,
}

impl<'a> LeafMetrics<'a> {
    /// Those of the leaves with these ids.
    pub(super) fn of(files: &'a ListedFiles, ids: impl IntoIterator<Item = i32>, types: &'a HashMap<i32, DataType>) -> Vec<Self> {
        let known = |id: i32| Some(Self { id, data_type: types.get(&id)?, metrics: files.metrics_of(id)? });
        ids.into_iter().filter_map(known).collect()
    }
}

/// What the metrics of a data file say.
#[derive(Debug)]
pub(super) struct OfMetrics<'a> {
    pub(super) leaves: &'a [LeafMetrics<'a>],
    /// Which of the manifest's files it is.
    pub(super) row: usize,
    /// Its rows.
    pub(super) records: u64,
}

impl Known for OfMetrics<'_> {
    fn all(&self, leaf: i32, test: &dyn Fn(&Facts) -> bool) -> bool {
        let Some(LeafMetrics { data_type, metrics, .. }) = self.leaves.iter().find(|known| known.id == leaf) else { return true };
        let [values, nulls, nans] = metrics.counts(self.row, self.records);
        let [lower, upper] = if is_ordered(data_type, nans) { metrics.bounds(self.row) } else { [None; 2] };
        test(&Facts {
            min: lower.and_then(|lower| of_stored(lower, data_type)),
            max: upper.and_then(|upper| of_stored(upper, data_type)),
            // Writers that count the values of present structs only cannot say that no row lacks one.
            no_nulls: nulls == Some(0) && values == Some(self.records),
            all_null: matches!((nulls, values), (Some(nulls), Some(values)) if nulls >= values),
            buckets: None,
        })
    }
}

/// All that a manifest says of a data file.
#[derive(Debug)]
pub(super) struct OfFile<'a> {
    partition: OfPartition<'a>,
    metrics: OfMetrics<'a>,
}

impl<'a> OfFile<'a> {
    /// What is said of `file`; `leaves` are those of its manifest.
    pub(super) fn new(file: &'a ListedFile, specs: &'a Specs, leaves: &'a [LeafMetrics<'a>]) -> Self {
        let partition = OfPartition { parts: specs.parts(file.spec_id()), values: file.partition() };
        Self { partition, metrics: OfMetrics { leaves, row: file.row(), records: file.records() } }
    }
}

impl Known for OfFile<'_> {
    fn all(&self, leaf: i32, test: &dyn Fn(&Facts) -> bool) -> bool {
        self.partition.all(leaf, test) && self.metrics.all(leaf, test)
    }
}

/// Whether bounds of a column hold for all its values, of which so many are no numbers: a NaN lies outside of them, and filters take it for
/// the greatest number.
pub(super) fn is_ordered(data_type: &DataType, nans: Option<u64>) -> bool {
    !matches!(data_type, DataType::Float32 | DataType::Float64) || nans == Some(0)
}
