//! Orphans of real tables: what nothing refers to goes, and nothing else.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};

use arrow_schema::{DataType, Field, Schema as ArrowSchema};
use chrono::{TimeDelta, Utc};

use super::replace::{append, replacement};
use super::support::{catalog, create, data_file, files_in, sqlite, table_id};
use crate::commit::TableCommitter;
use crate::error::CatalogError;
use crate::lake::{LakeCatalog, LakeTable, TableId, TableSpec};
use crate::read::data_files;
use crate::schema::lake_schema;
use crate::upkeep::orphans::{Equal, OrphanRules, Orphans, PrefixMismatch, Progress, remove_orphans};
use crate::upkeep::{Journal, Keeper};
use crate::verify::{Depth, Quiet, verify};

/// Every file is old enough.
fn rules() -> OrphanRules {
    OrphanRules {
        older_than: Utc::now() + TimeDelta::hours(1),
        location: None,
        equal: Equal::default(),
        prefix_mismatch: PrefixMismatch::Error,
        needed: Vec::new(),
        batch: 2,
        dry_run: false,
    }
}

#[derive(Debug, Default)]
struct Told(Mutex<Vec<String>>);

impl Progress for Told {
    fn tables(&self, _: usize, _: usize) {}

    fn manifests(&self, _: usize, _: usize) {}

    fn listed(&self, _: u64) {}

    fn orphan(&self, uri: &str, _: u64) {
        self.0.lock().expect("whole").push(uri.to_owned());
    }
}

async fn remove(catalog: &Arc<dyn LakeCatalog>, rules: &OrphanRules) -> Result<(Orphans, BTreeSet<String>), CatalogError> {
    let told = Told::default();
    let orphans = remove_orphans(catalog, &table_id(), rules, &told).await?;
    Ok((orphans, told.0.into_inner().expect("whole").into_iter().collect()))
}

fn folder_of(table: &LakeTable) -> String {
    table.metadata.location().trim_start_matches("file://").to_owned()
}

/// Makes a file below the table, and gives its URI.
fn file(table: &LakeTable, name: &str) -> String {
    let path = format!("{}/{name}", folder_of(table));
    std::fs::create_dir_all(Path::new(&path).parent().expect("a folder")).expect("made");
    std::fs::write(&path, b"four").expect("written");
    format!("file://{path}")
}

/// A table with a past: files of its first snapshots are in no newer one.
async fn table_with_past(catalog: &Arc<dyn LakeCatalog>) -> LakeTable {
    let table = create(catalog, &[]).await;
    let before = append(catalog, &table, 1..=3).await;
    let change = replacement(&before, data_files(&before, None).await.expect("read"), vec![data_file(&table, 21).await]);
    TableCommitter::of(catalog, &table_id()).replace(&change).await.expect("replaced");
    append(catalog, &table, 4..=4).await
}

