//! Which data files a file of deletes can be about, as its metadata says (section "Scan Planning" of the Iceberg specification).

use std::collections::HashMap;

use iceberg::spec::{DataContentType, DataFile, DataFileFormat, Datum, PrimitiveLiteral};

use crate::read::LiveFile;

/// Field id of the column `file_path` in files of position deletes.
pub const FILE_PATH_ID: i32 = i32::MAX - 101;

/// The data file that all positions of a delete file are about, if its metadata says so.
#[must_use]
pub fn only_target(file: &DataFile) -> Option<String> {
    if let Some(path) = file.referenced_data_file() {
        return Some(path);
    }
    // A bound that was cut off differs from the other one: the lower one ends early, the upper one is counted up.
    let (lower, upper) = path_bounds(file);
    let (lower, upper) = (lower?, upper?);
    (lower == upper && file.file_format() == DataFileFormat::Parquet).then(|| lower.to_owned())
}

/// Whether a file of position deletes can be about a data file, as its bounds say.
#[must_use]
pub fn may_name(delete: &DataFile, path: &str) -> bool {
    let (lower, upper) = path_bounds(delete);
    lower.is_none_or(|lower| lower <= path) && upper.is_none_or(|upper| upper >= path)
}

/// Whether a delete can hide rows of a data file. `global`: the delete's partition spec partitions nothing.
#[must_use]
pub fn may_apply(delete: &LiveFile, global: bool, data: &LiveFile) -> bool {
    let same_partition = delete.spec_id == data.spec_id && delete.file.partition() == data.file.partition();
    if delete.file.content_type() == DataContentType::EqualityDeletes {
        return (global || same_partition) && delete.sequence_number > data.sequence_number;
    }
    let named = match only_target(&delete.file) {
        Some(path) => path == data.file.file_path(),
        None => same_partition && may_name(&delete.file, data.file.file_path()),
    };
    named && delete.sequence_number >= data.sequence_number
}

/// The least and the greatest path that a delete file names, or texts beyond them.
fn path_bounds(file: &DataFile) -> (Option<&str>, Option<&str>) {
    (path_bound(file.lower_bounds()), path_bound(file.upper_bounds()))
}

fn path_bound(bounds: &HashMap<i32, Datum>) -> Option<&str> {
    match bounds.get(&FILE_PATH_ID)?.literal() {
        PrimitiveLiteral::String(text) => Some(text.as_str()),
        _ => None,
    }
}
