//! The options of the formats of change logs and their checks.

use arrow_schema::SchemaRef;
use regex::bytes::Regex;
use weir_base::options::{OptionBag, OptionDecl, ValueType};

use super::ROW_KIND;
use super::decoder::ChangeDecoder;
use super::dialects::{DEBEZIUM_AVRO, Include, Layout, Tool};
use super::encode::WriteChange;
use super::metadata::How;
use super::metadata_keys;
use crate::format::columns::{Column, Context, Standard};
use crate::format::encoder::RowEncoder;
use crate::format::json::{
    DECIMAL_AS_PLAIN_NUMBER, MAP_NULL_KEY_LITERAL, MAP_NULL_KEY_MODE, ReadJson, TIMESTAMP_STANDARD, WriteJson, pull_standard, pull_writing,
};
use crate::format::{Decoder, Encoder, Format, FormatFactory, IGNORE_PARSE_ERRORS, refuse_types};
use crate::registry::MetadataKey;

const SCHEMA_INCLUDE: OptionDecl = OptionDecl::new(
    "schema-include",
    ValueType::Boolean,
    "Whether messages have their schema with them (`value.converter.schemas.enable` of Kafka Connect): the change then stands in `payload`.",
)
.default("false");
const DATABASE_INCLUDE: OptionDecl =
    OptionDecl::new("database.include", ValueType::String, "Regular expression: changes of databases whose whole name does not match are left out.");
const TABLE_INCLUDE: OptionDecl =
    OptionDecl::new("table.include", ValueType::String, "Regular expression: changes of tables whose whole name does not match are left out.");

const DEBEZIUM: &[OptionDecl] =
    &[SCHEMA_INCLUDE, IGNORE_PARSE_ERRORS, TIMESTAMP_STANDARD, MAP_NULL_KEY_MODE, MAP_NULL_KEY_LITERAL, DECIMAL_AS_PLAIN_NUMBER];
const CANAL: &[OptionDecl] =
    &[DATABASE_INCLUDE, TABLE_INCLUDE, IGNORE_PARSE_ERRORS, TIMESTAMP_STANDARD, MAP_NULL_KEY_MODE, MAP_NULL_KEY_LITERAL, DECIMAL_AS_PLAIN_NUMBER];
const MAXWELL: &[OptionDecl] = &[IGNORE_PARSE_ERRORS, TIMESTAMP_STANDARD, MAP_NULL_KEY_MODE, MAP_NULL_KEY_LITERAL, DECIMAL_AS_PLAIN_NUMBER];
const OGG: &[OptionDecl] = &[IGNORE_PARSE_ERRORS, TIMESTAMP_STANDARD, MAP_NULL_KEY_MODE, MAP_NULL_KEY_LITERAL];

/// Makes formats of one tool's change logs.
#[derive(Debug, Clone, Copy)]
pub struct ChangeFactory(Tool);

/// `debezium-json`.
#[must_use]
pub fn debezium() -> ChangeFactory {
    ChangeFactory(Tool::Debezium)
}

/// `canal-json`.
#[must_use]
pub fn canal() -> ChangeFactory {
    ChangeFactory(Tool::Canal)
}

/// `maxwell-json`.
#[must_use]
pub fn maxwell() -> ChangeFactory {
    ChangeFactory(Tool::Maxwell)
}

/// `ogg-json`.
#[must_use]
pub fn ogg() -> ChangeFactory {
    ChangeFactory(Tool::Ogg)
}

/// What messages are, and which of them are wanted.
#[derive(Debug, Clone)]
pub(in crate::format) struct Dialect {
    pub(super) tool: Tool,
    pub(super) layout: &'static Layout,
    pub(super) schema_include: bool,
    pub(super) include: Include,
    /// The option that tolerates bad messages, as the user writes it.
    pub(super) option: Option<String>,
}

impl Dialect {
    /// What Debezium writes in Avro.
    pub(in crate::format) fn debezium_avro() -> Self {
        Self { tool: Tool::Debezium, layout: &DEBEZIUM_AVRO, schema_include: false, include: Include::default(), option: None }
    }

    /// What it tells beside the rows: a message of Avro has no schema with it.
    pub(in crate::format) fn metadata(&self) -> Vec<MetadataKey> {
        let told = |key: &MetadataKey| self.tool.told().iter().any(|told| told.key == key.key && told.how != How::Outside);
        metadata_keys().into_iter().filter(told).collect()
    }

    /// The fields that have the rows after and before a change.
    pub(in crate::format) fn rows(&self) -> [&'static str; 2] {
        [self.layout.after, self.layout.before]
    }
}

