//! Sends dead letters back to their topic, or to another one: each once, however often it is tried.
//!
//! A transaction holds messages and, as offsets of a consumer group, how far the letters of each partition have been sent: they become
//! visible together. The next run goes on from there, or from what its caller knows if that is further: brokers drop the offsets of a group
//! that nobody uses, after a week by default.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{Array as _, ArrayRef, RecordBatch};
use arrow_cast::cast;
use arrow_schema::{ArrowError, DataType};
use async_trait::async_trait;
use rdkafka::Offset;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};
use rdkafka::topic_partition_list::TopicPartitionList;
use weir_base::task::blocking;
use weir_base::{Classified as _, ErrorKind};

use super::ffi::Fault;
use super::options::Settings;
use super::trouble::{kind_of, remedy};
use crate::error::ConnectorError;
use crate::letters::{Places, ResendTo, Resender, Resent};

/// How long the brokers may take for one step.
const STEP: Duration = Duration::from_secs(60);
/// How long trouble that may pass is waited out, and the wait between two tries.
const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(500);
/// The header that says where a message was when it was bad: `topic/partition/offset`.
const ORIGIN: &str = "weir-resent-from";

type Producer = ThreadedProducer<DefaultProducerContext>;

/// The clients of one run.
pub(super) struct KafkaResender {
    object: String,
    to: Option<String>,
    sent: Arc<Places>,
    clients: Arc<(Producer, BaseConsumer)>,
}

impl std::fmt::Debug for KafkaResender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaResender").field("object", &self.object).field("to", &self.to).finish_non_exhaustive()
    }
}

impl KafkaResender {
    /// Connects; whoever else sends the same letters is fenced off.
    pub(super) async fn connect(settings: &Settings, to: &ResendTo) -> Result<Self, ConnectorError> {
        let (config, id, object) = (settings.client.to_config(), to.id.clone(), settings.object.clone());
        let clients = run(object.clone(), move || clients(config, &id)).await?;
        Ok(Self { object, to: to.topic.clone(), sent: Arc::new(to.sent.clone()), clients: Arc::new(clients) })
    }
}

#[async_trait]
impl Resender for KafkaResender {
    async fn send(&mut self, letters: RecordBatch) -> Result<Resent, ConnectorError> {
        let letters = Columns::of(&letters).map_err(|error| {
            ConnectorError::user(format!("{}: the dead letters lack what it takes to send them: {error}.", self.object)).with_source(error)
        })?;
        let (letters, begun) = (Arc::new(letters), Instant::now());
        loop {
            let (clients, to) = (Arc::clone(&self.clients), self.to.clone());
            let (letters, sent) = (Arc::clone(&letters), Arc::clone(&self.sent));
            match run(self.object.clone(), move || send(&clients.0, &clients.1, &letters, &sent, to.as_deref())).await {
                // A coordinator that is being found, or loads what it must know. What was sent all the same is found by the next try.
                Err(error) if error.kind() == ErrorKind::Transient && begun.elapsed() < PATIENCE => {
                    tracing::debug!(%error, "dead letters not sent; trying again");
                    tokio::time::sleep(PAUSE).await;
                }
                done => return done,
            }
        }
    }
}

/// Why letters were not sent.
#[derive(Debug)]
struct NotSent {
    error: KafkaError,
    /// The topic, if it is known.
    topic: Option<String>,
}

impl From<KafkaError> for NotSent {
    fn from(error: KafkaError) -> Self {
        Self { error, topic: None }
    }
}

