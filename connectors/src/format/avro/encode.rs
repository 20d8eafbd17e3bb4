//! How rows become records of a schema.

use arrow_schema::{DataType, Fields};

use super::parse::parse;
use super::plan::name;
use super::schema::{MICROS, Meaning, Member, NANOS, Type};
use crate::format::cells::{Cells, Values, elements};
use crate::format::columns::{Fault, quoted};
use crate::format::encoder::WriteRow;

/// Writes rows as records: the columns are the fields, in order.
#[derive(Debug)]
pub(in crate::format) struct WriteAvro(pub(super) Vec<Member>);

impl WriteAvro {
    /// Writes records of the schema `text`.
    ///
    /// # Errors
    /// Why rows of `columns` are no records of it: the fields must be the columns, in order.
    pub(in crate::format) fn try_new(text: &str, columns: &Fields) -> Result<Self, String> {
        match parse(text, &[])? {
            Type::Record(members) => check_record(&members, columns).map(|()| Self(members)),
            _ => Err("it is no record".to_owned()),
        }
    }

    /// Appends a record.
    pub(in crate::format) fn record<'a>(&self, columns: impl Iterator<Item = &'a Cells<'a>>, row: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
        record(&self.0, columns, row, out)
    }
}

impl WriteRow for WriteAvro {
    fn write(&self, columns: &[Cells<'_>], row: usize, out: &mut Vec<u8>) -> Result<bool, Fault> {
        record(&self.0, columns, row, out)?;
        Ok(true)
    }
}

fn record<'a>(fields: &[Member], columns: impl IntoIterator<Item = &'a Cells<'a>>, slot: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
    fields
        .iter()
        .zip(columns)
        .try_for_each(|(field, cells)| value(&field.written, cells, slot, out).map_err(|fault| fault.within(field.name.clone())))
}

fn value(written: &Type, cells: &Cells<'_>, slot: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
    let null = cells.is_null(slot);
    let written = match written {
        Type::Union(branches) => {
            let wanted = branches.iter().enumerate().find(|(_, branch)| matches!(branch, Type::Null) == null);
            let Some((index, branch)) = wanted else { return Err(misfit()) };
            whole(index as i64, out);
            branch
        }
        written => written,
    };
    if null {
        return if matches!(written, Type::Null) { Ok(()) } else { Err(Fault::field("there is no value, and the schema takes no null")) };
    }
    match (written, &cells.values) {
        (Type::Whole(Meaning::Number), _) => whole(cells.integer(slot).ok_or_else(misfit)?, out),
        (Type::Whole(Meaning::Int), _) => {
            let value = cells.integer(slot).ok_or_else(misfit)?;
            i32::try_from(value).map_err(|_range| Fault::field(format!("'{value}' is out of range for int")))?;
            whole(value, out);
        }
        (Type::Whole(Meaning::Date), Values::Date(days)) => whole(days.value(slot).into(), out),
        (Type::Whole(Meaning::Time(ticks)), Values::Time(micros)) => whole(in_ticks(micros.value(slot), MICROS, *ticks)?, out),
        (Type::Whole(Meaning::Timestamp(ticks)), Values::Micros(micros, _)) => whole(in_ticks(micros.value(slot), MICROS, *ticks)?, out),
        (Type::Whole(Meaning::Timestamp(ticks)), Values::Nanos(nanos, _)) => whole(in_ticks(nanos.value(slot), NANOS, *ticks)?, out),
        (Type::Text | Type::Bytes, Values::Utf8(_) | Values::Binary(_) | Values::FixedBinary(_)) => sized(cells.bytes(slot).unwrap_or_default(), out),
        (Type::Double, Values::Float64(values)) => out.extend_from_slice(&values.value(slot).to_le_bytes()),
        (Type::Float, Values::Float32(values)) => out.extend_from_slice(&values.value(slot).to_le_bytes()),
        (Type::Boolean, Values::Boolean(values)) => out.push(values.value(slot).into()),
        (Type::Decimal { precision, scale, fixed: size }, Values::Decimal(values, has)) if scale == has => {
            let value = values.value(slot);
            if u32::from(values.precision()) > *precision {
                has_digits(value, *precision)?;
            }
            match size {
                None => sized(decimal(&value.to_be_bytes()), out),
                Some(size) => fixed(value, *size, out)?,
            }
        }
        (Type::Fixed(size), Values::Binary(_) | Values::FixedBinary(_)) => {
            let bytes = cells.bytes(slot).filter(|bytes| bytes.len() == *size);
            out.extend_from_slice(bytes.ok_or_else(|| Fault::field(format!("the bytes are not {size}")))?);
        }
        (Type::Enum(names), Values::Utf8(values)) => {
            let name = values.value(slot);
            let number = names.iter().position(|known| known == name);
            whole(number.ok_or_else(|| Fault::field(format!("{} is not a name of the enum", quoted(name.as_bytes()))))? as i64, out);
        }
        (Type::Array(element), Values::List(lists, of_elements)) => {
            let slots = elements(lists.value_offsets(), slot);
            count(slots.len(), out);
            for (index, slot) in slots.enumerate() {
                value(element, of_elements, slot, out).map_err(|fault| fault.within(format!("[{index}]")))?;
            }
            out.push(0);
        }
        (Type::Map(written), Values::Map(maps, entries)) => {
            let slots = elements(maps.value_offsets(), slot);
            count(slots.len(), out);
            for slot in slots {
                let key = entries.keys.bytes(slot).filter(|_| !entries.keys.is_null(slot));
                sized(key.ok_or_else(|| Fault::field("a key of the map is NULL, which Avro does not have"))?, out);
                value(written, &entries.values, slot, out)?;
            }
            out.push(0);
        }
        (Type::Record(fields), Values::Row(columns)) => record(fields, columns, slot, out)?,
        _ => return Err(misfit()),
    }
    Ok(())
}

