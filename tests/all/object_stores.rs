//! Object stores that are careless, busy or forgetful, and the ways to prove to them who comes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::http::Method;
use axum::routing::{get, post, put};
use bytes::Bytes;
use futures::TryStreamExt;
use object_store::{Error, ObjectStore, ObjectStoreExt};
use serde_json::json;
use weir_base::ErrorKind;
use weir_base::task::Task;
use weir_fs::{Environment, FileSystems, FirstPut, Location, is_not_refusing, kind_of};

use crate::orders::{LIMIT, Setting, holds_exactly, run, send, sqlite, table_on_disk};
use crate::support::{Fault, Proxy, S3, Servers, SmallStore, Table, TlsFront, Workdir};

const PART: usize = 5 * 1024 * 1024;

fn file_systems(properties: &[(&str, &str)], environment: &[(&str, &str)]) -> FileSystems {
    let owned = |pairs: &[(&str, &str)]| pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect::<BTreeMap<_, _>>();
    FileSystems::with_environment(owned(properties), Environment::new(owned(environment)))
}

/// A folder of the test's own in the real server's bucket.
fn folder_in(file_systems: &FileSystems, scheme: &str) -> Location {
    file_systems.resolve(&format!("{scheme}://{}/stores-{}", Servers::shared().s3().bucket, uuid::Uuid::new_v4().simple())).unwrap()
}

fn keys(s3: &S3) -> [(&str, &str); 3] {
    [("s3.access-key-id", &s3.access_key), ("s3.secret-access-key", &s3.secret_key), ("s3.region", &s3.region)]
}

fn s3_at(endpoint: &str, more: &[(&str, &str)]) -> Location {
    let s3 = Servers::shared().s3();
    folder_in(&file_systems(&[&keys(&s3)[..], &[("s3.endpoint", endpoint)], more].concat(), &[]), "s3")
}

async fn claim(at: &Location, name: &str, who: &'static str) -> Result<(), Error> {
    at.store.put_opts(&at.path.clone().join(name), who.into(), FirstPut::OrLookFirst.into()).await.map(drop)
}

async fn content(at: &Location, name: &str) -> Bytes {
    at.store.get(&at.path.clone().join(name)).await.unwrap().bytes().await.unwrap()
}

async fn names(at: &Location) -> Vec<String> {
    let listed: Vec<_> = at.store.list(Some(&at.path)).try_collect().await.unwrap();
    listed.into_iter().filter_map(|object| object.location.filename().map(str::to_owned)).collect()
}

#[tokio::test]
async fn a_store_that_refuses_the_second_writer_is_tried_out_once_and_nothing_is_left_of_it() {
    let proxy = Proxy::before(&Servers::shared().s3().endpoint).await;
    let at = s3_at(proxy.uri(), &[]);
    let racers = ["a", "b", "c", "d", "e", "f"].map(|who| claim(&at, "claim", who));
    let results = futures::future::join_all(racers).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
    assert!(matches!(claim(&at, "claim", "late").await, Err(Error::AlreadyExists { .. })));
    claim(&at, "another", "x").await.unwrap();
    assert_eq!(proxy.seen(Method::PUT, ".weir-probe-").len(), 2, "one trial of two puts for the store");
    assert_eq!(names(&at).await, ["another", "claim"]);
}

#[tokio::test]
async fn what_a_careless_store_would_replace_is_never_written_there() {
    let careless = SmallStore::start().await;
    let at = file_systems(&careless.as_s3(), &[]).resolve("s3://bucket/checkpoints").unwrap();
    for _ in 0..2 {
        let error = claim(&at, "claim", "mine").await.unwrap_err();
        assert!(is_not_refusing(&error) && kind_of(&error) == ErrorKind::User, "{error}");
        assert!(error.to_string().contains("'fs.request.put-if-absent' = 'look-first'"), "{error}");
        assert_eq!((careless.names(), careless.puts()), (Vec::new(), 2), "one trial, of which nothing is left");
    }
    let strict = at.store.put_opts(&at.path.clone().join("v1"), "x".into(), FirstPut::Strict.into()).await.unwrap_err();
    assert!(is_not_refusing(&strict) && !strict.to_string().contains("look-first"), "{strict}");
}

