//! What every store of Weir promises, as checks that run against any store.
//!
//! Each check takes a [`Location`] whose path is an empty folder of its own, and panics when a promise is broken: they are made for tests,
//! also for those that have a real server at hand.

#![expect(clippy::expect_used, clippy::missing_panics_doc, reason = "these are checks for tests; a broken promise is a panic")]

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{Error, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutPayload, RenameOptions, RenameTargetMode};

use crate::error::is_not_found;
use crate::file_systems::Location;

/// Runs all checks, each in a folder of its own under `at`.
pub async fn check_all(at: &Location) {
    check_all_but_names(at).await;
    names_are_kept(&Location { path: at.path.clone().join("names"), ..at.clone() }).await;
}

/// Runs all checks but that of odd names, for stores that change some.
pub async fn check_all_but_names(at: &Location) {
    let folder = |name: &str| Location { path: at.path.clone().join(name), ..at.clone() };
    objects_come_back_as_they_were_put(&folder("objects")).await;
    put_if_absent_has_one_winner(&folder("race")).await;
    overwriting_is_never_seen_half_done(&folder("overwrite")).await;
    ranges_are_exact(&folder("ranges")).await;
    listing_shows_what_is_there(&folder("list")).await;
    uploads_appear_when_complete(&folder("upload")).await;
    deleting_is_idempotent(&folder("delete")).await;
    copies_and_renames_move_content(&folder("move")).await;
    many_at_once_do_not_mix(&folder("many")).await;
}

fn body(seed: u8, length: usize) -> Bytes {
    (0..length).map(|at| (at as u8).wrapping_mul(31).wrapping_add((at >> 8) as u8).wrapping_add(seed)).collect::<Vec<u8>>().into()
}

async fn read(store: &dyn ObjectStore, path: &Path) -> Bytes {
    store.get(path).await.expect("get").bytes().await.expect("body")
}

async fn names(store: &dyn ObjectStore, prefix: &Path) -> Vec<String> {
    let listed: Vec<ObjectMeta> = store.list(Some(prefix)).try_collect().await.expect("list");
    let mut names: Vec<String> = listed.into_iter().map(|meta| meta.location.as_ref().to_owned()).collect();
    names.sort();
    names
}

/// Empty, small and bigger objects are stored whole; sizes are right; what is not there is `NotFound`.
pub async fn objects_come_back_as_they_were_put(at: &Location) {
    let store = &at.store;
    for length in [0, 1, 1000, 3_000_001] {
        let path = at.path.clone().join(format!("object-{length}"));
        let content = body(1, length);
        store.put(&path, content.clone().into()).await.expect("put");
        assert!(read(store, &path).await == content, "{length} bytes come back");
        assert_eq!(store.head(&path).await.expect("head").size, length as u64);
    }
    let missing = at.path.clone().join("missing");
    assert!(is_not_found(&store.get(&missing).await.expect_err("get of nothing")));
    assert!(is_not_found(&store.head(&missing).await.expect_err("head of nothing")));
    assert!(is_not_found(&store.get_range(&missing, 0..1).await.expect_err("range of nothing")));
}

/// Of many writers of one name exactly one wins, its content stays, and no trace of the losers is left.
pub async fn put_if_absent_has_one_winner(at: &Location) {
    let store = &at.store;
    for round in 0..3 {
        let path = at.path.clone().join(format!("claim-{round}"));
        let racers = (0..12_u8).map(|racer| {
            let path = path.clone();
            async move { (racer, store.put_opts(&path, body(racer, 100).into(), PutMode::Create.into()).await) }
        });
        let results: Vec<_> = futures::future::join_all(racers).await;
        let winners: Vec<u8> = results.iter().filter(|(_, result)| result.is_ok()).map(|(racer, _)| *racer).collect();
        let [winner] = winners.as_slice() else { panic_with(&format!("one winner, not {winners:?}: {results:?}")) };
        assert!(results.iter().all(|(_, result)| matches!(result, Ok(_) | Err(Error::AlreadyExists { .. }))), "{results:?}");
        assert_eq!(read(store, &path).await, body(*winner, 100));
    }
    let folder: Vec<String> = (0..3).map(|round| at.path.clone().join(format!("claim-{round}")).to_string()).collect();
    assert_eq!(names(store, &at.path).await, folder);
}