#[tokio::test]
async fn only_what_nothing_refers_to_goes() {
    let folder = tempfile::tempdir().expect("folder");
    let catalog = sqlite(folder.path());
    let table = table_with_past(&catalog).await;
    let before: BTreeSet<String> = files_in(Path::new(&folder_of(&table)), "").into_iter().collect();
    let orphans = ["data/lost.parquet", "data/day=1/lost.parquet", "data/_hour=3/lost.parquet", "metadata/lost-m0.avro", "stray"]
        .map(|name| file(&table, name));
    let kept = ["data/_SUCCESS", "data/.part.crc", "_logs/x", "metadata/version-hint.text"].map(|name| file(&table, name));
    let begun = file(&table, "data/begun.parquet");
    let work = Journal::new(&catalog, &table, Keeper::Command).begin(&table);
    work.files(std::slice::from_ref(&begun)).await.expect("written down");
    work.commit(77).await.expect("written down");
    let commit = file(&table, &format!("metadata/{}-m0.avro", crate::metadata_file::uuid_for(77)));
    let checkpointed = file(&table, "data/in-a-checkpoint.parquet");
    let rules = OrphanRules { needed: vec![checkpointed.clone()], ..rules() };

    let (dry, told) = remove(&catalog, &OrphanRules { dry_run: true, ..rules.clone() }).await.expect("looked");
    assert_eq!((dry.orphans, dry.bytes, dry.failed, &told), (5, 20, 0, &orphans.iter().cloned().collect()));
    assert!(orphans.iter().all(|uri| Path::new(uri.trim_start_matches("file://")).exists()), "a dry run deletes nothing");

    let (done, told) = remove(&catalog, &rules).await.expect("removed");
    assert_eq!((done.orphans, done.failed, &told), (5, 0, &orphans.iter().cloned().collect()));
    let entries: BTreeSet<String> =
        files_in(Path::new(&folder_of(&table)), ".json").into_iter().filter(|path| path.contains("_weir-upkeep")).collect();
    assert_eq!(entries.len(), 2, "the journal is left alone");
    let expected = kept.into_iter().chain([begun, checkpointed, commit]).map(|uri| uri.trim_start_matches("file://").to_owned());
    let expected: BTreeSet<String> = before.into_iter().chain(expected).chain(entries).collect();
    assert_eq!(files_in(Path::new(&folder_of(&table)), "").into_iter().collect::<BTreeSet<_>>(), expected);
    let report = verify(&catalog, &table_id(), Depth::Files, &Quiet).await.expect("verified");
    assert!(report.passed(), "{report}");
    assert_eq!(remove(&catalog, &rules).await.expect("nothing is left").0.orphans, 0);
}

#[tokio::test]
async fn what_is_young_stays() {
    let folder = tempfile::tempdir().expect("folder");
    let catalog = sqlite(folder.path());
    let table = table_with_past(&catalog).await;
    let (young, old) = (file(&table, "data/young.parquet"), file(&table, "data/old.parquet"));
    let three_days = TimeDelta::days(3);
    let aged = std::fs::File::options().write(true).open(old.trim_start_matches("file://")).expect("there");
    aged.set_modified((Utc::now() - TimeDelta::days(4)).into()).expect("aged");
    let (done, told) = remove(&catalog, &OrphanRules { older_than: Utc::now() - three_days, ..rules() }).await.expect("removed");
    assert_eq!((done.young, told), (1, BTreeSet::from([old])));
    assert!(Path::new(young.trim_start_matches("file://")).exists());
}

async fn other_table(catalog: &Arc<dyn LakeCatalog>, name: &str, location: &str) {
    let columns = ArrowSchema::new(vec![Field::new("id", DataType::Int64, true)]);
    let schema = lake_schema(&columns, &[]).expect("schema");
    let spec = TableSpec { schema, partitioned_by: Vec::new(), properties: Default::default(), location: Some(location.to_owned()) };
    let id = TableId { table: name.to_owned(), ..table_id() };
    catalog.create(&id, &spec).await.expect("created");
}

#[tokio::test]
async fn tables_within_the_table_are_left_alone_whatever_catalog_has_them() {
    let folder = tempfile::tempdir().expect("folder");
    let catalog = sqlite(folder.path());
    let table = table_with_past(&catalog).await;
    other_table(&catalog, "inner", &format!("{}/data/inner", table.metadata.location())).await;
    // No catalog here knows this one.
    file(&table, "elsewhere/metadata/00000-x.metadata.json");
    let (foreign, orphan) = (file(&table, "elsewhere/data/x.parquet"), file(&table, "data/x.parquet"));
    let inner = file(&table, "data/inner/data/x.parquet");
    let (done, told) = remove(&catalog, &rules()).await.expect("removed");
    assert_eq!(told, BTreeSet::from([orphan]));
    assert_eq!(done.tables[0], "shop.inner");
    assert!(done.tables.len() == 2 && done.tables[1].ends_with("/elsewhere"), "{:?}", done.tables);
    for uri in [foreign, inner] {
        assert!(Path::new(uri.trim_start_matches("file://")).exists(), "{uri}");
    }
}

