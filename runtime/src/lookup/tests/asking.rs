//! What is asked for, how often, and when that ends.

use std::sync::Arc;
use std::time::Duration;

use arrow_array::Int64Array;
use futures::{StreamExt, TryStreamExt, stream};
use weir_base::{Classified, ErrorKind};
use weir_connectors::lookup::{Cache, LookupOptions, Partial};
use weir_sql::lookup_join::{Asking, MissRetry};

use super::super::keys::BatchKeys;
use super::super::probe::Operator;
use super::super::resolve::{Question, resolve};
use super::fake::FakeTable;
use super::{ALL, asking, budget, operator, options, probe, run, some, state};
use crate::error::RuntimeError;

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
async fn requests_go_on_while_nobody_takes_rows() {
    // The answer to key 1 comes at once, the others in two steps, between which somebody has to see to them.
    let fake = Arc::new(FakeTable { steps: true, ..FakeTable::new(&[(1, 10), (2, 20), (3, 30)]) });
    let operator = operator(&fake, LookupOptions { batch: 1, ..options() }, asking(), ALL, &budget());
    let mut probe = probe(&operator, &[some(&[1]), some(&[2]), some(&[3])]);
    assert_eq!(probe.next().await.expect("joined").map(|rows| rows.num_rows()), Some(1));
    let answered = async {
        while fake.answered() < 3 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), answered).await.expect("the requests do not wait for the sink");
    let mut rows = 1;
    while let Some(batch) = probe.next().await.expect("joined") {
        rows += batch.num_rows();
    }
    assert_eq!(rows, 3);
}

#[tokio::test]
async fn rows_that_change_each_other_leave_in_order_though_their_table_need_not_keep_it() {
    let first = async |in_order: bool| {
        // Key 1 is answered at once, the others in two steps.
        let fake = Arc::new(FakeTable { steps: true, ..FakeTable::new(&[(1, 10), (2, 20)]) });
        let asking = Asking { ordered: false, ..asking() };
        let operator = operator(&fake, LookupOptions { batch: 1, ..options() }, asking, ALL, &budget());
        let operator = Arc::new(Operator { in_order, ..Arc::into_inner(operator).expect("one owner") });
        run(&operator, &[some(&[2]), some(&[1])]).await.expect("joined").first().copied()
    };
    assert_eq!(first(false).await, Some((1, Some(10))), "what is there leaves first");
    assert_eq!(first(true).await, Some((0, Some(20))));
}

#[tokio::test]
async fn requests_end_with_the_task_that_sent_them() {
    let fake = Arc::new(FakeTable { silent: true, ..FakeTable::new(&[]) });
    let operator = operator(&fake, options(), asking(), ALL, &budget());
    let mut probe = probe(&operator, &[some(&[1])]);
    tokio::select! {
        biased;
        _ = probe.next() => panic!("nothing answers"),
        () = async { while fake.requested().is_empty() { tokio::task::yield_now().await } } => {}
    }
    drop((probe, operator));
    let ended = async {
        // Whoever asks holds the table.
        while Arc::strong_count(&fake) > 1 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), ended).await.expect("nobody asks any more");
}

#[tokio::test]
async fn a_question_is_charged_for_those_parts_of_an_answer_that_have_rows_of_it() {
    let rows: Vec<(i64, i64)> = (0..4_000).map(|row| (row % 4, row)).collect();
    // Four keys in one request are too many for the table: each half has its own rows.
    let fake = Arc::new(FakeTable { most: Some(2), ..FakeTable::new(&rows) });
    let budget = budget();
    let options = LookupOptions { max_retries: 0, linger: Duration::from_secs(600), ..options() };
    let state = state(&fake, options, Asking { timeout: Duration::from_secs(1_000), ..asking() }, &budget);
    let question = |keys: &[i64]| {
        let keys = BatchKeys::try_new(&state.keys, vec![Arc::new(Int64Array::from(keys.to_vec()))]).expect("keys");
        Ok(Question { about: (), keys, bytes: 0 })
    };
    let questions = stream::iter([question(&[0, 1]), question(&[2, 3])]).boxed();
    let answered: Vec<_> = resolve(&state, questions, true, &budget).try_collect().await.expect("answered");
    assert_eq!(fake.requested(), [4, 2, 2]);
    let part = FakeTable::batch(&rows[..2_000]).get_array_memory_size() as u64;
    for resolved in &answered {
        let held = resolved.held.bytes();
        assert!((part / 2..part * 3 / 2).contains(&held), "{held} of {part}");
    }
}

#[tokio::test]
async fn a_key_of_very_many_rows_is_joined_piece_by_piece_and_its_rows_are_charged() {
    const ROWS: i64 = 30_000;
    let rows: Vec<(i64, i64)> = (0..ROWS).map(|row| (1, row)).collect();
    let fake = Arc::new(FakeTable::new(&rows));
    let budget = budget();
    let operator = operator(&fake, options(), asking(), ALL, &budget);
    let mut probe = probe(&operator, &[some(&[1; 100])]);
    let mut joined = 0;
    while let Some(batch) = probe.next().await.expect("joined") {
        assert!(batch.num_rows() <= 16_384, "{}", batch.num_rows());
        joined += batch.num_rows();
        // The rows of the key, of two columns, and those that were given.
        assert!(budget.used() >= 16 * ROWS as u64, "{}", budget.used());
    }
    assert_eq!(joined, 100 * ROWS as usize);
    assert!(budget.peak() < 8 << 20, "never all of them at once: {}", budget.peak());
    drop(probe);
    assert_eq!(budget.used(), 0);
}
