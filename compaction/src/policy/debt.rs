//! How far a table is from the files that it should have.

use super::facts::{FileFacts, Options};

/// Files and bytes above the ideal, which is as few files of the target size as the bytes of each partition need.
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
    /// The debt of one partition; files that others have sorted are no part of it.
    #[must_use]
    pub fn of(files: &[FileFacts], options: &Options) -> Self {
        let files = || files.iter().filter(|file| !file.is_of_others(options));
        let bytes: u64 = files().map(|file| file.bytes).sum();
        let ideal = bytes.div_ceil(options.target_bytes.max(1));
        let live = files().count() as u64;
        let owed = |file: &&FileFacts| file.carries_deletes() || (live > ideal && file.bytes < options.large_enough());
        Self { live, ideal, bytes: files().filter(owed).map(|file| file.bytes).sum() }
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
