//! Finds the partitions of a source, where they begin and how far they can be read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use weir_base::task::blocking;

use super::client::{CALL_TIMEOUT, Client, Health};
use super::ffi::{EARLIEST, Fault, LATEST, Listed};
use super::metrics::{Lost, SourceCounters};
use super::options::{BOUNDED_OFFSETS, Bound, STARTUP_OFFSETS, Settings, Startup};
use super::start::{Begin, Facts, NoPosition, bounded, explain, fresh, resumed};
use super::topics::{self, FoundTopics};
use crate::error::ConnectorError;
use crate::source::{Cut, Frontier, SplitEnumerator, SplitId, SplitPosition};

/// A partition's place in the maps below.
type Place = (String, i32);

/// `orders/3` for partition 3 of topic `orders`.
pub(super) fn split_id(topic: &str, partition: i32) -> SplitId {
    SplitId(format!("{topic}/{partition}"))
}

/// The reverse of [`split_id`].
pub(super) fn place_of(split: &SplitId) -> Option<Place> {
    let (topic, partition) = split.0.rsplit_once('/')?;
    Some((topic.to_owned(), partition.parse().ok()?))
}

#[derive(Debug)]
struct Tracked {
    incarnation: Option<String>,
    // How far it can be read, as told last; never less than before.
    end: i64,
    bound: Option<i64>,
}

/// When the topics are looked at while their ends move: not more often than this, for each cut has its own look before it is sealed.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Whether it is time to look at the topics. Pure.
#[derive(Debug)]
struct Looks {
    last: Instant,
    // Something has moved since.
    wanted: bool,
}

impl Looks {
    fn done_at(now: Instant) -> Self {
        Self { last: now, wanted: false }
    }

    fn due(&self, now: Instant) -> bool {
        self.wanted && now.saturating_duration_since(self.last) >= LOOK_INTERVAL
    }
}

/// The enumerator of one source of a running job.
#[derive(Debug)]
pub(super) struct KafkaEnumerator {
    settings: Arc<Settings>,
    client: Client,
    start: Cut,
    tracked: BTreeMap<Place, Tracked>,
    // Found, and not told yet.
    discovered: Cut,
    discovery: Instant,
    looks: Looks,
}

impl KafkaEnumerator {
    /// Connects and finds where every partition begins.
    pub(super) async fn connect(
        settings: Arc<Settings>,
        health: &Arc<Health>,
        counters: &SourceCounters,
        restored: Option<&Cut>,
    ) -> Result<Self, ConnectorError> {
        let mut more = vec![("enable.auto.commit", "false".to_owned())];
        more.extend(settings.group.iter().map(|group| ("group.id", group.clone())));
        let client = Client::new(&settings.client, &more, health)?;
        let found = topics::find(&settings, &client).await?;
        if found.is_empty() {
            topics::tell_none(&settings, &client).await?;
        }
        check_restored_topics(&settings, &found, restored)?;
        let now = Instant::now();
        let (start, tracked, discovered) = (Cut::new(), BTreeMap::new(), Cut::new());
        let mut this = Self { settings, client, start, tracked, discovered, discovery: now, looks: Looks::done_at(now) };
        for facts in this.facts(&found).await? {
            this.place(facts, restored, counters).await?;
        }
        this.check_listed_partitions(&found)?;
        tracing::info!(source = this.settings.object, topics = found.len(), partitions = this.tracked.len(), "kafka source connected");
        Ok(this)
    }

    /// Number of partitions.
    pub(super) fn partitions(&self) -> usize {
        self.tracked.len()
    }

