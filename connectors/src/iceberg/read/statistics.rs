//! What a scan tells DataFusion of its rows, from the metrics of its files: how many they are, and bounds and nulls of its columns. Pure.

use std::cmp::Ordering;
use std::sync::Arc;

use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue, Statistics};

use super::facts::is_ordered;
use super::listed::ListedFile;
use super::open::Reading;
use super::planning::FileTask;
use super::splits::Split;
use super::values::{of_stored, order};
use crate::iceberg::types::field_id;

/// The statistics of some splits. The number of rows is exact if these are all splits of the scan (`whole`), for files that are cut have no
/// count for each part, and no delete hides a row.
pub(super) fn of(splits: &[&Split], reading: &Reading, whole: bool, limit: Option<usize>) -> Statistics {
    let tasks = tasks_of(splits);
    let mut statistics = Statistics::new_unknown(&reading.columns.schema);
    let share = |bytes: u64, of: &FileTask| {
        let all = of.file.bytes().max(1);
        u64::try_from(u128::from(of.file.records()) * u128::from(bytes) / u128::from(all)).unwrap_or(u64::MAX)
    };
    let rows: u64 = match whole {
        true => tasks.iter().map(|task| task.file.records()).sum(),
        false => splits.iter().map(|split| share(split.range.end - split.range.start, &split.task)).sum(),
    };
    let rows = usize::try_from(rows).unwrap_or(usize::MAX);
    let is_exact = whole && tasks.iter().all(|task| task.deletes.is_empty());
    statistics.num_rows = match limit {
        Some(limit) => Precision::Inexact(rows.min(limit)),
        None if is_exact => Precision::Exact(rows),
        None => Precision::Inexact(rows),
    };
    statistics.column_statistics =
        reading.fields().iter().map(|field| field_id(field).map(|id| column(id, field.data_type(), &tasks)).unwrap_or_default()).collect();
    statistics
}

fn tasks_of<'a>(splits: &[&'a Split]) -> Vec<&'a Arc<FileTask>> {
    let mut seen = std::collections::HashSet::new();
    splits.iter().map(|split| &split.task).filter(|task| seen.insert(Arc::as_ptr(task))).collect()
}

/// Bounds may be wider than the values, and deletes may hide nulls: nothing here is exact.
fn column(id: i32, data_type: &arrow_schema::DataType, tasks: &[&Arc<FileTask>]) -> ColumnStatistics {
    let files = || tasks.iter().map(|task| &task.file);
    let bound = |bound_of: fn(&ListedFile, i32) -> Option<&[u8]>, better: Ordering| {
        let mut best: Option<ScalarValue> = None;
        for file in files() {
            let value = bound_of(file, id).filter(|_| is_ordered(data_type, file.nans(id))).and_then(|bound| of_stored(bound, data_type));
            match (value, file.nulls(id) == Some(file.records())) {
                (Some(value), _) if best.as_ref().is_none_or(|best| order(&value, best) == Some(better)) => best = Some(value),
                (Some(_), _) | (None, true) => {}
                (None, false) => return Precision::Absent,
            }
        }
        best.map_or(Precision::Absent, Precision::Inexact)
    };
    let nulls: Option<u64> = files().map(|file| file.nulls(id)).sum();
    ColumnStatistics {
        null_count: nulls.and_then(|nulls| usize::try_from(nulls).ok()).map_or(Precision::Absent, Precision::Inexact),
        min_value: bound(ListedFile::lower, Ordering::Less),
        max_value: bound(ListedFile::upper, Ordering::Greater),
        ..ColumnStatistics::new_unknown()
    }
}
