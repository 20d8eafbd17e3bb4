//! Reads one partition: fetched messages are decoded off the I/O threads, a queue at a time, and handed out up to commanded ends.
//!
//! While the job works on a batch, the next one is decoded. Nothing in here is done for a single message on an async thread.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::error::RDKafkaErrorCode;
use weir_base::compute;
use weir_base::memory::{MemoryBudget, Reservation, Use};
use weir_base::task::{Task, TaskError, spawn};

use super::backlog::{Backlog, Next};
use super::decode::{Decode, RowBuilder, Waits};
use super::ffi::{EARLIEST, Fault, LATEST, Messages, Queue};
use super::metrics::{Lost, SourceCounters, add};
use super::options::Settings;
use super::reading::{Partition, Reading};
use super::start::{explain, within};
use super::topics::still_there;
use super::trouble::remedy;
use crate::error::ConnectorError;
use crate::source::{Read, SplitReader};

/// Messages of one batch at most.
const BATCH_ROWS: usize = 8192;
/// Bytes of messages that one batch should hold at most.
const BATCH_BYTES: usize = 2 << 20;
/// Share of the budget above which nothing is decoded ahead.
const FULL: f64 = 0.75;

type Job = Task<Result<(Box<RowBuilder>, Result<Decode, ConnectorError>), TaskError>>;

/// A reader of one partition.
pub(super) struct PartitionReader {
    settings: Arc<Settings>,
    reading: Arc<Reading>,
    topic: String,
    partition: i32,
    incarnation: Option<String>,
    fetching: Arc<Partition>,
    backlog: Backlog,
    // None while a job has it.
    builder: Option<Box<RowBuilder>>,
    job: Option<Job>,
    // Fetched messages that come before all that are in the queue.
    waits: Option<Waits>,
    batch_messages: usize,
    budget: MemoryBudget,
    held: Reservation,
    _fetched: Reservation,
    counters: SourceCounters,
}

impl fmt::Debug for PartitionReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (topic, partition) = (&self.topic, self.partition);
        f.debug_struct("PartitionReader")
            .field("topic", topic)
            .field("partition", &partition)
            .field("position", &self.position())
            .finish_non_exhaustive()
    }
}

/// What a reader is made of.
pub(super) struct ReaderParts {
    pub(super) settings: Arc<Settings>,
    pub(super) reading: Arc<Reading>,
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) incarnation: Option<String>,
    pub(super) builder: RowBuilder,
    pub(super) budget: MemoryBudget,
    pub(super) counters: SourceCounters,
}

impl PartitionReader {
    /// A reader that begins at `offset`.
    pub(super) async fn start(parts: ReaderParts, offset: i64) -> Result<Self, ConnectorError> {
        let ReaderParts { settings, reading, topic, partition, incarnation, builder, budget, counters } = parts;
        let fetching = Arc::new(Partition::start(&reading, &topic, partition, offset).await?);
        let mut fetched = budget.reservation(Use::Fetch);
        fetched.grow(reading.limits().per_partition());
        let held = budget.reservation(Use::Batches);
        Ok(Self {
            settings,
            reading,
            topic,
            partition,
            incarnation,
            fetching,
            backlog: Backlog::at(offset),
            builder: Some(Box::new(builder)),
            job: None,
            waits: None,
            batch_messages: BATCH_ROWS,
            budget,
            held,
            _fetched: fetched,
            counters,
        })
    }

    fn queue(&self) -> &Arc<Queue> {
        self.fetching.queue()
    }

    /// Begins to decode what is fetched, `rest` if there is one, unless that is going on.
    fn begin_job(&mut self, rest: Option<Waits>) {
        if let Some(builder) = self.builder.take() {
            let (queue, max) = (Arc::clone(self.queue()), self.batch_messages);
            let work = compute::run("kafka decode", move || {
                let mut builder = builder;
                let (messages, done) = rest.map_or_else(|| (Messages::drain(&queue, max), 0), |rest| (rest.messages, rest.done));
                let decoded = builder.decode(messages, done);
                (builder, decoded)
            });
            self.job = Some(spawn("kafka decode", work));
        }
    }

    /// Waits for what the decoder wants to know, if there is something. Cancel safe.
    async fn known(&mut self) -> Result<Option<Waits>, ConnectorError> {
        let Some(waits) = &mut self.waits else { return Ok(None) };
        if let Err(error) = (&mut waits.wanted).await {
            // What is behind the message must not be read without it.
            (self.waits, self.builder) = (None, None);
            return Err(ConnectorError::new(weir_base::Classified::kind(&error), format!("{}: {error}", self.settings.object)).with_source(error));
        }
        Ok(self.waits.take())
    }

