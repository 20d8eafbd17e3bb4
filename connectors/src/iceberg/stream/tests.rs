//! Streams over real tables, and over histories made for the purpose.

use std::collections::HashMap;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use iceberg::TableUpdate;
use iceberg::spec::{Operation, Snapshot, SnapshotReference, SnapshotRetention, Summary, TableMetadata};
use weir_base::Classified as _;
use weir_base::ErrorKind;
use weir_base::memory::{MemoryBudget, Use};
use weir_catalog::commit::{ExpireRules, TableCommitter};
use weir_catalog::upkeep::{Journal, Keeper};

use super::history::{Known, Step, beginning, since};
use super::options::{Begin, Overwrites};
use super::place::Place;
use super::{IcebergStream, StreamError};
use crate::error::ConnectorError;
use crate::iceberg::tests::{Lake, bag, commit, commit_rows, noise};
use crate::source::{Cut, Read, SplitEnumerator, StreamSource as _};

const NOW: (&str, &str) = ("monitor-interval", "0 s");
const FROM_EARLIEST: (&str, &str) = ("starting-strategy", "INCREMENTAL_FROM_EARLIEST_SNAPSHOT");

fn stream(lake: &Lake, options: &[(&str, &str)]) -> Result<IcebergStream, StreamError> {
    let streaming = [&[("streaming", "true"), NOW][..], options].concat();
    IcebergStream::open(&lake.catalog, &lake.table, &bag(&streaming), 2).map(|opened| opened.value)
}

/// The ids that come between `from` and the ends as of now, and those ends. Readers read `step` positions at a time within snapshots.
async fn read_on(source: &IcebergStream, enumerator: &mut dyn SplitEnumerator, from: &Cut, step: i64) -> Result<(Vec<i64>, Cut), ConnectorError> {
    let frontier = enumerator.frontier().await?;
    let budget = MemoryBudget::new(64 << 20);
    let mut ids = Vec::new();
    for (split, end) in &frontier.ends {
        let mut position = from[split].clone();
        let gaps = &frontier.gaps[split];
        let mut reader = source.reader(split, &position, &[0], &budget).await?;
        while position.offset < end.offset {
            let until = gaps.after(position.offset, step).min(end.offset);
            while let Read::Rows { batch, position: reached } = reader.next(until).await? {
                assert!(reached <= until && reader.position() == reached);
                ids.extend(batch.column(0).as_primitive::<Int64Type>().values());
            }
            position.offset = until;
        }
    }
    ids.sort_unstable();
    Ok((ids, frontier.ends))
}

async fn all_of(source: &IcebergStream) -> Vec<i64> {
    let mut enumerator = source.enumerator(None).await.expect("enumerator");
    let start = enumerator.start().clone();
    read_on(source, enumerator.as_mut(), &start, 7).await.expect("reads").0
}

