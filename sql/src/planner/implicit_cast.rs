//! Which types an INSERT converts by itself: Flink's implicit casts (`LogicalTypeCasts.supportsImplicitCast`).

use arrow_schema::{DataType, Fields};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::{Expr, ExprSchemable};

/// Whether `from` becomes `to` without a CAST.
pub(crate) fn is_implicit(from: &DataType, to: &DataType) -> bool {
    use DataType as T;
    match (from, to) {
        (T::Null, _) => true,
        (T::Struct(from), T::Struct(to)) => fields_fit(from, to),
        (T::List(from) | T::LargeList(from) | T::FixedSizeList(from, _), T::List(to)) => is_implicit(from.data_type(), to.data_type()),
        (T::Map(from, _), T::Map(to, _)) => is_implicit(from.data_type(), to.data_type()),
        (T::Dictionary(_, from), to) => is_implicit(from, to),
        (T::Utf8 | T::LargeUtf8 | T::Utf8View, T::Utf8 | T::LargeUtf8 | T::Utf8View) => true,
        (T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_), T::Binary | T::LargeBinary | T::BinaryView) => true,
        (T::Date32 | T::Date64 | T::Timestamp(..), T::Date32 | T::Timestamp(..)) => true,
        (T::Time32(_) | T::Time64(_), T::Time32(_) | T::Time64(_)) | (T::Timestamp(_, None), T::Time64(_)) => true,
        (T::Decimal128(..) | T::Decimal256(..), T::Decimal128(..) | T::Float32 | T::Float64) => true,
        (from, to) if from == to => true,
        (from, T::Decimal128(..)) => from.is_integer(),
        (from, T::Float64) => from.is_integer() || *from == T::Float32,
        (from, T::Float32) => from.is_integer(),
        (from, to) => matches!((width(from), width(to)), (Some(from), Some(to)) if from <= to),
    }
}

fn fields_fit(from: &Fields, to: &Fields) -> bool {
    from.len() == to.len() && from.iter().zip(to).all(|(from, to)| is_implicit(from.data_type(), to.data_type()))
}

/// Bits of an integer type, its sign included.
fn width(data_type: &DataType) -> Option<u8> {
    Some(match data_type {
        DataType::Int8 => 8,
        DataType::UInt8 => 9,
        DataType::Int16 => 16,
        DataType::UInt16 => 17,
        DataType::Int32 => 32,
        DataType::UInt32 => 33,
        DataType::Int64 => 64,
        // DataFusion counts in UInt64; a count beyond BIGINT is an error of the cast.
        DataType::UInt64 => 64,
        _ => return None,
    })
}

/// Whether `expression` goes into a column of type `to` though its type does not: Flink's whole-number literals are INT, DataFusion's
/// BIGINT, and a literal alone fits every number type that can hold it.
pub(crate) fn fits_as_flink_types(expression: &Expr, input: &DFSchema, to: &DataType) -> bool {
    if let Expr::Literal(value, _) = unaliased(expression) {
        let number = value.data_type().is_numeric() && to.is_numeric();
        return number && value.cast_to(to).is_ok_and(|cast| cast.cast_to(&value.data_type()).is_ok_and(|back| back == *value));
    }
    let narrowed = expression.clone().transform(|inner| match &inner {
        Expr::Literal(ScalarValue::Int64(Some(number)), _) => match i32::try_from(*number) {
            Ok(number) => Ok(Transformed::yes(Expr::Literal(ScalarValue::Int32(Some(number)), None))),
            Err(_) => Ok(Transformed::no(inner)),
        },
        _ => Ok(Transformed::no(inner)),
    });
    narrowed.is_ok_and(|narrowed| narrowed.data.get_type(input).is_ok_and(|from| is_implicit(&from, to)))
}

fn unaliased(expression: &Expr) -> &Expr {
    match expression {
        Expr::Alias(alias) => unaliased(&alias.expr),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use arrow_schema::TimeUnit;

    use super::*;

    #[test]
    fn numbers_widen_and_never_narrow() {
        assert!(is_implicit(&DataType::Int8, &DataType::Int64));
        assert!(is_implicit(&DataType::Int32, &DataType::Decimal128(10, 2)));
        assert!(is_implicit(&DataType::Float32, &DataType::Float64));
        assert!(!is_implicit(&DataType::Int64, &DataType::Int32));
        assert!(!is_implicit(&DataType::Float64, &DataType::Float32));
        assert!(!is_implicit(&DataType::Float64, &DataType::Decimal128(10, 2)));
    }

    #[test]
    fn texts_and_numbers_need_a_cast() {
        assert!(!is_implicit(&DataType::Utf8, &DataType::Int32));
        assert!(!is_implicit(&DataType::Int32, &DataType::Utf8));
        assert!(!is_implicit(&DataType::Utf8, &DataType::Binary));
        assert!(!is_implicit(&DataType::Boolean, &DataType::Int32));
        assert!(!is_implicit(&DataType::Utf8, &DataType::Timestamp(TimeUnit::Microsecond, None)));
    }

    #[test]
    fn a_literal_goes_where_it_fits() {
        let empty = DFSchema::empty();
        let seven = Expr::Literal(ScalarValue::Int64(Some(7)), None);
        let thousand = Expr::Literal(ScalarValue::Int64(Some(1000)), None);
        assert!(fits_as_flink_types(&seven, &empty, &DataType::Int8));
        assert!(!fits_as_flink_types(&thousand, &empty, &DataType::Int8));
        assert!(fits_as_flink_types(&(thousand.clone() + seven), &empty, &DataType::Int32));
        assert!(!fits_as_flink_types(&thousand, &empty, &DataType::Utf8));
    }
}
