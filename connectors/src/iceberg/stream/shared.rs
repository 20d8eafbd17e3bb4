//! What the enumerator and the readers of a stream share: the table, and the snapshots that are planned.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow_schema::SchemaRef;
use weir_catalog::lake::{LakeCatalog, LakeTable, TableId};

use super::options::StreamOptions;
use super::place::Place;
use super::planned::Planned;
use crate::error::ConnectorError;
use crate::iceberg::committer::catalog_error;
use crate::iceberg::read::TableColumns;

/// What the enumerator and the readers of a stream share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) catalog: Arc<dyn LakeCatalog>,
    pub(super) id: TableId,
    /// For messages.
    pub(super) name: String,
    pub(super) uuid: String,
    pub(super) location: String,
    pub(super) options: StreamOptions,
    /// The table's columns.
    pub(super) columns: TableColumns,
    /// The stream's columns.
    pub(super) schema: SchemaRef,
    pub(super) plans: Mutex<BTreeMap<i64, Arc<Planned>>>,
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
