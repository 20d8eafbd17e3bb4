//! Which files of a folder are the newest version of a table. Pure.
//!
//! Folders `key=value` are partitions. Names that begin with `_` or `.` are nobody's data, with all below them. A marker (`_SUCCESS`) says that its
//! folder, with all below it, is complete: where there is one, or was one in the version before, only folders with one count, so that a job which
//! is writing is never read half done. A folder that has lost its marker is being written again: there is no new version until it has one.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use chrono::{DateTime, SecondsFormat, Utc};

/// What the declaration says of the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rules {
    /// Only the partition of the greatest values is read.
    pub(super) newest_partition: bool,
    /// Only folders with a marker are read, whether there are markers or not.
    pub(super) needs_marker: bool,
    /// Name of a marker.
    pub(super) marker: String,
    /// The value of a partition that stands for NULL.
    pub(super) default_name: String,
}

/// A file that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    /// Below the folder of the table; empty if that is the file.
    pub(super) path: String,
    pub(super) size: u64,
    pub(super) modified: Option<DateTime<Utc>>,
    pub(super) e_tag: Option<String>,
}

/// A value of a partition column; `None` is NULL.
type PartitionValue = (String, Option<String>);

/// A file to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DataFile {
    pub(super) path: String,
    pub(super) size: u64,
    /// What the names of its folders say.
    pub(super) partition: Vec<PartitionValue>,
}

/// What is there to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Choice {
    /// Nothing that is complete: somebody is writing.
    BeingWritten,
    /// A version.
    Version { name: String, files: Vec<DataFile> },
}

/// The newest version in `listed`, if the last one read was `known`.
///
/// # Errors
/// What is missing.
pub(super) fn choose(listed: &[Listed], rules: &Rules, known: Option<&str>) -> Result<Choice, String> {
    let by_marker = format!("{} of", rules.marker);
    let markers: Vec<&Listed> = listed.iter().filter(|file| !is_hidden(folder(&file.path)) && name(&file.path) == rules.marker).collect();
    let needs_marker = rules.needs_marker || !markers.is_empty() || known.is_some_and(|known| known.contains(&by_marker));
    let marked: BTreeSet<&str> = markers.iter().map(|marker| folder(&marker.path)).collect();
    let is_complete = |file: &Listed| !needs_marker || ancestors(&file.path).any(|folder| marked.contains(folder));
    let seen = listed.iter().filter(|file| !is_hidden(&file.path)).map(|file| (partition(&file.path, &rules.default_name), file));
    let (mut files, unfinished): (Vec<(Vec<PartitionValue>, &Listed)>, Vec<_>) = seen.partition(|(_, file)| is_complete(file));
    if files.is_empty() && !(needs_marker && marked.contains("")) {
        return match (needs_marker, known) {
            (true, Some(_)) => Ok(Choice::BeingWritten),
            (true, None) => Err(format!("no folder has the marker '{}' yet", rules.marker)),
            (false, _) => Err("it has no files".to_owned()),
        };
    }
    let mut of = String::new();
    // Whether something that is not complete may be part of the version that is known.
    let mut is_being_written = !unfinished.is_empty();
    if rules.newest_partition {
        let newest = files.iter().map(|(partition, _)| partition).max_by(|one, other| by_values(one, other)).cloned().unwrap_or_default();
        if newest.is_empty() {
            return Err("'scan.partitions' = 'max_pt()' needs folders such as 'dt=2026-01-31'".to_owned());
        }
        files.retain(|(partition, _)| *partition == newest);
        is_being_written = unfinished.iter().any(|(partition, _)| by_values(partition, &newest).is_gt());
        let values = newest.iter().map(|(key, value)| format!("{key}={}", value.as_deref().unwrap_or(&rules.default_name)));
        of = values.collect::<Vec<_>>().join("/") + ", ";
    }
    files.sort_unstable_by(|(_, one), (_, other)| one.path.cmp(&other.path));
    let covers =
        |marker: &&Listed| files.is_empty() || files.iter().any(|(_, file)| ancestors(&file.path).any(|ancestor| ancestor == folder(&marker.path)));
    let witnesses: Vec<&Listed> =
        if needs_marker { markers.into_iter().filter(covers).collect() } else { files.iter().map(|(_, file)| *file).collect() };
    let what = if needs_marker { by_marker } else { "the newest of".to_owned() };
    let count = match files.len() {
        // Files that are added without a new marker are no new version.
        _ if needs_marker => String::new(),
        1 => "1 file, ".to_owned(),
        count => format!("{count} files, "),
    };
    let name = format!("{of}{count}{what} {}", told(&witnesses));
    if is_being_written && known.is_some_and(|known| known != name) {
        return Ok(Choice::BeingWritten);
    }
    let files = files.into_iter().map(|(partition, file)| DataFile { path: file.path.clone(), size: file.size, partition }).collect();
    Ok(Choice::Version { name, files })
}

