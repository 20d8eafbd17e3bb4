//! Whatever the keys, the caches, the delays and the failures: what comes out is what a join in memory gives.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use weir_base::memory::MemoryBudget;
use weir_connectors::lookup::{Cache, Full, LookupOptions, Partial, Preload, Reload};
use weir_sql::lookup_join::{Asking, MissRetry};

use super::fake::FakeTable;
use super::{ALL, How, Joined, operator, run};

pub(super) fn caches() -> impl Strategy<Value = (Cache, bool)> {
    let partial = (1_u64..20, any::<bool>(), any::<bool>())
        .prop_map(|(rows, missing, preload)| (Cache::Partial(Partial { max_rows: Some(rows), missing, ..Partial::default() }), preload));
    prop_oneof![Just((Cache::None, false)), partial, Just((Cache::Full(Full { reload: Reload::Never, max_staleness: None }), true)),]
}

pub(super) fn keys() -> impl Strategy<Value = Vec<Vec<Option<i64>>>> {
    prop::collection::vec(prop::collection::vec(prop::option::weighted(0.9, 0_i64..12), 0..20), 0..12)
}

pub(super) fn preloaded(preload: bool) -> Option<Preload> {
    preload.then(|| Preload { timeout: Duration::from_secs(60), max_rows: None, max_bytes: None, parallelism: 1 })
}

/// What the join is to give.
fn model(keys: &[Vec<Option<i64>>], rows: &[(i64, i64)], how: How) -> Vec<Joined> {
    let mut joined = Vec::new();
    for (number, key) in (0..).zip(keys.iter().flatten()) {
        let matches: Vec<i64> =
            rows.iter().filter(|row| Some(row.0) == *key && how.above.is_none_or(|above| row.1 > above)).map(|row| row.1).collect();
        if matches.is_empty() && how.keeps_all {
            joined.push((number, None));
        }
        joined.extend(matches.into_iter().map(|value| (number, Some(value))));
    }
    joined
}

pub(super) fn on_a_runtime<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime").block_on(work)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_lookup_join_gives_what_a_join_in_memory_gives(
        keys in keys(),
        rows in prop::collection::vec((0_i64..10, 0_i64..100), 0..15),
        (cache, preload) in caches(),
        (batch, spare, linger) in (1_usize..9, 0_usize..20, 0_u64..3),
        (is_async, ordered, keeps_all) in any::<(bool, bool, bool)>(),
        above in prop::option::of(0_i64..100),
        (failures, slow, late) in (prop_oneof![8 => Just(0_usize), 1 => 1_usize..3], 0_u64..4, 0_usize..2),
    ) {
        let batch = if is_async { batch } else { 1 };
        let fake = Arc::new(FakeTable { failures: failures.into(), slow, late, ..FakeTable::new(&rows) });
        let preload = preloaded(preload);
        let loads_first = preload.is_some() && failures > 0;
        let options = LookupOptions { cache, preload, max_retries: 3, is_async, hash: false, batch, linger: Duration::from_millis(linger), indexes: Vec::new() };
        let on_miss = Some(MissRetry { delay: Duration::from_millis(1), attempts: 1 });
        let asking = Asking { capacity: batch + spare, timeout: Duration::from_secs(60), ordered, on_miss };
        let capacity = if is_async { asking.capacity } else { 1 };
        let how = How { keeps_all, above };
        let budget = MemoryBudget::new(1 << 30);
        let operator = operator(&fake, options, asking, how, &budget);
        let mut joined = on_a_runtime(async {
            for _ in 0..if loads_first { failures } else { 0 } {
                run(&operator, &keys).await.expect_err("a load is not tried again by itself");
            }
            // Once more, with what is kept.
            run(&operator, &keys).await.expect("joined");
            run(&operator, &keys).await.expect("joined")
        });
        let mut expected = model(&keys, &rows, how);
        if !ordered {
            joined.sort_unstable();
            expected.sort_unstable();
        }
        prop_assert_eq!(joined, expected);
        prop_assert!(fake.requested().iter().all(|keys| *keys <= batch));
        prop_assert!(fake.most_on_their_way.load(std::sync::atomic::Ordering::SeqCst) <= capacity);
        drop(operator);
        prop_assert_eq!(budget.used(), 0);
    }
}

#[test]
fn the_model_joins_as_sql_does() {
    let keys = [vec![Some(1), None], vec![Some(2), Some(1)]];
    let rows = [(1, 10), (1, 5), (3, 1)];
    assert_eq!(model(&keys, &rows, ALL), [(0, Some(10)), (0, Some(5)), (1, None), (2, None), (3, Some(10)), (3, Some(5))]);
    assert_eq!(model(&keys, &rows, How { keeps_all: false, above: Some(5) }), [(0, Some(10)), (3, Some(10))]);
}
