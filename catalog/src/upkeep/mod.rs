//! The upkeep of tables: what is begun is written down, so that whatever is cut off can be finished or taken back.
//!
//! A [`Journal`] holds entries below a table's metadata, each durable before what it names exists. They belong to a [`Keeper`]: a sink of a job,
//! whose attempts follow each other, or a command by hand. [`Journal::recover`] settles what earlier keepers have left. A [`Fence`] makes that
//! safe: an attempt that was replaced, and does not know it yet, cannot commit any more. [`readers`] keep what they have not read.

mod branch;
mod cherry_pick;
mod entry;
mod fence;
mod journal;
mod names;
mod note;
pub mod orphans;
mod reached;
pub mod readers;
mod recover;
mod removal;
mod rollback;
mod swap;

pub use cherry_pick::{Picked, PlannedPick, cherry_pick, plan_cherry_pick};
pub use fence::{Fence, Keeper};
pub use journal::{Journal, Work};
pub use note::keep_note;
pub use recover::{Recovered, highest_fence};
pub use removal::remove_files;
pub use rollback::{BackTo, LostCommits, Rollback, RolledBack, Unreachable, plan_rollback, roll_back};

pub(crate) use fence::check as check_fence;
pub(crate) use fence::property as fence_property;
pub(crate) use recover::is_fence;
