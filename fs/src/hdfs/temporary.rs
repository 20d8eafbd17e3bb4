//! The hidden names under which files are written: `.<name>.<id>.tmp` beside the target, never used twice.

use uuid::Uuid;

/// HDFS allows 255 bytes for a name; the id and the dots take 38.
const NAME_BYTES: usize = 200;

/// A new name beside `target`, an absolute path.
pub(super) fn beside(target: &str, id: Uuid) -> String {
    let (folder, name) = target.rsplit_once('/').unwrap_or(("", target));
    format!("{folder}/{}{}.tmp", prefix(name), id.simple())
}

/// Whether `name`, the last part of a path, is one of ours.
pub(super) fn is_temporary(name: &str) -> bool {
    let inner = name.strip_prefix('.').and_then(|rest| rest.strip_suffix(".tmp")).and_then(|rest| rest.rsplit_once('.'));
    inner.is_some_and(|(_, id)| id.len() == 32 && Uuid::try_parse(id).is_ok())
}

/// Whether the file `name` was to become `target`; both are last parts of paths.
pub(super) fn is_of(name: &str, target: &str) -> bool {
    is_temporary(name) && name.strip_prefix(&prefix(target)).is_some_and(|rest| rest.len() == 36)
}

fn prefix(name: &str) -> String {
    let mut end = name.len().min(NAME_BYTES);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!(".{}.", name.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use object_store::path::Path;

    use super::*;
    use crate::folders::Status;

    #[test]
    fn a_temporary_name_is_known_again_and_others_are_left_alone() {
        let made = beside("/w/data/part-1.parquet", Uuid::from_u128(7));
        let name = made.strip_prefix("/w/data/").expect("in the same folder");
        assert!(is_temporary(name) && is_of(name, "part-1.parquet"));
        assert!(!is_of(name, "part-1") && !is_of(name, "part-1.parquet.x"));
        let found = Status { unfinished: true, ..Status::folder(Path::from(&made[1..])) };
        assert_eq!(found.target(), Some("part-1.parquet"));
        for other in [".hidden", ".tmp", ".a.tmp", "a.00000000000000000000000000000007.tmp", ".x.0000.tmp", "_tmp"] {
            assert!(!is_temporary(other), "{other}");
        }
    }

    #[test]
    fn long_names_stay_within_the_limit_of_hdfs() {
        let name = "ä".repeat(127);
        let made = beside(&format!("/{name}"), Uuid::from_u128(1));
        assert!(made.len() <= 256 && is_of(made.trim_start_matches('/'), &name), "{made}");
    }
}
