//! Conditions from the expressions of filters. What has no counterpart becomes [`Condition::Unknown`]. Pure.

use std::sync::Arc;

use arrow_schema::{DataType, Fields};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{
    BinaryExpr, CaseExpr, CastExpr, Column, DynamicFilterPhysicalExpr, InListExpr, IsNotNullExpr, IsNullExpr, LikeExpr, NotExpr,
};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};

use super::condition::{Comparison, Condition, LeafRef};
use super::need::parts_of;
use super::want::{literal, same_shape, text};
use crate::iceberg::types::field_id;

/// The condition that rows meet for which all `filters` are true. Their columns are those of `fields`, which carry ids.
pub(super) fn all(filters: &[Arc<dyn PhysicalExpr>], fields: &Fields) -> Condition {
    Condition::And(filters.iter().map(|filter| of(filter, fields)).collect())
}

fn of(expression: &Arc<dyn PhysicalExpr>, fields: &Fields) -> Condition {
    if let Some(filter) = expression.downcast_ref::<DynamicFilterPhysicalExpr>() {
        return filter.current().map_or(Condition::Unknown, |current| of(&current, fields));
    }
    if let Some(value) = literal(expression) {
        return if matches!(value, ScalarValue::Boolean(Some(true))) { Condition::Unknown } else { Condition::Never };
    }
    if let Some(binary) = expression.downcast_ref::<BinaryExpr>() {
        return of_binary(binary, fields);
    }
    if let Some(list) = expression.downcast_ref::<InListExpr>() {
        return of_list(list, fields).unwrap_or(Condition::Unknown);
    }
    if let Some(like) = expression.downcast_ref::<LikeExpr>() {
        return of_like(like, fields).unwrap_or(Condition::Unknown);
    }
    if let Some(null) = expression.downcast_ref::<IsNullExpr>() {
        return leaf_of(null.arg(), fields).map_or(Condition::Unknown, |(leaf, _)| Condition::IsNull(leaf));
    }
    if let Some(null) = expression.downcast_ref::<IsNotNullExpr>() {
        return leaf_of(null.arg(), fields).map_or(Condition::Unknown, |(leaf, _)| Condition::NotNull(leaf));
    }
    if let Some(not) = expression.downcast_ref::<NotExpr>() {
        return truth(not.arg(), false, fields);
    }
    // One of the results holds, whichever it is.
    if let Some(case) = expression.downcast_ref::<CaseExpr>() {
        let results = case.when_then_expr().iter().map(|(_, then)| then).chain(case.else_expr());
        return Condition::Or(results.map(|result| of(result, fields)).collect());
    }
    if let Some(call) = expression.downcast_ref::<ScalarFunctionExpr>()
        && let ("starts_with", [value, prefix]) = (call.name(), call.args())
        && let (Some((leaf, DataType::Utf8)), Some(prefix)) = (leaf_of(value, fields), text(prefix))
    {
        return Condition::StartsWith(leaf, prefix.to_owned());
    }
    truth(expression, true, fields)
}

/// A leaf that is itself true or false.
fn truth(expression: &Arc<dyn PhysicalExpr>, value: bool, fields: &Fields) -> Condition {
    match leaf_of(expression, fields) {
        Some((leaf, DataType::Boolean)) => Condition::Compare(leaf, Comparison::Equal, value.into()),
        _ => Condition::Unknown,
    }
}

fn of_binary(binary: &BinaryExpr, fields: &Fields) -> Condition {
    let (left, right) = (binary.left(), binary.right());
    let comparison = match binary.op() {
        Operator::And => return Condition::And(vec![of(left, fields), of(right, fields)]),
        Operator::Or => return Condition::Or(vec![of(left, fields), of(right, fields)]),
        Operator::Eq => Comparison::Equal,
        Operator::NotEq => Comparison::NotEqual,
        Operator::Lt => Comparison::Less,
        Operator::LtEq => Comparison::LessOrEqual,
        Operator::Gt => Comparison::Greater,
        Operator::GtEq => Comparison::GreaterOrEqual,
        _ => return Condition::Unknown,
    };
    let flipped = match comparison {
        Comparison::Equal => Comparison::Equal,
        Comparison::NotEqual => Comparison::NotEqual,
        Comparison::Less => Comparison::Greater,
        Comparison::LessOrEqual => Comparison::GreaterOrEqual,
        Comparison::Greater => Comparison::Less,
        Comparison::GreaterOrEqual => Comparison::LessOrEqual,
    };
    let found = match (literal(left), literal(right)) {
        (None, Some(value)) => leaf_of(left, fields).map(|leaf| (leaf, comparison, value)),
        (Some(value), None) => leaf_of(right, fields).map(|leaf| (leaf, flipped, value)),
        _ => None,
    };
    match found {
        Some(((leaf, data_type), Comparison::NotEqual, value)) => other_than(leaf, &data_type, value),
        Some(((leaf, data_type), comparison, value)) => match comparable(value, &data_type) {
            Some(value) if value.is_null() => Condition::Never,
            Some(value) => Condition::Compare(leaf, comparison, value),
            None => Condition::Unknown,
        },
        // A null is not different from anything.
        None if comparison == Comparison::NotEqual => {
            leaf_of(left, fields).or_else(|| leaf_of(right, fields)).map_or(Condition::Unknown, |(leaf, _)| Condition::NotNull(leaf))
        }
        None => Condition::Unknown,
    }
}

