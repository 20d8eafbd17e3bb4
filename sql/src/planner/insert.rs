//! INSERT INTO and INSERT OVERWRITE: the query's columns go into the sink's by position; those that PARTITION names have its values, omitted
//! ones are NULL; types are converted as Flink converts them.

use std::sync::Arc;

use arrow_schema::{DataType, Field, SchemaRef};
use datafusion::common::{DFSchema, DFSchemaRef, DataFusionError, ScalarValue};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder};
use iceberg::spec::{PartitionSpec, Transform};
use weir_base::options::{OptionBag, Position, Problem, closest};
use weir_catalog::{LakeCatalog, LakeTable};
use weir_connectors::iceberg::{IcebergSink, Scope as Replaces, is_partitioned_by};
use weir_connectors::registry::{Opened, Role};
use weir_connectors::sink::StreamSink;
use weir_connectors::table::TablePath;

use super::functions::{nested_cast, not_null};
use super::implicit_cast::{fits_as_flink_types, is_implicit};
use super::lookup::keep_order;
use super::resolve::{Found, Planning, computed, find, hint_bag};
use super::time_travel::evaluated;
use super::{Planned, optimise, plan_query, streaming};
use crate::error::{NOT_FOUND, NOT_YET, PLAN, SqlError, TYPES, plan_error};
use crate::parse::ast::Insert;
use crate::parse::types::sql_type_of;
use crate::plan::PlannedInsert;
use crate::session::objects::Scope;
use crate::settings::NotNull;

/// Plans one INSERT; `sink_id` is made from the inserts before it.
pub(crate) async fn plan_insert(
    planning: &mut Planning<'_>,
    insert: &Insert,
    scope: &Scope,
    before: &[PlannedInsert],
) -> Result<(PlannedInsert, Planned), SqlError> {
    let target = scope.table(&insert.target);
    // Before the query's tables are loaded: a file that the query reads and the sink does not know yet is heeded by the sink's commit. The other
    // way round an INSERT OVERWRITE would take away files that its query has not read.
    let opened = open_sink(planning, insert, &target).await?;
    let mut planned = plan_query(planning, &insert.query, scope).await?;
    if let Some(what) = streaming::first_unsupported(&planned.plan) {
        let problem = Problem::new(NOT_YET, format!("INSERT INTO '{target}'"), format!("{what} over a stream is not supported yet."));
        let hint =
            "A streaming INSERT can project, filter, cast, call scalar functions, UNNEST, and JOIN … FOR SYSTEM_TIME AS OF a PROCTIME() column.";
        return Err(problem.hint(hint).at(Some(insert.query.position)).into());
    }
    if insert.overwrite && streaming::reads_stream(&planned.plan) {
        let what = "its query reads a stream: each epoch would overwrite the one before.";
        let hint = "Read a table, a logical table in batch mode, or files.";
        return Err(Problem::new(PLAN, format!("INSERT OVERWRITE '{target}'"), what).hint(hint).at(Some(insert.query.position)).into());
    }
    planned.plan = fit(planning, planned.plan, insert.query.position, &opened, &target)?;
    let query = optimise(&planned, &format!("INSERT INTO '{target}'"), insert.query.position)?;
    if let Some((table, kind)) = streaming::blind_to_changes(&query) {
        let what = format!("it reads the changes of '{table}' and does not look at '{kind}': rows that were removed would come as new ones.");
        let hint = format!("Select '{kind}' into a column of the target, or filter by it: WHERE {kind} = '+I'.");
        return Err(Problem::new(PLAN, format!("INSERT INTO '{target}'"), what).hint(hint).at(Some(insert.query.position)).into());
    }
    let query = keep_order(query, opened.sink.as_ref(), &target, insert.query.position)?;
    planning.circles.push((opened.uuid.clone(), streaming::tables_followed(&query)));
    if let Some(number) = streaming::first_in_a_circle(&planning.circles) {
        let first = before.get(number).map_or(&target, |insert| &insert.target);
        let what = if *first == target {
            "it reads the stream of its own target: every row that it writes would come back to it, for ever.".to_owned()
        } else {
            format!(
                "with it the rows of '{first}' come back to '{first}', for ever: the INSERTs of the job read the streams of each other's targets."
            )
        };
        return Err(Problem::new(PLAN, format!("INSERT INTO '{target}'"), what).at(Some(insert.query.position)).into());
    }
    let sink_id = sink_id(&target.table, &opened.suffix, before);
    Ok((PlannedInsert { sink_id, target, sink: opened.sink, query, look: None }, planned))
}