    /// Decides where one partition begins and ends.
    async fn place(&mut self, facts: Facts, restored: Option<&Cut>, counters: &SourceCounters) -> Result<(), ConnectorError> {
        let split = split_id(&facts.topic, facts.partition);
        let settings = &self.settings;
        let said = |why: NoPosition| ConnectorError::user(explain(settings, &facts.topic, facts.partition, &why));
        let begin = match restored.map(|cut| cut.get(&split)) {
            None => fresh(&settings.startup, &facts, settings.reset).map_err(said)?,
            // Found since the checkpoint: read from its beginning, like every new partition.
            Some(None) => Begin { offset: facts.low, lost: 0 },
            Some(Some(position)) => {
                // Past the last stable offset: fine if uncommitted records were read before.
                let end = if position.offset > facts.end { self.high_watermark(&facts).await? } else { facts.end };
                resumed(position, &facts, end, settings.reset).map_err(said)?
            }
        };
        counters.lost(&Lost { table: &settings.object, topic: &facts.topic, partition: facts.partition, lost: begin.lost, to: begin.offset });
        let bound = match &settings.bound {
            None => None,
            Some(bound) => match bounded(bound, &facts, begin.offset).map_err(said)? {
                Some(end) => Some(end),
                None => return Ok(()),
            },
        };
        self.start.insert(split, SplitPosition { offset: begin.offset, incarnation: facts.incarnation.clone() });
        let end = facts.end.max(begin.offset);
        self.tracked.insert((facts.topic, facts.partition), Tracked { incarnation: facts.incarnation, end, bound });
        Ok(())
    }

    async fn high_watermark(&self, facts: &Facts) -> Result<i64, ConnectorError> {
        let listed = self.client.list_offsets(&[(facts.topic.clone(), facts.partition, LATEST)], false).await?;
        let all = self.offsets_of(listed)?;
        Ok(all.values().next().copied().unwrap_or(facts.end))
    }

    /// Partitions that `specific-offsets` names must exist.
    fn check_listed_partitions(&self, found: &FoundTopics) -> Result<(), ConnectorError> {
        let mut listed = Vec::new();
        if let Startup::Specific(offsets) = &self.settings.startup {
            listed.extend(offsets.keys().map(|partition| (partition, STARTUP_OFFSETS.key)));
        }
        if let Some(Bound::Specific(offsets)) = &self.settings.bound {
            listed.extend(offsets.keys().map(|partition| (partition, BOUNDED_OFFSETS.key)));
        }
        for (topic, facts) in found {
            if let Some((partition, option)) = listed.iter().find(|(partition, _)| !facts.partitions.contains(partition)) {
                let last = facts.partitions.iter().max().copied().unwrap_or_default();
                let what = format!(
                    "topic '{topic}' has no partition {partition}, which '{option}' names. Its partitions are 0 to {last}: correct the option"
                );
                return Err(ConnectorError::user(format!("{}: {what}.", self.settings.object)));
            }
        }
        Ok(())
    }

    /// Asks the brokers what is needed to place the partitions of `found`.
    async fn facts(&self, found: &FoundTopics) -> Result<Vec<Facts>, ConnectorError> {
        let settings = &self.settings;
        let places: Vec<Place> =
            found.iter().flat_map(|(topic, facts)| facts.partitions.iter().map(move |partition| (topic.clone(), *partition))).collect();
        let start_time = if let Startup::Timestamp(time) = settings.startup { Some(time) } else { None };
        let bound_time = if let Some(Bound::Timestamp(time)) = settings.bound { Some(time) } else { None };
        let low = self.at(&places, EARLIEST).await?;
        let end = self.at(&places, LATEST).await?;
        let start_times = self.at_time(&places, start_time).await?;
        let bound_times = self.at_time(&places, bound_time).await?;
        let committed = self.committed(&places).await?;
        let known = |map: &BTreeMap<Place, i64>, place: &Place| map.get(place).copied();
        places
            .into_iter()
            .map(|place| {
                let (Some(low), Some(end)) = (known(&low, &place), known(&end, &place)) else {
                    let fault = Fault { code: RDKafkaErrorCode::Partial, text: format!("no answer for topic '{}' partition {}", place.0, place.1) };
                    return Err(self.client.error("ListOffsets", &fault));
                };
                Ok(Facts {
                    incarnation: found.get(&place.0).and_then(|topic| topic.id.clone()),
                    low,
                    end: end.max(low),
                    committed: known(&committed, &place),
                    start_time: known(&start_times, &place),
                    bound_time: known(&bound_times, &place),
                    topic: place.0,
                    partition: place.1,
                })
            })
            .collect()
    }

    async fn at(&self, places: &[Place], at: i64) -> Result<BTreeMap<Place, i64>, ConnectorError> {
        let wanted: Vec<(String, i32, i64)> = places.iter().map(|(topic, partition)| (topic.clone(), *partition, at)).collect();
        let listed = self.client.list_offsets(&wanted, self.settings.committed).await?;
        self.offsets_of(listed)
    }