impl NotSent {
    fn told(self, object: &str) -> ConnectorError {
        use RDKafkaErrorCode as Code;
        let fault = Fault::of_binding(&self.error);
        let remedy = match fault.code {
            Code::UnknownTopic | Code::UnknownTopicOrPartition => Some("Create it, or name another with --topic."),
            Code::UnknownPartition => Some("The topic has fewer partitions than it had: name another with --topic."),
            Code::InvalidTopic => Some("Names of topics are made of letters, digits, '.', '_' and '-'."),
            Code::TopicAuthorizationFailed => Some("The user needs the right to write to the topic."),
            _ => remedy(&fault),
        };
        let remedy = remedy.map(|remedy| format!(" {remedy}")).unwrap_or_default();
        let place = self.topic.map(|topic| format!(" to topic '{topic}'")).unwrap_or_default();
        let what = format!("{object}: dead letters cannot be sent{place}: {}.{remedy}", fault.text);
        ConnectorError::new(kind_of(&fault), what).with_source(self.error)
    }
}

async fn run<T: Send + 'static>(object: String, work: impl FnOnce() -> Result<T, NotSent> + Send + 'static) -> Result<T, ConnectorError> {
    let done = blocking("kafka resend", work).await;
    let done = done.map_err(|error| ConnectorError::internal("sending of dead letters stopped").with_source(error))?;
    done.map_err(|not_sent| not_sent.told(&object))
}

fn clients(config: ClientConfig, id: &str) -> Result<(Producer, BaseConsumer), NotSent> {
    let mut producer = config.clone();
    // The partitioner of the Java client, so that a key goes where its other messages are.
    producer.set("transactional.id", id).set("partitioner", "murmur2_random");
    let producer: Producer = producer.create()?;
    producer.init_transactions(STEP)?;
    let mut consumer = config;
    consumer.set("group.id", id).set("enable.auto.commit", "false");
    Ok((producer, consumer.create()?))
}

/// The columns of dead letters that messages are made of.
struct Columns {
    topics: ArrayRef,
    partitions: ArrayRef,
    offsets: ArrayRef,
    keys: ArrayRef,
    payloads: ArrayRef,
    headers: Option<ArrayRef>,
}

impl Columns {
    fn of(letters: &RecordBatch) -> Result<Self, ArrowError> {
        let column = |name: &str, data_type: &DataType| {
            let found = letters.column_by_name(name);
            let found = found.ok_or_else(|| ArrowError::SchemaError(format!("there is no column '{name}'")))?;
            cast(found, data_type)
        };
        Ok(Self {
            topics: column("topic", &DataType::Utf8)?,
            partitions: column("partition", &DataType::Int32)?,
            offsets: column("offset", &DataType::Int64)?,
            keys: column("key", &DataType::Binary)?,
            payloads: column("raw", &DataType::Binary)?,
            headers: letters.column_by_name("headers").filter(|column| column.as_map_opt().is_some()).cloned(),
        })
    }

    fn place(&self, row: usize) -> (&str, i32) {
        let topic = self.topics.as_string_opt::<i32>().map_or("", |topics| topics.value(row));
        (topic, self.partitions.as_primitive_opt::<Int32Type>().map_or(-1, |partitions| partitions.value(row)))
    }

    fn offset(&self, row: usize) -> i64 {
        self.offsets.as_primitive_opt::<Int64Type>().map_or(0, |offsets| offsets.value(row))
    }

    fn headers(&self, row: usize) -> OwnedHeaders {
        let mut headers = OwnedHeaders::new();
        if let Some(maps) = self.headers.as_ref().and_then(|column| column.as_map_opt()).filter(|maps| maps.is_valid(row)) {
            let entries = maps.value(row);
            if let (Some(names), Some(values)) = (entries.column(0).as_string_opt::<i32>(), entries.column(1).as_binary_opt::<i32>()) {
                for (name, value) in names.iter().zip(values) {
                    headers = headers.insert(Header { key: name.unwrap_or_default(), value });
                }
            }
        }
        headers
    }
}

fn value(column: &ArrayRef, row: usize) -> Option<&[u8]> {
    let column = column.as_binary_opt::<i32>()?;
    column.is_valid(row).then(|| column.value(row))
}

