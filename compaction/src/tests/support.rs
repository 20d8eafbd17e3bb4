//! A table in a folder, filled as a job fills it, with deletes as other engines commit them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema as ArrowSchema};
use async_trait::async_trait;
use datafusion::prelude::SessionContext;
use iceberg::spec::{
    DataContentType, DataFile, DataFileBuilder, DataFileFormat, MAIN_BRANCH, ManifestListWriter, ManifestWriterBuilder, Operation, Snapshot, Struct,
    Summary, TableMetadataBuilder, Transform,
};
use parquet::arrow::{ArrowWriter, PARQUET_FIELD_ID_META_KEY};
use tempfile::TempDir;
use uuid::Uuid;
use weir_base::memory::MemoryBudget;
use weir_base::options::OptionBag;
use weir_catalog::lake::{LakeCatalog, LakeTable, PartitionColumn, TableId, TableSpec};
use weir_catalog::read::{LiveFile, data_files, manifests};
use weir_catalog::upkeep::{Journal, Keeper};
use weir_connectors::ConnectorError;
use weir_connectors::batch::BatchTable;
use weir_connectors::iceberg::{IcebergScan, IcebergSink};
use weir_connectors::sink::{IntentLog, SinkCommit, StreamSink, WriterContext};
use weir_connectors::source::{Cut, SplitId, SplitPosition};
use weir_fs::{FaultPlan, FileSystems};

use crate::policy::Options;
use crate::{Compactor, Quiet, Report, Request};

/// A job's own log of names, which no test asks for.
#[derive(Debug)]
struct NoIntents;

#[async_trait]
impl IntentLog for NoIntents {
    async fn record(&self, _: &[String]) -> Result<(), ConnectorError> {
        Ok(())
    }
}

pub(super) struct Lake {
    folder: TempDir,
    pub(super) catalog: Arc<dyn LakeCatalog>,
    pub(super) id: TableId,
    epoch: u64,
}

fn columns() -> ArrowSchema {
    ArrowSchema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("kind", DataType::Utf8, true),
        Field::new("v", DataType::Float64, true),
    ])
}

/// Rows with these ids; `v` is NaN now and then, `kind` is null now and then.
pub(super) fn rows(ids: impl Iterator<Item = i64> + Clone) -> RecordBatch {
    let kind = |id: i64| (id % 11 != 3).then(|| format!("kind-{}", id % 3));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(ids.clone())),
        Arc::new(ids.clone().map(kind).collect::<StringArray>()),
        Arc::new(Float64Array::from_iter_values(ids.map(|id| if id % 17 == 5 { f64::NAN } else { id as f64 / 4.0 }))),
    ];
    RecordBatch::try_new(Arc::new(self::columns()), columns).expect("batch")
}

fn open(catalog_type: &str, folder: &Path, file_systems: &FileSystems) -> Arc<dyn LakeCatalog> {
    let mut options = OptionBag::new("Catalog 'lake'");
    for (name, value) in [("type", "iceberg"), ("catalog-type", catalog_type), ("warehouse", &format!("file://{}", folder.display()))] {
        options.insert(name, value, None);
    }
    weir_catalog::open("lake", &mut options, file_systems).expect("catalog").catalog
}

impl Lake {
    pub(super) async fn new(partitioned_by: &[(&str, Transform)], properties: &[(&str, &str)]) -> Self {
        Self::of("memory", partitioned_by, properties).await
    }

    async fn of(catalog_type: &str, partitioned_by: &[(&str, Transform)], properties: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let catalog = open(catalog_type, folder.path(), &FileSystems::new(BTreeMap::new()));
        catalog.create_database("shop", &BTreeMap::new()).await.expect("database");
        let partition = |(source, transform): &(&str, Transform)| PartitionColumn { source: (*source).to_owned(), transform: *transform };
        let spec = TableSpec {
            schema: weir_catalog::lake_schema(&columns(), &[]).expect("schema"),
            partitioned_by: partitioned_by.iter().map(partition).collect(),
            properties: properties.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            location: None,
        };
        let id = TableId { database: "shop".to_owned(), table: "orders".to_owned() };
        catalog.create(&id, &spec).await.expect("table");
        Self { folder, catalog, id, epoch: 0 }
    }

    /// A table in a catalog that other processes can use.
    pub(super) async fn in_folders() -> Self {
        Self::of("hadoop", &[], &[]).await
    }

    /// The same table in a catalog of another process whose stores fail as `faults` says.
    pub(super) fn beside(&self, faults: &str) -> (Arc<dyn LakeCatalog>, FaultPlan) {
        let plan = FaultPlan::parse(faults).expect("a plan");
        (open("hadoop", self.folder.path(), &FileSystems::new(BTreeMap::new()).with_faults(plan.clone())), plan)
    }

