//! The connector as a whole: declarations, and reading from librdkafka's mock broker.

mod bad;
mod numbers;

use std::sync::Arc;
use std::time::Duration;

use arrow_array::Array as _;
use arrow_array::cast::AsArray as _;
use arrow_array::types::Int64Type;
use arrow_schema::DataType;
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};
use weir_base::memory::{MemoryBudget, Use};
use weir_base::options::OptionBag;
use weir_base::{Classified as _, ErrorKind};

use super::KafkaConnector;
use crate::error::ConnectorError;
use crate::registry::Connector as _;
use crate::source::{Cut, Frontier, Read, SplitEnumerator, SplitId, SplitPosition, SplitReader, StreamSource};
use crate::table::{ColumnDef, ColumnKind, TableDef, TablePath};
use numbers::Numbers;

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

#[test]
fn a_misspelt_option_of_the_client_is_named_with_the_one_that_is_meant() {
    let base = [("topic", "a"), ("properties.bootstrap.servers", "h:1"), ("scan.startup.mode", "earliest-offset")];
    for (written, meant) in [
        ("properties.isolation.levl", "properties.isolation.level"),
        ("properties.fetch.max.wait.sm", "properties.fetch.max.wait.ms"),
        ("properties.ssl.truststor.location", "properties.ssl.truststore.location"),
        ("properties.auto.ofset.reset", "properties.auto.offset.reset"),
    ] {
        let table = table(&[&base[..], &[(written, "1")]].concat());
        let opened = KafkaConnector::new(vec![Arc::new(Numbers)]).source(&table, &weir_fs::FileSystems::default()).expect("a warning only");
        let told: Vec<String> = opened.warnings.iter().map(ToString::to_string).collect();
        let wanted = format!("'{written}' has no effect: the Kafka client does not know it. Did you mean '{meant}'?");
        assert!(matches!(&told[..], [one] if one.contains(&wanted)), "{told:?}");
    }
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

/// Column `k` comes from the key.
const KEYED: [(&str, &str); 3] = [("key.format", "numbers"), ("key.fields", "k"), ("value.fields-include", "EXCEPT_KEY")];
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
async fn key_columns_and_metadata_stand_beside_the_value() {
    let mock = Mock::new(&[("t", 2)]);
    mock.send("t", 1, &["7:70", "skip:90", "9:100"]);
    let keyed = [&[("topic", "t"), ("scan.startup.mode", "earliest-offset")], &KEYED[..]].concat();
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
    assert!(
        error.to_string().contains("topic 't' has no partition 9, which 'scan.bounded.specific-offsets' names. Its partitions are 0 to 2"),
        "{error}"
    );
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
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (ErrorKind::User, "Table 'c.d.t': topic 'order' does not exist. Did you mean 'orders'? Create it, or correct 'topic'.")
    );
    let pattern = [("topic-pattern", "ordres.*"), ("scan.startup.mode", "latest-offset"), ("scan.bounded.mode", "latest-offset")];
    let error = mock.source(&pattern).enumerator(None).await.expect_err("nothing matches");
    let told =
        "no topic matches 'topic-pattern' = 'ordres.*'. Did you mean 'orders'? It must match the whole name of a topic: correct it, or create one.";
    assert_eq!((error.kind(), error.to_string()), (ErrorKind::User, format!("Table 'c.d.t': {told}")));
    let none_yet = mock.source(&pattern[..2]).enumerator(None).await.expect("topics are looked for again");
    assert!(none_yet.start().is_empty());
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
