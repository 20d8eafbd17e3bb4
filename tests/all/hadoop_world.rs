//! The catalogs of the Hadoop world, a Hive Metastore and folders on HDFS: crowds of committers, killed committers, foreign writers.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema};
use iceberg::spec::{DataContentType, DataFileBuilder, DataFileFormat, Struct};
use uuid::Uuid;
use weir_base::options::OptionBag;
use weir_catalog::commit::{Append, TableCommitter, marker_of};
use weir_catalog::marker::{Cuts, SplitId, SplitPosition};
use weir_catalog::{CatalogError, LakeCatalog, LakeTable, TableId, TableSpec, lake_schema};
use weir_fs::FileSystems;

use crate::orders::{LIMIT, OrdersJob, holds_exactly, send};
use crate::support::{Servers, Table, Topic, Workdir};

const PARTITIONS: u64 = 2;

/// A catalog and a database of the test's own in it.
struct Lake {
    /// `WITH` of CREATE CATALOG, without `type`.
    options: Vec<(&'static str, String)>,
    database: String,
    /// The table in it, for PyIceberg.
    table: Table,
}

impl Lake {
    /// The shared metastore, behind an address at which nobody listens.
    fn hive(folder: &Workdir) -> Self {
        let uri = format!("thrift://127.0.0.1:1, {}", Servers::shared().hive().uri);
        let options = vec![("catalog-type", "hive".to_owned()), ("uri", uri), ("warehouse", folder.uri("warehouse"))];
        let database = format!("shop_{}", Uuid::new_v4().simple());
        let table = Table::of_hive(&format!("{database}.orders"), &Servers::shared().hive().uri);
        Self { options, database, table }
    }

    /// Folders on the shared HDFS.
    fn hadoop() -> Self {
        let hdfs = Servers::shared().hdfs();
        let warehouse = format!("{}/hadoop-{}", hdfs.uri, Uuid::new_v4().simple());
        Self::of_folders(&warehouse, &[], Table::of_folder("shop.orders", &warehouse).on_hdfs(&hdfs))
    }

    /// The same behind an alias that the catalog declares for itself.
    fn hadoop_behind_an_alias() -> Self {
        let hdfs = Servers::shared().hdfs();
        let root = format!("/hadoop-{}", Uuid::new_v4().simple());
        let conf = hdfs.conf_ns1.display().to_string();
        let alias = [("fs.alias.own.scheme", "hdfs"), ("fs.alias.own.conf-dir", &conf), ("fs.alias.own.root", &root)];
        let real = format!("hdfs://ns1{root}/warehouse");
        Self::of_folders("own://ns1/warehouse", &alias, Table::of_folder("shop.orders", &real).on_hdfs(&hdfs))
    }

    /// Folders on the shared S3, which has conditional puts, behind an alias that the catalog declares for itself.
    fn hadoop_on_s3_behind_an_alias() -> Self {
        let s3 = Servers::shared().s3();
        let root = format!("/hadoop-{}", Uuid::new_v4().simple());
        let alias = [
            ("fs.alias.own.scheme", "s3"),
            ("fs.alias.own.authority", &*s3.bucket),
            ("fs.alias.own.root", &root),
            ("fs.alias.own.option.s3.endpoint", &s3.endpoint),
            ("fs.alias.own.option.s3.access-key-id", &s3.access_key),
            ("fs.alias.own.option.s3.secret-access-key", &s3.secret_key),
        ];
        let real = format!("s3://{}{root}/warehouse", s3.bucket);
        Self::of_folders("own:///warehouse", &alias, Table::of_folder("shop.orders", &real).on_s3(&s3))
    }

