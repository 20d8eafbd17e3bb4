//! What is asked for, how often, and when that ends.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use weir_base::memory::MemoryBudget;
use weir_base::{Classified, ErrorKind};
use weir_connectors::lookup::{Cache, Full, LookupOptions, Partial, Preload, Reload};
use weir_sql::lookup_join::{Asking, MissRetry};

use super::fake::FakeTable;
use super::{ALL, asking, operator, options, run};
use crate::error::RuntimeError;

fn budget() -> MemoryBudget {
    MemoryBudget::new(1 << 30)
}

fn some(keys: &[i64]) -> Vec<Option<i64>> {
    keys.iter().map(|key| Some(*key)).collect()
}

fn preload() -> Option<Preload> {
    Some(Preload { timeout: Duration::from_secs(60), max_rows: None, max_bytes: None, parallelism: 1 })
}

#[tokio::test]
async fn a_key_is_asked_for_once_however_many_rows_have_it() {
    let fake = Arc::new(FakeTable::new(&[(1, 10), (2, 20)]));
    // The keys of the first batch do not fill a request and wait for those of the second.
    let options = LookupOptions { batch: 3, linger: Duration::from_secs(600), ..options() };
    let operator = operator(&fake, options, Asking { timeout: Duration::from_secs(1_000), ..asking() }, ALL, &budget());
    let joined = run(&operator, &[some(&[1, 1, 2]), some(&[2, 1, 3])]).await.expect("joined");
    assert_eq!(joined, [(0, Some(10)), (1, Some(10)), (2, Some(20)), (3, Some(20)), (4, Some(10)), (5, None)]);
    assert_eq!(fake.requested(), [3]);
}

#[tokio::test]
async fn what_a_partial_cache_knows_is_not_asked_for_again_misses_among_it() {
    for (missing, requests) in [(true, 1), (false, 2)] {
        let fake = Arc::new(FakeTable::new(&[(1, 10), (1, 11)]));
        let cache = Cache::Partial(Partial { max_rows: Some(100), missing, ..Partial::default() });
        let operator = operator(&fake, LookupOptions { cache, ..options() }, asking(), ALL, &budget());
        for _ in 0..2 {
            let joined = run(&operator, &[some(&[1, 2])]).await.expect("joined");
            assert_eq!(joined, [(0, Some(10)), (0, Some(11)), (1, None)]);
        }
        assert_eq!(fake.requested().len(), requests);
    }
}

#[tokio::test]
async fn a_request_that_fails_too_often_is_tried_in_halves_and_then_the_job_fails() {
    let fake = Arc::new(FakeTable { most: Some(2), ..FakeTable::new(&[(1, 10), (4, 40)]) });
    let operator_of = |fake| operator(fake, LookupOptions { max_retries: 1, ..options() }, asking(), ALL, &budget());
    let joined = run(&operator_of(&fake), &[some(&[1, 2, 3, 4])]).await.expect("joined");
    assert_eq!(joined, [(0, Some(10)), (1, None), (2, None), (3, Some(40))]);
    assert_eq!(fake.requested(), [4, 4, 2, 2]);
    let worse = Arc::new(FakeTable { most: Some(1), ..FakeTable::new(&[]) });
    let error = RuntimeError::from(run(&operator_of(&worse), &[some(&[1, 2, 3, 4])]).await.expect_err("fails"));
    assert_eq!((error.kind(), worse.requested()), (ErrorKind::Transient, vec![4, 4, 2]));
    let told = weir_base::error::chain(&error);
    assert!(told.contains("Table 'c.d.dim': a lookup of 4 keys failed, 3 tries in all") && told.contains("away"), "{told}");
}

#[tokio::test]
async fn what_the_table_refuses_is_not_asked_for_again() {
    let fake = Arc::new(FakeTable { failures: 100.into(), refuses: true, ..FakeTable::new(&[]) });
    let operator = operator(&fake, options(), asking(), ALL, &budget());
    let error = RuntimeError::from(run(&operator, &[some(&[1, 2])]).await.expect_err("refused"));
    assert_eq!((error.kind(), fake.requested().len()), (ErrorKind::User, 1));
}