/// Sends the letters that have not been sent, in one transaction.
fn send(producer: &Producer, consumer: &BaseConsumer, letters: &Columns, sent: &Places, to: Option<&str>) -> Result<Resent, NotSent> {
    let before = reached(consumer, letters, sent)?;
    let place = |row: usize| (letters.place(row), letters.offset(row));
    let rows = 0..letters.topics.len();
    let due: Vec<usize> = rows.filter(|row| matches!(place(*row), ((topic, partition), offset) if offset >= before.next(topic, partition))).collect();
    let mut reached = before;
    for row in &due {
        let ((topic, partition), offset) = place(*row);
        reached.reach(topic, partition, offset + 1);
    }
    let resent = Resent { sent: due.len() as u64, before: (letters.topics.len() - due.len()) as u64, reached };
    if due.is_empty() {
        return Ok(resent);
    }
    producer.begin_transaction()?;
    let Err(error) = send_and_commit(producer, consumer, letters, (&due, &resent.reached), to) else { return Ok(resent) };
    if let Err(error) = producer.abort_transaction(STEP) {
        tracing::debug!(%error, "transaction of dead letters not aborted"); // the brokers do it in time
    }
    Err(error)
}

fn places(letters: &Columns) -> BTreeSet<(&str, i32)> {
    (0..letters.topics.len()).map(|row| letters.place(row)).collect()
}

/// How far the partitions of `letters` have been sent, as the brokers know it and as `sent` says.
fn reached(consumer: &BaseConsumer, letters: &Columns, sent: &Places) -> Result<Places, KafkaError> {
    let mut asked = TopicPartitionList::new();
    let mut reached = Places::default();
    for (topic, partition) in places(letters) {
        asked.add_partition(topic, partition);
        reached.reach(topic, partition, sent.next(topic, partition));
    }
    for found in consumer.committed_offsets(asked, STEP)?.elements() {
        if let Offset::Offset(next) = found.offset() {
            reached.reach(found.topic(), found.partition(), next);
        }
    }
    Ok(reached)
}

fn send_and_commit(
    producer: &Producer,
    consumer: &BaseConsumer,
    letters: &Columns,
    (due, reached): (&[usize], &Places),
    to: Option<&str>,
) -> Result<(), NotSent> {
    for row in due.iter().copied() {
        let ((topic, partition), offset) = (letters.place(row), letters.offset(row));
        let origin = format!("{topic}/{partition}/{offset}");
        let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(to.unwrap_or(topic));
        record.headers = Some(letters.headers(row).insert(Header { key: ORIGIN, value: Some(origin.as_bytes()) }));
        record.partition = to.is_none().then_some(partition);
        record.key = value(&letters.keys, row);
        record.payload = value(&letters.payloads, row);
        producer.send(record).map_err(|(error, record)| NotSent { error, topic: Some(record.topic.to_owned()) })?;
    }
    let mut offsets = TopicPartitionList::new();
    for (topic, partition) in places(letters) {
        offsets.add_partition_offset(topic, partition, Offset::Offset(reached.next(topic, partition)))?;
    }
    let group = consumer.group_metadata().ok_or(KafkaError::Global(RDKafkaErrorCode::InvalidGroupId))?;
    producer.send_offsets_to_transaction(&offsets, &group, STEP)?;
    Ok(producer.commit_transaction(STEP)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_that_is_not_there_is_named_and_told_how_to_mend() {
        let error = KafkaError::MessageProduction(RDKafkaErrorCode::UnknownTopic);
        let told = NotSent { error, topic: Some("nosuch".to_owned()) }.told("Table 'c.d.t'");
        assert_eq!(told.kind(), ErrorKind::User);
        let text = told.to_string();
        assert!(text.starts_with("Table 'c.d.t': dead letters cannot be sent to topic 'nosuch': "), "{text}");
        assert!(text.ends_with(" Create it, or name another with --topic."), "{text}");
        let silent = NotSent::from(KafkaError::Global(RDKafkaErrorCode::AllBrokersDown)).told("Table 'c.d.t'");
        assert_eq!(silent.kind(), ErrorKind::Transient);
        assert!(silent.to_string().starts_with("Table 'c.d.t': dead letters cannot be sent: "), "{silent}");
    }
}
