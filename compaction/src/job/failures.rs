//! Rewrites that fail: how often in a row, by way and by file, and when what failed is tried again. Pure: the time is an argument.
//!
//! A group that failed is left alone for a while, which doubles from try to try, and the others go on: that they succeed says nothing of it. Groups
//! are made anew with every plan, so that it is their files that are remembered, until they are rewritten or no plan wants them any more. A way as
//! a whole waits only where one failure follows on another: then the groups are hardly to blame.

use std::collections::HashMap;
use std::time::Instant;

use crate::pace::Pace;
use crate::policy::{Group, Way};

/// What failed, and has not succeeded since.
#[derive(Debug, Default)]
pub(super) struct Failures {
    ways: HashMap<Way, Failing>,
    files: HashMap<String, Failing>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Failing {
    pace: Pace,
    /// `None`: it may be tried.
    until: Option<Instant>,
}

impl Failing {
    fn fail(&mut self, now: Instant) {
        self.pace.failed();
        self.until = now.checked_add(self.pace.wait());
    }
}

impl Failures {
    /// Notes at the time `now` that these groups failed or gave way; how often in a row that is for the one that it has happened to most often.
    pub(super) fn failed<K>(&mut self, groups: &[Group<K>], now: Instant) -> u32 {
        for file in groups.iter().flat_map(|group| &group.files) {
            self.files.entry(file.path.clone()).or_default().fail(now);
        }
        groups.iter().map(|group| self.of(group)).max().unwrap_or(0)
    }

    /// Notes that a run committed nothing of what it had to do; how often in a row that is for its way.
    pub(super) fn in_vain(&mut self, way: Way, now: Instant) -> u32 {
        let failing = self.ways.entry(way).or_default();
        failing.fail(now);
        if failing.pace.failures() == 1 {
            failing.until = None;
        }
        failing.pace.failures()
    }

    /// Notes that a run committed something, or there was nothing to do.
    pub(super) fn succeeded(&mut self, way: Way) {
        self.ways.remove(&way);
    }

    /// Notes that these groups are rewritten.
    pub(super) fn done<K>(&mut self, groups: &[Group<K>]) {
        for file in groups.iter().flat_map(|group| &group.files) {
            self.files.remove(&file.path);
        }
    }

    /// Forgets files that no plan wants any more; those that are left alone are in none.
    pub(super) fn keep(&mut self, is_wanted: impl Fn(&str) -> bool) {
        self.files.retain(|path, failing| failing.until.is_some() || is_wanted(path));
    }

    /// Lets everything be tried whose time has come; the files among it.
    pub(super) fn release(&mut self, now: Instant) -> Vec<String> {
        let is_over = |failing: &Failing| failing.until.is_some_and(|until| until <= now);
        self.ways.values_mut().filter(|failing| is_over(failing)).for_each(|failing| failing.until = None);
        let over = self.files.iter_mut().filter(|(_, failing)| is_over(failing));
        over.map(|(path, failing)| {
            failing.until = None;
            path.clone()
        })
        .collect()
    }

    /// Files that are left alone.
    pub(super) fn waiting(&self) -> impl Iterator<Item = &str> {
        self.files.iter().filter(|(_, failing)| failing.until.is_some()).map(|(path, _)| path.as_str())
    }

    /// When [`Self::release`] has something to do.
    pub(super) fn next(&self) -> Option<Instant> {
        self.ways.values().chain(self.files.values()).filter_map(|failing| failing.until).min()
    }

    /// Whether something may be begun in this way.
    pub(super) fn may_begin(&self, way: Way) -> bool {
        self.ways.get(&way).is_none_or(|failing| failing.until.is_none())
    }

    /// Runs in this way in a row that were in vain.
    pub(super) fn of_way(&self, way: Way) -> u32 {
        self.ways.get(&way).map_or(0, |failing| failing.pace.failures())
    }

    /// How often in a row a file of this group failed.
    pub(super) fn of<K>(&self, group: &Group<K>) -> u32 {
        let of_file = |path: &String| self.files.get(path).map(|failing| failing.pace.failures());
        group.files.iter().filter_map(|file| of_file(&file.path)).max().unwrap_or(0)
    }

    /// The pace of what may be tried: groups are smaller after failures.
    pub(super) fn pace(&self) -> Pace {
        let files = self.files.values().filter(|failing| failing.until.is_none());
        self.ways.values().chain(files).map(|failing| failing.pace).max().unwrap_or_default()
    }

    /// The most failures in a row of anything.
    pub(super) fn most(&self) -> u32 {
        self.ways.values().chain(self.files.values()).map(|failing| failing.pace.failures()).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::policy::{Carried, FileFacts, Why};

    fn group(paths: &[&str]) -> Group<u8> {
        let file = |path: &&str| FileFacts {
            path: (*path).to_owned(),
            bytes: 1,
            rows: 1,
            sequence: 1,
            row_groups: 1,
            deletes: Carried::default(),
            is_copy: false,
            can_be_copied: true,
            sort_order: 0,
            added: Duration::ZERO,
        };
        Group { partition: 0, way: Way::Copy, why: Why::Small, files: paths.iter().map(file).collect() }
    }

    #[test]
    fn a_group_that_fails_is_left_alone_for_longer_each_time_whatever_else_succeeds() {
        let (mut failures, mut now) = (Failures::default(), Instant::now());
        let bad = group(&["a", "b"]);
        for (nth, seconds) in [(1, 1), (2, 2), (3, 4)] {
            assert_eq!(failures.failed(std::slice::from_ref(&bad), now), nth);
            failures.in_vain(Way::Copy, now);
            failures.succeeded(Way::Copy);
            assert!(failures.may_begin(Way::Copy) && failures.of_way(Way::Copy) == 0);
            assert_eq!((failures.next(), failures.waiting().count()), (Some(now + Duration::from_secs(seconds)), 2));
            now += Duration::from_millis(seconds * 1_000 - 1);
            assert_eq!(failures.release(now), Vec::<String>::new());
            now += Duration::from_millis(1);
            assert_eq!((failures.release(now).len(), failures.next()), (2, None));
        }
        assert_eq!((failures.of(&group(&["b", "c"])), failures.of(&group(&["c"])), failures.most()), (3, 0, 3));
    }

    #[test]
    fn a_way_waits_from_its_second_failure_in_a_row_on_and_alone() {
        let (mut failures, now) = (Failures::default(), Instant::now());
        assert_eq!((failures.in_vain(Way::Decode, now), failures.may_begin(Way::Decode)), (1, true));
        assert_eq!((failures.in_vain(Way::Decode, now), failures.may_begin(Way::Decode)), (2, false));
        assert!(failures.may_begin(Way::Copy));
        assert_eq!(failures.next(), Some(now + Duration::from_secs(2)));
        failures.release(now + Duration::from_secs(2));
        assert!(failures.may_begin(Way::Decode) && failures.of_way(Way::Decode) == 2);
    }

    #[test]
    fn what_no_plan_wants_any_more_is_forgotten_when_it_is_not_left_alone_any_more() {
        let (mut failures, now) = (Failures::default(), Instant::now());
        failures.failed(&[group(&["a", "b"])], now);
        assert_eq!(failures.pace(), Pace::default(), "of what is left alone nothing is made smaller");
        failures.keep(|_| false);
        assert_eq!(failures.most(), 1);
        failures.release(now + Duration::from_secs(1));
        assert_eq!(failures.pace().failures(), 1);
        failures.keep(|path| path == "a");
        assert_eq!((failures.of(&group(&["a"])), failures.of(&group(&["b"]))), (1, 0));
    }
}
