//! The options of the `avro` format and their checks.

use arrow_schema::SchemaRef;
use weir_base::options::{OptionBag, OptionDecl, Problem, ValueType};

use super::encode::WriteAvro;
use super::plan::Record;
use super::read::ReadAvro;
use super::schema::{Member, derive};
use crate::format::columns::Context;
use crate::format::decoder::RowDecoder;
use crate::format::encoder::RowEncoder;
use crate::format::{Decoder, Encoder, Format, FormatFactory};

const ENCODING: OptionDecl =
    OptionDecl::new("encoding", ValueType::Enum(&["binary", "json"]), "Encoding of a message; only `binary` is read.").default("binary");
const LEGACY: OptionDecl = OptionDecl::new(
    "timestamp_mapping.legacy",
    ValueType::Boolean,
    "Whether TIMESTAMP(0) to (3) are `timestamp-millis` and nothing else is allowed, as before Flink 1.19. With `false`, TIMESTAMP(p) is \
     `local-timestamp-millis` or `-micros`, and TIMESTAMP_LTZ(p) `timestamp-millis` or `-micros`.",
)
.default("true");
const CODEC: OptionDecl = OptionDecl::new(
    "codec",
    ValueType::Enum(&["null", "deflate", "snappy", "bzip2", "xz", "zstandard"]),
    "Compression of files that are written; messages have none.",
);

const OPTIONS: &[OptionDecl] = &[ENCODING, LEGACY, CODEC];

/// Makes `avro` formats.
#[derive(Debug, Clone, Copy, Default)]
pub struct AvroFactory;

/// The `avro` format with its options: the fields of the record that is every message.
#[derive(Debug, Clone)]
pub struct AvroFormat(Vec<Member>);

impl FormatFactory for AvroFactory {
    fn name(&self) -> &'static str {
        "avro"
    }

    fn doc(&self) -> &'static str {
        "A message is a record in the binary encoding of Avro, of the schema that the columns make."
    }

    fn options(&self) -> &'static [OptionDecl] {
        OPTIONS
    }

    fn open(&self, prefix: &str, options: &mut OptionBag, schema: &SchemaRef) -> Option<Box<dyn Format>> {
        let legacy = options.scoped(prefix, OPTIONS, pull);
        let mut fields = Vec::with_capacity(schema.fields().len());
        for field in schema.fields() {
            // A wrong value of the option is enough to say.
            match derive(field, legacy.unwrap_or(false)) {
                Ok(written) => fields.push(Member::new(field.name(), written)),
                Err(why) => {
                    let why = why.replace("'timestamp_mapping.legacy'", &format!("'{prefix}{}'", LEGACY.key));
                    let what = format!("Format 'avro' cannot read column '{}': {why}.", field.name());
                    options.report(Problem::new("CON-003", options.object(), what));
                }
            }
        }
        legacy.filter(|_| fields.len() == schema.fields().len())?;
        if let Err(misfit) = Record::new(&fields, schema.fields(), None) {
            options.report(Problem::new("CON-003", options.object(), format!("Format 'avro' cannot read {misfit}.")));
            return None;
        }
        Some(Box::new(AvroFormat(fields)))
    }
}

/// Whether timestamps are mapped as they were.
fn pull(options: &mut OptionBag) -> Option<bool> {
    let (encoding, legacy) = (options.choice(&ENCODING), options.boolean(&LEGACY));
    if encoding == Some("json") {
        let what = format!("Invalid value for option '{}': 'json' is not supported. Expected 'binary'.", options.full_key(ENCODING.key));
        options.error("OPT-004", ENCODING.key, what);
        return None;
    }
    if options.choice(&CODEC).is_some() {
        let what = format!("'{}' has no effect because messages are not compressed by the format.", options.full_key(CODEC.key));
        options.warn("OPT-008", CODEC.key, what);
    }
    encoding.and(legacy)
}

impl Format for AvroFormat {
    fn decoder(&self, schema: &SchemaRef) -> Box<dyn Decoder> {
        // The columns are among those that the schema was derived from: what does not fit cannot be.
        let plan = Record::new(&self.0, schema.fields(), None).unwrap_or_else(|_misfit| Record::default());
        Box::new(RowDecoder::new(ReadAvro(plan), schema, Context::default(), None))
    }

    fn encoder(&self, schema: &SchemaRef) -> Result<Box<dyn Encoder>, String> {
        Ok(Box::new(RowEncoder::new(WriteAvro(self.0.clone()), schema)))
    }
}