/// The table's name, with the suffix that the user gave; `-2` and so on behind it if that is taken.
pub(super) fn sink_id(table: &str, suffix: &str, before: &[PlannedInsert]) -> String {
    let name = if suffix.is_empty() { table.to_owned() } else { format!("{table}-{suffix}") };
    let is_free = |id: &String| before.iter().all(|other| other.sink_id != *id);
    let numbered = (2_u64..).map(|number| format!("{name}-{number}"));
    std::iter::once(name.clone()).chain(numbered).find(is_free).unwrap_or(name)
}

/// What an INSERT goes into.
pub(super) struct Target {
    pub(super) sink: Arc<dyn StreamSink>,
    /// What the sink's options add to its id.
    pub(super) suffix: String,
    /// The columns that the query fills, in its order; empty for all of the sink that have no constant.
    pub(super) columns: Vec<(String, Position)>,
    /// Of a table in a lake.
    pub(super) uuid: Option<String>,
    /// Columns with one value in all rows.
    pub(super) constants: Vec<(String, ScalarValue)>,
}

async fn open_sink(planning: &mut Planning<'_>, insert: &Insert, target: &TablePath) -> Result<Target, SqlError> {
    let session = planning.session;
    let mut columns = insert.columns.clone();
    let mut uuid = None;
    let mut constants = Vec::new();
    let (sink, suffix) = match find(session, target, insert.target.position).await? {
        Found::View(_) => {
            let problem = Problem::new(NOT_YET, format!("View '{target}'"), "a view cannot be the target of an INSERT.");
            return Err(problem.at(Some(insert.target.position)).into());
        }
        Found::Declared(table) => match &table.link {
            Some(link) => {
                let found = if planning.only_shown { link.load_or_plan(target).await? } else { link.load(target, insert.target.position).await? };
                planning.warnings.extend(link.differences(target, &found)?);
                if columns.is_empty() {
                    columns = table.def.sink_schema().fields().iter().map(|field| (field.name().clone(), insert.target.position)).collect();
                }
                uuid = Some(found.metadata.uuid().to_string());
                open_iceberg(planning, (&link.catalog, &found), &link.writing(target, &insert.hint), insert, &mut constants)?
            }
            None if insert.overwrite || !insert.partition.is_empty() => {
                let what = "only Iceberg tables can be overwritten, and only they have partitions.";
                return Err(Problem::new(NOT_YET, format!("Table '{target}'"), what).at(Some(insert.target.position)).into());
            }
            None => {
                let def = table.with_hint(Some(&insert.hint));
                let Opened { value, warnings } = session.registry.for_role(&def, Role::Sink)?.sink(&def, &session.file_systems)?;
                planning.warnings.extend(warnings);
                (value, String::new())
            }
        },
        Found::Lake(lake, table) => {
            uuid = Some(table.metadata.uuid().to_string());
            open_iceberg(planning, (&lake.catalog, &table), &hint_bag(target, Some(&insert.hint)), insert, &mut constants)?
        }
    };
    Ok(Target { sink, suffix, columns, uuid, constants })
}

/// The sink of a table in a lake, and its suffix.
fn open_iceberg(
    planning: &mut Planning<'_>,
    (catalog, table): (&Arc<dyn LakeCatalog>, &LakeTable),
    options: &OptionBag,
    insert: &Insert,
    constants: &mut Vec<(String, ScalarValue)>,
) -> Result<(Arc<dyn StreamSink>, String), SqlError> {
    let Opened { value, warnings } = IcebergSink::open(catalog, table, &planning.session.settings.writing(options))?;
    planning.warnings.extend(warnings);
    let suffix = value.uid_suffix().to_owned();
    let schema = value.schema();
    let named: Vec<(String, Position)> = insert.partition.iter().map(|given| (given.column.clone(), given.position)).collect();
    for (given, place) in insert.partition.iter().zip(places(&named, &schema, options.object())?) {
        if !is_partitioned_by(table, &given.column) {
            let what = format!("it is not partitioned by the column '{}' as it is, so PARTITION cannot name it.", given.column);
            return Err(Problem::new(PLAN, options.object(), what).at(Some(given.position)).into());
        }
        let field = schema.fields().get(place);
        if let (Some(text), Some(field)) = (&given.value, field) {
            constants.push((given.column.clone(), constant(planning, text, field, options.object(), given.position)?));
        }
    }
    if !insert.overwrite {
        return Ok((Arc::new(value), suffix));
    }
    let replaces = overwritten(table.metadata.default_partition_spec(), constants);
    Ok((Arc::new(value.replacing(catalog, table, replaces, true)?), suffix))
}

