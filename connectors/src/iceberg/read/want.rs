//! What expressions want of the columns they read.
//!
//! The walk goes from an expression's result down to columns: `ev['b']['c']` wants one leaf of `ev`, `tags[1]['k']` one of the list's
//! elements, `map_keys(m)` only keys. Whatever is not known here wants everything of what it reads. Pure.

use std::sync::Arc;

use arrow_schema::{DataType, Schema};
use datafusion::common::ScalarValue;
use datafusion::physical_expr::expressions::{CastExpr, Column, IsNotNullExpr, IsNullExpr, Literal};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};

use super::need::{Need, parts_of};

/// Adds to `needs`, which has one entry for each column of `schema`, what `expression` reads if `need` is wanted of its result.
pub(super) fn add(expression: &Arc<dyn PhysicalExpr>, need: Need, schema: &Schema, needs: &mut [Need]) {
    if let Some(column) = expression.downcast_ref::<Column>() {
        if let Some(known) = needs.get_mut(column.index()) {
            known.merge(need);
        }
        return;
    }
    if let Some(call) = expression.downcast_ref::<ScalarFunctionExpr>()
        && of_call(call, &need, schema, needs).is_some()
    {
        return;
    }
    if let Some(cast) = expression.downcast_ref::<CastExpr>() {
        let passes = cast.expr().data_type(schema).is_ok_and(|from| same_shape(&from, cast.cast_type()));
        return add(cast.expr(), if passes { need } else { Need::Whole }, schema, needs);
    }
    let nullness = expression.downcast_ref::<IsNullExpr>().map(IsNullExpr::arg);
    if let Some(argument) = nullness.or_else(|| expression.downcast_ref::<IsNotNullExpr>().map(IsNotNullExpr::arg)) {
        return add(argument, Need::presence(), schema, needs);
    }
    for child in expression.children() {
        add(child, Need::Whole, schema, needs);
    }
}

/// What a call of a known function wants; `None` for others.
fn of_call(call: &ScalarFunctionExpr, need: &Need, schema: &Schema, needs: &mut [Need]) -> Option<()> {
    let (first, others) = call.args().split_first()?;
    let base = first.data_type(schema).ok()?;
    let wanted = match call.name() {
        "get_field" => wrapped(&base, others, need)?,
        "array_element" | "list_element" | "array_extract" | "list_extract" if is_list(&base) => Need::part(0, need.clone()),
        "map_extract" | "element_at" if is_map(&base) => both(Need::Whole, list_part(need)),
        "map_keys" if is_map(&base) => Need::part(0, list_part(need)),
        "map_values" if is_map(&base) => Need::part(1, list_part(need)),
        "map_entries" if is_map(&base) => list_part(need),
        "cardinality" | "array_length" | "list_length" | "empty" | "array_empty" | "list_empty" if is_list(&base) || is_map(&base) => {
            Need::presence()
        }
        _ => return None,
    };
    add(first, wanted, schema, needs);
    for other in others {
        add(other, Need::Whole, schema, needs);
    }
    Some(())
}

/// `need` of what `get_field(base, keys…)` gives, as a need of `base`.
fn wrapped(base: &DataType, keys: &[Arc<dyn PhysicalExpr>], need: &Need) -> Option<Need> {
    let Some((key, deeper)) = keys.split_first() else { return Some(need.clone()) };
    match base {
        DataType::Struct(fields) => {
            let name = text(key)?;
            let index = fields.iter().position(|field| field.name() == name)?;
            Some(Need::part(index, wrapped(fields.get(index)?.data_type(), deeper, need)?))
        }
        DataType::Map(..) => {
            let value = parts_of(base).get(1)?;
            Some(both(Need::Whole, wrapped(value.data_type(), deeper, need)?))
        }
        _ => None,
    }
}

/// The text of a literal.
pub(super) fn text(expression: &Arc<dyn PhysicalExpr>) -> Option<&str> {
    expression.downcast_ref::<Literal>()?.value().try_as_str().flatten()
}

