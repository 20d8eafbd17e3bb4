//! A Kafka with the data sets in it.

use std::path::Path;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::Outcome;
use crate::datasets::Dataset;
use crate::servers::Servers;

/// Partitions of each topic.
pub(crate) const PARTITIONS: i32 = 4;

/// The name of a data set's topic.
pub(crate) fn name(set: Dataset, suffix: &str) -> String {
    format!("ingest-{}{suffix}", set.name())
}

/// A topic that is filled.
#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) name: String,
    pub(crate) set: Dataset,
    pub(crate) rows: u64,
    /// Of all messages together.
    pub(crate) bytes: u64,
}

/// Brokers: somebody's, or started here and stopped when this is dropped.
#[derive(Debug)]
pub(crate) struct Kafka {
    brokers: String,
    _own: Option<Servers>,
}

impl Kafka {
    /// Uses `brokers`, or starts a server in `folder`.
    pub(crate) fn start(brokers: Option<String>, folder: &Path) -> Outcome<Self> {
        if let Some(brokers) = brokers {
            return Ok(Self { brokers, _own: None });
        }
        let servers = Servers::start(&["kafka"], folder)?;
        let brokers = servers.addresses("kafka")?["bootstrap"].as_str().ok_or("no address of kafka")?.to_owned();
        Ok(Self { brokers, _own: Some(servers) })
    }

    /// `host:port`.
    pub(crate) fn brokers(&self) -> &str {
        &self.brokers
    }

    /// Makes the topic of a data set with `rows` messages, unless it is there already.
    pub(crate) fn fill(&self, set: Dataset, rows: u64, suffix: &str) -> Outcome<Topic> {
        let name = name(set, suffix);
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        let admin: AdminClient<DefaultClientContext> = config.create()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let wanted = NewTopic::new(&name, PARTITIONS, TopicReplication::Fixed(1));
        let made = runtime.block_on(admin.create_topics([&wanted], &AdminOptions::new()))?;
        let bytes = match made.into_iter().next() {
            Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => {
                let held = messages(&config.create()?, &name)?;
                if held != rows {
                    return Err(format!("topic {name} has {held} messages instead of {rows}: use fresh brokers").into());
                }
                each(set, rows, |_, _| Ok(()))?
            }
            Some(Err((_, code))) => return Err(format!("topic {name}: {code}").into()),
            _ => self.produce(set, rows, &name)?,
        };
        Ok(Topic { name, set, rows, bytes })
    }

    fn produce(&self, set: Dataset, rows: u64, topic: &str) -> Outcome<u64> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers).set("compression.type", "lz4");
        config.set("linger.ms", "50").set("batch.num.messages", "10000").set("queue.buffering.max.kbytes", "262144");
        let producer: BaseProducer = config.create()?;
        let bytes = each(set, rows, |number, text| {
            let partition = i32::try_from(number % u64::from(PARTITIONS.unsigned_abs()))?;
            while let Err((error, _)) = producer.send(BaseRecord::<(), str>::to(topic).partition(partition).payload(text)) {
                if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                    return Err(error.into());
                }
                producer.poll(Duration::from_millis(5));
            }
            Ok(())
        })?;
        producer.flush(Duration::from_secs(60))?;
        Ok(bytes)
    }
}

/// Calls `take` with each message's number and text; gives the bytes of all.
fn each(set: Dataset, rows: u64, mut take: impl FnMut(u64, &str) -> Outcome<()>) -> Outcome<u64> {
    let (mut bytes, mut text) = (0, String::new());
    for number in 0..rows {
        text.clear();
        set.write(number, &mut text);
        bytes += text.len() as u64;
        take(number, &text)?;
    }
    Ok(bytes)
}

fn messages(consumer: &BaseConsumer, topic: &str) -> Outcome<u64> {
    let mut held = 0;
    for partition in 0..PARTITIONS {
        let (low, high) = consumer.fetch_watermarks(topic, partition, Duration::from_secs(10))?;
        held += u64::try_from(high - low)?;
    }
    Ok(held)
}
