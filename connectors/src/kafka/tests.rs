//! The connector as a whole: declarations, and reading from librdkafka's mock broker.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arrow_array::cast::AsArray as _;
use arrow_array::types::Int64Type;
use arrow_array::{Array as _, ArrayRef, Int64Array, RecordBatch, RecordBatchOptions};
use arrow_schema::{ArrowError, DataType, SchemaRef};
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};
use weir_base::memory::{MemoryBudget, Use};
use weir_base::options::{OptionBag, OptionDecl};
use weir_base::{Classified as _, ErrorKind};

use super::KafkaConnector;
use crate::error::ConnectorError;
use crate::format::{BadMessage, Decoded, Decoder, Format, FormatFactory, Wanted};
use crate::registry::Connector as _;
use crate::source::{Cut, Frontier, Read, SplitEnumerator, SplitId, SplitPosition, SplitReader, StreamSource};
use crate::table::{ColumnDef, ColumnKind, TableDef, TablePath};

/// A message is one decimal number, which every column gets; `skip` is skipped, anything else is bad. A number behind `wait` is read when it has
/// been waited for, one behind `alone` does not fit behind others, and one behind `vast` not even alone; one behind `huge` takes 64 MB, as it
/// says; what `doom` waits for never comes.
#[derive(Debug)]
struct Numbers;

#[derive(Debug)]
struct NumberDecoder {
    schema: SchemaRef,
    values: Vec<i64>,
    huge: usize,
    doomed: bool,
    known: Arc<AtomicBool>,
}

impl FormatFactory for Numbers {
    fn name(&self) -> &'static str {
        "numbers"
    }

    fn doc(&self) -> &'static str {
        "A message is a number."
    }

    fn options(&self) -> &'static [OptionDecl] {
        &[]
    }

    fn open(&self, _prefix: &str, _options: &mut OptionBag, _schema: &SchemaRef) -> Option<Box<dyn Format>> {
        Some(Box::new(Self))
    }
}

impl Format for Numbers {
    fn decoder(&self, schema: &SchemaRef) -> Box<dyn Decoder> {
        Box::new(NumberDecoder { schema: Arc::clone(schema), values: Vec::new(), huge: 0, doomed: false, known: Arc::default() })
    }
}

impl Decoder for NumberDecoder {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn push(&mut self, message: &[u8]) -> Decoded {
        let text = String::from_utf8_lossy(message);
        let bad = || BadMessage {
            reason: format!("'{text}' is no number"),
            column: Some("id".to_owned()),
            tolerated_by: Some("numbers.lenient".to_owned()),
        };
        self.doomed = text == "doom";
        if self.doomed || text.starts_with("wait") && !self.known.swap(false, Ordering::Relaxed) {
            return Decoded::Waits;
        }
        if text.starts_with("vast") || text.starts_with("alone") && !self.values.is_empty() {
            return Decoded::Full;
        }
        self.huge += usize::from(text.starts_with("huge"));
        match text.trim_start_matches(char::is_alphabetic).parse() {
            Ok(value) => {
                self.values.push(value);
                Decoded::Row
            }
            Err(_) if text == "skip" => Decoded::Skipped(bad()),
            Err(_) => Decoded::Failed(bad()),
        }
    }

    fn wanted(&mut self) -> Wanted {
        let (doomed, known) = (self.doomed, Arc::clone(&self.known));
        Box::pin(async move {
            tokio::task::yield_now().await;
            known.store(true, Ordering::Relaxed);
            if doomed { Err(ConnectorError::user("nobody knows")) } else { Ok(()) }
        })
    }

    fn rows(&self) -> usize {
        self.values.len()
    }

    fn bytes(&self) -> usize {
        self.values.len() * 8 + self.huge * (64 << 20)
    }

    fn take(&mut self) -> Result<RecordBatch, ArrowError> {
        self.huge = 0;
        let values: ArrayRef = Arc::new(Int64Array::from(std::mem::take(&mut self.values)));
        let options = RecordBatchOptions::new().with_row_count(Some(values.len()));
        let columns = self.schema.fields().iter().map(|_| Arc::clone(&values)).collect();
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
    }
}

fn column(name: &str, data_type: DataType, metadata: Option<&str>) -> ColumnDef {
    let kind = metadata.map_or(ColumnKind::Physical, |key| ColumnKind::Metadata { key: key.to_owned(), virtual_column: true });
    ColumnDef { name: name.to_owned(), sql_type: data_type.to_string(), data_type, nullable: true, kind, comment: None }
}