    /// Waits for fetched messages and decodes them into the backlog. Cancel safe: a running job stays where it is.
    async fn fill(&mut self) -> Result<(), ConnectorError> {
        const RECHECK: Duration = Duration::from_secs(1);
        if self.job.is_none() {
            let rest = self.known().await?;
            while rest.is_none() && self.builder.is_some() && self.queue().length() == 0 {
                // The timeout only bounds what a lost wake-up could cost.
                if tokio::time::timeout(RECHECK, self.queue().ready()).await.is_err() {
                    tracing::trace!(topic = self.topic, partition = self.partition, "nothing to read");
                }
            }
            self.begin_job(rest);
        }
        let Decode { items, messages, bytes, waits } = self.finish_job().await?;
        self.waits = waits;
        if let Some(average) = bytes.checked_div(messages) {
            self.reading.client().answered();
            self.batch_messages = batch_messages(average);
        }
        self.backlog.extend(items);
        self.held.resize(self.backlog.bytes() as u64);
        Ok(())
    }

    /// Waits for the running job. Cancel safe.
    async fn finish_job(&mut self) -> Result<Decode, ConnectorError> {
        let Some(job) = &mut self.job else { return Err(ConnectorError::internal("a reader that has failed was asked again")) };
        let done = job.await;
        self.job = None;
        let stopped = |error| ConnectorError::internal("decoding of kafka messages stopped").with_source(error);
        let (builder, decoded) = done.map_err(stopped)?.map_err(stopped)?;
        self.builder = Some(builder);
        decoded
    }

    /// Looks into an error of the client about this partition. Ok: it is dealt with, and reading goes on.
    async fn look_into(&mut self, fault: &Fault) -> Result<(), ConnectorError> {
        match verdict(fault.code) {
            Verdict::WaitedOut => tracing::debug!(topic = self.topic, partition = self.partition, %fault, "partition error"),
            Verdict::OutOfRange => return self.find_range(fault).await,
            Verdict::MayBeGone => self.check_topic().await?,
            Verdict::Final(kind) => {
                let place = format!("topic '{}' partition {} at offset {}", self.topic, self.partition, self.position());
                let remedy = remedy(fault).map(|remedy| format!(" {remedy}")).unwrap_or_default();
                return Err(ConnectorError::new(kind, format!("{}: {place}: {fault}.{remedy}", self.settings.object)));
            }
        }
        self.backlog.drop_fault();
        Ok(())
    }

    /// The wanted offset does not exist: go on where the options say, or end with the lost range.
    async fn find_range(&mut self, fault: &Fault) -> Result<(), ConnectorError> {
        let position = self.position();
        self.check_topic().await?;
        let low = self.offset_at(EARLIEST, false).await?;
        let mut end = self.offset_at(LATEST, self.settings.committed).await?;
        if position > end {
            // Past the last stable offset: fine if uncommitted records were read before.
            end = self.offset_at(LATEST, false).await?;
        }
        let begin = within(position, low, end, self.settings.reset)
            .map_err(|why| ConnectorError::user(explain(&self.settings, &self.topic, self.partition, &why)))?;
        self.counters.lost(&Lost { table: &self.settings.object, topic: &self.topic, partition: self.partition, lost: begin.lost, to: begin.offset });
        if begin.lost == 0 {
            // A broker that is not up to date said so: asked again, another will know better.
            tracing::debug!(topic = self.topic, partition = self.partition, %fault, "offset exists all the same");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        self.restart(begin.offset).await
    }

    /// An error if the topic is gone, or is another one by now.
    async fn check_topic(&mut self) -> Result<(), ConnectorError> {
        let known = [(self.topic.clone(), self.incarnation.clone())];
        let described = still_there(&self.settings, self.reading.client(), &known).await?;
        if described.iter().any(|topic| topic.partitions.as_ref().is_ok_and(|all| all.contains(&self.partition))) {
            return Ok(());
        }
        let what = format!("partition {} of topic '{}' does not exist any more", self.partition, self.topic);
        let remedy = "What was committed stays; to read what is there now, start a job of another name";
        Err(ConnectorError::user(format!("{}: {what}. {remedy}.", self.settings.object)))
    }

    async fn offset_at(&mut self, at: i64, committed: bool) -> Result<i64, ConnectorError> {
        let listed = self.reading.client().list_offsets(&[(self.topic.clone(), self.partition, at)], committed).await?;
        let fault = match listed.into_iter().next().map(|listed| listed.offset) {
            Some(Ok(offset)) => return Ok(offset),
            Some(Err(fault)) => fault,
            None => Fault { code: RDKafkaErrorCode::Fail, text: "no answer for the partition".to_owned() },
        };
        Err(self.reading.client().error("ListOffsets", &fault))
    }

    /// Fetches anew from `offset`; what was fetched and decoded before is dropped.
    async fn restart(&mut self, offset: i64) -> Result<(), ConnectorError> {
        if self.job.is_some() {
            self.finish_job().await?;
        }
        self.fetching = Arc::new(Partition::start(&self.reading, &self.topic, self.partition, offset).await?);
        self.backlog = Backlog::at(offset);
        self.waits = None;
        Ok(())
    }
}

/// How many messages of about `size` bytes make a batch.
fn batch_messages(size: usize) -> usize {
    (BATCH_BYTES / size.max(1)).clamp(64, BATCH_ROWS)
}

/// What an error about a partition means for its reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// The client retries by itself.
    WaitedOut,
    /// The offset does not exist.
    OutOfRange,
    /// The topic or partition may be gone.
    MayBeGone,
    /// Reading cannot go on.
    Final(weir_base::ErrorKind),
}

