//! A note in a table: a property that somebody beside the jobs keeps there, for as long as there is the table.

use std::sync::Arc;

use iceberg::{TableRequirement, TableUpdate};

use super::swap::{Decided, swap};
use crate::error::CatalogError;
use crate::lake::{LakeCatalog, TableId};

/// Sets the property `key` to what `change` makes of its value; if that is the same, nothing is committed.
///
/// # Errors
/// Those of `change`; the catalog's.
pub async fn keep_note(
    catalog: &Arc<dyn LakeCatalog>,
    id: &TableId,
    key: &str,
    change: impl Fn(Option<&str>) -> Result<String, CatalogError>,
) -> Result<(), CatalogError> {
    swap(catalog, id, |table| {
        let known = table.metadata.properties().get(key);
        let value = change(known.map(String::as_str))?;
        let updates = if known == Some(&value) { Vec::new() } else { vec![TableUpdate::SetProperties { updates: [(key.to_owned(), value)].into() }] };
        Ok(Decided { told: (), requirements: vec![TableRequirement::UuidMatch { uuid: table.metadata.uuid() }], updates })
    })
    .await
}
