//! The promises of every store on real servers: two HDFS clusters and two S3 endpoints, each as it is and behind an alias with a root, and that
//! also through faults. Disk and memory have the same in `weir-fs`.

use std::collections::BTreeMap;

use futures::TryStreamExt;
use weir_fs::conformance::{check_all, check_all_through_faults};
use weir_fs::{FileSystems, Location};

use crate::fs_stores::raw_names;
use crate::orders::LIMIT;
use crate::support::{Hdfs, S3, Servers, until};

/// The store of `keys` at `base`, and the same behind the alias `own`, which `of_alias` declares but for its root.
async fn keep_the_promises(base: &str, keys: &[(&str, &str)], of_alias: &[(&str, &str)]) -> [Location; 2] {
    let place = format!("conformance {} ä%20", uuid::Uuid::new_v4().simple());
    let plain = FileSystems::new(owned(keys, ""));
    let mut aliased = owned(of_alias, "fs.alias.own.");
    aliased.insert("fs.alias.own.root".to_owned(), format!("/{place}/rooted"));
    let aliased = FileSystems::new(aliased);
    let below_root = format!("own://{}/it", base.split_once("://").unwrap().1);
    for (file_systems, uri) in [(&plain, format!("{base}/{place}")), (&aliased, below_root)] {
        check_all(&file_systems.resolve(&format!("{uri}/as it is")).unwrap()).await;
        check_all_through_faults(file_systems, &format!("{uri}/through faults")).await;
    }
    [plain.resolve(&format!("{base}/{place}")).unwrap(), plain.resolve(&format!("{base}/{place}/rooted/it")).unwrap()]
}

fn owned(keys: &[(&str, &str)], prefix: &str) -> BTreeMap<String, String> {
    keys.iter().map(|(key, value)| (format!("{prefix}{key}"), (*value).to_owned())).collect()
}

/// Through the real name, everything that was written is there; what was written through the alias is below its root.
async fn is_full(at: &Location) {
    let listed: Vec<_> = at.store.list(Some(&at.path)).try_collect().await.unwrap();
    assert!(listed.len() > 2 * 64, "{} files in `{}`", listed.len(), at.uri);
}

async fn an_hdfs_keeps_the_promises(hdfs: &Hdfs, base: &str) {
    let conf = hdfs.conf_ns1.display().to_string();
    for at in keep_the_promises(base, &[("hadoop-conf-dir", &conf)], &[("scheme", "hdfs"), ("conf-dir", &conf)]).await {
        is_full(&at).await;
        until("nothing hidden is left", LIMIT, async || {
            let names = raw_names(&hdfs.uri, &at.path).await;
            names.iter().all(|name| !name.ends_with(".tmp")).then_some(())
        })
        .await;
    }
}

async fn an_s3_keeps_the_promises(s3: &S3) {
    let base = format!("s3://{}", s3.bucket);
    let keys = [("s3.endpoint", &*s3.endpoint), ("s3.access-key-id", &s3.access_key), ("s3.secret-access-key", &s3.secret_key)];
    // Another family of schemes, with its own spelling of the keys.
    let of_alias = [
        ("scheme", "oss"),
        ("option.fs.oss.endpoint", &*s3.endpoint),
        ("option.fs.oss.accessKeyId", &s3.access_key),
        ("option.fs.oss.accessKeySecret", &s3.secret_key),
    ];
    for at in keep_the_promises(&base, &keys, &of_alias).await {
        is_full(&at).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hdfs_keeps_the_promises_of_a_store() {
    // Its configuration says which cluster that is.
    an_hdfs_keeps_the_promises(&Servers::shared().hdfs(), "hdfs://").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_hdfs_of_the_same_name_keeps_the_promises_of_a_store() {
    an_hdfs_keeps_the_promises(&Servers::shared().hdfs_b(), "hdfs://ns1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_keeps_the_promises_of_a_store() {
    an_s3_keeps_the_promises(&Servers::shared().s3()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_s3_keeps_the_promises_of_a_store() {
    an_s3_keeps_the_promises(&Servers::shared().s3_b()).await;
}