/// A format of change logs with its options.
#[derive(Debug, Clone)]
pub struct ChangeFormat {
    dialect: Dialect,
    standard_option: String,
    standard: Standard,
    tolerant: bool,
    writing: WriteJson,
}

impl FormatFactory for ChangeFactory {
    fn name(&self) -> &'static str {
        match self.0 {
            Tool::Debezium => "debezium-json",
            Tool::Canal => "canal-json",
            Tool::Maxwell => "maxwell-json",
            Tool::Ogg => "ogg-json",
        }
    }

    fn doc(&self) -> &'static str {
        match self.0 {
            Tool::Debezium => "A message is a change of a row, as Debezium writes it.",
            Tool::Canal => "A message is a change of one or more rows, as Canal writes it.",
            Tool::Maxwell => "A message is a change of a row, as Maxwell writes it.",
            Tool::Ogg => "A message is a change of a row, as Oracle GoldenGate writes it.",
        }
    }

    fn options(&self) -> &'static [OptionDecl] {
        match self.0 {
            Tool::Debezium => DEBEZIUM,
            Tool::Canal => CANAL,
            Tool::Maxwell => MAXWELL,
            Tool::Ogg => OGG,
        }
    }

    fn tells_changes(&self) -> bool {
        true
    }

    fn metadata(&self) -> Vec<MetadataKey> {
        let told = self.0.told();
        metadata_keys().into_iter().filter(|key| told.iter().any(|told| told.key == key.key)).collect()
    }

    fn open(&self, prefix: &str, options: &mut OptionBag, schema: &SchemaRef) -> Option<Box<dyn Format>> {
        let format = options.scoped(prefix, self.options(), |options| pull(self.0, prefix, options));
        let readable = refuse_types(self.name(), "JSON has no form for its type", schema, options, |field| !Column::new(field).is_unreadable());
        Some(Box::new(format.filter(|_| readable)?))
    }
}

/// Pulls every option, so that all problems are found.
fn pull(tool: Tool, prefix: &str, options: &mut OptionBag) -> Option<ChangeFormat> {
    let schema_include = if tool == Tool::Debezium { options.boolean(&SCHEMA_INCLUDE) } else { Some(false) };
    let (database, table) =
        if tool == Tool::Canal { (pattern(options, &DATABASE_INCLUDE), pattern(options, &TABLE_INCLUDE)) } else { (Some(None), Some(None)) };
    let tolerant = options.boolean(&IGNORE_PARSE_ERRORS);
    let standard = pull_standard(options);
    let writing = pull_writing(options, ChangeFactory(tool).options(), standard);
    let dialect = Dialect {
        tool,
        layout: tool.layout(),
        schema_include: schema_include?,
        include: Include { database: database?, table: table? },
        option: Some(format!("{prefix}{}", IGNORE_PARSE_ERRORS.key)),
    };
    Some(ChangeFormat {
        dialect,
        standard_option: format!("{prefix}{}", TIMESTAMP_STANDARD.key),
        standard: standard?,
        tolerant: tolerant?,
        writing: writing?,
    })
}

/// A pattern for whole names, if the option is given; the outer `None` is a problem that was reported.
fn pattern(options: &mut OptionBag, decl: &OptionDecl) -> Option<Option<Regex>> {
    let Some(text) = options.string(decl) else { return Some(None) };
    match Regex::new(&format!("^(?:{text})$")) {
        Ok(pattern) => Some(Some(pattern)),
        Err(error) => {
            let reason = error.to_string();
            let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ");
            let what = format!("Invalid value for option '{}': '{text}' is not a regular expression: {reason}.", options.full_key(decl.key));
            options.error("OPT-003", decl.key, what);
            None
        }
    }
}

impl Format for ChangeFormat {
    fn decoder(&self, schema: &SchemaRef) -> Box<dyn Decoder> {
        let context =
            Context { tolerant: self.tolerant, standard: self.standard, standard_option: Some(self.standard_option.clone()), ..Context::default() };
        Box::new(ChangeDecoder::new(&self.dialect, schema, context, |_| ReadJson))
    }

    fn encoder(&self, schema: &SchemaRef) -> Result<Box<dyn Encoder>, String> {
        if self.dialect.schema_include {
            return Err("Debezium JSON serialization doesn't support 'schema-include' = 'true'".to_owned());
        }
        let kind = schema.index_of(ROW_KIND).ok();
        Ok(Box::new(RowEncoder::new(WriteChange { tool: self.dialect.tool, json: self.writing.clone(), kind }, schema)))
    }
}
