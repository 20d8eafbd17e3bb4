//! Manifests written anew: small ones become one, overlarge ones several, and the files of a partition come to stand together.
//!
//! Appends merge the newest manifests by themselves; this is for what they leave: manifests of foreign engines, of many partitions mixed, of replaces.
//! Entries keep their snapshot and both sequence numbers, so that no delete applies to more or fewer rows than before.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use iceberg::spec::{FormatVersion, Literal, ManifestContentType, ManifestEntryRef, ManifestFile, Operation, Struct};

use super::change::{Appends, Change, Replaced};
use super::committer::TableCommitter;
use super::decide::{Verdict, decide};
use super::stage::{Stager, cannot_write, origin_of, read_manifest_list};
use super::{Appended, new_snapshot_id};
use crate::error::CatalogError;
use crate::lake::LakeTable;
use crate::properties::value_or;
use crate::read::entries;
use crate::upkeep::Journal;

/// Manifests read at the same time.
const READS_AT_ONCE: usize = 8;

/// Bytes of manifests that are written anew in one commit: their entries are sorted in memory.
const MOST_BYTES: u64 = 64 << 20;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RewriteManifests {
    /// Branch; `None` is main.
    pub branch: Option<String>,
    /// So many small manifests, at least, must be there to be worth it. One that is overlarge is always worth it.
    pub min_count: usize,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RewrittenManifests {
    /// The snapshot.
    pub snapshot_id: i64,
    /// Manifests of data before.
    pub before: usize,
    /// And after.
    pub after: usize,
    /// Those that were written anew.
    pub rewritten: usize,
    /// And those that were made of them.
    pub added: usize,
}

/// How manifests are grouped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Regroup {
    pub(super) min_count: usize,
    pub(super) target_bytes: u64,
}

/// Manifests that were written anew, and what they were made of.
#[derive(Debug, Clone)]
pub(super) struct Regrouped {
    inputs: HashSet<String>,
    outputs: Vec<ManifestFile>,
}

impl Regroup {
    /// Which manifests to write anew; empty: none is worth it. Those of a partition spec only meet each other.
    fn choose<'a>(&self, manifests: impl IntoIterator<Item = &'a ManifestFile>) -> Vec<&'a ManifestFile> {
        let mut of_spec: BTreeMap<i32, Vec<&ManifestFile>> = BTreeMap::new();
        for manifest in manifests.into_iter().filter(|manifest| manifest.content == ManifestContentType::Data) {
            of_spec.entry(manifest.partition_spec_id).or_default().push(manifest);
        }
        let (mut chosen, mut bytes) = (Vec::new(), 0);
        for manifests in of_spec.into_values() {
            let (mut small, large): (Vec<_>, Vec<_>) =
                manifests.into_iter().filter(|one| self.is_small(one) || self.is_large(one)).partition(|one| self.is_small(one));
            if small.len() < self.min_count.max(2) {
                small.clear();
            }
            for manifest in large.into_iter().chain(small) {
                let more = bytes + length(manifest);
                if more <= MOST_BYTES || chosen.is_empty() {
                    bytes = more;
                    chosen.push(manifest);
                }
            }
        }
        chosen
    }

    fn is_small(&self, manifest: &ManifestFile) -> bool {
        length(manifest) * 2 < self.target_bytes
    }

    fn is_large(&self, manifest: &ManifestFile) -> bool {
        length(manifest) > self.target_bytes.saturating_mul(2)
    }
}

fn length(manifest: &ManifestFile) -> u64 {
    u64::try_from(manifest.manifest_length).unwrap_or(0)
}

