//! A client of librdkafka: how it is made, who listens to its errors, and the admin calls that the source needs.
//!
//! A source has two clients in a process: one reads, one asks. They are apart because a broker answers a connection's requests in order,
//! and a fetch may wait there for half a second.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext as _, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;
use rdkafka::topic_partition_list::TopicPartitionList;
use tokio::sync::{Notify, watch};
use weir_base::task::{Task, blocking, spawn};
use weir_base::{Classified as _, ErrorKind};

use super::ffi::{self, Described, Event, Fault, Listed, Native, Queue};
use super::metrics::SourceCounters;
use super::properties::ClientProperties;
use super::trouble::{is_silence, kind_of, leader_has_moved, option_named_in, remedy};
use crate::error::ConnectorError;

/// How long one admin call may take.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// What is known about the brokers' health, shared by the clients of one source. Whoever asks the enumerator tells the user of an outage.
#[derive(Debug)]
pub(super) struct Health {
    object: String,
    away: AtomicBool,
    // There is a last fault.
    troubled: AtomicBool,
    last: watch::Sender<Option<Fault>>,
    // Commits of group offsets that wait for an answer.
    commits: watch::Sender<usize>,
    counters: SourceCounters,
}

impl Health {
    /// Healthy brokers of the source that messages call `object`.
    pub(super) fn new(object: impl Into<String>, counters: SourceCounters) -> Self {
        let (object, commits) = (object.into(), watch::Sender::new(0));
        Self { object, away: AtomicBool::new(false), troubled: AtomicBool::new(false), last: watch::Sender::new(None), commits, counters }
    }

    /// A broker has answered.
    pub(super) fn answered(&self) {
        if self.away.load(Ordering::Relaxed) && self.away.swap(false, Ordering::Relaxed) {
            tracing::debug!(source = self.object, "brokers are back");
        }
        if self.troubled.load(Ordering::Relaxed) && self.troubled.swap(false, Ordering::Relaxed) {
            self.last.send_replace(None);
        }
    }

    fn failed(&self, fault: Fault) {
        let is_outage = matches!(fault.code, RDKafkaErrorCode::AllBrokersDown);
        if is_outage {
            if !self.away.swap(true, Ordering::Relaxed) {
                tracing::debug!(source = self.object, reason = self.reason().unwrap_or_default(), "brokers are away");
            }
            return;
        }
        tracing::debug!(source = self.object, code = ?fault.code, reason = fault.text, "client error");
        self.last.send_replace(Some(fault));
        self.troubled.store(true, Ordering::Relaxed);
    }

    fn last(&self) -> Option<Fault> {
        self.last.borrow().clone()
    }

    /// Waits until it is known why nobody answers: a call may end a moment before the client tells what has happened to its connection.
    async fn explained(&self) {
        const A_MOMENT: Duration = Duration::from_secs(1);
        let mut last = self.last.subscribe();
        if tokio::time::timeout(A_MOMENT, last.wait_for(Option::is_some)).await.is_err() {
            tracing::debug!(source = self.object, "the client does not say why nobody answers");
        }
    }

    fn reason(&self) -> Option<String> {
        self.last().map(|fault| fault.text)
    }
}

/// Receives what a client has to say.
#[derive(Debug)]
pub(super) struct Observer(Arc<Health>);

impl ClientContext for Observer {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        // Whatever matters comes as an error too; the client repeats these lines with every retry.
        tracing::debug!(facility, message, "librdkafka");
    }

    fn stats_raw(&self, statistics: &[u8]) {
        tracing::debug!(statistics = %String::from_utf8_lossy(statistics), "librdkafka statistics");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.failed(Fault { text: reason.to_owned(), ..Fault::of_binding(&error) });
    }
}

impl ConsumerContext for Observer {
    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        if let Err(error) = result {
            tracing::debug!(source = self.0.object, %error, "progress not shown to the group");
        }
        self.0.commits.send_modify(|waiting| *waiting = waiting.saturating_sub(1));
    }
}

/// A connected client and the task that serves its events.
pub(super) struct Client {
    native: Native,
    health: Arc<Health>,
    // The broker that answers questions about topics, and whose turn it is to be that.
    broker: AtomicI32,
    turn: AtomicUsize,
    // The last admin call got no answer.
    unanswered: AtomicBool,
    _events: Task<()>,
}

const NO_BROKER: i32 = -1;

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("health", &self.health).finish_non_exhaustive()
    }
}

