//! A FULL cache: what is loaded when, and what serves meanwhile.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use weir_base::memory::MemoryBudget;
use weir_connectors::lookup::{Cache, Full, LookupOptions, Preload, Reload};

use super::super::state::{Kept, LookupState};
use super::fake::FakeTable;
use super::{ALL, asking, budget, operator, operator_on, options, run, some, state};
use crate::status::LookupStatus;

fn preload() -> Option<Preload> {
    Some(Preload { timeout: Duration::from_secs(60), max_rows: None, max_bytes: None, parallelism: 1 })
}

/// Looks every few milliseconds.
fn watching() -> LookupOptions {
    let cache = Cache::Full(Full { reload: Reload::AfterEnd(Duration::from_millis(2)), max_staleness: None });
    LookupOptions { cache, preload: preload(), ..options() }
}

fn status(state: &LookupState) -> LookupStatus {
    let Kept::Full(cache) = &state.kept else { panic!("a FULL cache") };
    cache.status(&state.table, vec!["k".to_owned()])
}

/// Waits until the status is as wanted.
async fn until(state: &LookupState, wanted: impl Fn(&LookupStatus) -> bool) -> LookupStatus {
    let waited = async {
        loop {
            let status = status(state);
            if wanted(&status) {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waited).await.expect("it comes to that")
}

#[tokio::test]
async fn a_full_cache_asks_for_nothing_and_takes_the_rows_of_a_reload_all_at_once() {
    let fake = Arc::new(FakeTable::new(&[(1, 10), (2, 20)]));
    let operator = operator(&fake, watching(), asking(), ALL, &budget());
    let keys = [some(&[1, 2])];
    assert_eq!(run(&operator, &keys).await.expect("joined"), [(0, Some(10)), (1, Some(20))]);
    fake.failures.store(1, Ordering::SeqCst);
    fake.replace(&[(1, 11), (2, 21)]);
    let reloaded = async {
        loop {
            let joined = run(&operator, &keys).await.expect("a load that fails leaves the older rows");
            if joined == [(0, Some(11)), (1, Some(21))] {
                break;
            }
            assert_eq!(joined, [(0, Some(10)), (1, Some(20))], "never a mixture");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), reloaded).await.expect("the rows come");
    assert!(fake.requested().is_empty());
    assert_eq!(status(&operator.state).skipped_lines, None);
    let lenient = Arc::new(FakeTable { skipped: Some(3), ..FakeTable::new(&[(1, 10)]) });
    let lenient = super::operator(&lenient, watching(), asking(), ALL, &budget());
    run(&lenient, &keys).await.expect("joined");
    assert_eq!(status(&lenient.state).skipped_lines, Some(3));
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

#[tokio::test]
async fn a_version_is_loaded_once_and_a_bad_one_leaves_the_one_before_and_is_told() {
    let fake = Arc::new(FakeTable::new(&[(1, 10)]));
    let set = |version: &str| *fake.version.lock().unwrap_or_else(PoisonError::into_inner) = Some(version.to_owned());
    set("first");
    let (budget, keys) = (budget(), [some(&[1])]);
    let state = state(&fake, watching(), asking(), &budget);
    let operator = operator_on(Arc::clone(&state), None, ALL, &budget);
    assert_eq!(run(&operator, &keys).await.expect("joined"), [(0, Some(10))]);
    let first = status(&state);
    assert_eq!((first.version.as_deref(), first.rows, first.failures, first.last_error), (Some("first"), 1, 0, None));
    let looked = until(&state, |now| now.checked > first.checked).await;
    assert_eq!((looked.loaded, fake.loads.load(Ordering::SeqCst)), (first.loaded, 1), "what is known is not loaded again");
    fake.replace(&[(1, 11)]);
    fake.failures.store(1_000_000, Ordering::SeqCst);
    set("second");
    let bad = until(&state, |now| now.failures > 1).await;
    assert_eq!((bad.version.as_deref(), bad.last_error.as_deref()), (Some("first"), Some("away")));
    assert_eq!(run(&operator, &keys).await.expect("joined"), [(0, Some(10))], "the older rows serve");
    fake.failures.store(0, Ordering::SeqCst);
    let good = until(&state, |now| now.version.as_deref() == Some("second")).await;
    assert_eq!((good.last_error, good.failures >= bad.failures), (None, true));
    assert_eq!(run(&operator, &keys).await.expect("joined"), [(0, Some(11))]);
}

#[tokio::test]
async fn a_version_that_cannot_be_kept_is_not_read_again() {
    let fake = Arc::new(FakeTable::new(&[(1, 10)]));
    let set = |version: &str| *fake.version.lock().unwrap_or_else(PoisonError::into_inner) = Some(version.to_owned());
    set("first");
    let preload = preload().map(|preload| Preload { max_rows: Some(1), ..preload });
    let budget = budget();
    let state = state(&fake, LookupOptions { preload, ..watching() }, asking(), &budget);
    state.ready().await.expect("loaded");
    fake.replace(&[(1, 11), (2, 21)]);
    set("second");
    let seen = until(&state, |now| now.failures == 1).await;
    let loads = fake.loads.load(Ordering::SeqCst);
    let looked_again = until(&state, |_| fake.loads.load(Ordering::SeqCst) > loads + 3).await;
    assert_eq!((looked_again.failures, looked_again.last_error), (1, seen.last_error));
    fake.replace(&[(1, 12)]);
    set("third");
    let good = until(&state, |now| now.version.as_deref() == Some("third")).await;
    assert_eq!((good.rows, good.last_error), (1, None));
}

#[tokio::test]
async fn a_table_that_takes_too_much_memory_is_told_by_the_bound_that_counts() {
    let fake = Arc::new(FakeTable::new(&(0..100).map(|key| (key, key)).collect::<Vec<_>>()));
    for (max_bytes, limit, wanted) in
        [(Some(1_000), 1 << 20, "the 1000 that 'lookup.preload.max-bytes' allows"), (Some(1 << 20), 30_000, "a quarter of --memory")]
    {
        let preload = preload().map(|preload| Preload { max_bytes, ..preload });
        let budget = MemoryBudget::new(limit);
        let full = Cache::Full(Full { reload: Reload::Never, max_staleness: None });
        let large = operator(&fake, LookupOptions { cache: full, preload, ..options() }, asking(), ALL, &budget);
        let error = run(&large, &[some(&[1])]).await.expect_err("too large").to_string();
        assert!(error.contains(wanted), "{error}");
    }
}
