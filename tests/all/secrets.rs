//! Passwords, keys and tokens of file systems and catalogs are shown nowhere: not in logs at any level, errors, `/status`, `/metrics`,
//! EXPLAIN, SHOW, metadata or checkpoints. What Kafka is told is in `kafka_security`.

use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use weir_fs::{FileSystems, Location};

use crate::orders::{COLUMNS, LIMIT, committed, send};
use crate::support::{Servers, Topic, Warehouse, Workdir, holds};

const PARTITIONS: u64 = 2;

/// Secrets that no server asks for; each names where it stands.
const UNUSED: [&str; 9] = [
    "hunter2-token-of-rest",
    "hunter2-header-of-rest",
    "hunter2-password-in-uri",
    "hunter2-parameter-in-uri",
    "hunter2-password-of-sql",
    "hunter2-key-id-of-alias",
    "hunter2-secret-of-alias",
    "hunter2-session-of-alias",
    "hunter2-secret-of-hadoop",
];

/// A job with two catalogs and two aliases, all of them full of secrets, whose files are below `place` in the bucket.
fn job(folder: &Workdir, place: &str, topic: &Topic) -> std::path::PathBuf {
    let servers = Servers::shared();
    let (s3, rest, postgres, brokers) = (servers.s3(), servers.rest(Warehouse::S3), servers.postgres(), servers.kafka());
    let [token, header, in_uri, parameter, password, key_id, secret, session, hadoop] = UNUSED;
    let (topic, endpoint, bucket) = (topic.name(), &s3.endpoint, &s3.bucket);
    let postgres = postgres.replacen('@', &format!(":{in_uri}@"), 1);
    let files = |prefix: &str| {
        let keys = [("endpoint", endpoint), ("access-key-id", &s3.access_key), ("secret-access-key", &s3.secret_key), ("region", &s3.region)];
        keys.map(|(key, value)| format!("'{prefix}s3.{key}' = '{value}'"))
    };
    let far = files("fs.alias.far.option.").map(|setting| format!("SET {setting};\n")).concat();
    let of_rest = files("").join(", ");
    let text = format!(
        "SET 'fs.alias.far.scheme' = 's3';
{far}
SET 'fs.alias.idle.scheme' = 'oss';
SET 'fs.alias.idle.option.fs.oss.endpoint' = 'http://127.0.0.1:1';
SET 'fs.alias.idle.option.fs.oss.accessKeyId' = '{key_id}';
SET 'fs.alias.idle.option.fs.oss.accessKeySecret' = '{secret}';
SET 'fs.alias.idle.option.s3.session-token' = '{session}';
SET 'fs.alias.idle.option.fs.s3a.secret.key' = '{hadoop}';
SET 'pipeline.name' = 'secrets';
SET 'execution.checkpointing.interval' = '1 s';
SET 'execution.checkpointing.dir' = 'far://{bucket}/{place}/checkpoints';
CREATE CATALOG one WITH ('type' = 'iceberg', 'catalog-type' = 'rest', 'uri' = '{}', 'token' = '{token}', 'header.X-Door' = '{header}', {of_rest});
CREATE CATALOG two WITH ('type' = 'iceberg', 'catalog-type' = 'sql', 'uri' = '{postgres}?password={parameter}', 'password' = '{password}',
  'catalog-name' = '{place}', 'warehouse' = 'far://{bucket}/{place}/warehouse');
CREATE TABLE orders (
  id BIGINT, user_id BIGINT, item_id BIGINT, category STRING, event_type STRING, amount DECIMAL(10, 2), ts TIMESTAMP(3),
  props ROW<ip STRING, ua STRING, ref ROW<site STRING, pos INT>>,
  p INT METADATA FROM 'partition' VIRTUAL, o BIGINT METADATA FROM 'offset' VIRTUAL
) WITH ('connector' = 'kafka', 'topic' = '{topic}', 'properties.bootstrap.servers' = '{brokers}',
        'scan.startup.mode' = 'earliest-offset', 'format' = 'json');
CREATE DATABASE IF NOT EXISTS one.{place};
CREATE DATABASE IF NOT EXISTS two.shop;
CREATE TABLE IF NOT EXISTS one.{place}.orders ({COLUMNS});
CREATE TABLE IF NOT EXISTS two.shop.orders ({COLUMNS});
EXECUTE STATEMENT SET BEGIN
  INSERT INTO one.{place}.orders SELECT * FROM orders;
  INSERT INTO two.shop.orders SELECT * FROM orders;
END;
",
        rest.uri
    );
    folder.write("secrets.sql", &text)
}

