//! The description of a copy, from those of its inputs: exact, without reading a row. Pure.

use std::collections::{HashMap, HashSet};

use iceberg::spec::{DataContentType, DataFile, DataFileBuilder, DataFileFormat, Datum};
use weir_catalog::read::LiveFile;

/// The file at `path` that holds the rows of all inputs, which are of one partition.
///
/// Counts and sizes add up; a count that one input lacks is unknown. A bound is the least or greatest of the inputs', where each
/// has one or has no values to bound.
///
/// # Errors
/// No inputs, or a description that is not complete.
pub(super) fn merged(inputs: &[&LiveFile], path: String, bytes: u64, split_offsets: Vec<i64>) -> Result<DataFile, String> {
    let first = inputs.first().ok_or("there are no inputs")?;
    let files: Vec<&DataFile> = inputs.iter().map(|live| &live.file).filter(|file| file.record_count() > 0).collect();
    DataFileBuilder::default()
        .content(DataContentType::Data)
        .file_path(path)
        .file_format(DataFileFormat::Parquet)
        .partition_spec_id(first.spec_id)
        .partition(first.file.partition().clone())
        .record_count(files.iter().map(|file| file.record_count()).sum())
        .file_size_in_bytes(bytes)
        .column_sizes(sums(&files, DataFile::column_sizes))
        .value_counts(sums(&files, DataFile::value_counts))
        .null_value_counts(sums(&files, DataFile::null_value_counts))
        .nan_value_counts(sums(&files, DataFile::nan_value_counts))
        .lower_bounds(bounds(&files, DataFile::lower_bounds, |known, found| found < known))
        .upper_bounds(bounds(&files, DataFile::upper_bounds, |known, found| found > known))
        .split_offsets(Some(split_offsets))
        .sort_order_id(0)
        .build()
        .map_err(|error| error.to_string())
}

fn sums(files: &[&DataFile], counts: impl Fn(&DataFile) -> &HashMap<i32, u64>) -> HashMap<i32, u64> {
    let columns: HashSet<i32> = files.iter().flat_map(|file| counts(file).keys().copied()).collect();
    let sum = |column: i32| files.iter().map(|file| counts(file).get(&column).copied()).sum::<Option<u64>>();
    columns.into_iter().filter_map(|column| Some((column, sum(column)?))).collect()
}

fn bounds(
    files: &[&DataFile],
    bounds: impl Fn(&DataFile) -> &HashMap<i32, Datum>,
    is_beyond: impl Fn(&Datum, &Datum) -> bool,
) -> HashMap<i32, Datum> {
    let columns: HashSet<i32> = files.iter().flat_map(|file| bounds(file).keys().copied()).collect();
    let outermost = |column: i32| {
        let mut outermost: Option<&Datum> = None;
        for file in files {
            match bounds(file).get(&column) {
                Some(found) => match outermost {
                    // Types differ after a promotion, and do not compare.
                    Some(known) if known.data_type() != found.data_type() => return None,
                    Some(known) if !is_beyond(known, found) => {}
                    _ => outermost = Some(found),
                },
                None if has_no_values(file, column) => {}
                None => return None,
            }
        }
        outermost.cloned()
    };
    columns.into_iter().filter_map(|column| Some((column, outermost(column)?))).collect()
}

/// Whether a column is null or NaN in every row.
fn has_no_values(file: &DataFile, column: i32) -> bool {
    let nulls = file.null_value_counts().get(&column).copied().unwrap_or(0);
    let nans = file.nan_value_counts().get(&column).copied().unwrap_or(0);
    file.value_counts().get(&column).is_some_and(|values| nulls + nans >= *values)
}
