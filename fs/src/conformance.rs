//! What every store of Weir promises, as checks that run against any store, also through faults.
//!
//! A store repeats what can be repeated without harm. An upload, a listing or a body that breaks off half-way is an error, never a short
//! answer, and whoever began it begins it again; so do the checks, but only where there are faults on purpose.
//!
//! Each check gets an empty folder of its own and panics when a promise is broken: they are made for tests, also for those that have a real
//! server at hand.

#![expect(clippy::expect_used, clippy::missing_panics_doc, reason = "these are checks for tests; a broken promise is a panic")]

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{Error, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutPayload, RenameOptions, RenameTargetMode, Result};
use weir_base::ErrorKind;

use crate::error::{is_not_found, kind_of};
use crate::fault::FaultPlan;
use crate::file_systems::{FileSystems, Location};

/// What [`check_all_through_faults`] does to requests, each kind of it at least once. A put is not cut in half: no store shows half an object.
const FAULTS: &str = "seed=4;
    rename@1=lose-answer; rename@3=fail; copy@1=lose-answer; part@2=fail; part@7=lose-answer; complete@1=lose-answer;
    head@2=fail; head@5=lose-answer; list@2=fail; list@25%=truncate; delete@3=fail; delete@9=lose-answer;
    put:race/*@20%=lose-answer; *:race/*@20%=reorder; *:many/*@10%=reorder;
    put@6%=fail; put@6%=lose-answer; put@4%=enospc; get@6%=fail; get@12%=truncate; get@6%=lose-answer; *@10%=delay:10";

/// How often the checks begin again what broke off, where there are faults.
const PATIENCE: u32 = 20;

/// Where a check runs.
struct Ground {
    at: Location,
    /// How often something is begun: once, unless there are faults on purpose.
    tries: u32,
}

impl Ground {
    fn store(&self) -> &dyn ObjectStore {
        self.at.store.as_ref()
    }

    fn path(&self, name: impl AsRef<str>) -> Path {
        self.at.path.clone().join(name.as_ref())
    }

    /// Does `work` again while it breaks off, or while what it reads is replaced.
    async fn whole<T, W: Future<Output = Result<T>>>(&self, work: impl Fn() -> W) -> T {
        let mut tried = 1;
        loop {
            match work().await {
                Err(error) if tried < self.tries && matches!(kind_of(&error), ErrorKind::Transient | ErrorKind::Conflict) => tried += 1,
                result => break result.expect("it succeeds"),
            }
        }
    }

    async fn read(&self, path: &Path) -> Bytes {
        self.whole(|| async { self.store().get(path).await?.bytes().await }).await
    }

    async fn listed(&self, prefix: &Path) -> Vec<ObjectMeta> {
        self.whole(|| self.store().list(Some(prefix)).try_collect()).await
    }

    async fn uploaded(&self, path: &Path, parts: &[Bytes]) {
        let upload = || async {
            let mut upload = self.store().put_multipart(path).await?;
            let writing: Vec<_> = parts.iter().map(|part| upload.put_part(part.clone().into())).collect();
            futures::future::try_join_all(writing).await?;
            upload.complete().await
        };
        self.whole(upload).await;
    }

    async fn names(&self, prefix: &Path) -> Vec<String> {
        let mut names: Vec<String> = self.listed(prefix).await.into_iter().map(|meta| meta.location.as_ref().to_owned()).collect();
        names.sort();
        names
    }
}

/// Runs all checks, each in a folder of its own under `at`.
pub async fn check_all(at: &Location) {
    check(at, 1).await;
    names_are_kept(&Ground { at: Location { path: at.path.clone().join("names"), ..at.clone() }, tries: 1 }).await;
}

/// Runs all checks but that of odd names, for stores that change some.
pub async fn check_all_but_names(at: &Location) {
    check(at, 1).await;
}

/// Runs all checks below `uri` while requests fail, are slow, lose their answers, break off and overtake each other by a seeded plan.
pub async fn check_all_through_faults(file_systems: &FileSystems, uri: &str) {
    let plan = FaultPlan::parse(FAULTS).expect("a plan");
    let at = file_systems.with_faults(plan.clone()).resolve(uri).expect("resolves");
    check(&at, PATIENCE).await;
    names_are_kept(&Ground { at: Location { path: at.path.clone().join("names"), ..at }, tries: PATIENCE }).await;
    assert!(plan.idle().is_empty(), "not met: {:?}", plan.idle());
}

async fn check(at: &Location, tries: u32) {
    let folder = |name: &str| Ground { at: Location { path: at.path.clone().join(name), ..at.clone() }, tries };
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

/// Empty, small and bigger objects are stored whole; sizes are right; what is not there is `NotFound`.
async fn objects_come_back_as_they_were_put(ground: &Ground) {
    let store = ground.store();
    for length in [0, 1, 1000, 3_000_001] {
        let path = ground.path(format!("object-{length}"));
        let content = body(1, length);
        store.put(&path, content.clone().into()).await.expect("put");
        assert!(ground.read(&path).await == content, "{length} bytes come back");
        assert_eq!(store.head(&path).await.expect("head").size, length as u64);
    }
    let missing = ground.path("missing");
    assert!(is_not_found(&store.get(&missing).await.expect_err("get of nothing")));
    assert!(is_not_found(&store.head(&missing).await.expect_err("head of nothing")));
    assert!(is_not_found(&store.get_range(&missing, 0..1).await.expect_err("range of nothing")));
}

/// Of many writers of one name exactly one wins, its content stays, and no trace of the losers is left.
async fn put_if_absent_has_one_winner(ground: &Ground) {
    let store = ground.store();
    for round in 0..3 {
        let path = ground.path(format!("claim-{round}"));
        let racers = (0..12_u8).map(|racer| {
            let path = path.clone();
            async move { (racer, store.put_opts(&path, body(racer, 100).into(), PutMode::Create.into()).await) }
        });
        let results: Vec<_> = futures::future::join_all(racers).await;
        let winners: Vec<u8> = results.iter().filter(|(_, result)| result.is_ok()).map(|(racer, _)| *racer).collect();
        let [winner] = winners.as_slice() else { panic_with(&format!("one winner, not {winners:?}: {results:?}")) };
        assert!(results.iter().all(|(_, result)| matches!(result, Ok(_) | Err(Error::AlreadyExists { .. }))), "{results:?}");
        assert_eq!(ground.read(&path).await, body(*winner, 100));
    }
    let folder: Vec<String> = (0..3).map(|round| ground.path(format!("claim-{round}")).to_string()).collect();
    assert_eq!(ground.names(&ground.at.path).await, folder);
}

#[expect(clippy::panic, reason = "a broken promise is a panic")]
fn panic_with(message: &str) -> ! {
    panic!("{message}")
}

/// A reader sees the old object or the new one.
async fn overwriting_is_never_seen_half_done(ground: &Ground) {
    let store = ground.store();
    let path = ground.path("pointer");
    store.put(&path, body(0, 50_000).into()).await.expect("put");
    let write = async {
        for seed in 1..10 {
            store.put(&path, body(seed, 50_000).into()).await.expect("overwrite");
        }
    };
    let look = async {
        for _ in 0..20 {
            let seen = ground.read(&path).await;
            let seed = *seen.first().expect("not empty");
            assert_eq!(seen, body(seed, 50_000));
        }
    };
    futures::join!(write, look);
    assert_eq!(ground.read(&path).await, body(9, 50_000));
}

/// Single ranges, many ranges, ranges over the end, and impossible ranges.
async fn ranges_are_exact(ground: &Ground) {
    let store = ground.store();
    let path = ground.path("ranged");
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
async fn listing_shows_what_is_there(ground: &Ground) {
    let store = ground.store();
    assert!(ground.names(&ground.at.path).await.is_empty());
    let paths: Vec<Path> = ["a", "b/c", "b/d", "b2/e", "deep/1/2/3/4/5/6/7/8/9/x"]
        .iter()
        .map(|name| name.split('/').fold(ground.at.path.clone(), |path, part| path.join(part)))
        .collect();
    for (at, path) in paths.iter().enumerate() {
        store.put(path, body(0, at).into()).await.expect("put");
    }
    let mut expected: Vec<String> = paths.iter().map(ToString::to_string).collect();
    expected.sort();
    assert_eq!(ground.names(&ground.at.path).await, expected);
    let below_b = ground.path("b");
    assert_eq!(ground.names(&below_b).await.len(), 2, "`b2` is another folder");
    let listed = store.list_with_delimiter(Some(&ground.at.path)).await.expect("list");
    assert_eq!(listed.objects.iter().map(|meta| meta.location.clone()).collect::<Vec<_>>(), [ground.path("a")]);
    let mut folders: Vec<String> = listed.common_prefixes.iter().filter_map(|path| path.filename().map(str::to_owned)).collect();
    folders.sort();
    assert_eq!(folders, ["b", "b2", "deep"]);
    let offset = below_b.join("c");
    let after: Vec<ObjectMeta> = ground.whole(|| store.list_with_offset(Some(&ground.at.path), &offset).try_collect()).await;
    assert_eq!(after.len(), 3);
    assert_eq!(ground.listed(&ground.at.path).await.iter().map(|meta| meta.size).sum::<u64>(), 10);
}

/// An upload in parts is invisible until it is complete, keeps the order of its parts, and leaves nothing when given up or dropped.
async fn uploads_appear_when_complete(ground: &Ground) {
    let store = ground.store();
    let path = ground.path("uploaded");
    let parts = [body(1, 5 * 1024 * 1024), body(2, 5 * 1024 * 1024), body(3, 5 * 1024 * 1024), body(4, 77)];
    ground.uploaded(&path, &parts).await;
    assert!(ground.read(&path).await == parts.concat(), "parts in order");

    for (name, is_dropped) in [("given-up", false), ("dropped", true)] {
        let unfinished = ground.path(name);
        let begin = || async {
            let mut upload = store.put_multipart(&unfinished).await?;
            upload.put_part(PutPayload::from(parts[0].clone())).await?;
            Ok(upload)
        };
        let mut upload = ground.whole(begin).await;
        assert!(is_not_found(&store.head(&unfinished).await.expect_err("invisible before it is complete")));
        if is_dropped {
            drop(upload);
        } else {
            upload.abort().await.expect("aborted");
        }
    }
    assert_eq!(ground.names(&ground.at.path).await, [path.to_string()]);

    let replaced = body(9, 6 * 1024 * 1024);
    ground.uploaded(&path, std::slice::from_ref(&replaced)).await;
    assert!(ground.read(&path).await == replaced, "an upload replaces");
}

/// Names with blanks, percent signs, letters of other languages and the like are stored as they are.
async fn names_are_kept(ground: &Ground) {
    let store = ground.store();
    let odd =
        ["a b", "100%", "a%20b", "k=v", "ünïcode-日本", "plus+and&", "quote'\"", "[x]{y}~", "semi;colon", "hash#x", "star*", "q?", ".hidden", "a\\b"];
    for name in odd {
        let path = Path::parse(format!("{}/{name}/{name}", ground.at.path)).expect("a path");
        store.put(&path, name.as_bytes().to_vec().into()).await.expect("put");
        assert_eq!(ground.read(&path).await, name.as_bytes(), "{name}");
    }
    let mut expected: Vec<String> = odd.iter().map(|name| format!("{}/{name}/{name}", ground.at.path)).collect();
    expected.sort();
    assert_eq!(ground.names(&ground.at.path).await, expected);
}

/// Deleting works, one by one and in numbers, and what is not there may be deleted.
async fn deleting_is_idempotent(ground: &Ground) {
    let store = ground.store();
    let paths: Vec<Path> = (0..20).map(|number| ground.path(format!("file {number}"))).collect();
    for path in &paths {
        store.put(path, "x".into()).await.expect("put");
    }
    let (first, rest) = paths.split_first().expect("paths");
    store.delete(first).await.expect("deleted");
    store.delete(first).await.expect("deleted again");
    let all: Vec<Result<Path>> = rest.iter().chain([first]).cloned().map(Ok).collect();
    let deleted: Vec<Path> = store.delete_stream(futures::stream::iter(all).boxed()).try_collect().await.expect("deleted");
    assert_eq!(deleted.len(), 20);
    assert!(ground.names(&ground.at.path).await.is_empty());
}

/// Copies and renames take the content along; a rename to a name that is taken is refused when asked to.
async fn copies_and_renames_move_content(ground: &Ground) {
    let store = ground.store();
    let at = |name: &str| ground.path(name);
    store.put(&at("a"), "content".into()).await.expect("put");
    store.copy(&at("a"), &at("b")).await.expect("copy");
    store.rename(&at("b"), &at("new-folder").join("c")).await.expect("rename");
    assert_eq!(ground.read(&at("new-folder").join("c")).await, "content");
    assert!(store.head(&at("b")).await.is_err());
    store.put(&at("d"), "other".into()).await.expect("put");
    let absent = || RenameOptions::new().with_target_mode(RenameTargetMode::Create);
    let refused = store.rename_opts(&at("a"), &at("d"), absent()).await;
    assert!(matches!(refused, Err(Error::AlreadyExists { .. })), "{refused:?}");
    assert_eq!(ground.read(&at("d")).await, "other");
    store.rename_opts(&at("a"), &at("e"), absent()).await.expect("rename");
    assert_eq!(ground.read(&at("e")).await, "content");
    assert!(store.head(&at("a")).await.is_err());
    assert!(is_not_found(&store.copy(&at("missing"), &at("f")).await.expect_err("nothing to copy")));
}

/// Many writers and readers at once each get their own content.
async fn many_at_once_do_not_mix(ground: &Ground) {
    let store = ground.store();
    let work = (0..64_u8).map(|seed| async move {
        let path = ground.path(format!("{seed}"));
        let content = body(seed, 10_000 + usize::from(seed));
        store.put(&path, content.clone().into()).await.expect("put");
        assert!(ground.read(&path).await == content, "{seed}");
        assert_eq!(store.get_range(&path, 100..200).await.expect("range"), content.slice(100..200));
    });
    futures::stream::iter(work).buffer_unordered(32).collect::<Vec<()>>().await;
    assert_eq!(ground.names(&ground.at.path).await.len(), 64);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::memory::InMemory;

    use super::*;
    use crate::{Counting, Faulty};

    /// At `uri`, and below it through faults.
    async fn check_both(file_systems: &FileSystems, uri: &str) {
        check_all(&file_systems.resolve(uri).expect("resolves")).await;
        check_all_through_faults(file_systems, &format!("{uri}/through faults")).await;
    }

    #[tokio::test]
    async fn local_files_keep_the_promises() {
        let folder = tempfile::tempdir().expect("folder");
        check_both(&FileSystems::default(), &folder.path().display().to_string()).await;
    }

    #[tokio::test]
    async fn local_files_that_are_not_flushed_keep_the_promises() {
        let folder = tempfile::tempdir().expect("folder");
        let unflushed = FileSystems::new([("fs.file.sync".to_owned(), "false".to_owned())].into());
        check_both(&unflushed, &format!("file://{}", folder.path().display())).await;
    }

    #[tokio::test]
    async fn memory_keeps_the_promises() {
        check_both(&FileSystems::default(), "memory://conformance/a folder").await;
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
        check_all(&aliases.resolve("disk:///").expect("resolves")).await;
        for uri in ["disk:///a folder", "ram:///x", "ram://another-one/y"] {
            check_both(&aliases, uri).await;
        }
    }

    #[tokio::test]
    async fn the_wrappers_keep_the_promises() {
        let faulty = Arc::new(Faulty::new(Arc::new(InMemory::new()), FaultPlan::default()));
        let store = Arc::new(Counting::new(faulty, "memory", "wrapped"));
        check_all(&Location { uri: "memory://wrapped/x".to_owned(), store, path: Path::from("x") }).await;
    }
}
