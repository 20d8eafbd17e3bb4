//! A table as DataFusion sees it: one snapshot, loaded when the query is planned.

use std::sync::Arc;

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Statistics;
use datafusion::common::stats::Precision;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use weir_base::options::{OptionBag, OptionDecl, Problems, ValueType};
use weir_catalog::lake::{LakeCatalog, LakeTable, TableId};
use weir_fs::FileSystems;

use super::files::{FileToRead, deal, live_files};
use super::scan_exec::{IcebergScanExec, ScanSpec};
use crate::batch::BatchTable;
use crate::error::ConnectorError;
use crate::iceberg::committer::catalog_error;
use crate::iceberg::stream::{STREAM_OPTIONS, pass_over};
use crate::iceberg::types::{file_schema, plain_schema};
use crate::registry::Opened;

const BRANCH: OptionDecl = OptionDecl::new("branch", ValueType::String, "Branch to read.").default("main");

/// Options that a hint may carry when a table is read in a batch query.
pub const READ_OPTIONS: &[OptionDecl] = &[BRANCH];

/// Reads an Iceberg table as it is at the time of the query.
#[derive(Debug)]
pub struct IcebergScan {
    catalog: Arc<dyn LakeCatalog>,
    id: TableId,
    branch: Option<String>,
}

impl IcebergScan {
    /// A read of the table's main branch.
    #[must_use]
    pub fn new(catalog: Arc<dyn LakeCatalog>, id: TableId) -> Self {
        Self { catalog, id, branch: None }
    }

    /// A read as `hints` say. Does no I/O.
    ///
    /// # Errors
    /// Every problem of the hints.
    pub fn open(catalog: &Arc<dyn LakeCatalog>, id: &TableId, hints: &OptionBag) -> Result<Opened<Self>, Problems> {
        let mut hints = hints.fresh();
        let branch = hints.string(&BRANCH).filter(|branch| branch != "main");
        pass_over(&mut hints);
        let warnings = hints.finish(
            "iceberg",
            &READ_OPTIONS.iter().chain(STREAM_OPTIONS).collect::<Vec<_>>(),
            &[("iceberg sink", crate::iceberg::WRITE_OPTIONS)],
        )?;
        Ok(Opened { value: Self { catalog: Arc::clone(catalog), id: id.clone(), branch }, warnings })
    }
}

impl IcebergScan {
    /// The provider of the table as it has been loaded.
    ///
    /// # Errors
    /// A branch that does not exist, files that cannot be read.
    pub async fn provider_of(&self, table: LakeTable) -> Result<Arc<dyn TableProvider>, ConnectorError> {
        let name = format!("{}.{}", self.catalog.name(), self.id);
        Ok(Arc::new(IcebergTable::load(name, table, self.branch.as_deref(), self.catalog.file_systems().clone()).await?))
    }
}

#[async_trait]
impl BatchTable for IcebergScan {
    async fn provider(&self) -> Result<Arc<dyn TableProvider>, ConnectorError> {
        self.provider_of(self.catalog.load(&self.id).await.map_err(catalog_error)?).await
    }
}

/// One snapshot of a table.
#[derive(Debug)]
struct IcebergTable {
    name: String,
    snapshot: Option<i64>,
    schema: SchemaRef,
    file_schema: SchemaRef,
    files: Vec<FileToRead>,
    file_systems: FileSystems,
}

impl IcebergTable {
    async fn load(name: String, table: LakeTable, branch: Option<&str>, file_systems: FileSystems) -> Result<Self, ConnectorError> {
        let snapshot = match branch {
            None => table.metadata.current_snapshot(),
            Some(branch) => {
                let missing = || ConnectorError::user(format!("table {name} has no branch `{branch}`"));
                Some(table.metadata.snapshot_for_ref(branch).ok_or_else(missing)?)
            }
        };
        let file_schema = file_schema(table.metadata.current_schema())?;
        let files = match snapshot {
            Some(snapshot) => live_files(&name, &table, snapshot).await?,
            None => Vec::new(),
        };
        let snapshot = snapshot.map(|snapshot| snapshot.snapshot_id());
        Ok(Self { name, snapshot, schema: plain_schema(&file_schema), file_schema, files, file_systems })
    }
}

#[async_trait]
impl TableProvider for IcebergTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(&self, state: &dyn Session, projection: Option<&Vec<usize>>, _: &[Expr], limit: Option<usize>) -> Result<Arc<dyn ExecutionPlan>> {
        let project = |schema: &SchemaRef| match projection {
            Some(columns) => schema.project(columns).map(Arc::new),
            None => Ok(Arc::clone(schema)),
        };
        let spec = ScanSpec {
            table: self.name.clone(),
            snapshot: self.snapshot,
            file_systems: self.file_systems.clone(),
            schema: project(&self.schema)?,
            with_ids: project(&self.file_schema)?,
            limit,
        };
        let parts = deal(self.files.clone(), state.config().target_partitions());
        Ok(Arc::new(IcebergScanExec::new(spec, parts)))
    }

    fn statistics(&self) -> Option<Statistics> {
        let rows = self.files.iter().map(|file| file.rows).sum::<u64>();
        let rows = usize::try_from(rows).unwrap_or(usize::MAX);
        Some(Statistics::new_unknown(&self.schema).with_num_rows(Precision::Exact(rows)))
    }
}
