//! The embedded broker of the quick start, and the sender of its orders.

use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};

use super::orders;
use crate::failure::Failure;

/// The mock broker keeps 5 MiB of compressed batches a partition; twelve partitions and zstd hold a million orders.
const PARTITIONS: i32 = 12;
const TOPIC: &str = "orders";

/// The broker built into librdkafka. It lives as long as this value.
pub(crate) struct Broker {
    cluster: MockCluster<'static, DefaultProducerContext>,
}

impl Broker {
    /// Starts a broker on a free loopback port, with the topic `orders`.
    pub(crate) fn start() -> Result<Self, Failure> {
        let cluster = MockCluster::new(1).map_err(|error| Failure::internal(format!("the embedded broker does not start: {error}")))?;
        cluster
            .create_topic(TOPIC, PARTITIONS, 1)
            .map_err(|error| Failure::internal(format!("the embedded broker does not make a topic: {error}")))?;
        Ok(Self { cluster })
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> String {
        self.cluster.bootstrap_servers()
    }
}

/// Sends orders `0..rows` spread evenly over `time`, telling `progress` how many have gone. Blocks.
pub(crate) fn send(address: &str, rows: u64, time: Duration, mut progress: impl FnMut(u64)) -> Result<(), Failure> {
    let failed = |error: rdkafka::error::KafkaError| Failure::internal(format!("sending orders failed: {error}"));
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", address)
        .set("compression.type", "zstd")
        .set("linger.ms", "50")
        .set("enable.idempotence", "false")
        .set("queue.buffering.max.messages", "1000000")
        .create()
        .map_err(failed)?;
    let start = Instant::now();
    let mut text = String::new();
    for id in 0..rows {
        orders::write_json(id, &mut text);
        let partition = i32::try_from(id % 12).unwrap_or(0);
        loop {
            match producer.send(BaseRecord::<(), str>::to(TOPIC).partition(partition).payload(&text)) {
                Ok(()) => break,
                Err((error, _)) if error.rdkafka_error_code() == Some(rdkafka::types::RDKafkaErrorCode::QueueFull) => {
                    producer.poll(Duration::from_millis(10));
                }
                Err((error, _)) => return Err(failed(error)),
            }
        }
        if id % 1_000 == 999 {
            let due = time.mul_f64((id + 1) as f64 / rows as f64);
            producer.poll(due.saturating_sub(start.elapsed()));
            progress(id + 1);
        }
    }
    producer.flush(Duration::from_secs(30)).map_err(failed)
}
