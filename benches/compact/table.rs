//! The table: many small files, written once by the sink; tables over them, made anew for each run.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use async_trait::async_trait;
use weir_base::memory::MemoryBudget;
use weir_base::options::OptionBag;
use weir_catalog::lake::{LakeCatalog, LakeTable, TableId, TableSpec};
use weir_connectors::ConnectorError;
use weir_connectors::iceberg::IcebergSink;
use weir_connectors::sink::{Committable, IntentLog, SinkCommit, StreamSink, WriterContext};
use weir_fs::FileSystems;

use crate::{Outcome, Shape};

/// Files in the store.
pub(crate) struct Made {
    pub(crate) files: Vec<Committable>,
    pub(crate) bytes: u64,
    pub(crate) rows: u64,
}

/// Nobody recovers a benchmark.
#[derive(Debug)]
pub(crate) struct NoIntents;

#[async_trait]
impl IntentLog for NoIntents {
    async fn record(&self, _: &[String]) -> Result<(), ConnectorError> {
        Ok(())
    }
}

pub(crate) fn id() -> TableId {
    TableId { database: "shop".to_owned(), table: "orders".to_owned() }
}

pub(crate) fn catalog(folder: &Path) -> Outcome<Arc<dyn LakeCatalog>> {
    catalog_with(folder, BTreeMap::new())
}

fn catalog_with(folder: &Path, properties: BTreeMap<String, String>) -> Outcome<Arc<dyn LakeCatalog>> {
    let mut options = OptionBag::new("Catalog 'lake'");
    for (name, value) in [("type", "iceberg"), ("catalog-type", "hadoop"), ("warehouse", &format!("file://{}/lake", folder.display()))] {
        options.insert(name, value, None);
    }
    Ok(weir_catalog::open("lake", &mut options, &FileSystems::new(properties)).map_err(|problems| problems.to_string())?.catalog)
}

fn schema(shape: Shape) -> Schema {
    let nullable = |name: &str, ty| Field::new(name, ty, true);
    let mut fields = vec![
        nullable("id", DataType::Int64),
        nullable("user_id", DataType::Int64),
        nullable("kind", DataType::Utf8),
        nullable("session", DataType::Utf8),
        nullable("amount", DataType::Float64),
        nullable("ts", DataType::Timestamp(TimeUnit::Microsecond, None)),
        nullable("agent", DataType::Utf8),
    ];
    if shape == Shape::Wide {
        fields.extend((0..33).map(|number| nullable(&format!("m{number}"), if number % 3 == 2 { DataType::Utf8 } else { DataType::Float64 })));
    }
    Schema::new(fields)
}

fn rows(shape: Shape, first: i64, count: usize) -> Outcome<RecordBatch> {
    let ids = || first..first + i64::try_from(count).unwrap_or(0);
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(ids())),
        Arc::new(Int64Array::from_iter_values(ids().map(|id| (mixed(id) % 1_000_000).cast_signed()))),
        Arc::new(StringArray::from_iter_values(ids().map(|id| ["view", "cart", "order", "return"][usize::try_from(id % 4).unwrap_or(0)]))),
        Arc::new(StringArray::from_iter_values(ids().map(|id| format!("{:016x}{:016x}", mixed(id), mixed(!id))))),
        Arc::new(Float64Array::from_iter_values(ids().map(|id| (mixed(id) % 100_000) as f64 / 100.0))),
        Arc::new(TimestampMicrosecondArray::from_iter_values(ids().map(|id| 1_760_000_000_000_000 + id * 997 + (mixed(id) % 500).cast_signed()))),
        Arc::new(StringArray::from_iter_values(ids().map(|id| format!("Mozilla/{}.{}", mixed(id) % 9, mixed(id + 1) % 40)))),
    ];
    if shape == Shape::Wide {
        columns.extend((0..33_i64).map(|number| match number % 3 {
            2 => Arc::new(StringArray::from_iter_values(ids().map(|id| format!("s{}", mixed(id + number) % 5_000)))) as ArrayRef,
            _ => Arc::new(Float64Array::from_iter_values(ids().map(|id| (mixed(id * 31 + number) % 10_000) as f64 / 8.0))) as ArrayRef,
        }));
    }
    Ok(RecordBatch::try_new(Arc::new(schema(shape)), columns)?)
}