/// `id BIGINT, k BIGINT, p BIGINT METADATA FROM 'partition', o BIGINT METADATA FROM 'offset', h … METADATA FROM 'headers'`.
fn table(options: &[(&str, &str)]) -> TableDef {
    let path = TablePath { catalog: "c".to_owned(), database: "d".to_owned(), table: "t".to_owned() };
    let mut bag = OptionBag::new(format!("Table '{path}'"));
    for (key, value) in [("connector", "kafka"), ("format", "numbers")].iter().chain(options) {
        bag.insert(*key, *value, None);
    }
    let headers = super::metadata::keys().into_iter().find(|key| key.key == "headers").expect("headers").data_type;
    let columns = vec![
        column("id", DataType::Int64, None),
        column("k", DataType::Int64, None),
        column("p", DataType::Int64, Some("partition")),
        column("o", DataType::Int64, Some("offset")),
        column("h", headers, Some("headers")),
    ];
    TableDef { path, columns, primary_key: Vec::new(), options: bag }
}

fn open(table: &TableDef) -> Result<Arc<dyn StreamSource>, String> {
    let connector = KafkaConnector::new(vec![Arc::new(Numbers)]);
    connector.source(table, &weir_fs::FileSystems::default()).map(|opened| opened.value).map_err(|problems| problems.to_string())
}

#[test]
fn problems_of_formats_keys_and_columns_have_their_phrases() {
    let base = [("topic", "a"), ("properties.bootstrap.servers", "h:1"), ("scan.startup.mode", "earliest-offset")];
    let cases: &[(&[(&str, &str)], &str)] = &[
        (&[("format", "jsn")], "Could not find any factory for identifier 'jsn'"),
        (&[("value.format", "numbers")], "Option 'format' and 'value.format' shouldn't be set together."),
        (&[("key.format", "numbers")], "A key format 'key.format' requires the declaration of one or more of key fields using 'key.fields'."),
        (&[("key.fields", "id")], "The option 'key.fields' can only be declared if a key format is defined using 'key.format'."),
        (&[("key.format", "numbers"), ("key.fields", "o")], "Could not find the field 'o' in the table schema for usage in the key format."),
        (&[("key.format", "numbers"), ("key.fields", "o")], "The following columns can be selected in the 'key.fields' option: [id, k]."),
        (
            &[("key.format", "numbers"), ("key.fields", "k"), ("key.fields-prefix", "k")],
            "A key prefix is not allowed when option 'value.fields-include'",
        ),
        (
            &[("key.format", "numbers"), ("key.fields", "id"), ("key.fields-prefix", "k"), ("value.fields-include", "EXCEPT_KEY")],
            "must be prefixed with 'k' when option 'key.fields-prefix' is set but field 'id' is not prefixed.",
        ),
        (&[("scan.startup.mod", "x")], "Did you mean 'scan.startup.mode'?"),
    ];
    for (more, phrase) in cases {
        let mut options = base.to_vec();
        options.extend_from_slice(more);
        let text = open(&table(&options)).expect_err(phrase);
        assert!(text.contains(phrase), "{phrase}\nnot in\n{text}");
    }
    let mut keyed = table(&base);
    keyed.primary_key = vec!["id".to_owned()];
    let text = open(&keyed).expect_err("a key");
    assert!(text.contains("The Kafka table 'c.d.t' with 'numbers' format doesn't support defining PRIMARY KEY constraint"), "{text}");
    let mut odd = table(&base);
    odd.columns.push(column("x", DataType::Int64, Some("offsets")));
    odd.columns.push(column("y", DataType::Int64, Some("topic")));
    let text = open(&odd).expect_err("metadata");
    assert!(text.contains("Invalid metadata key 'offsets' in column 'x'. Did you mean 'offset'?"), "{text}");
    assert!(text.contains("Metadata column 'y' of key 'topic' cannot have type"), "{text}");
}

struct Mock {
    cluster: MockCluster<'static, DefaultProducerContext>,
    producer: ThreadedProducer<DefaultProducerContext>,
}

impl Mock {
    fn new(topics: &[(&str, i32)]) -> Self {
        let cluster = MockCluster::new(1).expect("a mock cluster");
        for (topic, partitions) in topics {
            cluster.create_topic(topic, *partitions, 1).expect("a topic");
        }
        let producer = ClientConfig::new().set("bootstrap.servers", cluster.bootstrap_servers()).create().expect("a producer");
        Self { cluster, producer }
    }

