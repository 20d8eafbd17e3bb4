//! A lake of a test's own, wherever its files are: its catalog is a SQLite file, which other engines open too.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use weir_fs::{FileSystems, Status};

use crate::orders::{LIMIT, answer, sqlite};
use crate::support::{Hdfs, IcebergRows, Launch, S3, Servers, Table, Workdir};

pub(super) struct World {
    pub(super) folder: Workdir,
    /// A file with the CREATE CATALOG.
    pub(super) init: PathBuf,
    /// The options of the catalog, without its type.
    pub(super) catalog: String,
    warehouse: String,
    pub(super) file_systems: FileSystems,
    store: Store,
}

enum Store {
    Disk,
    Hdfs(Hdfs),
    S3(S3),
}

impl World {
    /// On the local disk.
    pub(super) fn new() -> Self {
        let folder = Workdir::new();
        let warehouse = folder.uri("warehouse");
        Self::of(folder, warehouse, "", FileSystems::default(), Store::Disk)
    }

    pub(super) fn on_hdfs() -> Self {
        let hdfs = Servers::shared().hdfs();
        let warehouse = format!("{}/lake-{}", hdfs.uri, uuid::Uuid::new_v4().simple());
        Self::of(Workdir::new(), warehouse, "", FileSystems::default(), Store::Hdfs(hdfs))
    }

    pub(super) fn on_s3() -> Self {
        let s3 = Servers::shared().s3();
        let warehouse = format!("s3://{}/lake-{}", s3.bucket, uuid::Uuid::new_v4().simple());
        let keys = [("endpoint", &s3.endpoint), ("access-key-id", &s3.access_key), ("secret-access-key", &s3.secret_key), ("region", &s3.region)];
        let options: String = keys.iter().map(|(key, value)| format!(", 's3.{key}' = '{value}'")).collect();
        let properties = keys.iter().map(|(key, value)| (format!("s3.{key}"), (*value).clone())).collect();
        Self::of(Workdir::new(), warehouse, &options, FileSystems::new(properties), Store::S3(s3))
    }

    fn of(folder: Workdir, warehouse: String, options: &str, file_systems: FileSystems, store: Store) -> Self {
        let catalog = format!("'catalog-type' = 'sql', 'uri' = '{}', 'warehouse' = '{warehouse}'{options}", sqlite(&folder));
        let init = folder.write("init.sql", &format!("CREATE CATALOG lake WITH ('type' = 'iceberg', {catalog});"));
        Self { folder, init, catalog, warehouse, file_systems, store }
    }

    /// Tables or a namespace, for PyIceberg.
    pub(super) fn table(&self, name: &str) -> Table {
        let table = Table::of_sql(name, "lake", &sqlite(&self.folder), &self.warehouse);
        match &self.store {
            Store::Disk => table,
            Store::Hdfs(hdfs) => table.on_hdfs(hdfs),
            Store::S3(s3) => table.on_s3(s3),
        }
    }

    /// On the local disk only.
    pub(super) fn java(&self) -> IcebergRows {
        IcebergRows::of_sqlite(&self.folder.path("catalog.db"), &self.warehouse)
    }

    pub(super) async fn sql(&self, statements: &str) -> String {
        answer(&self.folder, &self.init, statements).await
    }

    /// `weir table` with a command for one table.
    pub(super) fn by_hand(&self, command: &str, table: &str, more: &[&str]) -> Launch {
        let name = format!("lake.{table}");
        let arguments = ["table", command, &name, "--init", self.init.to_str().unwrap()];
        self.folder.weir(arguments.iter().chain(more))
    }

    /// What `weir table compact` tells.
    pub(super) async fn compact(&self, table: &str, more: &[&str]) -> String {
        self.by_hand("compact", table, more).output(LIMIT).await.succeeded().stdout
    }

    fn uri(&self, table: &str, name: &str) -> String {
        format!("{}/{}/{name}", self.warehouse, table.replace('.', "/"))
    }

    /// Writes a file that no table knows.
    pub(super) async fn stray(&self, table: &str, name: &str) {
        let place = self.file_systems.resolve(&self.uri(table, name)).unwrap();
        place.store.put(&place.path, "stray".into()).await.unwrap();
    }

    /// The paths of what is in the table's journal, and of what was cut off while it was written there, which a list of objects does not show.
    pub(super) async fn journal(&self, table: &str) -> Vec<String> {
        let folder = self.file_systems.place(&self.uri(table, "metadata/_weir-upkeep")).unwrap();
        let listed: Vec<Status> = folder.list().try_collect().await.unwrap();
        listed.into_iter().map(|found| found.path.to_string()).collect()
    }

    /// What the entries of the table's journal say, one after the other.
    pub(super) async fn journaled(&self, table: &str) -> String {
        let store = self.file_systems.resolve(&self.uri(table, "metadata")).unwrap().store;
        let mut texts = String::new();
        for path in self.journal(table).await.into_iter().filter(|path| path.ends_with(".json")) {
            let bytes = store.get(&path.into()).await.unwrap().bytes().await.unwrap();
            texts.push_str(std::str::from_utf8(&bytes).unwrap());
        }
        texts
    }

    /// Makes what killed commands have left in the journal a day old: not before is it taken for theirs. False where the store's clock cannot be set.
    pub(super) async fn a_day_later(&self, table: &str) -> bool {
        let yesterday = SystemTime::now() - Duration::from_secs(25 * 3_600);
        for path in self.journal(table).await {
            match &self.store {
                Store::Disk => date(&Path::new("/").join(&path), yesterday),
                Store::Hdfs(hdfs) => {
                    let moment = yesterday.duration_since(UNIX_EPOCH).unwrap().as_millis();
                    let call = format!("{}/webhdfs/v1/{path}?op=SETTIMES&modificationtime={moment}&accesstime=-1&user.name=reader", hdfs.http);
                    reqwest::Client::new().put(call).send().await.unwrap().error_for_status().unwrap();
                }
                Store::S3(s3) => match &s3.data {
                    Some(data) => date(&data.join(&s3.bucket).join(&path), yesterday),
                    None => return false,
                },
            }
        }
        true
    }
}

fn date(path: &Path, moment: SystemTime) {
    std::fs::File::options().write(true).open(path).unwrap().set_modified(moment).unwrap();
}