fn both(key: Need, value: Need) -> Need {
    Need::Parts([(0, key), (1, value)].into())
}

/// What is wanted of the elements of a list.
fn list_part(need: &Need) -> Need {
    need.of_part(0).cloned().unwrap_or_else(Need::presence)
}

fn is_list(data_type: &DataType) -> bool {
    matches!(data_type, DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..))
}

fn is_map(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Map(..))
}

/// Whether a cast changes names of parts, nullability and metadata at most, or leaves, but not which part is which.
pub(super) fn same_shape(from: &DataType, to: &DataType) -> bool {
    let (mine, theirs) = (parts_of(from), parts_of(to));
    let names = |data_type: &DataType| matches!(data_type, DataType::Struct(_));
    mine.len() == theirs.len()
        && std::mem::discriminant(from) == std::mem::discriminant(to)
        && mine.iter().zip(theirs).all(|(mine, theirs)| {
            (!names(from) || mine.name() == theirs.name())
                && (mine.data_type() == theirs.data_type() || !parts_of(mine.data_type()).is_empty())
                && same_shape(mine.data_type(), theirs.data_type())
        })
}

/// The value of a literal.
pub(super) fn literal(expression: &Arc<dyn PhysicalExpr>) -> Option<&ScalarValue> {
    expression.downcast_ref::<Literal>().map(Literal::value)
}

#[cfg(test)]
mod tests {
    use arrow_schema::{Field, Fields};
    use datafusion::common::DFSchema;
    use datafusion::prelude::SessionContext;

    use super::super::need::paths;
    use super::*;

    fn table() -> Schema {
        let field = |name: &str, data_type| Field::new(name, data_type, true);
        let inner = DataType::Struct(Fields::from(vec![field("c", DataType::Int32), field("d", DataType::Utf8)]));
        let event = DataType::Struct(Fields::from(vec![field("a", DataType::Utf8), field("b", inner.clone())]));
        let tags = DataType::List(Arc::new(field("element", inner.clone())));
        let entries = Fields::from(vec![Field::new("key", DataType::Utf8, false), field("value", inner)]);
        let map = DataType::Map(Arc::new(Field::new("key_value", DataType::Struct(entries), false)), false);
        Schema::new(vec![field("id", DataType::Int64), field("ev", event), field("tags", tags), field("m", map)])
    }

    fn wanted(sql: &str) -> Vec<String> {
        let schema = table();
        let context = SessionContext::new();
        let known = DFSchema::try_from(schema.clone()).expect("schema");
        let expression = context.parse_sql_expr(sql, &known).expect("parses");
        let expression = context.create_physical_expr(expression, &known).expect("plans");
        let mut needs = vec![Need::presence(); schema.fields().len()];
        add(&expression, Need::Whole, &schema, &mut needs);
        let untouched = Need::presence();
        let all = schema.fields().iter().zip(&needs).filter(|(_, need)| **need != untouched);
        all.flat_map(|(field, need)| paths(field.name(), field.data_type(), need)).collect()
    }

    #[test]
    fn only_the_leaves_that_an_expression_reads_are_wanted() {
        assert_eq!(wanted("ev['b']['c'] + 1"), ["ev.b.c"]);
        assert_eq!(wanted("ev['b']"), ["ev.b"]);
        assert_eq!(wanted("tags[1]['c']"), ["tags.element.c"]);
        assert_eq!(wanted("m['x']['d']"), ["m.key", "m.value.d"]);
        assert_eq!(wanted("map_keys(m)"), ["m.key"]);
        assert_eq!(wanted("map_values(m)[1]['c']"), ["m.value.c"]);
        assert_eq!(wanted("ev['a'] = tags[id]['d']"), ["id", "ev.a", "tags.element.d"]);
    }

    #[test]
    fn what_is_not_known_wants_everything() {
        assert_eq!(wanted("array_sort(tags)[1]['c']"), ["tags"]);
        assert_eq!(wanted("case when ev is null then 1 else 2 end"), Vec::<String>::new());
    }
}
