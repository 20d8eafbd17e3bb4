//! Files of similar weight that are made one, and the files of partitions that are small.
//!
//! From the highest tier down: the files of a tier and of those below are a group if together they weigh as much as one of the next tier. Each
//! of them then comes into a file of a higher tier, so that no byte takes part more often than there are tiers; and of no tier are more
//! than F - 1 files left, since F of them weigh as much as one of the next.

use super::facts::{FileFacts, Options};

/// How much heavier a file may be than those that are squeezed, and still comes with them.
const GROWTH: u64 = 3;

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

/// The lightest files of `pool`, so many that of them and of those that stay no more than `most_left` files are left; none if there are no more
/// anyway. For partitions that are smaller than a few files of the target size, of which tiers would leave too many.
///
/// A file that weighs up to [`GROWTH`] times as much as the lighter ones together comes along, since it would be the next to be copied: so a byte is
/// copied about nine times on its way through 350 rewrites, and a few times the cube root of their number in general.
pub(super) fn squeezed<'a>(mut pool: Vec<&'a FileFacts>, most_left: usize, options: &Options) -> Vec<&'a FileFacts> {
    if pool.len() <= most_left.max(1) {
        return Vec::new();
    }
    pool.sort_by(|one, other| (one.weight(), &one.path).cmp(&(other.weight(), &other.path)));
    let needed = pool.len() + 1 - most_left.max(1);
    let (mut taken, mut weight) = (0, 0_u64);
    for file in &pool {
        let more = file.weight();
        let comes = taken < needed || more <= weight.saturating_mul(GROWTH);
        if !comes || (taken > 1 && weight.saturating_add(more) > options.most()) {
            break;
        }
        taken += 1;
        weight = weight.saturating_add(more);
    }
    pool.truncate(taken);
    pool.sort_by(|one, other| (one.sequence, &one.path).cmp(&(other.sequence, &other.path)));
    pool
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
