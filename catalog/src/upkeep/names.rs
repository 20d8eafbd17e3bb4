//! Names of entries: `job.<job>.<sink>.<fence>.<chance>.json` and `command.<chance>.json`, all in one folder, so that one listing tells what is left.

use uuid::Uuid;
use weir_base::safe_name::escape_within;

use super::fence::Keeper;

/// The folder below a table's `metadata`. Names that begin so are passed over by those who list a table for files that nobody knows.
pub(super) const FOLDER: &str = "_weir-upkeep";

/// Characters of a job's or sink's name.
const LONGEST: usize = 80;

const JOB: &str = "job";
const COMMAND: &str = "command";
const END: &str = "json";

/// Whose an entry is, as its name tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Owner {
    Job { job: String, sink: String, fence: u64 },
    Command,
}

impl Owner {
    pub(super) fn of(keeper: &Keeper) -> Self {
        match keeper {
            Keeper::Job { job, sink, fence, .. } => Self::Job { job: escape_within(job, LONGEST), sink: escape_within(sink, LONGEST), fence: *fence },
            Keeper::Command => Self::Command,
        }
    }

    /// The number of the attempt.
    pub(super) fn fence(&self) -> Option<u64> {
        match self {
            Self::Job { fence, .. } => Some(*fence),
            Self::Command => None,
        }
    }

    /// Whether the entry is of some sink of a job.
    pub(super) fn is_of(&self, of: &str) -> bool {
        matches!(self, Self::Job { job, .. } if *job == escape_within(of, LONGEST))
    }

    /// A name that no other entry has.
    pub(super) fn next_name(&self) -> String {
        let chance = Uuid::new_v4().simple();
        match self {
            Self::Job { job, sink, fence } => format!("{JOB}.{job}.{sink}.{fence:020}.{chance}.{END}"),
            Self::Command => format!("{COMMAND}.{chance}.{END}"),
        }
    }

    /// Whose the entry of this name is; `None` if it is no entry.
    pub(super) fn parse(name: &str) -> Option<Self> {
        match name.split('.').collect::<Vec<_>>().as_slice() {
            [JOB, job, sink, fence, _, END] => Some(Self::Job { job: (*job).to_owned(), sink: (*sink).to_owned(), fence: fence.parse().ok()? }),
            [COMMAND, _, END] => Some(Self::Command),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_name_tells_whose_it_is_and_fits_every_file_system(job in ".{0,200}", sink in ".{0,200}", fence in any::<u64>()) {
            let owner = Owner::of(&Keeper::Job { job, sink, branch: None, fence });
            let name = owner.next_name();
            prop_assert_eq!(Owner::parse(&name), Some(owner));
            prop_assert!(name.len() < 250 && !name.contains('/'), "{}", name);
        }
    }

    #[test]
    fn commands_have_names_too_and_other_files_are_no_entries() {
        assert_eq!(Owner::parse(&Owner::Command.next_name()), Some(Owner::Command));
        for name in ["", "command.json", "job.a.b.x.c.json", "job.a.b.1.c.txt", ".job.a.b.1.c.json"] {
            assert_eq!(Owner::parse(name), None, "{name}");
        }
    }
}
