//! `weir fs` on a real HDFS, a real S3 server and the disk, and between them.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::aliases::{of_hdfs, of_s3};
use crate::support::{NameNodeCalls, Running, Servers, Workdir, until};

const LIMIT: Duration = Duration::from_secs(120);
const MIB: usize = 1024 * 1024;

/// `weir fs` with what it needs to reach the test's servers.
pub(crate) struct Fs {
    pub(crate) folder: Workdir,
    settings: Vec<String>,
    pub(crate) hdfs: String,
    pub(crate) s3: String,
}

impl Fs {
    /// With a folder of the test's own on each.
    pub(crate) fn new() -> Self {
        Self::of(Servers::shared())
    }

    pub(crate) fn of(servers: &Servers) -> Self {
        let (hdfs, s3) = (servers.hdfs(), servers.s3());
        let own = format!("fs command {}", uuid::Uuid::new_v4().simple());
        let settings = [
            ("s3.endpoint", s3.endpoint.as_str()),
            ("s3.access-key-id", s3.access_key.as_str()),
            ("s3.secret-access-key", s3.secret_key.as_str()),
            ("s3.region", s3.region.as_str()),
        ];
        Self {
            folder: Workdir::new(),
            settings: settings.map(|(key, value)| format!("--set={key}={value}")).to_vec(),
            hdfs: format!("{}/{own}", hdfs.uri),
            s3: format!("s3://{}/{own}", s3.bucket),
        }
    }

    pub(crate) fn disk(&self, name: &str) -> String {
        self.folder.path(name).display().to_string()
    }

    fn start(&self, arguments: &[&str], faults: &str) -> Running {
        let (command, rest) = arguments.split_first().unwrap();
        // The last of two settings counts: a test can say otherwise.
        let settings = self.settings.iter().map(String::as_str);
        let launch = self.folder.weir(["fs", command].into_iter().chain(settings).chain(rest.iter().copied()));
        if faults.is_empty() { launch.start() } else { launch.env("WEIR_FS_FAULTS", faults).start() }
    }

    /// Runs it and gives its exit code, standard output and standard error.
    pub(crate) async fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let output = self.start(arguments, "").wait(LIMIT).await;
        (output.status.code().unwrap(), output.stdout, output.stderr)
    }

    /// What it prints when all goes well.
    pub(crate) async fn ok(&self, arguments: &[&str]) -> String {
        let (code, stdout, stderr) = self.run(arguments).await;
        assert_eq!(code, 0, "{arguments:?}\n{stdout}{stderr}");
        stdout
    }

    /// The objects that it prints when all goes well.
    async fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let text = self.ok(&[arguments, &["--json"]].concat()).await;
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// What it says on standard error when it fails with this code.
    async fn fails(&self, arguments: &[&str], code: i32) -> String {
        let (found, stdout, stderr) = self.run(arguments).await;
        assert_eq!(found, code, "{arguments:?}\n{stdout}{stderr}");
        stderr
    }
}

/// Content whose period fits no part of an upload.
fn body(seed: u8, length: usize) -> Vec<u8> {
    let block: Vec<u8> = (0..65_537_u32).map(|at| (at as u8).wrapping_mul(31).wrapping_add((at >> 8) as u8).wrapping_add(seed)).collect();
    let mut body = block.repeat(length / block.len() + 1);
    body.truncate(length);
    body
}

/// Files with odd and deep names, an empty one, and one of several parts.
fn plant(root: &Path) {
    let files = [
        ("a b/100% sure/%20", 1_000),
        ("ünïcode-日本/k=v&plus+", 70_000),
        ("deep/1/2/3/4/5/6/7/8/9/10/11/12/x", 17),
        ("[x]{y}~/quote'\"/star*q?#x", 5),
        (".hidden/empty", 0),
        ("big", 20 * MIB + 12_345),
    ];
    for (seed, (name, length)) in files.into_iter().enumerate() {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, body(seed as u8, length)).unwrap();
    }
}

/// The files below a folder of the disk.
fn files_below(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.insert(path.strip_prefix(root).unwrap().display().to_string(), std::fs::read(path).unwrap());
            }
        }
    }
    files
}

