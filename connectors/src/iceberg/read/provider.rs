//! A table as DataFusion sees it: one snapshot, chosen when the query is planned.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use iceberg::spec::SnapshotRef;
use weir_base::options::{OptionBag, Problems};
use weir_catalog::lake::{LakeCatalog, LakeTable, TableId};
use weir_catalog::read::LiveFile;
use weir_fs::FileSystems;

use super::cache::MetadataCache;
use super::columns::{FILE_ID, TableColumns};
use super::condition_of;
use super::facts::{Specs, leaf_types};
use super::file_filter::Lookout;
use super::files::TableFiles;
use super::listed::of_entries::of_live;
use super::need::Need;
use super::open::{Counts, Reading};
use super::options::ReadOptions;
use super::planning::{Planned, Planning};
use super::scan_exec::IcebergScanExec;
use super::snapshot::Chosen;
use super::splits::deal;
use crate::batch::BatchTable;
use crate::error::ConnectorError;
use crate::iceberg::FoundFiles;
use crate::iceberg::committer::catalog_error;
use crate::registry::Opened;

/// Reads an Iceberg table as it is at the time of the query, or was before.
#[derive(Debug)]
pub struct IcebergScan {
    catalog: Arc<dyn LakeCatalog>,
    id: TableId,
    options: ReadOptions,
}

impl IcebergScan {
    /// A read of the table's main branch.
    #[must_use]
    pub fn new(catalog: Arc<dyn LakeCatalog>, id: TableId) -> Self {
        Self { catalog, id, options: ReadOptions::default() }
    }

    /// A read as `hints` say. Does no I/O.
    ///
    /// # Errors
    /// Every problem of the hints.
    pub fn open(catalog: &Arc<dyn LakeCatalog>, id: &TableId, hints: &OptionBag) -> Result<Opened<Self>, Problems> {
        let Opened { value: options, warnings } = ReadOptions::parse(hints)?;
        Ok(Opened { value: Self { catalog: Arc::clone(catalog), id: id.clone(), options }, warnings })
    }

    /// The provider of a scan that looks for files to change: with the column [`FILE_COLUMN`](crate::iceberg::FILE_COLUMN), and what planning
    /// it tells goes into `found`.
    ///
    /// # Errors
    /// As [`Self::provider_of`].
    pub fn looking(&self, table: LakeTable, found: &FoundFiles) -> Result<Arc<dyn TableProvider>, ConnectorError> {
        Ok(Arc::new(self.table_of(table)?.looking(found)))
    }

    /// The provider of a scan of those of the files found that hold rows which stay.
    ///
    /// # Errors
    /// As [`Self::provider_of`].
    pub fn reading_again(&self, table: LakeTable, found: &FoundFiles) -> Result<Arc<dyn TableProvider>, ConnectorError> {
        Ok(Arc::new(self.table_of(table)?.reading_again(found)))
    }

    /// The provider of the table as it has been loaded.
    ///
    /// # Errors
    /// A snapshot, branch, tag or time that the table does not have; a schema of types that cannot be read.
    pub fn provider_of(&self, table: LakeTable) -> Result<Arc<dyn TableProvider>, ConnectorError> {
        Ok(Arc::new(self.table_of(table)?))
    }

    /// The table as it is now.
    pub(in crate::iceberg) async fn load(&self) -> Result<LakeTable, ConnectorError> {
        self.catalog.load(&self.id).await.map_err(catalog_error)
    }

    /// The snapshot of `table` that is read.
    pub(in crate::iceberg) fn chosen(&self, table: &LakeTable) -> Result<Chosen, ConnectorError> {
        self.options.choose(&self.name(), table)
    }

    fn name(&self) -> String {
        format!("{}.{}", self.catalog.name(), self.id)
    }

    fn table_of(&self, table: LakeTable) -> Result<IcebergTable, ConnectorError> {
        IcebergTable::new(&self.name(), table, self.options.clone(), self.catalog.file_systems().clone())
    }
}

#[async_trait]
impl BatchTable for IcebergScan {
    async fn provider(&self) -> Result<Arc<dyn TableProvider>, ConnectorError> {
        self.provider_of(self.load().await?)
    }
}

/// One snapshot of a table.
#[derive(Debug)]
pub(super) struct IcebergTable {
    table: LakeTable,
    files: TableFiles,
    snapshot: Option<SnapshotRef>,
    /// Of its rows only those that these snapshots have appended; `None`: all.
    appended: Option<Vec<SnapshotRef>>,
    columns: TableColumns,
    options: ReadOptions,
    step: Option<Step>,
}

