//! Properties of plans over random tables, and what single rules do.

use std::collections::HashSet;
use std::time::Duration;

use proptest::prelude::*;

use super::{Carried, Debt, FileFacts, Group, Inventory, Options, Way, Why, decide};

const NOW: Duration = Duration::from_secs(100_000);

fn file(path: &str, bytes: u64) -> FileFacts {
    FileFacts {
        path: path.to_owned(),
        bytes,
        rows: bytes / 10 + 1,
        sequence: 1,
        row_groups: 1,
        deletes: Carried::default(),
        is_copy: false,
        can_be_copied: true,
        sort_order: 0,
        added: NOW,
    }
}

fn files(count: usize, bytes: u64) -> Vec<FileFacts> {
    (0..count).map(|index| file(&format!("f{index:03}"), bytes)).collect()
}

fn options() -> Options {
    Options { target_bytes: 100 << 20, ..Options::default() }
}

fn kinds(groups: &[Group<u8>]) -> Vec<(Way, Why, usize)> {
    groups.iter().map(|group| (group.way, group.why, group.files.len())).collect()
}

#[test]
fn small_files_are_copied_as_soon_as_there_are_enough_of_them() {
    assert!(decide(&0_u8, &files(3, 1 << 20), &options(), NOW).is_empty());
    assert_eq!(kinds(&decide(&0_u8, &files(5, 1 << 20), &options(), NOW)), [(Way::Copy, Why::Small, 5)]);
}

#[test]
fn a_small_partition_has_no_more_than_three_files_and_its_bytes_are_not_copied_each_time() {
    assert_eq!(kinds(&decide(&0_u8, &files(4, 1 << 20), &options(), NOW)), [(Way::Copy, Why::Many, 4)]);
    let sizes: Vec<FileFacts> = [50, 14, 1, 1].into_iter().enumerate().map(|(index, size)| file(&format!("s{index}"), size << 20)).collect();
    assert_eq!(kinds(&decide(&0_u8, &sizes, &options(), NOW)), [(Way::Copy, Why::Many, 2)], "those of 14 and 50 MiB are not worth it");
    let relaxed = Options { min_input_files: 9, ..options() };
    assert!(decide(&0_u8, &files(7, 1 << 20), &relaxed, NOW).is_empty(), "who wants many inputs has more files");
}

#[test]
fn bytes_of_a_small_partition_are_copied_a_few_times_the_cube_root_of_the_rewrites() {
    let options = Options { target_bytes: 10 << 30, ..Options::default() };
    for (rounds, files_each) in [(90_u32, 16), (340, 2), (1_000, 16)] {
        let mut table: Vec<FileFacts> = Vec::new();
        let mut copied = 0;
        for round in 0..rounds {
            table.extend(
                (0..files_each).map(|index| FileFacts { sequence: round.into(), ..file(&format!("{round}-{index}"), (2 << 20) / files_each) }),
            );
            for (number, group) in decide(&0_u8, &table, &options, NOW).into_iter().enumerate() {
                copied += group.bytes();
                table.retain(|file| group.files.iter().all(|gone| gone.path != file.path));
                let row_groups = group.files.iter().map(|file| file.row_groups).sum();
                table.push(FileFacts { is_copy: true, row_groups, ..file(&format!("{round}-copy-{number}"), group.bytes()) });
            }
            assert!(table.len() <= 3, "{} files after {round} rounds", table.len());
        }
        let amplification = copied as f64 / f64::from(rounds) / f64::from(2 << 20);
        assert!(amplification < 1.6 * f64::from(rounds).cbrt(), "{rounds} rounds: {amplification}");
    }
}

#[test]
fn two_files_that_fill_a_large_one_need_no_others() {
    assert_eq!(kinds(&decide(&0_u8, &files(2, 50 << 20), &options(), NOW)), [(Way::Copy, Why::Small, 2)]);
    assert!(decide(&0_u8, &files(2, 75 << 20), &options(), NOW).is_empty(), "large enough");
}

