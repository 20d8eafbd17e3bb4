//! How rows become records of a schema.

use super::schema::{Meaning, Member, Type};
use crate::format::cells::{Cells, Values, elements};
use crate::format::columns::Fault;
use crate::format::encoder::WriteRow;

/// Writes rows as records: the columns are the fields, in order.
#[derive(Debug)]
pub(super) struct WriteAvro(pub(super) Vec<Member>);

impl WriteRow for WriteAvro {
    fn write(&self, columns: &[Cells<'_>], row: usize, out: &mut Vec<u8>) -> Result<bool, Fault> {
        record(&self.0, columns, row, out)?;
        Ok(true)
    }
}

fn record(fields: &[Member], columns: &[Cells<'_>], slot: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
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
        return if matches!(written, Type::Null) { Ok(()) } else { Err(Fault::field("the column is NOT NULL and has no value here")) };
    }
    match (written, &cells.values) {
        (Type::Whole(Meaning::Number), _) => whole(cells.integer(slot).ok_or_else(misfit)?, out),
        (Type::Whole(Meaning::Date), Values::Date(days)) => whole(days.value(slot).into(), out),
        (Type::Whole(Meaning::Time(ticks)), Values::Time(micros)) => whole(micros.value(slot).div_euclid(1_000_000 / ticks), out),
        (Type::Whole(Meaning::Timestamp(ticks)), Values::Micros(micros, _)) => whole(micros.value(slot).div_euclid(1_000_000 / ticks), out),
        (Type::Whole(Meaning::Timestamp(ticks)), Values::Nanos(nanos, _)) => whole(nanos.value(slot).div_euclid(1_000_000_000 / ticks), out),
        (Type::Text | Type::Bytes, Values::Utf8(_) | Values::Binary(_) | Values::FixedBinary(_)) => sized(cells.bytes(slot).unwrap_or_default(), out),
        (Type::Double, Values::Float64(values)) => out.extend_from_slice(&values.value(slot).to_le_bytes()),
        (Type::Float, Values::Float32(values)) => out.extend_from_slice(&values.value(slot).to_le_bytes()),
        (Type::Boolean, Values::Boolean(values)) => out.push(values.value(slot).into()),
        (Type::Decimal { scale, fixed: None }, Values::Decimal(values, has)) if scale == has => {
            sized(decimal(&values.value(slot).to_be_bytes()), out)
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
fn whole(value: i64, out: &mut Vec<u8>) {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn sized(bytes: &[u8], out: &mut Vec<u8>) {
    whole(bytes.len() as i64, out);
    out.extend_from_slice(bytes);
}

/// A number in two's complement, the highest byte first, without the bytes that only repeat its sign.
fn decimal(bytes: &[u8; 16]) -> &[u8] {
    let sign = if bytes.first().is_some_and(|byte| *byte >= 0x80) { 0xff } else { 0 };
    let repeated = bytes.windows(2).take_while(|pair| matches!(pair, [byte, next] if *byte == sign && (*next ^ sign) < 0x80)).count();
    bytes.get(repeated..).unwrap_or_default()
}
