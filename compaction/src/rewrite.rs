//! One group: from its inputs to new files in the store, described and not yet committed.

use std::sync::Arc;

use futures::TryStreamExt;
use iceberg::spec::DataFile;
use tokio::sync::OnceCell;
use weir_base::ErrorKind;
use weir_base::memory::MemoryBudget;
use weir_catalog::properties::declared::CODEC;
use weir_catalog::read::SlimFile;
use weir_connectors::ConnectorError;
use weir_connectors::iceberg::{PartitionPlace, Rewriter, SnapshotRows, SortBy, file_system_error};
use weir_connectors::sink::{IntentLog, WriterContext};
use weir_fs::FileSystems;

use crate::copy::{Codec, Copied, Copy, leaf_columns, parts};
use crate::names::{Begun, copy_name, folder_of};
use crate::policy::{Group, Options, Way};
use crate::sort::{Sorter, failed};
use crate::table::{LiveTable, PartitionKey};

/// What the groups of a run share.
#[derive(Debug)]
pub(crate) struct Shared<'a> {
    pub(crate) name: String,
    pub(crate) live: &'a LiveTable,
    pub(crate) file_systems: FileSystems,
    pub(crate) options: Options,
    pub(crate) parallelism: usize,
    pub(crate) attempt: String,
    pub(crate) budget: MemoryBudget,
    pub(crate) begun: Arc<Begun>,
    /// The order of rows that are written, and its number.
    pub(crate) sort: Option<(SortBy, i32)>,
    /// Planned when the first group is decoded.
    pub(crate) rows: OnceCell<SnapshotRows>,
}

/// A group that was rewritten.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) group: Group<PartitionKey>,
    pub(crate) way: Way,
    pub(crate) files: Vec<DataFile>,
}