#[tokio::test]
async fn names_are_looked_at_first_where_that_is_allowed() {
    let careless = SmallStore::start().await;
    let proxy = Proxy::before(careless.uri()).await;
    let endpoint = ("s3.endpoint", proxy.uri());
    let properties = [&careless.as_s3()[1..], &[endpoint, ("fs.request.put-if-absent", "look-first")]].concat();
    let at = file_systems(&properties, &[]).resolve("s3://bucket/checkpoints").unwrap();
    claim(&at, "claim", "mine").await.unwrap();
    assert!(matches!(claim(&at, "claim", "other").await, Err(Error::AlreadyExists { .. })));
    assert_eq!(content(&at, "claim").await, "mine");
    proxy.inject(Method::PUT, "lost", Fault::LoseAnswer(500), 1);
    claim(&at, "lost", "mine").await.unwrap();
    let strict = at.store.put_opts(&at.path.clone().join("v1"), "x".into(), FirstPut::Strict.into()).await.unwrap_err();
    assert!(is_not_refusing(&strict), "the versions of a table are never guessed at: {strict}");
    assert_eq!(careless.names(), ["/bucket/checkpoints/claim", "/bucket/checkpoints/lost"]);
}

#[tokio::test]
async fn a_job_keeps_its_checkpoints_on_a_careless_store_only_when_told_to() {
    let brokers = Servers::shared().kafka();
    let Setting { folder, topic, mut job } = Setting::on_disk(&brokers, 2).await;
    let sent = send(&topic, 2, 0..500).await;
    let careless = SmallStore::start().await;
    job.checkpoints = "s3://bucket/checkpoints".to_owned();
    job.settings = careless.as_s3().iter().map(|(key, value)| format!("SET '{key}' = '{value}';\n")).collect();
    let refused = folder.weir(run(&job.write(&folder))).output(LIMIT).await.failed_with(3);
    let part = "lets a second writer replace an object, so two processes could not be kept apart there";
    assert!(refused.stderr.contains(part) && refused.stderr.contains("'fs.request.put-if-absent' = 'look-first'"), "{}", refused.stderr);
    assert!(careless.names().is_empty(), "{:?}", careless.names());

    job.settings.push_str("SET 'fs.request.put-if-absent' = 'look-first';\n");
    let done = folder.weir(run(&job.write(&folder))).output(LIMIT).await.succeeded();
    assert!(done.stderr.contains("names are looked at first"), "{}", done.stderr);
    holds_exactly(&table_on_disk(&folder), &sent).await;
    assert!(careless.names().iter().any(|name| name.starts_with("/bucket/checkpoints/orders/")), "{:?}", careless.names());
}

/// The count of refusals of the store behind an alias.
fn throttled(alias: &str) -> u64 {
    let start = format!("weir_fs_throttled_total{{alias=\"{alias}\",scheme=\"s3\"}} ");
    weir_base::metrics::exposition().lines().find_map(|line| line.strip_prefix(&start)?.parse().ok()).unwrap_or_default()
}