/// Every object of the bucket whose name has `place` in it.
async fn stored(place: &str) -> Vec<(String, Vec<u8>)> {
    let s3 = Servers::shared().s3();
    let properties = [("s3.endpoint", &s3.endpoint), ("s3.access-key-id", &s3.access_key), ("s3.secret-access-key", &s3.secret_key)];
    let properties = properties.map(|(key, value)| (key.to_owned(), value.clone()));
    let Location { store, path, .. } = FileSystems::new(properties.into()).resolve(&format!("s3://{}", s3.bucket)).unwrap();
    let mut found = Vec::new();
    let mut listed = store.list(Some(&path));
    while let Some(object) = listed.try_next().await.unwrap() {
        if object.location.as_ref().contains(place) {
            let bytes = store.get(&object.location).await.unwrap().bytes().await.unwrap();
            found.push((object.location.to_string(), bytes.to_vec()));
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_shows_no_secret_of_its_catalogs_and_file_systems_to_anybody() {
    let folder = Workdir::new();
    let place = format!("p{}", uuid::Uuid::new_v4().simple());
    let topic = Topic::create(&Servers::shared().kafka(), "orders", i32::try_from(PARTITIONS).unwrap(), &[]).await;
    let file = tokio::task::block_in_place(|| job(&folder, &place, &topic));
    let file = file.to_str().unwrap();
    let in_use = Servers::shared().s3().secret_key;
    let secrets: Vec<&str> = UNUSED.into_iter().chain([in_use.as_str()]).collect();
    send(&topic, PARTITIONS, 0..500).await;

    let mut running = folder.weir(["--log", "trace", "run", file]).start();
    let address = running.address(LIMIT).await;
    committed(&address, 1_000).await;
    for path in ["status", "metrics", "healthz"] {
        let told = reqwest::get(format!("{address}/{path}")).await.unwrap().bytes().await.unwrap();
        assert!(secrets.iter().all(|secret| !holds(&told, secret)), "{}", String::from_utf8_lossy(&told));
    }
    // Stopped at once, so that its checkpoints are all there to be searched.
    running.kill().await;

    let questions = [
        "SHOW CREATE CATALOG one",
        "SHOW CREATE CATALOG two",
        "DESCRIBE CATALOG EXTENDED two",
        "SHOW CREATE TABLE two.shop.orders",
        "EXPLAIN SELECT count(*) FROM two.shop.orders",
        "SET",
    ];
    let asked = questions.iter().flat_map(|question| ["-e", *question]);
    let shown = folder.weir(["--log", "trace", "sql", "--init", file].into_iter().chain(asked)).output(LIMIT).await.succeeded();
    // What was masked is there all the same.
    for part in ["'token' = '******'", "'header.X-Door' = '******'", ":******@", "password=******", "fs.alias.idle.option.fs.oss.accessKeySecret"] {
        assert!(shown.stdout.contains(part), "`{part}` is not in:\n{}", shown.stdout);
    }
    folder.weir(["--log", "trace", "explain", file]).output(LIMIT).await.succeeded();
    folder.weir(["--log", "trace", "verify", "--init", file, "two.shop.orders"]).output(LIMIT).await.succeeded();

    let objects = stored(&place).await;
    for kind in ["/checkpoints/", ".metadata.json", ".avro", ".parquet"] {
        assert!(objects.iter().any(|(name, _)| name.contains(kind)), "no {kind} was searched");
    }
    for secret in secrets {
        folder.shows_nowhere(secret);
        for (name, bytes) in &objects {
            assert!(!holds(bytes, secret), "`{secret}` is in {name}");
        }
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_statement_is_said_without_the_secrets_in_it() {
    const SECRET: &str = "hunter2-of-the-test";
    let s3 = Servers::shared().s3();
    let folder = Workdir::new();
    let here = folder.uri("w");
    let rest = |options: &str| format!("CREATE CATALOG c WITH ('type' = 'iceberg', 'catalog-type' = 'rest', 'warehouse' = '{here}', {options})");
    let sql = |uri: &str| format!("CREATE CATALOG c WITH ('type' = 'iceberg', 'catalog-type' = 'sql', 'warehouse' = '{here}', 'uri' = '{uri}')");
    let wrong_key = format!(
        "CREATE CATALOG c WITH ('type' = 'iceberg', 'catalog-type' = 'hadoop', 'warehouse' = 's3://{}/w', 's3.endpoint' = '{}',
         's3.access-key-id' = '{SECRET}', 's3.secret-access-key' = '{SECRET}')",
        s3.bucket, s3.endpoint
    );
    let no_comma = rest(&format!("'token' = '{SECRET}' 'uri' = 'http://127.0.0.1:1'"));
    // Servers that answer at once: one that is no catalog, and one that knows no such database.
    let no_catalog = s3.endpoint.replacen("://", &format!("://me:{SECRET}@"), 1);
    let no_database = Servers::shared().postgres().replacen('@', &format!(":{SECRET}@"), 1) + "_that_is_not_there";
    let statements = [
        (no_comma, ""),
        (rest(&format!("'uri' = 'http://127.0.0.1:1', 'tokem' = '{SECRET}'")), "tokem"),
        (rest(&format!("'uri' = '{no_catalog}', 'token' = '{SECRET}'")), "://me:******@127.0.0.1"),
        (rest(&format!("'uri' = 'ftp://me:{SECRET}@127.0.0.1:1'")), "uri"),
        (sql(&no_database), "_that_is_not_there"),
        (sql(&format!("postgresql://me:{SECRET}@127.0.0.1:nowhere/lake")), "uri"),
        (sql(&format!("mysql://me:{SECRET}@127.0.0.1/lake")), "uri"),
        (wrong_key, ""),
    ];
    for (statement, named) in statements {
        let all = ["--log", "trace", "sql", "-e", "SET 'fs.request.deadline' = '2 s'", "-e", &statement, "-e", "CREATE DATABASE IF NOT EXISTS c.d"];
        let output = folder.weir(all).output(LIMIT).await;
        assert!(!output.status.success(), "{}", output.stdout);
        assert!(output.stderr.contains(named), "`{named}` is not in:\n{}", output.stderr);
        folder.shows_nowhere(SECRET);
    }
}