/// The checksums that a copy printed, by length.
fn checksums(events: &[Value]) -> BTreeMap<u64, String> {
    let copied = events.iter().filter(|event| event["outcome"] == "copied");
    copied.map(|event| (event["size"].as_u64().unwrap(), event["sha256"].as_str().unwrap().to_owned())).collect()
}

fn count(events: &[Value], outcome: &str) -> usize {
    events.iter().filter(|event| event["outcome"] == outcome).count()
}

#[tokio::test]
async fn a_tree_goes_from_disk_to_hdfs_to_s3_to_hdfs_to_disk_and_stays_the_same() {
    let fs = Fs::new();
    plant(&fs.folder.path("tree"));
    std::fs::create_dir_all(fs.folder.path("tree/empty folder/inside")).unwrap();
    let (hdfs, s3, again) = (format!("{}/tree", fs.hdfs), format!("{}/tree", fs.s3), format!("{}/again", fs.hdfs));
    let legs = [
        fs.json(&["put", "-r", "tree", &hdfs]).await,
        fs.json(&["cp", "-r", &hdfs, &s3]).await,
        fs.json(&["cp", "-r", &s3, &again, "--parallel", "1"]).await,
        fs.json(&["get", "-r", &again, "back"]).await,
    ];
    for leg in &legs {
        assert_eq!((count(leg, "copied"), checksums(leg)), (6, checksums(&legs[0])));
    }
    assert!(files_below(&fs.folder.path("tree")) == files_below(&fs.folder.path("back")), "the same bytes came back");
    fs.ok(&["test", "-d", &format!("{hdfs}/empty folder/inside")]).await;
    fs.fails(&["test", "-e", &format!("{s3}/empty folder")], 1).await;
    // The same command given again finds all of it, and without --resume touches nothing.
    let again = fs.json(&["cp", "-r", "--resume", &hdfs, &s3]).await;
    assert_eq!((count(&again, "same"), count(&again, "copied")), (6, 0));
    assert!(fs.fails(&["cp", "-r", &hdfs, &s3], 1).await.contains("--resume completes it"));
    let sums = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let (one, other) = (sums(&fs.ok(&["du", "-s", &hdfs]).await), sums(&fs.ok(&["du", "-s", &s3]).await));
    assert_eq!((&one[0], &one[2]), (&other[0], &other[1]), "as many bytes and files");
}

/// Every way between a disk, two clusters and two endpoints that the other tests here leave out, each copy from the one before.
#[tokio::test]
async fn a_tree_goes_from_each_cluster_and_endpoint_to_each_other_one_and_stays_the_same() {
    let fs = Fs::new();
    let servers = Servers::shared();
    let (s3_a, s3_b) = (servers.s3(), servers.s3_b());
    let config = [
        of_hdfs("aahdfs", &servers.hdfs()),
        of_hdfs("bbhdfs", &servers.hdfs_b()),
        of_s3("aas3", &s3_a, &s3_a.endpoint),
        of_s3("bbs3", &s3_b, &s3_b.endpoint),
    ];
    fs.folder.write("weir.toml", &config.concat());
    plant(&fs.folder.path("tree"));
    let place = format!("ways-{}", uuid::Uuid::new_v4().simple());
    let [disk, hdfs_a, hdfs_b, s3_a, s3_b] = [
        fs.disk("ways"),
        format!("aahdfs://ns1/{place}"),
        format!("bbhdfs://ns1/{place}"),
        format!("aas3://{}/{place}", s3_a.bucket),
        format!("bbs3://{}/{place}", s3_b.bucket),
    ];
    let way = [&hdfs_b, &hdfs_a, &s3_b, &disk, &s3_b, &hdfs_b, &s3_a, &hdfs_b, &s3_b, &s3_a, &s3_b, &hdfs_a];
    let (mut from, mut sums) = (fs.disk("tree"), None);
    for (leg, home) in way.into_iter().enumerate() {
        let to = format!("{home}/leg {leg}");
        let copied = fs.json(&["cp", "-r", &from, &to]).await;
        assert_eq!(count(&copied, "copied"), 6, "{from} to {to}");
        assert_eq!(checksums(&copied), *sums.get_or_insert_with(|| checksums(&copied)), "{from} to {to}");
        from = to;
    }
    fs.ok(&["get", "-r", &from, "back"]).await;
    assert!(files_below(&fs.folder.path("back")) == files_below(&fs.folder.path("tree")), "the same bytes came back");
}

