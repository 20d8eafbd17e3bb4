//! What administrators and machines do to an HDFS while it is used: safe mode, quotas, a wrong host name, DataNodes that die.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use weir_base::ErrorKind;
use weir_fs::{FileSystems, Location, kind_of};

use crate::fs_stores::raw_names;
use crate::support::{NameNodeCalls, Servers, Wire, Workdir, until};

const LIMIT: Duration = Duration::from_secs(60);
const MIB: usize = 1024 * 1024;
/// What a NameNode says that has not heard yet of the block before the last one.
const EARLY: &str = "org.apache.hadoop.hdfs.server.namenode.NotReplicatedYetException";
/// The readers may read on.
const GO_ON: u32 = u32::MAX;

fn at(base: &str, properties: &[(&str, &str)]) -> Location {
    let properties = properties.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    FileSystems::new(properties).resolve(&format!("{base}/faults-{}", uuid::Uuid::new_v4().simple())).unwrap()
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at.wrapping_mul(2_654_435_761) >> 16) as u8).collect()
}

/// Reads a file, with a stop after its first piece until `reading` says so.
async fn read_slowly(at: &Location, path: &Path, reading: &AtomicU32) -> Vec<u8> {
    let mut chunks = at.store.get(path).await.unwrap().into_stream();
    let mut read = chunks.next().await.unwrap().unwrap().to_vec();
    reading.fetch_add(1, Ordering::SeqCst);
    until("the DataNode is dead", LIMIT, async || (reading.load(Ordering::SeqCst) == GO_ON).then_some(())).await;
    while let Some(chunk) = chunks.next().await {
        read.extend_from_slice(&chunk.unwrap());
    }
    read
}

