//! Expiry of snapshots, in two phases that can be cut off anywhere: what only they need is computed and journaled, they go in one swap, and
//! then the files go by name. A recovery finishes the deletion of files whose snapshots are gone.

mod gone;
mod rules;

use std::collections::HashSet;
use std::sync::Arc;

use iceberg::spec::{MAIN_BRANCH, TableMetadata};
use iceberg::{TableRequirement, TableUpdate};
use weir_base::{ErrorKind, failpoint};

use super::committer::{Pace, TableCommitter};
use super::history::heads;
use crate::error::{CatalogError, file_system_error};
use crate::lake::LakeTable;
use crate::properties::value_or;
use crate::references::references;
use crate::upkeep::{Journal, check_fence, readers, remove_files};

pub use gone::{GoneFile, GoneKind};
pub use rules::{AtMost, ExpireRules};

pub(crate) use rules::Needs;

/// Snapshots that go in one swap: it bounds what is held of them.
const AT_ONCE: usize = 5_000;

/// Times that an expiry is decided anew because others have changed what it was decided on.
const TRIES: u32 = 10;

/// What an expiry did, or would do.
#[derive(Debug, Clone, Default)]
pub struct Expired {
    /// Ids of the snapshots, oldest first.
    pub snapshots: Vec<i64>,
    /// The files.
    pub files: Vec<GoneFile>,
    /// Readers that have not moved for so long that they do not count any more.
    pub stale_readers: Vec<String>,
}

impl Expired {
    /// Files and bytes of one kind.
    #[must_use]
    pub fn count(&self, kind: GoneKind) -> (usize, u64) {
        let files = self.files.iter().filter(|file| file.kind == kind);
        files.fold((0, 0), |(count, bytes), file| (count + 1, bytes + file.bytes.unwrap_or(0)))
    }
}

/// Expires what the rules allow. The committer's turn is taken for the swap alone.
pub(super) async fn expire(committer: &TableCommitter, rules: &ExpireRules, journal: &Arc<Journal>) -> Result<Expired, CatalogError> {
    let (mut all, mut tries) = (Expired::default(), 0);
    loop {
        let base = committer.refresh().await?;
        if !value_or(base.metadata.properties(), "gc.enabled", true) {
            if rules.only_job.is_some() {
                return Ok(all);
            }
            let what =
                format!("table `{}` has 'gc.enabled' = 'false': its snapshots must stay, since files of it may be another table's too", base.name());
            return Err(CatalogError::user(what));
        }
        let now_ms = chrono::Utc::now().timestamp_millis();
        let (needs, stale) = committer.needs(&base, now_ms).await?;
        all.stale_readers = stale;
        let mut going = choose(&base.metadata, rules, &needs, now_ms)?;
        let more = !rules.dry_run && going.len() > AT_ONCE;
        going.truncate(if rules.dry_run { going.len() } else { AT_ONCE });
        if going.is_empty() {
            return Ok(all);
        }
        let mut files = gone::gone_with(&base, &heads(&base.metadata)?, &going).await?;
        if !rules.dry_run {
            match carry_out(committer, journal, &Round { base, rules, needs, now_ms, going: &going }, files).await {
                Ok(went) => files = went,
                Err(CatalogError::Overtaken(why)) if tries < TRIES => {
                    tries += 1;
                    tracing::debug!(table = %committer.id(), why, "an expiry is decided anew");
                    continue;
                }
                Err(error) => return Err(error),
            }
        }
        all.snapshots.extend(going);
        all.files.extend(files);
        if !more || !rules.ids.is_empty() {
            return Ok(all);
        }
    }
}

fn choose(metadata: &TableMetadata, rules: &ExpireRules, needs: &Needs, now_ms: i64) -> Result<Vec<i64>, CatalogError> {
    rules::choose(metadata, &heads(metadata)?, rules, needs, now_ms)
}

/// One swap, as it was decided.
struct Round<'a> {
    base: LakeTable,
    rules: &'a ExpireRules,
    needs: Needs,
    now_ms: i64,
    going: &'a [i64],
}

/// The files that went: those in `files`, and what nobody needs any more because others have expired snapshots at the same time.
async fn carry_out(
    committer: &TableCommitter,
    journal: &Arc<Journal>,
    round: &Round<'_>,
    mut files: Vec<GoneFile>,
) -> Result<Vec<GoneFile>, CatalogError> {
    let file_systems = committer.catalog().file_systems();
    let named = |files: &[GoneFile]| {
        files.iter().map(|file| file_systems.for_checkpoint(&file.path)).collect::<Result<Vec<_>, _>>().map_err(file_system_error)
    };
    let work = journal.begin(&round.base);
    work.expiry(round.going, &named(&files)?).await?;
    if failpoint::fails("expire-before-swap").await {
        return Err(CatalogError::other(ErrorKind::Transient, "fail point `expire-before-swap`"));
    }
    let mut in_doubt = false;
    let after = match swap(committer, journal, round, &mut in_doubt).await {
        Ok(after) => after,
        Err(error) => {
            if !in_doubt {
                work.end().await?;
            }
            return Err(error);
        }
    };
    let theirs = expired_by_others(round, &after);
    if !theirs.is_empty() {
        // What was kept for the sake of those is kept by nobody now.
        let base = without(&round.base, &theirs)?;
        files = gone::gone_with(&base, &heads(&base.metadata)?, round.going).await?;
        work.expiry(round.going, &named(&files)?).await?;
    }
    if failpoint::fails("expire-after-swap").await {
        return Err(CatalogError::other(ErrorKind::Transient, "fail point `expire-after-swap`"));
    }
    remove_files(file_systems, &named(&files)?).await?;
    work.end().await?;
    Ok(files)
}