/// What a scan is for in a statement that changes rows.
#[derive(Debug)]
enum Step {
    Look(FoundFiles),
    ReadAgain(FoundFiles),
}

impl IcebergTable {
    pub(super) fn new(name: &str, table: LakeTable, options: ReadOptions, file_systems: FileSystems) -> Result<Self, ConnectorError> {
        let chosen = options.choose(name, &table)?;
        let columns = TableColumns::of(name, &table.metadata, &chosen.schema)?;
        let files = TableFiles::new(name, file_systems);
        Ok(Self { files, snapshot: chosen.snapshot, appended: chosen.appended, columns, options, table, step: None })
    }

    pub(super) fn looking(self, found: &FoundFiles) -> Self {
        Self { columns: self.columns.with_file(), step: Some(Step::Look(found.clone())), ..self }
    }

    pub(super) fn reading_again(self, found: &FoundFiles) -> Self {
        Self { step: Some(Step::ReadAgain(found.clone())), ..self }
    }

    /// The filters over the columns of `schema` that can be evaluated on rows.
    pub(super) fn physical(filters: &[Expr], schema: &SchemaRef, state: &dyn Session) -> Result<Vec<Arc<dyn PhysicalExpr>>> {
        let columns = DFSchema::try_from(Arc::clone(schema))?;
        let known = |filter: &&Expr| filter.column_refs().iter().all(|column| columns.has_column_with_unqualified_name(column.name()));
        // A filter that is not understood here is applied above all the same.
        Ok(filters.iter().filter(known).filter_map(|filter| state.create_physical_expr(filter.clone(), &columns).ok()).collect())
    }
}

#[async_trait]
impl TableProvider for IcebergTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.columns.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        // Files, row groups and pages are left out by them, rows as well where that pays; but not every row is looked at.
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let columns = match projection {
            Some(some) => self.columns.project(some)?,
            None => self.columns.clone(),
        };
        let filters = Self::physical(filters, &columns.schema, state)?;
        let types = Arc::new(leaf_types(self.columns.with_ids.fields()));
        let specs = Arc::new(Specs::of(&self.table.metadata, &types));
        let condition = condition_of::all(&filters, columns.with_ids.fields());
        let cache = state.config().get_extension::<MetadataCache>().map_or(MetadataCache::none(), |cache| cache.as_ref().clone());
        let files = self.files.cached(cache);
        let mut planned = match &self.snapshot {
            None => Planned::default(),
            Some(snapshot) => {
                let planning = Planning {
                    table: &self.table,
                    files: &files,
                    snapshot,
                    appended: self.appended.as_deref(),
                    condition: &condition,
                    specs: &specs,
                    types: &types,
                    with_metrics: true,
                };
                planning.run().await.map_err(|error| DataFusionError::External(Box::new(error)))?
            }
        };
        match &self.step {
            None => {}
            Some(Step::Look(found)) => look(found, &mut planned, Lookout { condition, specs: Arc::clone(&specs), types: Arc::clone(&types) }),
            Some(Step::ReadAgain(found)) => read_again(found, &mut planned).map_err(|error| DataFusionError::External(Box::new(error)))?,
        }
        let parts = deal(&planned.tasks, state.config().target_partitions(), self.options.split_size);
        let reading = Reading {
            table: self.table.clone(),
            files,
            specs,
            types,
            needs: vec![Need::Whole; columns.schema.fields().len()],
            columns,
            filters,
            order: None,
            batch_rows: state.config().batch_size(),
            counts: Counts::default(),
        };
        let snapshot = self.snapshot.as_ref().map(|snapshot| snapshot.snapshot_id());
        Ok(Arc::new(IcebergScanExec::new(snapshot, reading, parts, planned.counts, limit)))
    }
}

/// Gives each file its path as a column, and notes what planning knows.
fn look(found: &FoundFiles, planned: &mut Planned, lookout: Lookout) {
    let mut rows = BTreeMap::new();
    for task in &mut planned.tasks {
        let path = task.file.path().to_owned();
        if task.deletes.is_empty() {
            rows.insert(path.clone(), task.file.records());
        }
        Arc::make_mut(task).constants.insert(FILE_ID, ScalarValue::from(path));
    }
    let concerns = move |live: &LiveFile| of_live(live).is_none_or(|file| lookout.concerns(&file));
    found.note(rows, Arc::new(concerns));
}

fn read_again(found: &FoundFiles, planned: &mut Planned) -> Result<(), ConnectorError> {
    let mut tasks = Vec::new();
    for task in planned.tasks.drain(..) {
        if found.is_read_again(task.file.path())? {
            tasks.push(task);
        }
    }
    planned.tasks = tasks;
    Ok(())
}
