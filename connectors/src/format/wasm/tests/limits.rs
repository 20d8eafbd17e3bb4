//! Modules that trap, never end, run out of memory, leak or lie: each fails one message, and the next one is read.

use arrow_schema::DataType;

use super::{decoder, echo, module, schema, values};
use crate::format::{BadMessage, Decoded};

/// A module that does what the first byte of a message says; any other message it gives back.
fn naughty() -> String {
    let case = |byte: char, what: &str| format!("(if (i32.eq (i32.load8_u (local.get $at)) (i32.const {})) (then {what}))", u32::from(byte));
    let body = [
        case('t', "unreachable"),
        case('l', "(loop (br 0))"),
        case('r', "(return (call $deep (local.get $at)))"),
        case('o', "(return (i64.const 0x7fffffff_00000010))"),
        case('n', "(return (i64.const -1))"),
        case('w', "(i32.store (i32.const 0x7fffffff) (i32.const 1))"),
        case('z', "(drop (i32.div_u (i32.const 1) (i32.const 0)))"),
        case('g', "(loop (br_if 0 (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable"),
        "(call $echo (local.get $at) (local.get $size))".to_owned(),
    ];
    let deep = "(func $deep (param i32) (result i64) (call $deep (local.get 0)))";
    module(&body.concat()).replace("(func $echo", &format!("{deep} (func $echo"))
}

fn failed(decoded: Decoded) -> String {
    match decoded {
        Decoded::Failed(BadMessage { reason, column: None, tolerated_by: Some(option) }) if option == "wasm.ignore-parse-errors" => reason,
        other => panic!("{other:?}"),
    }
}

const GOOD: &[u8] = &[0, 1, 7, 0, 0, 0];

#[tokio::test]
async fn whatever_a_module_does_only_that_message_is_bad() {
    let columns = schema(&[("a", DataType::Int32)]);
    let mut decoder = decoder(&naughty(), &[("fuel", "100000"), ("memory", "2 mb")], &columns).await;
    let cases = [
        (b't', "the module has given up (a panic, or an instruction that must not be reached)"),
        (b'l', "the module has not come to an end with 'wasm.fuel' = '100000'"),
        (b'r', "the module calls itself too deep"),
        (b'o', "the module's answer of 16 bytes at 2147483647 lies outside of its memory of 1048576 bytes"),
        (b'n', "the module's answer of 4294967295 bytes at 4294967295 lies outside of its memory of 1048576 bytes"),
        (b'w', "the module has reached outside of its memory"),
        (b'z', "the module has failed: integer divide by zero"),
        (b'g', "the module has given up (a panic, or an instruction that must not be reached)"),
    ];
    for round in 0..3 {
        for (byte, reason) in cases {
            assert_eq!(failed(decoder.push(&[byte, round])), reason);
            assert_eq!(decoder.push(GOOD), Decoded::Row, "after {reason}");
        }
    }
    let batch = decoder.take().expect("batch");
    assert_eq!(values(&batch), vec![vec!["7".to_owned()]; 3 * cases.len()]);
}

#[tokio::test]
async fn what_is_tolerated_is_left_out() {
    let columns = schema(&[("a", DataType::Int32)]);
    let mut decoder = decoder(&naughty(), &[("ignore-parse-errors", "true"), ("fuel", "100000")], &columns).await;
    assert!(matches!(decoder.push(b"t"), Decoded::Skipped(_)));
    assert!(matches!(decoder.push(b"l"), Decoded::Skipped(_)));
    assert_eq!(decoder.push(GOOD), Decoded::Row);
    assert_eq!((decoder.rows(), decoder.take().expect("batch").num_rows()), (1, 1));
}

/// It counts the messages of its life in its memory, and gives up at the fourth.
#[tokio::test]
async fn a_message_is_not_bad_because_of_those_before_it() {
    let counts = "(local $seen i32)
        (local.set $seen (i32.load (i32.const 0)))
        (if (i32.eq (local.get $seen) (i32.const 3)) (then unreachable))
        (i32.store (i32.const 0) (i32.add (local.get $seen) (i32.const 1)))
        (i32.store8 (i32.const 8) (i32.const 0))
        (i32.store8 (i32.const 9) (i32.const 1))
        (i32.store (i32.const 10) (local.get $seen))
        (call $echo (i32.const 8) (i32.const 6))";
    let columns = schema(&[("a", DataType::Int32)]);
    let mut decoder = decoder(&module(counts), &[], &columns).await;
    for _ in 0..8 {
        assert_eq!(decoder.push(b""), Decoded::Row);
    }
    let lives: Vec<String> = values(&decoder.take().expect("batch")).concat();
    assert_eq!(lives, ["0", "1", "2", "0", "1", "2", "0", "1"], "a new instance for the fourth and the seventh");
}

