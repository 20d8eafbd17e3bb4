//! `weir fs doctor`: the way to a place, step by step, when all is well and when it is not.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::fs_command::Fs;
use crate::support::Servers;

/// The steps that ended like this, with their texts and remedies.
fn steps<'a>(findings: &'a [Value], verdict: &str) -> Vec<(&'a str, String)> {
    let of = findings.iter().filter(|finding| finding["verdict"] == verdict);
    of.map(|finding| (finding["step"].as_str().unwrap(), format!("{} -> {}", finding["text"], finding["remedy"]))).collect()
}

async fn examine(fs: &Fs, arguments: &[&str], code: i32) -> Vec<Value> {
    let (found, stdout, stderr) = fs.run(&[&["doctor", "--json"], arguments].concat()).await;
    assert_eq!(found, code, "{arguments:?}\n{stdout}{stderr}");
    stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn doctor_goes_the_whole_way_and_leaves_nothing() {
    let fs = Fs::new();
    std::fs::create_dir(fs.folder.path("place")).unwrap();
    fs.ok(&["mkdir", "-p", &fs.hdfs]).await;
    for place in [fs.hdfs.clone(), fs.s3.clone(), fs.disk("place")] {
        let findings = examine(&fs, &[&place, "--write"], 0).await;
        let fine = steps(&findings, "ok");
        assert!(steps(&findings, "FAILED").is_empty(), "{findings:?}");
        let written = fine.iter().find(|(step, _)| *step == "writing").unwrap_or_else(|| panic!("{findings:?}"));
        assert!(written.1.contains("a second one of its name was refused"), "{written:?}");
        // The folder of an object store is gone with its only file.
        assert_eq!(fs.run(&["ls", "-a", &place]).await.1, "", "nothing is left");
    }
    let findings = examine(&fs, &[&fs.hdfs], 0).await;
    assert_eq!(steps(&findings, "skipped").iter().map(|(step, _)| *step).collect::<Vec<_>>(), ["writing"], "{findings:?}");
    assert!(!format!("{findings:?}").contains(&Servers::shared().s3().secret_key));
}

#[tokio::test]
async fn doctor_says_that_a_name_node_is_down_silent_or_not_known() {
    let servers = Servers::own();
    let fs = Fs::of(&servers);
    let place = servers.hdfs().uri;

    servers.pause("hdfs.namenode");
    let begun = Instant::now();
    let silent = examine(&fs, &[&place], 1).await;
    assert!(begun.elapsed() < Duration::from_secs(100), "{:?}", begun.elapsed());
    let failed = steps(&silent, "FAILED");
    assert!(failed.len() == 1 && failed[0].0 == "answer" && failed[0].1.contains("no answer within"), "{silent:?}");
    assert!(failed[0].1.contains("NameNode's log"), "{silent:?}");
    servers.resume("hdfs.namenode");

    servers.kill("hdfs.namenode");
    let down = examine(&fs, &[&place], 1).await;
    let failed = steps(&down, "FAILED");
    assert!(failed.len() == 1 && failed[0].0 == "network" && failed[0].1.contains("refuses connections"), "{down:?}");
    assert!(failed[0].1.contains("is the NameNode"), "{down:?}");
    assert_eq!(steps(&down, "skipped").len(), 2, "{down:?}");

    let unknown = examine(&fs, &["hdfs://no-such-host.invalid:8020/x"], 1).await;
    let failed = steps(&unknown, "FAILED");
    assert!(failed.len() == 1 && failed[0].1.contains("`no-such-host.invalid` has no address") && failed[0].1.contains("DNS"), "{unknown:?}");
}

#[tokio::test]
async fn doctor_reads_the_configuration_and_takes_one_name_node_of_two() {
    let fs = Fs::new();
    let alive = Servers::shared().hdfs();
    let address = alive.uri.strip_prefix("hdfs://").unwrap();
    let conf = fs.folder.path("conf");
    std::fs::create_dir(&conf).unwrap();
    let entry = |name: &str, value: &str| format!("<property><name>{name}</name><value>{value}</value></property>");
    let entries = [
        entry("dfs.nameservices", "pair"),
        entry("dfs.ha.namenodes.pair", "one,two"),
        entry("dfs.namenode.rpc-address.pair.one", "no-such-host.invalid:8020"),
        entry("dfs.namenode.rpc-address.pair.two", address),
    ];
    std::fs::write(conf.join("core-site.xml"), "<configuration/>").unwrap();
    std::fs::write(conf.join("hdfs-site.xml"), format!("<configuration>{}</configuration>", entries.concat())).unwrap();
    let setting = format!("--set=hadoop-conf-dir={}", conf.display());
    let findings = examine(&fs, &["hdfs://pair/", &setting], 0).await;
    let warned = steps(&findings, "warning");
    assert!(warned.len() == 1 && warned[0].1.contains("pair/one") && warned[0].1.contains("no address"), "{findings:?}");
    assert!(steps(&findings, "ok").iter().any(|(step, text)| *step == "configuration" && text.contains("hdfs-site.xml")), "{findings:?}");

    let missing = examine(&fs, &["hdfs://pair/", "--set=hadoop-conf-dir=/nowhere"], 1).await;
    let failed = steps(&missing, "FAILED");
    assert!(failed.len() == 1 && failed[0].1.contains("/nowhere"), "{missing:?}");
}

#[tokio::test]
async fn doctor_tells_a_wrong_key_from_a_missing_bucket_and_a_wrong_name() {
    let fs = Fs::new();
    let place = fs.s3.clone();
    let wrong = examine(&fs, &[&place, "--set=s3.secret-access-key=wrong"], 1).await;
    let failed = steps(&wrong, "FAILED");
    assert!(failed.len() == 1 && failed[0].0 == "answer", "{wrong:?}");
    assert!(failed[0].1.contains("access key") || failed[0].1.contains("secret-access-key"), "{wrong:?}");

    let bucket = examine(&fs, &["s3://there-is-no-such-bucket/x"], 1).await;
    let failed = steps(&bucket, "FAILED");
    assert!(failed.len() == 1 && failed[0].1.contains("bucket"), "{bucket:?}");

    let scheme = examine(&fs, &["s4://bucket/x"], 1).await;
    assert_eq!(steps(&scheme, "FAILED")[0].0, "name", "{scheme:?}");
}
