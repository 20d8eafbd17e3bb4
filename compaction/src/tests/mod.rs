//! Compaction of whole tables in a local folder.

mod concurrent;
mod copies;
mod killed;
mod random;
mod rewrites;
mod support;
