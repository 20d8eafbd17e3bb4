//! The INSERT of a source's dead letters into their table, which the job gets on top of those that were written.

use std::sync::Arc;

use arrow_schema::{DataType, Field, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::plan_datafusion_err;
use datafusion::datasource::provider_as_source;
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableType, ident, lit};
use datafusion::physical_plan::ExecutionPlan;
use weir_base::options::{OptionBag, Position, Problem};
use weir_catalog::{LakeCatalog, LakeTable, TableId, TableSpec, planned_table};
use weir_connectors::iceberg::{IcebergSink, TableWith};
use weir_connectors::letters::{DeadLetters, letter_schema};
use weir_connectors::registry::Opened;
use weir_connectors::sink::StreamSink;
use weir_connectors::table::TablePath;

use super::insert::{Target, fit, sink_id};
use super::resolve::{Found, Planning, find, hint_bag};
use super::{Planned, optimise};
use crate::error::{NOT_FOUND, SqlError, plan_error};
use crate::parse::types::{quote_identifier, sql_type_of};
use crate::plan::{LeafFactory, PlannedInsert, StreamTable, Wanted};
use crate::session::lake_ddl::table_spec;
use crate::session::objects::Scope;

/// Columns that the job adds.
const JOB: &str = "job";
const SOURCE: &str = "source";

/// A table that an `error.table` names.
#[derive(Debug)]
pub(crate) struct LetterTable {
    /// As it was written.
    name: String,
    pub(crate) path: TablePath,
    /// Where it was written.
    pub(crate) at: Position,
}

/// Plans the INSERTs of the dead letters of all sources; `before` are those that were written.
pub(crate) async fn plan_letters(
    planning: &mut Planning<'_>,
    scope: &Scope,
    job: &str,
    before: &[PlannedInsert],
) -> Result<Vec<(PlannedInsert, Planned)>, SqlError> {
    let mut planned: Vec<PlannedInsert> = before.to_vec();
    let mut inserts = Vec::new();
    for table in planning.stream_tables() {
        let Some(letters) = table.source.dead_letters().cloned() else { continue };
        let (insert, plan) = plan_one(planning, &table, &letters, scope, job, &planned).await?;
        planned.push(insert.clone());
        inserts.push((insert, plan));
    }
    Ok(inserts)
}

async fn plan_one(
    planning: &mut Planning<'_>,
    table: &StreamTable,
    letters: &DeadLetters,
    scope: &Scope,
    job: &str,
    before: &[PlannedInsert],
) -> Result<(PlannedInsert, Planned), SqlError> {
    let object = format!("Table '{}'", table.path);
    let named = LetterTable::of(letters, scope);
    let sink = open(planning, &named, &object).await?;
    let LetterTable { path: target, at, .. } = named;
    let provider = Arc::new(LetterProvider { table: table.clone() });
    let schema = sink.schema();
    let names: Vec<String> = columns().iter().map(|field| field.name().clone()).filter(|name| schema.column_with_name(name).is_some()).collect();
    let values = names.iter().map(|name| match name.as_str() {
        JOB => lit(job).alias(JOB),
        SOURCE => lit(table.path.to_string()).alias(SOURCE),
        name => ident(name),
    });
    let scan = LogicalPlanBuilder::scan(format!("dead letters of {}", table.id), provider_as_source(provider), None);
    let plan = scan.and_then(|scan| scan.project(values.collect::<Vec<_>>())).and_then(LogicalPlanBuilder::build);
    let plan = plan.map_err(|error| plan_error(&error, &object, at))?;
    let opened =
        Target { sink, suffix: String::new(), columns: names.into_iter().map(|name| (name, at)).collect(), uuid: None, constants: Vec::new() };
    let plan: LogicalPlan = fit(planning, plan, at, &opened, &target)?;
    let planned = Planned { plan, state: planning.base.clone() };
    let query = optimise(&planned, &object, at)?;
    let sink_id = sink_id(&target.table, &opened.suffix, before);
    Ok((PlannedInsert { sink_id, target, sink: opened.sink, query, look: None }, planned))
}

impl LetterTable {
    /// What `letters` names, seen from `scope`: `table`, `database.table` or `catalog.database.table`.
    pub(crate) fn of(letters: &DeadLetters, scope: &Scope) -> Self {
        let parts: Vec<String> = letters.table.split('.').map(|part| part.trim().trim_matches('`').to_owned()).collect();
        let at = letters.position.unwrap_or(Position { line: 1, column: 1 });
        Self { name: letters.table.clone(), path: scope.path(&parts), at }
    }

    /// That its name is one of the default catalog, which has no Iceberg tables; `lake` is a catalog that has some.
    fn in_no_lake(&self, lake: Option<&String>, object: &str) -> Problem {
        let what = format!("'error.table' = '{}' is '{}', and that catalog has no Iceberg tables.", self.name, self.path);
        let (catalog, table) = (lake.map_or("lake", String::as_str), &self.path.table);
        let hint = format!(
            "Name it as catalog.database.table in an Iceberg catalog, such as '{catalog}.db.{table}': the job creates it in a database that is there."
        );
        Problem::new(NOT_FOUND, object, what).hint(hint).at(Some(self.at))
    }

