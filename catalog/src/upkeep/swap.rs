//! A change of a table's references or properties: decided from the refreshed metadata, swapped, and decided anew after a conflict.

use std::sync::Arc;
use std::time::Duration;

use iceberg::{TableRequirement, TableUpdate};
use weir_base::{Classified, ErrorKind};

use crate::backoff::Backoff;
use crate::error::CatalogError;
use crate::lake::{LakeCatalog, LakeTable, TableId};

/// How long a change is tried while others commit or a server fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// What was decided about a table.
#[derive(Debug)]
pub(super) struct Decided<T> {
    /// What to tell the caller once it is done.
    pub(super) told: T,
    /// What the swap needs and does; no updates: nothing is to be done.
    pub(super) requirements: Vec<TableRequirement>,
    pub(super) updates: Vec<TableUpdate>,
}

/// Swaps the table by what `decide` makes of it.
///
/// # Errors
/// Those of `decide`; conflicts and failures of servers that outlast a minute.
pub(super) async fn swap<T>(
    catalog: &Arc<dyn LakeCatalog>,
    id: &TableId,
    decide: impl Fn(&LakeTable) -> Result<Decided<T>, CatalogError>,
) -> Result<T, CatalogError> {
    let mut tries = Backoff::new(Duration::from_millis(50), Duration::from_secs(2), PATIENCE);
    // What was told when the answer to a swap was lost: the table may be changed already.
    let mut lost = None;
    loop {
        let base = catalog.load(id).await?;
        let Decided { told, requirements, updates } = decide(&base)?;
        if updates.is_empty() {
            return Ok(lost.unwrap_or(told));
        }
        match catalog.commit(&base, requirements, updates).await {
            Ok(_) => return Ok(told),
            Err(error) if matches!(error.kind(), ErrorKind::Conflict | ErrorKind::Transient) && tries.wait().await => {
                if matches!(error, CatalogError::OutcomeUnknown { .. }) {
                    lost.get_or_insert(told);
                }
            }
            Err(error) => return Err(error),
        }
    }
}
