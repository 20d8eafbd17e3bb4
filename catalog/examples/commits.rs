//! Many commits of one file, fast-forwarded, with the upkeep that a job does beside them: what a commit costs, from the first to the last.
//!
//! `cargo run --release -p weir-catalog --example commits [commits] [snapshots that stay]`; by default those of the ten minutes that a job leaves, and of
//! the minute between two expiries: a commit stands for a second.

use std::error::Error;
use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_schema::{DataType, Field, Schema};
use futures::TryStreamExt;
use iceberg::spec::{DataContentType, DataFile, DataFileBuilder, DataFileFormat, Datum, Struct};
use weir_base::cpu::CpuMeter;
use weir_base::options::OptionBag;
use weir_catalog::commit::{Append, AtMost, ExpireRules, RewriteManifests, TableCommitter, new_snapshot_id};
use weir_catalog::marker::{Cuts, SplitId, SplitPosition};
use weir_catalog::upkeep::{Journal, Keeper};
use weir_catalog::{LakeCatalog, LakeTable, TableId, TableSpec, lake_schema, open};
use weir_fs::FileSystems;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Commits of a job that commits each second, in the age from which its snapshots are expired.
const RETAIN: usize = 600;

/// Commits of a line.
const EACH: u64 = 100;
/// A job would expire once a minute.
const EXPIRE_EVERY: u64 = 60;
/// And look at manifests every ten.
const REGROUP_EVERY: u64 = 600;
/// Columns with metrics.
const COLUMNS: i32 = 8;

fn main() -> Outcome<()> {
    let number = |place: usize, default: u64| std::env::args().nth(place).and_then(|text| text.parse().ok()).unwrap_or(default);
    let (commits, retain) = (number(1, 50_000), usize::try_from(number(2, RETAIN as u64))?);
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run(commits, retain))
}

async fn run(commits: u64, retain: usize) -> Outcome<()> {
    let mut options = OptionBag::new("Catalog 'lake'");
    for (key, value) in [("type", "iceberg"), ("catalog-type", "memory"), ("warehouse", "memory://bench/w")] {
        options.insert(key, value, None);
    }
    let catalog = open("lake", &mut options, &FileSystems::default()).map_err(|problems| problems.to_string())?.catalog;
    catalog.create_database("shop", &Default::default()).await?;
    let id = TableId { database: "shop".to_owned(), table: "orders".to_owned() };
    let fields = (0..COLUMNS).map(|number| Field::new(format!("column_{number}"), DataType::Int64, true)).collect::<Vec<_>>();
    let spec =
        TableSpec { schema: lake_schema(&Schema::new(fields), &[])?, partitioned_by: Vec::new(), properties: Default::default(), location: None };
    let table = catalog.create(&id, &spec).await?;
    let committer = TableCommitter::of(&catalog, &id);
    let journal = Journal::new(&catalog, &table, Keeper::Job { job: "bench".to_owned(), sink: "out".to_owned(), branch: None, fence: 1 });
    let at_most = Some(AtMost { snapshots: retain, min_age: Duration::ZERO });
    let rules = ExpireRules { only_job: Some("bench".to_owned()), at_most, ..ExpireRules::default() };

    let mut out = io::stdout().lock();
    writeln!(out, "          CPU ms a commit          ms a commit")?;
    writeln!(out, "commits   alone with upkeep    alone with upkeep  snapshots  manifests  metadata.json   objects")?;
    let (mut first, mut last, mut largest) = (None, Spent::default(), 0);
    let meters = [CpuMeter::default(), CpuMeter::default()];
    let (mut spent, mut before) = (Spent::default(), (Duration::ZERO, Duration::ZERO));
    for epoch in 1..=commits {
        let append = append(&table, epoch)?;
        let begun = Instant::now();
        meters[0].measure(committer.append(&append)).await?;
        spent.alone.clock += begun.elapsed();
        let upkeep = async {
            if epoch % EXPIRE_EVERY == 0 {
                committer.expire(&rules, &journal).await?;
            }
            if epoch % REGROUP_EVERY == 0 {
                committer.rewrite_manifests(&RewriteManifests { branch: None, min_count: 200 }, &journal).await?;
            }
            Outcome::Ok(())
        };
        meters[1].measure(upkeep).await?;
        spent.all.clock += begun.elapsed();
        if epoch % EXPIRE_EVERY == EXPIRE_EVERY - 1 || epoch == commits {
            // The most snapshots that there are.
            largest = largest.max(metadata_bytes(&committer).await?);
        }
        if epoch % EACH != 0 {
            continue;
        }
        let [alone, upkeep] = [meters[0].spent(), meters[1].spent()];
        (spent.alone.cpu, spent.all.cpu) = (alone - before.0, alone + upkeep - before.0 - before.1);
        if epoch == EACH || epoch % 5_000 == 0 || epoch == commits {
            writeln!(out, "{epoch:7}  {spent}  {}", state(&catalog, &committer).await?)?;
        }
        before = (alone, upkeep);
        last = std::mem::take(&mut spent);
        first.get_or_insert(last);
    }
    let first = first.unwrap_or(last);
    let ratio = |of: fn(&Spent) -> Duration| of(&last).as_secs_f64() / of(&first).as_secs_f64();
    writeln!(
        out,
        "the last {EACH} commits took {:.2} times the CPU of the first {EACH} and {:.2} times their time; with upkeep {:.2} and {:.2}",
        ratio(|spent| spent.alone.cpu),
        ratio(|spent| spent.alone.clock),
        ratio(|spent| spent.all.cpu),
        ratio(|spent| spent.all.clock)
    )?;
    writeln!(out, "the largest metadata.json had {largest} bytes")?;
    Ok(())
}