/// What INSERT OVERWRITE replaces in a table that is partitioned so, if PARTITION gives these values. A field that was dropped from a table of
/// format 1 stays in the specification and does not partition it.
fn overwritten(spec: &PartitionSpec, constants: &[(String, ScalarValue)]) -> Replaces {
    match spec.fields().iter().filter(|field| field.transform != Transform::Void).count() {
        0 => Replaces::Everything,
        all if all == constants.len() => Replaces::Partitions(constants.to_vec()),
        _ => Replaces::TouchedPartitions,
    }
}

/// The value of an element of PARTITION, in the type of its column.
fn constant(planning: &Planning<'_>, text: &str, field: &Field, object: &str, at: Position) -> Result<ScalarValue, SqlError> {
    let nothing = DFSchema::empty();
    let failed = |error: DataFusionError| plan_error(&error, object, at);
    let value = computed(&planning.base, text, &nothing, object, at)?.cast_to(field.data_type(), &nothing).map_err(failed)?;
    evaluated(&planning.base, value).map_err(failed)
}

/// A projection of `query` to the columns of the sink.
pub(super) fn fit(planning: &Planning<'_>, query: LogicalPlan, at: Position, opened: &Target, target: &TablePath) -> Result<LogicalPlan, SqlError> {
    let object = format!("INSERT INTO '{target}'");
    let sink = opened.sink.schema();
    let constant_of = |name: &str| opened.constants.iter().find(|(column, _)| column == name).map(|(_, value)| value);
    let places = match opened.columns.as_slice() {
        [] => (0..sink.fields().len()).filter(|place| constant_of(sink.field(*place).name()).is_none()).collect(),
        named => places(named, &sink, &object)?,
    };
    if let Some((name, position)) = opened.columns.iter().find(|(name, _)| constant_of(name).is_some()) {
        let what = format!("Column '{name}' has a value in PARTITION and is filled by the query as well.");
        return Err(Problem::new(PLAN, object, what).at(Some(*position)).into());
    }
    let given = query.schema().fields().len();
    if given != places.len() {
        let names: Vec<&str> = places.iter().filter_map(|place| sink.fields().get(*place)).map(|field| field.name().as_str()).collect();
        let what = format!("The query gives {given} columns, but {} are to be filled.", places.len());
        return Err(Problem::new(PLAN, object, what).hint(format!("Columns are {}.", names.join(", "))).at(Some(at)).into());
    }
    let mut problems = Vec::new();
    let mut columns = Vec::with_capacity(sink.fields().len());
    let mut never_null = Vec::new();
    for (index, field) in sink.fields().iter().enumerate() {
        let source = places.iter().position(|place| *place == index);
        let value = match constant_of(field.name()) {
            Some(value) => Ok(Expr::Literal(value.clone(), None)),
            None => column(&query, source, field, &object),
        };
        match value {
            Ok(value) => {
                if !field.is_nullable() && value.nullable(query.schema()).unwrap_or(true) {
                    never_null.push(columns.len());
                }
                columns.push(value);
            }
            Err(problem) => problems.push((*problem).at(Some(at))),
        }
    }
    if !problems.is_empty() {
        return Err(weir_base::options::Problems::new(problems).into());
    }
    let mut builder = LogicalPlanBuilder::from(query);
    for index in never_null {
        let (Some(value), Some(field)) = (columns.get_mut(index), sink.fields().get(index)) else { continue };
        if planning.session.settings.not_null() == NotNull::Drop {
            let filtered = builder.filter(value.clone().is_not_null());
            builder = filtered.map_err(|error| plan_error(&error, &object, at))?;
        }
        // Behind the filter it only says that the column is never NULL.
        *value = not_null(value.clone(), &target.to_string(), field.name());
    }
    let named = columns.into_iter().zip(sink.fields()).map(|(value, field)| value.alias(field.name()));
    let plan = builder.project(named.collect::<Vec<_>>()).and_then(LogicalPlanBuilder::build);
    plan.map_err(|error| plan_error(&error, &object, at))
}

