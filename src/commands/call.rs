//! CALL: a procedure carried out, and its result as a table with the columns that Iceberg's procedures have in Spark.

use std::sync::Arc;
use std::time::Duration;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use chrono::{DateTime, TimeDelta, Utc};
use weir_base::memory::MemoryBudget;
use weir_catalog::LakeTable;
use weir_catalog::commit::{ExpireRules, GoneKind, RewriteManifests};
use weir_catalog::upkeep::orphans::{Equal, OrphanRules, PrefixMismatch};
use weir_catalog::upkeep::{BackTo, Rollback, cherry_pick, plan_cherry_pick, plan_rollback, roll_back};
use weir_sql::procedures::{Procedure, ProcedureCall, RemoveOrphanFiles, RewriteDataFiles, SnapshotName};

use super::table::orphans::{self, By};
use super::table::{compact, expire, manifests, rollback};
use crate::failure::Failure;
use crate::status_line;

/// Columns of `expire_snapshots`.
const COUNTED: [(&str, GoneKind); 6] = [
    ("deleted_data_files_count", GoneKind::Data),
    ("deleted_position_delete_files_count", GoneKind::PositionDeletes),
    ("deleted_equality_delete_files_count", GoneKind::EqualityDeletes),
    ("deleted_manifest_files_count", GoneKind::Manifest),
    ("deleted_manifest_lists_count", GoneKind::ManifestList),
    ("deleted_statistics_files_count", GoneKind::Statistics),
];

/// Carries a call out.
pub(super) async fn run(call: ProcedureCall, budget: &MemoryBudget) -> Result<RecordBatch, Failure> {
    let table = super::load(&call.catalog, &call.table).await?;
    status_line::show();
    let done = Box::pin(carry_out(&call, &table, budget)).await;
    status_line::clear();
    done
}

async fn carry_out(call: &ProcedureCall, table: &LakeTable, budget: &MemoryBudget) -> Result<RecordBatch, Failure> {
    match &call.procedure {
        Procedure::RollbackToSnapshot(id) => move_to(call, table, BackTo::Snapshot(*id)).await,
        Procedure::RollbackToTimestamp(millis) => move_to(call, table, BackTo::Before(*millis)).await,
        Procedure::SetCurrentSnapshot(name) => move_to(call, table, BackTo::Any(snapshot(call, table, name)?)).await,
        Procedure::CherrypickSnapshot(id) => {
            if call.only_shown {
                let planned = plan_cherry_pick(table, None, *id).await.map_err(|error| Failure::of(&error))?;
                return row(&[("source_snapshot_id", *id), ("appended_files_count", count(planned.files.unwrap_or(0)))]);
            }
            let picked = cherry_pick(&call.catalog, &call.table, None, *id).await.map_err(|error| Failure::of(&error))?;
            row(&[("source_snapshot_id", picked.source), ("current_snapshot_id", picked.head)])
        }
        Procedure::ExpireSnapshots(wanted) => {
            let rules = ExpireRules {
                older_than_ms: wanted.older_than,
                retain_last: wanted.retain_last,
                ids: wanted.snapshot_ids.clone(),
                dry_run: call.only_shown,
                ..ExpireRules::default()
            };
            let done = expire::carry_out(&call.catalog, &call.table, table, &rules).await?;
            row(&COUNTED.map(|(name, kind)| (name, count(done.count(kind).0))))
        }
        Procedure::RewriteManifests => {
            if call.only_shown {
                return Err(Failure::usage(format!("EXPLAIN cannot tell what '{}' would do without doing it.", call.name)));
            }
            let wanted = RewriteManifests { branch: None, min_count: manifests::MIN_COUNT as usize };
            let done = manifests::carry_out(&call.catalog, &call.table, table, &wanted).await?;
            let (rewritten, added) = done.map_or((0, 0), |done| (done.rewritten, done.added));
            row(&[("rewritten_manifests_count", count(rewritten)), ("added_manifests_count", count(added))])
        }
        Procedure::RemoveOrphanFiles(wanted) => remove_orphans(call, table, wanted).await,
        Procedure::RewriteDataFiles(wanted) => rewrite(call, table, wanted, budget).await,
    }
}

fn snapshot(call: &ProcedureCall, table: &LakeTable, name: &SnapshotName) -> Result<i64, Failure> {
    match name {
        SnapshotName::Id(id) => Ok(*id),
        SnapshotName::Reference(name) => match table.metadata.snapshot_for_ref(name) {
            Some(found) => Ok(found.snapshot_id()),
            None => Err(Failure::user(format!("Table '{}.{}' has no branch or tag '{name}'.", call.catalog.name(), call.table))),
        },
    }
}

