//! The stream of a table's commits as a source of a job.

use std::sync::{Arc, Mutex};

use arrow_schema::{ArrowError, SchemaRef};
use async_trait::async_trait;
use weir_base::memory::MemoryBudget;
use weir_base::options::{OptionBag, Problems, parse_memory_size};
use weir_catalog::lake::{LakeCatalog, LakeTable};

use super::changes::{Layout, with_changes};
use super::enumerator::{LakeEnumerator, Lineage};
use super::history::beginning;
use super::options::{OfTable, Overwrites, StreamOptions};
use super::reader::LakeReader;
use super::shared::Shared;
use crate::error::ConnectorError;
use crate::iceberg::read::{TableColumns, Wanted};
use crate::registry::Opened;
use crate::source::{Cut, SplitEnumerator, SplitId, SplitPosition, SplitReader, StreamSource};

/// The property of a table that says how large pieces of its files are.
const SPLIT_PROPERTY: &str = "read.split.target-size";
/// Rows of a batch, at most.
const BATCH_ROWS: usize = 8_192;

/// What an Iceberg table's commits add, as a stream.
#[derive(Debug, Clone)]
pub struct IcebergStream {
    shared: Arc<Shared>,
}

impl IcebergStream {
    /// A stream over a table as it has been loaded, read in `parallelism` splits unless the options say otherwise.
    ///
    /// # Errors
    /// Every problem of the options; a table that has no order of commits.
    pub fn open(catalog: &Arc<dyn LakeCatalog>, table: &LakeTable, options: &OptionBag, parallelism: usize) -> Result<Opened<Self>, StreamError> {
        let split_size = table.metadata.properties().get(SPLIT_PROPERTY).and_then(|size| parse_memory_size(size));
        let has_column = |column: &str| table.metadata.current_schema().field_by_name(column).is_some();
        let of_table = OfTable { split_size: split_size.filter(|size| *size > 0), has_column: &has_column };
        let Opened { value: options, warnings } = StreamOptions::open(options, of_table, parallelism)?;
        let name = format!("{}.{}", catalog.name(), table.id);
        if table.metadata.format_version() == iceberg::spec::FormatVersion::V1 {
            let what = "a table of format version 1 cannot be read as a stream, because its snapshots have no sequence numbers";
            return Err(ConnectorError::user(format!("table {name}: {what}. Set its property 'format-version' to '2', with any engine.")).into());
        }
        let columns = TableColumns::of(&name, &table.metadata, table.metadata.current_schema())?;
        let schema = match options.overwrites {
            Overwrites::Tell => with_changes(&columns.schema).map_err(|taken| {
                let what = format!("'streaming.overwrite-as-changes' adds a column '{taken}', and the table has one of that name");
                ConnectorError::user(format!("table {name}: {what}. Rename the table's column."))
            })?,
            Overwrites::Refuse | Overwrites::PassOver => Arc::clone(&columns.schema),
        };
        let shared = Shared {
            catalog: Arc::clone(catalog),
            id: table.id.clone(),
            name,
            uuid: table.metadata.uuid().to_string(),
            location: table.metadata.location().to_owned(),
            options,
            columns,
            schema,
            plans: Mutex::default(),
        };
        Ok(Opened { value: Self { shared: Arc::new(shared) }, warnings })
    }
}

/// Why a stream cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The options.
    #[error(transparent)]
    Options(#[from] Problems),
    /// The table.
    #[error(transparent)]
    Table(#[from] ConnectorError),
}

#[async_trait]
impl StreamSource for IcebergStream {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.shared.schema)
    }

    fn is_bounded(&self) -> bool {
        false
    }

    async fn enumerator(&self, restored: Option<&Cut>) -> Result<Box<dyn SplitEnumerator>, ConnectorError> {
        let shared = Arc::clone(&self.shared);
        let table = shared.load().await?;
        let start = match restored {
            Some(cut) if !cut.is_empty() => cut.clone(),
            _ => {
                let options = &shared.options;
                let begun = beginning(&table.metadata, &options.branch, &options.begin);
                let (place, scan) = begun.map_err(|why| shared.refused(&why))?;
                let lineage = Lineage { uuid: shared.uuid.clone(), scan, piece: Some(options.piece) };
                let position = SplitPosition { offset: shared.offset(place)?, incarnation: Some(lineage.to_string()) };
                (0..options.splits).map(|split| (SplitId(split.to_string()), position.clone())).collect()
            }
        };
        Ok(Box::new(LakeEnumerator::new(shared, start)?))
    }

    async fn reader(
        &self,
        split: &SplitId,
        from: &SplitPosition,
        projection: &[usize],
        budget: &MemoryBudget,
    ) -> Result<Box<dyn SplitReader>, ConnectorError> {
        let shared = Arc::clone(&self.shared);
        let number = split.0.parse().map_err(|error| ConnectorError::internal(format!("split '{split}' is no number")).with_source(error))?;
        let unchosen = |error: ArrowError| ConnectorError::internal(format!("table {}: columns cannot be chosen", shared.name)).with_source(error);
        let layout = Layout::new(&shared.schema, shared.columns.schema.fields().len(), projection).map_err(unchosen)?;
        let wanted = Wanted {
            table: shared.name.clone(),
            file_systems: shared.catalog.file_systems().clone(),
            columns: shared.columns.project(&layout.read).map_err(unchosen)?,
            batch_rows: BATCH_ROWS,
            budget: budget.clone(),
        };
        Ok(Box::new(LakeReader::new(Arc::clone(&shared), number, from.offset, wanted, layout)))
    }
}
