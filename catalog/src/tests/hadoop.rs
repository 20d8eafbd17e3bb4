//! Tables that are folders: many writers, tables made anew, stores on which nothing may be written.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use weir_base::{Classified, ErrorKind};

use super::support::{catalog, create, epoch_of, files_in, hadoop, table_id};
use crate::commit::TableCommitter;
use crate::error::CatalogError;
use crate::lake::TableSpec;

#[tokio::test(flavor = "multi_thread")]
async fn twenty_committers_on_one_folder_lose_nothing() {
    const COMMITTERS: usize = 20;
    const COMMITS: u64 = 4;
    let folder = tempfile::tempdir().expect("folder");
    // Few versions are kept, so that the row of them moves on under those who read it.
    let table = create(&hadoop(folder.path()), &[("write.metadata.previous-versions-max", "3")]).await;
    let run = |number: usize| {
        let (catalog, table) = (hadoop(folder.path()), table.clone());
        weir_base::task::spawn("committer", async move {
            let committer = TableCommitter::of(&catalog, &table_id());
            for epoch in 1..=COMMITS {
                let append = epoch_of(&table, &format!("job-{number}"), (epoch > 1).then(|| epoch - 1), epoch).await;
                committer.append(&append).await.expect("appended");
            }
        })
    };
    let running: Vec<_> = (0..COMMITTERS).map(run).collect();
    for one in running {
        one.await.expect("ran");
    }
    let now = hadoop(folder.path()).load(&table_id()).await.expect("loaded");
    let commits = COMMITTERS * usize::try_from(COMMITS).expect("small");
    let summary = &now.metadata.current_snapshot().expect("snapshot").summary().additional_properties;
    assert_eq!(summary.get("total-data-files").map(String::as_str), Some(commits.to_string().as_str()));
    assert_eq!(now.metadata.snapshots().len(), commits);
    assert!(now.metadata_location.ends_with(&format!("/metadata/v{}.metadata.json", commits + 1)), "{}", now.metadata_location);
    // A version that was made so late that its place had been retired stays; on a machine with time for all that happens to none.
    let versions = files_in(folder.path(), ".metadata.json").len();
    assert!((4..=COMMITTERS).contains(&versions), "{versions} versions");
    let hint = std::fs::read_to_string(folder.path().join("warehouse/shop/orders/metadata/version-hint.text")).expect("hint");
    assert!((2..=commits + 1).contains(&hint.parse::<usize>().expect("a number")), "{hint}");
}

#[tokio::test]
async fn a_commit_does_not_go_to_a_table_that_was_made_anew_under_the_same_number() {
    let folder = tempfile::tempdir().expect("folder");
    let catalog = hadoop(folder.path());
    let old = create(&catalog, &[]).await;
    catalog.drop_table(&table_id()).await.expect("dropped");
    let new = create(&catalog, &[]).await;
    assert_eq!(old.metadata_location, new.metadata_location);
    let property = iceberg::TableUpdate::SetProperties { updates: [("x.of".to_owned(), "old".to_owned())].into() };
    let error = catalog.commit(&old, Vec::new(), vec![property.clone()]).await.expect_err("another table");
    assert!(matches!(error, CatalogError::Conflict(_)), "{error}");
    catalog.commit(&new, Vec::new(), vec![property.clone()]).await.expect("committed");
    let error = catalog.commit(&new, Vec::new(), vec![property]).await.expect_err("moved on");
    assert!(matches!(error, CatalogError::Conflict(_)), "{error}");
}

#[tokio::test]
async fn what_has_no_place_in_a_folder_is_refused() {
    let folder = tempfile::tempdir().expect("folder");
    let catalog = hadoop(folder.path());
    let table = create(&catalog, &[]).await;
    let spec = |location: Option<&str>, property: Option<(&str, &str)>| TableSpec {
        schema: (**table.metadata.current_schema()).clone(),
        partitioned_by: Vec::new(),
        properties: property.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
        location: location.map(str::to_owned),
    };
    let mut other = table_id();
    other.table = "other".to_owned();
    for (spec, part) in [
        (spec(Some("file:///elsewhere"), None), "'file:///elsewhere'"),
        (spec(None, Some(("write.metadata.path", "file:///m"))), "'write.metadata.path'"),
        (spec(None, Some(("write.metadata.compression-codec", "gzip"))), "'write.metadata.compression-codec'"),
    ] {
        let error = catalog.create(&other, &spec).await.expect_err(part);
        assert!(error.kind() == ErrorKind::User && error.to_string().contains(part), "{error}");
    }
    let at_home = format!("file://{}/warehouse/shop/other/", folder.path().display());
    catalog.create(&other, &spec(Some(&at_home), None)).await.expect("its own place");
    let property = [("comment".to_owned(), "x".to_owned())].into();
    assert!(catalog.create_database("noted", &property).await.expect_err("no place").to_string().contains("'comment'"));
}

#[tokio::test]
async fn a_store_that_ignores_the_condition_of_a_put_is_refused_with_the_reason() {
    // It takes every PUT, whatever its conditions, and has nothing.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let _careless = weir_base::task::spawn("careless-store", async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = vec![0; 65_536];
            let count = stream.read(&mut head).await.unwrap_or(0);
            let put = head[..count].starts_with(b"PUT") || head[..count].starts_with(b"DELETE");
            let listing = head[..count].starts_with(b"GET") && String::from_utf8_lossy(&head[..count]).contains("list-type=2");
            let body = "<ListBucketResult><Name>b</Name><IsTruncated>false</IsTruncated><CommonPrefixes><Prefix>w/shop/</Prefix></CommonPrefixes></ListBucketResult>";
            let (status, body) = if put {
                ("200 OK", "")
            } else if listing {
                ("200 OK", body)
            } else {
                ("404 Not Found", "")
            };
            let answer = format!("HTTP/1.1 {status}\r\nETag: \"1\"\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).await.unwrap_or_default();
        }
    });
    let endpoint = format!("http://{address}");
    let options = [
        ("catalog-type", "hadoop"),
        ("warehouse", "s3://b/w"),
        ("s3.endpoint", endpoint.as_str()),
        ("s3.access-key-id", "k"),
        ("s3.secret-access-key", "s"),
    ];
    let careless = catalog(&options);
    let folder = tempfile::tempdir().expect("folder");
    let schema = (**create(&hadoop(folder.path()), &[]).await.metadata.current_schema()).clone();
    let spec = TableSpec { schema, partitioned_by: Vec::new(), properties: Default::default(), location: None };
    let error = Arc::clone(&careless).create(&table_id(), &spec).await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::User);
    for part in ["`s3://b/w/shop/orders/metadata`", "one of them would be lost", "'catalog-type' = 'sql', 'rest' or 'hive'"] {
        assert!(error.to_string().contains(part), "{error}");
    }
}
