//! The options of the `json` format and their checks.

use arrow_schema::SchemaRef;
use weir_base::options::{OptionBag, OptionDecl, Problem, ValueType};

use super::encode::{NullKeys, WriteJson};
use super::read::ReadJson;
use crate::format::cells::text::Style;
use crate::format::columns::{Column, Context, Standard};
use crate::format::decoder::{ReadRow, RowDecoder};
use crate::format::encoder::RowEncoder;
use crate::format::{Decoder, Encoder, Format, FormatFactory, IGNORE_PARSE_ERRORS, refuse_types};

pub(in crate::format) const FAIL_ON_MISSING_FIELD: OptionDecl =
    OptionDecl::new("fail-on-missing-field", ValueType::Boolean, "Whether a message that lacks a column is an error. Else the column is NULL.")
        .default("false");
pub(in crate::format) const TIMESTAMP_STANDARD: OptionDecl = OptionDecl::new(
    "timestamp-format.standard",
    ValueType::Enum(&["SQL", "ISO-8601"]),
    "How timestamps are written: `yyyy-MM-dd HH:mm:ss[.fraction]` or with a `T` between date and time. TIMESTAMP_LTZ has a `Z` at the end.",
)
.default("SQL");
pub(in crate::format) const MAP_NULL_KEY_MODE: OptionDecl =
    OptionDecl::new("map-null-key.mode", ValueType::Enum(&["FAIL", "DROP", "LITERAL"]), "What happens to a NULL key of a map that is written.")
        .default("FAIL");
pub(in crate::format) const MAP_NULL_KEY_LITERAL: OptionDecl =
    OptionDecl::new("map-null-key.literal", ValueType::String, "The key written for NULL if `map-null-key.mode` is `LITERAL`.").default("null");
pub(in crate::format) const DECIMAL_AS_PLAIN_NUMBER: OptionDecl =
    OptionDecl::new("encode.decimal-as-plain-number", ValueType::Boolean, "Whether decimals are written without an exponent.").default("false");
pub(in crate::format) const IGNORE_NULL_FIELDS: OptionDecl =
    OptionDecl::new("encode.ignore-null-fields", ValueType::Boolean, "Whether NULL fields are left out of what is written.").default("false");
pub(in crate::format) const JSON_PARSER: OptionDecl = OptionDecl::new(
    "decode.json-parser.enabled",
    ValueType::Boolean,
    "Flink's choice between two decoders. Weir has one, which streams; `false` is accepted and changes nothing.",
)
.default("true");

const OPTIONS: &[OptionDecl] = &[
    FAIL_ON_MISSING_FIELD,
    IGNORE_PARSE_ERRORS,
    TIMESTAMP_STANDARD,
    MAP_NULL_KEY_MODE,
    MAP_NULL_KEY_LITERAL,
    DECIMAL_AS_PLAIN_NUMBER,
    IGNORE_NULL_FIELDS,
    JSON_PARSER,
];

/// Makes `json` formats.
#[derive(Debug, Clone, Copy, Default)]
pub struct JsonFactory;

/// The `json` format with its options.
#[derive(Debug, Clone)]
pub struct JsonFormat {
    /// `json.`, or with the role before it: `value.json.`.
    pub(super) prefix: String,
    pub(super) fail_on_missing_field: bool,
    pub(super) ignore_parse_errors: bool,
    pub(super) standard: Standard,
    writing: WriteJson,
}

impl FormatFactory for JsonFactory {
    fn name(&self) -> &'static str {
        "json"
    }

    fn doc(&self) -> &'static str {
        "A message is a JSON object, its fields are columns by name."
    }

    fn options(&self) -> &'static [OptionDecl] {
        OPTIONS
    }

    fn open(&self, prefix: &str, options: &mut OptionBag, schema: &SchemaRef) -> Option<Box<dyn Format>> {
        let format = options.scoped(prefix, OPTIONS, |options| pull(prefix, options));
        let readable = refuse_types("json", "JSON has no form for its type", schema, options, |field| !Column::new(field).is_unreadable());
        Some(Box::new(format.filter(|_| readable)?))
    }
}

