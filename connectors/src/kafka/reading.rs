//! The client that reads, shared by all readers of a source in this process, and the partitions that are being fetched with it.
//!
//! Partitions are fetched one by one with the client's simple consumer: each into a queue of its own, begun and ended on its own, with no
//! consumer group behind it (a group would ask for rights that reading does not need).

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use weir_base::memory::MemoryBudget;
use weir_base::task::blocking;

use super::client::{Client, Health};
use super::ffi::{Fault, Queue, Topic};
use super::options::Settings;
use crate::error::ConnectorError;

/// How much may be fetched ahead, from the memory budget and the number of partitions. Bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FetchLimits {
    /// What may wait in one partition's queue.
    pub(super) queue: u64,
    /// What one fetch may bring for one partition.
    pub(super) fetch: u64,
}

impl FetchLimits {
    /// A quarter of `budget`, shared by `partitions`. Between 128 KB and 4 MB for each: less stalls, more is not faster.
    pub(super) fn new(budget: u64, partitions: usize) -> Self {
        const LEAST: u64 = 128 << 10;
        const MOST: u64 = 4 << 20;
        const LARGEST_FETCH: u64 = 1 << 20;
        let share = budget / 4 / partitions.max(1) as u64;
        let queue = share.clamp(LEAST, MOST);
        Self { queue, fetch: (queue / 2).min(LARGEST_FETCH) }
    }

    /// What librdkafka may hold for one partition: a full queue and the fetch that overshot it.
    pub(super) fn per_partition(self) -> u64 {
        self.queue + self.fetch
    }

    fn settings(self, settings: &Settings) -> Vec<(&'static str, String)> {
        let isolation = if settings.committed { "read_committed" } else { "read_uncommitted" };
        let mut all = vec![
            ("enable.auto.commit", "false".to_owned()),
            ("enable.auto.offset.store", "false".to_owned()),
            ("enable.partition.eof", "true".to_owned()),
            ("auto.offset.reset", "error".to_owned()),
            ("isolation.level", isolation.to_owned()),
        ];
        // The default of a second lets a reader stall whenever its queue was full.
        let tunable = [
            (&["fetch.queue.backoff.ms"][..], "10".to_owned()),
            (&["queued.max.messages.kbytes"], (self.queue >> 10).to_string()),
            (&["fetch.message.max.bytes", "max.partition.fetch.bytes"], self.fetch.to_string()),
        ];
        for (names, value) in tunable {
            if let [name, ..] = names
                && names.iter().all(|name| settings.client.get(name).is_none())
            {
                all.push((name, value));
            }
        }
        all
    }
}

/// The reading client of a source.
#[derive(Debug)]
pub(super) struct Reading {
    client: Client,
    limits: FetchLimits,
    // The generation that fetches each partition.
    running: Mutex<HashMap<(String, i32), u64>>,
    generations: AtomicU64,
}

impl Reading {
    /// A client for about `partitions` partitions.
    pub(super) fn new(settings: &Settings, health: &Arc<Health>, budget: &MemoryBudget, partitions: usize) -> Result<Self, ConnectorError> {
        let limits = FetchLimits::new(budget.limit(), partitions);
        let client = Client::new(&settings.client, &limits.settings(settings), health)?;
        Ok(Self { client, limits, running: Mutex::default(), generations: AtomicU64::new(0) })
    }

    /// The client, for questions.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// How much is fetched ahead.
    pub(super) fn limits(&self) -> FetchLimits {
        self.limits
    }
}

/// A partition that is being fetched. Dropping it ends the fetching.
#[derive(Debug)]
pub(super) struct Partition {
    reading: Arc<Reading>,
    topic: Topic,
    name: String,
    partition: i32,
    generation: u64,
    queue: Arc<Queue>,
}

impl Partition {
    /// Begins to fetch at `offset`. If somebody still fetches the partition, that ends first; nothing of the old fetch reaches the new queue.
    pub(super) async fn start(reading: &Arc<Reading>, topic: &str, partition: i32, offset: i64) -> Result<Self, ConnectorError> {
        let (owner, name) = (Arc::clone(reading), topic.to_owned());
        let started = blocking("kafka partition start", move || Self::start_now(owner, name, partition, offset)).await;
        let started = started.map_err(|error| ConnectorError::internal("a partition could not be started").with_source(error))?;
        started.map_err(|fault| reading.client.error("consume start", &fault))
    }

    fn start_now(reading: Arc<Reading>, name: String, partition: i32, offset: i64) -> Result<Self, Fault> {
        let topic = Topic::new(reading.client.native(), &name)?;
        let queue = Arc::new(Queue::new(reading.client.native())?);
        let generation = reading.generations.fetch_add(1, Ordering::Relaxed);
        {
            let mut running = reading.running.lock().unwrap_or_else(PoisonError::into_inner);
            if running.remove(&(name.clone(), partition)).is_some() {
                topic.stop(partition)?;
            }
            topic.start(partition, offset, &queue)?;
            running.insert((name.clone(), partition), generation);
        }
        Ok(Self { reading, topic, name, partition, generation, queue })
    }

    /// The partition's queue.
    pub(super) fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }
}

impl Drop for Partition {
    fn drop(&mut self) {
        let mut running = self.reading.running.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (std::mem::take(&mut self.name), self.partition);
        if running.get(&key) == Some(&self.generation) {
            running.remove(&key);
            if let Err(fault) = self.topic.stop(self.partition) {
                tracing::debug!(topic = key.0, partition = self.partition, %fault, "partition not stopped");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_share_a_quarter_of_the_budget_within_bounds() {
        let mb = 1 << 20;
        assert_eq!(FetchLimits::new(512 * mb, 4), FetchLimits { queue: 4 * mb, fetch: mb });
        assert_eq!(FetchLimits::new(512 * mb, 64), FetchLimits { queue: 2 * mb, fetch: mb });
        assert_eq!(FetchLimits::new(512 * mb, 100_000).queue, 128 << 10);
        assert_eq!(FetchLimits::new(512 * mb, 0).queue, 4 * mb);
        for partitions in [1, 10, 100, 500] {
            let limits = FetchLimits::new(512 * mb, partitions);
            assert!(limits.per_partition() * partitions as u64 <= 512 * mb / 2, "{partitions}");
        }
    }
}
