//! Which manifests an append merges: as Iceberg's `ManifestMergeManager` decides it, but that of the bin which is being filled only manifests of similar
//! weight are merged. Else every hundredth append would write the whole bin anew, up to its eight megabytes, and commits would take longer and longer.

use std::collections::BTreeMap;

/// A data manifest that could be merged, newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Candidate {
    /// Manifests are merged only with others of their partition spec.
    pub(super) spec_id: i32,
    /// Bytes.
    pub(super) length: u64,
}

/// When to merge.
#[derive(Debug, Clone, Copy)]
pub(super) struct MergeRules {
    /// `commit.manifest.target-size-bytes`.
    pub(super) target_bytes: u64,
    /// `commit.manifest.min-count-to-merge`.
    pub(super) min_count: usize,
}

/// Groups of indices into `candidates`, in their order; a group of one is kept as it is, a larger one becomes one manifest.
///
/// Bins are packed from the oldest manifest on, so that full ones stay as they are. The bin of the newest manifest waits until it has
/// `min_count` of them; then as many of the newest are merged as are not much larger than all that are newer. A file's entry so moves about once for each
/// doubling of what was added after it.
pub(super) fn plan(candidates: &[Candidate], rules: MergeRules) -> Vec<Vec<usize>> {
    let mut by_spec: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
    for (index, candidate) in candidates.iter().enumerate() {
        by_spec.entry(candidate.spec_id).or_default().push(index);
    }
    // The newest spec first, as Iceberg orders them.
    let bins = by_spec.into_values().rev().flat_map(|indices| pack_from_end(&indices, candidates, rules.target_bytes));
    bins.flat_map(|bin| {
        let merged = match bin.first() {
            Some(0) if bin.len() < rules.min_count => 0,
            Some(0) => similar(&bin, candidates),
            _ => bin.len(),
        };
        let (merged, left) = bin.split_at(merged);
        let merged = (!merged.is_empty()).then(|| merged.to_vec());
        merged.into_iter().chain(left.iter().map(|index| vec![*index])).collect::<Vec<_>>()
    })
    .collect()
}

/// How many of the newest weigh no more than twice what is newer than them.
fn similar(bin: &[usize], candidates: &[Candidate]) -> usize {
    let lengths = bin.iter().filter_map(|index| candidates.get(*index)).map(|candidate| candidate.length);
    let mut newer = 0_u64;
    lengths
        .take_while(|length| {
            let similar = newer == 0 || *length <= newer.saturating_mul(2);
            newer = newer.saturating_add(*length);
            similar
        })
        .count()
}

fn pack_from_end(indices: &[usize], candidates: &[Candidate], target: u64) -> Vec<Vec<usize>> {
    let mut bins: Vec<Vec<usize>> = Vec::new();
    let mut weight = 0_u64;
    for index in indices.iter().rev() {
        let length = candidates.get(*index).map_or(0, |candidate| candidate.length);
        match bins.last_mut() {
            Some(bin) if weight + length <= target => {
                bin.insert(0, *index);
                weight += length;
            }
            _ => {
                bins.push(vec![*index]);
                weight = length;
            }
        }
    }
    bins.reverse();
    bins
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RULES: MergeRules = MergeRules { target_bytes: 100, min_count: 3 };

    fn of(lengths: &[u64]) -> Vec<Candidate> {
        lengths.iter().map(|length| Candidate { spec_id: 0, length: *length }).collect()
    }

    #[test]
    fn few_small_manifests_wait_and_enough_of_them_become_one() {
        assert_eq!(plan(&of(&[10, 10]), RULES), [[0], [1]]);
        assert_eq!(plan(&of(&[10, 10, 10]), RULES), [[0, 1, 2]]);
    }

    #[test]
    fn full_old_manifests_are_left_alone() {
        assert_eq!(plan(&of(&[10, 10, 10, 95, 99]), RULES), [vec![0, 1, 2], vec![3], vec![4]]);
    }

    #[test]
    fn a_manifest_that_is_much_larger_than_all_newer_ones_is_left_alone_while_its_bin_is_filled() {
        assert_eq!(plan(&of(&[5, 5, 50, 30]), RULES), [vec![0, 1], vec![2], vec![3]]);
        assert_eq!(plan(&of(&[10, 10, 40, 30]), RULES), [[0, 1, 2, 3]]);
    }

    proptest! {
        #[test]
        fn over_many_appends_manifests_stay_few_and_an_entry_moves_seldom(bytes in 1_u64..9, appends in 100_usize..2_000) {
            let rules = MergeRules { target_bytes: 2_000, min_count: 10 };
            let (mut manifests, mut moved): (Vec<u64>, u64) = (Vec::new(), 0);
            for _ in 0..appends {
                manifests.insert(0, bytes);
                let groups = plan(&of(&manifests), rules);
                moved += groups.iter().filter(|group| group.len() > 1).flatten().map(|index| manifests[*index]).sum::<u64>();
                manifests = groups.iter().map(|group| group.iter().map(|index| manifests[*index]).sum()).collect();
                let full = manifests.iter().filter(|length| **length * 2 > rules.target_bytes).count();
                prop_assert!(manifests.len() - full < 10 + 12, "{:?}", manifests);
            }
            let added = bytes * appends as u64;
            prop_assert!(moved <= added * 14, "{moved} moved for {added} added");
        }
    }

    #[test]
    fn manifests_of_two_specs_never_meet() {
        let mut candidates = of(&[10, 10, 10, 10]);
        candidates[1].spec_id = 1;
        candidates[3].spec_id = 1;
        assert_eq!(plan(&candidates, RULES), [vec![1, 3], vec![0], vec![2]]);
    }

    proptest! {
        #[test]
        fn every_manifest_is_in_exactly_one_group_within_the_target(lengths in proptest::collection::vec((0_u64..150, 0..3), 1..60)) {
            let candidates: Vec<_> = lengths.iter().map(|(length, spec_id)| Candidate { spec_id: *spec_id, length: *length }).collect();
            let groups = plan(&candidates, RULES);
            let mut seen: Vec<usize> = groups.iter().flatten().copied().collect();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..candidates.len()).collect::<Vec<_>>());
            for group in groups.iter().filter(|group| group.len() > 1) {
                prop_assert!(group.iter().map(|index| candidates[*index].length).sum::<u64>() <= RULES.target_bytes);
                prop_assert!(group.iter().all(|index| candidates[*index].spec_id == candidates[group[0]].spec_id));
            }
        }
    }
}
