//! `$files`, `$manifests`, `$partitions`, `$entries`: what a snapshot consists of, from its manifests.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow_array::RecordBatch;
use futures::{StreamExt, TryStreamExt, stream};
use iceberg::spec::{DataContentType, DataFile, Datum, ManifestContentType, ManifestEntryRef, ManifestFile, Schema, TableMetadata};
use weir_catalog::lake::LakeTable;
use weir_catalog::read;

use super::columns::Columns;
use crate::error::ConnectorError;
use crate::iceberg::committer::catalog_error;
use crate::iceberg::read::Chosen;

/// Manifests that are read at the same time.
const READS_AT_ONCE: usize = 16;

/// An entry of a manifest, and the partition spec of its file.
struct Entry {
    entry: ManifestEntryRef,
    spec_id: i32,
}

impl Entry {
    fn file(&self) -> &DataFile {
        self.entry.data_file()
    }
}

async fn manifests_of(table: &LakeTable, chosen: &Chosen) -> Result<Vec<ManifestFile>, ConnectorError> {
    match &chosen.snapshot {
        Some(snapshot) => read::manifests(table, snapshot).await.map_err(catalog_error),
        None => Ok(Vec::new()),
    }
}

async fn entries_of(table: &LakeTable, chosen: &Chosen) -> Result<Vec<Entry>, ConnectorError> {
    let load = |manifest: ManifestFile| async move {
        let entries = read::entries(table, &manifest).await.map_err(catalog_error)?;
        Ok::<_, ConnectorError>(entries.into_iter().map(|entry| Entry { entry, spec_id: manifest.partition_spec_id }).collect())
    };
    let all: Vec<Vec<Entry>> = stream::iter(manifests_of(table, chosen).await?).map(load).buffered(READS_AT_ONCE).try_collect().await?;
    Ok(all.into_iter().flatten().collect())
}

pub(super) async fn files(table: &LakeTable, chosen: &Chosen) -> Result<RecordBatch, ConnectorError> {
    let mut live = entries_of(table, chosen).await?;
    live.retain(|entry| entry.entry.is_alive());
    of_files(Columns::default(), &live, table, chosen)?.finish()
}

pub(super) async fn entries(table: &LakeTable, chosen: &Chosen) -> Result<RecordBatch, ConnectorError> {
    let all = entries_of(table, chosen).await?;
    let columns = Columns::default()
        .texts("status", all.iter().map(|entry| Some(format!("{:?}", entry.entry.status()).to_uppercase())))
        .longs("snapshot_id", all.iter().map(|entry| entry.entry.snapshot_id()))
        .longs("sequence_number", all.iter().map(|entry| entry.entry.sequence_number()))
        .longs("file_sequence_number", all.iter().map(|entry| entry.entry.file_sequence_number));
    of_files(columns, &all, table, chosen)?.finish()
}

fn of_files(columns: Columns, entries: &[Entry], table: &LakeTable, chosen: &Chosen) -> Result<Columns, ConnectorError> {
    let all = || entries.iter();
    let files = || entries.iter().map(Entry::file);
    let shown = |bounds: &HashMap<i32, Datum>| bounds.iter().map(|(id, value)| (*id, value.to_human_string())).collect();
    let numbers = |ids: Vec<i32>| ids.into_iter().map(i64::from).collect();
    let columns = columns
        .texts("content", files().map(|file| Some(content(file.content_type()).to_owned())))
        .texts("file_path", files().map(|file| Some(file.file_path().to_owned())))
        .texts("file_format", files().map(|file| Some(file.file_format().to_string().to_uppercase())))
        .ints("spec_id", all().map(|entry| Some(entry.spec_id)))
        .texts("partition", all().map(|entry| partition(&table.metadata, &chosen.schema, entry)))
        .counts("record_count", files().map(|file| Some(file.record_count())))
        .counts("file_size_in_bytes", files().map(|file| Some(file.file_size_in_bytes())))
        .counts_by_id("column_sizes", files().map(DataFile::column_sizes))?
        .counts_by_id("value_counts", files().map(DataFile::value_counts))?
        .counts_by_id("null_value_counts", files().map(DataFile::null_value_counts))?
        .counts_by_id("nan_value_counts", files().map(DataFile::nan_value_counts))?
        .values_by_id("lower_bounds", files().map(|file| shown(file.lower_bounds())))?
        .values_by_id("upper_bounds", files().map(|file| shown(file.upper_bounds())))?
        .lists("split_offsets", files().map(|file| file.split_offsets().map(<[i64]>::to_vec)))
        .lists("equality_ids", files().map(|file| file.equality_ids().map(numbers)))
        .ints("sort_order_id", files().map(DataFile::sort_order_id))
        .texts("referenced_data_file", files().map(DataFile::referenced_data_file));
    Ok(columns)
}

