//! The text of a table's metadata file. From one commit to the next most of it stays: the snapshots, a kilobyte each. What was written of them is kept,
//! so that a commit writes its own snapshot and copies the rest; the crate writes each of them anew, which is most of what a commit costs once a table
//! has some hundreds.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::Arc;

use iceberg::TableUpdate;
use iceberg::spec::{
    EncryptedKey, FormatVersion, MAIN_BRANCH, MetadataLog, PartitionSpecRef, PartitionStatisticsFile, SchemaRef, Snapshot, SnapshotReference,
    SortOrderRef, StatisticsFile, Summary, TableMetadata, TableMetadataRef,
};
use serde::Serialize;
use uuid::Uuid;

use crate::error::CatalogError;
use crate::references::{defect, references};

/// The text of the last version that this process has written of a table, for the next one.
#[derive(Debug)]
pub(crate) struct LastText {
    of: TableMetadataRef,
    /// `None` until a second version in a row is written: as long as others commit in between, nothing could be taken over.
    kept: Option<Kept>,
}

/// What one version has in common with the next.
#[derive(Debug)]
struct Kept {
    /// The crate shows them in its own text alone.
    references: BTreeMap<String, SnapshotReference>,
    /// The snapshots in the order of their texts, and the bytes of each, the comma behind it included.
    places: Vec<(i64, usize)>,
    texts: String,
}

impl LastText {
    /// The text of `next`, which `updates` have made of `base`, and what is kept of it; `last` is what was kept of the version written before.
    ///
    /// # Errors
    /// Metadata that cannot be shown as JSON, which is a defect.
    pub(crate) fn next(
        last: Option<Self>,
        base: &TableMetadataRef,
        updates: &[TableUpdate],
        next: &TableMetadataRef,
    ) -> Result<(Self, Vec<u8>), CatalogError> {
        let kept = match last.filter(|last| Arc::ptr_eq(&last.of, base) && next.format_version() != FormatVersion::V1) {
            None => None,
            Some(Self { kept: Some(kept), .. }) => match kept.after(updates, next)? {
                Some(kept) => Some(kept),
                None => Some(Kept::of(next)?),
            },
            Some(Self { kept: None, .. }) => Some(Kept::of(next)?),
        };
        let text = match &kept {
            Some(kept) => kept.text(next).map_err(defect)?,
            None => serde_json::to_vec(&**next).map_err(defect)?,
        };
        Ok((Self { of: Arc::clone(next), kept }, text))
    }
}

impl Kept {
    fn of(metadata: &TableMetadata) -> Result<Self, CatalogError> {
        let mut kept = Self { references: references(metadata)?, places: Vec::new(), texts: String::new() };
        let mut snapshots: Vec<_> = metadata.snapshots().collect();
        snapshots.sort_by_key(|snapshot| (snapshot.sequence_number(), snapshot.timestamp_ms()));
        snapshots.into_iter().try_for_each(|snapshot| kept.add(snapshot))?;
        Ok(kept)
    }

    /// The same after a commit; `None` if that is not what `next` has.
    fn after(mut self, updates: &[TableUpdate], next: &TableMetadata) -> Result<Option<Self>, CatalogError> {
        let mut removed = HashSet::new();
        for update in updates {
            match update {
                TableUpdate::AddSnapshot { snapshot } => self.add(snapshot)?,
                TableUpdate::RemoveSnapshots { snapshot_ids } => removed.extend(snapshot_ids.iter().copied()),
                TableUpdate::SetSnapshotRef { ref_name, reference } => {
                    self.references.insert(ref_name.clone(), reference.clone());
                }
                TableUpdate::RemoveSnapshotRef { ref_name } => {
                    self.references.remove(ref_name);
                }
                _ => {}
            }
        }
        if !removed.is_empty() {
            self.remove(&removed);
            self.references.retain(|_, reference| !removed.contains(&reference.snapshot_id));
        }
        Ok(self.is_of(next).then_some(self))
    }

    fn add(&mut self, snapshot: &Snapshot) -> Result<(), CatalogError> {
        let text = serde_json::to_string(&SnapshotText::of(snapshot)).map_err(defect)?;
        self.places.push((snapshot.snapshot_id(), text.len() + 1));
        self.texts.push_str(&text);
        self.texts.push(',');
        Ok(())
    }

    fn remove(&mut self, snapshots: &HashSet<i64>) {
        let (mut stay, mut rest) = (String::with_capacity(self.texts.len()), self.texts.as_str());
        self.places.retain(|(snapshot, bytes)| {
            // Places are those of the text: each ends behind a comma.
            let (text, behind) = rest.split_at_checked(*bytes).unwrap_or((rest, ""));
            rest = behind;
            let stays = !snapshots.contains(snapshot);
            if stays {
                stay.push_str(text);
            }
            stays
        });
        self.texts = stay;
    }

