//! The plan node that reads the files of a snapshot.

use std::fmt;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use datafusion::common::Statistics;
use datafusion::common::stats::Precision;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};
use futures::{StreamExt, TryStreamExt, stream};
use weir_fs::FileSystems;

use super::files::FileToRead;
use super::open::{Wanted, open};

/// What a scan reads.
#[derive(Debug, Clone)]
pub(super) struct ScanSpec {
    pub(super) table: String,
    pub(super) snapshot: Option<i64>,
    pub(super) file_systems: FileSystems,
    /// The columns to give, and the same with field ids.
    pub(super) schema: SchemaRef,
    pub(super) with_ids: SchemaRef,
    pub(super) limit: Option<usize>,
}

/// Reads data files; each partition reads some of them one after another.
#[derive(Debug)]
pub(super) struct IcebergScanExec {
    spec: ScanSpec,
    parts: Vec<Arc<[FileToRead]>>,
    properties: Arc<PlanProperties>,
}

impl IcebergScanExec {
    pub(super) fn new(spec: ScanSpec, parts: Vec<Vec<FileToRead>>) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&spec.schema)),
            Partitioning::UnknownPartitioning(parts.len()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self { spec, parts: parts.into_iter().map(Arc::from).collect(), properties: Arc::new(properties) }
    }

    fn rows(&self, part: Option<usize>) -> usize {
        let parts: &[Arc<[FileToRead]>] = match part {
            Some(part) => self.parts.get(part).map(std::slice::from_ref).unwrap_or_default(),
            None => &self.parts,
        };
        let rows = parts.iter().flat_map(|part| part.iter()).map(|file| file.rows).sum::<u64>();
        usize::try_from(rows).unwrap_or(usize::MAX)
    }
}

impl DisplayAs for IcebergScanExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files: usize = self.parts.iter().map(|part| part.len()).sum();
        let columns: Vec<&str> = self.spec.schema.fields().iter().map(|field| field.name().as_str()).collect();
        write!(f, "IcebergScanExec: table={}, files={files}, columns=[{}]", self.spec.table, columns.join(", "))?;
        if let Some(snapshot) = self.spec.snapshot {
            write!(f, ", snapshot={snapshot}")?;
        }
        match self.spec.limit {
            Some(limit) => write!(f, ", limit={limit}"),
            None => Ok(()),
        }
    }
}

impl ExecutionPlan for IcebergScanExec {
    fn name(&self) -> &str {
        "IcebergScanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let part = self.parts.get(partition).ok_or_else(|| DataFusionError::Internal(format!("a scan has no partition {partition}")))?;
        let wanted = Arc::new(Wanted {
            schema: Arc::clone(&self.spec.schema),
            with_ids: Arc::clone(&self.spec.with_ids),
            batch_rows: context.session_config().batch_size(),
            limit: self.spec.limit,
        });
        let file_systems = self.spec.file_systems.clone();
        let files = stream::iter(part.to_vec());
        let batches = files.then(move |file| open(file_systems.clone(), file, Arc::clone(&wanted))).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.spec.schema), batches)))
    }

    fn partition_statistics(&self, partition: Option<usize>) -> Result<Arc<Statistics>> {
        let rows = self.rows(partition);
        let rows = match self.spec.limit {
            Some(limit) if limit < rows => Precision::Inexact(limit),
            _ => Precision::Exact(rows),
        };
        Ok(Arc::new(Statistics::new_unknown(&self.spec.schema).with_num_rows(rows)))
    }
}