impl TableCommitter {
    /// Writes small and overlarge manifests of a branch anew, as a `replace` snapshot that changes no file. `None`: nothing was worth it. Most is done
    /// before its turn, so that appends hardly wait; others that commit meanwhile are no hindrance.
    ///
    /// # Errors
    /// A table of another format version than 2, an unknown branch (user); a later attempt has taken over (fenced); the catalog's and the stores'.
    pub async fn rewrite_manifests(&self, wanted: &RewriteManifests, journal: &Arc<Journal>) -> Result<Option<RewrittenManifests>, CatalogError> {
        let base = self.refresh().await?;
        let metadata = &base.metadata;
        if metadata.format_version() != FormatVersion::V2 {
            return Err(CatalogError::user(format!(
                "table `{}` has format version {}: its manifests cannot be written anew, since {}. Use a table of format version 2",
                base.name(),
                metadata.format_version() as u8,
                if metadata.format_version() == FormatVersion::V1 { "they have no sequence numbers" } else { "the ids of rows would be lost" }
            )));
        }
        let target_bytes = value_or(metadata.properties(), "commit.manifest.target-size-bytes", 8 * 1024 * 1024).max(1);
        let regroup = Regroup { min_count: wanted.min_count, target_bytes };
        let branch = wanted.branch.as_deref();
        let before = data_manifests(&base, branch).await?;
        if regroup.choose(&before).is_empty() {
            return Ok(None);
        }
        let notes = BTreeMap::from([("weir.operation".to_owned(), "rewrite-manifests".to_owned())]);
        let replaced = Replaced { operation: Operation::Replace, read: None, files: Vec::new(), appends: Appends::Welcome, notes };
        let (uuid, snapshot_id, fence) = (metadata.uuid().to_string(), new_snapshot_id(metadata), journal.fence());
        let change = Change {
            table_uuid: &uuid,
            branch,
            snapshot_id,
            added: &[],
            sequence_number: None,
            replaced: Some(&replaced),
            regroup: Some(regroup),
            append: None,
            fence: fence.as_ref(),
        };
        let work = journal.begin(&base);
        work.commit(snapshot_id).await?;
        let mut stager = Stager::new(change);
        if decide(&base, &change)? == Verdict::Proceed {
            Box::pin(stager.prepare(&base)).await?;
        }
        let turn = self.turn().await;
        let (table, Appended { snapshot_id, .. }) = self.change(change, stager).await?;
        drop(turn);
        work.end().await?;
        let after = data_manifests(&table, branch).await?;
        let left: HashSet<&str> = after.iter().map(|manifest| manifest.manifest_path.as_str()).collect();
        Ok(Some(RewrittenManifests {
            snapshot_id,
            before: before.len(),
            after: after.len(),
            rewritten: before.iter().filter(|manifest| !left.contains(manifest.manifest_path.as_str())).count(),
            added: after.iter().filter(|manifest| manifest.added_snapshot_id == snapshot_id).count(),
        }))
    }
}

async fn data_manifests(table: &LakeTable, branch: Option<&str>) -> Result<Vec<ManifestFile>, CatalogError> {
    let Some(head) = table.metadata.snapshot_for_ref(branch.unwrap_or(iceberg::spec::MAIN_BRANCH)) else { return Ok(Vec::new()) };
    let all = read_manifest_list(table, head).await?;
    Ok(all.into_iter().filter(|manifest| manifest.content == ManifestContentType::Data).collect())
}

