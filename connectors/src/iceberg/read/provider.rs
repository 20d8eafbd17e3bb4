//! A table as DataFusion sees it: one snapshot, chosen when the query is planned.

use std::sync::Arc;

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::DFSchema;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use iceberg::spec::SnapshotRef;
use weir_base::options::{OptionBag, Problems};
use weir_catalog::lake::{LakeCatalog, LakeTable, TableId};
use weir_fs::FileSystems;

use super::columns::TableColumns;
use super::condition_of;
use super::facts::{Specs, leaf_types};
use super::files::TableFiles;
use super::need::Need;
use super::open::{Counts, Reading};
use super::options::ReadOptions;
use super::planning::{Planned, Planning};
use super::scan_exec::IcebergScanExec;
use super::splits::deal;
use crate::batch::BatchTable;
use crate::error::ConnectorError;
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

    /// The provider of the table as it has been loaded.
    ///
    /// # Errors
    /// A snapshot, branch, tag or time that the table does not have; a schema of types that cannot be read.
    pub fn provider_of(&self, table: LakeTable) -> Result<Arc<dyn TableProvider>, ConnectorError> {
        let name = format!("{}.{}", self.catalog.name(), self.id);
        let provider = IcebergTable::new(&name, table, self.options.clone(), self.catalog.file_systems().clone())?;
        Ok(Arc::new(provider))
    }
}

#[async_trait]
impl BatchTable for IcebergScan {
    async fn provider(&self) -> Result<Arc<dyn TableProvider>, ConnectorError> {
        self.provider_of(self.catalog.load(&self.id).await.map_err(catalog_error)?)
    }
}

/// One snapshot of a table.
#[derive(Debug)]
pub(super) struct IcebergTable {
    table: LakeTable,
    files: TableFiles,
    snapshot: Option<SnapshotRef>,
    columns: TableColumns,
    options: ReadOptions,
}

impl IcebergTable {
    pub(super) fn new(name: &str, table: LakeTable, options: ReadOptions, file_systems: FileSystems) -> Result<Self, ConnectorError> {
        let chosen = options.choose(name, &table)?;
        let columns = TableColumns::of(name, &table.metadata, &chosen.schema)?;
        Ok(Self { files: TableFiles::new(name, file_systems), snapshot: chosen.snapshot, columns, options, table })
    }

    /// The filters over the columns of `schema` that can be evaluated on rows.
    fn physical(filters: &[Expr], schema: &SchemaRef, state: &dyn Session) -> Result<Vec<Arc<dyn PhysicalExpr>>> {
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
        let planned = match &self.snapshot {
            None => Planned::default(),
            Some(snapshot) => {
                let planning = Planning { table: &self.table, files: &self.files, snapshot, condition: &condition, specs: &specs, types: &types };
                planning.run().await.map_err(|error| DataFusionError::External(Box::new(error)))?
            }
        };
        let parts = deal(&planned.tasks, state.config().target_partitions(), self.options.split_size);
        let reading = Reading {
            table: self.table.clone(),
            files: self.files.clone(),
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
        Ok(Arc::new(IcebergScanExec::new(snapshot, reading, parts, planned.pruned, limit)))
    }
}
