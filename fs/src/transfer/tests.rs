//! Trees on disk and in memory, with and without faults.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use weir_base::{Classified, ErrorKind};

use super::*;
use crate::deadline::{Deadline, Limits};
use crate::local::LocalFolders;
use crate::{Environment, FaultPlan, Faulty, FileSystems, Folders, Kind, Location, Usage};

const MIB: usize = 1024 * 1024;

fn place(uri: &str) -> Place {
    FileSystems::with_environment(BTreeMap::new(), Environment::default()).place(uri).expect("resolves")
}

fn on_disk(folder: &tempfile::TempDir) -> Place {
    place(&folder.path().display().to_string())
}

fn in_memory() -> Place {
    place(&format!("memory://{}/top", uuid::Uuid::new_v4().simple()))
}

/// A store in memory under a plan of faults, and what is inside.
fn faulty(plan: &str) -> (Arc<InMemory>, Place) {
    let memory = Arc::new(InMemory::new());
    let faulty = Faulty::new(Arc::<InMemory>::clone(&memory), FaultPlan::parse(plan).expect("plan"));
    let limits = Limits { deadline: Duration::from_secs(1), pause: Duration::from_millis(1), ..Limits::default() };
    let store = Arc::new(Deadline::new(Arc::new(faulty), "memory://faulty".to_owned(), limits));
    (memory, Place::new(Location { uri: "memory://faulty/top".to_owned(), store, path: Path::from("top") }, None))
}

/// Content in which no piece is like another: its period fits no piece.
fn body(seed: u8, length: usize) -> Bytes {
    let block: Vec<u8> = (0..65_537_u32).map(|at| (at as u8).wrapping_mul(31).wrapping_add((at >> 8) as u8).wrapping_add(seed)).collect();
    Bytes::from(block.repeat(length / block.len() + 1)).slice(..length)
}

/// A tree with empty files, odd and deep names, and one file of three pieces.
async fn plant(at: &Place) -> BTreeMap<String, Bytes> {
    let files = [
        ("empty", body(0, 0)),
        ("a b/100% ä%20=?*[x]/c", body(1, 1000)),
        ("deep/1/2/3/4/5/6/7/8/9/10/x", body(2, 17)),
        ("deep/日本", body(3, 70_000)),
        ("big", body(4, 20 * MIB + 12_345)),
    ];
    for (name, content) in &files {
        let child = at.child(name).expect("a name");
        child.location().store.put(child.path(), content.clone().into()).await.expect("put");
    }
    files.into_iter().map(|(name, content)| (name.to_owned(), content)).collect()
}

async fn read(at: &Place) -> BTreeMap<String, Bytes> {
    let mut files = BTreeMap::new();
    let found: Vec<_> = walk(at, 3).try_collect().await.expect("walked");
    for file in found.iter().filter(|found| found.kind == Kind::File) {
        let content = at.location().store.get(&file.path).await.expect("get").bytes().await.expect("body");
        files.insert(at.relative(&file.path).to_owned(), content);
    }
    files
}

async fn source(place: &Place) -> Source {
    Source { place: place.clone(), found: place.stat().await.expect("looked").expect("there") }
}

async fn copied(from: &Place, to: &Place, options: &CopyOptions) -> Vec<Event> {
    let source = source(from).await;
    let (to, target) = source.target(to).await.expect("a target");
    copy(source, to, target, options.clone()).collect().await
}

fn count(events: &[Event], kind: fn(&Outcome) -> bool) -> usize {
    events.iter().filter(|event| kind(&event.outcome)).count()
}

fn failures(events: &[Event]) -> Vec<String> {
    let text = |event: &Event| match &event.outcome {
        Outcome::Failed(error) => Some(error.to_string()),
        _ => None,
    };
    events.iter().filter_map(text).collect()
}