#[tokio::test]
async fn a_copy_killed_in_the_middle_shows_whole_files_only_and_is_completed() {
    let fs = Fs::new();
    let root = fs.folder.path("tree");
    plant(&root);
    for number in 0..30 {
        std::fs::write(root.join(format!("part-{number}")), body(number, 100_000)).unwrap();
    }
    for target in [format!("{}/tree", fs.hdfs), format!("{}/tree", fs.s3)] {
        let running = fs.start(&["put", "-r", "tree", &target], "part:*/big@2+=delay:600000;put:*/part-*@20+=delay:600000");
        until("half of it is there", LIMIT, async || {
            let (code, stdout, _) = fs.run(&["find", &target, "--type", "f"]).await;
            (code == 0 && stdout.lines().count() >= 19).then_some(())
        })
        .await;
        running.kill().await;
        fs.ok(&["get", "-r", &target, "seen/"]).await;
        let (seen, source) = (files_below(&fs.folder.path("seen/tree")), files_below(&root));
        assert!(seen.len() >= 19 && seen.len() < source.len() && !seen.contains_key("big"));
        assert!(seen.iter().all(|(name, content)| source[name] == *content), "every file that is seen is whole");
        let resumed = fs.json(&["put", "-r", "--resume", "tree", &target]).await;
        assert_eq!((count(&resumed, "same"), count(&resumed, "copied")), (seen.len(), source.len() - seen.len()));
        fs.ok(&["get", "-r", "--resume", &target, "seen/tree"]).await;
        assert!(files_below(&fs.folder.path("seen/tree")) == source, "the same bytes came back");
        std::fs::remove_dir_all(fs.folder.path("seen")).unwrap();
    }
}

#[tokio::test]
async fn an_interrupted_copy_leaves_nothing_hidden() {
    let fs = Fs::new();
    plant(&fs.folder.path("tree"));
    for target in [format!("{}/tree", fs.hdfs), fs.disk("copy")] {
        let mut running = fs.start(&["cp", "-r", "-v", &fs.disk("tree"), &target], "part:*/big@2+=delay:600000");
        until("all but the big file is there", LIMIT, async || {
            let (code, stdout, _) = fs.run(&["find", &target, "--type", "f"]).await;
            (code == 0 && stdout.lines().count() == 5).then_some(())
        })
        .await;
        running.terminate();
        running.logged("interrupted", LIMIT).await;
        let output = running.wait(LIMIT).await.failed_with(130);
        // The last of the five may be there a moment before it is counted.
        let counted = ["4 files", "5 files"].iter().any(|files| output.stderr.contains(files));
        assert!(counted && output.stderr.contains("--resume goes on"), "{}", output.stderr);
        let listed = fs.ok(&["ls", "-R", "-a", "-C", &target]).await;
        assert!(!listed.contains("/big") && !listed.contains("/.big"), "{listed}");
    }
}

#[tokio::test]
async fn a_large_file_is_copied_in_bounded_memory() {
    let fs = Fs::new();
    let length = 400 * MIB;
    std::fs::write(fs.folder.path("large"), body(7, length)).unwrap();
    for (from, to) in [(fs.disk("large"), format!("{}/large", fs.hdfs)), (format!("{}/large", fs.hdfs), format!("{}/large", fs.s3))] {
        let running = fs.start(&["cp", &from, &to], "");
        let mut peak = 0;
        until("it has ended", LIMIT, async || match running.peak_memory() {
            Some(now) => {
                peak = peak.max(now);
                None
            }
            None => Some(()),
        })
        .await;
        running.wait(LIMIT).await.succeeded();
        println!("peak memory of `cp {from} {to}`: {} MiB", peak >> 20);
        assert!(peak > 0 && peak < 256 << 20, "{} MiB", peak >> 20);
    }
    let stat = fs.json(&["stat", "--checksum", &fs.disk("large"), &format!("{}/large", fs.s3)]).await;
    assert_eq!(stat[0]["sha256"], stat[1]["sha256"]);
    assert_eq!(stat[1]["size"], length);
}