#[tokio::test]
async fn a_server_that_asks_for_a_pause_gets_it_from_every_request() {
    let s3 = Servers::shared().s3();
    let proxy = Proxy::before(&s3.endpoint).await;
    let options = [&keys(&s3)[..], &[("s3.endpoint", proxy.uri())]].concat();
    let keys: Vec<(String, &str)> = options.iter().map(|(key, value)| (format!("fs.alias.busy.option.{key}"), *value)).collect();
    let keys: Vec<(&str, &str)> = keys.iter().map(|(key, value)| (key.as_str(), *value)).chain([("fs.alias.busy.scheme", "s3")]).collect();
    let at = folder_in(&file_systems(&keys, &[]), "busy");
    for code in [503, 429] {
        let before = throttled("busy");
        let name = format!("object-{code}");
        proxy.inject(Method::PUT, &name, Fault::AskForPause(code, 2), 1);
        at.store.put(&at.path.clone().join(name.as_str()), "x".into()).await.unwrap();
        let other = at.store.head(&at.path.clone().join(name.as_str())).await.unwrap();
        assert_eq!(other.size, 1);
        let [refused, again] = proxy.seen(Method::PUT, &name).try_into().unwrap();
        assert!(again.when - refused.when >= Duration::from_millis(1900), "{:?}", again.when - refused.when);
        assert_eq!(throttled("busy"), before + 1);
    }
    // Without a word about when, the client waits longer each time.
    proxy.inject(Method::PUT, "object-slow", Fault::Answer(503), 3);
    at.store.put(&at.path.clone().join("object-slow"), "x".into()).await.unwrap();
    assert_eq!((proxy.left(), throttled("busy")), (0, 5));
}

#[tokio::test]
async fn an_upload_is_mended_part_by_part() {
    let proxy = Proxy::before(&Servers::shared().s3().endpoint).await;
    let at = s3_at(proxy.uri(), &[]);
    let path = at.path.clone().join("uploaded");
    for fault in [Fault::Answer(500), Fault::LoseAnswer(503), Fault::CutAnswer, Fault::AskForPause(429, 1)] {
        let mut upload = at.store.put_multipart(&path).await.unwrap();
        proxy.inject(Method::PUT, "partNumber=2", fault, 2);
        let parts = [1, 2, 3].map(|number| upload.put_part(vec![number; PART].into()));
        futures::future::try_join_all(parts).await.unwrap();
        proxy.inject(Method::POST, "uploadId", fault, 1);
        upload.complete().await.unwrap();
        let found = content(&at, "uploaded").await;
        let expected = [1, 2, 3].map(|number| vec![number; PART]).concat();
        assert!(found == expected, "{fault:?}");
        assert_eq!(proxy.left(), 0, "{fault:?}");
    }
}

#[tokio::test]
async fn an_upload_that_the_store_has_forgotten_is_no_mistake_of_the_user() {
    let proxy = Proxy::before(&Servers::shared().s3().endpoint).await;
    let at = s3_at(proxy.uri(), &[]);
    let path = at.path.clone().join("forgotten");
    let mut upload = at.store.put_multipart(&path).await.unwrap();
    proxy.inject(Method::PUT, "partNumber=1", Fault::Answer(404), 1);
    let error = upload.put_part(vec![1; PART].into()).await.unwrap_err();
    assert_eq!(kind_of(&error), ErrorKind::Transient, "{error}");
    assert!(error.to_string().contains("the store has forgotten the upload of"), "{error}");
    upload.put_part(vec![1; PART].into()).await.unwrap();
    upload.abort().await.unwrap();
    assert!(names(&at).await.is_empty());
}