/// Checks that each of `columns` is written as the field at its place.
fn check_record(fields: &[Member], columns: &Fields) -> Result<(), String> {
    for place in 0..fields.len().max(columns.len()) {
        match (fields.get(place), columns.get(place)) {
            (Some(field), Some(column)) if field.name == *column.name() => {
                check(&field.written, column.data_type()).map_err(|why| format!("column '{}': {why}", column.name()))?;
            }
            (Some(field), Some(column)) => {
                return Err(format!(
                    "column '{}': field '{}' is at its place, and what is written has the order of the columns",
                    column.name(),
                    field.name
                ));
            }
            (None, Some(column)) => return Err(format!("column '{}': there is no such field", column.name())),
            (field, None) => return Err(format!("there is no column for the field '{}'", field.map_or("", |field| &field.name))),
        }
    }
    Ok(())
}

/// Checks that values of a column are written as a type, as [`value`] does.
fn check(written: &Type, column: &DataType) -> Result<(), String> {
    let misfit = || Err(format!("{} is not written from {column}", name(written)));
    match (written, column) {
        (Type::Union(branches), _) => match branches.iter().find(|branch| !matches!(branch, Type::Null)) {
            Some(branch) => check(branch, column),
            None => misfit(),
        },
        (Type::Whole(Meaning::Number | Meaning::Int), DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64)
        | (Type::Whole(Meaning::Date), DataType::Date32)
        | (Type::Whole(Meaning::Time(_)), DataType::Time64(_))
        | (Type::Whole(Meaning::Timestamp(_)), DataType::Timestamp(..))
        | (Type::Text, DataType::Utf8)
        | (Type::Bytes, DataType::Binary | DataType::FixedSizeBinary(_))
        | (Type::Double, DataType::Float64)
        | (Type::Float, DataType::Float32)
        | (Type::Boolean, DataType::Boolean)
        | (Type::Enum(_), DataType::Utf8)
        | (Type::Fixed(_), DataType::Binary) => Ok(()),
        (Type::Fixed(size), DataType::FixedSizeBinary(has)) if usize::try_from(*has) == Ok(*size) => Ok(()),
        (Type::Decimal { scale, .. }, DataType::Decimal128(_, has)) if scale == has => Ok(()),
        (Type::Array(element), DataType::List(elements)) => check(element, elements.data_type()),
        (Type::Map(value), DataType::Map(entries, _)) => match entries.data_type() {
            DataType::Struct(fields) => match fields.as_ref() {
                [key, values] if *key.data_type() == DataType::Utf8 => check(value, values.data_type()),
                _ => misfit(),
            },
            _ => misfit(),
        },
        (Type::Record(fields), DataType::Struct(columns)) => check_record(fields, columns),
        _ => misfit(),
    }
}

/// Checks that a decimal has no more digits than this.
fn has_digits(value: i128, precision: u32) -> Result<(), Fault> {
    let has_room = 10_u128.checked_pow(precision).is_none_or(|bound| value.unsigned_abs() < bound);
    has_room.then_some(()).ok_or_else(|| Fault::field(format!("the decimal has more than {precision} digits, the precision of the schema")))
}

/// A time of so many ticks a second in those that are wanted.
fn in_ticks(value: i64, has: i64, wanted: i64) -> Result<i64, Fault> {
    if wanted <= has {
        let coarser = has / wanted;
        if value.rem_euclid(coarser) != 0 {
            return Err(Fault::field("the schema has fewer digits of a second than the value"));
        }
        return Ok(value.div_euclid(coarser));
    }
    value.checked_mul(wanted / has).ok_or_else(|| Fault::field("the time is out of range for nanoseconds"))
}

fn misfit() -> Fault {
    Fault::field("the column was not made for the schema")
}

/// Appends how many elements follow; none is said by the zero at the end.
fn count(elements: usize, out: &mut Vec<u8>) {
    if elements > 0 {
        whole(elements as i64, out);
    }
}