    fn is_of(&self, metadata: &TableMetadata) -> bool {
        let leads = |(name, reference): (&String, &SnapshotReference)| {
            metadata.snapshot_for_ref(name).is_some_and(|snapshot| snapshot.snapshot_id() == reference.snapshot_id)
        };
        self.places.len() == metadata.snapshots().len()
            && self.places.last().is_none_or(|(snapshot, _)| metadata.snapshot_by_id(*snapshot).is_some())
            && self.references.iter().all(leads)
            && self.references.contains_key(MAIN_BRANCH) == metadata.current_snapshot_id().is_some()
    }

    fn text(&self, metadata: &TableMetadata) -> serde_json::Result<Vec<u8>> {
        let mut text = serde_json::to_string(&Head::of(metadata, &self.references))?;
        // The brace at its end.
        text.pop();
        text.reserve(self.texts.len() + 64 * (metadata.history().len() + 1));
        text.push_str(",\"snapshots\":[");
        text.push_str(self.texts.strip_suffix(',').unwrap_or_default());
        text.push_str("],\"snapshot-log\":[");
        for (number, entry) in metadata.history().iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            // Nothing fails to be written to a string.
            let _written = write!(text, "{comma}{{\"snapshot-id\":{},\"timestamp-ms\":{}}}", entry.snapshot_id, entry.timestamp_ms);
        }
        text.push_str("]}");
        Ok(text.into_bytes())
    }
}

/// All fields of "Table Metadata Fields" of the table specification, versions 2 and 3, but for the snapshots and their log.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Head<'a> {
    format_version: u8,
    table_uuid: Uuid,
    location: &'a str,
    last_sequence_number: i64,
    last_updated_ms: i64,
    last_column_id: i32,
    current_schema_id: i32,
    schemas: Vec<&'a SchemaRef>,
    default_spec_id: i32,
    partition_specs: Vec<&'a PartitionSpecRef>,
    last_partition_id: i32,
    default_sort_order_id: i64,
    sort_orders: Vec<&'a SortOrderRef>,
    properties: &'a HashMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    current_snapshot_id: Option<i64>,
    refs: &'a BTreeMap<String, SnapshotReference>,
    metadata_log: &'a [MetadataLog],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    statistics: Vec<&'a StatisticsFile>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    partition_statistics: Vec<&'a PartitionStatisticsFile>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_row_id: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    encryption_keys: Vec<&'a EncryptedKey>,
}

impl<'a> Head<'a> {
    fn of(metadata: &'a TableMetadata, refs: &'a BTreeMap<String, SnapshotReference>) -> Self {
        let mut schemas: Vec<_> = metadata.schemas_iter().collect();
        schemas.sort_by_key(|schema| schema.schema_id());
        let mut partition_specs: Vec<_> = metadata.partition_specs_iter().collect();
        partition_specs.sort_by_key(|spec| spec.spec_id());
        let mut sort_orders: Vec<_> = metadata.sort_orders_iter().collect();
        sort_orders.sort_by_key(|order| order.order_id);
        let is_v3 = metadata.format_version() >= FormatVersion::V3;
        Self {
            format_version: if is_v3 { 3 } else { 2 },
            table_uuid: metadata.uuid(),
            location: metadata.location(),
            last_sequence_number: metadata.last_sequence_number(),
            last_updated_ms: metadata.last_updated_ms(),
            last_column_id: metadata.last_column_id(),
            current_schema_id: metadata.current_schema_id(),
            schemas,
            default_spec_id: metadata.default_partition_spec_id(),
            partition_specs,
            last_partition_id: metadata.last_partition_id(),
            default_sort_order_id: metadata.default_sort_order_id(),
            sort_orders,
            properties: metadata.properties(),
            current_snapshot_id: metadata.current_snapshot_id(),
            refs,
            metadata_log: metadata.metadata_log(),
            statistics: metadata.statistics_iter().collect(),
            partition_statistics: metadata.partition_statistics_iter().collect(),
            next_row_id: is_v3.then(|| metadata.next_row_id()),
            encryption_keys: if is_v3 { metadata.encryption_keys_iter().collect() } else { Vec::new() },
        }
    }
}

/// A snapshot ("Snapshots" of the table specification); what only version 3 has is absent in snapshots of version 2.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct SnapshotText<'a> {
    snapshot_id: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_snapshot_id: Option<i64>,
    sequence_number: i64,
    timestamp_ms: i64,
    manifest_list: &'a str,
    summary: &'a Summary,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema_id: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_row_id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    added_rows: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<&'a str>,
}

impl<'a> SnapshotText<'a> {
    fn of(snapshot: &'a Snapshot) -> Self {
        Self {
            snapshot_id: snapshot.snapshot_id(),
            parent_snapshot_id: snapshot.parent_snapshot_id(),
            sequence_number: snapshot.sequence_number(),
            timestamp_ms: snapshot.timestamp_ms(),
            manifest_list: snapshot.manifest_list(),
            summary: snapshot.summary(),
            schema_id: snapshot.schema_id(),
            first_row_id: snapshot.first_row_id(),
            added_rows: snapshot.added_rows_count(),
            key_id: snapshot.encryption_key_id(),
        }
    }
}