#[tokio::test]
async fn a_job_writes_its_file_again_when_the_store_has_forgotten_an_upload() {
    let s3 = Servers::shared().s3();
    let proxy = Proxy::before(&s3.endpoint).await;
    let folder = Workdir::new();
    let root = format!("s3://{}/forgotten-{}", s3.bucket, uuid::Uuid::new_v4().simple());
    let store: String = keys(&s3).iter().map(|(key, value)| format!(", '{key}' = '{value}'")).collect();
    let job = folder.write(
        "forgotten.sql",
        &format!(
            "SET 'execution.checkpointing.dir' = '{checkpoints}';
CREATE TABLE words (id BIGINT, word STRING) WITH ('connector' = 'datagen', 'number-of-rows' = '100000', 'fields.id.kind' = 'sequence',
  'fields.id.start' = '0', 'fields.id.end' = '99999', 'fields.word.length' = '200');
CREATE CATALOG lake WITH ('type' = 'iceberg', 'catalog-type' = 'sql', 'uri' = '{uri}', 'warehouse' = '{root}', 's3.endpoint' = '{endpoint}'{store});
CREATE DATABASE IF NOT EXISTS lake.shop;
CREATE TABLE IF NOT EXISTS lake.shop.words (id BIGINT, word STRING) WITH ('write.parquet.compression-codec' = 'uncompressed');
INSERT INTO lake.shop.words SELECT * FROM words;
",
            checkpoints = folder.uri("checkpoints"),
            uri = sqlite(&folder),
            endpoint = proxy.uri(),
        ),
    );
    proxy.inject(Method::PUT, "partNumber=2", Fault::Answer(404), 1);
    let done = folder.weir(run(&job)).output(LIMIT).await.succeeded();
    assert_eq!(proxy.left(), 0, "the file had two parts");
    assert!(done.stderr.contains("the store has forgotten the upload of"), "{}", done.stderr);
    let table = Table::of_sql("shop.words", "lake", &sqlite(&folder), &root).on_s3(&s3);
    let found = table.check(&["--unique", "id", "--sum", "id"]).await;
    assert_eq!((&found["rows"], &found["duplicates"]["groups"], &found["sums"]["id"]), (&json!(100_000), &json!(0), &json!("4999950000")), "{found}");
}

/// An HTTP server of the test.
async fn serve(router: Router) -> (String, Task<()>) {
    let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let uri = format!("http://{}", listener.local_addr().unwrap());
    (uri, weir_base::task::spawn("test server", async move { axum::serve(listener, router).await.unwrap() }))
}

async fn writes_and_reads(at: &Location) {
    at.store.put(&at.path.clone().join("object"), "content".into()).await.unwrap();
    assert_eq!(content(at, "object").await, "content");
}

#[tokio::test]
async fn a_server_with_a_certificate_of_ones_own_is_believed_when_its_authority_is_named() {
    let s3 = Servers::shared().s3();
    let front = TlsFront::before(&s3.endpoint).await;
    let authority = front.authority().display().to_string();
    writes_and_reads(&s3_at(front.uri(), &[("s3.ca-file", &authority)])).await;
    let of_process = [("AWS_CA_BUNDLE", authority.as_str())];
    let properties = [&keys(&s3)[..], &[("s3.endpoint", front.uri())]].concat();
    writes_and_reads(&folder_in(&file_systems(&properties, &of_process), "s3")).await;
    let stranger = s3_at(front.uri(), &[("fs.request.deadline", "2 s"), ("fs.request.timeout", "1 s")]);
    let error = stranger.store.put(&stranger.path, "x".into()).await.unwrap_err().to_string();
    assert!(error.contains("certificate"), "{error}");
    let missing = file_systems(&[("s3.ca-file", "/nowhere.pem")], &[]).resolve("s3://bucket/x").unwrap_err().to_string();
    assert!(missing.contains("certificates of '/nowhere.pem' cannot be read"), "{missing}");
}