impl Client {
    /// A client with `properties`, and `more` over them. Connecting happens in the background.
    pub(super) fn new(properties: &ClientProperties, more: &[(&str, String)], health: &Arc<Health>) -> Result<Self, ConnectorError> {
        let mut config = properties.to_config();
        for (key, value) in more {
            config.set(*key, value);
        }
        let mut consumer = BaseConsumer::from_config_and_context(&config, Observer(Arc::clone(health)))
            .map_err(|error| ConnectorError::user(not_made(&health.object, &error)).with_source(error))?;
        let ready = Arc::new(Notify::new());
        let wake = Arc::clone(&ready);
        consumer.set_nonempty_callback(move || wake.notify_one());
        let native = Arc::new(consumer);
        let events = spawn("kafka client events", serve_events(Arc::downgrade(&native), ready));
        Ok(Self {
            native,
            health: Arc::clone(health),
            broker: AtomicI32::new(NO_BROKER),
            turn: AtomicUsize::new(0),
            unanswered: AtomicBool::new(false),
            _events: events,
        })
    }

    /// The client itself.
    pub(super) fn native(&self) -> &Native {
        &self.native
    }

    /// Notes that a broker has answered.
    pub(super) fn answered(&self) {
        self.health.answered();
    }

    /// Offsets of partitions, each at [`ffi::EARLIEST`], [`ffi::LATEST`] or a time; all in one round trip for each broker. With
    /// `committed`, the end is the last stable offset.
    pub(super) async fn list_offsets(&self, wanted: &[(String, i32, i64)], committed: bool) -> Result<Vec<Listed>, ConnectorError> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        if let Some((topic, _, _)) = wanted.first()
            && self.unanswered.load(Ordering::Relaxed)
        {
            // An admin call that waits for a broker makes librdkafka connect to it over and over without a pause; this one waits in peace.
            self.metadata(Some(topic.clone())).await?;
        }
        let listed = self.ask_offsets(wanted, committed).await?;
        let moved = listed.iter().filter(|one| one.offset.as_ref().is_err_and(|fault| leader_has_moved(fault.code))).map(|one| one.topic.clone());
        let moved: BTreeSet<String> = moved.collect();
        if moved.is_empty() {
            return Ok(listed);
        }
        // This call never makes the client look for the new leaders: it would be refused until the cached ones expire, after minutes.
        for topic in moved {
            self.metadata(Some(topic)).await?;
        }
        self.ask_offsets(wanted, committed).await
    }

    async fn ask_offsets(&self, wanted: &[(String, i32, i64)], committed: bool) -> Result<Vec<Listed>, ConnectorError> {
        let submit = |queue: &Queue| ffi::list_offsets(queue, wanted, committed, timeout_ms(CALL_TIMEOUT));
        self.call("ListOffsets", submit).await.map(|event| event.offsets())
    }

    /// Ids and partitions of topics.
    pub(super) async fn describe_topics(&self, names: &[String]) -> Result<Vec<Described>, ConnectorError> {
        let Some(first) = names.first() else { return Ok(Vec::new()) };
        let broker = self.some_broker(first).await?;
        let submit = |queue: &Queue| ffi::describe_topics(queue, names, broker, timeout_ms(CALL_TIMEOUT));
        let answer = self.call("DescribeTopics", submit).await;
        if answer.is_err() {
            self.broker.store(NO_BROKER, Ordering::Relaxed);
        }
        answer.map(|event| event.topics())
    }

    /// A broker that can be asked about topics. Left alone, the client would wait for the controller, which not every broker names (the
    /// one that is built into librdkafka does not).
    async fn some_broker(&self, topic: &str) -> Result<i32, ConnectorError> {
        let known = self.broker.load(Ordering::Relaxed);
        if known != NO_BROKER {
            return Ok(known);
        }
        let metadata = self.metadata(Some(topic.to_owned())).await?;
        let brokers = metadata.brokers();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % brokers.len().max(1);
        let Some(broker) = brokers.get(turn) else {
            return Err(self.error("metadata", &Fault { code: RDKafkaErrorCode::AllBrokersDown, text: "no broker is known".to_owned() }));
        };
        self.broker.store(broker.id(), Ordering::Relaxed);
        Ok(broker.id())
    }

    /// The cluster's metadata, of one topic or of all.
    pub(super) async fn metadata(&self, topic: Option<String>) -> Result<Metadata, ConnectorError> {
        // The client does not end a wait because a password or a certificate is wrong; a short one first lets that be noticed.
        const FIRST_WAIT: Duration = Duration::from_secs(2);
        match self.metadata_within(topic.clone(), FIRST_WAIT).await {
            Err(error) if error.kind() == ErrorKind::Transient => self.metadata_within(topic, CALL_TIMEOUT - FIRST_WAIT).await,
            answer => answer,
        }
    }

    async fn metadata_within(&self, topic: Option<String>, limit: Duration) -> Result<Metadata, ConnectorError> {
        let native = Arc::clone(&self.native);
        let fetched = blocking("kafka metadata", move || native.fetch_metadata(topic.as_deref(), limit)).await;
        let fetched = fetched.map_err(|error| ConnectorError::internal("metadata could not be asked for").with_source(error))?;
        match fetched {
            Ok(metadata) => Ok(metadata),
            Err(error) => {
                let fault = Fault::of_binding(&error);
                if is_silence(fault.code) {
                    self.health.explained().await;
                }
                Err(self.error("metadata", &fault))
            }
        }
    }

    /// Sends offsets of the group on their way.
    pub(super) fn commit(&self, offsets: &TopicPartitionList) {
        self.health.commits.send_modify(|waiting| *waiting += 1);
        if let Err(error) = self.native.commit(offsets, CommitMode::Async) {
            tracing::debug!(source = self.health.object, %error, "progress not shown to the group");
            self.health.commits.send_modify(|waiting| *waiting = waiting.saturating_sub(1));
        }
    }

    /// Waits until every commit has an answer, be it a refusal.
    pub(super) async fn commits_answered(&self) {
        let mut waiting = self.health.commits.subscribe();
        if waiting.wait_for(|waiting| *waiting == 0).await.is_err() {
            tracing::debug!(source = self.health.object, "no commit can be answered any more");
        }
    }

    async fn call(&self, name: &'static str, submit: impl FnOnce(&Queue) -> Result<(), Fault>) -> Result<Event, ConnectorError> {
        self.health.counters.called(name);
        let answer = self.call_once(name, submit).await;
        self.unanswered.store(answer.is_err(), Ordering::Relaxed);
        answer
    }

    async fn call_once(&self, name: &'static str, submit: impl FnOnce(&Queue) -> Result<(), Fault>) -> Result<Event, ConnectorError> {
        let queue = Queue::new(&self.native).map_err(|fault| self.error(name, &fault))?;
        submit(&queue).map_err(|fault| self.error(name, &fault))?;
        let answered = async {
            loop {
                if let Some(event) = queue.event() {
                    return event;
                }
                queue.ready().await;
            }
        };
        // The client gives up at the same time: this is for the case that it does not.
        let event = tokio::time::timeout(CALL_TIMEOUT + Duration::from_secs(1), answered).await.map_err(|elapsed| {
            let fault = Fault { code: RDKafkaErrorCode::OperationTimedOut, text: "no answer in time".to_owned() };
            self.error(name, &fault).with_source(elapsed)
        })?;
        if let Some(fault) = event.fault() {
            return Err(self.error(name, &fault));
        }
        self.health.answered();
        Ok(event)
    }

    /// The error of a call that failed with `fault`. A call that merely found nobody to answer tells the client's last trouble instead.
    pub(super) fn error(&self, call: &str, fault: &Fault) -> ConnectorError {
        let behind = self.health.last().filter(|_| is_silence(fault.code));
        let kind = behind.as_ref().map_or_else(|| kind_of(fault), |cause| kind_of(cause).min(kind_of(fault)));
        let told = behind.as_ref().unwrap_or(fault);
        let remedy = remedy(told).map(|remedy| format!(" {remedy}")).unwrap_or_default();
        ConnectorError::new(kind, format!("{}: Kafka {call} failed: {told}.{remedy}", self.health.object))
    }
}