impl Shared<'_> {
    /// Rewrites the group `number`; by decoding where it cannot be copied.
    pub(crate) async fn make(&self, group: Group<PartitionKey>, number: usize) -> Result<Made, ConnectorError> {
        let inputs = group
            .files
            .iter()
            .map(|file| self.live.files.get(&file.path))
            .collect::<Option<Vec<&SlimFile>>>()
            .ok_or_else(|| ConnectorError::internal("a plan names a file that its snapshot does not have"))?;
        let copied = match group.way {
            Way::Copy => self.copy(&inputs, &group, number).await?,
            Way::Decode => None,
        };
        let (way, files) = match copied {
            Some(files) => (Way::Copy, files),
            None => (Way::Decode, self.decode(&inputs, &group, number).await?),
        };
        Ok(Made { group, way, files })
    }

    /// `None` if the files cannot be copied; what was made of some of them is deleted with all that is in no table at the end.
    async fn copy(&self, inputs: &[&SlimFile], group: &Group<PartitionKey>, number: usize) -> Result<Option<Vec<DataFile>>, ConnectorError> {
        let metadata = &self.live.table.metadata;
        let row_groups: Vec<u32> = group.files.iter().map(|file| file.row_groups).collect();
        let Some(parts) = parts(&row_groups, leaf_columns(metadata.current_schema().as_struct()), self.options.min_input_files) else {
            return Ok(None);
        };
        let codec = metadata.properties().get(CODEC.key).map_or(Codec::Zstd, |name| Codec::of(name));
        let folder = self.folder(inputs)?;
        let mut files = Vec::with_capacity(parts.len());
        for (part, range) in parts.into_iter().enumerate() {
            let path = copy_name(&folder, &self.attempt, &format!("{number}-{part}"));
            self.begun.record(std::slice::from_ref(&path)).await?;
            let inputs = inputs.get(range).unwrap_or_default();
            let copy = Copy {
                table: &self.name,
                inputs,
                schema: metadata.current_schema(),
                path: &path,
                codec,
                file_systems: &self.file_systems,
                budget: &self.budget,
            };
            match copy.run().await? {
                Copied::Done(file) => files.push(*file),
                Copied::Hindered(obstacle) => {
                    tracing::debug!(table = %self.name, partition = %group.partition, %obstacle, "files are decoded that cannot be copied");
                    return Ok(None);
                }
            }
        }
        Ok(Some(files))
    }

    async fn decode(&self, inputs: &[&SlimFile], group: &Group<PartitionKey>, number: usize) -> Result<Vec<DataFile>, ConnectorError> {
        let snapshot = self.live.snapshot.as_ref().ok_or_else(|| ConnectorError::internal("a plan for a table without snapshots"))?;
        let plan = || SnapshotRows::plan(&self.name, &self.live.table, snapshot, &self.file_systems);
        let rows = self.rows.get_or_try_init(plan).await?;
        let mut writer = self.writer(inputs, group, number)?;
        let all = match &self.sort {
            Some((by, _)) => self.write_sorted(by, rows, inputs, &mut writer).await,
            None => write(rows, inputs, &mut writer).await,
        };
        let written = match all {
            Ok(written) => written,
            Err(error) => {
                writer.abort().await;
                return Err(error);
            }
        };
        let hidden: Option<u64> = group.files.iter().map(|file| file.deletes.most_hidden()).sum();
        if written > group.rows() || hidden.is_some_and(|hidden| written.saturating_add(hidden) < group.rows()) {
            writer.abort().await;
            return Err(self.wrong(group, written));
        }
        let files = writer.finish().await?;
        if files.iter().map(DataFile::record_count).sum::<u64>() != written {
            return Err(self.wrong(group, written));
        }
        Ok(files)
    }

    /// Writes the rows in their order; gives their number.
    async fn write_sorted(&self, by: &SortBy, rows: &SnapshotRows, inputs: &[&SlimFile], writer: &mut Rewriter) -> Result<u64, ConnectorError> {
        let (sorter, input) = Sorter::try_new(&rows.schema(), by, &self.budget, self.parallelism)?;
        let feed = async move {
            for file in inputs {
                let mut batches = rows.of(file.live.file.file_path()).await?;
                while let Some(batch) = batches.try_next().await? {
                    // A sort that takes no more has failed, and tells why itself.
                    if input.send(batch).await.is_err() {
                        return Ok(());
                    }
                }
            }
            Ok(())
        };
        let drain = async {
            let (mut sorted, mut written) = (sorter.sorted()?, 0);
            while let Some(batch) = sorted.try_next().await.map_err(failed)? {
                written += batch.num_rows() as u64;
                writer.write(&batch).await?;
            }
            Ok(written)
        };
        futures::try_join!(feed, drain).map(|((), written)| written)
    }

    fn writer(&self, inputs: &[&SlimFile], group: &Group<PartitionKey>, number: usize) -> Result<Rewriter, ConnectorError> {
        let first = &inputs.first().ok_or_else(|| ConnectorError::internal("a group without files"))?.live;
        let sort_order = self.sort.as_ref().map_or(0, |(_, number)| *number);
        let place = PartitionPlace { spec_id: first.spec_id, partition: first.file.partition().clone(), folder: self.folder(inputs)?, sort_order };
        // Decoding makes no more bytes than there were, so that this many files are enough.
        let size = (group.bytes() / group.outputs(&self.options)).max(self.options.target_bytes);
        let context = WriterContext {
            job: "weir-compact".to_owned(),
            sink: number.to_string(),
            epoch: self.live.snapshot.as_ref().and_then(|snapshot| u64::try_from(snapshot.sequence_number()).ok()).unwrap_or(0),
            attempt: self.attempt.clone(),
            partition: 0,
            partitions: self.parallelism,
            budget: self.budget.clone(),
            intents: Arc::<Begun>::clone(&self.begun),
        };
        Rewriter::try_new(&self.name, &self.live.table, &self.file_systems, place, size, context)
    }

    /// New files go where the first of the old ones is, under the name that checkpoints use.
    fn folder(&self, inputs: &[&SlimFile]) -> Result<String, ConnectorError> {
        let path = inputs.first().map_or("", |input| input.live.file.file_path());
        self.file_systems.for_checkpoint(folder_of(path)).map_err(file_system_error)
    }

    fn wrong(&self, group: &Group<PartitionKey>, written: u64) -> ConnectorError {
        let what = format!(
            "table '{}': {} files of partition {} with {} rows were read as {written} rows; nothing was changed",
            self.name,
            group.files.len(),
            group.partition,
            group.rows()
        );
        ConnectorError::new(ErrorKind::Corrupt, what)
    }
}

/// Writes the rows as they come; gives their number.
async fn write(rows: &SnapshotRows, inputs: &[&SlimFile], writer: &mut Rewriter) -> Result<u64, ConnectorError> {
    let mut written = 0;
    for input in inputs {
        let mut batches = rows.of(input.live.file.file_path()).await?;
        while let Some(batch) = batches.try_next().await? {
            written += batch.num_rows() as u64;
            writer.write(&batch).await?;
        }
    }
    Ok(written)
}
