//! The road from rows to a table and back, with a catalog.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, StructArray, TimestampMicrosecondArray};
use arrow_schema::{DataType, Field, Fields, Schema as ArrowSchema, TimeUnit};
use async_trait::async_trait;
use datafusion::prelude::{SessionConfig, SessionContext};
use iceberg::TableUpdate;
use iceberg::spec::{FormatVersion, NestedField, PrimitiveType, Schema, StructType, Transform, Type};
use tempfile::TempDir;
use weir_base::memory::MemoryBudget;
use weir_base::options::OptionBag;
use weir_catalog::lake::{LakeCatalog, LakeTable, PartitionColumn, TableId, TableSpec};
use weir_fs::FileSystems;

use super::{IcebergScan, IcebergSink};
use crate::batch::BatchTable;
use crate::error::ConnectorError;
use crate::sink::{Committable, Committed, Distribution, IntentLog, SinkCommit, StreamSink, WriterContext};
use crate::source::{Cut, SplitId, SplitPosition};

#[derive(Debug)]
struct NoIntents;

#[async_trait]
impl IntentLog for NoIntents {
    async fn record(&self, _: &[String]) -> Result<(), ConnectorError> {
        Ok(())
    }
}

pub(in crate::iceberg) struct Lake {
    _folder: TempDir,
    pub(in crate::iceberg) catalog: Arc<dyn LakeCatalog>,
    pub(in crate::iceberg) table: LakeTable,
}

fn props() -> Fields {
    Fields::from(vec![Field::new("ip", DataType::Utf8, true), Field::new("pos", DataType::Int32, true)])
}

fn columns() -> ArrowSchema {
    ArrowSchema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("kind", DataType::Utf8, true),
        Field::new("ts", DataType::Timestamp(TimeUnit::Microsecond, None), true),
        Field::new("props", DataType::Struct(props()), true),
    ])
}

impl Lake {
    pub(in crate::iceberg) async fn new(partitioned_by: &[(&str, Transform)], key: &[&str]) -> Self {
        Self::of(&columns(), partitioned_by, key).await
    }

    pub(in crate::iceberg) async fn of(columns: &ArrowSchema, partitioned_by: &[(&str, Transform)], key: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let mut options = OptionBag::new("Catalog 'lake'");
        for (name, value) in [("type", "iceberg"), ("catalog-type", "memory"), ("warehouse", &format!("file://{}", folder.path().display()))] {
            options.insert(name, value, None);
        }
        let catalog = weir_catalog::open("lake", &mut options, &FileSystems::new(BTreeMap::new())).expect("catalog").catalog;
        catalog.create_database("shop", &BTreeMap::new()).await.expect("database");
        let key: Vec<String> = key.iter().map(|name| (*name).to_owned()).collect();
        let spec = TableSpec {
            schema: weir_catalog::lake_schema(columns, &key).expect("schema"),
            partitioned_by: partitioned_by
                .iter()
                .map(|(source, transform)| PartitionColumn { source: (*source).to_owned(), transform: *transform })
                .collect(),
            properties: HashMap::new(),
            location: None,
        };
        let id = TableId { database: "shop".to_owned(), table: "orders".to_owned() };
        let table = catalog.create(&id, &spec).await.expect("table");
        Self { _folder: folder, catalog, table }
    }

    pub(in crate::iceberg) fn sink(&self, hints: &[(&str, &str)]) -> IcebergSink {
        IcebergSink::open(&self.catalog, &self.table, &bag(hints)).expect("sink").value
    }

    pub(in crate::iceberg) async fn reload(&mut self) {
        self.table = self.catalog.load(&self.table.id).await.expect("table");
    }

    async fn query(&self, sql: &str) -> Vec<RecordBatch> {
        let scan = IcebergScan::new(Arc::clone(&self.catalog), self.table.id.clone());
        let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(3));
        context.register_table("orders", scan.provider().await.expect("provider")).expect("registers");
        context.sql(sql).await.expect("plans").collect().await.expect("runs")
    }

    async fn number(&self, sql: &str) -> i64 {
        self.query(sql).await[0].column(0).as_primitive::<Int64Type>().value(0)
    }
}