#[expect(clippy::panic, reason = "a broken promise is a panic")]
fn panic_with(message: &str) -> ! {
    panic!("{message}")
}

/// A reader sees the old object or the new one.
pub async fn overwriting_is_never_seen_half_done(at: &Location) {
    let store = &at.store;
    let path = at.path.clone().join("pointer");
    store.put(&path, body(0, 50_000).into()).await.expect("put");
    let write = async {
        for seed in 1..10 {
            store.put(&path, body(seed, 50_000).into()).await.expect("overwrite");
        }
    };
    let look = async {
        for _ in 0..20 {
            let seen = read(store, &path).await;
            let seed = *seen.first().expect("not empty");
            assert_eq!(seen, body(seed, 50_000));
        }
    };
    futures::join!(write, look);
    assert_eq!(read(store, &path).await, body(9, 50_000));
}

/// Single ranges, many ranges, ranges over the end, and impossible ranges.
pub async fn ranges_are_exact(at: &Location) {
    let store = &at.store;
    let path = at.path.clone().join("ranged");
    let content = body(5, 5_000_000);
    store.put(&path, content.clone().into()).await.expect("put");
    for range in [0..1, 0..5_000_000, 4_999_999..5_000_000, 1_234_567..2_345_678] {
        let part = store.get_range(&path, range.clone()).await.expect("range");
        assert!(part == content.slice(range.start as usize..range.end as usize), "{range:?}");
    }
    assert_eq!(store.get_range(&path, 4_999_990..6_000_000).await.expect("cut at the end").len(), 10);
    let ranges = [10..20, 4_000_000..4_000_100, 15..3_000_000, 0..1];
    let parts = store.get_ranges(&path, &ranges).await.expect("ranges");
    for (range, part) in ranges.iter().zip(&parts) {
        assert!(*part == content.slice(range.start as usize..range.end as usize), "{range:?}");
    }
    assert!(store.get_range(&path, 6_000_000..6_000_001).await.is_err());
}

/// Listing is recursive below a whole folder name, with sizes; folders are told apart; an empty place is empty.
pub async fn listing_shows_what_is_there(at: &Location) {
    let store = &at.store;
    assert!(names(store, &at.path).await.is_empty());
    let paths: Vec<Path> = ["a", "b/c", "b/d", "b2/e", "deep/1/2/3/4/5/6/7/8/9/x"]
        .iter()
        .map(|name| name.split('/').fold(at.path.clone(), |path, part| path.join(part)))
        .collect();
    for (at, path) in paths.iter().enumerate() {
        store.put(path, body(0, at).into()).await.expect("put");
    }
    let mut expected: Vec<String> = paths.iter().map(ToString::to_string).collect();
    expected.sort();
    assert_eq!(names(store, &at.path).await, expected);
    let below_b = at.path.clone().join("b");
    assert_eq!(names(store, &below_b).await.len(), 2, "`b2` is another folder");
    let listed = store.list_with_delimiter(Some(&at.path)).await.expect("list");
    assert_eq!(listed.objects.iter().map(|meta| meta.location.clone()).collect::<Vec<_>>(), [at.path.clone().join("a")]);
    let mut folders: Vec<String> = listed.common_prefixes.iter().filter_map(|path| path.filename().map(str::to_owned)).collect();
    folders.sort();
    assert_eq!(folders, ["b", "b2", "deep"]);
    let after: Vec<ObjectMeta> = store.list_with_offset(Some(&at.path), &below_b.clone().join("c")).try_collect().await.expect("list");
    assert_eq!(after.len(), 3);
    let sizes: u64 = store.list(Some(&at.path)).map_ok(|meta| meta.size).try_fold(0, |sum, size| async move { Ok(sum + size) }).await.expect("list");
    assert_eq!(sizes, 10);
}

