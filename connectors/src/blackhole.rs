//! The blackhole connector: a sink that takes rows and forgets them.

use std::sync::Arc;

use arrow_array::{RecordBatch, UInt64Array};
use arrow_schema::SchemaRef;
use async_trait::async_trait;
use weir_base::options::{OptionDecl, Problems};
use weir_fs::FileSystems;

use crate::batch::BatchTable;
use crate::error::ConnectorError;
use crate::lookup::LookupParts;
use crate::registry::{CONNECTOR, Connector, MetadataKey, Opened, Role, cannot_be};
use crate::sink::{Committable, Distribution, SinkCommitter, SinkWriter, StreamSink, WriterContext};
use crate::source::StreamSource;
use crate::table::TableDef;

const OPTIONS: &[OptionDecl] = &[CONNECTOR];

/// The blackhole connector.
#[derive(Debug, Clone, Copy, Default)]
pub struct BlackholeConnector;

impl Connector for BlackholeConnector {
    fn name(&self) -> &'static str {
        "blackhole"
    }

    fn doc(&self) -> &'static str {
        "Takes rows and forgets them."
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
        let mut bag = table.options.fresh();
        bag.string(&CONNECTOR);
        let warnings = bag.finish("blackhole", &[&CONNECTOR], &[])?;
        Ok(Opened { value: Arc::new(Blackhole { schema: table.sink_schema() }), warnings })
    }

    fn lookup(&self, table: &TableDef, _file_systems: &FileSystems) -> Result<Opened<LookupParts>, Problems> {
        Err(cannot_be(self, table, Role::Lookup))
    }
}

#[derive(Debug)]
struct Blackhole {
    schema: SchemaRef,
}

#[async_trait]
impl StreamSink for Blackhole {
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

    fn writer(&self, _context: WriterContext) -> Result<Box<dyn SinkWriter>, ConnectorError> {
        Ok(Box::new(Forgetful))
    }

    fn committer(&self) -> Option<Arc<dyn SinkCommitter>> {
        None
    }
}

#[derive(Debug)]
struct Forgetful;

#[async_trait]
impl SinkWriter for Forgetful {
    async fn write(&mut self, _batch: RecordBatch) -> Result<(), ConnectorError> {
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<Vec<Committable>, ConnectorError> {
        Ok(Vec::new())
    }

    async fn abort(self: Box<Self>) {}
}
