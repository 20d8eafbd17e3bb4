//! Catalogs, tables and files to test with.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema as ArrowSchema};
use iceberg::spec::{DataContentType, DataFile, DataFileBuilder, DataFileFormat, Struct};
use uuid::Uuid;
use weir_base::options::OptionBag;
use weir_fs::{FaultPlan, FileSystems};

use crate::commit::{Append, ExpireRules, Expired, TableCommitter};
use crate::error::CatalogError;
use crate::lake::{LakeCatalog, LakeTable, TableId, TableSpec};
use crate::marker::{Cuts, SplitId, SplitPosition};
use crate::schema::lake_schema;
use crate::upkeep::{Journal, Keeper};

pub(crate) fn table_id() -> TableId {
    TableId { database: "shop".to_owned(), table: "orders".to_owned() }
}

pub(crate) fn catalog(entries: &[(&str, &str)]) -> Arc<dyn LakeCatalog> {
    catalog_on(&FileSystems::default(), entries)
}

fn catalog_on(file_systems: &FileSystems, entries: &[(&str, &str)]) -> Arc<dyn LakeCatalog> {
    let mut bag = OptionBag::new("Catalog 'lake'");
    bag.insert("type", "iceberg", None);
    for (key, value) in entries {
        bag.insert(*key, *value, None);
    }
    crate::open("lake", &mut bag, file_systems).expect("options are right").catalog
}

/// The catalogs that several processes may use: `process` opens one of its own on given file systems.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Sqlite,
    Hadoop,
}

impl Kind {
    pub(crate) fn process(self, folder: &Path, file_systems: &FileSystems) -> Arc<dyn LakeCatalog> {
        let warehouse = format!("file://{}/warehouse", folder.display());
        match self {
            Self::Sqlite => {
                let uri = format!("sqlite:{}/deep/er/catalog.db", folder.display());
                catalog_on(file_systems, &[("catalog-type", "sql"), ("uri", &uri), ("warehouse", &warehouse)])
            }
            Self::Hadoop => catalog_on(file_systems, &[("catalog-type", "hadoop"), ("warehouse", &warehouse)]),
        }
    }
}

/// Lets `work` run in a process that is killed before its request number `nth` to a store; true if it was, false if it had ended by then.
pub(crate) async fn killed_at(kind: Kind, folder: &Path, nth: u32, work: impl AsyncFnOnce(Arc<dyn LakeCatalog>)) -> bool {
    let plan = FaultPlan::parse(&format!("*@{nth}=delay:86400000")).expect("a plan");
    let catalog = kind.process(folder, &FileSystems::default().with_faults(plan.clone()));
    let hangs = async {
        while !plan.idle().is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        biased;
        () = hangs => true,
        () = work(catalog) => false,
    }
}

/// A catalog object of its own on the SQLite file and warehouse in `folder`: to the others it is another process.
pub(crate) fn sqlite(folder: &Path) -> Arc<dyn LakeCatalog> {
    Kind::Sqlite.process(folder, &FileSystems::default())
}

/// A `hadoop` catalog object of its own on the warehouse in `folder`.
pub(crate) fn hadoop(folder: &Path) -> Arc<dyn LakeCatalog> {
    Kind::Hadoop.process(folder, &FileSystems::default())
}

pub(crate) fn memory() -> Arc<dyn LakeCatalog> {
    catalog(&[("catalog-type", "memory"), ("warehouse", &format!("memory://{}/w", Uuid::new_v4()))])
}

pub(crate) async fn create(catalog: &Arc<dyn LakeCatalog>, properties: &[(&str, &str)]) -> LakeTable {
    create_of(catalog, &ArrowSchema::new(vec![Field::new("id", DataType::Int64, true)]), properties).await
}

/// A table of these columns; their field ids count from 1.
pub(crate) async fn create_of(catalog: &Arc<dyn LakeCatalog>, columns: &ArrowSchema, properties: &[(&str, &str)]) -> LakeTable {
    let properties: HashMap<String, String> = properties.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let spec = TableSpec { schema: lake_schema(columns, &[]).expect("schema"), partitioned_by: Vec::new(), properties, location: None };
    if !catalog.database_exists("shop").await.expect("asked") {
        catalog.create_database("shop", &Default::default()).await.expect("created");
    }
    catalog.create(&table_id(), &spec).await.expect("created")
}

/// A file of `records` rows that really lies in the warehouse, with `records` bytes.
pub(crate) async fn data_file(table: &LakeTable, records: u64) -> DataFile {
    let path = format!("{}/data/{}.parquet", table.metadata.location(), Uuid::new_v4());
    let bytes = vec![0_u8; usize::try_from(records).expect("small")];
    table.file_io.new_output(&path).expect("path").write(bytes.into()).await.expect("written");
    DataFileBuilder::default()
        .content(DataContentType::Data)
        .file_path(path)
        .file_format(DataFileFormat::Parquet)
        .partition(Struct::empty())
        .partition_spec_id(0)
        .record_count(records)
        .file_size_in_bytes(records)
        .build()
        .expect("complete")
}

pub(crate) fn cuts(offset: i64) -> Cuts {
    let position = SplitPosition { offset, incarnation: None };
    Cuts::from([("orders".to_owned(), [(SplitId("orders/0".to_owned()), position)].into())])
}

/// Epoch `epoch` on top of `previous`: cuts go from the one to the other, `10 * epoch` being the offset after an epoch.
pub(crate) async fn epoch_of(table: &LakeTable, job: &str, previous: Option<u64>, epoch: u64) -> Append {
    let offset = |epoch: u64| i64::try_from(epoch).expect("small") * 10;
    Append {
        table_uuid: table.metadata.uuid().to_string(),
        branch: None,
        snapshot_id: i64::from_str_radix(&Uuid::new_v4().simple().to_string()[..15], 16).expect("hex"),
        job: job.to_owned(),
        sink: "out".to_owned(),
        epoch,
        previous_epoch: previous,
        from: cuts(offset(previous.unwrap_or(0))),
        to: cuts(offset(epoch)),
        gaps: Vec::new(),
        files: vec![data_file(table, 7).await],
        sequence_number: None,
        replaced: None,
    }
}

/// Names of the files in a folder of the table, sorted.
pub(crate) fn files_in(folder: &Path, end: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("readable") {
            let entry = entry.expect("entry");
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else if entry.file_name().to_string_lossy().ends_with(end) {
                found.push(entry.path().display().to_string());
            }
        }
    }
    found.sort_unstable();
    found
}

/// What is old of a job's own, by the rules of the table.
pub(crate) async fn expire(committer: &TableCommitter, job: &str) -> Result<Expired, CatalogError> {
    let table = committer.refresh().await?;
    let rules = ExpireRules { only_job: Some(job.to_owned()), ..ExpireRules::default() };
    committer.expire(&rules, &Journal::new(committer.catalog(), &table, Keeper::Command)).await
}
