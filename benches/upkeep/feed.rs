//! Rows for a topic at a steady rate, and a memory of when each was handed over.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::Outcome;

const PARTITIONS: i32 = 4;
/// Rows are handed over in bursts of this length.
const TICK: Duration = Duration::from_millis(10);

/// When how many rows had been handed over.
pub(crate) type Log = Vec<(Instant, u64)>;

/// A producer at work.
pub(crate) struct Feed {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Log, String>>,
}

impl Feed {
    /// Makes the topic and begins; `None` as rate is as fast as it goes.
    pub(crate) fn start(brokers: &str, topic: &str, rate: Option<u64>) -> Outcome<Self> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", brokers).set("compression.type", "lz4").set("linger.ms", "5");
        config.set("batch.num.messages", "10000").set("queue.buffering.max.kbytes", "65536");
        let admin: AdminClient<DefaultClientContext> = config.create()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let made = runtime.block_on(admin.create_topics([&NewTopic::new(topic, PARTITIONS, TopicReplication::Fixed(1))], &AdminOptions::new()))?;
        made.into_iter().collect::<Result<Vec<_>, _>>().map_err(|(name, code)| format!("topic {name}: {code}"))?;
        let producer: BaseProducer = config.create()?;
        let (stop, topic) = (Arc::new(AtomicBool::new(false)), topic.to_owned());
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || produce(&producer, &topic, rate, &stopped).map_err(|error| error.to_string()));
        Ok(Self { stop, thread })
    }

    /// Stops it.
    pub(crate) fn stop(self) -> Outcome<Log> {
        self.stop.store(true, Ordering::Relaxed);
        Ok(self.thread.join().map_err(|_panic| "the producer panicked")??)
    }
}

fn produce(producer: &BaseProducer, topic: &str, rate: Option<u64>, stop: &AtomicBool) -> Outcome<Log> {
    let (began, mut rows, mut log, mut text) = (Instant::now(), 0_u64, Log::new(), String::new());
    while !stop.load(Ordering::Relaxed) {
        let due = rate.map_or(rows + 2_000, |rate| (began.elapsed().as_secs_f64() * rate as f64) as u64);
        while rows < due {
            text.clear();
            write(rows, &mut text)?;
            let partition = i32::try_from(rows % 4)?;
            while let Err((error, _)) = producer.send(BaseRecord::<(), str>::to(topic).partition(partition).payload(&text)) {
                if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                    return Err(error.into());
                }
                producer.poll(Duration::from_millis(5));
            }
            rows += 1;
        }
        log.push((Instant::now(), rows));
        producer.poll(Duration::ZERO);
        if rate.is_some() {
            #[expect(clippy::disallowed_methods, reason = "the pace of a producer is its clock")]
            std::thread::sleep(TICK);
        }
    }
    producer.flush(Duration::from_secs(120))?;
    log.push((Instant::now(), rows));
    Ok(log)
}

/// Columns of [`write`].
pub(crate) const COLUMNS: &str = "id BIGINT, user_id BIGINT, kind STRING, amount DOUBLE, note STRING";

/// A message of about 110 bytes; ids rise, the rest looks random.
fn write(number: u64, out: &mut String) -> std::fmt::Result {
    use std::fmt::Write;
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let (user, cents) = (mixed >> 44, (mixed >> 20) % 100_000);
    let kind = ["view", "cart", "order", "return"][(mixed >> 62) as usize];
    write!(out, r#"{{"id":{number},"user_id":{user},"kind":"{kind}","amount":{}.{:02},"note":"{:016x}"}}"#, cents / 100, cents % 100, mixed)
}
