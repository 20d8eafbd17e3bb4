//! Compaction inside the job that writes, as three operators: a [`Coordinator`] that follows commits and says what is worth rewriting, rewrite
//! operators that do it beside the writers, and the table's one committer, which takes appends and replaces in turn.
//!
//! The coordinator knows the table's files from the commits themselves. Copies, which are cheap and keep the number of files down, are made for
//! the whole table at once; beside them one group at a time is decoded, so that no more than one core is kept busy for long. Whether it is time to
//! look is decided by [`trigger`]; a group that fails is left alone for a while, and the others go on.

mod coordinator;
mod desk;
mod expiry;
mod failures;
mod rewriting;
mod settings;
mod status;
pub mod trigger;
mod uncovered;

pub use coordinator::{Coordinator, Parts};
pub use settings::Settings;
pub use status::{Activity, Status};
