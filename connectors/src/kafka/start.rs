//! Where a partition's reading begins and ends: decisions from what the brokers have told. Pure.

use super::options::{Bound, Reset, Settings, Startup};
use crate::source::SplitPosition;

/// What is known of one partition when a source starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    /// Topic.
    pub(super) topic: String,
    /// Partition.
    pub(super) partition: i32,
    /// Topic id.
    pub(super) incarnation: Option<String>,
    /// Offset of the first record that is left.
    pub(super) low: i64,
    /// The end: last stable offset, or high watermark if uncommitted records are read too.
    pub(super) end: i64,
    /// Where the group has committed, if it was asked for.
    pub(super) committed: Option<i64>,
    /// First offset at or after the start's time, if it was asked for; the end if there is none.
    pub(super) start_time: Option<i64>,
    /// First offset at or after the bound's time, likewise.
    pub(super) bound_time: Option<i64>,
}

/// Why there is no position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoPosition {
    /// The group has committed nothing there.
    NotCommitted,
    /// The records from one offset to another (exclusive) are gone.
    Lost {
        /// Where reading should go on.
        from: i64,
        /// The first record that is left.
        to: i64,
    },
    /// The wanted offset is past the end.
    PastEnd {
        /// Where reading should go on.
        at: i64,
        /// The end.
        end: i64,
    },
    /// The topic is another one of the same name.
    Recreated {
        /// Topic id in the checkpoint.
        was: String,
        /// Topic id now.
        is: String,
    },
}

/// A place to begin, and how many offsets before it are lost (accepted by the options).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Begin {
    /// Offset of the first record to read.
    pub(super) offset: i64,
    /// Offsets that were wanted and are gone.
    pub(super) lost: i64,
}

impl Begin {
    fn at(offset: i64) -> Self {
        Self { offset, lost: 0 }
    }
}

/// Where a partition begins when there is no checkpoint.
pub(super) fn fresh(startup: &Startup, facts: &Facts, reset: Reset) -> Result<Begin, NoPosition> {
    match startup {
        Startup::Earliest => Ok(Begin::at(facts.low)),
        Startup::Latest => Ok(Begin::at(facts.end)),
        Startup::Timestamp(_) => Ok(Begin::at(facts.start_time.unwrap_or(facts.end))),
        Startup::Group => from_group(facts, reset),
        Startup::Specific(offsets) => match (offsets.get(&facts.partition), facts.committed) {
            (Some(offset), _) => within(*offset, facts.low, facts.end, reset),
            (None, Some(committed)) => within(committed, facts.low, facts.end, reset),
            (None, None) => Ok(Begin::at(facts.low)),
        },
    }
}

fn from_group(facts: &Facts, reset: Reset) -> Result<Begin, NoPosition> {
    match (facts.committed, reset) {
        (Some(committed), _) => within(committed, facts.low, facts.end, reset),
        (None, Reset::Earliest) => Ok(Begin::at(facts.low)),
        (None, Reset::Latest) => Ok(Begin::at(facts.end)),
        (None, Reset::None) => Err(NoPosition::NotCommitted),
    }
}

/// Where a partition goes on that is in the checkpoint. `end` must be the high watermark if the position is past the last stable offset.
pub(super) fn resumed(restored: &SplitPosition, facts: &Facts, end: i64, reset: Reset) -> Result<Begin, NoPosition> {
    if let (Some(was), Some(is)) = (&restored.incarnation, &facts.incarnation)
        && was != is
    {
        return Err(NoPosition::Recreated { was: was.clone(), is: is.clone() });
    }
    within(restored.offset, facts.low, end, reset)
}

/// `wanted` if it exists, else what `reset` says. Past the end nothing is lost that could be accepted: the log was cut off.
pub(super) fn within(wanted: i64, low: i64, end: i64, reset: Reset) -> Result<Begin, NoPosition> {
    if wanted > end {
        return Err(NoPosition::PastEnd { at: wanted, end });
    }
    if wanted >= low {
        return Ok(Begin::at(wanted));
    }
    match reset {
        Reset::None => Err(NoPosition::Lost { from: wanted, to: low }),
        Reset::Earliest => Ok(Begin { offset: low, lost: low - wanted }),
        Reset::Latest => Ok(Begin { offset: end, lost: end - wanted }),
    }
}

/// Where a partition ends, exclusive, never before `start`. `Ok(None)`: it is not read at all.
pub(super) fn bounded(bound: &Bound, facts: &Facts, start: i64) -> Result<Option<i64>, NoPosition> {
    let end = match bound {
        Bound::Latest => facts.end,
        Bound::Timestamp(_) => facts.bound_time.unwrap_or(facts.end),
        Bound::Group => facts.committed.ok_or(NoPosition::NotCommitted)?,
        Bound::Specific(offsets) => match offsets.get(&facts.partition) {
            Some(offset) => *offset,
            None => return Ok(None),
        },
    };
    Ok(Some(end.max(start)))
}