/// Appends a number in zigzag, seven bits a byte, the lowest first.
#[inline]
pub(in crate::format) fn whole(value: i64, out: &mut Vec<u8>) {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Appends a decimal in two's complement of so many bytes.
fn fixed(value: i128, size: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
    let bytes = value.to_be_bytes();
    let short = decimal(&bytes);
    let missing = size.checked_sub(short.len()).ok_or_else(|| Fault::field(format!("the decimal does not fit into {size} bytes")))?;
    out.resize(out.len() + missing, if value < 0 { 0xff } else { 0 });
    out.extend_from_slice(short);
    Ok(())
}

pub(in crate::format) fn sized(bytes: &[u8], out: &mut Vec<u8>) {
    whole(bytes.len() as i64, out);
    out.extend_from_slice(bytes);
}

/// A number in two's complement, the highest byte first, without the bytes that only repeat its sign.
fn decimal(bytes: &[u8; 16]) -> &[u8] {
    let sign = if bytes.first().is_some_and(|byte| *byte >= 0x80) { 0xff } else { 0 };
    let repeated = bytes.windows(2).take_while(|pair| matches!(pair, [byte, next] if *byte == sign && (*next ^ sign) < 0x80)).count();
    bytes.get(repeated..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Decimal128Array, RecordBatch, Time64MicrosecondArray, TimestampMicrosecondArray, TimestampNanosecondArray};
    use arrow_schema::{Field, Schema};

    use super::*;
    use crate::format::Encoder as _;
    use crate::format::encoder::RowEncoder;

    /// What is written of the first value, or why not.
    fn written(ty: &str, column: ArrayRef) -> Result<Vec<u8>, String> {
        let schema = Arc::new(Schema::new(vec![Field::new("v", column.data_type().clone(), true)]));
        let given = format!(r#"{{"type":"record","name":"r","fields":[{{"name":"v","type":{ty}}}]}}"#);
        let writer = WriteAvro::try_new(&given, schema.fields()).expect("a schema that fits");
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![column]).expect("a batch");
        match RowEncoder::new(writer, &schema).encode(&batch) {
            Ok(messages) => Ok(messages.value(0).to_vec()),
            Err(bad) => Err(format!("{}: {}", bad.bad.column.unwrap_or_default(), bad.bad.reason)),
        }
    }

    #[test]
    fn times_that_the_schema_would_cut_off_are_refused() {
        let logical = |name: &str| format!(r#"{{"type":"long","logicalType":"{name}"}}"#);
        let (micros, nanos) =
            (|value: i64| Arc::new(TimestampMicrosecondArray::from(vec![value])), |value: i64| Arc::new(TimestampNanosecondArray::from(vec![value])));
        let time = |value: i64| Arc::new(Time64MicrosecondArray::from(vec![value]));
        let millis_of_day = r#"{"type":"int","logicalType":"time-millis"}"#;
        // In zigzag.
        let good: [(String, ArrayRef, i64); 6] = [
            (logical("timestamp-millis"), micros(3_000), 3),
            (logical("timestamp-millis"), micros(-3_000), -3),
            (logical("timestamp-micros"), nanos(3_000), 3),
            (logical("timestamp-nanos"), micros(-3), -3_000),
            (logical("local-timestamp-micros"), micros(3), 3),
            (millis_of_day.to_owned(), time(4_000), 4),
        ];
        for (ty, column, expected) in good {
            let mut bytes = Vec::new();
            whole(expected, &mut bytes);
            assert_eq!(written(&ty, column), Ok(bytes), "{ty}");
        }
        let bad: [(String, ArrayRef); 5] = [
            (logical("timestamp-millis"), micros(3_001)),
            (logical("timestamp-millis"), micros(-1)),
            (logical("timestamp-millis"), nanos(1_000)),
            (logical("local-timestamp-micros"), nanos(-1)),
            (millis_of_day.to_owned(), time(4_999)),
        ];
        for (ty, column) in bad {
            assert_eq!(written(&ty, column).expect_err(&ty), "v: the schema has fewer digits of a second than the value");
        }
    }

    #[test]
    fn decimals_of_more_digits_than_the_schema_has_are_refused_whatever_the_column_could_hold() {
        let decimal = |value: i128| Arc::new(Decimal128Array::from(vec![value]).with_precision_and_scale(20, 2).expect("a decimal"));
        let bytes = r#"{"type":"bytes","logicalType":"decimal","precision":4,"scale":2}"#;
        let fixed = r#"{"type":"fixed","name":"f","size":3,"logicalType":"decimal","precision":4,"scale":2}"#;
        assert_eq!(written(bytes, decimal(9_999)), Ok(vec![4, 0x27, 0x0f]));
        assert_eq!(written(fixed, decimal(-9_999)), Ok(vec![0xff, 0xd8, 0xf1]));
        for (ty, value) in [(bytes, 10_000), (bytes, -10_000), (fixed, 10_000), (fixed, i128::MIN)] {
            let told = written(ty, decimal(value)).expect_err("too many digits");
            assert_eq!(told, "v: the decimal has more than 4 digits, the precision of the schema");
        }
        let wide = r#"{"type":"bytes","logicalType":"decimal","precision":64,"scale":2}"#;
        assert_eq!(written(wide, decimal(i128::from(i64::MAX))).map(|bytes| bytes.len()), Ok(9));
    }
}