#[tokio::test]
async fn a_table_that_never_answers_fails_the_job_after_the_timeout() {
    let fake = Arc::new(FakeTable { silent: true, ..FakeTable::new(&[]) });
    let asking = Asking { timeout: Duration::from_millis(30), ..asking() };
    let operator = operator(&fake, options(), asking, ALL, &budget());
    let error = RuntimeError::from(run(&operator, &[some(&[1])]).await.expect_err("no answer"));
    assert_eq!(error.kind(), ErrorKind::Transient);
    let told = weir_base::error::chain(&error);
    assert!(told.contains("no answer within 30ms") && told.contains("'table.exec.async-lookup.timeout'"), "{told}");
}

#[tokio::test]
async fn a_key_without_a_row_is_asked_for_again_if_the_hint_says_so() {
    for (attempts, value) in [(1, None), (2, Some(10))] {
        let fake = Arc::new(FakeTable { late: 2, ..FakeTable::new(&[(1, 10)]) });
        let on_miss = Some(MissRetry { delay: Duration::from_millis(1), attempts });
        let operator = operator(&fake, options(), Asking { on_miss, ..asking() }, ALL, &budget());
        assert_eq!(run(&operator, &[some(&[1])]).await.expect("joined"), [(0, value)]);
        assert_eq!(fake.requested().len(), 1 + attempts as usize);
    }
}

#[tokio::test]
async fn a_full_cache_asks_for_nothing_and_takes_the_rows_of_a_reload_all_at_once() {
    let fake = Arc::new(FakeTable::new(&[(1, 10), (2, 20)]));
    let cache = Cache::Full(Full { reload: Reload::AfterEnd(Duration::from_millis(5)), max_staleness: None });
    let operator = operator(&fake, LookupOptions { cache, preload: preload(), ..options() }, asking(), ALL, &budget());
    let keys = [some(&[1, 2])];
    assert_eq!(run(&operator, &keys).await.expect("joined"), [(0, Some(10)), (1, Some(20))]);
    fake.failures.store(1, Ordering::SeqCst);
    fake.replace(&[(1, 11), (2, 21)]);
    loop {
        let joined = run(&operator, &keys).await.expect("a load that fails leaves the older rows");
        if joined == [(0, Some(11)), (1, Some(21))] {
            break;
        }
        assert_eq!(joined, [(0, Some(10)), (1, Some(20))], "never a mixture");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(fake.requested().is_empty());
}

#[tokio::test]
async fn rows_that_are_too_old_fail_the_job_and_so_does_a_table_that_is_too_large() {
    let fake = Arc::new(FakeTable::new(&[(1, 10), (2, 20)]));
    let full = |max_staleness| Cache::Full(Full { reload: Reload::Never, max_staleness });
    let stale = LookupOptions { cache: full(Some(Duration::ZERO)), preload: preload(), ..options() };
    let error = run(&operator(&fake, stale, asking(), ALL, &budget()), &[some(&[1])]).await.expect_err("too old").to_string();
    assert!(error.contains("'lookup.full-cache.max-staleness'"), "{error}");
    let few = preload().map(|preload| Preload { max_rows: Some(1), ..preload });
    let large = LookupOptions { cache: full(None), preload: few, ..options() };
    let error = run(&operator(&fake, large, asking(), ALL, &budget()), &[some(&[1])]).await.expect_err("too many rows").to_string();
    assert!(error.contains("more rows than 'lookup.preload.max-rows' allows: 2 so far"), "{error}");
    let small = LookupOptions { cache: full(None), preload: preload(), ..options() };
    let error = run(&operator(&fake, small, asking(), ALL, &MemoryBudget::new(100)), &[some(&[1])]).await.expect_err("too large").to_string();
    assert!(error.contains("raise --memory"), "{error}");
}
