//! Files that nobody needs: what lies in a warehouse and is in no table, wherever the warehouse is.

use futures::TryStreamExt;
use serde_json::json;
use weir_fs::FileSystems;

use crate::support::Table;

/// The paths below `uri` in its store.
pub(crate) async fn paths_below(files: &FileSystems, uri: &str) -> Vec<String> {
    let folder = files.resolve(uri).unwrap();
    let listed: Vec<_> = folder.store.list(Some(&folder.path)).try_collect().await.unwrap();
    listed.into_iter().map(|object| object.location.to_string()).collect()
}

/// Fails the test unless the files below the table's location are those that its metadata names, each of them, as PyIceberg reads it; and unless
/// nothing is left of Weir's own objects beside the metadata.
pub(crate) async fn nothing_is_left(table: &Table) {
    nothing_is_left_but(table, |_| false).await;
}

/// The same, with files that nobody refers to and that are `known`.
pub(crate) async fn nothing_is_left_but(table: &Table, known: impl Fn(&str) -> bool) {
    let reach = table.reach().await;
    let left = reach["unreferenced"].as_array().unwrap().iter().filter(|path| !known(path.as_str().unwrap())).count();
    assert_eq!((left, &reach["missing"], &reach["own"]), (0, &json!([]), &json!([])), "{reach}");
}