/// An upload in parts is invisible until it is complete, keeps the order of its parts, and leaves nothing when given up or dropped.
pub async fn uploads_appear_when_complete(at: &Location) {
    let store = &at.store;
    let path = at.path.clone().join("uploaded");
    let mut upload = store.put_multipart(&path).await.expect("begun");
    let parts: Vec<Bytes> = vec![body(1, 5 * 1024 * 1024), body(2, 5 * 1024 * 1024), body(3, 5 * 1024 * 1024), body(4, 77)];
    let writing: Vec<_> = parts.iter().map(|part| upload.put_part(part.clone().into())).collect();
    futures::future::try_join_all(writing).await.expect("parts");
    assert!(store.head(&path).await.is_err(), "invisible before it is complete");
    upload.complete().await.expect("complete");
    assert!(read(store, &path).await == parts.concat(), "parts in order");

    let given_up = at.path.clone().join("given-up");
    let mut upload = store.put_multipart(&given_up).await.expect("begun");
    upload.put_part(PutPayload::from(body(1, 5 * 1024 * 1024))).await.expect("part");
    upload.abort().await.expect("aborted");
    let dropped = at.path.clone().join("dropped");
    let mut upload = store.put_multipart(&dropped).await.expect("begun");
    upload.put_part(PutPayload::from(body(1, 5 * 1024 * 1024))).await.expect("part");
    drop(upload);
    assert_eq!(names(store, &at.path).await, [path.to_string()]);

    let replaced = body(9, 6 * 1024 * 1024);
    let mut upload = store.put_multipart(&path).await.expect("begun");
    upload.put_part(replaced.clone().into()).await.expect("part");
    upload.complete().await.expect("complete");
    assert!(read(store, &path).await == replaced, "an upload replaces");
}

/// Names with blanks, percent signs, letters of other languages and the like are stored as they are.
pub async fn names_are_kept(at: &Location) {
    let store = &at.store;
    let odd =
        ["a b", "100%", "a%20b", "k=v", "ünïcode-日本", "plus+and&", "quote'\"", "[x]{y}~", "semi;colon", "hash#x", "star*", "q?", ".hidden", "a\\b"];
    for name in odd {
        let path = Path::parse(format!("{}/{name}/{name}", at.path)).expect("a path");
        store.put(&path, name.as_bytes().to_vec().into()).await.expect("put");
        assert_eq!(read(store, &path).await, name.as_bytes(), "{name}");
    }
    let mut expected: Vec<String> = odd.iter().map(|name| format!("{}/{name}/{name}", at.path)).collect();
    expected.sort();
    assert_eq!(names(store, &at.path).await, expected);
}

/// Deleting works, one by one and in numbers, and what is not there may be deleted.
pub async fn deleting_is_idempotent(at: &Location) {
    let store = &at.store;
    let paths: Vec<Path> = (0..20).map(|number| at.path.clone().join(format!("file {number}"))).collect();
    for path in &paths {
        store.put(path, "x".into()).await.expect("put");
    }
    let (first, rest) = paths.split_first().expect("paths");
    store.delete(first).await.expect("deleted");
    store.delete(first).await.expect("deleted again");
    let all: Vec<object_store::Result<Path>> = rest.iter().chain([first]).cloned().map(Ok).collect();
    let deleted: Vec<Path> = store.delete_stream(futures::stream::iter(all).boxed()).try_collect().await.expect("deleted");
    assert_eq!(deleted.len(), 20);
    assert!(names(store, &at.path).await.is_empty());
}