#[tokio::test]
async fn a_web_identity_is_turned_into_keys_by_the_token_service() {
    let s3 = Servers::shared().s3();
    let (id, secret) = (s3.access_key.clone(), s3.secret_key.clone());
    let service = move |uri: axum::http::Uri| async move {
        let asked = uri.query().unwrap_or_default();
        assert!(
            asked.contains("RoleArn=arn%3Arole") && asked.contains("WebIdentityToken=who-i-am") && asked.contains("RoleSessionName=job"),
            "{asked}"
        );
        format!(
            "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials><SessionToken></SessionToken><SecretAccessKey>{secret}\
             </SecretAccessKey><AccessKeyId>{id}</AccessKeyId><Expiration>2100-01-01T00:00:00Z</Expiration></Credentials>\
             </AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
        )
    };
    let (uri, _service) = serve(Router::new().fallback(post(service))).await;
    let front = TlsFront::before(&uri).await;
    let folder = Workdir::new();
    let token = folder.write("token", "who-i-am").display().to_string();
    let authority = front.authority().display().to_string();
    let place = [("s3.endpoint", s3.endpoint.as_str()), ("s3.ca-file", &authority)];
    let own = [
        ("s3.web-identity-token-file", token.as_str()),
        ("s3.role-arn", "arn:role"),
        ("s3.role-session-name", "job"),
        ("s3.sts-endpoint", front.uri()),
    ];
    let wrong = [("AWS_ACCESS_KEY_ID", "wrong"), ("AWS_SECRET_ACCESS_KEY", "wrong")];
    writes_and_reads(&folder_in(&file_systems(&[&place[..], &own].concat(), &wrong), "s3")).await;
    let of_process = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.as_str()),
        ("AWS_ROLE_ARN", "arn:role"),
        ("AWS_ROLE_SESSION_NAME", "job"),
        ("AWS_ENDPOINT_URL_STS", front.uri()),
    ];
    writes_and_reads(&folder_in(&file_systems(&place, &of_process), "s3")).await;
}

#[tokio::test]
async fn a_machine_is_asked_who_it_is_when_nothing_else_says_so() {
    let s3 = Servers::shared().s3();
    let keys =
        json!({ "AccessKeyId": s3.access_key, "SecretAccessKey": s3.secret_key, "Token": "", "Expiration": "2100-01-01T00:00:00Z" }).to_string();
    let router = Router::new()
        .route("/latest/api/token", put(|| async { "token" }))
        .route("/latest/meta-data/iam/security-credentials/", get(|| async { "role" }))
        .route("/latest/meta-data/iam/security-credentials/role", get(|| async { keys }));
    let (uri, _service) = serve(router).await;
    let environment = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", uri.as_str())];
    writes_and_reads(&folder_in(&file_systems(&[("s3.endpoint", &s3.endpoint)], &environment), "s3")).await;
}

#[tokio::test]
async fn profiles_and_keys_of_the_process_are_for_the_process_and_those_of_an_alias_for_the_alias() {
    let s3 = Servers::shared().s3();
    let folder = Workdir::new();
    let section = |name: &str, secret: &str| format!("[{name}]\naws_access_key_id = {}\naws_secret_access_key = {secret}\n", s3.access_key);
    let right = folder.write("right", &section("default", &s3.secret_key)).display().to_string();
    let two = format!("{}{}", section("default", "wrong"), section("profile team", &s3.secret_key));
    let two = folder.write("two", &two).display().to_string();
    let endpoint = ("s3.endpoint", s3.endpoint.as_str());
    let of_process = [("AWS_SHARED_CREDENTIALS_FILE", right.as_str())];
    writes_and_reads(&folder_in(&file_systems(&[endpoint], &of_process), "s3")).await;
    writes_and_reads(&folder_in(&file_systems(&[endpoint], &[("AWS_CONFIG_FILE", &two), ("AWS_PROFILE", "team")]), "s3")).await;
    let alias = [
        ("fs.alias.mine.scheme", "s3"),
        ("fs.alias.mine.option.s3.endpoint", &s3.endpoint),
        ("fs.alias.mine.option.s3.profile", "team"),
        ("fs.alias.mine.option.s3.profile-file", &two),
    ];
    let wrong = [("AWS_ACCESS_KEY_ID", s3.access_key.as_str()), ("AWS_SECRET_ACCESS_KEY", "wrong"), ("AWS_SESSION_TOKEN", "wrong")];
    let both = file_systems(&[&alias[..], &[endpoint]].concat(), &wrong);
    writes_and_reads(&folder_in(&both, "mine")).await;
    // moto, which stands in where versitygw cannot be built, believes every signature.
    if s3.server == "versitygw" {
        let stranger = folder_in(&both, "s3");
        let error = stranger.store.put(&stranger.path, "x".into()).await.unwrap_err();
        assert!(kind_of(&error) == ErrorKind::User, "{error}");
    }
}
