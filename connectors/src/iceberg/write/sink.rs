//! The sink of one Iceberg table.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, UInt64Array};
use arrow_schema::SchemaRef;
use async_trait::async_trait;
use iceberg::spec::FormatVersion;
use weir_base::options::{OptionBag, Problem, Problems};
use weir_catalog::lake::{LakeCatalog, LakeTable};

use super::hash::hash_rows;
use super::options::WriteOptions;
use super::partitioning::{column_at, path_of};
use super::plan::WritePlan;
use super::writer::IcebergWriter;
use crate::error::ConnectorError;
use crate::iceberg::committer::IcebergCommitter;
use crate::iceberg::replacing::{Replacing, Scope};
use crate::iceberg::upkeep::{LakeTarget, not_in_format_3, wrong_order};
use crate::registry::Opened;
use crate::sink::{Distribution, SinkCommitter, SinkWriter, StreamSink, WriterContext};

/// What decides which writer a row goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum RouteKey {
    /// Nothing: rows stay where they are.
    Nowhere,
    /// The partition.
    Partition,
    /// The primary key: paths of its columns.
    PrimaryKey(Vec<Vec<usize>>),
}

/// Appends rows to an Iceberg table, or puts them in the place of others. Writers of an epoch give data files; the committer makes them one
/// snapshot.
#[derive(Debug)]
pub struct IcebergSink {
    plan: Arc<WritePlan>,
    route: RouteKey,
    committer: Arc<IcebergCommitter>,
    parallelism: Option<usize>,
    uid_suffix: String,
    branch: Option<String>,
    replacing: Option<Arc<Replacing>>,
    lake: LakeTarget,
}

impl IcebergSink {
    /// The sink of `table`, with `hints` over the table's properties. Does no I/O. Warnings come with it.
    ///
    /// # Errors
    /// Every problem of hints and properties, or a table that cannot be written.
    pub fn open(catalog: &Arc<dyn LakeCatalog>, table: &LakeTable, hints: &OptionBag) -> Result<Opened<Self>, Problems> {
        let (options, mut warnings) = WriteOptions::parse(hints, table.metadata.properties(), table.metadata.location())?;
        let name = format!("{}.{}", catalog.name(), table.id);
        let plan = WritePlan::try_new(name, table, catalog.file_systems().clone(), &options)
            .map_err(|error| Problems::from(Problem::new("ICE-001", hints.object(), format!("{error}."))))?;
        let route = route_key(&plan, table, options.hash);
        if options.hash && route == RouteKey::Nowhere {
            let what = "'distribution-mode' = 'hash' has no effect: the table has neither partitions nor a primary key.";
            warnings.push(Problem::warning("OPT-008", hints.object(), what).at(hints.position("distribution-mode")));
        }
        if let Some(problem) = wrong_order(&options.upkeep, table, hints) {
            return Err(problem.into());
        }
        if options.upkeep.compact && table.metadata.format_version() == FormatVersion::V3 {
            warnings.push(not_in_format_3(hints.object()));
        }
        let committer = Arc::new(IcebergCommitter::new(catalog, table, options.branch.clone()));
        let lake = LakeTarget { catalog: Arc::clone(catalog), id: table.id.clone(), branch: options.branch.clone(), upkeep: options.upkeep };
        let value = Self {
            plan: Arc::new(plan),
            route,
            committer,
            parallelism: options.parallelism,
            uid_suffix: options.uid_suffix,
            branch: options.branch,
            replacing: None,
            lake,
        };
        Ok(Opened { value, warnings })
    }

    /// The same sink, of `table` in `catalog`, whose rows take the place of those in `scope`. It writes one epoch. `serializable`: it gives way to
    /// commits that meanwhile add rows there.
    ///
    /// # Errors
    /// A table of which only some files cannot be replaced (user).
    pub fn replacing(self, catalog: &Arc<dyn LakeCatalog>, table: &LakeTable, scope: Scope, serializable: bool) -> Result<Self, ConnectorError> {
        let replacing = Arc::new(Replacing::try_new(table, self.branch.as_deref(), scope, serializable)?);
        let committer = IcebergCommitter::new(catalog, table, self.branch.clone()).replacing(&replacing);
        Ok(Self { committer: Arc::new(committer), replacing: Some(replacing), ..self })
    }

    /// `uid-suffix`: a part of the sink's id, so that two INSERTs into one table keep their markers apart.
    #[must_use]
    pub fn uid_suffix(&self) -> &str {
        &self.uid_suffix
    }
}

fn route_key(plan: &WritePlan, table: &LakeTable, hash: bool) -> RouteKey {
    if hash && plan.partitioning.is_some() {
        return RouteKey::Partition;
    }
    let mut ids: Vec<i32> = table.metadata.current_schema().identifier_field_ids().collect();
    ids.sort_unstable();
    let paths: Option<Vec<Vec<usize>>> = ids.iter().map(|id| path_of(&plan.file_schema, *id)).collect();
    paths.filter(|paths| !paths.is_empty()).map_or(RouteKey::Nowhere, RouteKey::PrimaryKey)
}

#[async_trait]
impl StreamSink for IcebergSink {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.plan.schema)
    }

    fn distribution(&self) -> Distribution {
        if self.route == RouteKey::Nowhere { Distribution::None } else { Distribution::Hash }
    }

    fn writers(&self) -> Option<usize> {
        self.parallelism
    }

    fn route(&self, batch: &RecordBatch) -> Result<UInt64Array, ConnectorError> {
        let columns: Result<Vec<ArrayRef>, _> = match (&self.route, &self.plan.partitioning) {
            (RouteKey::Partition, Some(partitioning)) => partitioning.values(batch),
            (RouteKey::PrimaryKey(paths), _) => {
                let missing = || arrow_schema::ArrowError::SchemaError("a column of the primary key is missing".to_owned());
                paths.iter().map(|path| column_at(batch, path).ok_or_else(missing)).collect()
            }
            (RouteKey::Nowhere | RouteKey::Partition, _) => Ok(Vec::new()),
        };
        let hashes = columns.and_then(|columns| hash_rows(&columns, batch.num_rows()));
        hashes.map_err(|error| ConnectorError::user(format!("rows do not fit table {}: {error}", self.plan.table)).with_source(error))
    }

    fn key(&self) -> Vec<usize> {
        Vec::new()
    }

    fn writer(&self, context: WriterContext) -> Result<Box<dyn SinkWriter>, ConnectorError> {
        // One of the writers of the epoch tells what is replaced.
        let replacing = self.replacing.as_ref().filter(|_| context.partition == 0).map(Arc::clone);
        Ok(Box::new(IcebergWriter::new(Arc::clone(&self.plan), context, replacing)))
    }

    fn committer(&self) -> Option<Arc<dyn SinkCommitter>> {
        Some(Arc::<IcebergCommitter>::clone(&self.committer))
    }

    fn lake(&self) -> Option<&LakeTarget> {
        // A statement that replaces rows writes files of the right size.
        self.replacing.is_none().then_some(&self.lake)
    }
}