    /// Its name in its catalog.
    pub(crate) fn id(&self) -> TableId {
        TableId { database: self.path.database.clone(), table: self.path.table.clone() }
    }

    /// What it is made with where it is not there: every column, and what any new table has.
    pub(crate) fn spec(&self) -> Result<TableSpec, SqlError> {
        let object = format!("Table '{}'", self.path);
        let mut spec = table_spec(&object, columns(), &[], &[])?;
        spec.properties = TableWith::in_catalog(&OptionBag::new(object))?.value.stored_properties();
        Ok(spec)
    }
}

async fn open(planning: &mut Planning<'_>, target: &LetterTable, object: &str) -> Result<Arc<dyn StreamSink>, SqlError> {
    let path = &target.path;
    let refused = |what: String| {
        let hint = format!("Name an Iceberg table, or one that is not there yet: the job creates it as {}", create_table(&target.name));
        SqlError::from(Problem::new(NOT_FOUND, object, what).hint(hint).at(Some(target.at)))
    };
    let objects = &planning.session.objects;
    if objects.entry(path).is_none() && objects.lake(&path.catalog, target.at)?.is_none() {
        return Err(target.in_no_lake(objects.lakes.keys().next(), object).into());
    }
    let (catalog, table): (Arc<dyn LakeCatalog>, Box<LakeTable>) = match found(planning, target).await? {
        Found::Lake(lake, table) => (lake.catalog, table),
        Found::Declared(declared) => match &declared.link {
            Some(link) if planning.only_shown => (Arc::clone(&link.catalog), Box::new(link.load_or_plan(path).await?)),
            Some(link) => (Arc::clone(&link.catalog), Box::new(link.load(path, target.at).await?)),
            None => return Err(refused(format!("'{path}' of 'error.table' is not an Iceberg table."))),
        },
        Found::View(_) => return Err(refused(format!("'{path}' of 'error.table' is a view."))),
    };
    let options = planning.session.settings.writing(&hint_bag(path, None));
    let Opened { value, warnings } = IcebergSink::open(&catalog, &table, &options)?;
    planning.warnings.extend(warnings);
    Ok(Arc::new(value))
}

/// What the name stands for; for EXPLAIN also the table that the job would create.
async fn found(planning: &Planning<'_>, target: &LetterTable) -> Result<Found, SqlError> {
    let lake = planning.session.objects.lakes.get(&target.path.catalog).filter(|_| planning.only_shown);
    let missing = match find(planning.session, &target.path, target.at).await {
        Err(error @ SqlError::Problems(_)) => error,
        found => return found,
    };
    let Some(lake) = lake else { return Err(missing) };
    let planned = planned_table(lake.catalog.as_ref(), &target.id(), &target.spec()?);
    let planned = planned.map_err(|source| SqlError::Catalog { what: format!("table '{}' cannot be created", target.path), source })?;
    Ok(Found::Lake(Box::new(lake.clone()), Box::new(planned)))
}

/// What a dead-letter table may have, in order.
fn columns() -> Vec<Field> {
    let added = [JOB, SOURCE].map(|name| Field::new(name, DataType::Utf8, true));
    let letters = letter_schema();
    added.into_iter().chain(letters.fields().iter().map(|field| Field::clone(field).with_nullable(true))).collect()
}

/// The statement that creates a dead-letter table with every column.
fn create_table(name: &str) -> String {
    let column = |field: Field| format!("{} {}", quote_identifier(field.name()), sql_type_of(field.data_type()));
    format!("CREATE TABLE IF NOT EXISTS {name} ({})", columns().into_iter().map(column).collect::<Vec<_>>().join(", "))
}

/// The dead letters of a stream table as DataFusion sees them.
#[derive(Debug)]
struct LetterProvider {
    table: StreamTable,
}

#[async_trait]
impl TableProvider for LetterProvider {
    fn schema(&self) -> SchemaRef {
        letter_schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let factory = state.config().get_extension::<LeafFactory>();
        let factory = factory.ok_or_else(|| plan_datafusion_err!("dead letters of '{}' are delivered in a job only", self.table.path))?;
        (factory.0)(&self.table, Wanted::Letters(projection))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statement_that_is_recommended_names_every_column() {
        assert_eq!(
            create_table("lake.db.errors"),
            "CREATE TABLE IF NOT EXISTS lake.db.errors (job STRING, source STRING, topic STRING, `partition` INT, `offset` BIGINT, \
             `timestamp` TIMESTAMP_LTZ(6), headers MAP<STRING, BYTES>, key BYTES, raw BYTES, `column` STRING, error STRING, `time` TIMESTAMP_LTZ(6))"
        );
    }
}
