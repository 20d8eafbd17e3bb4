//! What is known of a file, and what the user wants of files.

use std::time::Duration;

use super::debt::ideal;

/// What a row group costs beside its bytes, in bytes.
const ROW_GROUP: u64 = 64 << 10;

/// The share of the target size from which a file is large enough, in percent.
const LARGE_ENOUGH: u64 = 75;
/// The most that a group fills beyond the target size, in percent of it.
const MOST: u64 = 150;
/// Files of the target size that are sorted together, at most.
const SORTED_TOGETHER: u64 = 8;
/// What decoding and writing leaves of the bytes of small row groups, in percent.
const DENSE: u64 = 70;
/// Files of deletes from which a file is rewritten, whatever they hide.
const MANY_DELETES: u32 = 10;

/// The deletes that apply to a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Carried {
    /// Files of deletes.
    pub files: u32,
    /// Rows that they name by their places; an upper bound of what these hide of this file.
    pub rows: u64,
    /// Whether some of them name rows by keys, of which each hides any number.
    pub by_key: bool,
}

impl Carried {
    /// The most rows that they hide; `None` if that is not known.
    #[must_use]
    pub fn most_hidden(&self) -> Option<u64> {
        (!self.by_key).then_some(self.rows)
    }
}

/// A live data file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFacts {
    /// Its name in the table.
    pub path: String,
    /// Size.
    pub bytes: u64,
    /// Rows, those that deletes hide included.
    pub rows: u64,
    /// Data sequence number.
    pub sequence: i64,
    /// Row groups; 1 if that is not known.
    pub row_groups: u32,
    /// Deletes that apply to it.
    pub deletes: Carried,
    /// Whether it is the result of a copy: its row groups are those of smaller files.
    pub is_copy: bool,
    /// Whether metadata allows to copy it: same format and sort order as the table wants now. Deletes are told by `deletes`.
    pub can_be_copied: bool,
    /// Number of the order that its rows stand in; 0: none.
    pub sort_order: i32,
    /// Time that it came into the table, since some epoch.
    pub added: Duration,
}

/// What is wanted.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Size of files; at least 1. Files below 75 % of it are worth rewriting.
    pub target_bytes: u64,
    /// Files that a group has at least; 2 or more.
    pub min_input_files: usize,
    /// Bytes that are rewritten at once; `None`: any number.
    pub max_bytes: Option<u64>,
    /// A partition to which nothing was added for so long has settled.
    pub quiet: Duration,
    /// The share of a file's rows that deletes may hide before it is rewritten.
    pub deleted_share: f64,
    /// Number of the order that rows shall have; `None`: whichever they come in.
    pub sort_order: Option<i32>,
}

impl Default for Options {
    fn default() -> Self {
        Self { target_bytes: 512 << 20, min_input_files: 5, max_bytes: None, quiet: Duration::from_secs(600), deleted_share: 0.1, sort_order: None }
    }
}

impl FileFacts {
    /// Bytes, and what reading its row groups costs beside them.
    #[must_use]
    pub fn weight(&self) -> u64 {
        self.bytes.saturating_add(u64::from(self.row_groups.max(1)) * ROW_GROUP)
    }

    /// The files that it stands for: a copy for those that it was made of.
    pub(super) fn pieces(&self) -> usize {
        if self.is_copy { usize::try_from(self.row_groups).unwrap_or(usize::MAX).max(1) } else { 1 }
    }

    /// About the bytes that decoding and writing makes of it.
    pub(super) fn dense_bytes(&self) -> u64 {
        if self.is_copy { percent(self.bytes, DENSE) } else { self.bytes }
    }

    /// Whether deletes apply to it.
    #[must_use]
    pub fn carries_deletes(&self) -> bool {
        self.deletes.files > 0
    }

    /// Whether it is sorted, and not as is wanted now: sorting it is the work of others, and would be lost.
    pub(super) fn is_of_others(&self, options: &Options) -> bool {
        self.sort_order != 0 && options.sort_order.is_none()
    }

    /// Whether its rows are to be sorted yet.
    pub(super) fn is_unsorted(&self, options: &Options) -> bool {
        options.sort_order.is_some_and(|wanted| self.sort_order != wanted)
    }

    /// Whether so much of it is deleted that it is rewritten for that alone. Of deletes by key only the number of files tells.
    pub(super) fn is_worn(&self, options: &Options) -> bool {
        self.carries_deletes() && (self.deletes.files >= MANY_DELETES || self.deletes.rows as f64 >= self.rows as f64 * options.deleted_share)
    }
}

impl Options {
    /// Bytes from which a file is large enough.
    #[must_use]
    pub fn large_enough(&self) -> u64 {
        percent(self.target_bytes, LARGE_ENOUGH).max(1)
    }

    /// The most that a group weighs.
    pub(super) fn most(&self) -> u64 {
        percent(self.target_bytes, MOST).min(self.max_bytes.unwrap_or(u64::MAX)).max(1)
    }

    /// The most files that a partition with these has after it was looked at, as far as they can be copied: three for each file that would do.
    pub(super) fn most_files(&self, files: &[FileFacts]) -> usize {
        let ours: Vec<&FileFacts> = files.iter().filter(|file| !file.is_of_others(self)).collect();
        let ideal = usize::try_from(ideal(&ours, self)).unwrap_or(usize::MAX);
        ideal.saturating_mul(3).max(self.min_input_files.saturating_sub(2))
    }

    /// The most that a settled group weighs, and from when on it is full: rows are sorted in larger groups, for the files of one group do not overlap.
    pub(super) fn settled(&self) -> (u64, u64) {
        if self.sort_order.is_none() {
            return (self.most(), self.large_enough());
        }
        let most = self.target_bytes.saturating_mul(SORTED_TOGETHER).min(self.max_bytes.unwrap_or(u64::MAX)).max(1);
        (most, percent(most, LARGE_ENOUGH).max(1))
    }

    /// The fan-in, and the distance between tiers.
    pub(super) fn fan_in(&self) -> usize {
        self.min_input_files.max(2)
    }

    /// The least weight of a tier; the first begins at nothing.
    pub(super) fn tier_floor(&self, tier: u32) -> u64 {
        if tier == 0 { 0 } else { (self.fan_in() as u64).checked_pow(tier).map_or(u64::MAX, |factor| factor.saturating_mul(ROW_GROUP)) }
    }

    /// The tier of a weight.
    pub(super) fn tier(&self, weight: u64) -> u32 {
        (weight / ROW_GROUP).max(1).ilog(self.fan_in() as u64)
    }

    /// The number of tiers below a file that is large enough: how often a byte is copied at most.
    #[must_use]
    pub fn tiers(&self) -> u32 {
        self.tier(self.large_enough()) + 1
    }
}

/// `percent` hundredths of `bytes`.
fn percent(bytes: u64, percent: u64) -> u64 {
    u64::try_from(u128::from(bytes) * u128::from(percent) / 100).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiers_are_a_fan_in_apart_and_six_for_the_default_target() {
        let options = Options::default();
        assert_eq!(options.tiers(), 6);
        for tier in 1..8 {
            let floor = options.tier_floor(tier);
            assert_eq!((options.tier(floor - 1), options.tier(floor)), (tier - 1, tier));
        }
    }
}
