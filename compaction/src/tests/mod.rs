//! Compaction of whole tables in a local folder.

mod concurrent;
mod coordinated;
mod copies;
mod filtered;
mod killed;
mod pruned;
mod random;
mod rewrites;
mod sorted;
mod support;
