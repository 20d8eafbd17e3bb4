//! The print connector: a sink that writes each row as a line, `+I[1, a]`, to standard output or standard error.
//!
//! Rows are seen as they are written, also those of an epoch that is repeated after a failure: it is for looking, not for keeping.

mod rows;

#[cfg(test)]
mod tests;

use std::fmt;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::{RecordBatch, UInt64Array};
use arrow_schema::SchemaRef;
use async_trait::async_trait;
use weir_base::options::{OptionDecl, Problem, Problems, ValueType};
use weir_base::task;
use weir_fs::FileSystems;

use crate::batch::BatchTable;
use crate::error::ConnectorError;
use crate::lookup::LookupParts;
use crate::registry::{CONNECTOR, Connector, MetadataKey, Opened, Role, cannot_be};
use crate::sink::{Committable, Distribution, SinkCommitter, SinkWriter, StreamSink, WriterContext};
use crate::source::StreamSource;
use crate::table::TableDef;

const IDENTIFIER: OptionDecl = OptionDecl::new("print-identifier", ValueType::String, "A word before each row: `word> +I[…]`.");
const STANDARD_ERROR: OptionDecl =
    OptionDecl::new("standard-error", ValueType::Boolean, "Whether rows go to standard error, not to standard output.").default("false");
const PARALLELISM: OptionDecl =
    OptionDecl::new("sink.parallelism", ValueType::Integer { min: 1, max: 1_024 }, "Accepted; rows are printed by as many writers as the job has.");
const OPTIONS: &[OptionDecl] = &[CONNECTOR, IDENTIFIER, STANDARD_ERROR, PARALLELISM];

/// The print connector.
#[derive(Debug, Clone, Copy, Default)]
pub struct PrintConnector;

impl Connector for PrintConnector {
    fn name(&self) -> &'static str {
        "print"
    }

    fn doc(&self) -> &'static str {
        "Writes each row as a line to standard output or standard error."
    }

    fn options(&self) -> &'static [OptionDecl] {
        OPTIONS
    }

    fn metadata(&self) -> Vec<MetadataKey> {
        Vec::new()
    }

    fn supports(&self, role: Role) -> bool {
        role == Role::Sink
    }

    fn source(&self, table: &TableDef, _file_systems: &FileSystems) -> Result<Opened<Arc<dyn StreamSource>>, Problems> {
        Err(cannot_be(self, table, Role::Source))
    }

    fn scan(&self, table: &TableDef, _file_systems: &FileSystems) -> Result<Opened<Arc<dyn BatchTable>>, Problems> {
        Err(cannot_be(self, table, Role::Scan))
    }

    fn sink(&self, table: &TableDef, _file_systems: &FileSystems) -> Result<Opened<Arc<dyn StreamSink>>, Problems> {
        let Opened { value: settings, warnings } = settings(table)?;
        let out: Box<dyn Write + Send> = if settings.standard_error { Box::new(std::io::stderr()) } else { Box::new(std::io::stdout()) };
        let value = Print { schema: table.sink_schema(), identifier: settings.identifier, out: Out::new(out) };
        Ok(Opened { value: Arc::new(value), warnings })
    }

    fn lookup(&self, table: &TableDef, _file_systems: &FileSystems) -> Result<Opened<LookupParts>, Problems> {
        Err(cannot_be(self, table, Role::Lookup))
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Settings {
    identifier: Option<String>,
    standard_error: bool,
}

fn settings(table: &TableDef) -> Result<Opened<Settings>, Problems> {
    let mut bag = table.options.fresh();
    bag.string(&CONNECTOR);
    let identifier = bag.string(&IDENTIFIER).filter(|identifier| !identifier.is_empty());
    let standard_error = bag.boolean(&STANDARD_ERROR);
    if bag.contains(PARALLELISM.key) && bag.integer(&PARALLELISM).is_some() {
        bag.warn("OPT-008", PARALLELISM.key, "'sink.parallelism' has no effect because every writer of the job prints.");
    }
    let object = bag.object().to_owned();
    let warnings = bag.finish("print", &OPTIONS.iter().collect::<Vec<_>>(), &[])?;
    // A value that is missing here has been reported, and `finish` has failed.
    let standard_error = standard_error.ok_or_else(|| Problem::new("OPT-003", object, "the declaration could not be checked."))?;
    Ok(Opened { value: Settings { identifier, standard_error }, warnings })
}

/// Where rows go, shared by all writers: the lines of a batch stay together.
#[derive(Clone)]
struct Out(Arc<Mutex<Box<dyn Write + Send>>>);

impl Out {
    fn new(out: Box<dyn Write + Send>) -> Self {
        Self(Arc::new(Mutex::new(out)))
    }

    fn write(&self, text: &str) -> std::io::Result<()> {
        let mut out = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        out.write_all(text.as_bytes())?;
        out.flush()
    }
}

impl fmt::Debug for Out {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Out")
    }
}

#[derive(Debug)]
struct Print {
    schema: SchemaRef,
    identifier: Option<String>,
    out: Out,
}

#[async_trait]
impl StreamSink for Print {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn distribution(&self) -> Distribution {
        Distribution::None
    }

    fn writers(&self) -> Option<usize> {
        None
    }

    fn route(&self, batch: &RecordBatch) -> Result<UInt64Array, ConnectorError> {
        Ok(vec![0; batch.num_rows()].into())
    }

    fn key(&self) -> Vec<usize> {
        Vec::new()
    }

    fn writer(&self, context: WriterContext) -> Result<Box<dyn SinkWriter>, ConnectorError> {
        let prefix = rows::prefix(self.identifier.as_deref(), context.partition, context.partitions);
        Ok(Box::new(Printer { prefix, out: self.out.clone() }))
    }

    fn committer(&self) -> Option<Arc<dyn SinkCommitter>> {
        None
    }
}

#[derive(Debug)]
struct Printer {
    prefix: String,
    out: Out,
}

#[async_trait]
impl SinkWriter for Printer {
    async fn write(&mut self, batch: RecordBatch) -> Result<(), ConnectorError> {
        let text = rows::text(&batch, &self.prefix).map_err(|error| ConnectorError::internal("a row cannot be printed").with_source(error))?;
        let out = self.out.clone();
        let written = task::blocking("print", move || out.write(&text)).await;
        match written {
            Ok(Ok(())) => Ok(()),
            // The reader of a pipe has gone: nobody looks any more, and no retry helps.
            Ok(Err(error)) => Err(ConnectorError::user(format!("rows cannot be printed: {error}")).with_source(error)),
            Err(error) => Err(ConnectorError::internal("rows were not printed").with_source(error)),
        }
    }

    async fn finish(self: Box<Self>) -> Result<Vec<Committable>, ConnectorError> {
        Ok(Vec::new())
    }

    async fn abort(self: Box<Self>) {}
}
