//! The formats: what they call themselves, their options, and what a schema means to each.

use std::sync::Arc;

use arrow_schema::{Fields, SchemaRef};
use weir_base::options::{OptionBag, OptionDecl, ValueType};

use super::answers::Language;
use super::client::Client;
use super::encode::WriteFramed;
use super::framed::Framed;
use super::options::{SUBJECT, TRUSTSTORE, pull, with_client};
use super::registration::{Registration, Target};
use super::schemas::{Parsed, Schemas};
use crate::format::avro::{self, Misfit, ReadAvro, WriteAvro};
use crate::format::changes::{self, ChangeDecoder, ROW_KIND, WriteAvroChange};
use crate::format::columns::{Column, Context};
use crate::format::decoder::{ReadRow, RowDecoder};
use crate::format::encoder::{RowEncoder, WriteRow};
use crate::format::json::{
    self, DECIMAL_AS_PLAIN_NUMBER, FAIL_ON_MISSING_FIELD, IGNORE_NULL_FIELDS, JSON_PARSER, JsonFormat, MAP_NULL_KEY_LITERAL, MAP_NULL_KEY_MODE,
    ReadJson, TIMESTAMP_STANDARD,
};
use crate::format::protobuf::{Choices, READ_DEFAULTS, ReadIndexed, WriteProtobuf};
use crate::format::{Decoder, Encoder, Format, FormatFactory, IGNORE_PARSE_ERRORS, refuse_types};
use crate::registry::MetadataKey;

const SCHEMA: OptionDecl = OptionDecl::new(
    "schema",
    ValueType::String,
    "Schema to read and to write with, in Avro's JSON: it must have a field for every column, of a type that fits; its aliases name fields that \
     were renamed, and its defaults stand for fields that a message lacks. To write, its fields must be the columns in their order. Default: the \
     columns.",
);

const AVRO: &[OptionDecl] = with_client![SCHEMA];

const JSON: &[OptionDecl] = with_client![
    FAIL_ON_MISSING_FIELD,
    IGNORE_PARSE_ERRORS,
    TIMESTAMP_STANDARD,
    MAP_NULL_KEY_MODE,
    MAP_NULL_KEY_LITERAL,
    DECIMAL_AS_PLAIN_NUMBER,
    IGNORE_NULL_FIELDS,
    JSON_PARSER,
];

const PROTOBUF: &[OptionDecl] = with_client![IGNORE_PARSE_ERRORS, READ_DEFAULTS];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Avro,
    Debezium,
    Json,
    Protobuf,
}

/// Makes formats whose messages name a schema in a registry.
#[derive(Debug, Clone, Copy)]
pub struct RegistryFactory(Kind);

/// `avro-confluent`.
#[must_use]
pub fn avro() -> RegistryFactory {
    RegistryFactory(Kind::Avro)
}

/// `debezium-avro-confluent`.
#[must_use]
pub fn debezium() -> RegistryFactory {
    RegistryFactory(Kind::Debezium)
}

/// `json-registry`.
#[must_use]
pub fn json() -> RegistryFactory {
    RegistryFactory(Kind::Json)
}

/// `proto-registry`.
#[must_use]
pub fn protobuf() -> RegistryFactory {
    RegistryFactory(Kind::Protobuf)
}

/// A format of a registry with its options.
#[derive(Debug)]
pub struct RegistryFormat {
    schemas: Arc<Schemas>,
    dialect: Arc<Dialect>,
    around: Around,
    writing: Writing,
}

/// What is needed to write.
#[derive(Debug)]
struct Writing {
    /// Where the schema is registered; the option that is missing if it is not known.
    target: Result<Target, String>,
    /// The columns of the table, with their SQL types.
    columns: Fields,
    /// The text of the schema that the user has given.
    asked: Option<String>,
}

/// What is made of the rows that messages are.
#[derive(Debug)]
enum Around {
    Rows,
    Changes,
    /// Rows, as the options of JSON say.
    Json(JsonFormat),
    /// Rows; the option that tolerates bad messages, and whether it does.
    Tolerant(String, bool),
}

/// What the schemas of a registry mean to a format.
#[derive(Debug)]
pub(super) enum Dialect {
    Avro {
        /// The schema that the user reads with.
        asked: Option<avro::Type>,
        /// The columns of the table, whichever are wanted: a schema must have one at least.
        declared: Fields,
    },
    /// Changes of Debezium; the columns of the rows before and after.
    Changes(Fields),
    Json,
    Protobuf(Choices, Fields),
}

