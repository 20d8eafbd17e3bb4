//! The options of the `csv` format and their checks.

use arrow_schema::{DataType, Field, SchemaRef};
use weir_base::options::{OptionBag, OptionDecl, Problem, ValueType};

use super::encode::WriteCsv;
use super::line::Dialect;
use super::read::ReadCsv;
use crate::format::columns::{Column, Context};
use crate::format::decoder::RowDecoder;
use crate::format::encoder::RowEncoder;
use crate::format::{Decoder, Encoder, Format, FormatFactory, IGNORE_PARSE_ERRORS, refuse_types};

const FIELD_DELIMITER: OptionDecl =
    OptionDecl::new("field-delimiter", ValueType::String, "The character between fields; `\\t` is a tab, `\\u0001` the character of that number.")
        .default(",");
const QUOTE: OptionDecl =
    OptionDecl::new("quote-character", ValueType::String, "The character around fields that hold the delimiter; doubled inside.").default("\"");
const NO_QUOTE: OptionDecl = OptionDecl::new("disable-quote-character", ValueType::Boolean, "Whether no character quotes.").default("false");
const ESCAPE: OptionDecl =
    OptionDecl::new("escape-character", ValueType::String, "The character that takes the meaning from the one behind it. Default: none.");
const NULL_LITERAL: OptionDecl = OptionDecl::new("null-literal", ValueType::String, "The text of a field that is NULL. Default: none.");
const ELEMENT_DELIMITER: OptionDecl =
    OptionDecl::new("array-element-delimiter", ValueType::String, "The text between the elements of an array, or the fields of a nested row.")
        .default(";");
const COMMENTS: OptionDecl =
    OptionDecl::new("allow-comments", ValueType::Boolean, "Whether a message that begins with `#` gives no row.").default("false");
const SCIENTIFIC: OptionDecl =
    OptionDecl::new("write-bigdecimal-in-scientific-notation", ValueType::Boolean, "Whether decimals are written as `1E+5`.").default("true");

const OPTIONS: &[OptionDecl] =
    &[FIELD_DELIMITER, QUOTE, NO_QUOTE, ESCAPE, NULL_LITERAL, ELEMENT_DELIMITER, COMMENTS, IGNORE_PARSE_ERRORS, SCIENTIFIC];

/// Makes `csv` formats.
#[derive(Debug, Clone, Copy, Default)]
pub struct CsvFactory;

/// The `csv` format with its options.
#[derive(Debug, Clone)]
pub struct CsvFormat {
    prefix: String,
    tolerant: bool,
    pub(super) dialect: Dialect,
    pub(super) null_literal: Option<Vec<u8>>,
    pub(super) element_delimiter: Vec<u8>,
    pub(super) comments: bool,
    pub(super) plain_decimals: bool,
    /// All columns, in the order of the fields.
    pub(super) declared: SchemaRef,
}

impl FormatFactory for CsvFactory {
    fn name(&self) -> &'static str {
        "csv"
    }

    fn doc(&self) -> &'static str {
        "A message is a line, its fields are the columns in order."
    }

    fn options(&self) -> &'static [OptionDecl] {
        OPTIONS
    }

    fn open(&self, prefix: &str, options: &mut OptionBag, schema: &SchemaRef) -> Option<Box<dyn Format>> {
        let format = options.scoped(prefix, OPTIONS, |options| pull(prefix, options, schema));
        let readable = refuse_types("csv", "a field has no form for its type", schema, options, is_readable);
        Some(Box::new(format.filter(|_| readable)?))
    }
}

/// Single values, and lists and rows of them.
fn is_readable(field: &Field) -> bool {
    match field.data_type() {
        DataType::Map(..) => false,
        DataType::List(element) => !element.data_type().is_nested() && !Column::new(element).is_unreadable(),
        DataType::Struct(fields) => fields.iter().all(|field| !field.data_type().is_nested() && !Column::new(field).is_unreadable()),
        _ => !Column::new(field).is_unreadable(),
    }
}