/// That a leaf is another value than this one.
fn other_than(leaf: LeafRef, data_type: &DataType, value: &ScalarValue) -> Condition {
    // Bounds do not tell the two zeros apart as filters do.
    let is_exact = !matches!(data_type, DataType::Float32 | DataType::Float64);
    match comparable(value, data_type) {
        Some(value) if is_exact && !value.is_null() => Condition::Compare(leaf, Comparison::NotEqual, value),
        _ => Condition::NotNull(leaf),
    }
}

fn of_list(list: &InListExpr, fields: &Fields) -> Option<Condition> {
    let (leaf, data_type) = leaf_of(list.expr(), fields)?;
    if list.negated() {
        let others = list.list().iter().map(|value| literal(value).map_or(Condition::NotNull(leaf), |value| other_than(leaf, &data_type, value)));
        return Some(Condition::And(others.collect()));
    }
    let values: Option<Vec<ScalarValue>> = list.list().iter().map(|value| comparable(literal(value)?, &data_type)).collect();
    Some(Condition::In(leaf, values?.into_iter().filter(|value| !value.is_null()).collect()))
}

fn of_like(like: &LikeExpr, fields: &Fields) -> Option<Condition> {
    let (leaf, data_type) = leaf_of(like.expr(), fields)?;
    let pattern = text(like.pattern())?;
    if like.negated() || like.case_insensitive() || data_type != DataType::Utf8 {
        return Some(Condition::NotNull(leaf));
    }
    // An escaped character ends what is surely the beginning, too.
    let prefix = pattern.split(['%', '_', '\\']).next()?;
    Some(if prefix.is_empty() { Condition::NotNull(leaf) } else { Condition::StartsWith(leaf, prefix.to_owned()) })
}

/// The value as one of the leaf's type, if it is one.
fn comparable(value: &ScalarValue, data_type: &DataType) -> Option<ScalarValue> {
    if value.data_type() == *data_type {
        return Some(value.clone());
    }
    let text = |data_type: &DataType| matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    (value.is_null() || text(&value.data_type()) && text(data_type)).then(|| value.cast_to(data_type).ok()).flatten()
}

/// The leaf that an expression reads, and its type.
pub(super) fn leaf_of(expression: &Arc<dyn PhysicalExpr>, fields: &Fields) -> Option<(LeafRef, DataType)> {
    let place = place_of(expression, fields)?;
    parts_of(&place.data_type).is_empty().then(|| Some((LeafRef { id: place.id?, repeated: place.repeated }, place.data_type)))?
}

/// Where in a column an expression leads.
struct Place {
    id: Option<i32>,
    data_type: DataType,
    repeated: bool,
}

impl Place {
    fn part(&self, index: usize, repeated: bool) -> Option<Self> {
        let field = parts_of(&self.data_type).get(index)?;
        Some(Self { id: field_id(field), data_type: field.data_type().clone(), repeated: self.repeated || repeated })
    }
}