/// What some commits took.
#[derive(Debug, Clone, Copy, Default)]
struct Took {
    cpu: Duration,
    clock: Duration,
}

/// What [`EACH`] commits took, and with upkeep.
#[derive(Debug, Clone, Copy, Default)]
struct Spent {
    alone: Took,
    all: Took,
}

impl fmt::Display for Spent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per = |time: Duration| time.as_secs_f64() * 1_000.0 / EACH as f64;
        let [alone, all, alone_clock, all_clock] = [self.alone.cpu, self.all.cpu, self.alone.clock, self.all.clock].map(per);
        write!(f, "{alone:6.2}  {all:10.2}  {alone_clock:7.2}  {all_clock:10.2}")
    }
}

async fn metadata_bytes(committer: &TableCommitter) -> Outcome<u64> {
    let table = committer.refresh().await?;
    Ok(table.file_io.new_input(&table.metadata_location)?.metadata().await?.size)
}

fn append(table: &LakeTable, epoch: u64) -> Outcome<Append> {
    let cuts = |epoch: u64| -> Outcome<Cuts> {
        let split = |number: i64| -> Outcome<(SplitId, SplitPosition)> {
            Ok((SplitId(format!("orders/{number}")), SplitPosition { offset: i64::try_from(epoch)? * 1_000 + number, incarnation: None }))
        };
        Ok(Cuts::from([("orders".to_owned(), (0..4).map(split).collect::<Outcome<_>>()?)]))
    };
    let previous_epoch = epoch.checked_sub(1).filter(|before| *before > 0);
    Ok(Append {
        table_uuid: table.metadata.uuid().to_string(),
        branch: None,
        snapshot_id: new_snapshot_id(&table.metadata),
        job: "bench".to_owned(),
        sink: "out".to_owned(),
        epoch,
        previous_epoch,
        from: cuts(epoch - 1)?,
        to: cuts(epoch)?,
        gaps: Vec::new(),
        files: vec![file(table, epoch)?],
        sequence_number: None,
        replaced: None,
    })
}

/// A file that nobody reads.
fn file(table: &LakeTable, epoch: u64) -> Outcome<DataFile> {
    let columns = 1..=COLUMNS;
    let mut file = DataFileBuilder::default();
    file.content(DataContentType::Data).file_format(DataFileFormat::Parquet).partition(Struct::empty()).partition_spec_id(0);
    file.file_path(format!("{}/data/{epoch:012}-0-{:032x}.parquet", table.metadata.location(), epoch));
    file.record_count(100_000).file_size_in_bytes(1 << 20);
    file.column_sizes(columns.clone().map(|column| (column, 100_000)).collect());
    file.value_counts(columns.clone().map(|column| (column, 100_000)).collect());
    file.null_value_counts(columns.clone().map(|column| (column, 0)).collect());
    file.lower_bounds(columns.clone().map(|column| (column, Datum::long(1))).collect());
    file.upper_bounds(columns.map(|column| (column, Datum::long(i64::MAX))).collect());
    Ok(file.build()?)
}

/// Snapshots, manifests, bytes of the metadata file, objects below the metadata folder.
async fn state(catalog: &Arc<dyn LakeCatalog>, committer: &TableCommitter) -> Outcome<String> {
    let table = committer.refresh().await?;
    let manifests = match table.metadata.current_snapshot() {
        Some(head) => weir_catalog::read::manifests(&table, head).await?.len(),
        None => 0,
    };
    let bytes = metadata_bytes(committer).await?;
    let folder = catalog.file_systems().resolve(&format!("{}/metadata", table.metadata.location()))?;
    let objects = folder.store.list(Some(&folder.path)).try_fold(0_usize, |count, _| async move { Ok(count + 1) }).await?;
    Ok(format!("{:9}  {manifests:9}  {bytes:13}  {objects:8}", table.metadata.snapshots().len()))
}
