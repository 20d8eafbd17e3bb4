//! The `json` format: a decoder driven by the schema, which parses each message in one pass straight into Arrow buffers.
//!
//! The grammar is checked strictly, also in what is not wanted. `cursor` reads bytes, `number` and `temporal` their meaning, `scalar`
//! says what of JSON each type takes; `object` and `nested` hold the columns that `column` and `values` fill. A message that cannot be decoded
//! is rolled back by truncation of every column.

mod column;
mod cursor;
mod decoder;
mod fault;
mod nested;
mod number;
mod object;
mod options;
mod scalar;
mod temporal;
mod text;
mod values;

#[cfg(test)]
mod tests;

pub use decoder::JsonDecoder;
pub use options::{JsonFactory, JsonFormat};