fn place_of(expression: &Arc<dyn PhysicalExpr>, fields: &Fields) -> Option<Place> {
    if let Some(column) = expression.downcast_ref::<Column>() {
        let field = fields.get(column.index())?;
        return Some(Place { id: field_id(field), data_type: field.data_type().clone(), repeated: false });
    }
    if let Some(cast) = expression.downcast_ref::<CastExpr>() {
        let place = place_of(cast.expr(), fields)?;
        // The planner casts lists and structs whose fields carry ids to ones without.
        let same = !parts_of(&place.data_type).is_empty() && same_shape(&place.data_type, cast.cast_type());
        return same.then_some(place);
    }
    let call = expression.downcast_ref::<ScalarFunctionExpr>()?;
    let (base, keys) = call.args().split_first()?;
    let place = place_of(base, fields)?;
    match call.name() {
        "get_field" => keys.iter().try_fold(place, |place, key| match &place.data_type {
            DataType::Struct(children) => {
                let name = text(key)?;
                place.part(children.iter().position(|child| child.name() == name)?, false)
            }
            DataType::Map(..) => place.part(1, true),
            _ => None,
        }),
        "array_element" => matches!(place.data_type, DataType::List(_)).then(|| place.part(0, true))?,
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use arrow_schema::{Field, Schema};
    use datafusion::common::DFSchema;
    use datafusion::prelude::SessionContext;
    use parquet::arrow::PARQUET_FIELD_ID_META_KEY;

    use super::*;

    fn field(name: &str, id: i32, data_type: DataType) -> Field {
        Field::new(name, data_type, true).with_metadata(HashMap::from([(PARQUET_FIELD_ID_META_KEY.to_owned(), id.to_string())]))
    }

    fn condition(sql: &str) -> Condition {
        let inner = DataType::Struct(Fields::from(vec![field("c", 5, DataType::Int64), field("s", 6, DataType::Utf8)]));
        let list = DataType::List(Arc::new(field("element", 8, inner.clone())));
        let schema = Schema::new(vec![
            field("id", 1, DataType::Int64),
            field("ev", 2, inner),
            field("tags", 7, list),
            field("ok", 9, DataType::Boolean),
            field("f", 10, DataType::Float64),
        ]);
        let known = DFSchema::try_from(schema.clone()).expect("schema");
        let context = SessionContext::new();
        let expression = context.create_physical_expr(context.parse_sql_expr(sql, &known).expect("parses"), &known).expect("plans");
        of(&expression, schema.fields())
    }

    fn leaf(id: i32) -> LeafRef {
        LeafRef { id, repeated: false }
    }

    #[test]
    fn comparisons_are_read_from_both_sides_and_at_any_depth() {
        assert_eq!(condition("id < 5"), Condition::Compare(leaf(1), Comparison::Less, 5_i64.into()));
        assert_eq!(condition("5 < id"), Condition::Compare(leaf(1), Comparison::Greater, 5_i64.into()));
        assert_eq!(condition("ev['c'] = 5"), Condition::Compare(leaf(5), Comparison::Equal, 5_i64.into()));
        let element = LeafRef { id: 5, repeated: true };
        assert_eq!(condition("tags[1]['c'] >= 5"), Condition::Compare(element, Comparison::GreaterOrEqual, 5_i64.into()));
        assert_eq!(condition("ok"), Condition::Compare(leaf(9), Comparison::Equal, true.into()));
        assert_eq!(condition("5 <> id"), Condition::Compare(leaf(1), Comparison::NotEqual, 5_i64.into()));
        assert_eq!(condition("id <> ev['c']"), Condition::NotNull(leaf(1)));
        assert_eq!(condition("not ok"), Condition::Compare(leaf(9), Comparison::Equal, false.into()));
    }

    #[test]
    fn lists_patterns_and_nulls_are_read() {
        assert_eq!(condition("ev['s'] like 'ab%c'"), Condition::StartsWith(leaf(6), "ab".to_owned()));
        assert_eq!(condition("ev['s'] like 'a_b'"), Condition::StartsWith(leaf(6), "a".to_owned()));
        assert_eq!(condition("starts_with(ev['s'], 'x')"), Condition::StartsWith(leaf(6), "x".to_owned()));
        assert_eq!(condition("ev['c'] is not null"), Condition::NotNull(leaf(5)));
        assert_eq!(condition("id in (1, 2, 3, 4, 5)"), Condition::In(leaf(1), (1..=5_i64).map(Into::into).collect()));
    }

    #[test]
    fn values_that_are_not_wanted_are_read_but_of_numbers_with_two_zeros() {
        let not = |value: i64| Condition::Compare(leaf(1), Comparison::NotEqual, value.into());
        assert_eq!(condition("id not in (1, 2, 3, 4, 5)"), Condition::And((1..=5).map(not).collect()));
        assert_eq!(condition("f <> 0.0"), Condition::NotNull(leaf(10)));
    }

    #[test]
    fn what_cannot_be_read_stays_unknown_within_what_can() {
        assert_eq!(condition("id + 1 = 5"), Condition::Unknown);
        assert_eq!(condition("ev is null"), Condition::Unknown);
        let Condition::Or(parts) = condition("id = 1 or id % 2 = 0") else { panic!("an or") };
        assert_eq!(parts[1], Condition::Unknown);
    }
}
