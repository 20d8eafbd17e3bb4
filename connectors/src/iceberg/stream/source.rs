//! The stream of a table's commits as a source of a job.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use weir_base::memory::MemoryBudget;
use weir_base::options::{OptionBag, Problems};
use weir_catalog::lake::{LakeCatalog, LakeTable, TableId};

use super::enumerator::{LakeEnumerator, Lineage};
use super::history::beginning;
use super::options::StreamOptions;
use super::place::Place;
use super::planned::Planned;
use super::reader::LakeReader;
use crate::error::ConnectorError;
use crate::iceberg::committer::catalog_error;
use crate::iceberg::read::Wanted;
use crate::iceberg::types::{file_schema, plain_schema};
use crate::registry::Opened;
use crate::source::{Cut, SplitEnumerator, SplitId, SplitPosition, SplitReader, StreamSource};

/// Rows of a batch, at most.
const BATCH_ROWS: usize = 8_192;

/// What an Iceberg table's commits add, as a stream.
#[derive(Debug, Clone)]
pub struct IcebergStream {
    pub(super) shared: Arc<Shared>,
}

/// What the enumerator and the readers of a stream share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) catalog: Arc<dyn LakeCatalog>,
    pub(super) id: TableId,
    /// For messages.
    pub(super) name: String,
    pub(super) uuid: String,
    pub(super) options: StreamOptions,
    schema: SchemaRef,
    with_ids: SchemaRef,
    plans: Mutex<BTreeMap<i64, Arc<Planned>>>,
}

impl Shared {
    /// The table as it is now, if it is still the one that the job was planned with.
    pub(super) async fn load(&self) -> Result<LakeTable, ConnectorError> {
        let table = self.catalog.load(&self.id).await.map_err(catalog_error)?;
        let found = table.metadata.uuid().to_string();
        if found != self.uuid {
            let what = format!("it was dropped and created again: it has UUID {found}, and this stream has read {}", self.uuid);
            return Err(self.refused(&format!("{what}. To read the new table, start a job of another name")));
        }
        Ok(table)
    }

    /// That the stream cannot go on.
    pub(super) fn refused(&self, why: &str) -> ConnectorError {
        ConnectorError::user(format!("table {}: {why}.", self.name))
    }

    /// Keeps what a snapshot holds, for readers.
    pub(super) fn keep(&self, planned: Arc<Planned>) {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner).insert(planned.sequence, planned);
    }

    /// Forgets snapshots before this sequence number.
    pub(super) fn forget_before(&self, sequence: i64) {
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        *plans = plans.split_off(&sequence);
    }

    /// The first kept snapshot with this sequence number or a later one.
    pub(super) fn plan_from(&self, sequence: i64) -> Option<Arc<Planned>> {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner).range(sequence..).next().map(|(_, planned)| Arc::clone(planned))
    }

    /// The number that stands for a place.
    pub(super) fn offset(&self, place: Place) -> Result<i64, ConnectorError> {
        let too_large =
            || self.refused(&format!("a stream cannot tell row {} of sequence number {}, which is beyond its bounds", place.row, place.sequence));
        place.offset().ok_or_else(too_large)
    }
}

impl IcebergStream {
    /// A stream over a table as it has been loaded, read in `parallelism` splits unless the options say otherwise.
    ///
    /// # Errors
    /// Every problem of the options; a table that has no order of commits.
    pub fn open(catalog: &Arc<dyn LakeCatalog>, table: &LakeTable, options: &OptionBag, parallelism: usize) -> Result<Opened<Self>, StreamError> {
        let Opened { value: options, warnings } = StreamOptions::open(options, parallelism)?;
        let name = format!("{}.{}", catalog.name(), table.id);
        if table.metadata.format_version() == iceberg::spec::FormatVersion::V1 {
            let what = "a table of format version 1 cannot be read as a stream, because its snapshots have no sequence numbers";
            return Err(ConnectorError::user(format!("table {name}: {what}. Set its property 'format-version' to '2', with any engine.")).into());
        }
        let with_ids = file_schema(table.metadata.current_schema())?;
        let shared = Shared {
            catalog: Arc::clone(catalog),
            id: table.id.clone(),
            name,
            uuid: table.metadata.uuid().to_string(),
            options,
            schema: plain_schema(&with_ids),
            with_ids,
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
                let lineage = Lineage { uuid: shared.uuid.clone(), scan };
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
        _budget: &MemoryBudget,
    ) -> Result<Box<dyn SplitReader>, ConnectorError> {
        let shared = Arc::clone(&self.shared);
        let number = split.0.parse().map_err(|error| ConnectorError::internal(format!("split '{split}' is no number")).with_source(error))?;
        let project = |schema: &SchemaRef| match schema.project(projection) {
            Ok(schema) => Ok(Arc::new(schema)),
            Err(error) => Err(ConnectorError::internal(format!("table {}: columns cannot be chosen", self.shared.name)).with_source(error)),
        };
        let wanted = Wanted { schema: project(&shared.schema)?, with_ids: project(&shared.with_ids)?, batch_rows: BATCH_ROWS, limit: None };
        Ok(Box::new(LakeReader::new(shared, number, from.offset, Arc::new(wanted))))
    }
}
