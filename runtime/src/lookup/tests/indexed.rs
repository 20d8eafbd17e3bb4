//! A table that is found through an index: what comes out is what a join of the three in memory gives.

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use proptest::prelude::*;
use weir_base::memory::MemoryBudget;
use weir_connectors::lookup::{Cache, LookupOptions};
use weir_sql::lookup_join::Asking;

use super::super::index::{Hops, Index};
use super::super::keys::BatchKeys;
use super::super::resolve::{Question, resolve, size};
use super::fake::FakeTable;
use super::property::{caches, keys, on_a_runtime, preloaded};
use super::{ALL, How, asking, batches, operator_on, options, pairs, state};

/// What the join is to give: each row of the input with the rows that the index names for its key, each once, in the order of the index.
fn model(keys: &[Vec<Option<i64>>], index: &[(i64, i64)], rows: &[(i64, i64)], how: How) -> Vec<(i64, Option<(i64, i64)>)> {
    let mut joined = Vec::new();
    for (number, key) in (0..).zip(keys.iter().flatten()) {
        let mut named: Vec<i64> = Vec::new();
        for (_, row) in index.iter().filter(|(of, _)| Some(*of) == *key) {
            if !named.contains(row) {
                named.push(*row);
            }
        }
        let is_match = |row: &&(i64, i64)| how.above.is_none_or(|above| row.1 > above);
        let found: Vec<_> = named.iter().flat_map(|name| rows.iter().filter(move |row| row.0 == *name)).filter(is_match).collect();
        if found.is_empty() && how.keeps_all {
            joined.push((number, None));
        }
        joined.extend(found.into_iter().map(|row| (number, Some(*row))));
    }
    joined
}

/// One key of the index names very many rows, for which a server is asked that does not answer.
#[test]
fn the_keys_that_an_index_names_are_charged_while_their_rows_are_waited_for() {
    const NAMED: i64 = 20_000;
    let budget = MemoryBudget::new(1 << 30);
    let named: Vec<(i64, i64)> = (0..NAMED).map(|row| (7, row)).collect();
    let index = state(&Arc::new(FakeTable::new(&named)), options(), asking(), &budget);
    let rows = state(&Arc::new(FakeTable { silent: true, ..FakeTable::default() }), options(), asking(), &budget);
    let operator = operator_on(rows, Some(Index::new(index, vec![1], &budget)), ALL, &budget);
    let waiting = async { tokio::time::timeout(Duration::from_secs(1), pairs(&operator, &[vec![Some(7)]])).await };
    on_a_runtime(waiting).expect_err("nobody answers");
    // A key has nine bytes and a hash, and waits with its question; the answer of the index has gone.
    let least = NAMED as u64 * 200;
    assert!((FakeTable::batch(&named).get_array_memory_size() as u64) < least && budget.peak() > least, "{}", budget.peak());
    assert_eq!(budget.used(), 0);
}

#[test]
fn more_rows_of_one_key_of_an_index_than_memory_has_room_for_are_refused_and_many_keys_are_asked_for_in_parts() {
    let budget = MemoryBudget::new(4 << 20);
    let joined = |named: &[(i64, i64)], keys: &[Vec<Option<i64>>]| {
        let state_of = |rows: &[(i64, i64)], cache| {
            let options = LookupOptions { cache, batch: 64, ..options() };
            state(&Arc::new(FakeTable::new(rows)), options, Asking { capacity: 64, ..asking() }, &budget)
        };
        let operator = operator_on(state_of(&[(1, 5)], Cache::None), Some(Index::new(state_of(named, Cache::None), vec![1], &budget)), ALL, &budget);
        on_a_runtime(async { pairs(&operator, keys).await })
    };
    let one: Vec<(i64, i64)> = (0..8_000).map(|row| (7, row)).collect();
    let told = joined(&one, &[vec![Some(7)]]).expect_err("too many").to_string();
    assert!(told.contains("Table 'c.d.dim': as an index it names 8000 rows at a time, whose keys take"), "{told}");
    let many: Vec<(i64, i64)> = one.iter().map(|(_, row)| (row % 80, *row)).collect();
    let found = joined(&many, &[(0..80).map(Some).collect()]).expect("joined");
    assert_eq!((found.len(), found.iter().filter_map(|(row, found)| Some((*row, (*found)?))).collect::<Vec<_>>()), (80, vec![(1, (1, 5))]));
}

