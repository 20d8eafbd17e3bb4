//! When a table is looked at. Pure.

use std::time::Duration;

/// How much may come before the table is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Commits with data.
    pub commits: u64,
    /// Data files.
    pub files: u64,
    /// Bytes of data files.
    pub bytes: u64,
    /// Time.
    pub interval: Duration,
}

/// What has come since the last rewrite that is finished.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pending {
    /// Commits of the job to the branch.
    pub commits: u64,
    /// Data files.
    pub files: u64,
    /// Bytes of them.
    pub bytes: u64,
}

/// Counts what comes. Commits that come while a rewrite runs are not covered by it, and count for the next one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trigger {
    pending: Pending,
    /// How much of that the rewrite which runs covers.
    covered: Option<Pending>,
    /// When the table was looked at last.
    looked: Duration,
}

impl Trigger {
    /// With what came before the job was started, at the time `now`.
    #[must_use]
    pub fn new(pending: Pending, now: Duration) -> Self {
        Self { pending, covered: None, looked: now }
    }

    /// Notes a commit of the job with data.
    pub fn committed(&mut self, files: u64, bytes: u64) {
        self.pending = self.pending.plus(Pending { commits: 1, files, bytes });
    }

    /// What has come, as it was counted anew. While a rewrite runs it may be too little, by what that has covered already, so that it does not take
    /// anything away.
    pub fn recount(&mut self, known: Pending) {
        self.pending = if self.covered.is_none() { known } else { self.pending.most(known) };
    }

    /// What has come since the last rewrite that is finished.
    #[must_use]
    pub fn pending(&self) -> Pending {
        self.pending
    }

    /// Whether the table is to be looked at; never while a rewrite runs.
    #[must_use]
    pub fn is_due(&self, rules: &Rules, now: Duration) -> bool {
        let pending = self.pending;
        let enough = pending.commits >= rules.commits || pending.files >= rules.files || pending.bytes >= rules.bytes;
        self.covered.is_none() && (enough || now.saturating_sub(self.looked) >= rules.interval)
    }

    /// When that will be so if nothing comes.
    #[must_use]
    pub fn due_at(&self, rules: &Rules) -> Duration {
        self.looked.saturating_add(rules.interval)
    }

    /// A rewrite begins, of all that has come so far.
    pub fn begun(&mut self, now: Duration) {
        self.covered = Some(self.pending);
        self.looked = now;
    }

    /// It is finished, or there was nothing to do.
    pub fn finished(&mut self) {
        if let Some(covered) = self.covered.take() {
            self.pending = self.pending.minus(covered);
        }
    }

    /// It failed or gave way: what it was about is still pending.
    pub fn failed(&mut self) {
        self.covered = None;
    }
}

impl Pending {
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            commits: self.commits.saturating_add(other.commits),
            files: self.files.saturating_add(other.files),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }

    fn most(self, other: Self) -> Self {
        Self { commits: self.commits.max(other.commits), files: self.files.max(other.files), bytes: self.bytes.max(other.bytes) }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            commits: self.commits.saturating_sub(other.commits),
            files: self.files.saturating_sub(other.files),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RULES: Rules = Rules { commits: 3, files: 100, bytes: 1_000, interval: Duration::from_secs(60) };
    const NOW: Duration = Duration::from_secs(1_000);

    #[test]
    fn enough_of_anything_is_enough() {
        let after = |commits: &[(u64, u64)], later: u64| {
            let mut trigger = Trigger::new(Pending::default(), NOW);
            commits.iter().for_each(|(files, bytes)| trigger.committed(*files, *bytes));
            trigger.is_due(&RULES, NOW + Duration::from_secs(later))
        };
        assert!(!after(&[(1, 1), (1, 1)], 59));
        assert!(after(&[(1, 1); 3], 0) && after(&[(100, 1)], 0) && after(&[(1, 1_000)], 0) && after(&[], 60));
        let earlier = Pending { commits: 3, ..Pending::default() };
        assert!(Trigger::new(earlier, NOW).is_due(&RULES, NOW), "commits of an earlier process count");
    }

    #[derive(Debug, Clone, Copy)]
    enum Step {
        Commit,
        Begin,
        Finish,
        Fail,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![4 => Just(Step::Commit), 1 => Just(Step::Begin), 1 => Just(Step::Finish), 1 => Just(Step::Fail)]
    }

    proptest! {
        #[test]
        fn every_commit_is_covered_by_exactly_one_finished_rewrite_that_began_after_it(steps in proptest::collection::vec(step(), 0..60)) {
            let mut trigger = Trigger::new(Pending::default(), NOW);
            // Commits that are open, and how many of them the running rewrite covers.
            let (mut open, mut running) = (0_u64, None);
            for step in steps {
                match step {
                    Step::Commit => {
                        trigger.committed(1, 1);
                        open += 1;
                    }
                    Step::Begin if trigger.is_due(&RULES, NOW) => {
                        prop_assert!(running.is_none() && open >= RULES.commits);
                        trigger.begun(NOW);
                        running = Some(open);
                    }
                    Step::Finish => {
                        trigger.finished();
                        open -= running.take().unwrap_or(0);
                    }
                    Step::Fail => {
                        trigger.failed();
                        running = None;
                    }
                    Step::Begin => {}
                }
                prop_assert_eq!(trigger.pending(), Pending { commits: open, files: open, bytes: open });
                prop_assert_eq!(trigger.is_due(&RULES, NOW), running.is_none() && open >= RULES.commits);
            }
        }
    }
}