fn content(content: DataContentType) -> &'static str {
    match content {
        DataContentType::Data => "DATA",
        DataContentType::PositionDeletes => "POSITION_DELETES",
        DataContentType::EqualityDeletes => "EQUALITY_DELETES",
    }
}

/// `day=2024-01-01/kind=x`; empty for an unpartitioned file, `None` if the partition's columns are in no schema any more.
fn partition(metadata: &TableMetadata, schema: &Arc<Schema>, entry: &Entry) -> Option<String> {
    let spec = metadata.partition_spec_by_id(entry.spec_id)?;
    let has_all = |schema: &Schema| spec.fields().iter().all(|field| schema.field_by_id(field.source_id).is_some());
    let schema = std::iter::once(schema).chain(metadata.schemas_iter()).find(|schema| has_all(schema))?;
    Some(spec.partition_to_path(entry.file().partition(), Arc::clone(schema)))
}

pub(super) async fn manifests(table: &LakeTable, chosen: &Chosen) -> Result<RecordBatch, ConnectorError> {
    let manifests = manifests_of(table, chosen).await?;
    let all = || manifests.iter();
    let content = |manifest: &ManifestFile| if manifest.content == ManifestContentType::Data { "DATA" } else { "DELETES" };
    let count = |count: Option<u32>| count.map(u64::from);
    Columns::default()
        .texts("content", all().map(|manifest| Some(content(manifest).to_owned())))
        .texts("path", all().map(|manifest| Some(manifest.manifest_path.clone())))
        .longs("length", all().map(|manifest| Some(manifest.manifest_length)))
        .ints("partition_spec_id", all().map(|manifest| Some(manifest.partition_spec_id)))
        .longs("added_snapshot_id", all().map(|manifest| Some(manifest.added_snapshot_id)))
        .longs("sequence_number", all().map(|manifest| Some(manifest.sequence_number)))
        .longs("min_sequence_number", all().map(|manifest| Some(manifest.min_sequence_number)))
        .counts("added_files_count", all().map(|manifest| count(manifest.added_files_count)))
        .counts("existing_files_count", all().map(|manifest| count(manifest.existing_files_count)))
        .counts("deleted_files_count", all().map(|manifest| count(manifest.deleted_files_count)))
        .counts("added_rows_count", all().map(|manifest| manifest.added_rows_count))
        .counts("existing_rows_count", all().map(|manifest| manifest.existing_rows_count))
        .counts("deleted_rows_count", all().map(|manifest| manifest.deleted_rows_count))
        .finish()
}

/// What the files of a partition add up to.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    files: u64,
    records: u64,
    bytes: u64,
    position_deletes: u64,
    equality_deletes: u64,
}

pub(super) async fn partitions(table: &LakeTable, chosen: &Chosen) -> Result<RecordBatch, ConnectorError> {
    let mut sums: BTreeMap<(i32, Option<String>), Sum> = BTreeMap::new();
    for entry in entries_of(table, chosen).await?.iter().filter(|entry| entry.entry.is_alive()) {
        let sum = sums.entry((entry.spec_id, partition(&table.metadata, &chosen.schema, entry))).or_default();
        let file = entry.file();
        match file.content_type() {
            DataContentType::Data => {
                sum.files += 1;
                sum.records += file.record_count();
                sum.bytes += file.file_size_in_bytes();
            }
            DataContentType::PositionDeletes => sum.position_deletes += 1,
            DataContentType::EqualityDeletes => sum.equality_deletes += 1,
        }
    }
    let all = || sums.iter();
    Columns::default()
        .texts("partition", all().map(|((_, partition), _)| partition.clone()))
        .ints("spec_id", all().map(|((spec_id, _), _)| Some(*spec_id)))
        .counts("record_count", all().map(|(_, sum)| Some(sum.records)))
        .counts("file_count", all().map(|(_, sum)| Some(sum.files)))
        .counts("total_data_file_size_in_bytes", all().map(|(_, sum)| Some(sum.bytes)))
        .counts("position_delete_file_count", all().map(|(_, sum)| Some(sum.position_deletes)))
        .counts("equality_delete_file_count", all().map(|(_, sum)| Some(sum.equality_deletes)))
        .finish()
}