#[test]
fn a_copy_in_a_quiet_partition_is_decoded_once() {
    let mut copy = file("c", 10 << 20);
    (copy.is_copy, copy.row_groups) = (true, 7);
    assert!(decide(&0_u8, &[copy.clone()], &options(), NOW).is_empty(), "busy");
    let later = NOW + options().quiet;
    assert_eq!(kinds(&decide(&0_u8, &[copy.clone()], &options(), later)), [(Way::Decode, Why::Settled, 1)]);
    copy.is_copy = false;
    assert!(decide(&0_u8, &[copy], &options(), later).is_empty());
}

#[test]
fn a_settled_file_comes_in_again_only_if_it_grows_by_half() {
    let later = NOW + options().quiet;
    let mut some = files(5, 1 << 20);
    some.push(file("large", 20 << 20));
    let groups = decide(&0_u8, &some, &options(), later);
    assert_eq!(kinds(&groups), [(Way::Decode, Why::Settled, 5)]);
    assert!(groups[0].files.iter().all(|file| file.path != "large"));
    some.extend((0..20).map(|index| file(&format!("more{index}"), 1 << 20)));
    assert_eq!(kinds(&decide(&0_u8, &some, &options(), later)), [(Way::Decode, Why::Settled, 26)]);
}

#[test]
fn copies_that_have_grown_are_decoded_while_the_partition_is_busy() {
    let grown = |name: &str| FileFacts { is_copy: true, row_groups: 80, ..file(name, 80 << 20) };
    assert!(decide(&0_u8, &[grown("a")], &options(), NOW).is_empty(), "alone it would be small again");
    assert_eq!(kinds(&decide(&0_u8, &[grown("a"), grown("b")], &options(), NOW)), [(Way::Decode, Why::Settled, 2)]);
}

#[test]
fn a_file_is_decoded_alone_when_a_tenth_of_it_is_deleted() {
    let deleted = |rows: u64| FileFacts { rows: 1_000, deletes: Carried { files: 1, rows, by_key: false }, ..file("d", 200 << 20) };
    let options = Options { target_bytes: 200 << 20, ..options() };
    assert!(decide(&0_u8, &[deleted(99)], &options, NOW).is_empty());
    assert_eq!(kinds(&decide(&0_u8, &[deleted(100)], &options, NOW)), [(Way::Decode, Why::Deletes, 1)]);
}

#[test]
fn keys_of_equality_deletes_are_not_read_as_rows_and_wear_a_file_by_the_number_of_their_files() {
    let deleted = |files: u32| FileFacts { rows: 1_000, deletes: Carried { files, rows: 0, by_key: true }, ..file("d", 90 << 20) };
    assert_eq!(deleted(1).deletes.most_hidden(), None);
    assert!(decide(&0_u8, &[deleted(9)], &options(), NOW).is_empty());
    assert_eq!(kinds(&decide(&0_u8, &[deleted(10)], &options(), NOW)), [(Way::Decode, Why::Deletes, 1)]);
    assert_eq!(decide(&0_u8, &[deleted(1)], &Options { deleted_share: 0.0, ..options() }, NOW).len(), 1, "every file with deletes");
}

#[test]
fn a_few_deletes_are_no_reason_to_rewrite_a_large_file_again_and_again() {
    let some: Vec<FileFacts> =
        files(20, 90 << 20).into_iter().map(|file| FileFacts { deletes: Carried { files: 3, rows: 100, by_key: false }, ..file }).collect();
    for now in [NOW, NOW + options().quiet] {
        assert!(decide(&0_u8, &some, &options(), now).is_empty());
        assert_eq!(decide(&0_u8, &some, &Options { deleted_share: 0.0, ..options() }, now).len(), 20);
    }
}

#[test]
fn files_with_deletes_are_never_copied() {
    let mut some = files(10, 1 << 20);
    some.iter_mut().take(5).for_each(|file| file.deletes = Carried { files: 1, rows: 1, by_key: false });
    let groups = decide(&0_u8, &some, &options(), NOW);
    assert_eq!(kinds(&groups), [(Way::Copy, Why::Small, 5), (Way::Decode, Why::Small, 5)]);
    assert!(groups[0].files.iter().all(|file| !file.carries_deletes()));
}