impl Dialect {
    /// The reader of messages of a schema into columns.
    pub(super) fn reader(&self, schema: &Parsed, columns: &Fields) -> Result<Box<dyn ReadRow>, Misfit> {
        match (self, schema) {
            (Self::Avro { asked, declared }, Parsed::Avro(written)) => {
                ReadAvro::check(written, declared, asked.as_ref())?;
                Ok(Box::new(ReadAvro::new(written, columns, asked.as_ref())?))
            }
            (Self::Changes(declared), Parsed::Avro(written)) => {
                // What has neither is no change of a row, such as the border of a transaction.
                let sides = changes::Dialect::debezium_avro().rows();
                let sides = written.members().unwrap_or_default().iter().filter(|member| sides.contains(&member.name.as_str()));
                for row in sides.filter_map(|side| side.written.record()) {
                    ReadAvro::check(row, declared, None)?;
                }
                Ok(Box::new(ReadAvro::new(written, columns, None)?))
            }
            (Self::Json, Parsed::Json) => Ok(Box::new(ReadJson)),
            (Self::Protobuf(choices, declared), Parsed::Protobuf(compiled)) => {
                Ok(Box::new(ReadIndexed::new(compiled, (columns, declared), *choices)))
            }
            _ => Err(Misfit { column: String::new(), why: "it is a schema of another language".to_owned() }),
        }
    }
}

impl FormatFactory for RegistryFactory {
    fn name(&self) -> &'static str {
        match self.0 {
            Kind::Avro => "avro-confluent",
            Kind::Debezium => "debezium-avro-confluent",
            Kind::Json => "json-registry",
            Kind::Protobuf => "proto-registry",
        }
    }

    fn tells_changes(&self) -> bool {
        self.0 == Kind::Debezium
    }

    fn metadata(&self) -> Vec<MetadataKey> {
        if self.0 == Kind::Debezium { changes::Dialect::debezium_avro().metadata() } else { Vec::new() }
    }

    fn doc(&self) -> &'static str {
        match self.0 {
            Kind::Avro => "A message is a record in the binary encoding of Avro, behind the id of its schema in a schema registry.",
            Kind::Debezium => "A message is a change of a row, as Debezium writes it, in Avro behind the id of its schema in a schema registry.",
            Kind::Json => "A message is a JSON object, behind the id of its schema in a schema registry.",
            Kind::Protobuf => "A message is one of Protocol Buffers, behind the id of its schema in a schema registry and its type in it.",
        }
    }

    fn options(&self) -> &'static [OptionDecl] {
        match self.0 {
            Kind::Avro | Kind::Debezium => AVRO,
            Kind::Json => JSON,
            Kind::Protobuf => PROTOBUF,
        }
    }

    fn open(&self, prefix: &str, options: &mut OptionBag, schema: &SchemaRef) -> Option<Box<dyn Format>> {
        let why = "the encoding has no form for its type";
        let readable = refuse_types(self.name(), why, schema, options, |field| !Column::new(field).is_unreadable());
        let format = options.scoped(prefix, self.options(), |options| {
            let pulled = pull(options);
            let asked = options.peek(SCHEMA.key).filter(|_| self.0 == Kind::Avro).map(str::to_owned);
            let meaning = self.pull_meaning(prefix, options, schema);
            let pulled = pulled?;
            let client = Client::new(pulled.settings);
            let client = client.map_err(|why| options.error("OPT-003", TRUSTSTORE.key, format!("No client of the registry could be made: {why}.")));
            let (language, dialect, around) = meaning?;
            let client = Arc::new(client.ok()?);
            let (object, registers) = (options.object().to_owned(), pulled.registers);
            let target = match pulled.subject {
                Some(subject) => Ok(Target { client: Arc::clone(&client), object, subject, registers }),
                None => Err(format!("One or more required options are missing: '{}'", options.full_key(SUBJECT.key))),
            };
            let writing = Writing { target, columns: schema.fields().clone(), asked };
            Some(RegistryFormat { schemas: Arc::new(Schemas::new(client, language)), dialect: Arc::new(dialect), around, writing })
        });
        Some(Box::new(format.filter(|_| readable)?))
    }
}