/// A batch whose keys name more rows than a question is about.
#[test]
fn each_part_of_a_batch_is_charged_for_its_own_rows_and_keys() {
    const KEYS: i64 = 2_000;
    let budget = MemoryBudget::new(1 << 30);
    let named: Vec<(i64, i64)> = (0..KEYS).map(|row| (row, row)).collect();
    let options = || LookupOptions { batch: 4_096, ..options() };
    let asking = Asking { capacity: 4_096, ..asking() };
    let index = Arc::new(Index { state: state(&Arc::new(FakeTable::new(&named)), options(), asking, &budget), row_key: vec![1], most: 500 });
    let codec = Arc::clone(&index.state.keys);
    let batch = batches(&[named.iter().map(|(key, _)| Some(*key)).collect()]).pop().expect("a batch");
    let keys = BatchKeys::try_new(&codec, vec![Arc::clone(batch.column(1))]).expect("keys");
    let question = Question { bytes: size(&batch), about: batch.clone(), keys };
    let found = on_a_runtime(async { resolve(&index.state, stream::iter([Ok(question)]).boxed(), true, &budget).try_next().await });
    let hops = Hops::new(&index, &codec, &budget, found.expect("found").expect("one"));
    let mut parts = hops.collect::<Result<Vec<_>, _>>().expect("questions");
    assert_eq!(parts.len(), 4);
    // The index and its answers are gone.
    let whole = budget.used();
    assert!(whole > size(&batch), "{whole} of {}", size(&batch));
    while let Some(last) = parts.pop() {
        drop(last);
        assert_eq!(budget.used(), whole * parts.len() as u64 / 4, "{} parts are left", parts.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_join_through_an_index_gives_what_joins_in_memory_give(
        keys in keys(),
        index in prop::collection::vec((0_i64..10, 0_i64..8), 0..20),
        rows in prop::collection::vec((0_i64..8, 0_i64..100), 0..15),
        (of_index, of_rows) in (caches(), caches()),
        (batch, linger, slow) in (1_usize..9, 0_u64..3, 0_u64..3),
        (ordered, keeps_all) in any::<(bool, bool)>(),
        above in prop::option::of(0_i64..100),
        (failures, most) in (0_usize..3, prop_oneof![1_usize..12, Just(1 << 16)]),
    ) {
        let budget = MemoryBudget::new(1 << 30);
        let asking = Asking { capacity: batch + 5, timeout: Duration::from_secs(60), ordered, on_miss: None };
        let linger = Duration::from_millis(linger);
        let of = |(cache, preload), table: &[(i64, i64)]| {
            // A load is not tried again by itself.
            let failures = if preload { 0 } else { failures };
            let fake = Arc::new(FakeTable { failures: failures.into(), slow, ..FakeTable::new(table) });
            let options = LookupOptions { cache, preload: preloaded(preload), batch, linger, ..options() };
            (state(&fake, options, asking.clone(), &budget), fake)
        };
        let ((index_state, index_fake), (row_state, row_fake)) = (of(of_index, &index), of(of_rows, &rows));
        let how = How { keeps_all, above };
        let operator = operator_on(row_state, Some(Index { state: index_state, row_key: vec![1], most }), how, &budget);
        let mut joined = on_a_runtime(async {
            // Once more, with what is kept.
            pairs(&operator, &keys).await.expect("joined");
            pairs(&operator, &keys).await.expect("joined")
        });
        let mut expected = model(&keys, &index, &rows, how);
        if !ordered {
            joined.sort_unstable();
            expected.sort_unstable();
        }
        prop_assert_eq!(joined, expected);
        prop_assert!(index_fake.requested().into_iter().chain(row_fake.requested()).all(|keys| keys <= batch));
        drop(operator);
        prop_assert_eq!(budget.used(), 0);
    }
}