/// For each column of the query, the place of the sink's column that it goes into.
pub(super) fn places(named: &[(String, Position)], sink: &SchemaRef, object: &str) -> Result<Vec<usize>, SqlError> {
    let mut places = Vec::with_capacity(named.len());
    let mut problems = Vec::new();
    for (name, at) in named {
        match sink.index_of(name) {
            Ok(place) if places.contains(&place) => {
                problems.push(Problem::new(PLAN, object, format!("Column '{name}' is named twice.")).at(Some(*at)));
            }
            Ok(place) => places.push(place),
            Err(_) => {
                let near = closest(name, sink.fields().iter().map(|field| field.name().as_str()));
                let near = near.first().map(|near| format!("Did you mean '{near}'?"));
                problems.push(Problem::new(NOT_FOUND, object, format!("Column '{name}' not found.")).suggest(near).at(Some(*at)));
            }
        }
    }
    if problems.is_empty() { Ok(places) } else { Err(weir_base::options::Problems::new(problems).into()) }
}

/// The value of one column of the sink.
pub(super) fn column(query: &LogicalPlan, source: Option<usize>, field: &Field, object: &str) -> Result<Expr, Box<Problem>> {
    let schema: &DFSchemaRef = query.schema();
    let Some(source) = source else {
        if !field.is_nullable() {
            let what = format!("Column '{}' is NOT NULL and must be given a value.", field.name());
            return Err(Problem::new(PLAN, object, what).into());
        }
        let null = ScalarValue::try_new_null(field.data_type());
        let null = null.map_err(|error| Box::new(Problem::new(PLAN, object, format!("{error}."))))?;
        return Ok(Expr::Literal(null, None));
    };
    let (qualifier, from) = schema.qualified_field(source);
    let value = Expr::Column((qualifier, from).into());
    let to = field.data_type();
    if from.data_type() == to {
        return Ok(value);
    }
    let literal_fits = || match query {
        LogicalPlan::Projection(projection) => {
            projection.expr.get(source).is_some_and(|expression| fits_as_flink_types(expression, projection.input.schema(), to))
        }
        LogicalPlan::Values(values) => values.values.iter().all(|row| row.get(source).is_some_and(|value| fits_as_flink_types(value, schema, to))),
        _ => false,
    };
    if !is_implicit(from.data_type(), to) && !literal_fits() {
        let (from, to) = (sql_type_of(from.data_type()), sql_type_of(to));
        let what = format!("Column '{}' has the type {to}, but the query gives {from} ('{}').", field.name(), schema.field(source).name());
        return Err(Problem::new(TYPES, object, what).hint(format!("CAST it: CAST(… AS {to}).")).into());
    }
    let cast = if is_nested(to) { nested_cast(value, to) } else { value.cast_to(to, schema.as_ref()) };
    cast.map_err(|error| Problem::new(TYPES, object, format!("{}.", error.strip_backtrace())).into())
}

fn is_nested(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Struct(_) | DataType::List(_) | DataType::Map(..))
}

#[cfg(test)]
mod tests {
    use iceberg::spec::{NestedField, PrimitiveType, Schema, Type};

    use super::*;

    #[test]
    fn a_dropped_partition_field_does_not_partition_a_table() {
        let text = |id, name| NestedField::optional(id, name, Type::Primitive(PrimitiveType::String)).into();
        let schema = Schema::builder().with_fields([text(1, "day"), text(2, "kind")]).build().expect("schema");
        let replaced = |transforms: &[(&str, Transform)], given: &[&str]| {
            let spec = transforms.iter().fold(PartitionSpec::builder(schema.clone()), |spec, (name, transform)| {
                spec.add_partition_field(name, format!("{name}_part"), *transform).expect("field")
            });
            let constants: Vec<_> = given.iter().map(|name| ((*name).to_owned(), ScalarValue::from("x"))).collect();
            overwritten(&spec.build().expect("spec"), &constants)
        };
        let (day, kind, dropped) = (("day", Transform::Identity), ("kind", Transform::Identity), ("kind", Transform::Void));
        assert!(matches!(replaced(&[], &[]), Replaces::Everything));
        assert!(matches!(replaced(&[dropped], &[]), Replaces::Everything));
        assert!(matches!(replaced(&[day, dropped], &["day"]), Replaces::Partitions(values) if values.len() == 1));
        assert!(matches!(replaced(&[day, dropped], &[]), Replaces::TouchedPartitions));
        assert!(matches!(replaced(&[day, kind], &["day"]), Replaces::TouchedPartitions));
    }
}