impl RegistryFactory {
    /// Pulls what is the format's own.
    fn pull_meaning(self, prefix: &str, options: &mut OptionBag, schema: &SchemaRef) -> Option<(Language, Dialect, Around)> {
        Some(match self.0 {
            Kind::Avro => {
                let asked = pull_schema(options, schema)?;
                (Language::Avro, Dialect::Avro { asked, declared: schema.fields().clone() }, Around::Rows)
            }
            Kind::Debezium => {
                // A schema to read with is one of the change, of which the columns are but a part.
                options.string(&SCHEMA);
                if options.contains(SCHEMA.key) {
                    let full = options.full_key(SCHEMA.key);
                    options.warn("OPT-008", SCHEMA.key, format!("'{full}' has no effect: changes are read with the schema of the columns."));
                }
                (Language::Avro, Dialect::Changes(schema.fields().clone()), Around::Changes)
            }
            Kind::Json => (Language::Json, Dialect::Json, Around::Json(json::pull(prefix, options)?)),
            Kind::Protobuf => {
                let (tolerant, defaults) = (options.boolean(&IGNORE_PARSE_ERRORS), options.boolean(&READ_DEFAULTS));
                let around = Around::Tolerant(options.full_key(IGNORE_PARSE_ERRORS.key), tolerant?);
                (Language::Protobuf, Dialect::Protobuf(Choices { defaults: defaults?, evolves: true }, schema.fields().clone()), around)
            }
        })
    }
}

/// The schema to read with, if the option is given; the outer `None` is a problem that was reported.
fn pull_schema(options: &mut OptionBag, columns: &SchemaRef) -> Option<Option<avro::Type>> {
    let Some(text) = options.string(&SCHEMA) else { return Some(None) };
    let full = options.full_key(SCHEMA.key);
    let why = match avro::parse(&text, &[]) {
        Err(why) => why,
        Ok(asked) => {
            let fields = asked.members().unwrap_or_default();
            let lacking = columns.fields().iter().find(|column| !fields.iter().any(|field| field.name == *column.name()));
            match (lacking, ReadAvro::new(&asked, columns.fields(), None)) {
                (None, Ok(_)) => return Some(Some(asked)),
                (Some(column), _) => format!("it has no field for column '{}'", column.name()),
                (None, Err(misfit)) => misfit.to_string(),
            }
        }
    };
    options.error("OPT-003", SCHEMA.key, format!("Invalid value for option '{full}': the schema does not match the table: {why}."));
    None
}

impl Format for RegistryFormat {
    fn decoder(&self, schema: &SchemaRef) -> Box<dyn Decoder> {
        let framed = |columns: &Fields| Framed::new(&self.schemas, &self.dialect, columns);
        match &self.around {
            Around::Rows => Box::new(RowDecoder::new(framed(schema.fields()), schema, Context::default(), None)),
            Around::Changes => Box::new(ChangeDecoder::new(&changes::Dialect::debezium_avro(), schema, Context::default(), framed)),
            Around::Json(json) => json.decoder_of(framed(schema.fields()), schema),
            Around::Tolerant(option, tolerant) => {
                let context = Context { tolerant: *tolerant, ..Context::default() };
                Box::new(RowDecoder::new(framed(schema.fields()), schema, context, Some(option.clone())))
            }
        }
    }

    fn encoder(&self, schema: &SchemaRef) -> Result<Box<dyn Encoder>, String> {
        let Writing { columns, asked, .. } = &self.writing;
        match (&*self.dialect, &self.around) {
            (Dialect::Changes(_), _) => {
                let (text, writer) = WriteAvroChange::derived(columns, schema.index_of(ROW_KIND).ok())?;
                self.writing.encoder(Language::Avro, text, &[], writer, schema)
            }
            (Dialect::Avro { .. }, _) => {
                let text = match asked {
                    Some(asked) => asked.clone(),
                    None => avro::schema_of(avro::RECORD, columns)?.to_string(),
                };
                let writer = WriteAvro::try_new(&text, columns)?;
                self.writing.encoder(Language::Avro, text, &[], writer, schema)
            }
            (Dialect::Json, Around::Json(options)) => {
                self.writing.encoder(Language::Json, json::schema_of(columns).to_string(), &[], options.writer(), schema)
            }
            (Dialect::Protobuf(..), _) => {
                let (text, writer) = WriteProtobuf::derived(columns)?;
                // The first type of the file.
                self.writing.encoder(Language::Protobuf, text, &[0], writer, schema)
            }
            (Dialect::Json, _) => Err("its options are not those of JSON".to_owned()),
        }
    }
}

impl Writing {
    fn encoder(
        &self,
        language: Language,
        text: String,
        between: &'static [u8],
        writer: impl WriteRow + 'static,
        schema: &SchemaRef,
    ) -> Result<Box<dyn Encoder>, String> {
        let registration = Arc::new(Registration::new(self.target.clone()?, language, text));
        Ok(Box::new(RowEncoder::new(WriteFramed { registration, between, writer }, schema)))
    }
}