#[test]
fn what_has_settled_is_sorted_once_and_again_only_as_it_grows_by_half() {
    let sorting = Options { sort_order: Some(7), ..options() };
    let later = NOW + sorting.quiet;
    let sorted = |name: &str, bytes: u64| FileFacts { sort_order: 7, can_be_copied: false, ..file(name, bytes) };
    let large = file("large", 90 << 20);
    assert!(decide(&0_u8, std::slice::from_ref(&large), &sorting, NOW).is_empty(), "busy");
    assert_eq!(kinds(&decide(&0_u8, &[large], &sorting, later)), [(Way::Decode, Why::Settled, 1)]);
    let mut some: Vec<FileFacts> = (0..8).map(|index| file(&format!("f{index}"), 90 << 20)).collect();
    assert_eq!(kinds(&decide(&0_u8, &some, &sorting, later)), [(Way::Decode, Why::Settled, 8)], "sorted together, so that they do not overlap");
    some.iter_mut().for_each(|file| file.sort_order = 7);
    assert!(decide(&0_u8, &some, &sorting, later).is_empty());

    let mut grows = vec![sorted("sorted", 60 << 20)];
    grows.extend(files(5, 5 << 20));
    let groups = decide(&0_u8, &grows, &sorting, later);
    assert_eq!(kinds(&groups), [(Way::Decode, Why::Settled, 5)]);
    assert!(groups[0].files.iter().all(|file| file.path != "sorted"));
    grows.extend((0..2).map(|index| file(&format!("more{index}"), 5 << 20)));
    assert_eq!(kinds(&decide(&0_u8, &grows, &sorting, later)), [(Way::Decode, Why::Settled, 8)]);
}

#[test]
fn what_is_sorted_is_never_copied_and_what_others_have_sorted_stays() {
    let sorting = Options { sort_order: Some(7), ..options() };
    let of = |sort_order: i32| -> Vec<FileFacts> { files(20, 1 << 20).into_iter().map(|file| FileFacts { sort_order, ..file }).collect() };
    for now in [NOW, NOW + sorting.quiet] {
        assert!(decide(&0_u8, &of(3), &options(), now).is_empty());
        assert!(decide(&0_u8, &of(3), &sorting, now).iter().all(|group| group.way == Way::Decode));
    }
    assert!(decide(&0_u8, &of(7), &sorting, NOW).is_empty());
    let left_alone = Debt::of(&of(3), &options());
    assert_eq!((left_alone.live, left_alone.files(), left_alone.bytes), (20, 0, 0), "nobody is to wait for what is left alone");
}

#[test]
fn only_partitions_that_were_touched_are_looked_at() {
    let mut inventory = Inventory::default();
    files(5, 1 << 20).into_iter().for_each(|file| inventory.add(1_u8, file));
    let later = NOW + options().quiet;
    assert_eq!(inventory.plan(&options(), later).len(), 1);
    for file in files(5, 1 << 20) {
        assert!(inventory.remove(&file.path).is_some());
    }
    inventory.add(1, file("result", 5 << 20));
    assert!(inventory.plan(&options(), later).is_empty());
    inventory.add(2, file("other", 1 << 20));
    files(6, 1 << 20).into_iter().for_each(|file| inventory.add(2, file));
    let groups = inventory.plan(&options(), later);
    assert!(groups.iter().all(|group| group.partition == 2) && groups.len() == 1);
}

/// Any file: sizes over seven orders of magnitude.
fn any_file() -> impl Strategy<Value = (u8, FileFacts)> {
    let sizes = (0_u32..28, 0_u64..1_000).prop_map(|(exponent, extra)| (1_u64 << exponent) * (1_000 + extra) / 1_000);
    let flags = any::<[bool; 2]>().prop_flat_map(|[is_copy, can_be_copied]| {
        // What is sorted was never copied, and never is.
        let sort_order = if is_copy { 0..1 } else { 0..3 };
        sort_order.prop_map(move |sort_order| (is_copy, can_be_copied && sort_order == 0, sort_order))
    });
    (0_u8..3, sizes, 0_i64..50, 1_u32..40, prop::option::weighted(0.2, 1_u64..2_000), flags, 0_u64..2_000).prop_map(
        |(partition, bytes, sequence, row_groups, deleted, (is_copy, can_be_copied, sort_order), age)| {
            let deletes = deleted.map_or(Carried::default(), |rows| Carried { files: 1, rows, by_key: false });
            let added = NOW - Duration::from_secs(age);
            let row_groups = if is_copy { row_groups } else { 1 };
            (partition, FileFacts { sequence, row_groups, deletes, is_copy, can_be_copied, sort_order, added, ..file("", bytes) })
        },
    )
}

