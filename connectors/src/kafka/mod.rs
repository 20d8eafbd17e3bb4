//! The kafka connector: a source that reads topics, up to the cuts that a job commands.
//!
//! A [`KafkaConnector`] checks a declaration (`options`, `properties`, `columns`; all of it pure) and makes a `source`. Its `enumerator`
//! finds partitions and ends with a client of its own; its readers (`reader`) share one client (`reading`), each with a queue of its own.
//! A reader takes messages from its queue in batches (`ffi`), decodes them at once into columns (`decode`, `metadata`, bad ones `letters`), and
//! keeps what is past the commanded end (`backlog`). Decisions about offsets are in `start`, about topics in `topics`, about errors in
//! `trouble`.
//!
//! The cut of a partition is its last stable offset. A split is done when its *position* has passed the cut: control records, aborted
//! transactions and compaction leave gaps, so records are never counted. Topic ids go into the cut, so that a topic that was deleted and
//! created again is noticed.

mod backlog;
mod client;
mod columns;
mod decode;
mod enumerator;
mod ffi;
mod known;
mod letters;
mod losses;
mod metadata;
mod metrics;
mod options;
mod properties;
mod reader;
mod reading;
mod resend;
mod source;
mod start;
mod topics;
mod trouble;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use weir_base::options::{OptionDecl, Problem, Problems};
use weir_fs::FileSystems;

use crate::batch::BatchTable;
use crate::format::FormatFactory;
use crate::format::changes::metadata_keys;
use crate::lookup::LookupParts;
use crate::registry::{Connector, MetadataKey, Opened, Role};
use crate::sink::StreamSink;
use crate::source::StreamSource;
use crate::table::TableDef;
use source::KafkaSource;

/// The kafka connector, with the formats it may use.
#[derive(Debug)]
pub struct KafkaConnector {
    formats: Vec<Arc<dyn FormatFactory>>,
}

impl KafkaConnector {
    /// A connector that knows `formats`.
    #[must_use]
    pub fn new(formats: Vec<Arc<dyn FormatFactory>>) -> Self {
        Self { formats }
    }
}

impl Connector for KafkaConnector {
    fn name(&self) -> &'static str {
        "kafka"
    }

    fn doc(&self) -> &'static str {
        "Reads topics of Apache Kafka, with exactly-once positions, and every message once."
    }

    fn options(&self) -> &'static [OptionDecl] {
        options::ALL
    }

    fn metadata(&self) -> Vec<MetadataKey> {
        metadata::keys().into_iter().chain(metadata_keys()).collect()
    }

    fn supports(&self, role: Role) -> bool {
        role == Role::Source
    }

    fn source(&self, table: &TableDef, file_systems: &FileSystems) -> Result<Opened<Arc<dyn StreamSource>>, Problems> {
        let mut bag = table.options.fresh();
        let rows = columns::row_format(table, &mut bag, &self.formats);
        let settings = options::pull(&mut bag);
        let object = bag.object().to_owned();
        let known: Vec<&OptionDecl> = options::ALL.iter().collect();
        let warnings = bag.finish("kafka", &known, &[])?;
        match (settings, rows) {
            (Some(settings), Some(rows)) => Ok(Opened { value: Arc::new(KafkaSource::new(settings, rows, file_systems)), warnings }),
            // Whoever gave nothing has said why, and `finish` has failed.
            _ => Err(Problem::new("OPT-003", object, "The declaration could not be checked.").into()),
        }
    }

    fn scan(&self, table: &TableDef, _file_systems: &FileSystems) -> Result<Opened<Arc<dyn BatchTable>>, Problems> {
        Err(unsupported(table, "It cannot be read as a whole by itself: declare a 'scan.bounded.mode' and run a job."))
    }

    fn sink(&self, table: &TableDef, _file_systems: &FileSystems) -> Result<Opened<Arc<dyn StreamSink>>, Problems> {
        Err(unsupported(table, "It cannot be used as a sink yet."))
    }

    fn lookup(&self, table: &TableDef, _file_systems: &FileSystems) -> Result<Opened<LookupParts>, Problems> {
        Err(unsupported(table, "It does not give rows by key."))
    }
}

fn unsupported(table: &TableDef, what: &str) -> Problems {
    let what = format!("Connector 'kafka' can only be used as a source. {what}");
    Problem::new("CON-002", table.options.object(), what).at(table.options.position("connector")).into()
}
