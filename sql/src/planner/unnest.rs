//! `CROSS JOIN UNNEST(array) AS t (x, y)` as Flink has it: the array may be a column of the tables before it, an array of rows gives one
//! column for each field, a map gives key and value.
//!
//! DataFusion plans no such join. While it reads the query, UNNEST becomes a scan of a [`Marker`] with the right columns; afterwards
//! [`replace_markers`] turns each join with a marker into an unnest of the join's left side.

use std::borrow::Cow;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, RecursionUnnestOption, UnnestOptions, internal_err, plan_err};
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::error::Result as DataFusionResult;
use datafusion::functions::core::expr_fn::get_field;
use datafusion::functions_nested::expr_fn::map_entries;
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::logical_expr::{Expr, ExprSchemable, Join, JoinType, LogicalPlan, LogicalPlanBuilder, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::sql::sqlparser::ast::{Expr as AstExpr, TableFactor};

/// Name of the column that is unnested, while a plan is being built.
const ARRAY: &str = "__weir_array";
/// Name of what it is unnested to.
const ELEMENT: &str = "__weir_element";

/// Plans UNNEST in FROM.
#[derive(Debug)]
pub(crate) struct UnnestPlanner;

impl RelationPlanner for UnnestPlanner {
    fn plan_relation(&self, relation: TableFactor, context: &mut dyn RelationPlannerContext) -> DataFusionResult<RelationPlanning> {
        let TableFactor::UNNEST { mut alias, mut array_exprs, with_offset: false, with_ordinality, .. } = relation else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        if with_ordinality {
            return plan_err!("UNNEST … WITH ORDINALITY is not supported yet");
        }
        let (Some(array), true) = (array_exprs.pop(), array_exprs.is_empty()) else {
            return plan_err!("UNNEST takes one array or map");
        };
        let expression = outer_expression(array, context)?;
        let element = Element::of(&expression.get_type(&DFSchema::empty())?)?;
        // DataFusion would give the columns their new names itself, but looks for the old ones in lower case.
        let names: Vec<String> = alias.iter_mut().flat_map(|alias| alias.columns.drain(..)).map(|column| column.name.value).collect();
        let mut columns = element.columns();
        if !names.is_empty() && names.len() != columns.len() {
            return plan_err!("UNNEST gives {} columns here, but {} are named", columns.len(), names.len());
        }
        for (column, name) in columns.iter_mut().zip(names) {
            column.set_name(name);
        }
        let marker = Marker { schema: Arc::new(Schema::new(columns)), expression, element };
        let plan = LogicalPlanBuilder::scan("UNNEST", provider_as_source(Arc::new(marker)), None)?.build()?;
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias))))
    }
}

/// Plans the argument; the tables before UNNEST are its outer tables. DataFusion reads no field of a row in an outer column, so a dotted
/// name is split here: the longest beginning that is a column, then fields.
fn outer_expression(array: AstExpr, context: &mut dyn RelationPlannerContext) -> DataFusionResult<Expr> {
    let empty = DFSchema::empty();
    let AstExpr::CompoundIdentifier(parts) = &array else { return context.sql_to_expr(array, &empty) };
    let mut last = None;
    for length in (1..=parts.len()).rev() {
        let (column, fields) = parts.split_at(length);
        let column = match column {
            [one] => AstExpr::Identifier(one.clone()),
            several => AstExpr::CompoundIdentifier(several.to_vec()),
        };
        match context.sql_to_expr(column, &empty) {
            Ok(found) => return Ok(fields.iter().fold(found, |value, field| get_field(value, field.value.clone()))),
            Err(error) => last = last.or(Some(error)),
        }
    }
    match last {
        Some(error) => Err(error),
        None => internal_err!("a name without parts"),
    }
}

/// What one element of the array or map becomes.
#[derive(Debug, Clone)]
enum Element {
    /// One column.
    Value(Field),
    /// One column for each field.
    Row(Vec<Field>),
    /// Key and value of a map.
    Entry(Vec<Field>),
}

impl Element {
    fn of(data_type: &DataType) -> DataFusionResult<Self> {
        match data_type {
            DataType::List(element) | DataType::LargeList(element) | DataType::FixedSizeList(element, _) => match element.data_type() {
                DataType::Struct(fields) => Ok(Self::Row(fields.iter().map(|field| nullable(field.name(), field.data_type())).collect())),
                other => Ok(Self::Value(nullable("EXPR$0", other))),
            },
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(fields) if fields.len() == 2 => {
                    Ok(Self::Entry(vec![nullable("KEY", fields[0].data_type()), nullable("VALUE", fields[1].data_type())]))
                }
                other => internal_err!("a map of {other}"),
            },
            other => plan_err!("UNNEST takes an ARRAY, a MULTISET or a MAP, not {}", crate::parse::types::sql_type_of(other)),
        }
    }

    fn columns(&self) -> Vec<Field> {
        match self {
            Self::Value(field) => vec![field.clone()],
            Self::Row(fields) | Self::Entry(fields) => fields.clone(),
        }
    }
}

fn nullable(name: &str, data_type: &DataType) -> Field {
    Field::new(name, data_type.clone(), true)
}

/// Stands for an UNNEST in a plan that is not finished.
#[derive(Debug)]
struct Marker {
    schema: SchemaRef,
    expression: Expr,
    element: Element,
}