    /// Lets `work` run in a process that is killed before its request number `nth` to a store; false if it had ended by then.
    pub(super) async fn killed_at(&self, nth: u32, work: impl AsyncFnOnce(Arc<dyn LakeCatalog>)) -> bool {
        let (catalog, plan) = self.beside(&format!("*@{nth}=delay:86400000"));
        let hangs = async {
            while !plan.idle().is_empty() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            biased;
            () = hangs => true,
            () = work(catalog) => false,
        }
    }

    pub(super) async fn table(&self) -> LakeTable {
        self.catalog.load(&self.id).await.expect("table")
    }

    /// One commit of a job.
    pub(super) async fn append(&mut self, batch: &RecordBatch) {
        let table = self.table().await;
        let sink = IcebergSink::open(&self.catalog, &table, &OptionBag::new("Table 'lake.shop.orders'")).expect("sink").value;
        self.epoch += 1;
        let context = WriterContext {
            job: "job".to_owned(),
            sink: "s".to_owned(),
            epoch: self.epoch,
            attempt: "a".to_owned(),
            partition: 0,
            partitions: 1,
            budget: MemoryBudget::new(64 << 20),
            intents: Arc::new(NoIntents),
        };
        let mut writer = sink.writer(context).expect("writer");
        writer.write(batch.clone()).await.expect("writes");
        let committer = sink.committer().expect("committer");
        let commit = SinkCommit {
            incarnation: table.metadata.uuid().to_string(),
            commit_id: committer.next_commit_id(),
            previous_epoch: self.epoch.checked_sub(1).filter(|before| *before > 0),
            from: cut(self.epoch - 1),
            to: cut(self.epoch),
            gaps: Vec::new(),
            committables: writer.finish().await.expect("finishes"),
        };
        committer.commit("job", "s", self.epoch, &commit).await.expect("commits");
    }

    pub(super) async fn compactor(&self) -> Compactor {
        let journal = Journal::new(&self.catalog, &self.table().await, Keeper::Command);
        Compactor::new(&self.catalog, &self.id, MemoryBudget::new(256 << 20), journal)
    }

    pub(super) async fn compact(&self, request: &Request) -> Report {
        self.compactor().await.compact_once(request, now(), &Quiet).await.expect("compacts")
    }

    /// All rows as text, sorted.
    pub(super) async fn content(&self) -> Vec<String> {
        let sql = "SELECT concat_ws('|', id, kind, v) FROM orders";
        let batches = self.query(sql).await;
        let mut rows: Vec<String> =
            batches.iter().flat_map(|batch| batch.column(0).as_string::<i32>().iter().map(|row| row.unwrap_or("null").to_owned())).collect();
        rows.sort_unstable();
        rows
    }

    pub(super) async fn number(&self, sql: &str) -> i64 {
        self.query(sql).await[0].column(0).as_primitive::<Int64Type>().value(0)
    }

    async fn query(&self, sql: &str) -> Vec<RecordBatch> {
        let scan = IcebergScan::new(Arc::clone(&self.catalog), self.id.clone());
        let context = SessionContext::new();
        context.register_table("orders", scan.provider().await.expect("provider")).expect("registers");
        context.sql(sql).await.expect("plans").collect().await.expect("runs")
    }

    /// The live files, of data and of deletes.
    pub(super) async fn live(&self) -> (Vec<LiveFile>, Vec<LiveFile>) {
        let all = data_files(&self.table().await, None).await.expect("files");
        all.into_iter().partition(|live| live.file.content_type() == DataContentType::Data)
    }

    /// Data files on the disk that no snapshot ever had.
    pub(super) async fn orphans(&self) -> Vec<String> {
        let table = self.table().await;
        let mut known = BTreeSet::new();
        for snapshot in table.metadata.snapshots() {
            let files = data_files(&table, Some(snapshot.snapshot_id())).await.expect("files");
            known.extend(files.into_iter().map(|live| live.file.file_path().to_owned()));
        }
        let mut found = Vec::new();
        walk(self.folder.path(), &mut found);
        found.retain(|path| path.ends_with(".parquet") && !known.contains(path));
        found
    }