/// The newest time among files, and what tells them from any others.
fn told(files: &[&Listed]) -> String {
    let newest = files.iter().filter_map(|file| file.modified).max();
    let time = newest.map_or_else(|| "an unknown time".to_owned(), |time| time.to_rfc3339_opts(SecondsFormat::Secs, true));
    let mut hasher = DefaultHasher::new();
    let mut sorted = files.to_vec();
    sorted.sort_unstable_by(|one, other| one.path.cmp(&other.path));
    for file in sorted {
        (&file.path, file.size, file.modified, &file.e_tag).hash(&mut hasher);
    }
    format!("{time} ({:08x})", hasher.finish() as u32)
}

fn name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// The folder that a file is in.
fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// The folders that a file is in, from its own to that of the table.
fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    let mut next = Some(folder(path));
    std::iter::from_fn(move || {
        let here = next?;
        next = (!here.is_empty()).then(|| folder(here));
        Some(here)
    })
}

fn is_hidden(path: &str) -> bool {
    path.split('/').any(|part| part.starts_with(['_', '.']))
}

fn partition(path: &str, default_name: &str) -> Vec<PartitionValue> {
    let parts = folder(path).split('/').filter_map(|part| part.split_once('=')).filter(|(key, _)| !key.is_empty());
    parts.map(|(key, value)| (unescaped(key), (value != default_name).then(|| unescaped(value)))).collect()
}

/// The order of partitions: by their values one after the other, numbers by their size, NULL first.
fn by_values(one: &[PartitionValue], other: &[PartitionValue]) -> Ordering {
    let by_value = |one: &Option<String>, other: &Option<String>| {
        let number = |value: &Option<String>| value.as_deref().and_then(|value| value.parse::<i64>().ok());
        match (number(one), number(other)) {
            (Some(one), Some(other)) => one.cmp(&other),
            _ => one.cmp(other),
        }
    };
    let pairs = one.iter().zip(other);
    pairs.map(|((_, one), (_, other))| by_value(one, other)).find(|order| order.is_ne()).unwrap_or_else(|| one.len().cmp(&other.len()))
}

