//! The filesystem connector: a folder of files that batch jobs rewrite, as a table for lookup joins, which is read as a whole.
//!
//! `options` checks a declaration, `files` decides which files are the newest version, `rows` reads one file, `counts` counts what it leaves out, and
//! `dictionary` is the lookup table.

mod counts;
mod dictionary;
mod files;
mod options;
mod rows;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use weir_base::options::{OptionDecl, Problem, Problems};
use weir_fs::FileSystems;

use crate::batch::BatchTable;
use crate::lookup::{Ability, LookupOptions, LookupParts};
use crate::registry::{Connector, MetadataKey, Opened, Role, cannot_be};
use crate::sink::StreamSink;
use crate::source::StreamSource;
use crate::table::TableDef;
use dictionary::FileDictionary;

/// The filesystem connector.
#[derive(Debug, Clone, Copy, Default)]
pub struct FilesystemConnector;

impl Connector for FilesystemConnector {
    fn name(&self) -> &'static str {
        "filesystem"
    }

    fn doc(&self) -> &'static str {
        "Looks up rows in files that batch jobs rewrite: CSV, JSON or Parquet, in a folder of any file system."
    }

    fn options(&self) -> &'static [OptionDecl] {
        options::ALL
    }

    fn metadata(&self) -> Vec<MetadataKey> {
        Vec::new()
    }

    fn supports(&self, role: Role) -> bool {
        role == Role::Lookup
    }

    fn source(&self, table: &TableDef, _file_systems: &FileSystems) -> Result<Opened<Arc<dyn StreamSource>>, Problems> {
        Err(cannot_be(self, table, Role::Source))
    }

    fn scan(&self, table: &TableDef, _file_systems: &FileSystems) -> Result<Opened<Arc<dyn BatchTable>>, Problems> {
        Err(cannot_be(self, table, Role::Scan))
    }

    fn sink(&self, table: &TableDef, _file_systems: &FileSystems) -> Result<Opened<Arc<dyn StreamSink>>, Problems> {
        Err(cannot_be(self, table, Role::Sink))
    }

    fn lookup(&self, table: &TableDef, file_systems: &FileSystems) -> Result<Opened<LookupParts>, Problems> {
        let mut bag = table.options.fresh();
        let settings = options::pull(table, &mut bag, file_systems);
        let watch = options::watch(&mut bag);
        let lookup = watch.and_then(|watch| LookupOptions::pull(&mut bag, Ability::dictionary(watch)));
        let object = bag.object().to_owned();
        let known: Vec<&OptionDecl> = options::ALL.iter().collect();
        let warnings = bag.finish("filesystem", &known, &[])?;
        match (settings, lookup) {
            (Some(settings), Some(options)) => Ok(Opened { value: (Arc::new(FileDictionary::new(settings)), options), warnings }),
            // Whoever gave nothing has said why, and `finish` has failed.
            _ => Err(Problem::new("OPT-003", object, "The declaration could not be checked.").into()),
        }
    }
}
