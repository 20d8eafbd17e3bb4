//! Cuts, and the marker of a job and sink that every commit leaves in its table.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The name of a split, stable across runs: `orders/3` for partition 3 of topic `orders`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SplitId(pub String);

impl fmt::Display for SplitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A place in a split: the offset of the next record that has not been read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitPosition {
    /// Offset of the next record.
    pub offset: i64,
    /// Identity of what holds the split (a topic id), so that a recreated one is noticed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<String>,
}

/// The position of every split of one source at one moment.
pub type Cut = BTreeMap<SplitId, SplitPosition>;

/// The cuts of all sources of a job, by source id.
pub type Cuts = BTreeMap<String, Cut>;

/// The marker that a job leaves in a table with each commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    /// Epoch of the last commit of this job and sink.
    pub epoch: u64,
    /// Cut of each source after that epoch.
    pub cuts: Cuts,
}

/// Offsets, `from` included and `to` not, that lie in the range of a commit, though its sink was not given the rows of that stretch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Source id.
    pub source: String,
    /// Split.
    pub split: SplitId,
    /// First offset of the gap.
    pub from: i64,
    /// First offset after it.
    pub to: i64,
    /// How it came about.
    pub why: GapReason,
}

/// How a gap came about. Either way the user was told when it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GapReason {
    /// The job read on without the sink, which was added again later.
    NotInJob,
    /// The log had lost the rows before they were read, and an option accepted that.
    Lost,
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self.why {
            GapReason::NotInJob => "the sink was not in the job",
            GapReason::Lost => "lost by the source, which was accepted",
        };
        write!(f, "{}: {}  offsets {} .. {} ({why})", self.source, self.split, self.from, self.to)
    }
}

/// Keys and values under which a marker stands in table properties and snapshot summaries.
///
/// Properties are read first: no foreign commit and no expiry removes them. Summaries are the history that `verify` walks. A cut is
/// written compactly, because it stands in every snapshot: `{"source":{"split":offset}}`, or `[offset,"incarnation"]` for a position
/// that has one.
pub(crate) mod stored {
    use std::collections::{BTreeMap, HashMap};

    use serde_json::{Map, Value};

    use super::{Cut, Cuts, Gap, Marker, SplitId, SplitPosition};

    pub(crate) const SUMMARY_JOB: &str = "weir.job";
    pub(crate) const SUMMARY_SINK: &str = "weir.sink";
    pub(crate) const SUMMARY_EPOCH: &str = "weir.epoch";
    pub(crate) const SUMMARY_FROM: &str = "weir.cut.from";
    pub(crate) const SUMMARY_TO: &str = "weir.cut.to";
    pub(crate) const SUMMARY_GAPS: &str = "weir.cut.gaps";

    /// The job whose upkeep a snapshot is.
    pub(crate) const SUMMARY_UPKEEP: &str = "weir.upkeep.job";

    const PREFIX: &str = "weir.";
    const EPOCH: &str = ".epoch";
    const CUT: &str = ".cut";
    const UPKEEP: &str = ".upkeep";

    /// The property that holds the epoch of a job and sink.
    pub(crate) fn epoch_key(job: &str, sink: &str) -> String {
        format!("{PREFIX}{}.{}{EPOCH}", escape(job), escape(sink))
    }

    /// The property that holds the cut of a job and sink.
    pub(crate) fn cut_key(job: &str, sink: &str) -> String {
        format!("{PREFIX}{}.{}{CUT}", escape(job), escape(sink))
    }

    /// The property that holds the fence of the upkeep of a job and sink.
    pub(crate) fn upkeep_key(job: &str, sink: &str) -> String {
        format!("{PREFIX}{}.{}{UPKEEP}", escape(job), escape(sink))
    }

    /// The sink in whose fence property `job` stands; `None` for any other key.
    pub(crate) fn sink_kept_up(key: &str, job: &str) -> Option<String> {
        let (of, sink) = key.strip_prefix(PREFIX)?.strip_suffix(UPKEEP)?.split_once('.')?;
        (!sink.contains('.') && unescape(of) == job).then(|| unescape(sink))
    }

    /// The job and sink of an epoch property; `None` for any other key.
    pub(crate) fn job_and_sink(key: &str) -> Option<(String, String)> {
        let (job, sink) = key.strip_prefix(PREFIX)?.strip_suffix(EPOCH)?.split_once('.')?;
        (!sink.contains('.')).then(|| (unescape(job), unescape(sink)))
    }

