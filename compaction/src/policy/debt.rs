//! How far a table is from the files that it should have.

use super::facts::{FileFacts, Options};

/// Files and bytes above the ideal, which is as few files of the target size as the bytes of each partition need, and those that others have sorted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Debt {
    /// Live files.
    pub live: u64,
    /// Files that would do.
    pub ideal: u64,
    /// Bytes in files that are small or carry deletes, of partitions that have more files than would do or deletes.
    pub bytes: u64,
}

impl Debt {
    /// The debt of one partition. Files that others have sorted are left alone: as many as there are would do.
    #[must_use]
    pub fn of(files: &[FileFacts], options: &Options) -> Self {
        let (others, ours): (Vec<&FileFacts>, Vec<&FileFacts>) = files.iter().partition(|file| file.is_of_others(options));
        let ideal = ideal(&ours, options);
        let owed = |file: &&&FileFacts| file.carries_deletes() || (ours.len() as u64 > ideal && file.bytes < options.large_enough());
        let bytes = ours.iter().filter(owed).map(|file| file.bytes).sum();
        Self { live: files.len() as u64, ideal: ideal + others.len() as u64, bytes }
    }

    /// Files above the ideal.
    #[must_use]
    pub fn files(&self) -> u64 {
        self.live.saturating_sub(self.ideal)
    }

    /// The sum of two.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { live: self.live + other.live, ideal: self.ideal + other.ideal, bytes: self.bytes + other.bytes }
    }
}

/// As few files of the target size as the bytes of these need.
pub(super) fn ideal(files: &[&FileFacts], options: &Options) -> u64 {
    files.iter().map(|file| file.bytes).sum::<u64>().div_ceil(options.target_bytes.max(1))
}
