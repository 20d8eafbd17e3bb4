//! Folders of HDFS in which files are stored in other ways: erasure-coded, and encrypted.

use std::path::{Path, PathBuf};

use object_store::ObjectStoreExt;
use tokio::task::block_in_place;
use weir_base::ErrorKind;
use weir_fs::{FileSystems, Location, kind_of};

use crate::orders::LIMIT;
use crate::support::{Hdfs, Servers, Workdir, until};

const CLUSTER: &str = "hdfs-zones";
const DATA_NODES: [&str; 5] = ["datanode", "datanode-2", "datanode-3", "datanode-4", "datanode-5"];
const MIB: usize = 1024 * 1024;

fn at(hdfs: &Hdfs, folder: &str) -> Location {
    FileSystems::default().resolve(&format!("{}/{folder}", hdfs.uri)).unwrap()
}

/// Three rows of three cells of a MiB, and a piece of a fourth one that ends within its second cell.
fn content() -> Vec<u8> {
    (0..10 * MIB + MIB / 3).map(|at| (at.wrapping_mul(2_654_435_761) >> 16) as u8).collect()
}

/// The files in which the DataNode called `name` keeps its blocks, without those that are being written.
fn blocks(hdfs: &Hdfs, name: &str) -> Vec<PathBuf> {
    fn below(folder: &Path, found: &mut Vec<PathBuf>) {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                below(&path, found);
            } else if path.file_name().unwrap().to_string_lossy().starts_with("blk_") && path.extension().is_none() {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    below(&hdfs.audit.with_file_name(name), &mut found);
    found.retain(|path| path.display().to_string().contains("/finalized/"));
    found
}

/// Empties two of the five DataNodes, as many as the policy can do without.
fn lose_two_units(hdfs: &Hdfs) {
    for name in ["datanode", "datanode-4"] {
        let blocks = blocks(hdfs, name);
        assert!(!blocks.is_empty(), "{name} has a part of every file");
        blocks.iter().for_each(|path| std::fs::remove_file(path).unwrap());
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
            // The places of the blocks are asked for anew. Units may be on their way: HDFS makes lost ones again by itself.
            let fresh = FileSystems::default().resolve(&at.uri).unwrap();
            let whole = async || fresh.store.get(&path(name)).await.ok()?.bytes().await.ok();
            assert!(until(&format!("{name} can be read {when}"), LIMIT, whole).await == content, "{name} {when}");
            let ends = [0, 1, MIB - 1, MIB, 3 * MIB + 7, 9 * MIB, 10 * MIB + 1, content.len()];
            for range in ends.windows(2).map(|pair| pair[0]..pair[1]) {
                let part = async || fresh.store.get_range(&path(name), range.start as u64..range.end as u64).await.ok();
                let read = until(&format!("{range:?} of {name} can be read {when}"), LIMIT, part).await;
                assert!(read == content[range.clone()], "{name}, {range:?} {when}");
            }
        }
    };
    all_are_whole("with all units").await;
    // A DataNode that was slow is left out by who writes, and its unit is made later: a third one must not be missing.
    until("every DataNode has a unit of each file", LIMIT, async || {
        DATA_NODES.iter().all(|name| block_in_place(|| blocks(&hdfs, name)).len() >= 3).then_some(())
    })
    .await;
    lose_two_units(&hdfs);
    all_are_whole("with three units of five").await;
    // Hadoop makes the lost units from what Weir has written as parity.
    hadoop(&["-get", "/striped/by-weir", "/striped/in-parts", &folder.path("").display().to_string()]);
    for name in ["by-weir", "in-parts"] {
        assert!(std::fs::read(folder.path(name)).unwrap() == content, "{name}, read by Hadoop");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_an_encryption_zone_are_encrypted_with_the_keys_of_the_cluster() {
    let servers = Servers::own();
    let (hdfs, kms) = block_in_place(|| (servers.hdfs_of(CLUSTER), servers.kms()));
    let hadoop = |words: &[&str]| block_in_place(|| servers.admin(CLUSTER, &[&["dfs"], words].concat()));
    let folder = Workdir::new();
    let content = content();
    std::fs::write(folder.path("sent"), &content).unwrap();
    let sent = folder.path("sent").display().to_string();
    folder.write("weir.toml", &format!("[fs.alias.zone]\nscheme = \"hdfs\"\nconf-dir = \"{}\"\n", hdfs.conf_ns1.display()));
    let authority = kms.ca.display().to_string();
    let weir = |arguments: &[&str]| folder.weir(["fs"].iter().chain(arguments)).env("SSL_CERT_FILE", &authority);

    hadoop(&["-put", &sent, "/encrypted/by-hadoop"]);
    weir(&["put", &sent, "zone://ns1/encrypted/by-weir"]).output(LIMIT).await.succeeded();
    weir(&["get", "zone://ns1/encrypted/by-hadoop", "by-hadoop"]).output(LIMIT).await.succeeded();
    weir(&["get", "zone://ns1/encrypted/by-weir", "by-weir"]).output(LIMIT).await.succeeded();
    hadoop(&["-get", "/encrypted/by-weir", &folder.path("").join("by-both").display().to_string()]);
    for name in ["by-hadoop", "by-weir", "by-both"] {
        assert!(std::fs::read(folder.path(name)).unwrap() == content, "{name}");
    }
    let stored = DATA_NODES.iter().flat_map(|name| blocks(&hdfs, name));
    let stored: Vec<_> = stored.map(|path| std::fs::read(path).unwrap()).filter(|block| block.len() == content.len()).collect();
    assert!(stored.len() >= 2 && stored.iter().all(|block| *block != content), "what the DataNodes have nobody can read");

    // Whoever has no way to the keys is told so, and leaves nothing.
    let at = at(&hdfs, "encrypted");
    let path = |name: &str| at.path.clone().join(name);
    let written = at.store.put(&path("without"), "x".into()).await.unwrap_err();
    let read = at.store.get(&path("by-hadoop")).await.unwrap_err();
    for error in [written, read] {
        let text = weir_base::error::chain(&error);
        assert!(kind_of(&error) == ErrorKind::User && text.contains("hadoop.security.key.provider.path"), "{text}");
    }
    block_in_place(|| servers.kill("kms"));
    folder.write("impatient.toml", &(std::fs::read_to_string(folder.path("weir.toml")).unwrap() + "[fs.request]\ndeadline = \"4 s\"\n"));
    let refused = weir(&["--config", "impatient.toml", "put", &sent, "zone://ns1/encrypted/without"]).output(LIMIT).await;
    assert!(!refused.status.success() && refused.stderr.contains("KMS") && refused.stderr.contains("zone://"), "{}", refused.stderr);
    let listed = hadoop(&["-ls", "-C", "/encrypted"]);
    let left: Vec<&str> = listed.lines().filter(|line| line.starts_with('/') && !line.ends_with("/.Trash")).collect();
    assert_eq!(left, ["/encrypted/by-hadoop", "/encrypted/by-weir"]);
}