/// It counts as well, and from the fourth message on gives rows of which the second is none.
#[tokio::test]
async fn a_module_that_gives_no_answer_any_more_is_begun_anew() {
    let garbage = "(local $seen i32)
        (local.set $seen (i32.load (i32.const 0)))
        (i32.store (i32.const 0) (i32.add (local.get $seen) (i32.const 1)))
        (i32.store8 (i32.const 8) (i32.const 0))
        (i32.store8 (i32.const 9) (i32.const 1))
        (i32.store (i32.const 10) (local.get $seen))
        (i32.store8 (i32.const 14) (i32.const 9))
        (call $echo (i32.const 8) (i32.add (i32.const 6) (i32.ge_u (local.get $seen) (i32.const 3))))";
    let columns = schema(&[("a", DataType::Int32)]);
    let mut decoder = decoder(&module(garbage), &[], &columns).await;
    for _ in 0..8 {
        assert_eq!(decoder.push(b""), Decoded::Row);
    }
    let lives: Vec<String> = values(&decoder.take().expect("batch")).concat();
    assert_eq!(lives, ["0", "1", "2", "0", "1", "2", "0", "1"], "a new instance for the fourth and the seventh");
}

/// It never frees: each message takes four more pages, of which there are 32.
#[tokio::test]
async fn a_module_that_leaks_is_begun_anew_when_its_memory_is_full() {
    let leaks = "(if (i32.eq (memory.grow (i32.const 4)) (i32.const -1)) (then unreachable)) (call $echo (local.get $at) (local.get $size))";
    let columns = schema(&[("a", DataType::Int32)]);
    let mut decoder = decoder(&module(leaks), &[("memory", "2 mb")], &columns).await;
    for _ in 0..50 {
        assert_eq!(decoder.push(GOOD), Decoded::Row);
    }
}

#[tokio::test]
async fn a_message_that_does_not_fit_is_bad_and_the_next_one_is_read() {
    let bump = echo().replace(
        "(param i32) (result i32) i32.const 65536)",
        "(param i32) (result i32) (if (i32.gt_u (local.get 0) (i32.const 524288)) (then (return (i32.const 0)))) i32.const 65536)",
    );
    let columns = schema(&[("a", DataType::Utf8)]);
    let mut decoder = decoder(&bump, &[("memory", "1 mb")], &columns).await;
    let text = |length: usize| [&[0, 1][..], &u32::try_from(length).expect("small").to_le_bytes(), &vec![b'x'; length]].concat();
    assert_eq!(decoder.push(&text(100_000)), Decoded::Row);
    assert_eq!(failed(decoder.push(&text(600_000))), "the module has no room for 600006 bytes: 'weir_alloc' gives 0");
    assert_eq!(decoder.push(&text(300_000)), Decoded::Row);
    assert_eq!(decoder.take().expect("batch").num_rows(), 2);
}

#[tokio::test]
async fn rows_that_would_take_too_much_make_their_message_bad() {
    let wide = DataType::Struct((0..500).map(|index| arrow_schema::Field::new(format!("f{index}"), DataType::Int64, true)).collect());
    let lists = DataType::List(std::sync::Arc::new(arrow_schema::Field::new("item", wide, true)));
    let columns = schema(&[("a", lists)]);
    let mut narrow = decoder(&echo(), &[("memory", "1 mb")], &columns).await;
    // 1,000 rows of 500 numbers, all NULL: a byte each.
    let nulls = [&[0, 1][..], &1_000_u32.to_le_bytes(), &[0; 1_000]].concat();
    assert_eq!(failed_anywhere(narrow.push(&nulls)), "the module gives rows that take more than 'wasm.memory' allows");
    let mut wide = decoder(&echo(), &[("memory", "16 mb")], &columns).await;
    assert_eq!(wide.push(&nulls), Decoded::Row);
    assert_eq!(wide.take().expect("batch").num_rows(), 1);

    // The same of 1,000 that are bad and become NULL: five bytes each.
    let faults = [&[0, 1][..], &1_000_u32.to_le_bytes(), &[3, 0, 0, 0, 0].repeat(1_000)].concat();
    let mut tolerant = decoder(&echo(), &[("memory", "1 mb"), ("ignore-parse-errors", "true")], &columns).await;
    assert!(matches!(tolerant.push(&faults), Decoded::Skipped(bad) if bad.reason.starts_with("the module gives rows that take more")));

    let columns = schema(&[("a", DataType::Boolean)]);
    let mut decoder = decoder(&echo(), &[], &columns).await;
    assert_eq!(decoder.push(&[vec![0], vec![0; super::super::answer::MOST_ROWS]].concat()), Decoded::Rows(65_536));
    assert_eq!(failed_anywhere(decoder.push(&[0; 65_538])), "the module gives more than 65536 rows for one message");
    assert_eq!(decoder.take().expect("batch").num_rows(), 65_536);
}

fn failed_anywhere(decoded: Decoded) -> String {
    match decoded {
        Decoded::Failed(bad) => bad.reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_module_that_never_ends_pauses_after_a_slice_of_work_and_each_message_is_bad_all_the_same() {
    let columns = schema(&[("a", DataType::Int32)]);
    let mut decoder = decoder(&naughty(), &[("fuel", "510000000")], &columns).await;
    let (mut bad, mut pauses) = (0, Vec::new());
    while bad < 6 {
        match decoder.push(b"l") {
            Decoded::Waits => {
                decoder.wanted().await.expect("nothing is missing");
                pauses.push(bad);
            }
            decoded => {
                assert_eq!(failed(decoded), "the module has not come to an end with 'wasm.fuel' = '510000000'");
                bad += 1;
            }
        }
    }
    assert_eq!(pauses, [4]);
    assert_eq!(decoder.push(GOOD), Decoded::Row);
}