async fn move_to(call: &ProcedureCall, table: &LakeTable, to: BackTo) -> Result<RecordBatch, Failure> {
    let request = Rollback { branch: None, to, markers: false };
    let done = if call.only_shown { plan_rollback(table, &request) } else { roll_back(&call.catalog, &call.table, &request).await };
    let done = done.map_err(|error| Failure::of(&error))?;
    for job in &done.jobs {
        tracing::warn!("{}", rollback::what_it_means(job, call.only_shown));
    }
    row(&[("previous_snapshot_id", done.from), ("current_snapshot_id", done.to)])
}

async fn remove_orphans(call: &ProcedureCall, table: &LakeTable, wanted: &RemoveOrphanFiles) -> Result<RecordBatch, Failure> {
    let age = match wanted.older_than {
        None => orphans::AGE,
        Some(millis) => age_of(millis)?,
    };
    let older_than = orphans::cut_off(age, false, By::Call)?;
    let jobs = orphans::Jobs { settings: &call.settings, checkpoints: &[], gone: &[], by: By::Call };
    let name = format!("{}.{}", call.catalog.name(), call.table);
    let needed = jobs.files(&name, table, &call.file_systems).await?;
    let mut equal = Equal::default();
    equal.schemes.extend(parsed(&wanted.equal_schemes)?);
    equal.authorities.extend(parsed(&wanted.equal_authorities)?);
    let rules = OrphanRules {
        older_than,
        location: wanted.location.clone(),
        equal,
        prefix_mismatch: match wanted.prefix_mismatch_mode.as_deref() {
            Some("IGNORE") => PrefixMismatch::Ignore,
            Some("DELETE") => PrefixMismatch::Delete,
            _ => PrefixMismatch::Error,
        },
        needed,
        batch: orphans::BATCH,
        dry_run: wanted.dry_run || call.only_shown,
    };
    let found = orphans::gather(&call.catalog, &call.table, &rules).await?;
    batch([("orphan_file_location", Arc::new(StringArray::from(found)) as ArrayRef)])
}

/// The age of a file that was last changed at a time.
fn age_of(millis: i64) -> Result<Duration, Failure> {
    let time: Option<DateTime<Utc>> = DateTime::from_timestamp_millis(millis);
    let age: Option<TimeDelta> = time.map(|time| Utc::now() - time);
    age.and_then(|age| age.to_std().ok()).ok_or_else(|| Failure::usage("'older_than' must be a time in the past."))
}

/// Keys may name several, with commas between: `MAP['s3n,s3a', 's3']`.
fn parsed(pairs: &[(String, String)]) -> Result<Vec<(String, String)>, Failure> {
    let mut all = Vec::new();
    for (from, to) in pairs {
        all.extend(Equal::parse(&format!("{from}={to}")).map_err(Failure::usage)?);
    }
    Ok(all)
}

async fn rewrite(call: &ProcedureCall, table: &LakeTable, wanted: &RewriteDataFiles, budget: &MemoryBudget) -> Result<RecordBatch, Failure> {
    let request = compact::request_of(call, table, wanted)?;
    if call.only_shown {
        let plan = compact::plan(&call.catalog, &call.table, table, &request, budget).await?;
        let (files, bytes): (usize, u64) =
            plan.groups.iter().fold((0, 0), |(files, bytes), group| (files + group.files.len(), bytes + group.bytes()));
        let becomes: u64 = plan.groups.iter().map(|group| group.outputs(&request.options)).sum();
        return row(&[
            ("rewritten_data_files_count", count(files)),
            ("added_data_files_count", number(becomes)),
            ("rewritten_bytes_count", number(bytes)),
        ]);
    }
    let report = compact::carry_out(&call.catalog, &call.table, table, &request, budget).await?;
    row(&[
        ("rewritten_data_files_count", count(report.files_before)),
        ("added_data_files_count", count(report.files_after)),
        ("rewritten_bytes_count", number(report.bytes_before)),
        ("failed_data_files_count", 0),
        ("removed_delete_files_count", count(report.deletes)),
    ])
}

fn count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A table of one row.
fn row(columns: &[(&str, i64)]) -> Result<RecordBatch, Failure> {
    batch(columns.iter().map(|(name, value)| (*name, Arc::new(Int64Array::from(vec![*value])) as ArrayRef)))
}

fn batch<'a>(columns: impl IntoIterator<Item = (&'a str, ArrayRef)>) -> Result<RecordBatch, Failure> {
    RecordBatch::try_from_iter(columns).map_err(|error| Failure::internal(format!("the result of a procedure: {error}")))
}
