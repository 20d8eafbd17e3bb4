//! The groups of one partition.

use std::time::Duration;

use super::facts::{FileFacts, Options};
use super::tiers::bins;
use super::{settle, tiers};

/// How a group is rewritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Way {
    /// Row groups are taken over as they are.
    Copy,
    /// Rows are decoded, those that are deleted left out, and written.
    Decode,
}

/// Why a group is rewritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Why {
    /// Enough files of similar size.
    Small,
    /// More files than a partition of its size should have.
    Many,
    /// They will not grow any more.
    Settled,
    /// Too many of their rows are deleted.
    Deletes,
}

/// Files of one partition that become fewer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group<K> {
    /// The partition.
    pub partition: K,
    /// How.
    pub way: Way,
    /// Why.
    pub why: Why,
    /// The inputs, oldest first.
    pub files: Vec<FileFacts>,
}

impl Way {
    /// One word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::Decode => "decode",
        }
    }
}

impl Why {
    /// One word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Many => "many",
            Self::Settled => "settled",
            Self::Deletes => "deletes",
        }
    }
}

impl<K> Group<K> {
    /// Bytes of the inputs.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// Rows of the inputs, deleted ones included.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.rows).sum()
    }

    /// The files that will be there instead: as many as fit best with the target size.
    #[must_use]
    pub fn outputs(&self, options: &Options) -> u64 {
        let bytes: u64 = self.files.iter().map(FileFacts::dense_bytes).sum();
        match self.way {
            Way::Copy => 1,
            Way::Decode => (bytes.saturating_add(options.target_bytes / 2) / options.target_bytes.max(1)).max(1),
        }
    }
}

/// The groups of one partition at the time `now`, on the clock of [`FileFacts::added`]. No file is in two.
#[must_use]
pub fn decide<K: Clone>(partition: &K, files: &[FileFacts], options: &Options, now: Duration) -> Vec<Group<K>> {
    let mut groups = Vec::new();
    let mut add = |way: Way, why: Why, found: Vec<Vec<&FileFacts>>| {
        let group = |files: Vec<&FileFacts>| Group { partition: partition.clone(), way, why, files: files.into_iter().cloned().collect() };
        groups.extend(found.into_iter().map(group));
    };
    let newest = files.iter().map(|file| file.added).max().unwrap_or_default();
    let ours: Vec<&FileFacts> = files.iter().filter(|file| !file.is_of_others(options)).collect();
    let count = ours.len();
    if now.saturating_sub(newest) >= options.quiet {
        add(Way::Decode, Why::Settled, settle::quiet(ours, options));
        return groups;
    }
    let (worn, rest): (Vec<&FileFacts>, Vec<&FileFacts>) = ours.into_iter().partition(|file| file.is_worn(options));
    add(Way::Decode, Why::Deletes, bins(worn, options.most(), options.large_enough(), |file| file.bytes));
    let (mut copyable, mut other, mut grown) = (Vec::new(), Vec::new(), Vec::new());
    for file in rest {
        let size = if file.is_copy { file.weight() } else { file.bytes };
        match (size < options.large_enough(), file.can_be_copied && !file.carries_deletes()) {
            // What is sorted waits until the partition has settled.
            _ if file.sort_order != 0 => {}
            (true, true) => copyable.push(file),
            (true, false) => other.push(file),
            (false, _) if file.is_copy => grown.push(file),
            (false, _) => {}
        }
    }
    add(Way::Decode, Why::Settled, settle::grown(grown, options));
    add(Way::Copy, Why::Small, tiers::groups(copyable.clone(), options));
    add(Way::Decode, Why::Small, tiers::groups(other, options));
    let left = |groups: &[Group<K>]| {
        let gone: usize = groups.iter().map(|group| group.files.len()).sum();
        let come: u64 = groups.iter().map(|group| group.outputs(options)).sum();
        count.saturating_sub(gone).saturating_add(usize::try_from(come).unwrap_or(usize::MAX))
    };
    let most = options.most_files(files);
    if left(&groups) > most {
        let others: Vec<Group<K>> = groups.iter().filter(|group| group.way != Way::Copy).cloned().collect();
        let beside = left(&others).saturating_sub(copyable.len());
        let squeezed = tiers::squeezed(copyable, most.saturating_sub(beside), options);
        if squeezed.len() > 1 {
            groups = others;
            let files = squeezed.into_iter().cloned().collect();
            groups.push(Group { partition: partition.clone(), way: Way::Copy, why: Why::Many, files });
        }
    }
    groups
}
