//! What is decoded and written in the end, because it will not grow any more.

use std::cmp::Reverse;

use super::facts::{FileFacts, Options};
use super::tiers::bins;

/// Groups of a partition that has gone quiet: everything small, copied or worn by deletes, and where rows shall be sorted all that is not.
pub(super) fn quiet<'a>(mut pool: Vec<&'a FileFacts>, options: &Options) -> Vec<Vec<&'a FileFacts>> {
    let must = |file: &FileFacts| file.is_copy || file.is_worn(options) || file.is_unsorted(options);
    pool.retain(|file| must(file) || file.bytes < options.large_enough());
    pool.sort_by_key(|file| Reverse(file.bytes));
    let mut rest: u64 = pool.iter().map(|file| file.bytes).sum();
    // A file that is as it should be comes in again only if it grows by half.
    pool.retain(|file| {
        let others = rest - file.bytes;
        let comes = must(file) || others >= file.bytes / 2;
        if !comes {
            rest = others;
        }
        comes
    });
    let (most, full) = options.settled();
    let groups = bins(pool, most, full, |file| size(file, options));
    groups.into_iter().filter(|group| is_worth_it(group, options)).collect()
}

/// Groups of copies in a busy partition that have reached the target size, by bytes or by the number of their row groups.
pub(super) fn grown<'a>(copies: Vec<&'a FileFacts>, options: &Options) -> Vec<Vec<&'a FileFacts>> {
    let (most, full) = options.settled();
    let groups = bins(copies, most, full, |file| size(file, options));
    groups
        .into_iter()
        .filter(|group| {
            let dense: u64 = group.iter().map(|file| file.dense_bytes()).sum();
            let is_heavy = |file: &&FileFacts| file.bytes < file.weight() / 2;
            is_worth_it(group, options) && (dense >= options.large_enough() || group.iter().any(is_heavy))
        })
        .collect()
}

/// Groups are cut by what comes out, unless the user bounds what goes in.
fn size(file: &FileFacts, options: &Options) -> u64 {
    if options.max_bytes.is_some() { file.bytes } else { file.dense_bytes() }
}

fn is_worth_it(group: &[&FileFacts], options: &Options) -> bool {
    let pieces = group.iter().fold(0_usize, |sum, file| sum.saturating_add(file.pieces()));
    let bytes: u64 = group.iter().map(|file| file.dense_bytes()).sum();
    let fills = bytes >= options.large_enough() && group.len() > 1;
    let alone = |file: &&FileFacts| file.is_worn(options) || (file.is_unsorted(options) && file.bytes >= options.large_enough());
    fills || pieces >= options.min_input_files || group.iter().any(alone)
}
