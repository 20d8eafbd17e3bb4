//! Compaction of whole tables in a local folder.

mod concurrent;
mod copies;
mod random;
mod rewrites;
mod support;
