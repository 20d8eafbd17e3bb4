//! Messages that are no rows, that must wait, or that do not fit.

use super::*;

/// What is told with every message that ends a job.
const REMEDY: &str = "'error.mode' = 'dead-letter' puts such messages into the table 'error.table', 'skip' leaves them out.";

#[tokio::test]
async fn bad_messages_end_the_reading_at_their_offset_and_skipped_ones_leave_their_neighbours() {
    let mock = Mock::new(&[("t", 1)]);
    mock.send("t", 0, &["1", "skip", "2", "oops", "3"]);
    let source = mock.source(&[("topic", "t"), ("scan.startup.mode", "earliest-offset")]);
    let budget = MemoryBudget::new(64 << 20);
    let mut reader = source.reader(&split("t/0"), &at(0), ID_AND_OFFSET, &budget).await.expect("a reader");
    assert_eq!(read(&mut *reader, 3).await.expect("rows"), [(1, 0), (2, 2)]);
    for _ in 0..2 {
        let error = read(&mut *reader, 5).await.expect_err("a bad message");
        assert_eq!(error.kind(), ErrorKind::User);
        let text = format!(
            "Table 'c.d.t': bad message at topic 't' partition 0 offset 3: column 'id': 'oops' is no number. {REMEDY} 'numbers.lenient' = 'true' tolerates such messages."
        );
        assert_eq!(error.to_string(), text);
    }
    assert_eq!(reader.position(), 3);
    assert!(weir_base::metrics::exposition().contains("weir_connectors_kafka_skipped_messages_total{table=\"c.d.t\"}"));
}

#[tokio::test]
async fn with_a_dead_letter_table_bad_messages_are_letters_with_their_place_and_reason() {
    let mock = Mock::new(&[("t", 1)]);
    mock.send("t", 0, &["1", "skip", "2", "oops", "3"]);
    let options = [("topic", "t"), ("scan.startup.mode", "earliest-offset"), ("error.mode", "dead-letter"), ("error.table", "lake.db.errors")];
    let source = mock.source(&options);
    assert_eq!(source.dead_letters().map(|letters| letters.table.as_str()), Some("lake.db.errors"));
    let budget = MemoryBudget::new(64 << 20);
    let mut reader = source.reader(&split("t/0"), &at(0), ID_AND_OFFSET, &budget).await.expect("a reader");
    let (mut rows, mut letters) = (Vec::new(), Vec::new());
    for until in [2, 5] {
        loop {
            match reader.next(until).await.expect("rows and letters") {
                Read::Rows { batch, .. } => rows.extend(batch.column(0).as_primitive::<Int64Type>().values().to_vec()),
                Read::Letters { batch } => {
                    let text = |name: &str, row: usize| {
                        let column = batch.column_by_name(name).expect("column");
                        let text = column.as_binary_opt::<i32>().map(|bytes| String::from_utf8_lossy(bytes.value(row)).into_owned());
                        text.unwrap_or_else(|| arrow_cast::display::array_value_to_string(column, row).expect("display"))
                    };
                    letters.extend(
                        (0..batch.num_rows()).map(|row| ["topic", "partition", "offset", "raw", "column", "error"].map(|name| text(name, row))),
                    );
                }
                Read::Reached => break,
            }
        }
        assert_eq!(reader.position(), until);
    }
    assert_eq!(rows, [1, 2, 3]);
    let letter = |offset: &str, raw: &str| ["t", "0", offset, raw, "id", &format!("'{raw}' is no number")].map(str::to_owned);
    assert_eq!(letters, [letter("1", "skip"), letter("3", "oops")]);
}