    /// A delete of rows by their ids, as an engine with upserts commits it.
    pub(super) async fn delete_ids(&self, ids: impl Iterator<Item = i64>) {
        let id = with_id(Field::new("id", DataType::Int64, true), 1);
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(ids));
        let batch = RecordBatch::try_new(Arc::new(ArrowSchema::new(vec![id])), vec![ids]).expect("batch");
        self.commit_deletes(&batch, DataContentType::EqualityDeletes, None).await;
    }

    /// A delete of rows of one file by their places.
    pub(super) async fn delete_places(&self, of: &LiveFile, places: &[i64]) {
        let path = with_id(Field::new("file_path", DataType::Utf8, false), i32::MAX - 101);
        let place = with_id(Field::new("pos", DataType::Int64, false), i32::MAX - 102);
        let paths: ArrayRef = Arc::new(StringArray::from_iter_values(places.iter().map(|_| of.file.file_path())));
        let places: ArrayRef = Arc::new(Int64Array::from(places.to_vec()));
        let batch = RecordBatch::try_new(Arc::new(ArrowSchema::new(vec![path, place])), vec![paths, places]).expect("batch");
        self.commit_deletes(&batch, DataContentType::PositionDeletes, Some(of)).await;
    }

    async fn commit_deletes(&self, batch: &RecordBatch, content: DataContentType, of: Option<&LiveFile>) {
        let base = self.table().await;
        let location = base.metadata.location().to_owned();
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).expect("writer");
        writer.write(batch).expect("writes");
        let bytes = writer.into_inner().expect("closes");
        let path = format!("{location}/data/{}-deletes.parquet", Uuid::new_v4());
        let mut file = DataFileBuilder::default();
        file.content(content).file_path(path.clone()).file_format(DataFileFormat::Parquet).record_count(batch.num_rows() as u64);
        file.file_size_in_bytes(bytes.len() as u64).partition_spec_id(0);
        file.partition(of.map_or_else(Struct::empty, |live| live.file.partition().clone()));
        file.referenced_data_file(of.map(|live| live.file.file_path().to_owned()));
        file.equality_ids((content == DataContentType::EqualityDeletes).then(|| vec![1]));
        base.file_io.new_output(&path).expect("path").write(bytes.into()).await.expect("written");
        commit_by_hand(&self.catalog, &base, file.build().expect("complete")).await;
    }

    /// Sets a table property.
    pub(super) async fn set(&self, key: &str, value: &str) {
        let base = self.table().await;
        let updates = vec![iceberg::TableUpdate::SetProperties { updates: HashMap::from([(key.to_owned(), value.to_owned())]) }];
        self.catalog.commit(&base, Vec::new(), updates).await.expect("set");
    }
}

async fn commit_by_hand(catalog: &Arc<dyn LakeCatalog>, base: &LakeTable, file: DataFile) {
    let location = base.metadata.location().to_owned();
    let id = i64::from_str_radix(&Uuid::new_v4().simple().to_string()[..15], 16).expect("hex");
    let output = base.file_io.new_output(format!("{location}/metadata/{}-d0.avro", Uuid::new_v4())).expect("path");
    let spec = (**base.metadata.default_partition_spec()).clone();
    let mut writer = ManifestWriterBuilder::new(output, Some(id), base.metadata.current_schema().clone(), spec).build_v2_deletes();
    writer.add_file(file, -1).expect("fits");
    let manifest = writer.write_manifest_file().await.expect("written");
    let parent = base.metadata.current_snapshot().expect("a snapshot");
    let list = format!("{location}/metadata/snap-{id}-by-hand.avro");
    let output = base.file_io.new_output(&list).expect("path").writer().await.expect("opened");
    let sequence = base.metadata.next_sequence_number();
    let mut writer = ManifestListWriter::v2(output, id, Some(parent.snapshot_id()), sequence);
    let mut all = manifests(base, parent).await.expect("list");
    all.push(manifest);
    writer.add_manifests(all.into_iter()).expect("fits");
    writer.close().await.expect("written");
    let snapshot = Snapshot::builder()
        .with_snapshot_id(id)
        .with_parent_snapshot_id(Some(parent.snapshot_id()))
        .with_sequence_number(sequence)
        .with_timestamp_ms(base.metadata.last_updated_ms())
        .with_manifest_list(list)
        .with_summary(Summary { operation: Operation::Overwrite, additional_properties: HashMap::new() })
        .with_schema_id(base.metadata.current_schema_id())
        .build();
    let built = TableMetadataBuilder::new_from_metadata((*base.metadata).clone(), None)
        .set_branch_snapshot(snapshot, MAIN_BRANCH)
        .and_then(TableMetadataBuilder::build)
        .expect("fits");
    catalog.commit(base, Vec::new(), built.changes).await.expect("committed");
}

fn with_id(field: Field, id: i32) -> Field {
    field.with_metadata(HashMap::from([(PARQUET_FIELD_ID_META_KEY.to_owned(), id.to_string())]))
}

fn cut(offset: u64) -> BTreeMap<String, Cut> {
    let position = SplitPosition { offset: i64::try_from(offset).expect("small"), incarnation: None };
    BTreeMap::from([("src".to_owned(), Cut::from([(SplitId("orders/0".to_owned()), position)]))])
}

/// The path on the disk of a file of the table.
pub(super) fn local(path: &str) -> String {
    path.trim_start_matches("file://").to_owned()
}

fn walk(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("entry").path();
        if path.is_dir() { walk(&path, found) } else { found.push(format!("file://{}", path.display())) }
    }
}

/// The time of the snapshots of a test: nothing in it has gone quiet.
pub(super) fn now() -> Duration {
    std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970")
}

/// Copies of five files and more; `quiet`: everything has settled, and is decoded.
pub(super) fn request(settled: bool) -> Request {
    let quiet = if settled { Duration::ZERO } else { Duration::from_secs(86_400) };
    Request { options: Options { quiet, ..Options::default() }, parallelism: 2, ..Request::default() }
}