impl Stager<'_> {
    /// The manifests of `old`, some of them written anew.
    pub(super) async fn regroup(&mut self, base: &LakeTable, regroup: Regroup, old: Vec<ManifestFile>) -> Result<Vec<ManifestFile>, CatalogError> {
        let has_all = |made: &Regrouped| {
            let there: HashSet<&str> = old.iter().map(|manifest| manifest.manifest_path.as_str()).collect();
            made.inputs.iter().all(|path| there.contains(path.as_str()))
        };
        let made = match self.regrouped.take().filter(has_all) {
            Some(made) => made,
            None => {
                let chosen: Vec<ManifestFile> = regroup.choose(&old).into_iter().cloned().collect();
                let inputs = chosen.iter().map(|manifest| manifest.manifest_path.clone()).collect();
                Regrouped { inputs, outputs: self.write_anew(base, regroup, chosen).await? }
            }
        };
        let left = old.into_iter().filter(|manifest| !made.inputs.contains(&manifest.manifest_path));
        let manifests = made.outputs.iter().cloned().chain(left).collect();
        self.regrouped = Some(made);
        Ok(manifests)
    }

    async fn write_anew(&mut self, base: &LakeTable, regroup: Regroup, chosen: Vec<ManifestFile>) -> Result<Vec<ManifestFile>, CatalogError> {
        let mut of_spec: BTreeMap<i32, Vec<ManifestFile>> = BTreeMap::new();
        for manifest in chosen {
            of_spec.entry(manifest.partition_spec_id).or_default().push(manifest);
        }
        let mut outputs = Vec::new();
        for (spec_id, manifests) in of_spec {
            let bytes: u64 = manifests.iter().map(length).sum();
            let mut live: Vec<(String, ManifestEntryRef)> = Vec::new();
            let reads = manifests.into_iter().map(|manifest| named_entries(base.clone(), manifest));
            let mut reads = stream::iter(reads).buffered(READS_AT_ONCE);
            while let Some((path, entries)) = reads.try_next().await? {
                live.extend(entries.into_iter().filter(|entry| entry.is_alive()).map(|entry| (path.clone(), entry)));
            }
            drop(reads);
            live.sort_by(|(_, left), (_, right)| {
                let by_partition = compare(left.data_file().partition(), right.data_file().partition());
                by_partition.then_with(|| left.sequence_number().cmp(&right.sequence_number()))
            });
            let count = usize::try_from(bytes.div_ceil(regroup.target_bytes)).unwrap_or(usize::MAX).max(1);
            for entries in live.chunks(live.len().div_ceil(count).max(1)) {
                let mut writer = self.manifest_writer_of(base, spec_id)?;
                for (path, entry) in entries {
                    let (snapshot, sequence) = origin_of(base, path, entry)?;
                    let written = writer.add_existing_file(entry.data_file().clone(), snapshot, sequence, entry.file_sequence_number);
                    written.map_err(|error| cannot_write(base, error))?;
                }
                outputs.push(writer.write_manifest_file().await.map_err(|error| cannot_write(base, error))?);
            }
        }
        Ok(outputs)
    }
}

async fn named_entries(table: LakeTable, manifest: ManifestFile) -> Result<(String, Vec<ManifestEntryRef>), CatalogError> {
    let found = entries(&table, &manifest).await?;
    Ok((manifest.manifest_path, found))
}

/// Partitions in the order of their values, those without a value first.
fn compare(left: &Struct, right: &Struct) -> Ordering {
    let value = |literal: &Option<Literal>| literal.as_ref().and_then(Literal::as_primitive_literal);
    let pairs = left.fields().iter().zip(right.fields());
    let decisive = pairs.map(|(left, right)| value(left).partial_cmp(&value(right)).unwrap_or(Ordering::Equal));
    decisive.into_iter().find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(path: &str, bytes: i64, spec: i32) -> ManifestFile {
        ManifestFile {
            manifest_path: path.to_owned(),
            manifest_length: bytes,
            partition_spec_id: spec,
            content: ManifestContentType::Data,
            sequence_number: 1,
            min_sequence_number: 1,
            added_snapshot_id: 1,
            added_files_count: Some(1),
            existing_files_count: Some(0),
            deleted_files_count: Some(0),
            added_rows_count: None,
            existing_rows_count: None,
            deleted_rows_count: None,
            partitions: None,
            key_metadata: None,
            first_row_id: None,
        }
    }

    #[test]
    fn small_manifests_of_one_spec_and_overlarge_ones_are_written_anew() {
        let regroup = Regroup { min_count: 3, target_bytes: 100 };
        let chosen = |sizes: &[(i64, i32)]| {
            let all: Vec<ManifestFile> = sizes.iter().enumerate().map(|(index, (bytes, spec))| manifest(&index.to_string(), *bytes, *spec)).collect();
            regroup.choose(&all).into_iter().map(|one| one.manifest_path.clone()).collect::<Vec<_>>()
        };
        assert_eq!(chosen(&[(10, 0), (10, 0), (90, 0)]), Vec::<String>::new(), "too few");
        assert_eq!(chosen(&[(10, 0), (10, 0), (10, 1)]), Vec::<String>::new(), "of two specs");
        assert_eq!(chosen(&[(10, 0), (10, 0), (90, 0), (49, 0)]), ["0", "1", "3"]);
        assert_eq!(chosen(&[(10, 0), (201, 0), (200, 0)]), ["1"]);
    }

    #[test]
    fn partitions_stand_in_the_order_of_their_values() {
        let of = |value: Option<i32>| Struct::from_iter([value.map(Literal::int)]);
        let mut partitions = [Some(10), None, Some(9)].map(of);
        partitions.sort_by(compare);
        assert_eq!(partitions, [None, Some(9), Some(10)].map(of));
    }
}
