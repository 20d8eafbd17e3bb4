//! Calls to NameNodes as the status tells of them: in all, and for each of the last epochs.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;
use weir_fs::NameNodeCalls;

/// So many epochs are told of.
const TOLD: usize = 10;

/// How often the NameNodes of HDFS were called, by alias (empty for none) and by the name of the call.
#[derive(Debug, Clone, Default, Serialize)]
pub struct NameNodeStatus {
    /// Since the process started.
    pub calls: NameNodeCalls,
    /// In each of the last epochs, the newest at the end.
    pub epochs: VecDeque<EpochCalls>,
}

/// The calls between the checkpoint of the epoch before and that of this one. Commits run beside the epochs that follow and are counted there.
#[derive(Debug, Clone, Serialize)]
pub struct EpochCalls {
    /// The epoch.
    pub epoch: u64,
    /// Its calls.
    pub calls: NameNodeCalls,
}

/// The account that is kept of calls, epoch by epoch.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    accounted: NameNodeCalls,
    epochs: VecDeque<EpochCalls>,
}

impl Ledger {
    /// What was called until `now` belongs to no epoch.
    pub(crate) fn skip(&mut self, now: NameNodeCalls) {
        self.accounted = now;
    }

    /// What was called since the last one and until `now` belongs to `epoch`.
    pub(crate) fn close(&mut self, epoch: u64, now: NameNodeCalls) {
        let calls = since(&now, &self.accounted);
        self.accounted = now;
        self.epochs.push_back(EpochCalls { epoch, calls });
        while self.epochs.len() > TOLD {
            self.epochs.pop_front();
        }
    }

    pub(crate) fn tell(&self, now: NameNodeCalls) -> NameNodeStatus {
        NameNodeStatus { calls: now, epochs: self.epochs.clone() }
    }
}

/// The calls of `now` that `before` lacks.
fn since(now: &NameNodeCalls, before: &NameNodeCalls) -> NameNodeCalls {
    let earlier = |alias: &str, call: &str| before.get(alias).and_then(|calls| calls.get(call)).copied().unwrap_or(0);
    let of_alias = |(alias, calls): (&String, &BTreeMap<&'static str, u64>)| {
        let new = calls.iter().map(|(call, count)| (*call, count.saturating_sub(earlier(alias, call)))).filter(|(_, count)| *count > 0);
        (alias.clone(), new.collect::<BTreeMap<_, _>>())
    };
    now.iter().map(of_alias).filter(|(_, calls)| !calls.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(of: &[(&str, &'static str, u64)]) -> NameNodeCalls {
        let mut calls = NameNodeCalls::new();
        for (alias, call, count) in of {
            calls.entry((*alias).to_owned()).or_default().insert(call, *count);
        }
        calls
    }

    #[test]
    fn an_epoch_is_charged_with_what_is_new_since_the_one_before() {
        let mut ledger = Ledger::default();
        ledger.skip(calls(&[("", "getListing", 3)]));
        ledger.close(7, calls(&[("", "getListing", 3), ("", "create", 2), ("far", "create", 1)]));
        ledger.close(8, calls(&[("", "getListing", 4), ("", "create", 2), ("far", "create", 6)]));
        let told = ledger.tell(calls(&[("far", "create", 9)]));
        assert_eq!(told.epochs[0].calls, calls(&[("", "create", 2), ("far", "create", 1)]));
        assert_eq!((told.epochs[1].epoch, &told.epochs[1].calls), (8, &calls(&[("", "getListing", 1), ("far", "create", 5)])));
        assert_eq!(told.calls, calls(&[("far", "create", 9)]));
    }

    #[test]
    fn the_last_epochs_are_told_of_and_no_others() {
        let mut ledger = Ledger::default();
        for epoch in 1..=25 {
            ledger.close(epoch, calls(&[("", "create", epoch)]));
        }
        let told = ledger.tell(NameNodeCalls::new()).epochs;
        assert_eq!(told.iter().map(|one| one.epoch).collect::<Vec<_>>(), (16..=25).collect::<Vec<_>>());
    }
}