fn verdict(code: RDKafkaErrorCode) -> Verdict {
    use RDKafkaErrorCode as Code;
    use weir_base::ErrorKind;
    match code {
        Code::OffsetOutOfRange | Code::AutoOffsetReset | Code::LogTruncation => Verdict::OutOfRange,
        Code::UnknownTopic | Code::UnknownPartition | Code::UnknownTopicOrPartition | Code::UnknownTopicId => Verdict::MayBeGone,
        Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed => Verdict::Final(ErrorKind::User),
        Code::BadMessage | Code::BadCompression | Code::InvalidMessage | Code::UnsupportedCompressionType => Verdict::Final(ErrorKind::Corrupt),
        Code::Fatal => Verdict::Final(ErrorKind::Transient),
        _ => Verdict::WaitedOut,
    }
}

#[async_trait]
impl SplitReader for PartitionReader {
    async fn next(&mut self, until: i64) -> Result<Read, ConnectorError> {
        const RETRY: Duration = Duration::from_secs(1);
        loop {
            match self.backlog.next(until) {
                Next::Rows(batch) => {
                    add(self.counters.rows.as_ref(), batch.num_rows());
                    self.held.resize(self.backlog.bytes() as u64);
                    if self.backlog.is_empty() && self.waits.is_none() && self.queue().length() > 0 && !self.budget.is_above(FULL) {
                        self.begin_job(None);
                    }
                    return Ok(Read::Rows { batch, position: self.backlog.position() });
                }
                Next::Letters(batch) => {
                    self.held.resize(self.backlog.bytes() as u64);
                    return Ok(Read::Letters { batch });
                }
                Next::Reached => return Ok(Read::Reached),
                Next::Bad(message) => return Err(ConnectorError::user(message)),
                Next::Empty => self.fill().await?,
                Next::Fault(fault) => {
                    if let Err(error) = self.look_into(&fault).await {
                        if weir_base::Classified::kind(&error) != weir_base::ErrorKind::Transient || fault.code == RDKafkaErrorCode::Fatal {
                            return Err(error);
                        }
                        tracing::debug!(%error, "question to the brokers failed; asking again");
                        tokio::time::sleep(RETRY).await;
                    }
                }
            }
        }
    }

    fn position(&self) -> i64 {
        self.backlog.position()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_cut_by_rows_or_by_bytes() {
        assert_eq!(batch_messages(213), 8192);
        assert_eq!(batch_messages(1024), 2048);
        assert_eq!(batch_messages(0), 8192);
        assert_eq!(batch_messages(10 << 20), 64);
    }

    #[test]
    fn only_errors_that_no_retry_can_mend_end_a_reader() {
        assert_eq!(verdict(RDKafkaErrorCode::BrokerTransportFailure), Verdict::WaitedOut);
        assert_eq!(verdict(RDKafkaErrorCode::LeaderNotAvailable), Verdict::WaitedOut);
        assert_eq!(verdict(RDKafkaErrorCode::AutoOffsetReset), Verdict::OutOfRange);
        assert_eq!(verdict(RDKafkaErrorCode::UnknownTopicOrPartition), Verdict::MayBeGone);
        assert!(matches!(verdict(RDKafkaErrorCode::TopicAuthorizationFailed), Verdict::Final(_)));
    }
}
