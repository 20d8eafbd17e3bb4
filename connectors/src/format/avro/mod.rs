//! The `avro` format: a message is one record in Avro's binary encoding, without a header, of the schema that the table's columns make.
//!
//! `schema` is what a schema says, `parse` reads its text and `text` writes it (the schemas of a [`super::registry`]); `plan` decides once how each of its
//! values gets into which column, `input` and `read` do it for each message. Values that no column wants are passed over without being looked
//! at.

mod encode;
mod entries;
mod input;
mod options;
mod parse;
mod plan;
mod read;
mod schema;
mod text;

#[cfg(test)]
mod tests;

pub(in crate::format) use encode::{WriteAvro, sized, whole};
pub use options::{AvroFactory, AvroFormat};
pub(in crate::format) use parse::parse;
pub(in crate::format) use plan::Misfit;
pub(in crate::format) use read::ReadAvro;
pub(in crate::format) use schema::Type;
pub(in crate::format) use text::{RECORD, schema_of};
