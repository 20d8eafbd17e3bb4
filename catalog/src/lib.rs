//! Iceberg catalogs, the commit path, and verification.
//!
//! A [`LakeCatalog`] loads, creates and swaps tables; [`open()`] makes one from the options of CREATE CATALOG. Everything that changes a
//! table goes through its one [`commit::TableCommitter`].

pub mod avro;
mod backoff;
pub mod commit;
pub mod delete_files;
pub mod error;
mod hadoop;
mod hive;
pub mod lake;
pub mod manifests;
pub mod marker;
mod memory;
mod metadata_file;
mod metadata_text;
mod new_table;
pub mod open;
mod others;
mod pointer_catalog;
pub mod properties;
pub mod read;
pub mod references;
mod rest;
mod schema;
mod sql;
#[cfg(test)]
mod tests;
pub mod upkeep;
pub mod verify;

pub use error::CatalogError;
pub use lake::{LakeCatalog, LakeTable, PartitionColumn, TableId, TableSpec};
pub use new_table::planned_table;
pub use open::{OpenedCatalog, open};
pub use properties::check_properties;
pub use schema::lake_schema;
