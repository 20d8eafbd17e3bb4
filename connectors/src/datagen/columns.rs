//! The options of columns: from `fields.#.…` to generators.

use std::sync::Arc;

use arrow_array::types::Decimal128Type;
use arrow_cast::parse::parse_decimal;
use arrow_schema::{DataType, Field};
use weir_base::options::{OptionBag, OptionDecl, Problem, ValueType};

use super::generate::{Generator, Kind, Size};
use crate::table::TableDef;

pub(super) const KIND: OptionDecl =
    OptionDecl::new("fields.#.kind", ValueType::Enum(&["random", "sequence"]), "Random values, or a sequence from start to end.").default("random");
pub(super) const MIN: OptionDecl = OptionDecl::new("fields.#.min", ValueType::String, "Smallest random number; the type's smallest by default.");
pub(super) const MAX: OptionDecl = OptionDecl::new("fields.#.max", ValueType::String, "Largest random number; the type's largest by default.");
pub(super) const START: OptionDecl =
    OptionDecl::new("fields.#.start", ValueType::Integer { min: i64::MIN, max: i64::MAX }, "First number of the sequence; required with it.");
pub(super) const END: OptionDecl =
    OptionDecl::new("fields.#.end", ValueType::Integer { min: i64::MIN, max: i64::MAX }, "Last number of the sequence; it ends the table.");
pub(super) const LENGTH: OptionDecl =
    OptionDecl::new("fields.#.length", ValueType::Integer { min: 0, max: 1_000_000 }, "Size of a text, of bytes, of an array or a map.")
        .default("100");
pub(super) const VAR_LEN: OptionDecl =
    OptionDecl::new("fields.#.var-len", ValueType::Boolean, "Whether texts and bytes have any size from 1 to length.").default("false");
pub(super) const MAX_PAST: OptionDecl =
    OptionDecl::new("fields.#.max-past", ValueType::Duration, "How far before its row's time a timestamp may lie.").default("0 s");
pub(super) const NULL_RATE: OptionDecl = OptionDecl::new("fields.#.null-rate", ValueType::Double, "Share of NULLs, 0 to 1.").default("0");

const DECLARED: &[OptionDecl] = &[KIND, MIN, MAX, START, END, LENGTH, VAR_LEN, MAX_PAST, NULL_RATE];

/// The generators of a table.
#[derive(Debug)]
pub(super) struct Columns {
    pub(super) generators: Vec<Generator>,
    /// Rows of the shortest sequence.
    pub(super) shortest_sequence: Option<i64>,
}

impl Columns {
    /// Pulls the options of every column; `None` if there was a problem.
    pub(super) fn pull(table: &TableDef, bag: &mut OptionBag) -> Option<Self> {
        let mut puller = Puller { bag, shortest: None };
        let fields = table.source_schema();
        let generators: Vec<_> = fields
            .fields()
            .iter()
            .map(|field| {
                let column = table.columns.iter().find(|column| column.name == *field.name());
                let length = column.and_then(|column| declared_length(&column.sql_type));
                puller.generator(field.name(), field, length, true)
            })
            .collect();
        let shortest_sequence = puller.shortest;
        Some(Self { generators: generators.into_iter().collect::<Option<_>>()?, shortest_sequence })
    }
}

/// `n` and whether it is fixed, of `CHAR(n)` and `VARCHAR(n)`.
fn declared_length(sql_type: &str) -> Option<(i64, bool)> {
    let upper = sql_type.trim().to_ascii_uppercase();
    let (name, rest) = upper.split_once('(')?;
    let length = rest.split(')').next()?.trim().parse().ok()?;
    match name.trim() {
        "CHAR" => Some((length, true)),
        "VARCHAR" | "VARBINARY" => Some((length, false)),
        _ => None,
    }
}

struct Puller<'a> {
    bag: &'a mut OptionBag,
    shortest: Option<i64>,
}

