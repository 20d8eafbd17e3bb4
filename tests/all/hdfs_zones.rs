//! Folders of HDFS in which files are stored in other ways: erasure-coded ones work, encrypted ones are refused.

use std::path::Path as LocalPath;

use object_store::ObjectStoreExt;
use object_store::path::Path;
use tokio::task::block_in_place;
use weir_base::ErrorKind;
use weir_fs::{FileSystems, Location, kind_of};

use crate::support::{Hdfs, Servers, Workdir};

const CLUSTER: &str = "hdfs-zones";
const MIB: usize = 1024 * 1024;

fn at(hdfs: &Hdfs, folder: &str) -> Location {
    FileSystems::default().resolve(&format!("{}/{folder}", hdfs.uri)).unwrap()
}

/// Three rows of three cells of a MiB, and a piece of a fourth one that ends within its second cell.
fn content() -> Vec<u8> {
    (0..10 * MIB + MIB / 3).map(|at| (at.wrapping_mul(2_654_435_761) >> 16) as u8).collect()
}

/// Empties two of the five DataNodes, as many as the policy can do without; files that are being written are left alone.
fn lose_two_units(hdfs: &Hdfs) {
    fn delete_blocks(folder: &LocalPath) -> usize {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let deleted = entries.map(|path| {
            if path.is_dir() {
                return delete_blocks(&path);
            }
            let is_block = path.display().to_string().contains("/finalized/") && path.file_name().unwrap().to_string_lossy().starts_with("blk_");
            if is_block {
                std::fs::remove_file(&path).unwrap();
            }
            usize::from(is_block)
        });
        deleted.sum()
    }
    for name in ["datanode", "datanode-4"] {
        assert!(delete_blocks(&hdfs.audit.with_file_name(name)) > 0, "{name} has a part of every file");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn erasure_coded_files_are_written_and_read_as_hadoop_does_it_also_without_two_of_their_units() {
    let servers = Servers::shared();
    let hdfs = block_in_place(|| servers.hdfs_of(CLUSTER));
    let hadoop = |words: &[&str]| block_in_place(|| servers.admin(CLUSTER, &[&["dfs"], words].concat()));
    let (at, folder) = (at(&hdfs, "striped"), Workdir::new());
    let path = |name: &str| at.path.clone().join(name);
    let content = content();
    let local = |name: &str| folder.path(name).display().to_string();
    std::fs::write(folder.path("sent"), &content).unwrap();

    hadoop(&["-put", &local("sent"), "/striped/by-hadoop"]);
    at.store.put(&path("by-weir"), content.clone().into()).await.unwrap();
    let mut upload = at.store.put_multipart(&path("in-parts")).await.unwrap();
    for part in content.chunks(3 * MIB / 2) {
        upload.put_part(part.to_vec().into()).await.unwrap();
    }
    upload.complete().await.unwrap();
    let all_are_whole = async |when: &str| {
        for name in ["by-hadoop", "by-weir", "in-parts"] {
            // The places of the blocks are asked for anew.
            let fresh = FileSystems::default().resolve(&at.uri).unwrap();
            assert!(fresh.store.get(&path(name)).await.unwrap().bytes().await.unwrap() == content, "{name} {when}");
            let ends = [0, 1, MIB - 1, MIB, 3 * MIB + 7, 9 * MIB, 10 * MIB + 1, content.len()];
            for range in ends.windows(2).map(|pair| pair[0]..pair[1]) {
                let read = fresh.store.get_range(&path(name), range.start as u64..range.end as u64).await.unwrap();
                assert!(read == content[range.clone()], "{name}, {range:?} {when}");
            }
        }
    };
    all_are_whole("with all units").await;
    lose_two_units(&hdfs);
    all_are_whole("with three units of five").await;
    // Hadoop makes the lost units from what Weir has written as parity.
    hadoop(&["-get", "/striped/by-weir", "/striped/in-parts", &folder.path("").display().to_string()]);
    for name in ["by-weir", "in-parts"] {
        assert!(std::fs::read(folder.path(name)).unwrap() == content, "{name}, read by Hadoop");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encryption_zone_is_refused_in_words_and_nothing_is_left_in_it() {
    let servers = Servers::shared();
    let hdfs = block_in_place(|| servers.hdfs_of(CLUSTER));
    let hadoop = |words: &[&str]| block_in_place(|| servers.admin(CLUSTER, &[&["dfs"], words].concat()));
    let (at, folder) = (at(&hdfs, "encrypted"), Workdir::new());
    let sent = folder.write("sent", "of Hadoop").display().to_string();
    hadoop(&["-put", &sent, "/encrypted/by-hadoop"]);
    let path = |name: &str| -> Path { at.path.clone().join(name) };
    let written = at.store.put(&path("by-weir"), "of Weir".into()).await.unwrap_err();
    let read = at.store.get(&path("by-hadoop")).await.unwrap_err();
    for error in [written, read] {
        let text = weir_base::error::chain(&error);
        assert!(kind_of(&error) == ErrorKind::User && text.contains("encryption zone") && text.contains("KMS"), "{text}");
    }
    let listed = hadoop(&["-ls", "-C", "/encrypted"]);
    let left: Vec<&str> = listed.lines().filter(|line| line.starts_with('/') && !line.ends_with("/.Trash")).collect();
    assert_eq!(left, ["/encrypted/by-hadoop"]);
}
