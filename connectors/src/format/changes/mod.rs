//! Formats of change logs: a message says what a database did to one row or several, and each change is a row with its kind.
//!
//! The kind stands in the column [`ROW_KIND`], which a table of such a format has behind its declared ones: `+I`, `-U`, `+U`, `-D` as in Flink.
//! A dialect (`dialects`) says where in a message the rows before and after the change are and what its operations mean; `decoder` reads both
//! rows with the decoder of JSON, or of Avro, and picks from them. `encode` writes rows that came or went; it never writes an update.

mod decoder;
mod dialects;
mod encode;
mod metadata;
mod options;

#[cfg(test)]
mod tests;

pub(in crate::format) use decoder::ChangeDecoder;
pub(in crate::format) use encode::WriteAvroChange;
pub use metadata::{TOLD, keys as metadata_keys};
pub(in crate::format) use options::Dialect;
pub use options::{ChangeFactory, ChangeFormat, canal, debezium, maxwell, ogg};

/// The column that says what a row is.
pub const ROW_KIND: &str = "_row_kind";