pub(in crate::iceberg) fn bag(hints: &[(&str, &str)]) -> OptionBag {
    let mut bag = OptionBag::new("Table 'lake.shop.orders'");
    for (key, value) in hints {
        bag.insert(*key, *value, None);
    }
    bag
}

fn orders(ids: std::ops::Range<i64>) -> RecordBatch {
    let pos: ArrayRef = Arc::new(ids.clone().map(|id| i32::try_from(id % 10).ok()).collect::<Int32Array>());
    let ip: ArrayRef = Arc::new(StringArray::from_iter_values(ids.clone().map(|id| format!("10.0.0.{}", id % 250))));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(ids.clone())),
        Arc::new(StringArray::from_iter_values(ids.clone().map(|id| format!("kind-{}", id % 3)))),
        Arc::new(TimestampMicrosecondArray::from_iter_values(ids.map(|id| id * 3_600_000_000))),
        Arc::new(StructArray::new(props(), vec![ip, pos], None)),
    ];
    RecordBatch::try_new(Arc::new(self::columns()), columns).expect("batch")
}

/// Rows whose `kind` is 128 letters that no encoding makes much smaller.
pub(in crate::iceberg) fn noise(ids: std::ops::Range<i64>) -> RecordBatch {
    let text = |id: i64| {
        (0..8_u64)
            .map(|word| {
                format!(
                    "{:016x}",
                    (id.unsigned_abs() * 8 + word + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29).wrapping_mul(0xBF58_476D_1CE4_E5B9)
                )
            })
            .collect::<String>()
    };
    let rows = orders(ids.clone());
    let mut columns = rows.columns().to_vec();
    columns[1] = Arc::new(StringArray::from_iter_values(ids.map(text)));
    RecordBatch::try_new(rows.schema(), columns).expect("batch")
}

async fn epoch(sink: &IcebergSink, epoch: u64, batches: &[RecordBatch]) -> Vec<Committable> {
    let context = WriterContext {
        job: "job".to_owned(),
        sink: "s".to_owned(),
        epoch,
        attempt: "a".to_owned(),
        partition: 0,
        partitions: 1,
        budget: MemoryBudget::new(64 << 20),
        intents: Arc::new(NoIntents),
    };
    let mut writer = sink.writer(context).expect("writer");
    for batch in batches {
        writer.write(batch.clone()).await.expect("writes");
    }
    writer.finish().await.expect("finishes")
}

fn cut(offset: i64) -> BTreeMap<String, Cut> {
    let position = SplitPosition { offset, incarnation: None };
    BTreeMap::from([("src".to_owned(), Cut::from([(SplitId("orders/0".to_owned()), position)]))])
}

pub(in crate::iceberg) async fn commit(sink: &IcebergSink, number: u64, from: i64, to: i64) -> (SinkCommit, Committed) {
    commit_rows(sink, number, &[orders(from..to)]).await
}

/// Commits rows whose ids follow each other.
pub(in crate::iceberg) async fn commit_rows(sink: &IcebergSink, number: u64, batches: &[RecordBatch]) -> (SinkCommit, Committed) {
    let ids = || batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values());
    let (from, to) = (ids().min().copied().expect("rows"), ids().max().expect("rows") + 1);
    let committer = sink.committer().expect("committer");
    let commit = SinkCommit {
        incarnation: committer.state("job", "s").await.expect("state").incarnation,
        commit_id: committer.next_commit_id(),
        previous_epoch: number.checked_sub(1).filter(|before| *before > 0),
        from: cut(from),
        to: cut(to),
        gaps: Vec::new(),
        committables: epoch(sink, number, batches).await,
    };
    let committed = committer.commit("job", "s", number, &commit).await.expect("commits");
    (commit, committed)
}

