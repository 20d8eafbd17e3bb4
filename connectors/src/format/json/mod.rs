//! The `json` format: a decoder driven by the schema, which parses each message in one pass straight into Arrow buffers.
//!
//! The grammar is checked strictly, also in what is not wanted. `cursor` reads bytes, `scalar` says what of JSON each type takes, `read` puts
//! it into the columns.

mod cursor;
mod options;
mod read;
mod scalar;
mod text;

#[cfg(test)]
mod tests;

pub use options::{JsonFactory, JsonFormat};
