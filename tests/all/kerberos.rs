//! Secured HDFS: two identities in one process, each from its alias; protection of what is transferred; and what is said when nobody is
//! let in.

use std::path::Path;

use crate::orders::{LIMIT, committed, endpoint, order, run};
use crate::support::{Hdfs, Kdc, Row, Servers, Topic, Workdir};

const SECURED: &str = "hdfs-kerberos";

/// One alias in a `weir.toml`.
fn alias(name: &str, conf: &Path, options: &[(&str, &str)]) -> String {
    let options: String = options.iter().map(|(key, value)| format!("option.{key} = \"{value}\"\n")).collect();
    format!("[fs.alias.{name}]\nscheme = \"hdfs\"\nconf-dir = \"{}\"\n{options}", conf.display())
}

/// An alias that is `user`.
fn alias_of(name: &str, hdfs: &Hdfs, kdc: &Kdc, user: &str) -> String {
    let (principal, keytab) = (format!("{user}@{}", kdc.realm), kdc.keytab(user));
    alias(name, &hdfs.conf_ns1, &[("hadoop.kerberos.principal", &principal), ("hadoop.kerberos.keytab", &keytab)])
}

/// A job that writes the orders' clicks as one user and their buys as another one, into folders that are named for them.
fn job(folder: &Workdir, topic: &Topic, brokers: &str) -> std::path::PathBuf {
    let uri = |name: &str| format!("sqlite:{}", folder.path(name).display());
    let (a, b, topic) = (uri("a.db"), uri("b.db"), topic.name());
    let text = format!(
        "SET 'pipeline.name' = 'two-principals';
SET 'execution.checkpointing.interval' = '1 s';
SET 'execution.checkpointing.dir' = 'ofalice://ns1/alice/checkpoints';
CREATE TABLE orders (id BIGINT, event_type STRING) WITH ('connector' = 'kafka', 'topic' = '{topic}', 'properties.bootstrap.servers' = '{brokers}',
  'scan.startup.mode' = 'earliest-offset', 'format' = 'json');
CREATE CATALOG a WITH ('type' = 'iceberg', 'catalog-type' = 'sql', 'uri' = '{a}', 'warehouse' = 'ofalice://ns1/alice/warehouse');
CREATE CATALOG b WITH ('type' = 'iceberg', 'catalog-type' = 'sql', 'uri' = '{b}', 'warehouse' = 'ofbob://ns1/bob/warehouse');
CREATE DATABASE IF NOT EXISTS a.shop;
CREATE DATABASE IF NOT EXISTS b.shop;
CREATE TABLE IF NOT EXISTS a.shop.clicks (id BIGINT);
CREATE TABLE IF NOT EXISTS b.shop.buys (id BIGINT);
EXECUTE STATEMENT SET BEGIN
  INSERT INTO a.shop.clicks SELECT id FROM orders WHERE event_type = 'click';
  INSERT INTO b.shop.buys SELECT id FROM orders WHERE event_type = 'buy';
END;
"
    );
    folder.write("job.sql", &text)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_job_writes_as_two_principals_through_a_restart_of_the_name_node() {
    let servers = Servers::own();
    let (hdfs, kdc) = tokio::task::block_in_place(|| (servers.hdfs_of(SECURED), servers.kdc()));
    let folder = Workdir::new();
    folder.write("weir.toml", &(alias_of("ofalice", &hdfs, &kdc, "alice") + &alias_of("ofbob", &hdfs, &kdc, "bob")));
    let brokers = Servers::shared().kafka();
    let topic = Topic::create(&brokers, "orders", 1, &[]).await;
    let send = async |ids: std::ops::Range<u64>| drop(topic.produce(ids.map(|id| Row::new(0, order(id)))).await);
    send(0..4_000).await;
    let file = job(&folder, &topic, &brokers);
    // The environment of the process says that we are somebody else, with tickets that nobody has.
    let launch = |arguments: &[&std::ffi::OsStr]| {
        let of_others = folder.path("tickets").display().to_string();
        let launch = folder.weir(arguments).env("KRB5_CONFIG", &kdc.krb5_conf.display().to_string());
        launch.env("KRB5CCNAME", &of_others).env("HADOOP_USER_NAME", "nobody-of-ours")
    };
    let running = launch(&run(&file)).start();
    let http = endpoint(&folder, 0).await;
    committed(&http, 2_000).await;
    tokio::task::block_in_place(|| {
        servers.kill("hdfs-kerberos.namenode");
        servers.start(SECURED);
    });
    send(4_000..8_000).await;
    committed(&http, 4_000).await;
    running.terminate();
    running.wait(LIMIT).await.succeeded();
    for table in ["a.shop.clicks", "b.shop.buys"] {
        launch(&["verify".as_ref(), "--init".as_ref(), file.as_os_str(), table.as_ref()]).output(LIMIT).await.succeeded();
    }

    // Hadoop's own tool says whose each file is.
    let listed = tokio::task::block_in_place(|| servers.admin(SECURED, &["dfs", "-ls", "-R", "/alice", "/bob"]));
    let files: Vec<(&str, &str)> = listed.lines().filter_map(|line| Some((line.split_whitespace().nth(2)?, &line[line.find(" /")? + 1..]))).collect();
    for user in ["alice", "bob"] {
        let own = files.iter().filter(|(_, path)| path.starts_with(&format!("/{user}/warehouse/")) && path.ends_with(".parquet"));
        assert!(own.count() >= 2, "files from before and after the restart: {listed}");
        assert!(files.iter().all(|(owner, path)| path.starts_with(&format!("/{user}/")) == (*owner == user)), "{listed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_transferred_may_be_signed_or_encrypted() {
    for name in ["hdfs-kerberos", "hdfs-kerberos-integrity", "hdfs-kerberos-privacy"] {
        let servers = Servers::own();
        let (hdfs, kdc) = tokio::task::block_in_place(|| (servers.hdfs_of(name), servers.kdc()));
        let folder = Workdir::new();
        folder.write("weir.toml", &(alias_of("ofalice", &hdfs, &kdc, "alice") + &alias_of("ofbob", &hdfs, &kdc, "bob")));
        let bytes: Vec<u8> = (0..5_000_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        std::fs::write(folder.path("there"), &bytes).unwrap();
        let weir = |arguments: &[&str]| folder.weir(["fs"].iter().chain(arguments)).env("KRB5_CONFIG", &kdc.krb5_conf.display().to_string());
        weir(&["mkdir", "ofalice://ns1/own"]).output(LIMIT).await.succeeded();
        weir(&["put", "there", "ofalice://ns1/own/file"]).output(LIMIT).await.succeeded();
        weir(&["get", "ofbob://ns1/own/file", "back"]).output(LIMIT).await.succeeded();
        assert!(std::fs::read(folder.path("back")).unwrap() == bytes, "{name}");
        let denied = weir(&["put", "there", "ofbob://ns1/own/of-bob"]).output(LIMIT).await;
        assert!(!denied.status.success(), "{name}: bob wrote into alice's folder");
        assert!(denied.stderr.contains("ofbob://ns1/own/of-bob") && denied.stderr.contains("Permission denied: user=bob"), "{}", denied.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_is_told_why_nobody_is_let_in() {
    let (hdfs, kdc) = tokio::task::block_in_place(|| (Servers::shared().hdfs_of(SECURED), Servers::shared().kdc()));
    let folder = Workdir::new();
    let (principal, keytab, conf) = (format!("alice@{}", kdc.realm), kdc.keytab("alice"), &hdfs.conf_ns1);
    let away = std::fs::read_to_string(&kdc.krb5_conf).unwrap().replace("kdc = 127.0.0.1:", "kdc = 127.0.0.2:");
    let (here, away) = (kdc.krb5_conf.clone(), folder.write("krb5.conf", &away));
    let no_cache = format!("FILE:{}", folder.path("none").display());
    let stranger = format!("carol@{}", kdc.realm);
    let of = |principal: &str, secret: (&str, &str)| alias("aa", conf, &[("hadoop.kerberos.principal", principal), secret]);
    let by_keytab = of(&principal, ("hadoop.kerberos.keytab", &keytab));
    let simple = alias("aa", conf, &[("hadoop.security.authentication", "simple")]);
    let cases: [(&str, String, &Path, &[&str]); 6] = [
        (
            "no keytab",
            of(&principal, ("hadoop.kerberos.keytab", "/nowhere/of.keytab")),
            &here,
            &["'/nowhere/of.keytab' of 'alice@TEST.LOCAL'", "No such file"],
        ),
        ("a stranger", of(&stranger, ("hadoop.kerberos.keytab", &keytab)), &here, &["'carol@TEST.LOCAL'", &keytab, "klist -kt"]),
        ("no ticket", of(&principal, ("hadoop.kerberos.ticket-cache", &no_cache)), &here, &[&principal, &no_cache, "kinit"]),
        ("no KDC", by_keytab, &away, &[&principal, "Cannot contact any KDC for realm 'TEST.LOCAL'", "KRB5_CONFIG"]),
        ("no identity", alias("aa", conf, &[]), &here, &["hadoop.kerberos.principal", "hadoop.kerberos.keytab"]),
        ("no Kerberos", simple, &here, &["if the cluster wants Kerberos", "'hadoop.security.authentication' = 'kerberos'"]),
    ];
    for (case, text, krb5, words) in cases {
        folder.write("weir.toml", &format!("[fs.request]\ndeadline = \"4 s\"\n{text}"));
        let launch = folder.weir(["fs", "ls", "aa://ns1/"]).env("KRB5_CONFIG", &krb5.display().to_string()).env("KRB5CCNAME", &no_cache);
        let refused = launch.output(LIMIT).await;
        assert!(!refused.status.success(), "{case}: {}", refused.stdout);
        for word in words {
            assert!(refused.stderr.contains(word), "{case}: no {word} in\n{}", refused.stderr);
        }
        assert!(!refused.stderr.contains("GssMajorCodes"), "{case}: {}", refused.stderr);
    }
}
