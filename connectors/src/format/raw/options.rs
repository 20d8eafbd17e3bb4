//! The options of the `raw` format and their checks.

use arrow_schema::{DataType, SchemaRef};
use weir_base::options::{OptionBag, OptionDecl, Problem, ValueType};

use super::charset::Charset;
use super::encode::WriteRaw;
use super::read::ReadRaw;
use crate::format::columns::Context;
use crate::format::decoder::RowDecoder;
use crate::format::encoder::RowEncoder;
use crate::format::{Decoder, Encoder, Format, FormatFactory, refuse_types};

const CHARSET: OptionDecl =
    OptionDecl::new("charset", ValueType::Enum(Charset::NAMES), "Character set of the message if the column is text.").default("UTF-8");
const ENDIANNESS: OptionDecl = OptionDecl::new(
    "endianness",
    ValueType::Enum(&["big-endian", "little-endian"]),
    "Order of the bytes of a number: the highest first, or the lowest.",
)
.default("big-endian");

const OPTIONS: &[OptionDecl] = &[CHARSET, ENDIANNESS];

/// Makes `raw` formats.
#[derive(Debug, Clone, Copy, Default)]
pub struct RawFactory;

/// The `raw` format with its options.
#[derive(Debug, Clone)]
pub struct RawFormat {
    pub(super) charset: Charset,
    pub(super) little_endian: bool,
    /// The type of the only column, which every message is checked against.
    pub(super) data_type: DataType,
}

impl FormatFactory for RawFactory {
    fn name(&self) -> &'static str {
        "raw"
    }

    fn doc(&self) -> &'static str {
        "A message is the value of the only column."
    }

    fn options(&self) -> &'static [OptionDecl] {
        OPTIONS
    }

    fn open(&self, prefix: &str, options: &mut OptionBag, schema: &SchemaRef) -> Option<Box<dyn Format>> {
        let (charset, endianness) = options.scoped(prefix, OPTIONS, |options| (options.choice(&CHARSET), options.choice(&ENDIANNESS)));
        let [field] = schema.fields().as_ref() else {
            let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
            let what = format!("The 'raw' format only supports single physical column. However the defined schema contains: [{}].", names.join(", "));
            options.report(Problem::new("CON-003", options.object(), what));
            return None;
        };
        let readable = refuse_types("raw", "a message has no form for its type", schema, options, |field| is_raw(field.data_type()));
        let format =
            RawFormat { charset: Charset::of(charset?), little_endian: endianness? == "little-endian", data_type: field.data_type().clone() };
        Some(Box::new(Some(format).filter(|_| readable)?))
    }
}

fn is_raw(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Utf8
            | DataType::Binary
            | DataType::FixedSizeBinary(_)
            | DataType::Boolean
            | DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::Float32
            | DataType::Float64
    )
}

impl Format for RawFormat {
    fn decoder(&self, schema: &SchemaRef) -> Box<dyn Decoder> {
        Box::new(RowDecoder::new(ReadRaw::new(self), schema, Context::default(), None))
    }

    fn encoder(&self, schema: &SchemaRef) -> Result<Box<dyn Encoder>, String> {
        Ok(Box::new(RowEncoder::new(WriteRaw { charset: self.charset, little_endian: self.little_endian }, schema)))
    }
}