    /// Sends messages `key:value`, without key if there is no `:`.
    fn send(&self, topic: &str, partition: i32, messages: &[&str]) {
        for message in messages {
            let (key, value) = message.split_once(':').map_or((None, *message), |(key, value)| (Some(key), value));
            let headers = OwnedHeaders::new().insert(Header { key: "h", value: Some("1") }).insert(Header { key: "h", value: Some("2") });
            let record: BaseRecord<'_, str, str> = BaseRecord::to(topic).partition(partition).payload(value).headers(headers);
            let record = if let Some(key) = key { record.key(key) } else { record };
            self.producer.send(record).map_err(|(error, _)| error).expect("queued");
        }
        self.producer.flush(Duration::from_secs(10)).expect("flushed");
    }

    fn source(&self, options: &[(&str, &str)]) -> Arc<dyn StreamSource> {
        let servers = self.cluster.bootstrap_servers();
        let mut all = vec![("properties.bootstrap.servers", servers.as_str())];
        all.extend_from_slice(options);
        open(&table(&all)).expect("a valid declaration")
    }
}

fn ends(frontier: &Frontier) -> Vec<(String, i64)> {
    frontier.ends.iter().map(|(split, position)| (split.0.clone(), position.offset)).collect()
}

/// Reads up to `until`; the values of `id` and `o`.
async fn read(reader: &mut dyn SplitReader, until: i64) -> Result<Vec<(i64, i64)>, ConnectorError> {
    let mut rows = Vec::new();
    loop {
        let read = tokio::time::timeout(Duration::from_secs(20), reader.next(until)).await.expect("in time")?;
        match read {
            Read::Rows { batch, position } => {
                let (ids, offsets) = (batch.column(0).as_primitive::<Int64Type>(), batch.column(1).as_primitive::<Int64Type>());
                rows.extend(ids.values().iter().copied().zip(offsets.values().iter().copied()));
                assert_eq!(position, reader.position());
            }
            Read::Letters { batch } => panic!("{} dead letters without a place for them", batch.num_rows()),
            Read::Reached => return Ok(rows),
        }
    }
}

fn at(offset: i64) -> SplitPosition {
    SplitPosition { offset, incarnation: None }
}

fn split(name: &str) -> SplitId {
    SplitId(name.to_owned())
}

const ID_AND_OFFSET: &[usize] = &[0, 3];
const ID_AND_OFFSET_AND_KEY: &[usize] = &[0, 3, 1];

#[tokio::test]
async fn rows_come_up_to_each_cut_and_the_rest_later() {
    let mock = Mock::new(&[("orders", 2)]);
    mock.send("orders", 0, &["10", "11", "12", "13"]);
    mock.send("orders", 1, &["20"]);
    let source = mock.source(&[("topic", "orders"), ("scan.startup.mode", "earliest-offset")]);
    let budget = MemoryBudget::new(64 << 20);
    let mut enumerator = source.enumerator(None).await.expect("connected");
    assert_eq!(enumerator.start().len(), 2);
    let frontier = enumerator.frontier().await.expect("ends");
    assert_eq!(ends(&frontier), [("orders/0".to_owned(), 4), ("orders/1".to_owned(), 1)]);
    assert!(!frontier.finished && frontier.discovered.is_empty());
    let mut reader = source.reader(&split("orders/0"), &at(0), ID_AND_OFFSET, &budget).await.expect("a reader");
    assert_eq!(read(&mut *reader, 2).await.expect("rows"), [(10, 0), (11, 1)]);
    assert_eq!(reader.position(), 2);
    assert_eq!(read(&mut *reader, 4).await.expect("rows"), [(12, 2), (13, 3)]);
    mock.send("orders", 0, &["14"]);
    assert_eq!(read(&mut *reader, 5).await.expect("rows"), [(14, 4)]);
    assert!(budget.used_for(Use::Fetch) > 0);
    // Anew at an older position, while the first is still there.
    let mut again = source.reader(&split("orders/0"), &at(1), ID_AND_OFFSET, &budget).await.expect("a reader");
    assert_eq!(read(&mut *again, 3).await.expect("rows"), [(11, 1), (12, 2)]);
    drop(reader);
    assert_eq!(read(&mut *again, 5).await.expect("rows"), [(13, 3), (14, 4)]);
    drop(again);
    assert_eq!(budget.used(), 0);
}

