//! Tables as PyIceberg and other readers see them, through `scripts/reader` and `scripts/iceberg_rows`.

use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::process::Workdir;
use super::servers::{Azure, Hdfs, S3};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/reader");
const JAVA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/iceberg_rows");
/// Generous: the first call of a fresh machine makes the reader's environment.
const LIMIT: Duration = Duration::from_secs(300);

/// A table in a catalog, with what PyIceberg must know to reach it.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    name: String,
    arguments: Vec<String>,
}

impl Table {
    /// A table of a SQL catalog: the catalog's name and its `uri` and `warehouse` as in a job file.
    pub(crate) fn of_sql(name: &str, catalog: &str, uri: &str, warehouse: &str) -> Self {
        let table = Self { name: name.to_owned(), arguments: vec!["--catalog".to_owned(), catalog.to_owned()] };
        table.property("type", "sql").property("uri", uri).property("warehouse", warehouse)
    }

    /// A table of a REST catalog.
    pub(crate) fn of_rest(name: &str, uri: &str) -> Self {
        Self { name: name.to_owned(), arguments: Vec::new() }.property("type", "rest").property("uri", uri)
    }

    /// A table of a Hive Metastore.
    pub(crate) fn of_hive(name: &str, uri: &str) -> Self {
        Self { name: name.to_owned(), arguments: Vec::new() }.property("type", "hive").property("uri", uri)
    }

    /// A table that is a folder below `warehouse`.
    pub(crate) fn of_folder(name: &str, warehouse: &str) -> Self {
        Self { name: name.to_owned(), arguments: Vec::new() }.property("type", "hadoop").property("warehouse", warehouse)
    }

    /// The same, with its files on an S3 server.
    pub(crate) fn on_s3(self, s3: &S3) -> Self {
        self.property("s3.endpoint", &s3.endpoint)
            .property("s3.access-key-id", &s3.access_key)
            .property("s3.secret-access-key", &s3.secret_key)
            .property("s3.region", &s3.region)
    }

    /// The same, with its files in Azure's blob storage.
    pub(crate) fn on_azure(self, azure: &Azure) -> Self {
        // PyIceberg's other way to Azure asks for a package that the reader has not.
        let table = self
            .property("py-io-impl", "pyiceberg.io.pyarrow.PyArrowFileIO")
            .property("adls.account-name", &azure.account)
            .property("adls.account-key", &azure.key);
        let of_blobs = table.property("adls.blob-storage-authority", &azure.host).property("adls.blob-storage-scheme", "http");
        of_blobs.property("adls.dfs-storage-authority", &azure.host).property("adls.dfs-storage-scheme", "http")
    }

    /// The same, with its files on HDFS.
    pub(crate) fn on_hdfs(mut self, hdfs: &Hdfs) -> Self {
        self.arguments.extend(["--hdfs-http".to_owned(), hdfs.http.clone()]);
        self
    }

    fn property(mut self, key: &str, value: &str) -> Self {
        self.arguments.extend(["--property".to_owned(), format!("{key}={value}")]);
        self
    }

    /// What `scripts/reader check` tells of the table; `more` are its options, such as `--unique p,o`.
    pub(crate) async fn check(&self, more: &[&str]) -> Value {
        self.call("check", more).await
    }

    /// Adds the rows of a file (one JSON object a line), as a foreign writer does; makes the table if there is none.
    pub(crate) async fn append(&self, rows: &Path) -> Value {
        self.call("append", &[rows.to_str().unwrap()]).await
    }

    /// Changes the table as a foreign writer does; `step` is an object with one entry, as `scripts/reader change --help` lists them.
    pub(crate) async fn change(&self, step: Value) -> Value {
        self.call("change", &[&step.to_string()]).await
    }

    /// Expires every snapshot but the current one, as another engine's upkeep does.
    pub(crate) async fn expire(&self) -> Value {
        self.call("expire", &[]).await
    }

    /// Which files below the table's location nobody refers to, and which are referred to and not there.
    pub(crate) async fn reach(&self) -> Value {
        self.call("reach", &[]).await
    }

    /// The rows of the tables' snapshots as each reader finds them; `more` are options, such as `--rewrites`.
    pub(crate) async fn contents(&self, more: &[&str]) -> Value {
        self.call("contents", more).await
    }

    /// Makes tables of many small files in the namespace.
    pub(crate) async fn scenes(&self) -> Value {
        self.call("scenes", &[]).await
    }

    /// Appends, deletes and overwrites rows, each time after somebody else has committed.
    pub(crate) async fn churn(&self, steps: u64, seed: u64) -> Value {
        self.call("churn", &["--steps", &steps.to_string(), "--seed", &seed.to_string()]).await
    }

    /// Compares the table with what its history says; `told` is a file with what [`Self::churn`] has told.
    pub(crate) async fn replay(&self, told: &Path, partitions: u64) -> Value {
        self.call("replay", &[told.to_str().unwrap(), "--partitions", &partitions.to_string()]).await
    }

    async fn call(&self, command: &str, more: &[&str]) -> Value {
        let mut arguments = vec![command, &self.name];
        arguments.extend(self.arguments.iter().map(String::as_str));
        arguments.extend(more);
        answered(SCRIPT, arguments).await
    }
}

/// Iceberg's own Java classes, which write deletes and judge tables that have them.
#[derive(Debug, Clone)]
pub(crate) struct IcebergRows {
    properties: Vec<String>,
}

impl IcebergRows {
    /// On a SQL catalog in a SQLite file.
    pub(crate) fn of_sqlite(catalog: &Path, warehouse: &str) -> Self {
        Self { properties: vec![format!("uri=jdbc:sqlite:{}", catalog.display()), format!("warehouse={warehouse}")] }
    }

    /// On a REST catalog.
    pub(crate) fn of_rest(uri: &str) -> Self {
        Self { properties: vec![format!("uri={uri}")] }
    }

    /// Takes steps, an array of them for each table, as `scripts/judges/IcebergRows.java` lists them; what the last one of each tells.
    pub(crate) async fn take(&self, steps: Value) -> Value {
        let steps = steps.to_string();
        answered(JAVA, self.properties.iter().chain([&steps])).await
    }
}

async fn answered<A: AsRef<OsStr>>(script: &str, arguments: impl IntoIterator<Item = A>) -> Value {
    let output = Workdir::new().program(script, arguments).output(LIMIT).await.succeeded();
    serde_json::from_str(&output.stdout).unwrap()
}