/// The message for a client that librdkafka refused to make.
fn not_made(object: &str, error: &KafkaError) -> String {
    let text = error.to_string();
    let remedy = option_named_in(&text).map(|name| format!(" Check 'properties.{name}'.")).unwrap_or_default();
    format!("{object}: the Kafka client could not be made: {text}.{remedy}")
}

fn timeout_ms(timeout: Duration) -> i32 {
    i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX)
}

/// Lets the client call back, until it is gone.
async fn serve_events(client: Weak<BaseConsumer<Observer>>, ready: Arc<Notify>) {
    const EVENTS_AT_ONCE: usize = 64;
    loop {
        // The callback comes only when the queue was empty before: the tick finds what a full turn left.
        let woken = tokio::time::timeout(Duration::from_secs(1), ready.notified()).await;
        let Some(client) = client.upgrade() else { return };
        for _ in 0..EVENTS_AT_ONCE {
            if let Some(Err(error)) = client.poll(Duration::ZERO) {
                // The observer has been told, in more words.
                tracing::trace!(%error, "client event");
            }
        }
        drop(woken);
    }
}

/// What librdkafka says against a configuration, if anything. Does no I/O.
pub(super) fn refusal(config: &ClientConfig) -> Option<String> {
    match config.create_native_config() {
        Err(KafkaError::ClientConfig(_, reason, ..)) => Some(reason),
        Err(other) => Some(other.to_string()),
        Ok(_) => None,
    }
}
