//! The INSERT of a source's dead letters into their table, which the job gets on top of those that were written.

use std::sync::Arc;

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::plan_datafusion_err;
use datafusion::datasource::provider_as_source;
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableType, ident, lit};
use datafusion::physical_plan::ExecutionPlan;
use weir_base::options::{Position, Problem};
use weir_catalog::{LakeCatalog, LakeTable};
use weir_connectors::iceberg::IcebergSink;
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
use crate::session::objects::Scope;

/// Columns that the job adds.
const JOB: &str = "job";
const SOURCE: &str = "source";

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
    let at = letters.position.unwrap_or(Position { line: 1, column: 1 });
    let target = path_of(&letters.table, scope);
    let sink = open(planning, &target, letters, &object, at).await?;
    let provider = Arc::new(LetterProvider { table: table.clone() });
    let schema = sink.schema();
    let names: Vec<String> = columns().map(|(name, _)| name).filter(|name| schema.column_with_name(name).is_some()).collect();
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

/// `table`, `database.table` or `catalog.database.table`, seen from `scope`.
fn path_of(name: &str, scope: &Scope) -> TablePath {
    let parts: Vec<String> = name.split('.').map(|part| part.trim().trim_matches('`').to_owned()).collect();
    scope.path(&parts)
}

async fn open(
    planning: &mut Planning<'_>,
    target: &TablePath,
    letters: &DeadLetters,
    object: &str,
    at: Position,
) -> Result<Arc<dyn StreamSink>, SqlError> {
    let missing = |what: String| {
        let hint = format!("Create it before: {}", create_table(&letters.table));
        SqlError::from(Problem::new(NOT_FOUND, object, what).hint(hint).at(letters.position))
    };
    let found = match find(planning.session, target, at).await {
        Ok(found) => found,
        Err(SqlError::Problems(_)) => return Err(missing(format!("The table '{target}' of 'error.table' does not exist."))),
        Err(error) => return Err(error),
    };
    let (catalog, table): (Arc<dyn LakeCatalog>, Box<LakeTable>) = match found {
        Found::Lake(lake, table) => (lake.catalog, table),
        Found::Declared(declared) => match &declared.link {
            Some(link) if planning.only_shown => (Arc::clone(&link.catalog), Box::new(link.load_or_plan(target).await?)),
            Some(link) => (Arc::clone(&link.catalog), Box::new(link.load(target, at).await?)),
            None => return Err(missing(format!("'{target}' of 'error.table' is not an Iceberg table."))),
        },
        Found::View(_) => return Err(missing(format!("'{target}' of 'error.table' is a view."))),
    };
    let options = planning.session.settings.writing(&hint_bag(target, None));
    let Opened { value, warnings } = IcebergSink::open(&catalog, &table, &options)?;
    planning.warnings.extend(warnings);
    Ok(Arc::new(value))
}

/// Names and types of what a dead-letter table may have, in order.
fn columns() -> impl Iterator<Item = (String, String)> {
    let added = [JOB, SOURCE].map(|name| (name.to_owned(), "STRING".to_owned()));
    let letters = letter_schema();
    let delivered: Vec<_> = letters.fields().iter().map(|field| (field.name().clone(), sql_type_of(field.data_type()))).collect();
    added.into_iter().chain(delivered)
}

/// The statement that creates a dead-letter table with every column.
fn create_table(name: &str) -> String {
    let columns: Vec<String> = columns().map(|(name, sql_type)| format!("{} {sql_type}", quote_identifier(&name))).collect();
    format!("CREATE TABLE IF NOT EXISTS {name} ({})", columns.join(", "))
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