#[tokio::test]
async fn a_dropped_next_loses_no_rows() {
    let mock = Mock::new(&[("t", 1)]);
    let values: Vec<String> = (0..2000).map(|value| value.to_string()).collect();
    mock.send("t", 0, &values.iter().map(String::as_str).collect::<Vec<_>>());
    let source = mock.source(&[("topic", "t"), ("scan.startup.mode", "earliest-offset")]);
    let budget = MemoryBudget::new(64 << 20);
    let mut reader = source.reader(&split("t/0"), &at(0), ID_AND_OFFSET, &budget).await.expect("a reader");
    let mut rows = Vec::new();
    while rows.len() < 2000 {
        tokio::select! {
            biased;
            () = tokio::task::yield_now() => {}
            read = reader.next(2000) => {
                if let Read::Rows { batch, .. } = read.expect("rows") {
                    rows.extend(batch.column(0).as_primitive::<Int64Type>().values().iter().copied());
                }
            }
        }
    }
    assert_eq!(rows, (0..2000).collect::<Vec<i64>>());
}

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
        let text = "Table 'c.d.t': bad message at topic 't' partition 0 offset 3: column 'id': 'oops' is no number. 'numbers.lenient' = 'true' tolerates such messages.";
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
async fn key_columns_and_metadata_stand_beside_the_value() {
    let mock = Mock::new(&[("t", 2)]);
    mock.send("t", 1, &["7:70", "skip:90", "9:100"]);
    let keyed = [
        ("topic", "t"),
        ("scan.startup.mode", "earliest-offset"),
        ("key.format", "numbers"),
        ("key.fields", "k"),
        ("value.fields-include", "EXCEPT_KEY"),
    ];
    let source = mock.source(&keyed);
    let budget = MemoryBudget::new(64 << 20);
    let mut reader = source.reader(&split("t/1"), &at(0), &[0, 3, 1, 2, 4], &budget).await.expect("a reader");
    let mut rows = Vec::new();
    while let Read::Rows { batch, .. } = reader.next(3).await.expect("rows") {
        for row in 0..batch.num_rows() {
            let value = |column: usize| batch.column(column).as_primitive::<Int64Type>().value(row);
            let headers = batch.column(4).as_map().value(row);
            assert_eq!((headers.len(), headers.column(1).as_binary::<i32>().value(0)), (1, &b"2"[..]));
            rows.push((value(0), value(1), value(2), value(3)));
        }
    }
    assert_eq!(rows, [(70, 0, 7, 1), (100, 2, 9, 1)], "rows without a usable key are left out");
}

