//! Iceberg catalogs, the commit path, and verification.

pub mod commit;
pub mod error;
pub mod lake;
pub mod marker;

pub use error::CatalogError;
pub use lake::{LakeCatalog, LakeTable, PartitionColumn, TableId, TableSpec};