#[tokio::test]
async fn a_source_that_loses_more_than_is_allowed_ends_with_the_last_loss() {
    let mock = Mock::new(&[("t", 1)]);
    let values: Vec<String> = (0..300).map(|value| if value % 4 == 0 { "oops".to_owned() } else { value.to_string() }).collect();
    mock.send("t", 0, &values.iter().map(String::as_str).collect::<Vec<_>>());
    let budget = MemoryBudget::new(64 << 20);
    let options = [("topic", "t"), ("scan.startup.mode", "earliest-offset"), ("error.mode", "skip")];
    let tolerant = mock.source(&[&options[..], &[("error.max-rate", "0.3")]].concat());
    let mut reader = tolerant.reader(&split("t/0"), &at(0), ID_AND_OFFSET, &budget).await.expect("a reader");
    assert_eq!(read(&mut *reader, 300).await.expect("rows").len(), 225);
    let strict = mock.source(&[&options[..], &[("error.max-rate", "0.2")]].concat());
    let mut reader = strict.reader(&split("t/0"), &at(0), ID_AND_OFFSET, &budget).await.expect("a reader");
    let error = read(&mut *reader, 300).await.expect_err("too many");
    assert_eq!(error.kind(), ErrorKind::User);
    let text = error.to_string();
    assert!(
        text.contains("messages cannot be read, more than 'error.max-rate' = '0.2' allows. The last is at topic 't' partition 0 offset "),
        "{text}"
    );
    assert!(text.ends_with(": column 'id': 'oops' is no number."), "{text}");
}

#[tokio::test]
async fn a_message_without_the_key_that_columns_are_read_from_is_a_bad_one() {
    let mock = Mock::new(&[("t", 1)]);
    mock.send("t", 0, &["7:70", "80", "9:100"]);
    let keyed = [&[("topic", "t"), ("scan.startup.mode", "earliest-offset")], &KEYED[..]].concat();
    let budget = MemoryBudget::new(64 << 20);
    let mut strict = mock.source(&keyed).reader(&split("t/0"), &at(0), &[0, 3, 1], &budget).await.expect("a reader");
    let error = read(&mut *strict, 3).await.expect_err("no key").to_string();
    let expected =
        format!("Table 'c.d.t': bad message at topic 't' partition 0 offset 1: the message has no key, and columns are read from it. {REMEDY}");
    assert_eq!(error, expected);

    let letters = [&keyed[..], &[("error.mode", "dead-letter"), ("error.table", "lake.db.errors")]].concat();
    let mut reader = mock.source(&letters).reader(&split("t/0"), &at(0), &[0, 3, 1], &budget).await.expect("a reader");
    let (mut rows, mut lost) = (0, Vec::new());
    loop {
        match reader.next(3).await.expect("rows and letters") {
            Read::Rows { batch, .. } => rows += batch.num_rows(),
            Read::Letters { batch } => lost.extend(batch.column_by_name("offset").expect("column").as_primitive::<Int64Type>().values().to_vec()),
            Read::Reached => break,
        }
    }
    assert_eq!((rows, lost), (2, vec![1]));
}

#[tokio::test]
async fn a_message_that_must_wait_or_does_not_fit_comes_once_and_in_order() {
    let mock = Mock::new(&[("t", 2)]);
    let source = mock.source(&[("topic", "t"), ("scan.startup.mode", "earliest-offset"), ("error.mode", "skip"), ("error.max-rate", "0.1")]);
    let budget = MemoryBudget::new(64 << 20);
    let values: Vec<String> = (0..120).map(|value| format!("{}{value}", ["", "wait", "alone", "alone"][value % 4])).collect();
    mock.send("t", 0, &values.iter().map(String::as_str).collect::<Vec<_>>());
    let mut reader = source.reader(&split("t/0"), &at(0), ID_AND_OFFSET, &budget).await.expect("a reader");
    let mut rows = Vec::new();
    for until in [30, 61, 62, 120] {
        rows.extend(read(&mut *reader, until).await.expect("rows"));
    }
    assert_eq!(rows, (0..120).map(|value| (value, value)).collect::<Vec<_>>());

    // The same of a key, of which the value's rows are taken back.
    let source = mock.source(&[&[("topic", "t"), ("scan.startup.mode", "earliest-offset")], &KEYED[..]].concat());
    mock.send("t", 1, &["7:70", "wait8:80", "alone9:90", "10:alone100", "skip:110", "12:120"]);
    let mut reader = source.reader(&split("t/1"), &at(0), &[0, 3, 1], &budget).await.expect("a reader");
    let mut rows = Vec::new();
    while let Read::Rows { batch, .. } = reader.next(6).await.expect("rows") {
        let value = |column: usize, row| batch.column(column).as_primitive::<Int64Type>().value(row);
        rows.extend((0..batch.num_rows()).map(|row| (value(0, row), value(1, row), value(2, row))));
    }
    assert_eq!(rows, [(70, 0, 7), (80, 1, 8), (90, 2, 9), (100, 3, 10), (120, 5, 12)]);
}

