//! Files that nobody needs: what lies in a warehouse and is in no table, wherever the warehouse is.

use futures::TryStreamExt;
use serde_json::Value;
use weir_fs::FileSystems;

use crate::support::Table;

/// The paths below `uri` in its store.
pub(crate) async fn paths_below(files: &FileSystems, uri: &str) -> Vec<String> {
    let folder = files.resolve(uri).unwrap();
    let listed: Vec<_> = folder.store.list(Some(&folder.path)).try_collect().await.unwrap();
    listed.into_iter().map(|object| object.location.to_string()).collect()
}

/// Every Parquet file in the warehouse is in the table, as PyIceberg has `checked` it, and the other way round.
pub(crate) async fn no_orphans(files: &FileSystems, warehouse: &str, checked: &Value) {
    let mut stored = paths_below(files, warehouse).await;
    stored.retain(|path| path.ends_with(".parquet"));
    let in_use = checked["files"].as_array().unwrap().iter().map(|file| file["path"].as_str().unwrap());
    let mut in_use: Vec<String> = in_use.map(|uri| files.resolve(uri).unwrap().path.to_string()).collect();
    stored.sort();
    in_use.sort();
    assert_eq!(stored, in_use);
}

/// Names of manifests, manifest lists and metadata files that lie in the table's metadata folder and are not in use, as PyIceberg sees it.
/// Metadata files of a time that the table's log no longer tells do not count.
pub(crate) async fn unused_metadata(files: &FileSystems, table: &Table) -> Vec<String> {
    let name = |path: &str| path.rsplit('/').next().unwrap().to_owned();
    let found = table.check(&["--metadata"]).await;
    let of = |key: &str| found["metadata"][key].as_array().unwrap().iter().map(|path| name(path.as_str().unwrap())).collect::<Vec<_>>();
    let (versions, lists, manifests) = (of("files"), of("lists"), of("manifests"));
    let used: Vec<&String> = versions.iter().chain(&lists).chain(&manifests).collect();
    let stored = paths_below(files, &format!("{}/metadata", found["location"].as_str().unwrap())).await;
    let stored: Vec<String> = stored.iter().map(|path| name(path)).collect();
    assert!(used.iter().all(|name| stored.contains(name)), "{used:?} are not all in {stored:?}");
    let mut unused: Vec<String> = stored.into_iter().filter(|name| !used.contains(&name)).collect();
    unused.retain(|name| name.ends_with(".avro") || (name.ends_with(".metadata.json") && name.as_str() >= &versions[0][..5]));
    unused
}
