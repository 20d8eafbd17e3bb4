//! Azure and Google Cloud Storage: the promises of a store, and whole jobs. Azure's server is Microsoft's own for tests; of Google's protocol there is none to be
//! had, so a small one of these tests stands in for it.

use object_store::{Error, ObjectStore};
use weir_fs::{FileSystems, FirstPut, Location, conformance};

use crate::orders::{LIMIT, Setting, holds_exactly, run, send, sqlite};
use crate::support::{Azure, Servers, SmallStore, Table};

fn resolve(properties: &[(&str, &str)], base: &str) -> Location {
    let properties = properties.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    FileSystems::new(properties).resolve(&format!("{base}/clouds-{}", uuid::Uuid::new_v4().simple())).unwrap()
}

fn of_azure(azure: &Azure) -> [(&str, &str); 3] {
    [("adls.account-name", &azure.account), ("adls.account-key", &azure.key), ("adls.endpoint", &azure.endpoint)]
}

/// The WITH of a catalog on SQLite with its warehouse at `root`.
fn catalog(uri: &str, root: &str, properties: &[(&str, &str)]) -> String {
    let more: String = properties.iter().map(|(key, value)| format!(", '{key}' = '{value}'")).collect();
    format!("'catalog-type' = 'sql', 'uri' = '{uri}', 'warehouse' = '{root}'{more}")
}

#[tokio::test(flavor = "multi_thread")]
async fn azure_keeps_the_promises_of_a_store() {
    let azure = Servers::shared().azure();
    let at = resolve(&of_azure(&azure), &format!("abfs://{}", azure.container));
    // Azure takes `\` in a name for `/`.
    conformance::check_all_but_names(&at).await;
    let claim = || at.store.put_opts(&at.path, "mine".into(), FirstPut::Strict.into());
    claim().await.unwrap();
    assert!(matches!(claim().await, Err(Error::AlreadyExists { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn azure_keeps_the_promises_of_a_store_behind_an_alias_in_the_words_of_hadoop() {
    let azure = Servers::shared().azure();
    let host = format!("{}.dfs.core.windows.net", azure.account);
    let key = format!("fs.alias.lake.option.fs.azure.account.key.{host}");
    let authority = format!("{}@{host}", azure.container);
    let alias = [
        ("fs.alias.lake.scheme", "abfss"),
        ("fs.alias.lake.authority", &authority),
        ("fs.alias.lake.root", "/a root ä%20"),
        ("fs.alias.lake.option.adls.endpoint", &azure.endpoint),
        (&key, &azure.key),
    ];
    conformance::check_all_but_names(&resolve(&alias, "lake://")).await;
}

#[tokio::test]
async fn a_job_runs_on_azure_and_keeps_its_checkpoints_there() {
    let (azure, brokers) = (Servers::shared().azure(), Servers::shared().kafka());
    let Setting { folder, topic, mut job } = Setting::on_disk(&brokers, 2).await;
    let sent = send(&topic, 2, 0..1_000).await;
    let root = format!("abfs://{}/job-{}", azure.container, uuid::Uuid::new_v4().simple());
    job.catalog = catalog(&sqlite(&folder), &format!("{root}/warehouse"), &of_azure(&azure));
    job.checkpoints = format!("{root}/checkpoints");
    job.settings = of_azure(&azure).iter().map(|(key, value)| format!("SET '{key}' = '{value}';\n")).collect();
    let done = folder.weir(run(&job.write(&folder))).output(LIMIT).await.succeeded();
    assert!(!done.stderr.contains(&azure.key) && !done.stdout.contains(&azure.key));
    let table = Table::of_sql("shop.orders", "lake", &sqlite(&folder), &format!("{root}/warehouse")).on_azure(&azure);
    holds_exactly(&table, &sent).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn google_cloud_storage_keeps_the_promises_of_a_store() {
    let google = SmallStore::start().await;
    let at = resolve(&[("gcs.service.host", google.uri()), ("gcs.oauth2.token", "a-token")], "gs://bucket");
    conformance::check_all(&at).await;
    let claim = || at.store.put_opts(&at.path, "mine".into(), FirstPut::Strict.into());
    claim().await.unwrap();
    assert!(matches!(claim().await, Err(Error::AlreadyExists { .. })));
    assert_eq!(google.proofs().into_iter().collect::<Vec<_>>(), ["Bearer a-token"]);
}

#[tokio::test]
async fn a_job_runs_on_google_cloud_storage_behind_an_alias_in_the_words_of_hadoop() {
    let (google, brokers) = (SmallStore::start().await, Servers::shared().kafka());
    let Setting { folder, topic, mut job } = Setting::on_disk(&brokers, 2).await;
    send(&topic, 2, 0..1_000).await;
    let alias = [
        ("fs.alias.lakegs.scheme", "gs"),
        ("fs.alias.lakegs.authority", "bucket"),
        ("fs.alias.lakegs.option.fs.gs.storage.root.url", google.uri()),
        ("fs.alias.lakegs.option.fs.gs.auth.null.enable", "true"),
    ];
    job.settings = alias.iter().map(|(key, value)| format!("SET '{key}' = '{value}';\n")).collect();
    job.catalog = catalog(&sqlite(&folder), "lakegs:///warehouse", &[]);
    job.checkpoints = "lakegs:///checkpoints".to_owned();
    let file = job.write(&folder);
    folder.weir(run(&file)).output(LIMIT).await.succeeded();
    let query = "SELECT count(*) AS n, sum(id) AS s FROM lake.shop.orders";
    let arguments = ["sql".as_ref(), "--init".as_ref(), file.as_os_str(), "--format".as_ref(), "json".as_ref(), "-e".as_ref(), query.as_ref()];
    let answer = folder.weir::<&std::ffi::OsStr>(arguments).output(LIMIT).await.succeeded();
    let answer: serde_json::Value = serde_json::from_str(answer.stdout.trim()).unwrap();
    assert_eq!((&answer["n"], &answer["s"]), (&1_000.into(), &499_500.into()));
    let names = google.names();
    assert!(names.iter().any(|name| name.starts_with("/bucket/checkpoints/orders/")), "{names:?}");
    assert!(names.iter().any(|name| name.starts_with("/bucket/warehouse/shop/orders/data/")), "{names:?}");
    assert!(google.proofs().iter().all(|proof| proof.trim() == "Bearer"), "{:?}", google.proofs());
}