/// Looks random, and is the same each time (the finish of splitmix64).
fn mixed(id: i64) -> u64 {
    let one = id.cast_unsigned().wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let two = (one ^ (one >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let three = (two ^ (two >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    three ^ (three >> 31)
}

fn block_on<T>(work: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}

/// Rows from which a file is measured.
const TRIAL: usize = 500;

/// Writes files of about `bytes` each.
pub(crate) fn fill(folder: &Path, shape: Shape, files: usize, bytes: u64) -> Outcome<Made> {
    block_on(async {
        let table = fresh(folder, shape).await?;
        // Ten thousand files that are flushed one by one would take an hour.
        let unflushed = catalog_with(folder, BTreeMap::from([("fs.file.sync".to_owned(), "false".to_owned())]))?;
        let (sink, mut rows_each) = (sink(&unflushed, &table)?, TRIAL);
        // Files of more rows have fewer bytes for each, so it takes a few tries.
        for _ in 0..4 {
            let trial = write(&sink, shape, 0, rows_each).await?;
            rows_each = usize::try_from(rows_each as u64 * bytes / trial.iter().map(|file| file.bytes).sum::<u64>().max(1))?.max(1);
        }
        let mut made = Made { files: Vec::new(), bytes: 0, rows: 0 };
        for number in 0..files {
            made.files.extend(write(&sink, shape, number, rows_each).await?);
        }
        made.bytes = made.files.iter().map(|file| file.bytes).sum();
        made.rows = made.files.iter().map(|file| file.rows).sum();
        Ok(made)
    })
}

async fn write(sink: &IcebergSink, shape: Shape, number: usize, count: usize) -> Outcome<Vec<Committable>> {
    let context = WriterContext {
        job: "bench".to_owned(),
        sink: "s".to_owned(),
        epoch: number as u64,
        attempt: "a".to_owned(),
        partition: 0,
        partitions: 1,
        budget: MemoryBudget::new(256 << 20),
        intents: Arc::new(NoIntents),
    };
    let mut writer = sink.writer(context)?;
    writer.write(rows(shape, i64::try_from(number * count)?, count)?).await?;
    Ok(writer.finish().await?)
}

/// Makes the table anew over the files.
pub(crate) fn create(folder: &Path, shape: Shape, made: &Made) -> Outcome<()> {
    block_on(async {
        let table = fresh(folder, shape).await?;
        let committer = sink(&catalog(folder)?, &table)?.committer().ok_or("a sink without a committer")?;
        let commit = SinkCommit {
            incarnation: table.metadata.uuid().to_string(),
            commit_id: committer.next_commit_id(),
            previous_epoch: None,
            from: BTreeMap::new(),
            to: BTreeMap::new(),
            gaps: Vec::new(),
            committables: made.files.clone(),
        };
        committer.commit("bench", "s", 1, &commit).await?;
        Ok(())
    })
}

fn sink(catalog: &Arc<dyn LakeCatalog>, table: &LakeTable) -> Outcome<IcebergSink> {
    let sink = IcebergSink::open(catalog, table, &OptionBag::new("Table 'lake.shop.orders'"));
    Ok(sink.map_err(|problems| problems.to_string())?.value)
}

/// An empty table; the data files of an earlier one stay, what was made of them goes.
async fn fresh(folder: &Path, shape: Shape) -> Outcome<LakeTable> {
    let metadata = folder.join("lake/shop/orders/metadata");
    if metadata.exists() {
        std::fs::remove_dir_all(metadata)?;
        for entry in std::fs::read_dir(folder.join("lake/shop/orders/data"))? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with("weir-compact-") {
                std::fs::remove_file(entry.path())?;
            }
        }
    }
    let catalog = catalog(folder)?;
    if !catalog.database_exists("shop").await? {
        catalog.create_database("shop", &BTreeMap::new()).await?;
    }
    let schema = weir_catalog::lake_schema(&schema(shape), &[])?;
    Ok(catalog.create(&id(), &TableSpec { schema, partitioned_by: Vec::new(), properties: HashMap::new(), location: None }).await?)
}