#[tokio::test]
async fn a_message_without_the_key_that_columns_are_read_from_is_a_bad_one() {
    let mock = Mock::new(&[("t", 1)]);
    mock.send("t", 0, &["7:70", "80", "9:100"]);
    let keyed = [
        ("topic", "t"),
        ("scan.startup.mode", "earliest-offset"),
        ("key.format", "numbers"),
        ("key.fields", "k"),
        ("value.fields-include", "EXCEPT_KEY"),
    ];
    let budget = MemoryBudget::new(64 << 20);
    let mut strict = mock.source(&keyed).reader(&split("t/0"), &at(0), &[0, 3, 1], &budget).await.expect("a reader");
    let error = read(&mut *strict, 3).await.expect_err("no key").to_string();
    let expected = "Table 'c.d.t': bad message at topic 't' partition 0 offset 1: the message has no key, and columns are read from it.";
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
    let keyed = [("key.format", "numbers"), ("key.fields", "k"), ("value.fields-include", "EXCEPT_KEY")];
    let source = mock.source(&[&[("topic", "t"), ("scan.startup.mode", "earliest-offset")], &keyed[..]].concat());
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
    assert_eq!(error, "Table 'c.d.t': bad message at topic 't' partition 0 offset 1: the rows of the message do not fit into one batch.");
    let tolerant = mock.source(&[&options[..], &[("error.mode", "skip")]].concat());
    let mut reader = tolerant.reader(&split("t/0"), &at(0), ID_AND_OFFSET, &budget).await.expect("a reader");
    assert_eq!(read(&mut *reader, 3).await.expect("rows"), [(1, 0), (3, 2)]);

    // The same of a key.
    let keyed = [("error.mode", "skip"), ("key.format", "numbers"), ("key.fields", "k"), ("value.fields-include", "EXCEPT_KEY")];
    let keyed = mock.source(&[&options[..], &keyed].concat());
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

#[tokio::test]
async fn a_bounded_table_ends_and_takes_its_listed_partitions_only() {
    let mock = Mock::new(&[("t", 3)]);
    mock.send("t", 0, &["1", "2", "3"]);
    mock.send("t", 1, &["4"]);
    let options = [("topic", "t"), ("scan.startup.mode", "earliest-offset"), ("scan.bounded.mode", "specific-offsets")];
    let mut listed = options.to_vec();
    listed.push(("scan.bounded.specific-offsets", "partition:0,offset:2;partition:1,offset:2"));
    let source = mock.source(&listed);
    assert!(source.is_bounded());
    let mut enumerator = source.enumerator(None).await.expect("connected");
    let frontier = enumerator.frontier().await.expect("ends");
    assert_eq!((ends(&frontier), frontier.finished), (vec![("t/0".to_owned(), 2), ("t/1".to_owned(), 1)], false));
    mock.send("t", 1, &["5", "6"]);
    let frontier = enumerator.frontier().await.expect("ends");
    assert_eq!((ends(&frontier), frontier.finished), (vec![("t/0".to_owned(), 2), ("t/1".to_owned(), 2)], true));
    listed.pop();
    listed.push(("scan.bounded.specific-offsets", "partition:9,offset:2"));
    let error = mock.source(&listed).enumerator(None).await.expect_err("no such partition");
    assert!(error.to_string().contains("topic 't' has no partition 9"), "{error}");
}

#[tokio::test]
async fn a_checkpoint_wins_over_start_options_and_new_partitions_begin_at_their_beginning() {
    let mock = Mock::new(&[("t", 2)]);
    mock.send("t", 0, &["1", "2", "3"]);
    mock.send("t", 1, &["4"]);
    let source = mock.source(&[("topic", "t"), ("scan.startup.mode", "latest-offset")]);
    let restored = Cut::from([(split("t/0"), at(1))]);
    let enumerator = source.enumerator(Some(&restored)).await.expect("connected");
    let starts: Vec<i64> = enumerator.start().values().map(|position| position.offset).collect();
    assert_eq!(starts, [1, 0]);
    let past = Cut::from([(split("t/0"), at(99))]);
    let error = source.enumerator(Some(&past)).await.expect_err("past the end");
    assert!(error.to_string().contains("the position is 99, but the topic ends at 3"), "{error}");
    let other = Cut::from([(split("gone/0"), at(1))]);
    let error = source.enumerator(Some(&other)).await.expect_err("not there");
    assert!(error.to_string().contains("partition 0 of topic 'gone', which does not exist any more"), "{error}");
}

#[tokio::test]
async fn a_missing_topic_is_named_with_its_neighbour_and_patterns_find_new_topics() {
    let mock = Mock::new(&[("orders", 1)]);
    let missing = mock.source(&[("topic", "order"), ("scan.startup.mode", "latest-offset")]);
    let error = missing.enumerator(None).await.expect_err("no such topic");
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::User, "Table 'c.d.t': topic 'order' does not exist. Did you mean 'orders'?"));
    let options = [("topic-pattern", "order.*"), ("scan.startup.mode", "latest-offset"), ("scan.topic-partition-discovery.interval", "1 ms")];
    let source = mock.source(&options);
    mock.send("orders", 0, &["1", "2"]);
    let mut enumerator = source.enumerator(None).await.expect("connected");
    assert_eq!(enumerator.start().values().map(|position| position.offset).collect::<Vec<_>>(), [2]);
    mock.cluster.create_topic("orders2", 1, 1).expect("a topic");
    mock.send("orders2", 0, &["3"]);
    let found = wait_for_discovery(&mut *enumerator).await;
    assert_eq!(found.discovered.into_iter().map(|(split, position)| (split.0, position.offset)).collect::<Vec<_>>(), [("orders2/0".to_owned(), 0)]);
}

async fn wait_for_discovery(enumerator: &mut dyn SplitEnumerator) -> Frontier {
    for _ in 0..100 {
        let frontier = enumerator.frontier().await.expect("ends");
        if !frontier.discovered.is_empty() {
            return frontier;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("nothing was discovered");
}

#[tokio::test]
async fn a_projection_without_value_columns_still_counts_rows() {
    let mock = Mock::new(&[("t", 1)]);
    mock.send("t", 0, &["1", "2"]);
    let source = mock.source(&[("topic", "t"), ("scan.startup.mode", "earliest-offset")]);
    let budget = MemoryBudget::new(64 << 20);
    for projection in [&[][..], &[2]] {
        let mut reader = source.reader(&split("t/0"), &at(0), projection, &budget).await.expect("a reader");
        let mut rows = 0;
        while let Read::Rows { batch, .. } = reader.next(2).await.expect("rows") {
            assert_eq!(batch.num_columns(), projection.len());
            rows += batch.num_rows();
        }
        assert_eq!(rows, 2);
    }
}
