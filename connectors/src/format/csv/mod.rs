//! The `csv` format: a message is one line, its fields are the declared columns in order.
//!
//! The dialect is that of Flink, which is Jackson's: quotes only at the beginning of a field, doubled inside; an escape character if one is
//! given. `line` takes a line apart, `read` puts the fields into the columns, `encode` writes rows as lines.

mod encode;
mod line;
mod options;
mod read;

#[cfg(test)]
mod tests;

pub use options::{CsvFactory, CsvFormat};