impl Puller<'_> {
    /// The generator of `field`, whose options are under `name`. A sequence counts rows, so there is none below a list.
    fn generator(&mut self, name: &str, field: &Field, declared: Option<(i64, bool)>, counts_rows: bool) -> Option<Generator> {
        let null_rate = self.null_rate(name, field);
        let kind = match field.data_type() {
            DataType::Struct(fields) => {
                let parts = fields.iter().map(|part| self.generator(&format!("{name}.{}", part.name()), part, None, counts_rows));
                // Not short-circuited: every part reports its problems.
                parts.collect::<Vec<_>>().into_iter().collect::<Option<_>>().map(Kind::Row)
            }
            DataType::List(element) => {
                let size = self.size(name, None, false);
                let element = self.generator(&format!("{name}.element"), element, None, false);
                element.zip(size).map(|(element, size)| Kind::List(size, Box::new(element)))
            }
            DataType::Map(entries, _) => self.map(name, entries),
            DataType::Boolean => Some(Kind::Boolean),
            DataType::Date32 => Some(Kind::Date),
            DataType::Time64(_) => Some(Kind::Time),
            DataType::Timestamp(..) => {
                let past = self.within(name, |bag| bag.duration(&MAX_PAST));
                past.map(|past| Kind::Timestamp { max_past: u64::try_from(past.as_millis()).unwrap_or(u64::MAX) })
            }
            DataType::FixedSizeBinary(size) => Some(Kind::Bytes(Size { length: size.unsigned_abs() as usize, varies: false })),
            DataType::Binary => self.size(name, declared, true).map(Kind::Bytes),
            DataType::Utf8 => self.number_or_sequence(name, field, counts_rows, |puller| puller.size(name, declared, true).map(Kind::Text)),
            _ => self.number_or_sequence(name, field, counts_rows, |puller| puller.random_number(name, field.data_type())),
        };
        Some(Generator { seed: seed(name), data_type: field.data_type().clone(), null_rate: null_rate?, kind: kind? })
    }

    fn within<T>(&mut self, name: &str, pull: impl FnOnce(&mut OptionBag) -> T) -> T {
        self.bag.named(name, DECLARED, pull)
    }

    fn map(&mut self, name: &str, entries: &Arc<Field>) -> Option<Kind> {
        let size = self.size(name, None, false);
        let DataType::Struct(fields) = entries.data_type() else { return None };
        let [key, value] = fields.as_ref() else { return None };
        let key = self.generator(&format!("{name}.key"), key, None, false);
        let value = self.generator(&format!("{name}.value"), value, None, false);
        Some(Kind::Map(size?, Box::new((key?, value?))))
    }

    fn null_rate(&mut self, name: &str, field: &Field) -> Option<f64> {
        self.within(name, |bag| {
            let rate = bag.double(&NULL_RATE)?;
            let full = bag.full_key(NULL_RATE.key);
            if !(0.0..=1.0).contains(&rate) {
                bag.error("OPT-007", NULL_RATE.key, format!("'{full}' must be from 0 to 1, but is {rate}."));
                return None;
            }
            if rate > 0.0 && !field.is_nullable() {
                bag.error("OPT-006", NULL_RATE.key, format!("'{full}' must be 0 because the column is NOT NULL."));
                return None;
            }
            Some(rate)
        })
    }

    /// The size of texts and collections; a declared CHAR(n) leaves nothing to choose.
    fn size(&mut self, name: &str, declared: Option<(i64, bool)>, may_vary: bool) -> Option<Size> {
        let (length, varies) = match declared {
            Some((length, true)) => (Some(length), Some(false)),
            _ => self.within(name, |bag| {
                let given = bag.contains(LENGTH.key);
                let length = bag.integer(&LENGTH);
                let varies = if may_vary { bag.boolean(&VAR_LEN) } else { Some(false) };
                let most = declared.map_or(i64::MAX, |(length, _)| length);
                if let Some(length) = length.filter(|length| given && *length > most) {
                    let what = format!("'{}' must be <= {most}, but is {length}.", bag.full_key(LENGTH.key));
                    bag.error("OPT-007", LENGTH.key, what);
                }
                (length.map(|length| if given { length } else { declared.map_or(length, |(most, _)| most) }), varies)
            }),
        };
        Some(Size { length: usize::try_from(length?).ok()?, varies: varies? })
    }

    fn number_or_sequence(&mut self, name: &str, field: &Field, counts_rows: bool, random: impl FnOnce(&mut Self) -> Option<Kind>) -> Option<Kind> {
        let kind = self.within(name, |bag| bag.choice(&KIND))?;
        if kind == "random" {
            return random(self);
        }
        if !counts_rows {
            self.within(name, |bag| {
                let what = format!("'{}' must be 'random' for the elements of arrays and maps.", bag.full_key(KIND.key));
                bag.error("OPT-006", KIND.key, what);
            });
            return None;
        }
        let (start, rows) = self.within(name, |bag| sequence(bag, field.data_type()))?;
        self.shortest = Some(self.shortest.map_or(rows, |shortest| shortest.min(rows)));
        Some(Kind::Sequence { start })
    }

    fn random_number(&mut self, name: &str, data_type: &DataType) -> Option<Kind> {
        match data_type {
            DataType::Int8 => self.whole(name, i8::MIN.into(), i8::MAX.into()),
            DataType::Int16 => self.whole(name, i16::MIN.into(), i16::MAX.into()),
            DataType::Int32 => self.whole(name, i32::MIN.into(), i32::MAX.into()),
            DataType::Int64 => self.whole(name, i64::MIN, i64::MAX),
            DataType::Float32 => self.range(name, (f32::MIN.into(), f32::MAX.into()), finite).map(|(min, max)| Kind::Float { min, max }),
            DataType::Float64 => self.range(name, (f64::MIN, f64::MAX), finite).map(|(min, max)| Kind::Float { min, max }),
            DataType::Decimal128(precision, scale) => {
                let most = 10_i128.checked_pow(u32::from(*precision))? - 1;
                let parse = |text: &str| parse_decimal::<Decimal128Type>(text, *precision, *scale).ok();
                self.range(name, (-most, most), parse).map(|(min, max)| Kind::Decimal { min, max })
            }
            other => {
                let what = format!("Connector 'datagen' cannot make values of column '{name}': its type is {other}.");
                self.bag.report(Problem::new("CON-003", self.bag.object(), what));
                None
            }
        }
    }

    fn whole(&mut self, name: &str, least: i64, most: i64) -> Option<Kind> {
        let parse = |text: &str| text.parse::<i64>().ok().filter(|value| (least..=most).contains(value));
        self.range(name, (least, most), parse).map(|(min, max)| Kind::Integer { min, max })
    }

    fn range<T: PartialOrd + Copy>(&mut self, name: &str, ends: (T, T), parse: impl Fn(&str) -> Option<T>) -> Option<(T, T)> {
        self.within(name, |bag| {
            let min = bound(bag, &MIN, ends.0, &parse);
            let max = bound(bag, &MAX, ends.1, &parse);
            let (min, max) = (min?, max?);
            if min > max {
                bag.error("OPT-007", MIN.key, format!("'{}' must be <= '{}'.", bag.full_key(MIN.key), bag.full_key(MAX.key)));
                return None;
            }
            Some((min, max))
        })
    }
}

