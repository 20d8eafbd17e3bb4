//! What the options of a sink mean for the operators.

use std::collections::HashMap;

use weir_connectors::iceberg::UpkeepOptions;

use super::trigger::Rules;
use crate::policy::Options;

/// What a coordinator is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// What the policy is told.
    pub policy: Options,
    /// When the table is looked at.
    pub rules: Rules,
    /// Groups that are copied at the same time.
    pub parallelism: usize,
    /// Failures in a row that end the job.
    pub max_failures: u32,
    /// Files above the ideal from which the writer is slowed down.
    pub max_debt: u64,
}

impl Settings {
    /// Those of `options` for a table with these `properties`, in a job of that `parallelism`.
    #[must_use]
    pub fn of(options: &UpkeepOptions, properties: &HashMap<String, String>, parallelism: usize) -> Self {
        let of_table = Options::of(properties);
        let policy = Options {
            target_bytes: options.target_bytes.unwrap_or(of_table.target_bytes),
            min_input_files: options.min_input_files,
            max_bytes: options.max_bytes,
            ..of_table
        };
        let rules = Rules { commits: options.delta_commits, files: options.data_files, bytes: options.data_bytes, interval: options.interval };
        Self {
            policy,
            rules,
            parallelism: options.parallelism.unwrap_or(parallelism).max(1),
            max_failures: options.max_failures,
            max_debt: options.max_debt,
        }
    }

    /// How many times as long epochs shall be while there are so many files above the ideal: 1 up to the bound, then in proportion to what is above
    /// it, and 10 at most.
    #[must_use]
    pub fn slowdown(&self, debt_files: u64) -> f64 {
        let most = self.max_debt.max(1);
        if debt_files <= most { 1.0 } else { (1.0 + 4.0 * (debt_files - most) as f64 / most as f64).min(10.0) }
    }

    /// Whether the log says that epochs are made longer: from the bound on, until the debt is a tenth below it, so that a debt about the bound is not told
    /// of again and again. `slowed`: it says so already.
    pub(super) fn is_slowed(&self, slowed: bool, debt_files: u64) -> bool {
        let most = self.max_debt.max(1);
        debt_files > if slowed { most - most / 10 } else { most }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_grow_gently_above_the_bound_and_not_without_end() {
        let settings = Settings {
            policy: Options::default(),
            rules: Rules { commits: 1, files: 1, bytes: 1, interval: std::time::Duration::ZERO },
            parallelism: 1,
            max_failures: 1,
            max_debt: 100,
        };
        let slowdown = [0, 100, 101, 125, 200, 1_000_000].map(|files| settings.slowdown(files));
        let percent = slowdown.map(|times| (times * 100.0).round() as u64);
        assert_eq!(percent, [100, 100, 104, 200, 500, 1_000]);
        let told = [100, 101, 100, 91, 90, 95].into_iter().scan(false, |slowed, files| {
            *slowed = settings.is_slowed(*slowed, files);
            Some(*slowed)
        });
        assert_eq!(told.collect::<Vec<_>>(), [false, true, true, true, false, false]);
    }
}