#[tokio::test]
async fn hdfs_is_asked_once_to_move_to_add_up_and_to_delete_a_folder() {
    let servers = Servers::own();
    let fs = Fs::of(&servers);
    plant(&fs.folder.path("tree"));
    let hdfs = servers.hdfs();
    let (tree, moved) = (format!("{}/tree", fs.hdfs), format!("{}/moved", fs.hdfs));
    fs.ok(&["put", "-r", "tree", &tree]).await;
    let commands: [(&[&str], &str); 3] =
        [(&["mv", &tree, &moved], "Rename2"), (&["du", "-s", &moved], "GetContentSummary"), (&["rm", "-r", &moved], "Delete")];
    for (command, call) in commands {
        let before = NameNodeCalls::settled(&hdfs).await;
        fs.ok(command).await;
        let mut calls = NameNodeCalls::settled(&hdfs).await.since(&before);
        // Looking at what is there.
        assert!(calls.remove("GetFileInfo").is_some_and(|looks| looks <= 2), "{calls:?}");
        assert_eq!(calls, [(call.to_owned(), 1)].into(), "{command:?}");
    }
    fs.fails(&["test", "-e", &moved], 1).await;
}

#[tokio::test]
async fn a_move_between_file_systems_needs_to_be_asked_for_and_leaves_what_was_not_copied() {
    let fs = Fs::new();
    plant(&fs.folder.path("tree"));
    let source = files_below(&fs.folder.path("tree"));
    let (hdfs, s3) = (format!("{}/tree", fs.hdfs), format!("{}/tree", fs.s3));
    fs.ok(&["put", "-r", "tree", &hdfs]).await;
    assert!(fs.fails(&["mv", &hdfs, &s3], 1).await.contains("--copy"));
    fs.fails(&["test", "-e", &s3], 1).await;
    let interrupted = fs.start(&["mv", "--copy", &hdfs, &s3, "--set=fs.request.deadline=2 s"], "put:*/%20=enospc").wait(LIMIT).await.failed_with(1);
    assert!(interrupted.stderr.contains("%20`") && interrupted.stderr.contains("weir fs doctor"), "{}", interrupted.stderr);
    assert_eq!(fs.ok(&["find", &hdfs, "--type", "f"]).await.trim(), format!("{hdfs}/a b/100% sure/%20"));
    fs.ok(&["mv", "--copy", "--resume", &hdfs, &s3]).await;
    fs.fails(&["test", "-e", &hdfs], 1).await;
    // Within an object store there are no renames either.
    let renamed = format!("{}/renamed", fs.s3);
    fs.fails(&["mv", &s3, &renamed], 1).await;
    fs.ok(&["mv", "--copy", &s3, &renamed]).await;
    fs.ok(&["get", "-r", &renamed, "back"]).await;
    assert!(files_below(&fs.folder.path("back")) == source, "the same bytes came back");
}

