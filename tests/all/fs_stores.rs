//! The stores of weir-fs on a real HDFS and a real S3 server: what happens when servers are silent, die, or lose their answers.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use axum::http::Method;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode};
use weir_base::ErrorKind;
use weir_fs::{FileSystems, Location, kind_of};

use crate::support::{Fault, Proxy, Servers, Wire, until};

const LIMIT: Duration = Duration::from_secs(60);

fn file_systems(properties: &[(&str, &str)]) -> FileSystems {
    FileSystems::new(properties.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
}

/// Limits under which a dead server is reported while a test waits.
const IMPATIENT: [(&str, &str); 2] = [("fs.request.deadline", "8 s"), ("fs.request.timeout", "3 s")];

fn s3_at(endpoint: &str) -> Location {
    let s3 = Servers::shared().s3();
    let properties = [
        ("s3.endpoint", endpoint),
        ("s3.access-key-id", &s3.access_key),
        ("s3.secret-access-key", &s3.secret_key),
        ("s3.region", &s3.region),
        ("s3.path-style-access", "true"),
    ];
    file_systems(&properties).resolve(&format!("s3://{}/fs-{}", s3.bucket, uuid::Uuid::new_v4().simple())).unwrap()
}

/// A folder of the test's own at `base`, an `hdfs://host:port`.
fn hdfs_at(base: &str, properties: &[(&str, &str)]) -> Location {
    file_systems(properties).resolve(&format!("{base}/fs-{}", uuid::Uuid::new_v4().simple())).unwrap()
}

/// All names in an HDFS folder, also those that a store hides, by a client of its own.
pub(crate) async fn raw_names(base: &str, folder: &Path) -> Vec<String> {
    let client = hdfs_native::ClientBuilder::new().with_url(base).with_config_dir("/nonexistent").build().unwrap();
    let listed = client.list_status(&format!("/{folder}"), true).await.unwrap();
    listed.into_iter().filter_map(|status| status.path.rsplit('/').next().map(str::to_owned)).collect()
}

async fn content(at: &Location, path: &Path) -> bytes::Bytes {
    at.store.get(path).await.unwrap().bytes().await.unwrap()
}

#[tokio::test]
async fn hdfs_knows_its_own_file_when_the_answer_of_the_rename_is_lost() {
    let hdfs = Servers::shared().hdfs();
    let wire = Wire::before(hdfs.uri.strip_prefix("hdfs://").unwrap()).await;
    let at = hdfs_at(&format!("hdfs://{}", wire.address()), &[]);
    let path = at.path.clone().join("claim");
    wire.lose("rename2", 1);
    at.store.put_opts(&path, "mine".into(), PutMode::Create.into()).await.unwrap();
    assert_eq!(wire.left(), 0);
    let late = at.store.put_opts(&path, "mine".into(), PutMode::Create.into()).await;
    assert!(matches!(late, Err(object_store::Error::AlreadyExists { .. })), "{late:?}");

    wire.lose("rename2", 1);
    let lost = at.store.put_opts(&path, "other".into(), PutMode::Create.into()).await;
    assert!(matches!(lost, Err(object_store::Error::AlreadyExists { .. })), "{lost:?}");
    assert_eq!(content(&at, &path).await, "mine");

    wire.lose("rename2", 1);
    let mut upload = at.store.put_multipart(&path).await.unwrap();
    upload.put_part("parts".into()).await.unwrap();
    upload.complete().await.unwrap();
    assert_eq!(content(&at, &path).await, "parts");

    wire.lose("rename2", 1);
    at.store.rename(&path, &at.path.clone().join("moved")).await.unwrap();
    wire.lose("delete", 1);
    at.store.delete(&at.path.clone().join("moved")).await.unwrap();
    for operation in ["create", "addBlock", "complete"] {
        wire.lose(operation, 1);
        at.store.put(&at.path.clone().join(operation), operation.into()).await.unwrap();
        assert_eq!(content(&at, &at.path.clone().join(operation)).await, operation);
    }
    // A rename into a folder that is not there makes it first.
    let (here, elsewhere) = (at.path.clone().join("create"), Path::from(format!("{}-elsewhere/create", at.path)));
    wire.lose("mkdirs", 1);
    at.store.rename(&here, &elsewhere).await.unwrap();
    at.store.rename(&elsewhere, &here).await.unwrap();
    assert_eq!(content(&at, &here).await, "create");
    let place = file_systems(&[]).place(&at.uri).unwrap().child("folder").unwrap();
    let folders = place.folders().unwrap();
    wire.lose("mkdirs", 1);
    folders.make(&place.path().clone().join("below")).await.unwrap();
    wire.lose("delete", 1);
    folders.remove(place.path(), true).await.unwrap();
    assert_eq!(folders.stat(place.path()).await.unwrap(), None);
    assert_eq!(wire.left(), 0, "every answer that was to be lost was lost");
    until("nothing else is left", LIMIT, async || {
        let mut names = raw_names(&hdfs.uri, &at.path).await;
        names.sort();
        (names == ["addBlock", "complete", "create"]).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_hdfs_is_reported_in_time_and_used_again_afterwards() {
    let servers = Servers::own();
    let hdfs = servers.hdfs();
    let at = hdfs_at(&hdfs.uri, &IMPATIENT);
    let path = at.path.clone().join("file");
    // A new cluster may take longer than the impatient wait.
    hdfs_at(&hdfs.uri, &[]).store.put(&path, "before".into()).await.unwrap();
    until("the impatient are answered too", LIMIT, async || at.store.head(&path).await.ok()).await;
    for process in ["hdfs.namenode", "hdfs.datanode"] {
        servers.pause(process);
        let begun = Instant::now();
        let error = at.store.put(&path, "during".into()).await.unwrap_err();
        assert!(begun.elapsed() < Duration::from_secs(20), "{process}: {:?}", begun.elapsed());
        assert_eq!(kind_of(&error), ErrorKind::Transient);
        assert!(error.to_string().contains(&path.to_string()), "{error}");
        if process == "hdfs.namenode" {
            assert!(at.store.head(&path).await.is_err());
        }
        servers.resume(process);
        until("it is used again", LIMIT, async || at.store.put(&path, "after".into()).await.ok()).await;
        assert_eq!(content(&at, &path).await, "after");
    }
    // A create that waited in the paused NameNode may be carried out after its file was deleted: a hidden file can be left, and is in no listing.
    let listed: Vec<_> = at.store.list(Some(&at.path)).try_collect().await.unwrap();
    assert_eq!(listed.into_iter().map(|object| object.location).collect::<Vec<_>>(), [at.path.clone().join("file")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_node_that_dies_is_waited_for() {
    let servers = Servers::own();
    let at = hdfs_at(&servers.hdfs().uri, &[]);
    let path = at.path.clone().join("claim");
    at.store.put(&at.path.clone().join("before"), "x".into()).await.unwrap();
    servers.kill("hdfs.namenode");
    let restart = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        tokio::task::block_in_place(|| servers.start("hdfs"));
    };
    let put = async { at.store.put_opts(&path, "mine".into(), PutMode::Create.into()).await.unwrap() };
    futures::join!(restart, put);
    assert_eq!(content(&at, &path).await, "mine");
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_that_stop_half_way_leave_nothing_in_hdfs() {
    let hdfs = Servers::shared().hdfs();
    let at = hdfs_at(&hdfs.uri, &[]);
    let kept = at.path.clone().join("kept");
    at.store.put(&kept, "x".into()).await.unwrap();
    for micros in [500, 5_000, 20_000, 100_000] {
        let path = at.path.clone().join("dropped");
        let put = at.store.put(&path, vec![0; 3_000_000].into());
        // Dropped in the middle: if it is quicker than that, the file is there and is none of this test's business.
        if tokio::time::timeout(Duration::from_micros(micros), put).await.is_ok() {
            at.store.delete(&path).await.unwrap();
        }
    }
    let mut upload = at.store.put_multipart(&at.path.clone().join("dropped")).await.unwrap();
    upload.put_part(vec![0; 1_000_000].into()).await.unwrap();
    drop(upload);
    until("nothing hidden is left", LIMIT, async || (raw_names(&hdfs.uri, &at.path).await == ["kept"]).then_some(())).await;
}

#[tokio::test]
async fn deleting_a_file_that_was_never_finished_removes_what_its_killed_writer_left() {
    let hdfs = Servers::shared().hdfs();
    let at = hdfs_at(&hdfs.uri, &[]);
    let client = hdfs_native::ClientBuilder::new().with_url(&hdfs.uri).with_config_dir("/nonexistent").build().unwrap();
    for name in ["part-1", "part-2"] {
        let hidden = format!("/{}/.{name}.{}.tmp", at.path, uuid::Uuid::new_v4().simple());
        // Dropped without closing, as by a killed process: an open file.
        drop(client.create(&hidden, hdfs_native::WriteOptions::default()).await.unwrap());
    }
    assert_eq!(raw_names(&hdfs.uri, &at.path).await.len(), 2);
    at.store.delete(&at.path.clone().join("part-1")).await.unwrap();
    let left = raw_names(&hdfs.uri, &at.path).await;
    assert!(left.len() == 1 && left[0].starts_with(".part-2."), "{left:?}");
}

#[tokio::test]
async fn s3_knows_its_own_object_when_the_answer_is_lost() {
    let proxy = Proxy::before(&Servers::shared().s3().endpoint).await;
    let at = s3_at(proxy.uri());
    let path = at.path.clone().join("claim");
    proxy.inject(Method::PUT, "claim", Fault::LoseAnswer(503), 1);
    at.store.put_opts(&path, "mine".into(), PutMode::Create.into()).await.unwrap();
    let late = at.store.put_opts(&path, "mine".into(), PutMode::Create.into()).await;
    assert!(matches!(late, Err(object_store::Error::AlreadyExists { .. })), "{late:?}");

    let uploaded = at.path.clone().join("uploaded");
    let mut upload = at.store.put_multipart(&uploaded).await.unwrap();
    upload.put_part("parts".into()).await.unwrap();
    proxy.inject(Method::POST, "uploadId", Fault::LoseAnswer(500), 1);
    upload.complete().await.unwrap();
    assert_eq!(content(&at, &uploaded).await, "parts");

    for code in [500, 503, 429] {
        proxy.inject(Method::GET, "claim", Fault::Answer(code), 2);
        assert_eq!(content(&at, &path).await, "mine");
    }
    assert_eq!(proxy.left(), 0);
}

#[tokio::test]
async fn an_s3_server_that_is_not_there_is_reported_in_time() {
    let mut properties: BTreeMap<String, String> = IMPATIENT.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    properties.extend(
        [("s3.endpoint", "http://127.0.0.1:1".to_owned()), ("s3.access-key-id", "x".to_owned()), ("s3.secret-access-key", "y".to_owned())]
            .map(|(key, value)| (key.to_owned(), value)),
    );
    let at = FileSystems::new(properties).resolve("s3://bucket/nothing").unwrap();
    let begun = Instant::now();
    let error = at.store.put(&at.path, "x".into()).await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert!(kind_of(&error) == ErrorKind::Transient && error.to_string().contains("s3://bucket/nothing"), "{error}");
}
