//! Whole trees of files: walked, added up, copied, moved and removed, on any store and between any two.
//!
//! | file | owns |
//! |---|---|
//! | `place` | a location together with what its store knows of folders |
//! | `walk` | everything below a place, several folders at a time |
//! | `usage` | how much is there |
//! | `content` | reading a file piece by piece, and its checksum |
//! | `copy` | one file, copied and compared |
//! | `tree` | many files, several at a time, each with an outcome of its own |
//! | `moving` | renaming, and copying with removal where nothing can be renamed |
//! | `removal` | deleting |
//!
//! Memory is bounded by the number of files in work at a time, each of which holds a few pieces; nothing grows with the number or the
//! length of files.

mod content;
mod copy;
mod moving;
mod place;
mod removal;
#[cfg(test)]
mod tests;
mod tree;
mod usage;
mod walk;

pub use content::{Checksum, checksum, pieces};
pub use copy::{CopyOptions, Existing};
pub use moving::{Moved, remove_empty_folders, rename};
pub use place::Place;
pub use removal::{Removed, remove};
pub use tree::{Event, Outcome, Source, copy};
pub use usage::usage;
pub use walk::walk;
