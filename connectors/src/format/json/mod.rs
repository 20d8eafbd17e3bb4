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

pub(in crate::format) use options::{
    DECIMAL_AS_PLAIN_NUMBER, MAP_NULL_KEY_LITERAL, MAP_NULL_KEY_MODE, TIMESTAMP_STANDARD, pull_standard, pull_writing,
};
pub use options::{JsonFactory, JsonFormat};
pub(in crate::format) use read::ReadJson;
