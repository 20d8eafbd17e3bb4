//! `$weir`: how far Weir's jobs have written, by the markers that their commits leave in the table.

use arrow_array::RecordBatch;
use weir_catalog::commit::{marked_jobs, marker_of};
use weir_catalog::lake::LakeTable;

use super::columns::Columns;
use crate::error::ConnectorError;
use crate::iceberg::committer::catalog_error;

/// One row for each split that a marker knows.
struct Row {
    job: String,
    sink: String,
    epoch: u64,
    source: Option<String>,
    split: Option<String>,
    offset: Option<i64>,
}

pub(super) fn markers(table: &LakeTable) -> Result<RecordBatch, ConnectorError> {
    let mut rows: Vec<Row> = Vec::new();
    for (job, sinks) in marked_jobs(table) {
        for sink in sinks {
            let Some(marker) = marker_of(table, &job, &sink).map_err(catalog_error)? else { continue };
            let row = |source, split, offset| Row { job: job.clone(), sink: sink.clone(), epoch: marker.epoch, source, split, offset };
            let splits = marker.cuts.iter().flat_map(|(source, cut)| cut.iter().map(move |(split, position)| (source, split, position)));
            let before = rows.len();
            rows.extend(splits.map(|(source, split, position)| row(Some(source.clone()), Some(split.to_string()), Some(position.offset))));
            if rows.len() == before {
                rows.push(row(None, None, None));
            }
        }
    }
    let all = || rows.iter();
    Columns::default()
        .texts("job", all().map(|row| Some(row.job.clone())))
        .texts("sink", all().map(|row| Some(row.sink.clone())))
        .counts("epoch", all().map(|row| Some(row.epoch)))
        .texts("source", all().map(|row| row.source.clone()))
        .texts("split", all().map(|row| row.split.clone()))
        .longs("next_offset", all().map(|row| row.offset))
        .finish()
}