/// A name in which writers have put `%3A` for `:` and so on.
fn unescaped(name: &str) -> String {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = (*first == b'%').then(|| after.get(..2)).flatten();
        match escaped.and_then(|digits| std::str::from_utf8(digits).ok()).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_other| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        Rules { newest_partition: false, needs_marker: false, marker: "_SUCCESS".to_owned(), default_name: "__DEFAULT_PARTITION__".to_owned() }
    }

    fn listed(paths: &[&str], minute: u32) -> Vec<Listed> {
        let modified = format!("2026-11-21T10:{minute:02}:00Z").parse().ok();
        paths.iter().map(|path| Listed { path: (*path).to_owned(), size: 1, modified, e_tag: None }).collect()
    }

    fn version(listed: &[Listed], rules: &Rules, known: Option<&str>) -> (String, Vec<String>) {
        match choose(listed, rules, known).expect("there is one") {
            Choice::Version { name, files } => (name, files.into_iter().map(|file| file.path).collect()),
            Choice::BeingWritten => panic!("being written"),
        }
    }

    #[test]
    fn all_files_that_are_not_hidden_are_a_version_until_one_of_them_changes() {
        let (name, files) = version(&listed(&["b.csv", "a.csv", "_temporary/c.csv", ".d.csv", "x/.e/f.csv"], 1), &rules(), None);
        assert_eq!(files, ["a.csv", "b.csv"]);
        assert!(name.starts_with("2 files, the newest of 2026-11-21T10:01:00Z ("), "{name}");
        assert_eq!(version(&listed(&["a.csv", "b.csv"], 1), &rules(), None).0, name);
        assert_ne!(version(&listed(&["a.csv", "b.csv"], 2), &rules(), None).0, name);
        assert_ne!(version(&listed(&["a.csv", "c.csv"], 1), &rules(), None).0, name);
        assert_eq!(choose(&listed(&["_SUCCESS.tmp"], 1), &rules(), None), Err("it has no files".to_owned()));
    }

    #[test]
    fn a_marker_is_the_version_of_its_folder_and_without_it_a_job_is_writing() {
        let (name, files) = version(&listed(&["a.csv", "_SUCCESS"], 1), &rules(), None);
        assert!(name.starts_with("_SUCCESS of 2026-11-21T10:01:00Z"), "{name}");
        assert_eq!(files, ["a.csv"]);
        let half = listed(&["b.csv"], 2);
        assert_eq!(choose(&half, &rules(), Some(&name)), Ok(Choice::BeingWritten));
        assert_eq!(version(&half, &rules(), None).1, ["b.csv"], "nobody has said that there are markers");
        let strict = Rules { needs_marker: true, ..rules() };
        assert!(choose(&half, &strict, None).expect_err("not yet").contains("'_SUCCESS'"));
        let changed = [listed(&["b.csv", "c.csv"], 9), listed(&["_SUCCESS"], 1)].concat();
        assert_eq!(version(&changed, &rules(), Some(&name)).0, name, "the marker alone tells");
        assert_eq!(version(&listed(&["_SUCCESS"], 3), &rules(), None).1, [""; 0], "a job that had no rows");
    }

    #[test]
    fn the_newest_partition_is_that_of_the_greatest_values_among_the_complete() {
        let newest = Rules { newest_partition: true, ..rules() };
        let days = listed(&["dt=2026-01-09/h=9/a", "dt=2026-01-09/h=10/b", "dt=__DEFAULT_PARTITION__/h=99/c"], 1);
        let (name, files) = version(&days, &newest, None);
        assert!(name.starts_with("dt=2026-01-09/h=10, 1 file, "), "{name}");
        assert_eq!(files, ["dt=2026-01-09/h=10/b"]);
        let marked = [days, listed(&["dt=2026-01-09/h=9/_SUCCESS"], 1)].concat();
        assert_eq!(version(&marked, &newest, None).1, ["dt=2026-01-09/h=9/a"], "the other one is being written");
        assert!(choose(&listed(&["a"], 1), &newest, None).expect_err("no partitions").contains("max_pt()"));
    }

    #[test]
    fn a_partition_that_is_written_again_is_waited_for_and_a_new_one_is_not() {
        let newest = Rules { newest_partition: true, ..rules() };
        let first = listed(&["dt=1/a", "dt=1/_SUCCESS"], 1);
        let both = [first.clone(), listed(&["dt=2/b", "dt=2/_SUCCESS"], 1)].concat();
        let half = [first.clone(), listed(&["dt=2/c"], 2)].concat();
        let done = [half.clone(), listed(&["dt=2/_SUCCESS"], 3)].concat();
        for rules in [&rules(), &newest] {
            let (of_first, of_both) = (version(&first, rules, None).0, version(&both, rules, None).0);
            assert_eq!(choose(&half, rules, Some(&of_both)), Ok(Choice::BeingWritten), "its rows do not go, nor do older ones come back");
            assert_eq!(version(&half, rules, Some(&of_first)).0, of_first, "it was not there before");
            let (of_done, files) = version(&done, rules, Some(&of_both));
            assert!(of_done != of_both && files.contains(&"dt=2/c".to_owned()), "{of_done} {files:?}");
        }
    }

    #[test]
    fn names_of_folders_give_the_values_of_columns() {
        let none = |key: &str| (key.to_owned(), None);
        let some = |key: &str, value: &str| (key.to_owned(), Some(value.to_owned()));
        assert_eq!(partition("dt=2026-01-09/at=10%3A00/x/a=b.csv", "NONE"), [some("dt", "2026-01-09"), some("at", "10:00")]);
        assert_eq!(partition("dt=NONE/k=100%/f", "NONE"), [none("dt"), some("k", "100%")]);
    }
}
