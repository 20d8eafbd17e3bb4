//! The REST catalog against a server that errs, lies and falls silent.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::Value;
use weir_base::{Classified, ErrorKind, Secret};
use weir_fs::FileSystems;

use super::rest_server::{Act, Server, start};
use super::support::{create, epoch_of, memory, table_id};
use crate::commit::TableCommitter;
use crate::error::CatalogError;
use crate::lake::{LakeCatalog, TableId};
use crate::rest::{RestCatalog, RestConfig};
use crate::verify::{Depth, Quiet, verify};

fn config(server: &Server) -> RestConfig {
    RestConfig {
        uri: format!("http://{}/c/", server.address),
        warehouse: Some("w h".to_owned()),
        credential: None,
        token: None,
        scope: "catalog".to_owned(),
        oauth2_server_uri: None,
        prefix: None,
        headers: Default::default(),
        timeout: Duration::from_millis(1500),
    }
}

fn catalog_with(config: RestConfig) -> Arc<dyn LakeCatalog> {
    Arc::new(RestCatalog::try_new("lake", config, FileSystems::default()).expect("an address"))
}

fn script(server: &Server, method: &'static str, acts: &[Act]) {
    server.state.lock().expect("not poisoned").script.insert(method, acts.iter().copied().collect());
}

#[tokio::test]
async fn a_table_is_made_filled_and_verified() {
    let server = start().await;
    let catalog = catalog_with(config(&server));
    let table = create(&catalog, &[]).await;
    let committer = TableCommitter::of(&catalog, &table_id());
    for epoch in 1..=3 {
        committer.append(&epoch_of(&table, "job", (epoch > 1).then(|| epoch - 1), epoch).await).await.expect("appended");
    }
    let report = verify(&catalog, &table_id(), Depth::Files, &Quiet).await.expect("verified");
    assert!(report.passed(), "{report}");
    assert_eq!(catalog.databases().await.expect("listed"), ["a", "shop"]);
    let error = catalog.load(&TableId { database: "a.b".to_owned(), table: "x/y".to_owned() }).await.expect_err("nothing there");
    assert!(matches!(error, CatalogError::NotFound(_)), "{error}");
    let log = server.state.lock().expect("not poisoned").log.clone();
    assert_eq!(log[0], "GET /c/v1/config?warehouse=w+h");
    assert!(log.contains(&"GET /c/v1/pre/fix/namespaces/a%1Fb/tables/x%2Fy".to_owned()), "{log:?}");
}

#[tokio::test]
async fn every_way_to_answer_a_commit_leaves_it_in_the_table_once() {
    let faults = [
        vec![Act::DoneBut(500)],
        vec![Act::Status(500)],
        vec![Act::DoneBut(502), Act::Status(503)],
        vec![Act::Status(504), Act::DoneBut(504)],
        vec![Act::Status(409)],
        vec![Act::Status(429), Act::DoneButGarbage],
        vec![Act::DoneButSilent],
        vec![Act::Silent, Act::Silent],
        vec![Act::DoneButLate],
    ];
    for acts in faults {
        let server = start().await;
        let catalog = catalog_with(config(&server));
        let table = create(&catalog, &[]).await;
        script(&server, "POST", &acts);
        let committer = TableCommitter::of(&catalog, &table_id());
        for epoch in 1..=2 {
            let append = epoch_of(&table, "job", (epoch > 1).then(|| epoch - 1), epoch).await;
            committer.append(&append).await.unwrap_or_else(|error| panic!("{acts:?}: {error}"));
        }
        let report = verify(&catalog, &table_id(), Depth::Files, &Quiet).await.expect("verified");
        assert!(report.passed() && report.totals.files == 2, "{acts:?}\n{report}");
    }
}

#[tokio::test]
async fn a_commit_that_is_refused_for_good_is_not_repeated() {
    for status in [400, 403, 422] {
        let server = start().await;
        let catalog = catalog_with(config(&server));
        let table = create(&catalog, &[]).await;
        script(&server, "POST", &[Act::Status(status)]);
        let error = TableCommitter::of(&catalog, &table_id()).append(&epoch_of(&table, "job", None, 1).await).await.expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::User, "{error}");
        assert!(error.to_string().contains("on command") && error.to_string().contains("`shop.orders`"), "{error}");
    }
}