fn any_table() -> impl Strategy<Value = Inventory<u8>> {
    prop::collection::vec(any_file(), 0..150).prop_map(|files| {
        let mut inventory = Inventory::default();
        for (index, (partition, file)) in files.into_iter().enumerate() {
            inventory.add(partition, FileFacts { path: format!("f{index:03}"), ..file });
        }
        inventory
    })
}

fn any_options() -> impl Strategy<Value = Options> {
    (20_u32..27, 2_usize..8, prop::option::of(16_u32..30), prop::option::of(1_i32..3)).prop_map(|(target, min_input_files, most, sort_order)| {
        Options { target_bytes: 1 << target, sort_order, min_input_files, max_bytes: most.map(|most| 1 << most), ..Options::default() }
    })
}

/// What a rewrite makes of a group: as many bytes as before from a copy, fewer from decoding.
fn rewritten(inventory: &mut Inventory<u8>, group: &Group<u8>, options: &Options, name: &mut u32) {
    for file in &group.files {
        assert!(inventory.remove(&file.path).is_some());
    }
    let added = group.files.iter().map(|file| file.added).max().unwrap_or_default();
    let row_groups: u32 = group.files.iter().map(|file| file.row_groups).sum();
    let outputs = group.outputs(options);
    for _ in 0..outputs {
        *name += 1;
        let path = format!("r{name}");
        let made = match group.way {
            Way::Copy => FileFacts { is_copy: true, row_groups, added, ..file(&path, group.bytes()) },
            Way::Decode => FileFacts { added, sort_order: options.sort_order.unwrap_or(0), ..file(&path, group.bytes() * 7 / 10 / outputs) },
        };
        inventory.add(group.partition, made);
    }
}

#[test]
fn files_that_others_have_sorted_are_counted_as_they_are_and_owe_nothing() {
    let sorted = |path: &str, bytes: u64| FileFacts { sort_order: 1, ..file(path, bytes) };
    let options = Options { target_bytes: 100, ..Options::default() };
    let files = [sorted("a", 10), sorted("b", 10), file("c", 10), file("d", 10), file("e", 120)];
    assert_eq!(Debt::of(&files, &options), Debt { live: 5, ideal: 2 + 2, bytes: 20 });
    let wanted = Options { sort_order: Some(1), ..options };
    assert_eq!(Debt::of(&files, &wanted), Debt { live: 5, ideal: 2, bytes: 40 }, "its own order");
}

