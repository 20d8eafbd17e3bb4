//! The options of the `protobuf` format and their checks.

use arrow_schema::SchemaRef;
use weir_base::options::{OptionBag, OptionDecl, Problem, ValueType};

use super::descriptor::Descriptors;
use super::encode::{Message, WriteProtobuf};
use super::plan::{Choices, Plan};
use super::read::ReadProtobuf;
use crate::format::columns::Context;
use crate::format::decoder::RowDecoder;
use crate::format::encoder::RowEncoder;
use crate::format::{Decoder, Encoder, Format, FormatFactory, IGNORE_PARSE_ERRORS};

const DESCRIPTOR_FILE: OptionDecl = OptionDecl::new(
    "descriptor-file",
    ValueType::String,
    "A file on this machine with the descriptor set: `protoc --include_imports --descriptor_set_out=FILE …`.",
)
.required();
const MESSAGE_NAME: OptionDecl =
    OptionDecl::new("message-name", ValueType::String, "The type of the messages, as `package.Message`, or as much of its end as is unique.");
const CLASS_NAME: OptionDecl = OptionDecl::new(
    "message-class-name",
    ValueType::String,
    "Flink's name of the type: a Java class, whose last parts are looked for in the descriptor set. Either this or `message-name`.",
);
pub(in crate::format) const READ_DEFAULTS: OptionDecl = OptionDecl::new(
    "read-default-values",
    ValueType::Boolean,
    "Whether a field that a message lacks has its default value rather than NULL. Fields of proto3 that are neither messages nor `optional` always have.",
)
.default("false");
const NULL_STRING: OptionDecl =
    OptionDecl::new("write-null-string-literal", ValueType::String, "The text written for a NULL in an array or a map.").default("");

const OPTIONS: &[OptionDecl] = &[DESCRIPTOR_FILE, MESSAGE_NAME, CLASS_NAME, IGNORE_PARSE_ERRORS, READ_DEFAULTS, NULL_STRING];

/// Makes `protobuf` formats.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProtobufFactory;

/// The `protobuf` format with its options.
#[derive(Debug)]
pub struct ProtobufFormat {
    prefix: String,
    tolerant: bool,
    choices: Choices,
    /// Written for a NULL in an array or a map.
    null_text: String,
    descriptors: Descriptors,
    /// Full name of the type.
    message: String,
}

impl FormatFactory for ProtobufFactory {
    fn name(&self) -> &'static str {
        "protobuf"
    }

    fn doc(&self) -> &'static str {
        "A message is one of Protocol Buffers, of a type in a descriptor set; its fields are columns by name."
    }

    fn options(&self) -> &'static [OptionDecl] {
        OPTIONS
    }

    fn open(&self, prefix: &str, options: &mut OptionBag, schema: &SchemaRef) -> Option<Box<dyn Format>> {
        let format = options.scoped(prefix, OPTIONS, |options| pull(prefix, options))?;
        if let Err(why) = format.plan(schema) {
            options.report(Problem::new("CON-003", options.object(), format!("Format 'protobuf' cannot read {why}.")));
            return None;
        }
        Some(Box::new(format))
    }
}

/// Pulls every option, so that all problems are found, and reads the descriptor set.
fn pull(prefix: &str, options: &mut OptionBag) -> Option<ProtobufFormat> {
    let file = options.string(&DESCRIPTOR_FILE);
    let (name, class) = (options.string(&MESSAGE_NAME), options.string(&CLASS_NAME));
    let (tolerant, defaults) = (options.boolean(&IGNORE_PARSE_ERRORS), options.boolean(&READ_DEFAULTS));
    let null_text = options.string(&NULL_STRING);
    let (key, wanted) = match (&name, &class) {
        (Some(name), None) => (MESSAGE_NAME.key, name),
        (None, Some(class)) => (CLASS_NAME.key, class),
        (Some(_), Some(_)) => {
            let what = format!("'{}' and '{}' shouldn't be set together.", options.full_key(MESSAGE_NAME.key), options.full_key(CLASS_NAME.key));
            options.error("OPT-006", CLASS_NAME.key, what);
            return None;
        }
        (None, None) => {
            let what = format!("One or more required options are missing: '{}'.", options.full_key(MESSAGE_NAME.key));
            options.error("OPT-002", MESSAGE_NAME.key, what);
            return None;
        }
    };
    let file = file?;
    let read = std::fs::read(file.strip_prefix("file://").unwrap_or(&file)).map_err(|error| error.to_string());
    let descriptors = match read.and_then(|bytes| Descriptors::read(&bytes).map_err(|why| format!("it is no descriptor set: {why}"))) {
        Ok(descriptors) => descriptors,
        Err(why) => {
            let full = options.full_key(DESCRIPTOR_FILE.key);
            options.error("OPT-003", DESCRIPTOR_FILE.key, format!("Invalid value for option '{full}': '{file}' cannot be read: {why}."));
            return None;
        }
    };
    match descriptors.resolve(wanted).map(str::to_owned) {
        Ok(message) => {
            let choices = Choices { defaults: defaults?, evolves: false };
            Some(ProtobufFormat { prefix: prefix.to_owned(), tolerant: tolerant?, choices, null_text: null_text?, descriptors, message })
        }
        Err(why) => {
            let what = format!("Invalid value for option '{}': '{wanted}' is not a message of '{file}': {why}.", options.full_key(key));
            options.error("OPT-003", key, what);
            None
        }
    }
}

impl ProtobufFormat {
    fn plan(&self, schema: &SchemaRef) -> Result<Plan, String> {
        let message = self.descriptors.message(&self.message).ok_or_else(|| format!("'{}'", self.message))?;
        Plan::new(&self.descriptors, message, schema.fields(), self.choices)
    }
}

impl Format for ProtobufFormat {
    fn decoder(&self, schema: &SchemaRef) -> Box<dyn Decoder> {
        // The columns are among those that were checked when the format was opened: what does not fit cannot be.
        let plan = self.plan(schema).unwrap_or_else(|_misfit| Plan(Vec::new()));
        let context = Context { tolerant: self.tolerant, ..Context::default() };
        Box::new(RowDecoder::new(ReadProtobuf(plan), schema, context, Some(format!("{}{}", self.prefix, IGNORE_PARSE_ERRORS.key))))
    }

    fn encoder(&self, schema: &SchemaRef) -> Result<Box<dyn Encoder>, String> {
        let message = self.descriptors.message(&self.message).ok_or_else(|| format!("there is no '{}'", self.message))?;
        let fields = Message::new(&self.descriptors, message, schema.fields())?;
        Ok(Box::new(RowEncoder::new(WriteProtobuf { message: fields, null_text: self.null_text.clone() }, schema)))
    }
}
