//! The summary of a snapshot: what was added and removed, the totals, and the marker.

use std::collections::{HashMap, HashSet};

use iceberg::spec::{DataContentType, DataFile, Struct, Summary};

use super::Append;
use super::change::Change;
use crate::marker::stored;

/// `(total, added, removed)`: a total is the parent's plus what this snapshot adds, less what it removes. No change adds deletes.
const TOTALS: [(&str, Option<&str>, &str); 6] = [
    ("total-records", Some(ADDED_RECORDS), "deleted-records"),
    ("total-files-size", Some(ADDED_BYTES), "removed-files-size"),
    ("total-data-files", Some(ADDED_FILES), "deleted-data-files"),
    ("total-delete-files", None, "removed-delete-files"),
    ("total-position-deletes", None, "removed-position-deletes"),
    ("total-equality-deletes", None, "removed-equality-deletes"),
];

const ADDED_RECORDS: &str = "added-records";
const ADDED_BYTES: &str = "added-files-size";
const ADDED_FILES: &str = "added-data-files";

/// The summary of `change` on top of `parent`. A total that the parent does not have is left out, as Iceberg does.
pub(super) fn summary(change: &Change<'_>, parent: Option<&Summary>) -> Summary {
    let mut counts = added(change.added);
    let replaced = change.replaced.iter().flat_map(|replaced| &replaced.files).map(|live| &live.file);
    for (key, count) in replaced.clone().flat_map(removed) {
        *counts.entry(key).or_default() += count;
    }
    let partitions: HashSet<&Struct> =
        change.added.iter().chain(replaced).map(DataFile::partition).filter(|partition| !partition.fields().is_empty()).collect();
    let mut properties: HashMap<String, String> = counts.iter().map(|(key, value)| ((*key).to_owned(), value.to_string())).collect();
    properties.insert("changed-partition-count".to_owned(), partitions.len().to_string());
    for (total, plus, minus) in TOTALS {
        let before = match parent {
            None => Some(0),
            Some(parent) => parent.additional_properties.get(total).and_then(|text| text.parse::<u64>().ok()),
        };
        if let Some(before) = before {
            let more = plus.and_then(|key| counts.get(key)).copied().unwrap_or_default();
            let less = counts.get(minus).copied().unwrap_or_default();
            properties.insert(total.to_owned(), before.saturating_add(more).saturating_sub(less).to_string());
        }
    }
    properties.insert("engine-name".to_owned(), "weir".to_owned());
    properties.insert("engine-version".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    properties.extend(change.fence.map(|fence| (stored::SUMMARY_UPKEEP.to_owned(), fence.job.clone())));
    properties.extend(change.append.map(marker).into_iter().flatten());
    properties.extend(change.replaced.into_iter().flat_map(|replaced| replaced.notes.clone()));
    Summary { operation: change.operation(), additional_properties: properties }
}

fn added(files: &[DataFile]) -> HashMap<&'static str, u64> {
    HashMap::from([
        (ADDED_RECORDS, files.iter().map(DataFile::record_count).sum()),
        (ADDED_BYTES, files.iter().map(DataFile::file_size_in_bytes).sum()),
        (ADDED_FILES, files.len() as u64),
    ])
}

/// What the removal of a file counts for.
fn removed(file: &DataFile) -> Vec<(&'static str, u64)> {
    let bytes = ("removed-files-size", file.file_size_in_bytes());
    let deletes = ("removed-delete-files", 1);
    match file.content_type() {
        DataContentType::Data => vec![bytes, ("deleted-data-files", 1), ("deleted-records", file.record_count())],
        DataContentType::PositionDeletes => {
            vec![bytes, deletes, ("removed-position-delete-files", 1), ("removed-position-deletes", file.record_count())]
        }
        DataContentType::EqualityDeletes => {
            vec![bytes, deletes, ("removed-equality-delete-files", 1), ("removed-equality-deletes", file.record_count())]
        }
    }
}

fn marker(append: &Append) -> Vec<(String, String)> {
    let mut marker = vec![
        (stored::SUMMARY_JOB, append.job.clone()),
        (stored::SUMMARY_SINK, append.sink.clone()),
        (stored::SUMMARY_EPOCH, append.epoch.to_string()),
        (stored::SUMMARY_FROM, stored::encode(&append.from)),
        (stored::SUMMARY_TO, stored::encode(&append.to)),
    ];
    if !append.gaps.is_empty() {
        marker.push((stored::SUMMARY_GAPS, stored::encode_gaps(&append.gaps)));
    }
    marker.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}