proptest! {
    #[test]
    fn groups_are_disjoint_large_enough_and_within_bounds(table in any_table(), options in any_options()) {
        let groups = table.plan_all(&options, NOW);
        let mut seen = HashSet::new();
        let mut total = 0;
        for group in &groups {
            let of_partition: HashSet<&str> = table
                .partitions()
                .filter(|(partition, _)| **partition == group.partition)
                .flat_map(|(_, files)| files.iter().map(|file| file.path.as_str()))
                .collect();
            for file in &group.files {
                prop_assert!(seen.insert(file.path.clone()), "{} is in two groups", file.path);
                prop_assert!(of_partition.contains(file.path.as_str()));
            }
            let deletes = group.files.iter().any(FileFacts::carries_deletes);
            let pieces: u32 = group.files.iter().map(|file| if file.is_copy { file.row_groups } else { 1 }).sum();
            let fills = group.files.len() > 1 && group.files.iter().map(FileFacts::weight).sum::<u64>() >= options.large_enough();
            let many = group.why == Why::Many && group.files.len() > 1 && of_partition.len() > options.min_input_files.saturating_sub(2);
            let enough = pieces as usize >= options.min_input_files || fills || deletes || many;
            prop_assert!(options.sort_order.is_some() || group.files.iter().all(|file| file.sort_order == 0), "the order of others would be lost");
            let large_and_unsorted = |file: &FileFacts| file.is_unsorted(&options) && file.bytes >= options.large_enough();
            let enough = enough || group.files.iter().any(large_and_unsorted);
            prop_assert!(enough, "{:?}", group);
            if group.way == Way::Copy {
                prop_assert!(group.files.iter().all(|file| file.sort_order == 0));
                prop_assert!(group.files.iter().all(|file| file.can_be_copied && !file.carries_deletes()));
            }
            total += group.bytes();
        }
        prop_assert!(options.max_bytes.is_none_or(|most| total <= most));
    }

    #[test]
    fn carrying_out_plans_ends_with_few_files(table in any_table(), options in any_options()) {
        let options = Options { max_bytes: None, ..options };
        let (mut table, mut name) = (table, 0);
        let before = table.debt(&options).live;
        for round in 0.. {
            prop_assert!(round < 60, "it goes on for ever");
            // The newest are quiet too, after a while.
            let now = NOW + if round < 10 { Duration::ZERO } else { options.quiet };
            let groups = table.plan_all(&options, now);
            if groups.is_empty() && round >= 10 {
                break;
            }
            groups.iter().for_each(|group| rewritten(&mut table, group, &options, &mut name));
        }
        let debt = table.debt(&options);
        // Sorting cuts files that are too large.
        let most = if options.sort_order.is_some() { before.max(2 * debt.ideal) } else { before };
        prop_assert!(debt.live <= most.max(1));
        for (_, files) in table.partitions() {
            let files: Vec<&FileFacts> = files.iter().filter(|file| !file.is_of_others(&options)).collect();
            let bytes: u64 = files.iter().map(|file| file.bytes).sum();
            // Large files are three quarters full at least, and of the others each is twice as large as all smaller ones together, or they are too few.
            let small = files.iter().filter(|file| file.bytes < options.large_enough()).count() as u64;
            let large = files.len() as u64 - small;
            prop_assert!(large <= bytes.div_ceil(options.large_enough()));
            let logarithm = u64::from(bytes.max(2).ilog2()) + 1;
            prop_assert!(small <= logarithm + options.min_input_files as u64 + bytes.div_ceil(options.target_bytes), "{} small of {}", small, files.len());
            prop_assert!(files.iter().all(|file| !file.is_worn(&options)));
            let most = options.target_bytes.saturating_mul(8);
            let waits = |file: &FileFacts| file.is_unsorted(&options) && (options.large_enough()..=most).contains(&file.bytes);
            prop_assert!(!files.iter().any(|file| waits(file)), "what has settled and is large is sorted");
        }
    }

    #[test]
    fn bytes_are_copied_a_tier_each_time_and_a_few_times_more_while_the_partition_is_small(sizes in prop::collection::vec(1_u64..3_000_000, 1..400), min_input_files in 2_usize..8) {
        let options = Options { target_bytes: 64 << 20, min_input_files, ..Options::default() };
        let (mut table, mut copied, mut weight) = (Inventory::default(), 0_u64, 0_u64);
        let rounds = sizes.len() as f64;
        for (index, bytes) in sizes.into_iter().enumerate() {
            let path = format!("f{index}");
            let new = FileFacts { sequence: index as i64, ..file(&path, bytes) };
            weight += new.weight();
            table.add(0_u8, new);
            for (number, group) in table.plan(&options, NOW).into_iter().enumerate().filter(|(_, group)| group.way == Way::Copy) {
                copied += group.files.iter().map(FileFacts::weight).sum::<u64>();
                let row_groups = group.files.iter().map(|file| file.row_groups).sum();
                group.files.iter().for_each(|file| drop(table.remove(&file.path)));
                let path = format!("c{index}-{number}");
                table.add(0, FileFacts { is_copy: true, row_groups, sequence: index as i64, ..file(&path, group.bytes()) });
            }
        }
        let amplification = copied as f64 / weight as f64;
        prop_assert!(amplification <= f64::from(options.tiers()) + 2.0 * rounds.cbrt(), "copied {} times", amplification);
        let waiting = table.partitions().flat_map(|(_, files)| files).filter(|file| file.weight() < options.large_enough()).count();
        prop_assert!(waiting <= options.tiers() as usize * (min_input_files - 1) + 1, "{} files wait", waiting);
    }
}