    /// Offsets of a time; partitions without a record of that time or later are left out.
    async fn at_time(&self, places: &[Place], time: Option<i64>) -> Result<BTreeMap<Place, i64>, ConnectorError> {
        match time {
            None => Ok(BTreeMap::new()),
            Some(time) => Ok(self.at(places, time).await?.into_iter().filter(|(_, offset)| *offset >= 0).collect()),
        }
    }

    fn offsets_of(&self, listed: Vec<Listed>) -> Result<BTreeMap<Place, i64>, ConnectorError> {
        let one = |listed: Listed| match listed.offset {
            Ok(offset) => Ok(((listed.topic, listed.partition), offset)),
            Err(fault) => Err(self.client.error(&format!("ListOffsets of topic '{}' partition {}", listed.topic, listed.partition), &fault)),
        };
        listed.into_iter().map(one).collect()
    }

    /// What the group has committed, if the options ask for it.
    async fn committed(&self, places: &[Place]) -> Result<BTreeMap<Place, i64>, ConnectorError> {
        let starts = matches!(self.settings.startup, Startup::Group | Startup::Specific(_));
        if self.settings.group.is_none() || !(starts || matches!(self.settings.bound, Some(Bound::Group))) {
            return Ok(BTreeMap::new());
        }
        let mut wanted = TopicPartitionList::with_capacity(places.len());
        for (topic, partition) in places {
            wanted.add_partition(topic, *partition);
        }
        let native = Arc::clone(self.client.native());
        let answer = blocking("kafka group offsets", move || native.committed_offsets(wanted, CALL_TIMEOUT)).await;
        let answer = answer.map_err(|error| ConnectorError::internal("group offsets could not be asked for").with_source(error))?;
        let list = answer.map_err(|error| self.client.error("offsets of the group", &Fault::of_binding(&error)))?;
        let offset = |offset| if let Offset::Offset(offset) = offset { Some(offset) } else { None };
        let elements = list.elements();
        Ok(elements.iter().filter_map(|found| Some(((found.topic().to_owned(), found.partition()), offset(found.offset())?))).collect())
    }

    /// Looks for new partitions if it is time to.
    async fn discover(&mut self) -> Result<(), ConnectorError> {
        if self.settings.discovery.is_none_or(|interval| self.discovery.elapsed() < interval) {
            return Ok(());
        }
        let mut new = topics::find(&self.settings, &self.client).await?;
        for (topic, facts) in &mut new {
            facts.partitions.retain(|partition| !self.tracked.contains_key(&(topic.clone(), *partition)));
        }
        for facts in self.facts(&new).await? {
            let position = SplitPosition { offset: facts.low, incarnation: facts.incarnation.clone() };
            tracing::info!(source = self.settings.object, topic = facts.topic, partition = facts.partition, from = facts.low, "new partition");
            self.discovered.insert(split_id(&facts.topic, facts.partition), position);
            self.tracked.insert((facts.topic, facts.partition), Tracked { incarnation: facts.incarnation, end: facts.end, bound: None });
        }
        self.discovery = Instant::now();
        Ok(())
    }

    /// Asks for the ends. Returns whether any has moved.
    async fn ask_ends(&mut self) -> Result<bool, ConnectorError> {
        let wanted: Vec<(String, i32, i64)> = self.tracked.keys().map(|(topic, partition)| (topic.clone(), *partition, LATEST)).collect();
        let asked = wanted.len();
        let listed = self.client.list_offsets(&wanted, self.settings.committed).await?;
        let (mut moved, mut failed) = (false, None);
        let mut answers = 0;
        for Listed { topic, partition, offset } in listed {
            match offset {
                Ok(end) => {
                    answers += 1;
                    if let Some(tracked) = self.tracked.get_mut(&(topic, partition)) {
                        // A new leader may be behind for a moment; a topic with another id is found out by its id.
                        moved |= end != tracked.end;
                        tracked.end = tracked.end.max(end);
                    }
                }
                Err(fault) => {
                    tracing::debug!(topic, partition, %fault, "end not told");
                    failed = Some(fault);
                }
            }
        }
        match failed {
            // The partition or topic may be gone: that shows when topics are looked at.
            Some(fault) if topics::is_unknown(&fault) => Ok(true),
            Some(fault) if answers == 0 && asked > 0 => Err(self.client.error("ListOffsets", &fault)),
            _ => Ok(moved),
        }
    }

