//! Schemes to object stores: one function resolves every URI, one place builds stores.

mod error;
mod file_systems;

pub use error::FsError;
pub use file_systems::{FileSystems, Location};