/// Copies and renames take the content along; a rename to a name that is taken is refused when asked to.
pub async fn copies_and_renames_move_content(at: &Location) {
    let store = &at.store;
    let at = |name: &str| at.path.clone().join(name);
    store.put(&at("a"), "content".into()).await.expect("put");
    store.copy(&at("a"), &at("b")).await.expect("copy");
    store.rename(&at("b"), &at("new-folder").join("c")).await.expect("rename");
    assert_eq!(read(store, &at("new-folder").join("c")).await, "content");
    assert!(store.head(&at("b")).await.is_err());
    store.put(&at("d"), "other".into()).await.expect("put");
    let absent = || RenameOptions::new().with_target_mode(RenameTargetMode::Create);
    let refused = store.rename_opts(&at("a"), &at("d"), absent()).await;
    assert!(matches!(refused, Err(Error::AlreadyExists { .. })), "{refused:?}");
    assert_eq!(read(store, &at("d")).await, "other");
    store.rename_opts(&at("a"), &at("e"), absent()).await.expect("rename");
    assert_eq!(read(store, &at("e")).await, "content");
    assert!(store.head(&at("a")).await.is_err());
    assert!(is_not_found(&store.copy(&at("missing"), &at("f")).await.expect_err("nothing to copy")));
}

/// Many writers and readers at once each get their own content.
pub async fn many_at_once_do_not_mix(at: &Location) {
    let store = &at.store;
    let work = (0..64_u8).map(|seed| async move {
        let path = at.path.clone().join(format!("{seed}"));
        let content = body(seed, 10_000 + usize::from(seed));
        store.put(&path, content.clone().into()).await.expect("put");
        assert!(read(store, &path).await == content, "{seed}");
        assert_eq!(store.get_range(&path, 100..200).await.expect("range"), content.slice(100..200));
    });
    futures::stream::iter(work).buffer_unordered(32).collect::<Vec<()>>().await;
    assert_eq!(names(store, &at.path).await.len(), 64);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::memory::InMemory;

    use super::*;
    use crate::{Counting, FaultPlan, Faulty, FileSystems};

    #[tokio::test]
    async fn local_files_keep_the_promises() {
        let folder = tempfile::tempdir().expect("folder");
        check_all(&FileSystems::default().resolve(&format!("{}", folder.path().display())).expect("resolves")).await;
    }

    #[tokio::test]
    async fn local_files_that_are_not_flushed_keep_the_promises() {
        let folder = tempfile::tempdir().expect("folder");
        let unflushed = FileSystems::new([("fs.file.sync".to_owned(), "false".to_owned())].into());
        check_all(&unflushed.resolve(&format!("file://{}", folder.path().display())).expect("resolves")).await;
    }

    #[tokio::test]
    async fn memory_keeps_the_promises() {
        check_all(&FileSystems::default().resolve("memory://conformance/a folder").expect("resolves")).await;
    }

    #[tokio::test]
    async fn aliases_keep_the_promises() {
        let folder = tempfile::tempdir().expect("folder");
        let keys = [
            ("fs.alias.disk.scheme", "file".to_owned()),
            ("fs.alias.disk.root", format!("{}/ä %20", folder.path().display())),
            ("fs.alias.ram.scheme", "memory".to_owned()),
            ("fs.alias.ram.root", "/some/root".to_owned()),
            ("fs.alias.ram.authority", "conformance-of-aliases".to_owned()),
        ];
        let aliases = FileSystems::new(keys.map(|(key, value)| (key.to_owned(), value)).into());
        for uri in ["disk:///a folder", "disk:///", "ram:///x", "ram://another-one/y"] {
            check_all(&aliases.resolve(uri).expect("resolves")).await;
        }
    }

    #[tokio::test]
    async fn the_wrappers_keep_the_promises() {
        let faulty = Arc::new(Faulty::new(Arc::new(InMemory::new()), FaultPlan::default()));
        let store = Arc::new(Counting::new(faulty, "memory", "wrapped"));
        check_all(&Location { uri: "memory://wrapped/x".to_owned(), store, path: Path::from("x") }).await;
    }
}
