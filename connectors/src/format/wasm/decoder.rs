//! Decodes messages with instances of a module, one after another: an instance that has failed is dropped and the next message has a new one.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, Schema, SchemaRef};

use super::answer::Answer;
use super::instance::Instance;
use super::module::Compiled;
use super::schema;
use super::shape::Shape;
use crate::format::columns::{Context, Fault, Most, Rows};
use crate::format::decoder::failed;
use crate::format::{Decoded, Decoder, Wanted};

/// Work after which the decoder pauses, about three seconds: a module may use all its fuel for each message, and who reads wants to stop, or to
/// hand on what there is.
const SLICE: u64 = 2_000_000_000;

/// What a decoder is made of.
#[derive(Debug)]
pub(super) struct Parts {
    /// The module, or why there is none.
    pub(super) compiled: Result<Compiled, String>,
    /// What the module is called in messages.
    pub(super) name: String,
    /// The columns of the table.
    pub(super) declared: SchemaRef,
    /// Bad messages are left out and bad values NULL.
    pub(super) tolerant: bool,
    /// The option that says so, as the user writes it.
    pub(super) option: String,
}

/// The decoder.
#[derive(Debug)]
pub(super) struct WasmDecoder {
    parts: Parts,
    columns: String,
    instance: Option<Instance>,
    /// The form of each declared column, and which of the wanted ones it is.
    places: Vec<(Shape, Option<usize>)>,
    schema: SchemaRef,
    rows: Rows,
    context: Context,
    bytes: usize,
    /// Work since the last pause.
    spent: u64,
}

impl WasmDecoder {
    /// A decoder that gives the columns `wanted`.
    pub(super) fn new(parts: Parts, wanted: &SchemaRef) -> Self {
        let place = |name: &str| wanted.fields().iter().position(|field| field.name() == name);
        let places = parts.declared.fields().iter().map(|field| (Shape::of(field.data_type()), place(field.name()))).collect();
        let context = Context { tolerant: parts.tolerant, ..Context::default() };
        let columns = schema::text(&parts.declared, wanted);
        let rows = Rows::new(wanted.fields());
        Self { parts, columns, instance: None, places, schema: Arc::clone(wanted), rows, context, bytes: 0, spent: 0 }
    }

    /// Appends the rows of `message`; a message is only bad if the module says so, or a new instance fails it too.
    fn read(&mut self, message: &[u8]) -> Result<usize, Fault> {
        let (rows, field_errors) = (self.rows.len(), self.context.field_errors);
        loop {
            self.context.begin(message.len())?;
            let compiled = self.parts.compiled.as_ref().map_err(|why| Fault::syntax(why.as_str()))?;
            let mut instance = match self.instance.take() {
                Some(instance) => instance,
                None => Instance::start(compiled, &self.columns, &mut self.spent)
                    .map_err(|why| Fault::syntax(format!("module '{}': {why}", self.parts.name)))?,
            };
            let is_used = instance.is_used();
            let read = match instance.decode(message, &mut self.spent) {
                Ok(None) => Ok(0),
                Ok(Some(answer)) => {
                    let mut answer = Answer::new(answer, compiled.limits.memory);
                    let read = answer.read_rows(&self.places, &mut self.rows, &mut self.context);
                    if answer.is_broken() {
                        if !is_used {
                            return read;
                        }
                        self.rows.truncate(rows);
                        self.context.field_errors = field_errors;
                        continue;
                    }
                    read
                }
                Err(_) if is_used => continue,
                Err(why) => return Err(Fault::syntax(why)),
            };
            self.instance = Some(instance);
            return read;
        }
    }

    #[cold]
    fn bad(&mut self, fault: Fault, rows: usize, field_errors: u64) -> Decoded {
        self.rows.take_back(rows, &fault);
        self.context.field_errors = field_errors;
        failed(fault, rows, &self.context, Some(&self.parts.option))
    }
}

/// Checks that a new instance of `compiled` takes the columns of `declared`.
pub(super) fn rehearse(compiled: &Compiled, declared: &Schema) -> Result<(), String> {
    Instance::start(compiled, &schema::text(declared, declared), &mut 0).map(|_instance| ())
}

impl Decoder for WasmDecoder {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn push(&mut self, message: &[u8]) -> Decoded {
        if self.spent >= SLICE {
            self.spent = 0;
            return Decoded::Waits;
        }
        let (rows, field_errors) = (self.rows.len(), self.context.field_errors);
        match self.read(message) {
            Ok(0) => Decoded::Nothing,
            Ok(count) => {
                self.bytes = self.rows.bytes();
                if count == 1 { Decoded::Row } else { Decoded::Rows(count) }
            }
            Err(fault) => self.bad(fault, rows, field_errors),
        }
    }

    fn wanted(&mut self) -> Wanted {
        Box::pin(async {
            tokio::task::yield_now().await;
            Ok(())
        })
    }

    fn bound(&mut self, bytes: usize) {
        self.context.most = Most::of_memory(bytes);
    }

    fn rows(&self) -> usize {
        self.rows.len()
    }

    fn bytes(&self) -> usize {
        self.bytes
    }

    fn field_errors(&self) -> u64 {
        self.context.field_errors
    }

    fn take(&mut self) -> Result<RecordBatch, ArrowError> {
        self.bytes = 0;
        self.rows.take_batch(&self.schema)
    }
}