/// Pulls every option, so that all problems are found.
fn pull(prefix: &str, options: &mut OptionBag, schema: &SchemaRef) -> Option<CsvFormat> {
    let delimiter = character(options, &FIELD_DELIMITER);
    let quote = character(options, &QUOTE);
    let no_quote = options.boolean(&NO_QUOTE);
    let escape = character(options, &ESCAPE);
    let null_literal = options.string(&NULL_LITERAL);
    let element_delimiter = options.string(&ELEMENT_DELIMITER);
    let comments = options.boolean(&COMMENTS);
    let tolerant = options.boolean(&IGNORE_PARSE_ERRORS);
    let scientific = options.boolean(&SCIENTIFIC);
    let mut well = true;
    if no_quote == Some(true) && options.contains(QUOTE.key) {
        let what = "Format cannot define a quote character and disabled quote character at the same time.";
        let hint = format!("leave out '{}' or '{}'.", options.full_key(QUOTE.key), options.full_key(NO_QUOTE.key));
        let position = options.position(QUOTE.key);
        options.report(Problem::new("OPT-006", options.object(), what).hint(hint).at(position));
        well = false;
    }
    if element_delimiter.as_deref() == Some("") {
        let what = format!("Invalid value for option '{}': it must not be empty.", options.full_key(ELEMENT_DELIMITER.key));
        options.error("OPT-003", ELEMENT_DELIMITER.key, what);
        well = false;
    }
    let (delimiter, quote, escape) = (delimiter??, quote?, escape?);
    let quote = quote.filter(|_| no_quote == Some(false));
    if quote == Some(delimiter) || escape == Some(delimiter) || (escape.is_some() && escape == quote) {
        let keys = [FIELD_DELIMITER, QUOTE, ESCAPE].map(|option| format!("'{}'", options.full_key(option.key)));
        let what = format!("{} must be different characters.", keys.join(", "));
        options.error("OPT-006", FIELD_DELIMITER.key, what);
        well = false;
    }
    let format = CsvFormat {
        prefix: prefix.to_owned(),
        tolerant: tolerant?,
        dialect: Dialect::new(delimiter, quote, escape),
        null_literal: null_literal.map(String::into_bytes),
        element_delimiter: element_delimiter?.into_bytes(),
        comments: comments?,
        plain_decimals: !scientific?,
        declared: SchemaRef::clone(schema),
    };
    no_quote.filter(|_| well).map(|_| format)
}

/// A character of one byte, if the option is given or has a default; the outer `None` is a problem that was reported.
fn character(options: &mut OptionBag, decl: &OptionDecl) -> Option<Option<u8>> {
    let Some(text) = options.string(decl) else { return Some(None) };
    let unescaped = match text.as_bytes() {
        b"\\t" => Some(b'\t'),
        [b'\\', b'u', digits @ ..] if digits.len() == 4 => {
            std::str::from_utf8(digits).ok().and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(u8::is_ascii)
        }
        [byte] if !matches!(byte, b'\n' | b'\r') => Some(*byte),
        _ => None,
    };
    if unescaped.is_none() {
        let what = format!("Invalid value for option '{}': '{text}' is not a single ASCII character.", options.full_key(decl.key));
        options.error("OPT-003", decl.key, what);
    }
    unescaped.map(Some)
}

impl Format for CsvFormat {
    fn decoder(&self, schema: &SchemaRef) -> Box<dyn Decoder> {
        let context = Context { tolerant: self.tolerant, ..Context::default() };
        let option = format!("{}{}", self.prefix, IGNORE_PARSE_ERRORS.key);
        Box::new(RowDecoder::new(ReadCsv::new(self, schema), schema, context, Some(option)))
    }

    fn encoder(&self, schema: &SchemaRef) -> Result<Box<dyn Encoder>, String> {
        Ok(Box::new(RowEncoder::new(WriteCsv::new(self)?, schema)))
    }
}
