//! The road by hand: two threads, one drains and decodes, the other encodes. What an engine can at best be.
#![expect(unsafe_code, reason = "rdkafka has no safe batch call, and the baseline must not be slower than what it is a baseline for")]

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use rdkafka_sys as sys;
use weir_base::options::OptionBag;
use weir_connectors::format::json::JsonFactory;
use weir_connectors::format::{Decoded, FormatFactory};

use crate::Outcome;
use crate::child::{Used, watch};
use crate::datasets::Dataset;
use crate::measure::Figures;
use crate::topic::{PARTITIONS, Topic, name};

/// Messages of one call into librdkafka, and rows of a batch.
const BATCH: usize = 8_192;

/// Runs this program again as a child that does it, and says what the child used.
pub(crate) fn measured(brokers: &str, topic: &Topic, scratch: &Path) -> Outcome<Figures> {
    let file = tempfile::NamedTempFile::new_in(scratch)?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--brokers", brokers, "--by-hand", topic.set.name()]).arg(file.path()).stdin(Stdio::null());
    let Used { wall, cpu, peak } = watch(command.spawn()?, Duration::from_secs(600))?;
    Ok(Figures { rows: topic.rows, wall, cpu, peak, files: 1, written: file.as_file().metadata()?.len() })
}

/// Reads the whole topic into one Parquet file.
pub(crate) fn run(brokers: &str, set: Dataset, file: &Path) -> Outcome<()> {
    let topic = name(set, "");
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("group.id", "by-hand").set("enable.auto.commit", "false");
    config.set("fetch.queue.backoff.ms", "10").set("queued.max.messages.kbytes", "16384").set("enable.partition.eof", "false");
    let consumer: BaseConsumer = config.create()?;
    let (mut list, mut left) = (TopicPartitionList::new(), 0);
    for partition in 0..PARTITIONS {
        list.add_partition_offset(&topic, partition, Offset::Beginning)?;
        left += consumer.fetch_watermarks(&topic, partition, Duration::from_secs(10))?.1;
    }
    consumer.assign(&list)?;

    let (sender, receiver) = sync_channel(4);
    let output = File::create(file)?;
    let encoder = std::thread::spawn(move || -> Result<(), String> {
        let mut writer = ArrowWriter::try_new(output, set.schema(), Some(properties(set))).map_err(|error| error.to_string())?;
        for batch in receiver {
            writer.write(&batch).map_err(|error| error.to_string())?;
        }
        writer.close().map_err(|error| error.to_string())?;
        Ok(())
    });
    let mut bag = OptionBag::new("Table 'by-hand'");
    let format = JsonFactory.open("json.", &mut bag, &set.schema()).ok_or("no JSON format")?;
    let mut decoder = format.decoder(&set.schema());
    let mut failed = 0_u64;
    let mut drained: Vec<*mut sys::rd_kafka_message_t> = vec![std::ptr::null_mut(); BATCH];
    // SAFETY: the client outlives the queue, which is destroyed below.
    let queue = unsafe { sys::rd_kafka_queue_get_consumer(consumer.client().native_ptr()) };
    while left > 0 {
        // SAFETY: `drained` has room for BATCH pointers.
        let count = unsafe { sys::rd_kafka_consume_batch_queue(queue, 50, drained.as_mut_ptr(), BATCH) };
        for message in drained.iter().take(usize::try_from(count)?) {
            // SAFETY: the library filled the first `count` places with messages that are ours until destroyed, which is done once.
            unsafe {
                let record = &**message;
                if record.err == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                    let bytes = std::slice::from_raw_parts(record.payload.cast::<u8>(), record.len);
                    failed += u64::from(decoder.push(bytes) != Decoded::Row);
                    left -= 1;
                }
                sys::rd_kafka_message_destroy(*message);
            }
        }
        if decoder.rows() >= BATCH || left <= 0 {
            sender.send(decoder.take()?)?;
        }
    }
    // SAFETY: made above, destroyed once, not used after.
    unsafe { sys::rd_kafka_queue_destroy(queue) };
    drop(sender);
    encoder.join().map_err(|panic| weir_base::task::panic_message(&*panic))??;
    if failed > 0 { Err(format!("{failed} messages could not be decoded").into()) } else { Ok(()) }
}

/// The settings that were found best for these data: dictionaries for the columns with few values, delta for ids and times.
fn properties(set: Dataset) -> WriterProperties {
    let level = ZstdLevel::try_new(1).unwrap_or_default();
    let mut builder = WriterProperties::builder().set_compression(Compression::ZSTD(level)).set_dictionary_enabled(false);
    let schema = set.schema();
    let few: Vec<&str> = match set {
        Dataset::Small => vec!["category", "event_type"],
        Dataset::Wide => schema.fields().iter().map(|field| field.name().as_str()).filter(|name| name.starts_with("state")).collect(),
    };
    for column in few {
        builder = builder.set_column_dictionary_enabled(ColumnPath::from(column), true);
    }
    if set == Dataset::Small {
        for leaf in [["props", "ua", ""], ["props", "ref", "site"], ["props", "ref", "pos"]] {
            let parts = leaf.into_iter().filter(|part| !part.is_empty()).map(str::to_owned).collect();
            builder = builder.set_column_dictionary_enabled(ColumnPath::new(parts), true);
        }
    }
    for column in ["id", "ts", "user_id", "item_id"] {
        builder = builder.set_column_encoding(ColumnPath::from(column), Encoding::DELTA_BINARY_PACKED);
    }
    builder.build()
}
