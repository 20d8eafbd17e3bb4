//! Parquet files of a table: their bytes, their footers, their columns by field id, and their batches in the table's types.

pub(super) mod columns;
pub(super) mod footer;
pub(super) mod leaves;
mod ranges;
pub(super) mod recipe;
pub(super) mod statistics;
pub(super) mod store;
mod whole;

pub(super) use store::TableFiles;
