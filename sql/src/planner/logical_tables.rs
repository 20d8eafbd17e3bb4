//! Logical tables: one name for a stream and for the table in which the same rows are kept.
//!
//! A streaming job reads the stream side; a batch job and a query read the batch side. Both sides must have the same columns. With a `TIME`
//! column, a period may be set, to which either side is cut.

use arrow_schema::{DataType, Schema};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, ident, lit};
use weir_base::options::Problem;

use super::Planned;
use super::resolve::{Planning, Purpose, plan_side};
use crate::error::{NOT_FOUND, PLAN, SqlError, TYPES, plan_error};
use crate::parse::ast::Logical;
use crate::parse::types::sql_type_of;
use crate::session::SessionParts;
use crate::session::objects::View;
use crate::settings::Settings;

/// Checks that both sides can be planned and have the same columns, and that the time column is one of them and a time.
pub(crate) async fn check(session: &SessionParts, view: &View, logical: &Logical) -> Result<(), SqlError> {
    let stream = plan_side(&mut Planning::new(session, Purpose::Stream), view, &view.query).await?;
    let batch = plan_side(&mut Planning::new(session, Purpose::Batch), view, &logical.batch).await?;
    let object = object(view);
    if let Some(what) = difference(stream.plan.schema().as_arrow(), batch.plan.schema().as_arrow()) {
        let hint = "Both must give the same columns: use aliases and CAST.";
        return Err(Problem::new(TYPES, object, what).hint(hint).at(Some(logical.batch.position)).into());
    }
    let Some((name, at)) = &logical.time else { return Ok(()) };
    match batch.plan.schema().as_arrow().field_with_name(name) {
        Ok(field) if matches!(field.data_type(), DataType::Timestamp(..) | DataType::Date32) => Ok(()),
        Ok(field) => {
            let what = format!("The time column '{name}' has the type {}; it must be a DATE or a TIMESTAMP.", sql_type_of(field.data_type()));
            Err(Problem::new(TYPES, object, what).at(Some(*at)).into())
        }
        Err(_) => {
            let names: Vec<&str> = batch.plan.schema().fields().iter().map(|field| field.name().as_str()).collect();
            let problem = Problem::new(NOT_FOUND, object, format!("Column '{name}' of TIME not found."));
            Err(problem.hint(format!("Columns are {}.", names.join(", "))).at(Some(*at)).into())
        }
    }
}

/// How the columns of two sides differ, if they do.
fn difference(stream: &Schema, batch: &Schema) -> Option<String> {
    if stream.fields().len() != batch.fields().len() {
        return Some(format!("STREAM gives {} columns, BATCH {}.", stream.fields().len(), batch.fields().len()));
    }
    let pairs = stream.fields().iter().zip(batch.fields());
    let mut unlike = pairs.enumerate().filter(|(_, (left, right))| left.name() != right.name() || left.data_type() != right.data_type());
    unlike.next().map(|(index, (left, right))| {
        let shown = |field: &arrow_schema::Field| format!("{} {}", field.name(), sql_type_of(field.data_type()));
        format!("Column {} is `{}` in STREAM and `{}` in BATCH.", index + 1, shown(left), shown(right))
    })
}

/// Cuts a side to the period that is set, if one is.
pub(crate) fn within_period(settings: &Settings, view: &View, logical: &Logical, planned: Planned) -> Result<Planned, SqlError> {
    let [from, to] = settings.period();
    let object = object(view);
    let Some((time, _)) = logical.time.as_ref().filter(|_| from.is_some() || to.is_some()) else {
        if from.is_some() || to.is_some() {
            let problem = Problem::new(PLAN, object, "A period is set, but the logical table does not say which column it applies to.");
            return Err(problem.hint("Add TIME and the column at the end of CREATE LOGICAL TABLE.").into());
        }
        return Ok(planned);
    };
    let data_type = match planned.plan.schema().as_arrow().field_with_name(time) {
        Ok(field) => field.data_type().clone(),
        Err(error) => return Err(plan_error(&error.into(), &object, view.query.position)),
    };
    let bound = |key: &str, text: String| {
        ScalarValue::try_from_string(text.clone(), &data_type).map_err(|_not_a_time| {
            let what = format!("Invalid value for option '{key}': '{text}' is no {}.", sql_type_of(&data_type));
            Problem::new("OPT-003", object.clone(), what).hint("Write it as '2026-01-31' or '2026-01-31 12:00:00'.")
        })
    };
    let from = from.map(|from| bound("execution.period.from", from)).transpose()?;
    let to = to.map(|to| bound("execution.period.to", to)).transpose()?;
    if let (Some(from), Some(to)) = (&from, &to)
        && from >= to
    {
        let what = format!("The period is empty: it begins at {from} and ends before {to}.");
        return Err(Problem::new("OPT-003", object, what)
            .hint("'execution.period.to', or --to, must be later than 'execution.period.from', or --from.")
            .into());
    }
    let bounds: [Option<Expr>; 2] = [from.map(|from| ident(time).gt_eq(lit(from))), to.map(|to| ident(time).lt(lit(to)))];
    let mut bounds = bounds.into_iter().flatten();
    let plan = bounds.try_fold(LogicalPlanBuilder::from(planned.plan), LogicalPlanBuilder::filter).and_then(LogicalPlanBuilder::build);
    Ok(Planned { plan: plan.map_err(|error| plan_error(&error, &object, view.query.position))?, state: planned.state })
}

fn object(view: &View) -> String {
    format!("{} '{}'", view.object().kind(), view.path)
}