/// Snapshots that were there when the expiry was decided, and are not in `table`, although they were to stay.
fn expired_by_others(round: &Round<'_>, table: &LakeTable) -> Vec<i64> {
    let ids = round.base.metadata.snapshots().map(|snapshot| snapshot.snapshot_id());
    ids.filter(|id| table.metadata.snapshot_by_id(*id).is_none() && !round.going.contains(id)).collect()
}

/// The table as if these snapshots had never been in it.
fn without(table: &LakeTable, snapshots: &[i64]) -> Result<LakeTable, CatalogError> {
    let rest = TableMetadata::clone(&table.metadata).into_builder(None).remove_snapshots(snapshots).build();
    let rest = rest.map_err(|error| CatalogError::iceberg("expire snapshots", error))?;
    Ok(LakeTable { metadata: Arc::new(rest.metadata), ..table.clone() })
}

/// Takes the snapshots out of the table, on whatever base it has by then, as long as what was computed holds there. After an error, `in_doubt` says
/// that they may be gone all the same. The table after it.
async fn swap(committer: &TableCommitter, journal: &Journal, round: &Round<'_>, in_doubt: &mut bool) -> Result<LakeTable, CatalogError> {
    let _turn = committer.turn().await;
    let mut pace = Pace::of(&round.base);
    loop {
        let now = committer.refresh().await?;
        if *in_doubt && round.going.iter().all(|id| now.metadata.snapshot_by_id(*id).is_none()) {
            return Ok(now);
        }
        if let Some(fence) = journal.fence() {
            check_fence(&now, &fence)?;
        }
        still_holds(round, &now)?;
        let error = match committer.catalog().commit(&now, requirements(&now)?, updates(&now, round.going)).await {
            Ok(after) => return Ok(after),
            Err(error) => error,
        };
        *in_doubt |= matches!(error, CatalogError::OutcomeUnknown { .. });
        if !pace.may_go_on(&error).await {
            return Err(error);
        }
    }
}

/// Whether the snapshots may go on this base too, with the same files.
///
/// # Errors
/// They may not: somebody has changed what keeps them.
fn still_holds(round: &Round<'_>, now: &LakeTable) -> Result<(), CatalogError> {
    if now.metadata_location == round.base.metadata_location && !now.metadata_location.is_empty() {
        return Ok(());
    }
    let overtaken =
        |what: &str| Err(CatalogError::Overtaken(format!("table `{}` has changed while snapshots were to be expired: {what}", now.name())));
    if now.metadata.uuid() != round.base.metadata.uuid() {
        return overtaken("it was dropped and created again");
    }
    let going: HashSet<i64> = round.going.iter().copied().collect();
    let allowed: HashSet<i64> = choose(&now.metadata, round.rules, &round.needs, round.now_ms)?.into_iter().collect();
    if !going.is_subset(&allowed) {
        return overtaken("some of them must stay now, or are gone");
    }
    if !expired_by_others(round, now).is_empty() {
        return overtaken("others have expired snapshots of it");
    }
    let is_new = |id: i64| round.base.metadata.snapshot_by_id(id).is_none();
    let picked = |id: &i64| going.contains(id);
    for snapshot in now.metadata.snapshots().filter(|snapshot| is_new(snapshot.snapshot_id())) {
        let source = snapshot.summary().additional_properties.get("source-snapshot-id").and_then(|id| id.parse().ok());
        if snapshot.parent_snapshot_id().as_ref().is_some_and(picked) || source.as_ref().is_some_and(picked) {
            return overtaken("a new snapshot stands on one of them");
        }
    }
    Ok(())
}

/// Every branch and tag is where it was: in a catalog that looks at nothing else, too, no snapshot has come that leans on those that go.
fn requirements(table: &LakeTable) -> Result<Vec<TableRequirement>, CatalogError> {
    let mut all = vec![TableRequirement::UuidMatch { uuid: table.metadata.uuid() }];
    let mut references: Vec<(String, Option<i64>)> =
        references(&table.metadata)?.into_iter().map(|(name, reference)| (name, Some(reference.snapshot_id))).collect();
    if references.iter().all(|(name, _)| name != MAIN_BRANCH) {
        references.push((MAIN_BRANCH.to_owned(), None));
    }
    all.extend(references.into_iter().map(|(name, snapshot_id)| TableRequirement::RefSnapshotIdMatch { r#ref: name, snapshot_id }));
    Ok(all)
}

fn updates(table: &LakeTable, going: &[i64]) -> Vec<TableUpdate> {
    let metadata = &table.metadata;
    let mut updates = Vec::new();
    for id in going {
        if metadata.statistics_for_snapshot(*id).is_some() {
            updates.push(TableUpdate::RemoveStatistics { snapshot_id: *id });
        }
        if metadata.partition_statistics_for_snapshot(*id).is_some() {
            updates.push(TableUpdate::RemovePartitionStatistics { snapshot_id: *id });
        }
    }
    // The fence is heeded and not raised: without a snapshot of its own that would not keep a swap that is under way from landing.
    updates.push(TableUpdate::RemoveSnapshots { snapshot_ids: going.to_vec() });
    updates
}

impl TableCommitter {
    /// What readers and this process still need of the table, and the readers that do not count any more.
    async fn needs(&self, table: &LakeTable, now_ms: i64) -> Result<(Needs, Vec<String>), CatalogError> {
        let (readers, stale) = readers::registered(self.catalog(), table, now_ms).await?;
        Ok((Needs { readers, held: self.held() }, stale))
    }
}