#[tokio::test]
async fn a_table_whose_files_cannot_be_told_from_anothers_is_refused() {
    let folder = tempfile::tempdir().expect("folder");
    let catalog = sqlite(folder.path());
    let table = table_with_past(&catalog).await;
    let orphan = file(&table, "data/x.parquet");
    let refused = async |rules: OrphanRules, part: &str| {
        let error = remove(&catalog, &rules).await.expect_err(part).to_string();
        assert!(error.contains(part), "{error}");
    };
    refused(OrphanRules { location: Some(format!("file://{}", folder.path().display())), ..rules() }, "is no folder of table `lake.shop.orders`")
        .await;
    other_table(&catalog, "twin", table.metadata.location()).await;
    refused(rules(), "is one of table `lake.shop.twin` too").await;
    assert!(Path::new(orphan.trim_start_matches("file://")).exists());

    let guarded = sqlite(tempfile::tempdir().expect("folder").path());
    create(&guarded, &[("gc.enabled", "false")]).await;
    let error = remove(&guarded, &rules()).await.expect_err("forbidden").to_string();
    assert!(error.contains("'gc.enabled' = 'false'"), "{error}");
}

#[tokio::test]
async fn the_same_path_under_another_prefix_is_as_the_mode_says() {
    let folder = tempfile::tempdir().expect("folder");
    let catalog = sqlite(folder.path());
    let table = table_with_past(&catalog).await;
    let orphan = file(&table, "data/x.parquet");
    let elsewhere = orphan.replace("file://", "s3://b");
    let with = |mode| OrphanRules { needed: vec![elsewhere.clone()], prefix_mismatch: mode, ..rules() };
    let error = remove(&catalog, &with(PrefixMismatch::Error)).await.expect_err("both may be one").to_string();
    assert!(error.contains(&format!("refers to `{elsewhere}`, and `{orphan}` has the same path")), "{error}");
    assert_eq!(remove(&catalog, &with(PrefixMismatch::Ignore)).await.expect("left").0.orphans, 0);
    let mut equal = Equal::default();
    equal.schemes.insert("s3".to_owned(), "file".to_owned());
    equal.authorities.insert("b".to_owned(), String::new());
    assert_eq!(remove(&catalog, &OrphanRules { equal, ..with(PrefixMismatch::Error) }).await.expect("one file").0.orphans, 0);
    assert_eq!(remove(&catalog, &with(PrefixMismatch::Delete)).await.expect("two files").1, BTreeSet::from([orphan]));
}

#[tokio::test]
async fn files_that_the_metadata_names_by_what_an_alias_is_bound_to_are_known() {
    let folder = tempfile::tempdir().expect("folder");
    let (root, uri) = (folder.path().display().to_string(), format!("sqlite:{}/catalog.db", folder.path().display()));
    let catalog = catalog(&[
        ("catalog-type", "sql"),
        ("uri", &uri),
        ("warehouse", "aa:///warehouse"),
        ("fs.alias.aa.scheme", "file"),
        ("fs.alias.aa.root", &root),
    ]);
    let table = table_with_past(&catalog).await;
    assert!(table.metadata.location().starts_with("file://"), "bound: {}", table.metadata.location());
    let orphan = file(&table, "data/x.parquet");
    let (done, told) = remove(&catalog, &rules()).await.expect("removed");
    assert_eq!(told, BTreeSet::from([orphan.replace(&format!("file://{root}"), "aa://")]));
    assert!(!Path::new(orphan.trim_start_matches("file://")).exists() && done.referred > 10);
    let report = verify(&catalog, &table_id(), Depth::Files, &Quiet).await.expect("verified");
    assert!(report.passed(), "{report}");
}
