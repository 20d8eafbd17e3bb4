//! Which data files a file of deletes can be about, as its metadata says (section "Scan Planning" of the Iceberg specification).

use std::borrow::Cow;
use std::collections::HashMap;

use iceberg::spec::{DataContentType, DataFile, DataFileFormat, Datum, PrimitiveLiteral};

use crate::read::LiveFile;

/// Field id of the column `file_path` in files of position deletes.
pub const FILE_PATH_ID: i32 = i32::MAX - 101;

/// What the metadata of a file of position deletes says of the data files that it is about.
#[derive(Debug, Clone)]
pub struct Targets<'a> {
    /// The only one, if the metadata names it.
    pub named: Option<Cow<'a, str>>,
    /// A text that is not greater than any path in the file.
    pub lower: Option<&'a str>,
    /// A text that is not smaller than any.
    pub upper: Option<&'a str>,
    /// Format of the file of deletes.
    pub format: DataFileFormat,
}

impl<'a> Targets<'a> {
    /// Those of a file of deletes.
    #[must_use]
    pub fn of(delete: &'a DataFile) -> Self {
        let named = delete.referenced_data_file().map(Cow::Owned);
        Self { named, lower: path_bound(delete.lower_bounds()), upper: path_bound(delete.upper_bounds()), format: delete.file_format() }
    }

    /// The data file that all positions are about, if the metadata tells it.
    #[must_use]
    pub fn only(&self) -> Option<&str> {
        if let Some(path) = &self.named {
            return Some(path);
        }
        // A bound that was cut off differs from the other one: the lower one ends early, the upper one is counted up.
        let (lower, upper) = (self.lower?, self.upper?);
        (lower == upper && self.format == DataFileFormat::Parquet).then_some(lower)
    }

    /// Whether a data file can be among them, as the bounds say.
    #[must_use]
    pub fn may_be(&self, path: &str) -> bool {
        self.lower.is_none_or(|lower| lower <= path) && self.upper.is_none_or(|upper| upper >= path)
    }
}

/// Whether a delete can hide rows of a data file. `global`: the delete's partition spec partitions nothing.
#[must_use]
pub fn may_apply(delete: &LiveFile, global: bool, data: &LiveFile) -> bool {
    let same_partition = delete.spec_id == data.spec_id && delete.file.partition() == data.file.partition();
    if delete.file.content_type() == DataContentType::EqualityDeletes {
        return (global || same_partition) && delete.sequence_number > data.sequence_number;
    }
    let targets = Targets::of(&delete.file);
    let named = match targets.only() {
        Some(path) => path == data.file.file_path(),
        None => same_partition && targets.may_be(data.file.file_path()),
    };
    named && delete.sequence_number >= data.sequence_number
}

fn path_bound(bounds: &HashMap<i32, Datum>) -> Option<&str> {
    match bounds.get(&FILE_PATH_ID)?.literal() {
        PrimitiveLiteral::String(text) => Some(text.as_str()),
        _ => None,
    }
}