#[tokio::test]
async fn reads_are_repeated_and_the_server_is_left_alone_as_long_as_it_asks() {
    let server = start().await;
    let catalog = catalog_with(config(&server));
    create(&catalog, &[]).await;
    let begun = Instant::now();
    script(&server, "GET", &[Act::RetryAfter(429, 1), Act::Status(500), Act::DoneButGarbage, Act::Silent, Act::RetryAfter(503, 1)]);
    catalog.load(&table_id()).await.expect("loaded in the end");
    assert!(begun.elapsed() >= Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_token_that_ends_is_fetched_anew_even_for_a_commit() {
    let server = start().await;
    {
        let mut state = server.state.lock().expect("not poisoned");
        state.grants = VecDeque::from(["one".to_owned(), "two".to_owned()]);
        state.tokens = vec!["one".to_owned()];
    }
    let credential = Some(Secret::new("id:s3cr3t".to_owned()));
    let catalog = catalog_with(RestConfig { credential: credential.clone(), ..config(&server) });
    let table = create(&catalog, &[]).await;
    let append = epoch_of(&table, "job", None, 1).await;
    server.state.lock().expect("not poisoned").tokens = vec!["two".to_owned()];
    TableCommitter::of(&catalog, &table_id()).append(&append).await.expect("appended with the second token");
    // No third one is granted.
    server.state.lock().expect("not poisoned").tokens = vec!["three".to_owned()];
    let error = catalog.load(&table_id()).await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::User, "{error}");
    assert!(!format!("{error} {error:?} {catalog:?}").contains("s3cr3t"));
}

#[tokio::test]
async fn a_server_of_another_kind_or_none_at_all_is_said_to_be_so() {
    let server = start().await;
    let catalog = catalog_with(RestConfig { uri: format!("http://{}/elsewhere", server.address), ..config(&server) });
    let error = catalog.databases().await.expect_err("no catalog there");
    assert_eq!(error.kind(), ErrorKind::User, "{error}");
    assert!(RestCatalog::try_new("lake", RestConfig { uri: "ftp://x".to_owned(), ..config(&server) }, FileSystems::default()).is_err());
}

/// The JSON nodes of `value`, counted; the one at `index` replaced by `with`.
fn replace(value: &mut Value, index: &mut usize, with: &Value) {
    if *index == 0 {
        *value = with.clone();
    }
    *index = index.wrapping_sub(1);
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, index, with)),
        Value::Object(fields) => fields.values_mut().for_each(|field| replace(field, index, with)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn sample() -> &'static Value {
    static SAMPLE: std::sync::OnceLock<Value> = std::sync::OnceLock::new();
    SAMPLE.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
        runtime.block_on(async {
            let catalog = memory();
            let table = create(&catalog, &[]).await;
            let committer = TableCommitter::of(&catalog, &table_id());
            committer.append(&epoch_of(&table, "job", None, 1).await).await.expect("appended");
            serde_json::to_value(&*committer.refresh().await.expect("loaded").metadata).expect("json")
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn metadata_with_any_part_broken_is_an_error_or_usable(index in 0_usize..140, with in 0_usize..6) {
        let junk = [Value::Null, Value::from(-1), Value::from("x"), Value::from(9.5e300), Value::Array(vec![]), Value::Object(Default::default())];
        let mut json = sample().clone();
        let mut at = index;
        replace(&mut json, &mut at, &junk[with]);
        if let Ok(metadata) = crate::rest::read_metadata(json) {
            prop_assert!(metadata.current_schema().schema_id() >= -1);
            prop_assert!(metadata.default_partition_spec().spec_id() >= -1);
            prop_assert!(metadata.current_snapshot().is_none_or(|snapshot| metadata.snapshot_by_id(snapshot.snapshot_id()).is_some()));
        }
    }
}
