//! The description of a copy, from those of its inputs: exact, without reading a row. Pure.

use std::collections::HashMap;

use iceberg::spec::{DataContentType, DataFile, DataFileBuilder, DataFileFormat, Datum, Schema};
use weir_catalog::manifests::ReadMetrics;
use weir_catalog::read::SlimFile;

/// The file at `path` that holds the rows of all inputs, which are of one partition of a table with this schema.
///
/// Counts and sizes add up; a count that one input lacks is unknown. A bound is the least or greatest of the inputs', where each
/// has one or has no values to bound.
///
/// # Errors
/// No inputs, or a description that is damaged or not complete.
pub(super) fn merged(inputs: &[&SlimFile], schema: &Schema, path: String, bytes: u64, split_offsets: Vec<i64>) -> Result<DataFile, String> {
    let first = &inputs.first().ok_or("there are no inputs")?.live;
    let mut merge = Merge::default();
    for input in inputs.iter().filter(|input| input.live.file.record_count() > 0) {
        let metrics = input.metrics.read().map_err(|error| format!("metrics of `{}`: {error}", input.live.file.file_path()))?;
        merge.add(&metrics, schema);
    }
    let [column_sizes, value_counts, null_value_counts, nan_value_counts] = merge.counts.map(|counts| known(counts, merge.files));
    let [lower_bounds, upper_bounds] = merge.bounds.map(|bounds| {
        let outermost = known(bounds, merge.files);
        outermost.into_iter().filter_map(|(column, bound)| Some((column, bound?))).collect()
    });
    DataFileBuilder::default()
        .content(DataContentType::Data)
        .file_path(path)
        .file_format(DataFileFormat::Parquet)
        .partition_spec_id(first.spec_id)
        .partition(first.file.partition().clone())
        .record_count(inputs.iter().map(|input| input.live.file.record_count()).sum())
        .file_size_in_bytes(bytes)
        .column_sizes(column_sizes)
        .value_counts(value_counts)
        .null_value_counts(null_value_counts)
        .nan_value_counts(nan_value_counts)
        .lower_bounds(lower_bounds)
        .upper_bounds(upper_bounds)
        .split_offsets(Some(split_offsets))
        .sort_order_id(0)
        .build()
        .map_err(|error| error.to_string())
}

/// Something of a column, and how many files say it.
#[derive(Debug, Default)]
struct Said<T> {
    value: T,
    files: usize,
}

/// What all of `files` say.
fn known<T>(said: HashMap<i32, Said<T>>, files: usize) -> HashMap<i32, T> {
    said.into_iter().filter(|(_, said)| said.files == files).map(|(column, said)| (column, said.value)).collect()
}

/// The metrics of files with rows, put together one after the other.
#[derive(Debug, Default)]
struct Merge {
    files: usize,
    counts: [HashMap<i32, Said<u64>>; 4],
    /// `None` where none of the files so far has a value.
    bounds: [HashMap<i32, Said<Option<Datum>>>; 2],
}

impl Merge {
    fn add(&mut self, metrics: &ReadMetrics<'_>, schema: &Schema) {
        self.files += 1;
        for (all, counts) in self.counts.iter_mut().zip(&metrics.counts) {
            for (column, count) in counts {
                let said = all.entry(*column).or_default();
                said.value = said.value.saturating_add(*count);
                said.files += 1;
            }
        }
        let is_beyond: [fn(&Datum, &Datum) -> bool; 2] = [|found, known| found < known, |found, known| found > known];
        for ((all, bounds), is_beyond) in self.bounds.iter_mut().zip(&metrics.bounds).zip(is_beyond) {
            for (column, bytes) in bounds {
                let Some(found) = datum(*column, bytes, schema) else { continue };
                let said = all.entry(*column).or_default();
                said.files += 1;
                if said.value.as_ref().is_none_or(|known| is_beyond(&found, known)) {
                    said.value = Some(found);
                }
            }
            for column in without_values(metrics).filter(|column| bounds.iter().all(|(bounded, _)| bounded != column)) {
                all.entry(column).or_default().files += 1;
            }
        }
    }
}

/// A bound in the type that its column has now; `None` for a column that is gone.
fn datum(column: i32, bytes: &[u8], schema: &Schema) -> Option<Datum> {
    let of = schema.field_by_id(column)?.field_type.as_primitive_type()?;
    Datum::try_from_bytes(bytes, of.clone()).ok()
}

/// Columns that are null or NaN in every row.
fn without_values(metrics: &ReadMetrics<'_>) -> impl Iterator<Item = i32> {
    let [_, values, nulls, nans] = &metrics.counts;
    let count = |counts: &[(i32, u64)], column: i32| counts.iter().find(|(known, _)| *known == column).map_or(0, |(_, count)| *count);
    values.iter().filter(move |(column, values)| count(nulls, *column) + count(nans, *column) >= *values).map(|(column, _)| *column)
}