fn finite(text: &str) -> Option<f64> {
    text.parse().ok().filter(|value: &f64| value.is_finite())
}

fn bound<T>(bag: &mut OptionBag, decl: &OptionDecl, default: T, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
    let Some(text) = bag.string(decl) else { return Some(default) };
    let value = parse(text.trim());
    if value.is_none() {
        bag.error(
            "OPT-003",
            decl.key,
            format!("Invalid value for option '{}': '{text}' is not a value of the column's type.", bag.full_key(decl.key)),
        );
    }
    value
}

/// Start and number of rows of a sequence.
fn sequence(bag: &mut OptionBag, data_type: &DataType) -> Option<(i64, i64)> {
    for option in [START, END] {
        if !bag.contains(option.key) {
            let what = format!("'{}' is required in a sequence but missing.", bag.full_key(option.key));
            bag.error("OPT-005", KIND.key, what);
        }
    }
    let (start, end) = (bag.integer(&START), bag.integer(&END));
    let (start, end) = (start?, end?);
    let (least, most) = match data_type {
        DataType::Int8 => (i8::MIN.into(), i8::MAX.into()),
        DataType::Int16 => (i16::MIN.into(), i16::MAX.into()),
        DataType::Int32 => (i32::MIN.into(), i32::MAX.into()),
        DataType::Decimal128(precision, scale) => {
            let digits = u32::try_from(i32::from(*precision) - i32::from(*scale)).unwrap_or(0);
            let most = 10_i64.checked_pow(digits).map_or(i64::MAX, |power| power - 1);
            (-most, most)
        }
        _ => (i64::MIN, i64::MAX),
    };
    for (option, value) in [(START, start), (END, end)] {
        if !(least..=most).contains(&value) {
            bag.error("OPT-007", option.key, format!("'{}' must be from {least} to {most}, but is {value}.", bag.full_key(option.key)));
            return None;
        }
    }
    if end < start {
        bag.error("OPT-007", END.key, format!("'{}' must be >= '{}'.", bag.full_key(END.key), bag.full_key(START.key)));
        return None;
    }
    Some((start, end.checked_sub(start).and_then(|rows| rows.checked_add(1)).unwrap_or(i64::MAX)))
}

/// FNV-1a of the column's name: columns differ, runs do not.
fn seed(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