    fn of_folders(warehouse: &str, alias: &[(&'static str, &str)], table: Table) -> Self {
        let options = [("catalog-type", "hadoop"), ("warehouse", warehouse)].into_iter().chain(alias.iter().copied());
        Self { options: options.map(|(key, value)| (key, value.to_owned())).collect(), database: "shop".to_owned(), table }
    }

    /// A catalog object of its own: to the others it is another process.
    fn open(&self) -> Arc<dyn LakeCatalog> {
        let mut bag = OptionBag::new("Catalog 'lake'");
        bag.insert("type", "iceberg", None);
        for (key, value) in &self.options {
            bag.insert(*key, value.as_str(), None);
        }
        weir_catalog::open("lake", &mut bag, &FileSystems::default()).unwrap().catalog
    }

    fn id(&self) -> TableId {
        TableId { database: self.database.clone(), table: "orders".to_owned() }
    }

    async fn create(&self) -> LakeTable {
        let catalog = self.open();
        catalog.create_database(&self.database, &Default::default()).await.unwrap();
        catalog.create(&self.id(), &spec()).await.unwrap()
    }

    fn job(&self, folder: &Workdir, topic: &Topic, brokers: &str) -> std::path::PathBuf {
        let mut job = OrdersJob::on_disk(folder, topic, brokers);
        // PyIceberg adds rows to tables without partitions only.
        job.partitioned_by = String::new();
        job.catalog = self.options.iter().map(|(key, value)| format!("'{key}' = '{value}'")).collect::<Vec<_>>().join(", ");
        folder.write("orders.sql", &job.sql().replace("lake.shop", &format!("lake.{}", self.database)))
    }

    async fn verified(&self, folder: &Workdir, job: &Path) {
        let target = format!("lake.{}.orders", self.database);
        let arguments = ["verify".as_ref(), "--init".as_ref(), job.as_os_str(), target.as_ref()];
        folder.weir::<&OsStr>(arguments).output(LIMIT).await.succeeded();
    }
}

fn spec() -> TableSpec {
    let columns = Schema::new(vec![Field::new("id", DataType::Int64, true)]);
    TableSpec { schema: lake_schema(&columns, &[]).unwrap(), partitioned_by: Vec::new(), properties: Default::default(), location: None }
}

fn cuts(offset: u64) -> Cuts {
    let position = SplitPosition { offset: i64::try_from(offset).unwrap(), incarnation: None };
    Cuts::from([("orders".to_owned(), [(SplitId("orders/0".to_owned()), position)].into())])
}

/// What epoch `epoch` of a job appends: one file that exists in the metadata only.
fn epoch(table: &LakeTable, job: &str, epoch: u64) -> Append {
    let file = DataFileBuilder::default()
        .content(DataContentType::Data)
        .file_path(format!("{}/data/{}.parquet", table.metadata.location(), Uuid::new_v4()))
        .file_format(DataFileFormat::Parquet)
        .partition(Struct::empty())
        .partition_spec_id(0)
        .record_count(1)
        .file_size_in_bytes(1)
        .build()
        .unwrap();
    Append {
        table_uuid: table.metadata.uuid().to_string(),
        branch: None,
        snapshot_id: i64::from_str_radix(&Uuid::new_v4().simple().to_string()[..15], 16).unwrap(),
        job: job.to_owned(),
        sink: "out".to_owned(),
        epoch,
        previous_epoch: (epoch > 1).then(|| epoch - 1),
        from: cuts(epoch - 1),
        to: cuts(epoch),
        gaps: Default::default(),
        files: vec![file],
        sequence_number: None,
        replaced: None,
    }
}

/// Committers that each have a catalog of their own, all on one table at the same time.
async fn crowd(lake: &Lake, committers: usize, commits: u64) {
    let table = lake.create().await;
    let run = |number: usize| {
        let (catalog, table, id) = (lake.open(), table.clone(), lake.id());
        weir_base::task::spawn("committer", async move {
            let committer = TableCommitter::of(&catalog, &id);
            for number_of_epoch in 1..=commits {
                committer.append(&epoch(&table, &format!("job-{number}"), number_of_epoch)).await.unwrap();
            }
        })
    };
    for one in (0..committers).map(run).collect::<Vec<_>>() {
        one.await.unwrap();
    }
    let now = lake.open().load(&lake.id()).await.unwrap();
    let all = (committers as u64 * commits).to_string();
    let summary = &now.metadata.current_snapshot().unwrap().summary().additional_properties;
    assert_eq!((summary.get("total-data-files"), summary.get("total-records")), (Some(&all), Some(&all)), "an update was lost");
    for number in 0..committers {
        assert_eq!(marker_of(&now, &format!("job-{number}"), "out").unwrap().unwrap().epoch, commits);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_committers_on_a_table_of_the_metastore_lose_no_update() {
    crowd(&Lake::hive(&Workdir::new()), 20, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn committers_that_only_compare_lose_no_update_either() {
    let mut lake = Lake::hive(&Workdir::new());
    lake.options.push(("engine.hive.lock-enabled", "false".to_owned()));
    crowd(&lake, 4, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_committers_on_a_folder_of_hdfs_lose_no_update() {
    crowd(&Lake::hadoop(), 20, 2).await;
}

async fn databases_and_tables_come_and_go(lake: &Lake) {
    let catalog = lake.open();
    assert!(!catalog.database_exists(&lake.database).await.unwrap());
    let table = lake.create().await;
    assert!(catalog.databases().await.unwrap().contains(&lake.database));
    assert_eq!(catalog.tables(&lake.database).await.unwrap(), ["orders"]);
    assert_eq!(catalog.load(&lake.id()).await.unwrap().metadata, table.metadata);
    let again = catalog.create(&lake.id(), &spec()).await.unwrap_err();
    assert!(matches!(again, CatalogError::AlreadyExists(_)), "{again}");
    let full = catalog.drop_database(&lake.database).await.unwrap_err().to_string();
    assert!(full.contains("`orders`"), "{full}");
    catalog.drop_table(&lake.id()).await.unwrap();
    assert!(matches!(catalog.load(&lake.id()).await, Err(CatalogError::NotFound(_))));
    catalog.drop_database(&lake.database).await.unwrap();
    assert!(!catalog.database_exists(&lake.database).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn databases_and_tables_of_the_metastore_come_and_go() {
    databases_and_tables_come_and_go(&Lake::hive(&Workdir::new())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn databases_and_tables_on_hdfs_come_and_go() {
    databases_and_tables_come_and_go(&Lake::hadoop()).await;
}

/// A job is killed at `place` in its commit; the next start finishes the commit, and foreign rows on top are kept.
async fn killed_at(place: &str, lake: &Lake, folder: &Workdir) -> Vec<(i32, i64)> {
    let brokers = Servers::shared().kafka();
    let topic = Topic::create(&brokers, "orders", i32::try_from(PARTITIONS).unwrap(), &[]).await;
    let sent = send(&topic, PARTITIONS, 0..1_000).await;
    let file = lake.job(folder, &topic, &brokers);
    let run = || folder.weir::<&OsStr>(["run".as_ref(), file.as_os_str()]);
    run().env("WEIR_FAIL", &format!("{place}=kill")).output(LIMIT).await.killed();
    run().output(LIMIT).await.succeeded();
    holds_exactly(&lake.table, &sent).await;
    lake.verified(folder, &file).await;
    sent
}

#[tokio::test]
async fn killed_between_lock_and_commit_the_next_start_waits_for_the_stale_lock() {
    let folder = Workdir::new();
    let mut lake = Lake::hive(&folder);
    // The metastore by its configuration file this time.
    lake.options[1] = ("hive-conf-dir", Servers::shared().hive().conf.display().to_string());
    let mut expected = killed_at("hive-locked", &lake, &folder).await;
    let rows = folder.write("rows", "{\"id\":7,\"p\":99,\"o\":0,\"event_type\":\"view\"}\n");
    lake.table.append(&rows).await;
    expected.push((99, 0));
    holds_exactly(&lake.table, &expected).await;
    lake.verified(&folder, &folder.path("orders.sql")).await;
}

#[tokio::test]
async fn killed_around_the_commit_to_a_folder_of_hdfs_nothing_is_lost_or_doubled() {
    for place in ["commit-before-swap", "commit-after-swap"] {
        killed_at(place, &Lake::hadoop(), &Workdir::new()).await;
    }
}

async fn is_a_catalog_like_any_other(lake: impl Fn() -> Lake) {
    databases_and_tables_come_and_go(&lake()).await;
    crowd(&lake(), 4, 2).await;
    killed_at("commit-before-swap", &lake(), &Workdir::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_of_hdfs_behind_an_alias_are_a_catalog_like_any_other() {
    is_a_catalog_like_any_other(Lake::hadoop_behind_an_alias).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_of_s3_behind_an_alias_are_a_catalog_like_any_other() {
    is_a_catalog_like_any_other(Lake::hadoop_on_s3_behind_an_alias).await;
}
