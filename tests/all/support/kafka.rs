//! Kafka topics of a test: made, filled, cut short, deleted.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

use super::until;

const LIMIT: Duration = Duration::from_secs(120);

/// A topic with a name of its own.
pub(crate) struct Topic {
    bootstrap: String,
    name: String,
    admin: AdminClient<DefaultClientContext>,
}

/// A message to produce; `Row::new` sets what every message has.
#[derive(Debug, Clone, Default)]
pub(crate) struct Row {
    pub(crate) partition: i32,
    pub(crate) key: Option<Vec<u8>>,
    /// None makes a tombstone.
    pub(crate) payload: Option<Vec<u8>>,
    /// Milliseconds since 1970; the time of producing if none.
    pub(crate) timestamp: Option<i64>,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
}

/// How a transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Commit,
    Abort,
}

/// A transaction that is open.
pub(crate) struct Transaction(FutureProducer);

impl Transaction {
    /// Ends it.
    pub(crate) fn end(self, ending: Ending) {
        match ending {
            Ending::Commit => self.0.commit_transaction(LIMIT).unwrap(),
            Ending::Abort => self.0.abort_transaction(LIMIT).unwrap(),
        }
    }
}

impl Row {
    /// A message for a partition.
    pub(crate) fn new(partition: i32, payload: impl Into<Vec<u8>>) -> Self {
        Self { partition, payload: Some(payload.into()), ..Self::default() }
    }
}

impl Topic {
    /// Makes a topic whose name begins with `prefix`, with settings such as `cleanup.policy`.
    pub(crate) async fn create(bootstrap: &str, prefix: &str, partitions: i32, settings: &[(&str, &str)]) -> Self {
        let admin = client(bootstrap).create().unwrap();
        let topic = Self { bootstrap: bootstrap.to_owned(), name: format!("{prefix}-{}", uuid::Uuid::new_v4().simple()), admin };
        topic.create_again(partitions, settings).await;
        topic
    }

    /// The topic's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Makes the topic anew after [`Topic::delete`]: same name, another topic id.
    pub(crate) async fn create_again(&self, partitions: i32, settings: &[(&str, &str)]) {
        let wanted = NewTopic { config: settings.to_vec(), ..NewTopic::new(&self.name, partitions, TopicReplication::Fixed(1)) };
        until("the topic is created", LIMIT, async || match self.admin.create_topics([&wanted], &options()).await.unwrap().remove(0) {
            Ok(_) => Some(()),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => None, // its deletion is still under way
            Err((name, code)) => panic!("creating {name}: {code}"),
        })
        .await;
        self.led(usize::try_from(partitions).unwrap()).await;
    }

    /// Waits until the topic has `partitions` partitions, all with a leader.
    async fn led(&self, partitions: usize) {
        let reader: BaseConsumer = client(&self.bootstrap).create().unwrap();
        until("the partitions have leaders", LIMIT, async || {
            let metadata = reader.fetch_metadata(Some(&self.name), LIMIT).unwrap();
            let partitions_now = metadata.topics().first()?.partitions();
            let led = partitions_now.iter().filter(|partition| partition.error().is_none() && partition.leader() >= 0).count();
            (led == partitions).then_some(())
        })
        .await;
    }

    /// Deletes the topic.
    pub(crate) async fn delete(&self) {
        self.admin.delete_topics(&[&self.name], &options()).await.unwrap().remove(0).unwrap();
    }

    /// Adds partitions until there are `total`, and waits until they can be written.
    pub(crate) async fn grow(&self, total: usize) {
        self.admin.create_partitions([&NewPartitions::new(&self.name, total)], &options()).await.unwrap().remove(0).unwrap();
        self.led(total).await;
    }

    /// Deletes the records of a partition before an offset, as retention would.
    pub(crate) async fn forget_before(&self, partition: i32, offset: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.name, partition, Offset::Offset(offset)).unwrap();
        let done = self.admin.delete_records(&list, &options()).await.unwrap();
        done.elements()[0].error().unwrap();
    }

    /// Produces messages in order, waits until all are acknowledged, and gives (partition, offset) of each. They are compressed: one may have many
    /// megabytes that the broker does not see.
    pub(crate) async fn produce(&self, rows: impl IntoIterator<Item = Row>) -> Vec<(i32, i64)> {
        let producer =
            client(&self.bootstrap).set("linger.ms", "5").set("compression.type", "lz4").set("message.max.bytes", "100000000").create().unwrap();
        self.send_all(&producer, rows).await
    }

    /// Produces messages in one transaction, which is then committed or aborted.
    pub(crate) async fn produce_transaction(&self, rows: impl IntoIterator<Item = Row>, ending: Ending) -> Vec<(i32, i64)> {
        let (transaction, offsets) = self.open_transaction(rows).await;
        transaction.end(ending);
        offsets
    }

    /// Produces messages in a transaction that stays open, and waits until the broker has them.
    pub(crate) async fn open_transaction(&self, rows: impl IntoIterator<Item = Row>) -> (Transaction, Vec<(i32, i64)>) {
        let id = uuid::Uuid::new_v4().to_string();
        let producer: FutureProducer = client(&self.bootstrap).set("transactional.id", id).set("transaction.timeout.ms", "600000").create().unwrap();
        producer.init_transactions(LIMIT).unwrap();
        producer.begin_transaction().unwrap();
        let offsets = self.send_all(&producer, rows).await;
        (Transaction(producer), offsets)
    }

    /// What a consumer group has committed for a partition.
    pub(crate) fn committed_by(&self, group: &str, partition: i32) -> Option<i64> {
        let reader: BaseConsumer = client(&self.bootstrap).set("group.id", group).create().unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.name, partition);
        let found = reader.committed_offsets(list, LIMIT).unwrap();
        if let Offset::Offset(offset) = found.elements()[0].offset() { Some(offset) } else { None }
    }

    /// The first and the next offset of a partition.
    pub(crate) fn bounds(&self, partition: i32) -> (i64, i64) {
        let reader: BaseConsumer = client(&self.bootstrap).create().unwrap();
        reader.fetch_watermarks(&self.name, partition, LIMIT).unwrap()
    }

    async fn send_all(&self, producer: &FutureProducer, rows: impl IntoIterator<Item = Row>) -> Vec<(i32, i64)> {
        let mut waiting = Vec::new();
        for row in rows {
            let headers = row.headers.iter().fold(OwnedHeaders::new(), |all, (key, value)| all.insert(Header { key, value: Some(value) }));
            let record = FutureRecord::<[u8], [u8]> {
                topic: &self.name,
                partition: Some(row.partition),
                payload: row.payload.as_deref(),
                key: row.key.as_deref(),
                timestamp: row.timestamp,
                headers: (!row.headers.is_empty()).then_some(headers),
            };
            let mut next = Some(record);
            while let Some(record) = next.take() {
                match producer.send_result(record) {
                    Ok(delivery) => waiting.push(delivery),
                    Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), record)) => {
                        next = Some(record);
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                    Err((error, _)) => panic!("producing to {}: {error}", self.name),
                }
            }
        }
        let mut offsets = Vec::with_capacity(waiting.len());
        for delivery in waiting {
            let delivered = delivery.await.unwrap().unwrap();
            offsets.push((delivered.partition, delivered.offset));
        }
        offsets
    }
}

fn client(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap);
    config
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(LIMIT)).request_timeout(Some(LIMIT))
}
