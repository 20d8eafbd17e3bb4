//! The `json` format: a decoder driven by the schema, which parses each message in one pass straight into Arrow buffers.
//!
//! The grammar is checked strictly, also in what is not wanted. `cursor` reads bytes, `scalar` says what of JSON each type takes, `read` puts
//! it into the columns; `encode` writes rows.

mod cursor;
mod encode;
mod options;
mod read;
mod scalar;
mod schema;
mod text;

#[cfg(test)]
mod tests;

pub(in crate::format) use encode::WriteJson;
pub(in crate::format) use options::{
    DECIMAL_AS_PLAIN_NUMBER, FAIL_ON_MISSING_FIELD, IGNORE_NULL_FIELDS, JSON_PARSER, MAP_NULL_KEY_LITERAL, MAP_NULL_KEY_MODE, TIMESTAMP_STANDARD,
    pull, pull_standard, pull_writing,
};
pub use options::{JsonFactory, JsonFormat};
pub(in crate::format) use read::ReadJson;
pub(in crate::format) use schema::schema_of;