#[tokio::test(flavor = "multi_thread")]
async fn every_commit_is_read_once_wherever_a_job_goes_on() {
    let mut lake = Lake::new(&[("kind", iceberg::spec::Transform::Identity)], &[]).await;
    let source = stream(&lake, &[FROM_EARLIEST]).expect("opens");
    let mut enumerator = source.enumerator(None).await.expect("a table without snapshots");
    let mut at = enumerator.start().clone();
    let sink = lake.sink(&[]);
    let mut next = 0;
    for (number, step) in [(1, 3), (2, 100), (3, 1)] {
        commit(&sink, number, next, next + 40).await;
        let (ids, reached) = read_on(&source, enumerator.as_mut(), &at, step).await.expect("reads");
        assert_eq!(ids, (next..next + 40).collect::<Vec<_>>());
        enumerator.show_progress(&reached, false).await;
        at = reached;
        next += 40;
        // A process that goes on from here knows nothing but the cut.
        lake.reload().await;
        let again = stream(&lake, &[]).expect("opens");
        let mut resumed = again.enumerator(Some(&at)).await.expect("resumes");
        assert_eq!(read_on(&again, resumed.as_mut(), &at, 5).await.expect("reads").0, Vec::<i64>::new());
    }
    // In the middle of a snapshot: what one process has read up to some rows, another reads from there.
    let whole = source.enumerator(None).await.expect("anew").start().clone();
    let mut middle = whole.clone();
    middle.values_mut().for_each(|position| position.offset = Place { sequence: 2, row: 11 }.offset().expect("fits"));
    let mut resumed = source.enumerator(Some(&middle)).await.expect("resumes");
    let (rest, _) = read_on(&source, resumed.as_mut(), &middle, 4).await.expect("reads");
    assert_eq!(rest.len(), 80 - 2 * 11);
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_of_one_file_each_are_read_side_by_side() {
    let lake = Lake::new(&[], &[]).await;
    let sink = lake.sink(&[]);
    for number in 1..=4_u64 {
        let from = i64::try_from(number).expect("small") * 10 - 10;
        commit(&sink, number, from, from + 10).await;
    }
    let source = stream(&lake, &[FROM_EARLIEST]).expect("opens");
    let mut enumerator = source.enumerator(None).await.expect("enumerator");
    let start = enumerator.start().clone();
    let frontier = enumerator.frontier().await.expect("planned");
    for (split, end) in &frontier.ends {
        assert_eq!(frontier.gaps[split].records(start[split].offset, end.offset), 20, "split {split}");
    }
    assert_eq!(read_on(&source, enumerator.as_mut(), &start, 3).await.expect("reads").0, (0..40).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_begins_where_it_is_told_to() {
    let mut lake = Lake::new(&[], &[]).await;
    let sink = lake.sink(&[]);
    for number in 1..=3_u64 {
        let from = i64::try_from(number).expect("small") * 10 - 10;
        commit(&sink, number, from, from + 10).await;
    }
    lake.reload().await;
    let second = lake.table.metadata.snapshots().find(|snapshot| snapshot.sequence_number() == 2).expect("second").clone();
    let (id, time) = (second.snapshot_id().to_string(), second.timestamp_ms().to_string());
    let strategy = |name| ("starting-strategy", name);
    for (options, wanted) in [
        (vec![], 20..30),
        (vec![strategy("INCREMENTAL_FROM_LATEST_SNAPSHOT_EXCLUSIVE")], 0..0),
        (vec![strategy("INCREMENTAL_FROM_EARLIEST_SNAPSHOT")], 0..30),
        (vec![strategy("TABLE_SCAN_THEN_INCREMENTAL")], 0..30),
        (vec![strategy("INCREMENTAL_FROM_SNAPSHOT_ID"), ("start-snapshot-id", id.as_str())], 10..30),
        (vec![strategy("INCREMENTAL_FROM_SNAPSHOT_TIMESTAMP"), ("start-snapshot-timestamp", time.as_str())], 10..30),
    ] {
        let source = stream(&lake, &options).expect("opens");
        assert_eq!(all_of(&source).await, wanted.collect::<Vec<_>>(), "{options:?}");
    }
    let source = stream(&lake, &[strategy("INCREMENTAL_FROM_SNAPSHOT_ID"), ("start-snapshot-id", "5")]).expect("opens");
    let told = source.enumerator(None).await.expect_err("no such snapshot").to_string();
    assert!(told.contains("start snapshot 5 is not in the history of branch 'main'") && told.contains("sequence number 1"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn few_snapshots_are_planned_at_once_if_that_is_wanted() {
    let lake = Lake::new(&[], &[]).await;
    let sink = lake.sink(&[]);
    for number in 1..=4_u64 {
        let from = i64::try_from(number).expect("small") * 10 - 10;
        commit(&sink, number, from, from + 10).await;
    }
    let source = stream(&lake, &[FROM_EARLIEST, ("max-planning-snapshot-count", "2")]).expect("opens");
    let mut enumerator = source.enumerator(None).await.expect("enumerator");
    let start = enumerator.start().clone();
    let (ids, reached) = read_on(&source, enumerator.as_mut(), &start, 100).await.expect("reads");
    assert_eq!(ids, (0..20).collect::<Vec<_>>());
    enumerator.show_progress(&reached, false).await;
    assert_eq!(read_on(&source, enumerator.as_mut(), &reached, 100).await.expect("reads").0, (20..40).collect::<Vec<_>>());
}

/// The lake's table with small row groups, or with one large one.
async fn with_row_groups(lake: &mut Lake, bytes: &str) {
    let updates = HashMap::from([("write.parquet.row-group-size-bytes".to_owned(), bytes.to_owned())]);
    lake.catalog.commit(&lake.table, Vec::new(), vec![TableUpdate::SetProperties { updates }]).await.expect("set");
    lake.reload().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_is_cut_and_every_cut_between_its_pieces_is_one_to_go_on_from() {
    let mut lake = Lake::new(&[], &[]).await;
    with_row_groups(&mut lake, "100000").await;
    let batches: Vec<_> = (0..30).map(|number| noise(number * 1_000..(number + 1) * 1_000)).collect();
    commit_rows(&lake.sink(&[]), 1, &batches).await;
    let options = [FROM_EARLIEST, ("split-size", "300 kb"), ("scan.parallelism", "2")];
    let source = stream(&lake, &options).expect("opens");
    let mut enumerator = source.enumerator(None).await.expect("enumerator");
    let start = enumerator.start().clone();
    let ends = enumerator.frontier().await.expect("planned").ends;
    for (split, end) in &ends {
        let rows = enumerator.frontier().await.expect("planned").gaps[split].records(start[split].offset, end.offset);
        assert!((5_000..25_000).contains(&rows), "split {split} has {rows} of one file's rows");
    }
    let (all, _) = read_on(&source, enumerator.as_mut(), &start, 7_000).await.expect("reads");
    assert_eq!(all, (0..30_000).collect::<Vec<_>>());
    // A process that knows nothing but a cut goes on with the rows behind it, though it is told to cut files otherwise.
    let other = stream(&lake, &[("split-size", "1 gb"), ("scan.parallelism", "5")]).expect("opens");
    let mut position = start.clone();
    for row in [0, 1, 999, 4_096, 4_097, 8_191, 8_192, 12_345] {
        position.values_mut().for_each(|at| at.offset = Place { sequence: 1, row }.offset().expect("fits"));
        let (mut before, _) = {
            let mut upto = source.enumerator(None).await.expect("enumerator");
            read_until(&source, upto.as_mut(), &start, &position).await
        };
        let mut resumed = other.enumerator(Some(&position)).await.expect("resumes");
        before.extend(read_on(&other, resumed.as_mut(), &position, 5_000).await.expect("reads").0);
        before.sort_unstable();
        assert_eq!(before, all, "at row {row} of each split");
    }
}

/// The ids between two cuts.
async fn read_until(source: &IcebergStream, enumerator: &mut dyn SplitEnumerator, from: &Cut, to: &Cut) -> (Vec<i64>, usize) {
    enumerator.frontier().await.expect("planned");
    let (budget, mut ids, mut batches) = (MemoryBudget::new(64 << 20), Vec::new(), 0);
    for (split, end) in to {
        let mut reader = source.reader(split, &from[split], &[0], &budget).await.expect("reader");
        while let Read::Rows { batch, .. } = reader.next(end.offset).await.expect("reads") {
            ids.extend(batch.column(0).as_primitive::<Int64Type>().values());
            batches += 1;
        }
    }
    (ids, batches)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_group_larger_than_the_budget_is_read_in_stretches_that_are_charged() {
    let lake = Lake::new(&[], &[]).await;
    let (written, _) = commit_rows(&lake.sink(&[]), 1, &[noise(0..240_000)]).await;
    let stored = written.committables[0].bytes;
    let source = stream(&lake, &[FROM_EARLIEST, ("scan.parallelism", "1")]).expect("opens");
    let mut enumerator = source.enumerator(None).await.expect("enumerator");
    let ends = enumerator.frontier().await.expect("planned").ends;
    let (split, end) = ends.iter().next().expect("one split");
    let budget = MemoryBudget::new(16 << 20);
    let mut reader = source.reader(split, &enumerator.start()[split], &[0, 1], &budget).await.expect("reader");
    let (mut rows, mut least) = (0, u64::MAX);
    while let Read::Rows { batch, .. } = reader.next(end.offset).await.expect("reads") {
        assert_eq!(batch.column(0).as_primitive::<Int64Type>().value(0), rows);
        rows += i64::try_from(batch.num_rows()).expect("few");
        least = least.min(budget.used_for(Use::Fetch));
    }
    assert_eq!((rows, budget.used()), (240_000, 0));
    assert!(least > 0, "what is fetched is charged while it is decoded");
    assert!(stored > 12 << 20 && budget.peak() < 7 << 20, "a row group of {stored} bytes took {} bytes", budget.peak());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_gone_is_named_with_the_ways_out() {
    let lake = Lake::new(&[], &[]).await;
    let (written, _) = commit(&lake.sink(&[]), 1, 0, 10).await;
    let source = stream(&lake, &[FROM_EARLIEST]).expect("opens");
    let mut enumerator = source.enumerator(None).await.expect("enumerator");
    let start = enumerator.start().clone();
    enumerator.frontier().await.expect("planned before the file goes");
    let path = written.committables[0].payload["path"].as_str().expect("path").to_owned();
    std::fs::remove_file(path.strip_prefix("file://").expect("local")).expect("deleted");
    let error = read_on(&source, enumerator.as_mut(), &start, 100).await.expect_err("no file");
    assert_eq!(error.kind(), ErrorKind::User);
    let told = error.to_string();
    assert!(told.contains("lake.shop.orders") && told.contains(&path) && told.contains("'starting-strategy'"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_the_same_name_is_not_taken_for_the_one_that_was_read() {
    let lake = Lake::new(&[], &[]).await;
    let source = stream(&lake, &[]).expect("opens");
    let mut cut = source.enumerator(None).await.expect("enumerator").start().clone();
    cut.values_mut().for_each(|position| position.incarnation = Some("another".to_owned()));
    let told = source.enumerator(Some(&cut)).await.expect_err("another table").to_string();
    assert!(told.contains("dropped and created again") && told.contains("another"), "{told}");
}

/// A history: for each snapshot its id, its parent and what it did; sequence numbers count from 1. The last is the head of `main`.
fn history(table: &TableMetadata, snapshots: &[(i64, Option<i64>, Operation)]) -> TableMetadata {
    let mut builder = table.clone().into_builder(None);
    for (index, (id, parent, operation)) in snapshots.iter().enumerate() {
        let number = i64::try_from(index).expect("few") + 1;
        let snapshot = Snapshot::builder()
            .with_snapshot_id(*id)
            .with_parent_snapshot_id(*parent)
            .with_sequence_number(number)
            .with_timestamp_ms(table.last_updated_ms() + number)
            .with_manifest_list(format!("list-{id}"))
            .with_summary(Summary { operation: operation.clone(), additional_properties: HashMap::new() })
            .with_schema_id(0)
            .build();
        builder = builder.add_snapshot(snapshot).expect("fits");
    }
    let head = snapshots.last().expect("some").0;
    headed(builder.build().expect("metadata").metadata, head)
}

fn headed(table: TableMetadata, head: i64) -> TableMetadata {
    let retention = SnapshotRetention::Branch { min_snapshots_to_keep: None, max_snapshot_age_ms: None, max_ref_age_ms: None };
    let reference = SnapshotReference { snapshot_id: head, retention };
    table.into_builder(None).set_ref("main", reference).expect("head").build().expect("metadata").metadata
}

fn without(table: TableMetadata, ids: &[i64]) -> TableMetadata {
    table.into_builder(None).remove_snapshots(ids).build().expect("metadata").metadata
}

/// The same table with other snapshots.
fn changed(table: &TableMetadata, change: impl Fn(&mut serde_json::Value)) -> TableMetadata {
    let mut json = serde_json::to_value(table).expect("metadata");
    json["snapshots"].as_array_mut().expect("snapshots").iter_mut().for_each(change);
    serde_json::from_value(json).expect("metadata")
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_from_before_there_were_sequence_numbers_are_read_as_a_whole_or_refused() {
    use Operation::Append;
    let lake = Lake::new(&[], &[]).await;
    let upgraded = history(&lake.table.metadata, &[(11, None, Append), (12, Some(11), Append), (13, Some(12), Append)]);
    let upgraded = changed(&upgraded, |snapshot| {
        if snapshot["snapshot-id"] != 13 {
            snapshot["sequence-number"] = 0.into();
        }
    });
    let told = since(&upgraded, "main", seen(0, None), Overwrites::Refuse).unwrap_err();
    assert!(told.contains("snapshot 12 is from when") && told.contains("TABLE_SCAN_THEN_INCREMENTAL"), "{told}");
    assert_eq!(ids(&since(&upgraded, "main", seen(3, None), Overwrites::Refuse).unwrap()), [(13, true)]);
    let whole = Known { next: 0, last: None, scan: Some(12) };
    let steps = since(&upgraded, "main", whole, Overwrites::Refuse).unwrap();
    assert!(matches!(steps.as_slice(), [Step::Scan(_), Step::Added(_)]), "{steps:?}");
}

fn seen(next: i64, last: Option<i64>) -> Known {
    Known { next, last, scan: None }
}

fn ids(steps: &[Step]) -> Vec<(i64, bool)> {
    steps.iter().map(|step| (step.snapshot().snapshot_id(), matches!(step, Step::Added(_)))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn histories_are_followed_and_their_breaks_are_noticed() {
    use Operation::{Append, Delete, Overwrite, Replace};
    let lake = Lake::new(&[], &[]).await;
    let plain = history(&lake.table.metadata, &[(11, None, Append), (12, Some(11), Replace), (13, Some(12), Append), (14, Some(13), Append)]);
    let after = |known| since(&plain, "main", known, Overwrites::Refuse).map(|steps| ids(&steps));
    assert_eq!(after(seen(0, None)).unwrap(), [(11, true), (12, false), (13, true), (14, true)]);
    assert_eq!(after(seen(3, Some(12))).unwrap(), [(13, true), (14, true)]);
    assert_eq!(after(seen(5, Some(14))).unwrap(), []);

    // Expired behind what was read: fine. Expired before it was read: loud.
    let kept = without(plain.clone(), &[11, 12]);
    assert_eq!(ids(&since(&kept, "main", seen(3, None), Overwrites::Refuse).unwrap()), [(13, true), (14, true)]);
    let lost = since(&kept, "main", seen(2, None), Overwrites::Refuse).unwrap_err();
    assert!(lost.contains("expired") && lost.contains("sequence number 2 on") && lost.contains("TABLE_SCAN_THEN_INCREMENTAL"), "{lost}");
    // The same by an engine that takes the expired parent's id away with it.
    let orphaned = changed(&kept, |snapshot| {
        if snapshot["snapshot-id"] == 13 {
            snapshot.as_object_mut().expect("object").remove("parent-snapshot-id");
        }
    });
    assert!(since(&orphaned, "main", seen(2, None), Overwrites::Refuse).unwrap_err().contains("sequence number 2 on"));
    assert_eq!(ids(&since(&orphaned, "main", seen(3, None), Overwrites::Refuse).unwrap()), [(13, true), (14, true)]);
    assert_eq!(after(seen(0, None)).unwrap().len(), 4, "a first snapshot has no parent, and nothing is missing");
    // A snapshot of another branch took number 3; this process has seen the parent of what is left.
    let branched = history(&lake.table.metadata, &[(11, None, Append), (12, Some(11), Append), (99, Some(12), Append), (14, Some(12), Append)]);
    let left = without(branched, &[11, 12, 99]);
    assert_eq!(ids(&since(&left, "main", seen(3, Some(12)), Overwrites::Refuse).unwrap()), [(14, true)]);

    let rolled = headed(plain.clone(), 13);
    assert!(since(&rolled, "main", seen(5, Some(14)), Overwrites::Refuse).unwrap_err().contains("rolled back behind snapshot 14"));
    assert!(since(&rolled, "main", seen(5, None), Overwrites::Refuse).unwrap_err().contains("rolled back behind snapshot 14"));
    assert!(since(&without(rolled, &[14]), "main", seen(5, None), Overwrites::Refuse).unwrap_err().contains("sequence number 4"));

    for operation in [Overwrite, Delete] {
        let changed = history(&lake.table.metadata, &[(11, None, Append), (12, Some(11), operation), (13, Some(12), Append)]);
        let told = since(&changed, "main", seen(2, Some(11)), Overwrites::Refuse).unwrap_err();
        assert!(told.contains("snapshot 12 overwrites or deletes rows") && told.contains("'streaming.skip-overwrite-snapshots'"), "{told}");
        assert_eq!(ids(&since(&changed, "main", seen(2, Some(11)), Overwrites::PassOver).unwrap()), [(12, false), (13, true)]);
    }

    assert_eq!(beginning(&kept, "main", &Begin::Earliest).unwrap(), (Place::start_of(3), None));
    assert_eq!(beginning(&kept, "main", &Begin::Time(i64::MAX)).unwrap(), (Place::start_of(5), None));
    assert_eq!(beginning(&kept, "main", &Begin::Scan).unwrap(), (Place::start_of(4), Some(14)));
    assert!(beginning(&kept, "audit", &Begin::Latest).unwrap_err().contains("no branch 'audit'"));
    assert!(beginning(&kept, "main", &Begin::Tag("eod".to_owned())).unwrap_err().contains("no tag 'eod'"));
    let known = Known { next: 4, last: None, scan: Some(14) };
    assert!(matches!(since(&kept, "main", known, Overwrites::Refuse).unwrap().as_slice(), [Step::Scan(_)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_job_has_not_read_is_not_expired_and_what_it_has_read_is() {
    let lake = Lake::new(&[], &[]).await;
    let sink = lake.sink(&[]);
    for number in 1..=4 {
        let first = i64::try_from(number).expect("small") * 10;
        commit(&sink, number, first, first + 10).await;
    }
    let source = stream(&lake, &[FROM_EARLIEST]).expect("opens");
    let mut enumerator = source.enumerator(None).await.expect("enumerator");
    let start = enumerator.start().clone();
    enumerator.read_by("job/1", "source");
    let (ids, reached) = read_on(&source, enumerator.as_mut(), &start, 100).await.expect("reads");
    assert_eq!(ids.len(), 40);
    let committer = TableCommitter::of(&lake.catalog, &lake.table.id);
    let journal = Journal::new(&lake.catalog, &lake.table, Keeper::Command);
    let rules = ExpireRules { older_than_ms: Some(i64::MAX), retain_last: Some(1), ..ExpireRules::default() };
    // It says where it begins while others go on.
    let folder = lake.catalog.file_systems().resolve(&format!("{}/metadata/_weir-readers", lake.table.metadata.location())).expect("folder");
    while folder.store.list_with_delimiter(Some(&folder.path)).await.is_ok_and(|listed| listed.objects.is_empty()) {
        tokio::task::yield_now().await;
    }
    assert_eq!(committer.expire(&rules, &journal).await.expect("expired").snapshots.len(), 0, "nothing is in a checkpoint yet");
    enumerator.show_progress(&reached, true).await;
    assert_eq!(committer.expire(&rules, &journal).await.expect("expired").snapshots.len(), 3);
    let mut resumed = source.enumerator(Some(&reached)).await.expect("resumes");
    commit(&sink, 5, 50, 60).await;
    assert_eq!(read_on(&source, resumed.as_mut(), &reached, 100).await.expect("reads").0, (50..60).collect::<Vec<_>>());
}
