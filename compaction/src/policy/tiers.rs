//! Files of similar weight that are made one.
//!
//! From the highest tier down: the files of a tier and of those below are a group if together they weigh as much as one of the next tier. Each
//! of them then comes into a file of a higher tier, so that no byte takes part more often than there are tiers; and of no tier are more
//! than F - 1 files left, since F of them weigh as much as one of the next.

use super::facts::{FileFacts, Options};

/// Groups of `pool`, files below the large ones, in the order in which they came into the table.
pub(super) fn groups<'a>(mut pool: Vec<&'a FileFacts>, options: &Options) -> Vec<Vec<&'a FileFacts>> {
    let mut groups = Vec::new();
    let Some(top) = pool.iter().map(|file| options.tier(file.weight())).max() else { return groups };
    for tier in (0..=top).rev() {
        let (low, high): (Vec<_>, Vec<_>) = pool.into_iter().partition(|file| options.tier(file.weight()) <= tier);
        pool = high;
        for bin in bins(low, options.most(), options.large_enough(), FileFacts::weight) {
            if is_worth_it(&bin, options) { groups.push(bin) } else { pool.extend(bin) }
        }
    }
    groups
}

fn is_worth_it(bin: &[&FileFacts], options: &Options) -> bool {
    let weight: u64 = bin.iter().map(|file| file.weight()).sum();
    let highest = bin.iter().map(|file| options.tier(file.weight())).max().unwrap_or(0);
    let fills = weight >= options.large_enough() && bin.len() > 1;
    fills || (bin.len() >= options.fan_in() && weight >= options.tier_floor(highest + 1))
}

/// Files in the order in which they came, in bins: one ends when it is full and the next file would be too much for it. None
/// has more than `most`; a file that alone has more is left out.
pub(super) fn bins(mut files: Vec<&FileFacts>, most: u64, full: u64, size: impl Fn(&FileFacts) -> u64) -> Vec<Vec<&FileFacts>> {
    files.sort_by(|one, other| (one.sequence, &one.path).cmp(&(other.sequence, &other.path)));
    let (mut bins, mut open, mut filled) = (Vec::new(), Vec::new(), 0_u64);
    // What is full ends below the target size where it can, above it only where the last file is large.
    let enough = full.saturating_add(full / 3).min(most);
    for file in files {
        let more = size(file);
        let ends = filled.saturating_add(more) > most || (filled >= full && filled.saturating_add(more) > enough);
        if ends && !open.is_empty() {
            bins.push(std::mem::take(&mut open));
            filled = 0;
        }
        if more <= most {
            open.push(file);
            filled += more;
        }
    }
    if !open.is_empty() {
        bins.push(open);
    }
    bins
}