#[tokio::test]
async fn files_are_listed_found_shown_and_deleted_on_every_store() {
    let fs = Fs::new();
    plant(&fs.folder.path("tree"));
    std::fs::write(fs.folder.path("tree/lines"), "one\ntwo\nthree\n").unwrap();
    for root in [format!("{}/all", fs.hdfs), format!("{}/all", fs.s3), fs.disk("all")] {
        let at = |name: &str| format!("{root}/{name}");
        fs.ok(&["put", "-r", "tree", &root]).await;
        let listed = fs.ok(&["ls", &root]).await;
        let names: Vec<&str> = listed.lines().filter_map(|line| line.rsplit("  ").next()).collect();
        assert_eq!(names, [".hidden/", "[x]{y}~/", "a b/", "big", "deep/", "lines", "ünïcode-日本/"], "{listed}");
        let big = fs.ok(&["find", &root, "--min-size", "1mb"]).await;
        assert!(big.lines().count() == 1 && big.trim().ends_with("/all/big"), "{big}");
        assert_eq!(fs.ok(&["find", &root, "--name", "lin?s", "--newer-than", "1 h"]).await.lines().count(), 1);
        assert_eq!(fs.ok(&["cat", &at("lines"), &at("lines")]).await, "one\ntwo\nthree\n".repeat(2));
        assert_eq!(fs.ok(&["head", "-n", "2", &at("lines")]).await, "one\ntwo\n");
        assert_eq!(fs.ok(&["head", "-c", "5", &at("lines")]).await, "one\nt");
        let stat = fs.json(&["stat", &at("lines"), &at("deep")]).await;
        assert_eq!((&stat[0]["kind"], &stat[0]["size"], &stat[1]["kind"]), (&"file".into(), &14.into(), &"folder".into()));
        for (question, name) in [("-e", "lines"), ("-f", "lines"), ("-s", "lines"), ("-d", "deep"), ("-s", "deep"), ("-z", ".hidden/empty")] {
            fs.ok(&["test", question, &at(name)]).await;
        }
        for (question, name) in [("-d", "lines"), ("-z", "lines"), ("-f", "deep"), ("-e", "line"), ("-s", ".hidden/empty")] {
            fs.fails(&["test", question, &at(name)], 1).await;
        }
        assert!(fs.fails(&["ls", &at("missing"), &at("lines")], 1).await.contains("/missing`"));
        assert!(fs.fails(&["cat", &at("deep")], 1).await.contains("weir fs ls"));
        assert!(fs.fails(&["rm", &at("deep")], 1).await.contains("-r"));
        let would = fs.ok(&["rm", "-r", "--dry-run", &at("deep")]).await;
        assert!(would.contains("would delete") && would.contains("/12/x"), "{would}");
        fs.ok(&["test", "-e", &at("deep")]).await;
        fs.ok(&["rm", "-r", &at("deep"), &at("lines")]).await;
        fs.fails(&["test", "-e", &at("deep")], 1).await;
        fs.ok(&["rm", "-f", &at("lines")]).await;
        fs.fails(&["rm", &at("lines")], 1).await;
        fs.ok(&["mkdir", "-p", &at("made/of/parts")]).await;
    }
    fs.ok(&["test", "-d", &format!("{}/all/made/of/parts", fs.hdfs)]).await;
    assert!(fs.fails(&["mkdir", &format!("{}/all/no/parent", fs.hdfs)], 1).await.contains("-p"));
    assert!(fs.fails(&["ls", "relative/path"], 2).await.contains("absolute"));
    assert!(fs.fails(&["ls", "s4://bucket/x"], 2).await.contains("s3"));
    fs.fails(&["copy", "a", "b"], 2).await;
}

#[tokio::test]
async fn two_clusters_of_one_name_are_two_file_systems() {
    let fs = Fs::new();
    let servers = Servers::shared();
    plant(&fs.folder.path("tree"));
    let (a, b) = (servers.hdfs(), servers.hdfs_b());
    let config = [of_hdfs("aahdfs", &a), of_hdfs("bbhdfs", &b), of_hdfs("below", &b), "root = \"/clusters\"\n".to_owned()];
    fs.folder.write("weir.toml", &config.concat());
    fs.ok(&["put", "-r", "tree", "aahdfs://ns1/clusters/one"]).await;
    let copied = fs.json(&["cp", "-r", "aahdfs://ns1/clusters/one", "bbhdfs://ns1/clusters/two"]).await;
    assert_eq!(count(&copied, "copied"), 6);
    fs.fails(&["test", "-e", "aahdfs://ns1/clusters/two"], 1).await;
    fs.fails(&["test", "-e", "bbhdfs://ns1/clusters/one"], 1).await;
    assert!(fs.fails(&["mv", "aahdfs://ns1/clusters/one", "bbhdfs://ns1/clusters/three"], 1).await.contains("--copy"));
    // An alias with a root shows what is below it, by its own names.
    assert_eq!(fs.ok(&["ls", "-C", "below://ns1/"]).await, "below://ns1/two\n");
    fs.ok(&["mv", "below://ns1/two", "below://ns1/made/moved"]).await;
    fs.ok(&["get", "-r", "bbhdfs://ns1/clusters/made/moved", "back"]).await;
    assert!(files_below(&fs.folder.path("back")) == files_below(&fs.folder.path("tree")), "the same bytes came back");
    fs.ok(&["rm", "-r", "below://ns1/made"]).await;
    fs.fails(&["test", "-e", "bbhdfs://ns1/clusters/made"], 1).await;
    let doctor = fs.ok(&["doctor", "below://ns1/"]).await;
    assert!(doctor.contains("alias 'below', bound to hdfs") && doctor.contains("root `/clusters`"), "{doctor}");
}
