//! The summary of an append's snapshot: what was added, the totals, and the marker.

use std::collections::{HashMap, HashSet};

use iceberg::spec::{DataFile, Operation, Struct, Summary};

use super::Append;
use crate::marker::stored;

/// `(total, added)`: a total is the parent's plus what this snapshot adds. An append adds no deletes.
const TOTALS: [(&str, Option<&str>); 6] = [
    ("total-records", Some("added-records")),
    ("total-files-size", Some("added-files-size")),
    ("total-data-files", Some("added-data-files")),
    ("total-delete-files", None),
    ("total-position-deletes", None),
    ("total-equality-deletes", None),
];

/// The summary of `append` on top of `parent`. A total that the parent does not have is left out, as Iceberg does.
pub(super) fn summary(append: &Append, parent: Option<&Summary>) -> Summary {
    let records: u64 = append.files.iter().map(DataFile::record_count).sum();
    let bytes: u64 = append.files.iter().map(DataFile::file_size_in_bytes).sum();
    let partitions: HashSet<&Struct> = append.files.iter().map(DataFile::partition).filter(|partition| !partition.fields().is_empty()).collect();
    let added = HashMap::from([("added-records", records), ("added-files-size", bytes), ("added-data-files", append.files.len() as u64)]);
    let mut properties: HashMap<String, String> = added.iter().map(|(key, value)| ((*key).to_owned(), value.to_string())).collect();
    properties.insert("changed-partition-count".to_owned(), partitions.len().to_string());
    for (total, part) in TOTALS {
        let before = match parent {
            None => Some(0),
            Some(parent) => parent.additional_properties.get(total).and_then(|text| text.parse::<u64>().ok()),
        };
        if let Some(before) = before {
            let more = part.and_then(|key| added.get(key)).copied().unwrap_or_default();
            properties.insert(total.to_owned(), before.saturating_add(more).to_string());
        }
    }
    let marker = [
        ("engine-name", "weir".to_owned()),
        ("engine-version", env!("CARGO_PKG_VERSION").to_owned()),
        (stored::SUMMARY_JOB, append.job.clone()),
        (stored::SUMMARY_SINK, append.sink.clone()),
        (stored::SUMMARY_EPOCH, append.epoch.to_string()),
        (stored::SUMMARY_FROM, stored::encode(&append.from)),
        (stored::SUMMARY_TO, stored::encode(&append.to)),
    ];
    properties.extend(marker.map(|(key, value)| (key.to_owned(), value)));
    if !append.gaps.is_empty() {
        properties.insert(stored::SUMMARY_GAPS.to_owned(), stored::encode_gaps(&append.gaps));
    }
    Summary { operation: Operation::Append, additional_properties: properties }
}

/// The marker as table properties.
pub(super) fn marker_properties(append: &Append) -> HashMap<String, String> {
    HashMap::from([
        (stored::epoch_key(&append.job, &append.sink), append.epoch.to_string()),
        (stored::cut_key(&append.job, &append.sink), stored::encode(&append.to)),
    ])
}