    /// An error if one of these topics is gone or is another one by now.
    async fn look(&mut self, known: BTreeMap<String, Option<String>>) -> Result<(), ConnectorError> {
        let known: Vec<(String, Option<String>)> = known.into_iter().collect();
        topics::still_there(&self.settings, &self.client, &known).await?;
        self.looks = Looks::done_at(Instant::now());
        Ok(())
    }
}

/// The topics of a checkpoint must still be there, and be read.
fn check_restored_topics(settings: &Settings, found: &FoundTopics, restored: Option<&Cut>) -> Result<(), ConnectorError> {
    for split in restored.into_iter().flat_map(|cut| cut.keys()) {
        let Some((topic, partition)) = place_of(split) else {
            return Err(ConnectorError::user(format!(
                "{}: the checkpoint has a split '{split}', which is no partition: it was another connector's. Start a job of another name.",
                settings.object
            )));
        };
        let exists = found.get(&topic).is_some_and(|facts| facts.partitions.contains(&partition));
        if !exists {
            let what = format!("the checkpoint has read partition {partition} of topic '{topic}', which does not exist any more or is not selected");
            return Err(ConnectorError::user(format!("{}: {what}. To read what is there now, start a job of another name.", settings.object)));
        }
    }
    Ok(())
}

#[async_trait]
impl SplitEnumerator for KafkaEnumerator {
    fn start(&self) -> &Cut {
        &self.start
    }

    async fn frontier(&mut self) -> Result<Frontier, ConnectorError> {
        self.discover().await?;
        self.looks.wanted |= self.ask_ends().await?;
        if self.looks.due(Instant::now()) {
            self.look(self.tracked.iter().map(|((topic, _), tracked)| (topic.clone(), tracked.incarnation.clone())).collect()).await?;
        }
        let mut ends = Cut::new();
        let mut finished = self.settings.bound.is_some();
        for ((topic, partition), tracked) in &self.tracked {
            let offset = tracked.bound.map_or(tracked.end, |bound| bound.min(tracked.end));
            finished &= tracked.bound == Some(offset);
            ends.insert(split_id(topic, *partition), SplitPosition { offset, incarnation: tracked.incarnation.clone() });
        }
        Ok(Frontier { ends, discovered: std::mem::take(&mut self.discovered), finished, ..Frontier::default() })
    }

    async fn confirm(&mut self, cut: &Cut) -> Result<(), ConnectorError> {
        let known = cut.iter().filter_map(|(split, position)| Some((place_of(split)?.0, position.incarnation.clone()?)));
        let known: BTreeMap<_, _> = known.map(|(topic, id)| (topic, Some(id))).collect();
        // Without ids there is nothing to compare.
        if known.is_empty() { Ok(()) } else { self.look(known).await }
    }

    async fn show_progress(&mut self, committed: &Cut, last: bool) {
        if self.settings.group.is_none() || !self.settings.show_progress {
            return;
        }
        let mut list = TopicPartitionList::with_capacity(committed.len());
        for (split, position) in committed {
            if let Some((topic, partition)) = place_of(split)
                && let Err(error) = list.add_partition_offset(&topic, partition, Offset::Offset(position.offset))
            {
                tracing::debug!(%split, %error, "offset not shown");
            }
        }
        if list.count() > 0 {
            self.client.commit(&list);
        }
        if last {
            self.client.commits_answered().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_looked_at_when_something_moved_and_once_a_second_at_most() {
        let start = Instant::now();
        let mut looks = Looks::done_at(start);
        assert!(!looks.due(start + LOOK_INTERVAL * 9), "nothing has moved");
        looks.wanted = true;
        assert!(!looks.due(start + LOOK_INTERVAL / 2));
        assert!(looks.due(start + LOOK_INTERVAL), "what was put off is made up for");
        assert!(!Looks::done_at(start + LOOK_INTERVAL).due(start + LOOK_INTERVAL * 9));
    }

    #[test]
    fn a_split_id_names_topic_and_partition() {
        assert_eq!(split_id("orders", 3).0, "orders/3");
        assert_eq!(place_of(&SplitId("a.b/12".to_owned())), Some(("a.b".to_owned(), 12)));
        assert_eq!(place_of(&SplitId("file".to_owned())), None);
    }
}