#[tokio::test]
async fn a_batch_ends_behind_rows_that_take_much_memory() {
    let mock = Mock::new(&[("t", 1)]);
    let values: Vec<String> = (0..100).map(|value| format!("{}{value}", if value % 3 == 1 { "huge" } else { "" })).collect();
    mock.send("t", 0, &values.iter().map(String::as_str).collect::<Vec<_>>());
    let source = mock.source(&[("topic", "t"), ("scan.startup.mode", "earliest-offset")]);
    let budget = MemoryBudget::new(64 << 20);
    let mut reader = source.reader(&split("t/0"), &at(0), ID_AND_OFFSET, &budget).await.expect("a reader");
    let mut rows = Vec::new();
    while let Read::Rows { batch, .. } = reader.next(100).await.expect("rows") {
        let values = batch.column(0).as_primitive::<Int64Type>().values();
        assert!(values.iter().rev().skip(1).all(|value| value % 3 != 1), "rows behind a huge one: {values:?}");
        rows.extend_from_slice(values);
    }
    assert_eq!(rows, (0..100).collect::<Vec<i64>>());
}

#[tokio::test]
async fn a_message_that_does_not_even_fit_alone_is_a_bad_one() {
    let mock = Mock::new(&[("t", 2)]);
    mock.send("t", 0, &["1", "vast2", "3"]);
    mock.send("t", 1, &["7:70", "vast8:80", "9:90"]);
    let options = [("topic", "t"), ("scan.startup.mode", "earliest-offset")];
    let budget = MemoryBudget::new(64 << 20);
    let mut strict = mock.source(&options).reader(&split("t/0"), &at(0), ID_AND_OFFSET, &budget).await.expect("a reader");
    let error = read(&mut *strict, 3).await.expect_err("a bad message").to_string();
    let expected = "Table 'c.d.t': bad message at topic 't' partition 0 offset 1: the rows of the message do not fit into one batch.";
    assert_eq!(error, format!("{expected} {REMEDY}"));
    let tolerant = mock.source(&[&options[..], &[("error.mode", "skip")]].concat());
    let mut reader = tolerant.reader(&split("t/0"), &at(0), ID_AND_OFFSET, &budget).await.expect("a reader");
    assert_eq!(read(&mut *reader, 3).await.expect("rows"), [(1, 0), (3, 2)]);

    // The same of a key.
    let keyed = mock.source(&[&options[..], &[("error.mode", "skip")], &KEYED].concat());
    let mut reader = keyed.reader(&split("t/1"), &at(0), ID_AND_OFFSET_AND_KEY, &budget).await.expect("a reader");
    assert_eq!(read(&mut *reader, 3).await.expect("rows"), [(70, 0), (90, 2)]);
}

#[tokio::test]
async fn nothing_behind_a_message_that_waits_in_vain_is_read() {
    let mock = Mock::new(&[("t", 1)]);
    mock.send("t", 0, &["1", "doom", "3"]);
    let source = mock.source(&[("topic", "t"), ("scan.startup.mode", "earliest-offset"), ("error.mode", "skip")]);
    let budget = MemoryBudget::new(64 << 20);
    let mut reader = source.reader(&split("t/0"), &at(0), ID_AND_OFFSET, &budget).await.expect("a reader");
    assert_eq!(read(&mut *reader, 1).await.expect("rows"), [(1, 0)]);
    let error = read(&mut *reader, 3).await.expect_err("in vain");
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::User, "Table 'c.d.t': nobody knows"));
    assert_eq!((read(&mut *reader, 3).await.expect_err("failed before").kind(), reader.position()), (ErrorKind::Internal, 1));
}