#[tokio::test]
async fn a_wrong_host_is_named_in_time() {
    let at = at("hdfs://no-such-host.invalid:8020", &[("fs.request.deadline", "4 s")]);
    let begun = Instant::now();
    let error = at.store.put(&at.path, "x".into()).await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    let text = error.to_string();
    assert!(text.contains("hdfs://no-such-host.invalid:8020/") && text.contains("failed to lookup address"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn safe_mode_is_waited_for_and_named_if_it_lasts() {
    let servers = Servers::own();
    let hdfs = tokio::task::block_in_place(|| servers.hdfs());
    let patient = at(&hdfs.uri, &[]);
    let impatient = at(&hdfs.uri, &[("fs.request.deadline", "15 s")]);
    let safe_mode = |what: &str| tokio::task::block_in_place(|| servers.admin("hdfs", &["dfsadmin", "-safemode", what]));
    safe_mode("enter");
    let error = impatient.store.put(&impatient.path, "x".into()).await.unwrap_err();
    assert_eq!(kind_of(&error), ErrorKind::Transient);
    assert!(error.to_string().contains("safe mode"), "{error}");
    let waiting = weir_base::task::spawn("a patient put", async move { patient.store.put(&patient.path, "x".into()).await });
    safe_mode("leave");
    waiting.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_is_no_reason_to_try_again() {
    let servers = Servers::own();
    let hdfs = tokio::task::block_in_place(|| servers.hdfs());
    let at = at(&hdfs.uri, &[]);
    let full = at.path.clone().join("full");
    at.store.put(&full.clone().join("first"), "x".into()).await.unwrap();
    let quota = |words: &[&str]| tokio::task::block_in_place(|| servers.admin("hdfs", &[&["dfsadmin"], words, &[&format!("/{full}")]].concat()));
    for (words, told) in [(&["-setSpaceQuota", "1m"], "DSQuotaExceededException"), (&["-setQuota", "2"], "NSQuotaExceededException")] {
        quota(words);
        let begun = Instant::now();
        let error = at.store.put(&full.clone().join("more"), bytes(1000).into()).await.unwrap_err();
        assert!(kind_of(&error) == ErrorKind::User && begun.elapsed() < Duration::from_secs(30), "{:?}: {error}", begun.elapsed());
        let text = weir_base::error::chain(&error);
        assert!(text.contains(told) && text.contains(full.as_ref()) && !text.contains("\tat "), "{text}");
        quota(&["-clrSpaceQuota"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_writer_is_in_nobodys_way_although_its_lease_lives() {
    let servers = Servers::own();
    let hdfs = tokio::task::block_in_place(|| servers.hdfs());
    let (at, work) = (at(&hdfs.uri, &[]), Workdir::new());
    let (path, uri) = (at.path.clone().join("file"), format!("{}/file", at.uri));
    let sent = work.write("sent", "whole").display().to_string();
    at.store.put(&at.path.clone().join("folder/file"), "x".into()).await.unwrap();
    // Its file is open, and nobody takes its bytes.
    tokio::task::block_in_place(|| servers.pause("hdfs.datanode"));
    let writer = work.weir(["fs", "put", &sent, &uri]).start();
    let hidden = async || raw_names(&hdfs.uri, &at.path).await.into_iter().filter(|name| name.starts_with(".file.")).count();
    until("the writer has begun", LIMIT, async || (hidden().await == 1).then_some(())).await;
    writer.kill().await;
    tokio::task::block_in_place(|| servers.resume("hdfs.datanode"));

    work.weir(["fs", "put", &sent, &uri]).output(LIMIT).await.succeeded();
    assert_eq!(at.store.get(&path).await.unwrap().bytes().await.unwrap(), "whole");
    assert_eq!(hidden().await, 1, "it is still there, and open");
    // Whoever cleans up after the dead deletes its files by name: the second time there is none, and what was to become one goes.
    at.store.delete(&path).await.unwrap();
    at.store.delete(&path).await.unwrap();
    assert_eq!(hidden().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_node_that_dies_is_no_loss_to_writers_or_readers() {
    let servers = Servers::own();
    let hdfs = tokio::task::block_in_place(|| servers.hdfs_of("hdfs-3"));
    let at = at(&hdfs.uri, &[]);
    let content = bytes(48 * MIB);
    let first_pieces = AtomicU32::new(0);

    let written = at.path.clone().join("written");
    let mut upload = at.store.put_multipart(&written).await.unwrap();
    for (number, part) in content.chunks(4 * MIB).enumerate() {
        upload.put_part(part.to_vec().into()).await.unwrap();
        if number == 5 {
            tokio::task::block_in_place(|| servers.kill("hdfs-3.datanode-2"));
        }
    }
    upload.complete().await.unwrap();
    assert!(at.store.get(&written).await.unwrap().bytes().await.unwrap() == content, "two copies are left");

    // A file that is begun now may be given to the dead one: it is begun again until the NameNode knows.
    let begun = Instant::now();
    let next = at.path.clone().join("next");
    at.store.put(&next, content.clone().into()).await.unwrap();
    assert!(begun.elapsed() < LIMIT, "{:?}", begun.elapsed());

    // Two copies are left, and each reader takes one of them: among six there is one that loses its server.
    let readers = (0..6).map(|_| read_slowly(&at, &next, &first_pieces));
    let kill = async {
        until("all read", LIMIT, async || (first_pieces.load(Ordering::SeqCst) == 6).then_some(())).await;
        tokio::task::block_in_place(|| servers.kill("hdfs-3.datanode"));
        first_pieces.store(GO_ON, Ordering::SeqCst);
    };
    let (all, ()) = futures::join!(futures::future::join_all(readers), kill);
    assert!(all.iter().all(|read| *read == content), "{:?} of {} bytes", all.iter().map(Vec::len).collect::<Vec<_>>(), content.len());
    tokio::task::block_in_place(|| servers.start("hdfs-3"));
    until("three copies can be made again", LIMIT, async || at.store.put(&at.path.clone().join("again"), "x".into()).await.ok()).await;
}

/// Uploads `content` in parts of `part` bytes.
async fn upload(at: &Location, path: &Path, content: &[u8], part: usize) -> object_store::Result<()> {
    let mut upload = at.store.put_multipart(path).await?;
    for part in content.chunks(part) {
        if let Err(error) = upload.put_part(part.to_vec().into()).await {
            upload.abort().await?;
            return Err(error);
        }
    }
    upload.complete().await.map(|_| ())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_there_is_not_yet_is_asked_for_again_and_no_byte_is_lost_or_doubled() {
    // Its blocks have 1 MiB.
    let hdfs = Servers::shared().hdfs_b();
    let wire = Wire::before(hdfs.uri.strip_prefix("hdfs://").unwrap()).await;
    let at = at(&format!("hdfs://{}", wire.address()), &[]);
    let content = bytes(5 * MIB + 12_345);
    // Parts that end in the middle of blocks, with them, and that hold several.
    for (part, spared, times) in [(700_000, 2, 1), (MIB, 2, 2), (4 * MIB, 4, 1)] {
        let path = at.path.clone().join(format!("in parts of {part}"));
        wire.refuse("addBlock", spared, times, EARLY);
        upload(&at, &path, &content, part).await.unwrap();
        assert_eq!(wire.left(), 0);
        assert!(at.store.get(&path).await.unwrap().bytes().await.unwrap() == content, "{path}");
    }
    // The closed file, too, is not opened at once, or the answer that it is open is lost.
    let path = at.path.clone().join("opened late");
    wire.refuse("addBlock", 2, 1, EARLY);
    wire.refuse("append", 0, 2, "java.io.IOException");
    upload(&at, &path, &content, 700_000).await.unwrap();
    assert_eq!(wire.left(), 0);
    assert!(at.store.get(&path).await.unwrap().bytes().await.unwrap() == content, "{path}");
    let path = at.path.clone().join("opened unheard");
    wire.refuse("addBlock", 2, 1, EARLY);
    wire.lose("append", 1);
    upload(&at, &path, &content, 700_000).await.unwrap();
    assert_eq!(wire.left(), 0);
    assert!(at.store.get(&path).await.unwrap().bytes().await.unwrap() == content, "{path}");
    let path = at.path.clone().join("at once");
    wire.refuse("addBlock", 2, 1, EARLY);
    at.store.put(&path, content.clone().into()).await.unwrap();
    assert_eq!(wire.left(), 0);
    assert!(at.store.get(&path).await.unwrap().bytes().await.unwrap() == content);
    until("nothing hidden is left", LIMIT, async || (raw_names(&hdfs.uri, &at.path).await.len() == 6).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn data_nodes_that_are_late_to_tell_of_their_blocks_are_waited_for() {
    let servers = Servers::own();
    let hdfs = tokio::task::block_in_place(|| servers.hdfs_of("hdfs-late"));
    let at = at(&hdfs.uri, &[("fs.request.timeout", "60 s"), ("fs.request.deadline", "120 s")]);
    let content = bytes(4 * MIB + 1);
    let before = NameNodeCalls::read(&hdfs).await;
    let (parts, whole) = (at.path.clone().join("in parts"), at.path.clone().join("at once"));
    upload(&at, &parts, &content, 500_000).await.unwrap();
    at.store.put(&whole, content.clone().into()).await.unwrap();
    for path in [&parts, &whole] {
        assert!(at.store.get(path).await.unwrap().bytes().await.unwrap() == content, "{path}");
    }
    let calls = NameNodeCalls::settled(&hdfs).await.since(&before);
    assert!(calls["Create"] == 2 && calls["Append"] >= 1, "each file goes on where it is: {calls:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_never_comes_ends_the_upload_with_the_option_to_raise() {
    const RETRIES: &str = "dfs.client.block.write.locateFollowingBlock.retries";
    let hdfs = Servers::shared().hdfs_b();
    let wire = Wire::before(hdfs.uri.strip_prefix("hdfs://").unwrap()).await;
    let at = at(&format!("hdfs://{}", wire.address()), &[(RETRIES, "1"), ("dfs.client.block.write.locateFollowingBlock.initial.delay.ms", "1")]);
    wire.refuse("addBlock", 2, 2, EARLY);
    let error = upload(&at, &at.path.clone().join("file"), &bytes(3 * MIB), MIB).await.unwrap_err();
    let text = weir_base::error::chain(&error);
    assert!(kind_of(&error) == ErrorKind::Transient && wire.left() == 0, "{text}");
    assert!(text.contains("no further block after 2 questions") && text.contains("NotReplicatedYetException") && text.contains(RETRIES), "{text}");
    until("nothing is left", LIMIT, async || raw_names(&hdfs.uri, &at.path).await.is_empty().then_some(())).await;
}