/// Pulls every option, so that all problems are found.
pub(in crate::format) fn pull(prefix: &str, options: &mut OptionBag) -> Option<JsonFormat> {
    let fail_on_missing_field = options.boolean(&FAIL_ON_MISSING_FIELD);
    let ignore_parse_errors = options.boolean(&IGNORE_PARSE_ERRORS);
    let standard = pull_standard(options);
    let writing = pull_writing(options, OPTIONS, standard);
    if options.boolean(&JSON_PARSER) == Some(false) {
        let what = format!("'{}' has no effect because there is only one decoder.", options.full_key(JSON_PARSER.key));
        options.warn("OPT-008", JSON_PARSER.key, what);
    }
    let (fail_on_missing_field, ignore_parse_errors) = (fail_on_missing_field?, ignore_parse_errors?);
    if fail_on_missing_field && ignore_parse_errors {
        let (fail, ignore) = (options.full_key(FAIL_ON_MISSING_FIELD.key), options.full_key(IGNORE_PARSE_ERRORS.key));
        let position = options.position(FAIL_ON_MISSING_FIELD.key);
        let what = "fail-on-missing-field and ignore-parse-errors shouldn't both be true.";
        let hint = format!("leave out '{fail}' or '{ignore}'.");
        options.report(Problem::new("OPT-006", options.object(), what).hint(hint).at(position));
        return None;
    }
    Some(JsonFormat { prefix: prefix.to_owned(), fail_on_missing_field, ignore_parse_errors, standard: standard?, writing: writing? })
}

/// Pulls how timestamps are written.
pub(in crate::format) fn pull_standard(options: &mut OptionBag) -> Option<Standard> {
    options.choice(&TIMESTAMP_STANDARD).map(|standard| if standard == "SQL" { Standard::Sql } else { Standard::Iso8601 })
}

/// Pulls how objects are written: as `standard` says, and those of `declared` that a format has.
pub(in crate::format) fn pull_writing(options: &mut OptionBag, declared: &[OptionDecl], standard: Option<Standard>) -> Option<WriteJson> {
    let has = |option: &OptionDecl| declared.iter().any(|declared| declared.key == option.key);
    let (mode, literal) = (options.choice(&MAP_NULL_KEY_MODE), options.string(&MAP_NULL_KEY_LITERAL));
    let plain_decimals = if has(&DECIMAL_AS_PLAIN_NUMBER) { options.boolean(&DECIMAL_AS_PLAIN_NUMBER) } else { Some(false) };
    let skip_nulls = if has(&IGNORE_NULL_FIELDS) { options.boolean(&IGNORE_NULL_FIELDS) } else { Some(false) };
    let null_keys = match mode? {
        "DROP" => NullKeys::Drop,
        "LITERAL" => NullKeys::Literal(literal?),
        _ => NullKeys::Fail(options.full_key(MAP_NULL_KEY_MODE.key)),
    };
    Some(WriteJson { style: Style { standard: standard?, plain_decimals: plain_decimals? }, skip_nulls: skip_nulls?, null_keys })
}

impl JsonFormat {
    /// How rows are written.
    pub(in crate::format) fn writer(&self) -> WriteJson {
        self.writing.clone()
    }

    /// A decoder of messages of which `reader` reads each.
    pub(in crate::format) fn decoder_of<R: ReadRow + 'static>(&self, reader: R, schema: &SchemaRef) -> Box<dyn Decoder> {
        let option = |key: &str| format!("{}{key}", self.prefix);
        let context = Context {
            tolerant: self.ignore_parse_errors,
            missing_fails: self.fail_on_missing_field.then(|| option(FAIL_ON_MISSING_FIELD.key)),
            standard: self.standard,
            standard_option: Some(option(TIMESTAMP_STANDARD.key)),
            ..Context::default()
        };
        Box::new(RowDecoder::new(reader, schema, context, Some(option(IGNORE_PARSE_ERRORS.key))))
    }
}

impl Format for JsonFormat {
    fn decoder(&self, schema: &SchemaRef) -> Box<dyn Decoder> {
        self.decoder_of(ReadJson, schema)
    }

    fn encoder(&self, schema: &SchemaRef) -> Result<Box<dyn Encoder>, String> {
        Ok(Box::new(RowEncoder::new(self.writing.clone(), schema)))
    }
}
