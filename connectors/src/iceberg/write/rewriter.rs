//! Rows that are in a table already, written anew into files of their partition.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::RecordBatch;
use iceberg::spec::{DataFile, Struct};
use weir_base::options::OptionBag;
use weir_catalog::lake::LakeTable;
use weir_catalog::properties::declared::UPSERT;
use weir_fs::FileSystems;

use super::file::FileFactory;
use super::limits::Limits;
use super::options::WriteOptions;
use super::plan::WritePlan;
use super::upload::file_system_error;
use super::whole::WholeWriter;
use crate::error::ConnectorError;
use crate::iceberg::committer::delete_files;
use crate::iceberg::types::conform_batch;
use crate::sink::WriterContext;

/// Where rows that are written anew belong.
#[derive(Debug, Clone)]
pub struct PartitionPlace {
    /// Partition spec.
    pub spec_id: i32,
    /// Values of its fields.
    pub partition: Struct,
    /// Folder of the files, without a slash at its end.
    pub folder: String,
    /// The table's number for the order in which the rows come; 0: none.
    pub sort_order: i32,
}

/// Writes the rows of one partition, whatever spec it is of, as the sink would: with the table's properties, in files of about a given size.
#[derive(Debug)]
pub struct Rewriter {
    table: LakeTable,
    file_systems: FileSystems,
    partition: Struct,
    sort_order: i32,
    plan: Arc<WritePlan>,
    files: FileFactory,
    body: WholeWriter,
}

impl Rewriter {
    /// A writer into `place` of `table`, which messages call `name`. A file ends at `target_bytes`. Makes no request.
    ///
    /// # Errors
    /// Properties of the table that are wrong, types that cannot be written (user).
    pub fn try_new(
        name: &str,
        table: &LakeTable,
        file_systems: &FileSystems,
        place: PartitionPlace,
        target_bytes: u64,
        context: WriterContext,
    ) -> Result<Self, ConnectorError> {
        let mut properties: HashMap<String, String> = table.metadata.properties().clone();
        // What it says is about rows that come, and these are there.
        properties.remove(UPSERT.key);
        let (options, _) = WriteOptions::parse(&OptionBag::new(format!("Table '{name}'")), &properties, table.metadata.location())
            .map_err(|problems| ConnectorError::user(problems.to_string()))?;
        let mut plan = WritePlan::try_new(name.to_owned(), table, file_systems.clone(), &options)?;
        plan.ids.spec = place.spec_id;
        plan.data_path = file_systems.for_checkpoint(&place.folder).map_err(file_system_error)?;
        let plan = Arc::new(plan);
        let limits = Limits::of(context.budget.limit(), context.partitions);
        let body = WholeWriter::new(&context, limits, target_bytes.max(1));
        let files = FileFactory::new(Arc::clone(&plan), context);
        let PartitionPlace { partition, sort_order, .. } = place;
        Ok(Self { table: table.clone(), file_systems: file_systems.clone(), partition, sort_order, plan, files, body })
    }

    /// Takes rows.
    ///
    /// # Errors
    /// Rows that do not fit the table (user), the store's. Then call [`Self::abort`].
    pub async fn write(&mut self, batch: &RecordBatch) -> Result<(), ConnectorError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let plan = &self.plan;
        let batch = conform_batch(batch, &plan.schema)
            .map_err(|error| ConnectorError::user(format!("rows do not fit table {}: {error}", plan.table)).with_source(error))?;
        self.body.write(batch, &mut self.files).await
    }

    /// Stores the files and describes them. After an error they are deleted as far as the store allows.
    ///
    /// # Errors
    /// The store's.
    pub async fn finish(mut self) -> Result<Vec<DataFile>, ConnectorError> {
        if let Err(error) = self.body.finish(&mut self.files).await {
            self.abort().await;
            return Err(error);
        }
        let Self { table, file_systems, partition, sort_order, files, body, .. } = self;
        let described = async {
            let mut described = Vec::new();
            for mut file in body.stored().await? {
                file.path = file_systems.for_metadata(&file.path).map_err(file_system_error)?;
                described.push(file.to_data_file_in(&table.metadata, partition.clone(), sort_order)?);
            }
            Ok(described)
        };
        match described.await {
            Ok(files) => Ok(files),
            Err(error) => {
                discard(&file_systems, files.into_recorded()).await;
                Err(error)
            }
        }
    }

    /// Gives up and deletes what was written.
    pub async fn abort(self) {
        self.body.abort().await;
        discard(&self.file_systems, self.files.into_recorded()).await;
    }
}

async fn discard(file_systems: &FileSystems, paths: Vec<String>) {
    if let Err(error) = delete_files(file_systems, &paths).await {
        tracing::warn!(%error, files = paths.len(), "files of a rewrite that was given up are left behind");
    }
}