#[async_trait]
impl TableProvider for Marker {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    fn get_logical_plan(&self) -> Option<Cow<'_, LogicalPlan>> {
        None
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        _projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        plan_err!("UNNEST cannot stand here")
    }
}

/// Turns joins with UNNEST into what they mean, then every UNNEST that is joined to nothing.
pub(crate) fn replace_markers(plan: LogicalPlan) -> DataFusionResult<LogicalPlan> {
    let joined = plan.transform_up_with_subqueries(replace_join)?.data;
    Ok(joined.transform_up_with_subqueries(replace_scan)?.data)
}

fn replace_join(plan: LogicalPlan) -> DataFusionResult<Transformed<LogicalPlan>> {
    let LogicalPlan::Join(join) = &plan else { return Ok(Transformed::no(plan)) };
    match marker_of(&join.right)? {
        Some(marker) => Ok(Transformed::yes(expand_join(join, &marker)?)),
        None => Ok(Transformed::no(plan)),
    }
}

fn replace_scan(plan: LogicalPlan) -> DataFusionResult<Transformed<LogicalPlan>> {
    let LogicalPlan::TableScan(_) = &plan else { return Ok(Transformed::no(plan)) };
    let Some(marker) = marker_of(&plan)? else { return Ok(Transformed::no(plan)) };
    if marker.expression.exists(|inner| Ok(matches!(inner, Expr::OuterReferenceColumn(..))))? {
        return plan_err!("UNNEST of a column must be joined to its table: FROM t CROSS JOIN UNNEST(t.c) AS u (x)");
    }
    let one_row = LogicalPlanBuilder::empty(true).build()?;
    Ok(Transformed::yes(expand(one_row, &marker, plan.schema(), &[])?))
}

/// The marker that a plan is a scan of, under aliases perhaps.
fn marker_of(plan: &LogicalPlan) -> DataFusionResult<Option<Arc<Marker>>> {
    match plan {
        LogicalPlan::SubqueryAlias(alias) => marker_of(&alias.input),
        LogicalPlan::Projection(projection) if projection.expr.iter().all(is_renaming) => marker_of(&projection.input),
        LogicalPlan::TableScan(scan) => {
            let provider: Arc<dyn std::any::Any + Send + Sync> = source_as_provider(&scan.source)?;
            Ok(provider.downcast::<Marker>().ok())
        }
        _ => Ok(None),
    }
}

fn is_renaming(expression: &Expr) -> bool {
    match expression {
        Expr::Alias(alias) => is_renaming(&alias.expr),
        Expr::Column(_) => true,
        _ => false,
    }
}

fn expand_join(join: &Join, marker: &Marker) -> DataFusionResult<LogicalPlan> {
    if join.join_type != JoinType::Inner {
        return plan_err!("{} JOIN UNNEST is not supported yet: use CROSS JOIN UNNEST", join.join_type.to_string().to_uppercase());
    }
    let left_columns: Vec<Expr> = join.left.schema().columns().into_iter().map(Expr::Column).collect();
    let plan = expand(join.left.as_ref().clone(), marker, join.right.schema(), &left_columns)?;
    let conditions = join.on.iter().map(|(left, right)| left.clone().eq(right.clone())).chain(join.filter.clone());
    let mut builder = LogicalPlanBuilder::from(plan);
    for condition in conditions {
        builder = builder.filter(condition)?;
    }
    builder.build()
}

/// `kept` columns of `input`, then the columns of each element under the names of `names`.
fn expand(input: LogicalPlan, marker: &Marker, names: &DFSchema, kept: &[Expr]) -> DataFusionResult<LogicalPlan> {
    let array = marker.expression.clone().transform(|inner| match inner {
        Expr::OuterReferenceColumn(_, column) => Ok(Transformed::yes(Expr::Column(column))),
        other => Ok(Transformed::no(other)),
    })?;
    let array = if matches!(marker.element, Element::Entry(_)) { map_entries(array.data) } else { array.data };
    let with_array: Vec<Expr> = kept.iter().cloned().chain([array.alias(ARRAY)]).collect();
    let elements = Column::from_name(ELEMENT);
    // A name of its own for the element keeps the optimiser from taking an access to it for one to the array, below the unnest.
    let recursion = RecursionUnnestOption { input_column: Column::from_name(ARRAY), output_column: elements.clone(), depth: 1 };
    let options = UnnestOptions::new().with_preserve_nulls(false).with_recursions(recursion);
    let unnested = LogicalPlanBuilder::from(input).project(with_array)?.unnest_column_with_options(Column::from_name(ARRAY), options)?;
    let element_fields = unnested.schema().field_with_unqualified_name(ELEMENT)?.data_type().clone();
    let values: Vec<Expr> = match (&marker.element, &element_fields) {
        (Element::Value(_), _) => vec![Expr::Column(elements)],
        (Element::Row(_) | Element::Entry(_), DataType::Struct(fields)) => {
            fields.iter().map(|field| get_field(Expr::Column(elements.clone()), field.name().clone())).collect()
        }
        (_, other) => return internal_err!("elements of type {other}"),
    };
    let named = values.into_iter().zip(names.iter()).map(|(value, (qualifier, field))| value.alias_qualified(qualifier.cloned(), field.name()));
    unnested.project(kept.iter().cloned().chain(named).collect::<Vec<_>>())?.build()
}
