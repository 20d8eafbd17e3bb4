//! A table over days of commits, with the policy at work: files, debt, and what is rewritten, hour by hour. Deterministic and without I/O.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use crate::policy::{Carried, Debt, FileFacts, Group, Inventory, Options, Way};

/// Row groups that decoding and writing makes.
const ROW_GROUP: u64 = 32 << 20;
/// What is left of bytes in small row groups when they become large ones, in percent: measured, 224 of 328 MB.
const DENSE: u64 = 68;
/// Bytes for each second of CPU.
const COPY_SPEED: f64 = 1_200e6;
const DECODE_SPEED: f64 = 45e6;

/// What is simulated: a table partitioned by day and by something else.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// What the policy is told.
    pub options: Options,
    /// Length.
    pub hours: u32,
    /// Time between commits.
    pub commit_every: Duration,
    /// Commits between two looks of the policy (`compact.delta.commits`).
    pub delta_commits: u32,
    /// Partitions of a day; a commit adds one file to each.
    pub partitions: u32,
    /// Size of a new file on average; sizes vary from a tenth to nineteen tenths of it.
    pub file_bytes: u64,
    /// One file of so many belongs to the day before.
    pub late_one_of: u32,
}

/// What has come by the end of an hour.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Hour {
    /// Hours since the beginning.
    pub hour: u32,
    /// Files that commits have added so far.
    pub committed_files: u64,
    /// Bytes in them.
    pub committed_bytes: u64,
    /// Files there are, and how many would do.
    pub debt: Debt,
    /// The most files above the ideal at any look of the policy in this hour, new ones of the commits since the last included.
    pub peak_files: u64,
    /// Bytes copied so far.
    pub copied_bytes: u64,
    /// Bytes decoded so far.
    pub decoded_bytes: u64,
    /// How often any byte was copied at most.
    pub most_copies: u32,
    /// How often any byte was decoded at most.
    pub most_decodes: u32,
}

impl Hour {
    /// Bytes that compaction has read for each byte that was committed.
    #[must_use]
    pub fn amplification(&self) -> f64 {
        (self.copied_bytes + self.decoded_bytes) as f64 / self.committed_bytes.max(1) as f64
    }

    /// Seconds of CPU that compaction has taken.
    #[must_use]
    pub fn cpu_seconds(&self) -> f64 {
        self.copied_bytes as f64 / COPY_SPEED + self.decoded_bytes as f64 / DECODE_SPEED
    }
}

/// The heads of the columns of an [`Hour`] as text.
pub const HEADER: &str = "hour   committed  files in    live   ideal    peak   debt MB   copied MB  decoded MB  ampl.     CPU s";

impl fmt::Display for Hour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mb = |bytes: u64| bytes / 1_000_000;
        write!(
            f,
            "{:>4} {:>8} MB {:>9} {:>7} {:>7} {:>7} {:>9} {:>11} {:>11} {:>6.2} {:>9.0}",
            self.hour,
            mb(self.committed_bytes),
            self.committed_files,
            self.debt.live,
            self.debt.ideal,
            self.peak_files,
            mb(self.debt.bytes),
            mb(self.copied_bytes),
            mb(self.decoded_bytes),
            self.amplification(),
            self.cpu_seconds()
        )
    }
}

/// A partition: the day, and which one of the day.
type Partition = (u64, u32);

/// How often the bytes of a file have been copied and decoded, at most, and how many of them are in small row groups.
#[derive(Debug, Clone, Copy, Default)]
struct Past {
    copies: u32,
    decodes: u32,
    loose: u64,
}

/// A table on the way.
struct Table {
    inventory: Inventory<Partition>,
    past: HashMap<String, Past>,
    sequence: i64,
    hour: Hour,
}

/// Runs a scenario; `each` is given every hour.
pub fn run(scenario: &Scenario, mut each: impl FnMut(&Hour)) -> Hour {
    let mut table = Table { inventory: Inventory::default(), past: HashMap::new(), sequence: 0, hour: Hour::default() };
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let per_hour = (3_600_000 / scenario.commit_every.as_millis().max(1)).max(1);
    for hour in 0..scenario.hours {
        table.hour.peak_files = 0;
        for commit in 0..per_hour {
            let since_hour = scenario.commit_every * u32::try_from(commit).unwrap_or(u32::MAX);
            let now = Duration::from_secs(u64::from(hour) * 3_600) + since_hour;
            table.commit(scenario, &mut random, now);
            if table.sequence % i64::from(scenario.delta_commits.max(1)) == 0 {
                table.compact(&scenario.options, now);
            }
        }
        table.hour.hour = hour + 1;
        table.hour.debt = table.inventory.debt(&scenario.options);
        each(&table.hour);
    }
    table.hour
}

impl Table {
    fn commit(&mut self, scenario: &Scenario, random: &mut Random, now: Duration) {
        self.sequence += 1;
        let today = now.as_secs() / 86_400;
        for part in 0..scenario.partitions {
            let late = scenario.late_one_of > 0 && random.below(u64::from(scenario.late_one_of)) == 0;
            let day = if late { today.saturating_sub(1) } else { today };
            let bytes = scenario.file_bytes / 10 + random.below(scenario.file_bytes * 18 / 10 + 1);
            let name = format!("{}-{part}", self.sequence);
            let past = Past { copies: 0, decodes: 0, loose: bytes };
            self.add((day, part), new_file(name, self.sequence, bytes, now), past);
            self.hour.committed_files += 1;
            self.hour.committed_bytes += bytes;
        }
    }

