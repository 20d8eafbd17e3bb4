//! TPC-H, as the benchmark and the test of the answers run it: the rows, the tables in a lake, the queries, DuckDB, and the comparison.

pub(crate) mod compare;
pub(crate) mod duck;
pub(crate) mod lake;
pub(crate) mod queries;
mod rows;

pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error>>;