#[tokio::test(flavor = "multi_thread")]
async fn epochs_become_snapshots_once_and_are_read_back() {
    let mut lake = Lake::new(&[("kind", Transform::Identity), ("ts", Transform::Day)], &[]).await;
    assert_eq!(lake.number("SELECT count(*) FROM orders").await, 0, "an empty table has no snapshot");
    let sink = lake.sink(&[]);
    commit(&sink, 1, 0, 100).await;
    let (second, committed) = commit(&sink, 2, 100, 250).await;
    assert!(!committed.already);
    let again = sink.committer().expect("committer").commit("job", "s", 2, &second).await.expect("is there");
    assert!(again.already);
    assert_eq!(lake.number("SELECT count(*) FROM orders").await, 250);
    assert_eq!(lake.number("SELECT sum(id) FROM orders").await, 249 * 250 / 2);
    assert_eq!(lake.number("SELECT count(*) FROM orders WHERE props['pos'] = 7 AND kind = 'kind-1'").await, 9);
    assert_eq!(lake.query("SELECT kind FROM orders LIMIT 7").await.iter().map(RecordBatch::num_rows).sum::<usize>(), 7);
    let state = sink.committer().expect("committer").state("job", "s").await.expect("state");
    assert_eq!(state.marker.map(|marker| (marker.epoch, marker.cuts)), Some((2, cut(250))));
    lake.reload().await;
    assert_eq!(lake.table.metadata.snapshots().count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_older_schemas_are_read_by_field_id() {
    let mut lake = Lake::new(&[], &[]).await;
    commit(&lake.sink(&[]), 1, 0, 10).await;
    lake.reload().await;
    let current = lake.table.metadata.current_schema();
    let id = |name: &str| current.field_id_by_name(name).expect("field");
    let primitive = Type::Primitive;
    // `kind` is now `sort`, comes first, and a column of the old name is new; `props.pos` is long and `props.ip` is gone.
    let inner = StructType::new(vec![
        Arc::new(NestedField::optional(101, "ref", primitive(PrimitiveType::String))),
        Arc::new(NestedField::optional(id("props.pos"), "position", primitive(PrimitiveType::Long))),
    ]);
    let evolved = Schema::builder()
        .with_schema_id(1)
        .with_fields(vec![
            Arc::new(NestedField::optional(id("kind"), "sort", primitive(PrimitiveType::String))),
            Arc::new(NestedField::optional(id("id"), "id", primitive(PrimitiveType::Long))),
            Arc::new(NestedField::optional(100, "kind", primitive(PrimitiveType::String))),
            Arc::new(NestedField::optional(id("props"), "props", Type::Struct(inner))),
        ])
        .build()
        .expect("schema");
    let updates = vec![TableUpdate::AddSchema { schema: evolved }, TableUpdate::SetCurrentSchema { schema_id: -1 }];
    lake.catalog.commit(&lake.table, Vec::new(), updates).await.expect("evolves");
    let rows = lake.query("SELECT sort, kind, props['position'] AS pos, props['ref'] AS r FROM orders WHERE id = 7").await;
    let row = rows.iter().find(|batch| batch.num_rows() > 0).expect("a row");
    assert_eq!(row.column(0).as_string::<i32>().value(0), "kind-1");
    assert!(row.column(1).is_null(0) && row.column(3).is_null(0));
    assert_eq!(row.column(2).as_primitive::<Int64Type>().value(0), 7);
    assert_eq!(lake.number("SELECT count(kind) FROM orders").await, 0, "a column that no file has");
    assert_eq!(lake.number("SELECT count(*) FROM (SELECT kind FROM orders)").await, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_never_became_part_of_the_table_are_deleted_by_name() {
    let lake = Lake::new(&[], &[]).await;
    let sink = lake.sink(&[]);
    let committables = epoch(&sink, 1, &[orders(0..10)]).await;
    let path = committables[0].payload["path"].as_str().expect("path").to_owned();
    let local = path.strip_prefix("file://").expect("local").to_owned();
    assert!(std::path::Path::new(&local).exists());
    let committer = sink.committer().expect("committer");
    for _ in 0..2 {
        committer.discard(&[path.clone(), format!("{path}.never")]).await.expect("missing files are fine");
        assert!(!std::path::Path::new(&local).exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_one_partition_go_to_one_writer() {
    let lake = Lake::new(&[("kind", Transform::Identity)], &[]).await;
    assert_eq!(lake.sink(&[]).distribution(), Distribution::None);
    let sink = lake.sink(&[("distribution-mode", "hash")]);
    assert_eq!(sink.distribution(), Distribution::Hash);
    let routes = sink.route(&orders(0..90)).expect("routes");
    for row in 0..90 {
        assert_eq!(routes.value(row), routes.value(row % 3));
    }
    assert_ne!(routes.value(0), routes.value(1));
    let keyed = Lake::new(&[], &["id"]).await;
    let routes = keyed.sink(&[]).route(&orders(0..90)).expect("routes");
    assert_eq!(routes.values().iter().collect::<std::collections::BTreeSet<_>>().len(), 90);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_options_are_refused_together() {
    let lake = Lake::new(&[], &[]).await;
    let hints = [
        ("distribution-mode", "range"),
        ("write-format", "orc"),
        ("upsert-enabled", "true"),
        ("overwrite-enabled", "true"),
        ("compression-codec", "gzip"),
        ("compression-level", "12"),
        ("target-file-size-byte", "1"),
    ];
    let problems = IcebergSink::open(&lake.catalog, &lake.table, &bag(&hints)).expect_err("wrong");
    assert_eq!(problems.as_slice().len(), 6, "{problems}");
    assert!(problems.to_string().contains("Did you mean 'target-file-size-bytes'?"), "{problems}");
    let opened = IcebergSink::open(&lake.catalog, &lake.table, &bag(&[("distribution-mode", "hash"), ("write-parallelism", "3")])).expect("sink");
    let said: Vec<String> = opened.warnings.iter().map(ToString::to_string).collect();
    assert!(said.len() == 1 && said[0].contains("neither partitions nor a primary key"), "{said:?}");
    assert_eq!(opened.value.writers(), Some(3));
    assert_eq!(opened.value.distribution(), Distribution::None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sort_order_that_does_not_fit_is_found_when_the_sink_is_planned_and_format_3_is_told_of() {
    let mut lake = Lake::new(&[], &[]).await;
    let newer = TableUpdate::UpgradeFormatVersion { format_version: FormatVersion::V3 };
    lake.catalog.commit(&lake.table, Vec::new(), vec![newer]).await.expect("upgraded");
    lake.reload().await;
    let opened = |hints: &[(&str, &str)]| IcebergSink::open(&lake.catalog, &lake.table, &bag(hints));
    let wrong = [("auto-compact", "true"), ("compact.sort-order", "nowhere DESC")];
    let told = opened(&wrong).expect_err("wrong").to_string();
    assert!(told.contains("OPT-003") && told.contains("'compact.sort-order'") && told.contains("no column 'nowhere'"), "{told}");
    assert!(opened(&wrong[1..]).is_ok(), "nothing is compacted");
    let told: Vec<String> = opened(&wrong[..1]).expect("fine").warnings.iter().map(ToString::to_string).collect();
    assert!(told.len() == 1 && told[0].contains("format version 3 are not compacted"), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_is_not_there_is_named() {
    let lake = Lake::new(&[], &[]).await;
    let scan = IcebergScan::open(&lake.catalog, &lake.table.id, &bag(&[("branch", "audit")])).expect("scan").value;
    let error = scan.provider().await.expect_err("no branch").to_string();
    assert!(error.contains("lake.shop.orders") && error.contains("audit"), "{error}");
}