    /// The marker in a table's properties. `Err` holds the key whose value cannot be read.
    pub(crate) fn read(properties: &HashMap<String, String>, job: &str, sink: &str) -> Result<Option<Marker>, String> {
        let key = epoch_key(job, sink);
        let Some(epoch) = properties.get(&key) else { return Ok(None) };
        let epoch = epoch.parse().map_err(|_not_a_number| key)?;
        let key = cut_key(job, sink);
        let cuts = properties.get(&key).and_then(|text| decode(text)).ok_or(key)?;
        Ok(Some(Marker { epoch, cuts }))
    }

    /// Gaps as a JSON array.
    pub(crate) fn encode_gaps(gaps: &[Gap]) -> String {
        gaps.iter().map(|gap| serde_json::to_value(gap).unwrap_or_default()).collect::<Value>().to_string()
    }

    /// What [`encode_gaps`] wrote.
    pub(crate) fn decode_gaps(text: &str) -> Option<Vec<Gap>> {
        serde_json::from_str(text).ok()
    }

    /// Cuts as compact JSON, the same text for the same cuts.
    pub(crate) fn encode(cuts: &Cuts) -> String {
        let sources: Map<String, Value> = cuts
            .iter()
            .map(|(source, cut)| {
                let splits = cut.iter().map(|(split, position)| (split.0.clone(), encode_position(position))).collect();
                (source.clone(), Value::Object(splits))
            })
            .collect();
        Value::Object(sources).to_string()
    }

    /// What [`encode`] wrote.
    pub(crate) fn decode(text: &str) -> Option<Cuts> {
        let sources: BTreeMap<String, BTreeMap<String, Value>> = serde_json::from_str(text).ok()?;
        sources.into_iter().map(|(source, splits)| Some((source, decode_cut(splits)?))).collect()
    }

    fn decode_cut(splits: BTreeMap<String, Value>) -> Option<Cut> {
        splits.into_iter().map(|(split, value)| Some((SplitId(split), decode_position(&value)?))).collect()
    }

    fn encode_position(position: &SplitPosition) -> Value {
        match &position.incarnation {
            None => Value::from(position.offset),
            Some(incarnation) => Value::Array(vec![Value::from(position.offset), Value::from(incarnation.as_str())]),
        }
    }

    fn decode_position(value: &Value) -> Option<SplitPosition> {
        match value {
            Value::Array(parts) => match parts.as_slice() {
                [offset, incarnation] => Some(SplitPosition { offset: offset.as_i64()?, incarnation: Some(incarnation.as_str()?.to_owned()) }),
                _ => None,
            },
            offset => Some(SplitPosition { offset: offset.as_i64()?, incarnation: None }),
        }
    }

    /// Names may hold dots, which separate the parts of a key.
    fn escape(name: &str) -> String {
        name.replace('%', "%25").replace('.', "%2E")
    }

    fn unescape(name: &str) -> String {
        name.replace("%2E", ".").replace("%25", "%")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn cuts_survive_being_stored(
            cuts in proptest::collection::btree_map("[a-z#.]{0,5}", proptest::collection::btree_map(
                "[a-z/0-9]{0,6}", (any::<i64>(), proptest::option::of("[a-zA-Z0-9_-]{0,8}")), 0..4), 0..3)
        ) {
            let cuts: Cuts = cuts.into_iter().map(|(source, cut)| {
                (source, cut.into_iter().map(|(split, (offset, incarnation))| (SplitId(split), SplitPosition { offset, incarnation })).collect())
            }).collect();
            prop_assert_eq!(stored::decode(&stored::encode(&cuts)), Some(cuts));
        }

        #[test]
        fn every_job_and_sink_name_survives_its_property_key(job in "[a-z.%]{1,8}", sink in "[a-z.%-]{1,8}") {
            prop_assert_eq!(stored::job_and_sink(&stored::epoch_key(&job, &sink)), Some((job, sink)));
        }
    }

    #[test]
    fn keys_of_others_are_no_markers() {
        for key in ["weir.a.epoch", "weir.a.b.cut", &stored::upkeep_key("a", "b"), "write.a.b.epoch", "weir.a.b.c.epoch"] {
            assert_eq!(stored::job_and_sink(key), None, "{key}");
        }
    }
}
