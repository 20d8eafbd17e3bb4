//! Metadata tables: what Iceberg knows of a table, as tables (`orders$snapshots`). They are small, and read whole when a query is planned.

mod columns;
mod content;
mod history;
mod markers;

use std::sync::Arc;

use arrow_array::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use weir_base::options::{OptionBag, Problem};
use weir_catalog::lake::LakeTable;

use super::read::{Chosen, read_options};
use crate::error::ConnectorError;

/// A metadata table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetadataTable {
    /// Every snapshot that can be read.
    Snapshots,
    /// Which snapshot became current when.
    History,
    /// Branches and tags.
    Refs,
    /// Live files of a snapshot.
    Files,
    /// Manifests of a snapshot.
    Manifests,
    /// Partitions of a snapshot.
    Partitions,
    /// Entries of a snapshot's manifests, those of removed files too.
    Entries,
    /// Metadata files, the present one included.
    MetadataLog,
    /// How far Weir's jobs have written.
    Weir,
}

/// Names behind the `$`.
const NAMES: [(&str, MetadataTable); 9] = [
    ("snapshots", MetadataTable::Snapshots),
    ("history", MetadataTable::History),
    ("refs", MetadataTable::Refs),
    ("files", MetadataTable::Files),
    ("manifests", MetadataTable::Manifests),
    ("partitions", MetadataTable::Partitions),
    ("entries", MetadataTable::Entries),
    ("metadata_log", MetadataTable::MetadataLog),
    ("weir", MetadataTable::Weir),
];

impl MetadataTable {
    /// A table's name and its metadata table, from a name such as `orders$files`.
    #[must_use]
    pub fn split(name: &str) -> Option<(&str, Self)> {
        let (table, kind) = name.rsplit_once('$')?;
        let found = NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(kind))?;
        (!table.is_empty()).then_some((table, found.1))
    }

    /// All names behind the `$`.
    #[must_use]
    pub fn names() -> Vec<&'static str> {
        NAMES.iter().map(|(name, _)| *name).collect()
    }

    /// The rows for a table as it has been loaded; `name` is the table's, for messages. Options say which snapshot is looked at, if it
    /// matters which; warnings about them go to `warnings`.
    ///
    /// # Errors
    /// Problems of the options, a snapshot that is not there, manifests that cannot be read.
    pub async fn provider(
        self,
        name: &str,
        table: &LakeTable,
        options: &OptionBag,
        warnings: &mut Vec<Problem>,
    ) -> Result<Arc<dyn TableProvider>, MetadataTableError> {
        let chosen = read_options(name, table, options, warnings)?;
        let batch = self.rows(table, &chosen).await?;
        let internal = |error| ConnectorError::internal(format!("Table '{name}': a metadata table cannot be shown: {error}"));
        Ok(Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]]).map_err(internal)?))
    }

    async fn rows(self, table: &LakeTable, chosen: &Chosen) -> Result<RecordBatch, ConnectorError> {
        match self {
            Self::Snapshots => history::snapshots(&table.metadata),
            Self::History => history::history(&table.metadata),
            Self::Refs => history::refs(&table.metadata),
            Self::MetadataLog => history::metadata_log(table),
            Self::Weir => markers::markers(table),
            Self::Files => content::files(table, chosen).await,
            Self::Manifests => content::manifests(table, chosen).await,
            Self::Partitions => content::partitions(table, chosen).await,
            Self::Entries => content::entries(table, chosen).await,
        }
    }
}

/// Why a metadata table cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum MetadataTableError {
    /// The options.
    #[error(transparent)]
    Options(#[from] weir_base::options::Problems),
    /// The table.
    #[error(transparent)]
    Table(#[from] ConnectorError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_split_at_its_last_dollar_if_a_metadata_table_follows() {
        assert_eq!(MetadataTable::split("orders$files"), Some(("orders", MetadataTable::Files)));
        assert_eq!(MetadataTable::split("a$b$Snapshots"), Some(("a$b", MetadataTable::Snapshots)));
        assert_eq!(MetadataTable::split("orders$other"), None);
        assert_eq!(MetadataTable::split("$files"), None);
        assert_eq!(MetadataTable::split("orders"), None);
    }
}