#[tokio::test]
async fn a_tree_is_the_same_after_it_went_from_disk_to_memory_and_back() {
    let (one, other) = (tempfile::tempdir().expect("folder"), tempfile::tempdir().expect("folder"));
    let (from, through, to) = (on_disk(&one), in_memory(), on_disk(&other).child("new/copy").expect("a name"));
    let files = plant(&from).await;
    std::fs::create_dir_all(one.path().join("empty folder/in it")).expect("made");
    let first = copied(&from, &through, &CopyOptions::default()).await;
    assert_eq!((count(&first, |outcome| matches!(outcome, Outcome::Copied(_))), failures(&first)), (5, vec![]));
    assert_eq!(read(&through).await, files);
    let second = copied(&through, &to, &CopyOptions { parallel: 1, ..CopyOptions::default() }).await;
    assert_eq!(failures(&second), Vec::<String>::new());
    assert_eq!(read(&to).await, files);
    let checksums = |events: &[Event]| {
        let one = |event: &Event| match event.outcome {
            Outcome::Copied(checksum) => Some((event.bytes, checksum.to_string())),
            _ => None,
        };
        events.iter().filter_map(one).collect::<BTreeMap<_, _>>()
    };
    assert_eq!(checksums(&first), checksums(&second));
    // The value that `sha256sum` prints for an empty file.
    assert_eq!(checksums(&first)[&0], "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    let again = on_disk(&other).child("third").expect("a name");
    copied(&from, &again, &CopyOptions::default()).await;
    assert!(other.path().join("third/empty folder/in it").is_dir(), "between two disks empty folders go along");
}

#[tokio::test]
async fn a_copy_made_again_takes_up_what_is_missing_and_touches_nothing_else() {
    let folder = tempfile::tempdir().expect("folder");
    let (from, to) = (on_disk(&folder), in_memory());
    let files = plant(&from).await;
    copied(&from, &to, &CopyOptions::default()).await;
    let big = to.child("big").expect("a name");
    big.location().store.delete(big.path()).await.expect("deleted");
    let wrong = to.child("deep/日本").expect("a name");
    wrong.location().store.put(wrong.path(), body(9, 70_000).into()).await.expect("put");

    let refused = copied(&from, &to, &CopyOptions::default()).await;
    assert!(failures(&refused)[0].contains("--resume") && refused.len() == 1, "{refused:?}");

    let resume = |existing| CopyOptions { existing, ..CopyOptions::default() };
    let planned = copied(&from, &to, &CopyOptions { dry_run: true, ..resume(Existing::SkipSame) }).await;
    assert_eq!(count(&planned, |outcome| matches!(outcome, Outcome::Planned { replaces: false })), 1);
    assert!(to.child("big").expect("a name").stat().await.expect("looked").is_none(), "a dry run writes nothing");

    let resumed = copied(&from, &to, &resume(Existing::SkipSame)).await;
    assert_eq!(count(&resumed, |outcome| matches!(outcome, Outcome::Copied(_))), 1);
    assert_eq!(count(&resumed, |outcome| matches!(outcome, Outcome::Same)), 3);
    assert!(failures(&resumed)[0].contains("not like its source") && failures(&resumed).len() == 1, "{resumed:?}");

    let forced = copied(&from, &to, &resume(Existing::ReplaceDifferent)).await;
    assert_eq!(count(&forced, |outcome| matches!(outcome, Outcome::Copied(_))), 1);
    assert_eq!(read(&to).await, files);
}

#[tokio::test]
async fn a_file_that_fails_in_passing_is_begun_anew() {
    let folder = tempfile::tempdir().expect("folder");
    let from = on_disk(&folder);
    let files = plant(&from).await;
    let (_, to) = faulty("part:top/big@2=fail;complete:top/big@1=fail");
    let events = copied(&from, &to, &CopyOptions::default()).await;
    assert_eq!(failures(&events), Vec::<String>::new());
    assert_eq!(read(&to).await, files);
}

#[tokio::test]
async fn a_failed_file_leaves_nothing_and_the_others_are_copied() {
    let folder = tempfile::tempdir().expect("folder");
    let from = on_disk(&folder);
    let files = plant(&from).await;
    let four_times: String = (1..=4).map(|time| format!("part:top/big@{time}=fail;")).collect();
    let (inside, to) = faulty(&format!("{four_times}put:top/empty@1=fail;complete@1=delay:5"));
    let events = copied(&from, &to, &CopyOptions::default()).await;
    assert!(failures(&events).len() == 1 && failures(&events)[0].contains("memory://faulty/top/big"), "{events:?}");
    assert!(inside.head(&Path::from("top/big")).await.is_err());
    let events = copied(&from, &to, &CopyOptions { existing: Existing::SkipSame, ..CopyOptions::default() }).await;
    assert_eq!((failures(&events), count(&events, |outcome| matches!(outcome, Outcome::Same))), (vec![], 4));
    assert_eq!(read(&to).await, files);
}

#[tokio::test]
async fn reading_that_breaks_off_is_gone_on_with() {
    let (inside, from) = faulty("seed=3;get@40%=truncate;get@3=fail");
    let content = body(7, 30 * MIB);
    inside.put(&Path::from("top/x"), content.clone().into()).await.expect("put");
    let to = in_memory();
    let events = copied(&from, &to, &CopyOptions::default()).await;
    assert_eq!(failures(&events), Vec::<String>::new());
    assert_eq!(read(&to).await["x"], content);
}

#[tokio::test]
async fn a_copy_that_is_not_like_its_source_is_an_error_and_the_source_stays() {
    let from = in_memory();
    from.location().store.put(from.path(), body(1, 1000).into()).await.expect("put");
    let (inside, to) = faulty("get@1=delay:300");
    let spoil = async {
        while inside.head(&Path::from("top")).await.is_err() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        inside.put(&Path::from("top"), body(2, 1000).into()).await.expect("put");
    };
    let options = CopyOptions { verify: false, remove_source: true, ..CopyOptions::default() };
    let (events, ()) = futures::join!(copied(&from, &to, &options), spoil);
    let Outcome::Failed(error) = &events[0].outcome else { panic!("{events:?}") };
    assert!(error.kind() == ErrorKind::Corrupt && error.to_string().contains("SHA-256"), "{error}");
    assert!(from.stat().await.expect("looked").is_some(), "what was not copied is not removed");
}

#[tokio::test]
async fn a_source_that_is_replaced_while_it_is_read_is_an_error() {
    let (inside, from) = faulty("get@2=delay:300");
    inside.put(&Path::from("top"), body(1, 20 * MIB).into()).await.expect("put");
    let to = in_memory();
    let options = CopyOptions::default();
    let replace = async {
        while options.progress.load(std::sync::atomic::Ordering::Relaxed) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        inside.put(&Path::from("top"), body(2, 20 * MIB).into()).await.expect("put");
    };
    let (events, ()) = futures::join!(copied(&from, &to, &options), replace);
    assert!(failures(&events)[0].contains("changed while it was read"), "{events:?}");
    assert!(to.stat().await.expect("looked").is_none());
}

#[tokio::test]
async fn a_copy_that_is_stopped_leaves_nothing_half_done() {
    let folder = tempfile::tempdir().expect("folder");
    let (inside, from) = faulty("get@3=delay:60000");
    inside.put(&Path::from("top/big"), body(1, 40 * MIB).into()).await.expect("put");
    let options = CopyOptions::default();
    let stop = async {
        while options.progress.load(std::sync::atomic::Ordering::Relaxed) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        options.stop.cancel();
    };
    let (to, resuming) = (on_disk(&folder), CopyOptions { existing: Existing::SkipSame, ..options.clone() });
    let (events, ()) = futures::join!(copied(&from, &to, &resuming), stop);
    assert_eq!(count(&events, |outcome| matches!(outcome, Outcome::Stopped)), 1, "{events:?}");
    assert_eq!(std::fs::read_dir(folder.path()).expect("listed").count(), 0);
}

#[tokio::test]
async fn a_folder_that_cannot_be_listed_is_told_and_the_others_are_walked() {
    let folder = tempfile::tempdir().expect("folder");
    for name in ["a", "b", "c"] {
        std::fs::create_dir(folder.path().join(name)).expect("made");
        std::fs::write(folder.path().join(name).join("x"), name).expect("written");
    }
    let bare = on_disk(&folder);
    let plan = Faulty::new(Arc::clone(&bare.location().store), FaultPlan::parse("list:b=fail").expect("plan"));
    let folders: Arc<dyn Folders> = plan.folders(Arc::new(LocalFolders::default()));
    let found: Vec<_> = walk(&Place::new(bare.location().clone(), Some(folders)), 2).collect().await;
    let (walked, failed): (Vec<_>, Vec<_>) = found.into_iter().partition(Result::is_ok);
    assert_eq!((walked.len(), failed.len()), (5, 1));
    assert!(failed[0].as_ref().expect_err("failed").to_string().contains("/b`"), "{failed:?}");
}

#[tokio::test]
async fn files_go_into_folders_and_folders_become_what_was_said() {
    let folder = tempfile::tempdir().expect("folder");
    let at = on_disk(&folder);
    std::fs::create_dir_all(folder.path().join("tree/sub")).expect("made");
    std::fs::write(folder.path().join("file"), "x").expect("written");
    let (file, tree) = (source(&at.child("file").expect("a name")).await, source(&at.child("tree").expect("a name")).await);
    let goes = async |source: &Source, to: &str| {
        let target = source.target(&at.child(to).expect("a name")).await;
        target.map(|(to, found)| (at.relative(to.path()).to_owned(), found.is_some())).map_err(|error| error.to_string())
    };
    assert_eq!(goes(&file, "tree").await, Ok(("tree/file".to_owned(), false)));
    assert_eq!(goes(&file, "new").await, Ok(("new".to_owned(), false)));
    assert_eq!(goes(&tree, "new").await, Ok(("new".to_owned(), false)));
    std::fs::create_dir(folder.path().join("there")).expect("made");
    assert_eq!(goes(&tree, "there").await, Ok(("there".to_owned(), true)));
    for (source, to, why) in
        [(&file, "file", "itself"), (&tree, "tree", "itself"), (&tree, "tree/sub/x", "into itself"), (&tree, "file", "no folder")]
    {
        assert!(goes(source, to).await.is_err_and(|error| error.contains(why)), "{to}");
    }
}

#[tokio::test]
async fn a_disk_renames_and_replaces_nothing_unless_told() {
    let folder = tempfile::tempdir().expect("folder");
    let at = on_disk(&folder);
    let named = |name: &str| at.child(name).expect("a name");
    let moved = async |from: &str, to: &str, replace: bool| {
        let source = source(&named(from)).await;
        let (to, target) = source.target(&named(to)).await.expect("a target");
        rename(&source, &to, target.as_ref(), replace).await.map_err(|error| error.to_string())
    };
    std::fs::create_dir_all(folder.path().join("tree/sub")).expect("made");
    std::fs::write(folder.path().join("tree/sub/x"), "x").expect("written");
    std::fs::write(folder.path().join("y"), "y").expect("written");
    assert_eq!(moved("tree", "some/where", false).await, Ok(Moved::Renamed));
    assert_eq!(std::fs::read_to_string(folder.path().join("some/where/sub/x")).expect("there"), "x");
    assert!(moved("y", "some/where/sub/x", false).await.is_err_and(|error| error.contains("--force")));
    assert!(moved("some/where", "some", true).await.is_err(), "a folder is never replaced");
    assert_eq!(moved("y", "some/where/sub/x", true).await, Ok(Moved::Renamed));
    assert_eq!(std::fs::read_to_string(folder.path().join("some/where/sub/x")).expect("there"), "y");
    assert!(!folder.path().join("y").exists());
}

#[tokio::test]
async fn between_file_systems_a_move_is_a_copy_and_a_removal() {
    let folder = tempfile::tempdir().expect("folder");
    let (from, to) = (on_disk(&folder).child("tree").expect("a name"), in_memory());
    let files = plant(&from).await;
    assert_eq!(rename(&source(&from).await, &to, None, false).await.expect("decided"), Moved::OnlyByCopy);
    let events = copied(&from, &to, &CopyOptions { remove_source: true, ..CopyOptions::default() }).await;
    assert_eq!(failures(&events), Vec::<String>::new());
    assert_eq!(read(&to).await, files);
    std::fs::write(folder.path().join("tree/deep/late"), "came later").expect("written");
    remove_empty_folders(&from).await.expect("removed");
    assert_eq!(read(&from).await.keys().collect::<Vec<_>>(), ["deep/late"], "what was not copied stays");
    assert!(!folder.path().join("tree/a b").exists());
}

#[tokio::test]
async fn removal_takes_all_below_and_nothing_beside() {
    let folder = tempfile::tempdir().expect("folder");
    for top in [in_memory(), on_disk(&folder)] {
        let tree = top.child("tree").expect("a name");
        plant(&tree).await;
        let beside = top.child("tree2").expect("a name");
        beside.location().store.put(beside.path(), "x".into()).await.expect("put");
        let removed = remove(&tree, &source(&tree).await.found).await.expect("removed");
        assert_eq!(removed.files, tree.folders().is_none().then_some(5));
        assert!(tree.stat().await.expect("looked").is_none());
        assert_eq!(read(&top).await.len(), 1);
        let root = place(&top.uri().replace(top.path().as_ref(), ""));
        let refused = remove(&root, &source(&root).await.found).await.expect_err("refused").to_string();
        assert!(refused.contains("whole file system"), "{refused}");
    }
}

#[tokio::test]
async fn usage_and_kinds_are_the_same_everywhere() {
    let folder = tempfile::tempdir().expect("folder");
    for (top, folders) in [(in_memory(), 0), (on_disk(&folder), 13)] {
        let files = plant(&top).await;
        let bytes = files.values().map(|content| content.len() as u64).sum();
        let sum = usage(&top, &source(&top).await.found, 2).await.expect("added up");
        assert_eq!(sum, Usage { bytes, stored: None, files: 5, folders });
        let kind = async |name: &str| top.child(name).expect("a name").stat().await.expect("looked").map(|found| found.kind);
        assert_eq!(kind("big").await, Some(Kind::File));
        assert_eq!(kind("deep/1/2").await, Some(Kind::Folder));
        assert_eq!(kind("dee").await, None);
        let mut listed: Vec<_> = top.list().map_ok(|found| top.of(&found).uri().to_owned()).try_collect().await.expect("listed");
        listed.sort();
        assert_eq!(listed, ["a b", "big", "deep", "empty"].map(|name| format!("{}/{name}", top.uri())));
    }
}

#[test]
fn uris_of_children_can_be_resolved_again() {
    for uri in ["memory://m", "memory://m/", "memory://m/a/b/", "/", "file:///", "/tmp/x//"] {
        let child = place(uri).child("c d/ä%20").expect("a name");
        assert_eq!(place(child.uri()).path(), child.path(), "{uri}: {}", child.uri());
    }
}