    fn add(&mut self, partition: Partition, file: FileFacts, past: Past) {
        self.past.insert(file.path.clone(), past);
        self.inventory.add(partition, file);
    }

    /// Everything that the policy wants, at once.
    fn compact(&mut self, options: &Options, now: Duration) {
        self.hour.peak_files = self.hour.peak_files.max(self.inventory.debt(options).files());
        for (number, group) in self.inventory.plan(options, now).into_iter().enumerate() {
            self.rewrite(&group, options, number);
        }
    }

    fn rewrite(&mut self, group: &Group<Partition>, options: &Options, number: usize) {
        let pasts: Vec<Past> = group.files.iter().filter_map(|file| self.past.remove(&file.path)).collect();
        group.files.iter().for_each(|file| drop(self.inventory.remove(&file.path)));
        let loose: u64 = pasts.iter().map(|past| past.loose).sum();
        let mut past = Past {
            copies: pasts.iter().map(|past| past.copies).max().unwrap_or(0),
            decodes: pasts.iter().map(|past| past.decodes).max().unwrap_or(0),
            loose,
        };
        // A rewrite adds no rows: what is new in a partition stays as old as it was.
        let added = group.files.iter().map(|file| file.added).max().unwrap_or_default();
        let sequence = self.sequence;
        let made = |output: u64, bytes: u64| new_file(format!("{sequence}-{number}-{output}.{}", group.way.as_str()), sequence, bytes, added);
        match group.way {
            Way::Copy => {
                past.copies += 1;
                self.hour.copied_bytes += group.bytes();
                let row_groups = group.files.iter().map(|file| file.row_groups).sum();
                self.add(group.partition, FileFacts { row_groups, is_copy: true, ..made(0, group.bytes()) }, past);
            }
            Way::Decode => {
                past.decodes += 1;
                past.loose = 0;
                let sort_order = options.sort_order.unwrap_or(0);
                self.hour.decoded_bytes += group.bytes();
                let bytes = (group.bytes() - loose) + loose * DENSE / 100;
                let outputs = group.outputs(options);
                for output in 0..outputs {
                    let row_groups = u32::try_from((bytes / outputs).div_ceil(ROW_GROUP)).unwrap_or(u32::MAX);
                    self.add(group.partition, FileFacts { row_groups, sort_order, ..made(output, bytes / outputs) }, past);
                }
            }
        }
        self.hour.most_copies = self.hour.most_copies.max(past.copies);
        self.hour.most_decodes = self.hour.most_decodes.max(past.decodes);
    }
}

fn new_file(path: String, sequence: i64, bytes: u64, added: Duration) -> FileFacts {
    let deletes = Carried::default();
    FileFacts { path, bytes, rows: bytes / 20, sequence, row_groups: 1, deletes, is_copy: false, can_be_copied: true, sort_order: 0, added }
}

/// Numbers that look random and are the same each time (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn week(options: &Options) -> Scenario {
        Scenario {
            hours: 7 * 24,
            commit_every: Duration::from_secs(20),
            delta_commits: 10,
            partitions: 2,
            file_bytes: 300 << 10,
            late_one_of: 100,
            options: options.clone(),
        }
    }

    #[test]
    fn sorting_what_has_settled_decodes_hardly_more() {
        let options = Options { target_bytes: 64 << 20, ..Options::default() };
        let plain = run(&week(&options), |_| {});
        let sorted = run(&week(&Options { sort_order: Some(1), ..options }), |_| {});
        assert!(sorted.decoded_bytes <= plain.decoded_bytes * 5 / 4, "{sorted}\n{plain}");
        assert!(sorted.most_decodes <= plain.most_decodes + 1 && sorted.debt.live <= plain.debt.live * 5 / 4, "{sorted}\n{plain}");
    }

    #[test]
    fn a_week_of_commits_stays_near_the_ideal_and_decodes_each_byte_about_once() {
        let options = Options { target_bytes: 64 << 20, ..Options::default() };
        let scenario = week(&options);
        let (mut hours, mut worst) = (0, 0);
        let end = run(&scenario, |hour| {
            hours += 1;
            // Two days are busy for late data: four partitions, each with fewer than F files of a tier, and large copies that wait for others.
            let waiting = 4 * (options.tiers() as u64 * 4 + 4);
            assert!(hour.debt.live <= 2 * hour.debt.ideal + waiting, "{hour}");
            worst = worst.max(hour.peak_files);
        });
        assert_eq!((hours, end.committed_files), (168, 60_480));
        assert!(worst < 400, "{worst} files above the ideal");
        assert!(end.most_copies <= 2 * options.tiers(), "{} copies", end.most_copies);
        let decoded = end.decoded_bytes as f64 / end.committed_bytes as f64;
        assert!((0.8..1.6).contains(&decoded), "{decoded} times decoded");
        assert!(end.amplification() < 1.6 + f64::from(options.tiers()), "{end}");
    }
}