/// The message for a partition without a position.
pub(super) fn explain(settings: &Settings, topic: &str, partition: i32, why: &NoPosition) -> String {
    let place = format!("{}: topic '{topic}' partition {partition}", settings.object);
    match why {
        NoPosition::NotCommitted => format!(
            "{place}: group '{}' has no committed offset there. Set 'properties.auto.offset.reset' to 'earliest' or 'latest' for such partitions, \
             or another 'scan.startup.mode'.",
            settings.group.as_deref().unwrap_or_default()
        ),
        NoPosition::Lost { from, to } => format!(
            "{place}: offsets {from} to {} are gone; the first one left is {to}. Retention or a deletion has removed them before they were read. \
             To accept the loss and go on at {to}, set 'properties.auto.offset.reset' = 'earliest'; with 'latest' it goes on at the end.",
            to - 1
        ),
        NoPosition::PastEnd { at, end } => format!(
            "{place}: the position is {at}, but the topic ends at {end}: it was truncated, or is another topic of that name. Reading cannot go on \
             without loss or duplicates; start a job of another name with a 'scan.startup.mode' of your choice."
        ),
        NoPosition::Recreated { was, is } => format!(
            "{}: topic '{topic}' was deleted and created again: the job has read topic id {was}, and the topic now has id {is}. To read the new \
             topic, start a job of another name.",
            settings.object
        ),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::options::Offsets;
    use super::*;

    fn facts() -> Facts {
        Facts {
            topic: "t".to_owned(),
            partition: 0,
            incarnation: Some("A".to_owned()),
            low: 100,
            end: 200,
            committed: None,
            start_time: None,
            bound_time: None,
        }
    }

    #[test]
    fn each_mode_has_its_begin() {
        let committed = Facts { committed: Some(150), ..facts() };
        let timed = Facts { start_time: Some(170), ..facts() };
        let listed = Startup::Specific(Offsets::from([(0, 120)]));
        let unlisted = Startup::Specific(Offsets::from([(1, 120)]));
        let begin = |startup: &Startup, facts: &Facts| fresh(startup, facts, Reset::None).map(|begin| begin.offset);
        assert_eq!(begin(&Startup::Earliest, &facts()), Ok(100));
        assert_eq!(begin(&Startup::Latest, &facts()), Ok(200));
        assert_eq!(begin(&Startup::Timestamp(1), &timed), Ok(170));
        assert_eq!(begin(&Startup::Timestamp(1), &facts()), Ok(200));
        assert_eq!(begin(&Startup::Group, &committed), Ok(150));
        assert_eq!(begin(&Startup::Group, &facts()), Err(NoPosition::NotCommitted));
        assert_eq!(fresh(&Startup::Group, &facts(), Reset::Latest), Ok(Begin { offset: 200, lost: 0 }));
        assert_eq!(begin(&listed, &committed), Ok(120));
        assert_eq!(begin(&unlisted, &committed), Ok(150));
        assert_eq!(begin(&unlisted, &facts()), Ok(100));
    }

    #[test]
    fn a_checkpoint_needs_the_same_topic_and_its_records() {
        let at = |offset, id: Option<&str>| SplitPosition { offset, incarnation: id.map(str::to_owned) };
        assert_eq!(resumed(&at(150, Some("A")), &facts(), 200, Reset::None), Ok(Begin { offset: 150, lost: 0 }));
        assert_eq!(resumed(&at(150, None), &facts(), 200, Reset::None), Ok(Begin { offset: 150, lost: 0 }));
        assert!(matches!(resumed(&at(150, Some("B")), &facts(), 200, Reset::Earliest), Err(NoPosition::Recreated { .. })));
        assert_eq!(resumed(&at(40, Some("A")), &facts(), 200, Reset::None), Err(NoPosition::Lost { from: 40, to: 100 }));
        assert_eq!(resumed(&at(40, Some("A")), &facts(), 200, Reset::Earliest), Ok(Begin { offset: 100, lost: 60 }));
        assert_eq!(resumed(&at(40, Some("A")), &facts(), 200, Reset::Latest), Ok(Begin { offset: 200, lost: 160 }));
        assert_eq!(resumed(&at(201, Some("A")), &facts(), 200, Reset::Earliest), Err(NoPosition::PastEnd { at: 201, end: 200 }));
    }

    #[test]
    fn a_bound_is_never_before_the_start_and_unlisted_partitions_are_not_read() {
        assert_eq!(bounded(&Bound::Latest, &facts(), 150), Ok(Some(200)));
        assert_eq!(bounded(&Bound::Specific(Offsets::from([(0, 120)])), &facts(), 150), Ok(Some(150)));
        assert_eq!(bounded(&Bound::Specific(Offsets::from([(0, 900)])), &facts(), 150), Ok(Some(900)));
        assert_eq!(bounded(&Bound::Specific(Offsets::from([(3, 120)])), &facts(), 150), Ok(None));
        assert_eq!(bounded(&Bound::Group, &facts(), 150), Err(NoPosition::NotCommitted));
        assert_eq!(bounded(&Bound::Timestamp(5), &Facts { bound_time: Some(180), ..facts() }, 100), Ok(Some(180)));
    }

    proptest! {
        #[test]
        fn a_begin_exists_in_the_log_and_only_a_reset_loses_offsets(wanted in 0_i64..300, low in 0_i64..200, more in 0_i64..100) {
            let end = low + more;
            for reset in [Reset::None, Reset::Earliest, Reset::Latest] {
                if let Ok(begin) = within(wanted, low, end, reset) {
                    prop_assert!((low..=end).contains(&begin.offset));
                    prop_assert_eq!(begin.offset, wanted + begin.lost);
                    prop_assert!(begin.lost == 0 || reset != Reset::None);
                }
            }
        }
    }
}
