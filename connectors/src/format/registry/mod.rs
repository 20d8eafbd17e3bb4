//! Formats whose messages name a schema in a registry that answers as Confluent's does: a zero byte, the schema's id in four bytes, and a body.
//!
//! `options` are what such formats have in common, and [`RegistryFactory`] the formats. `framed` reads a message: while the id stays the same,
//! it goes straight on to the reader that was made for the schema. A schema that is not known yet is a message that waits
//! ([`super::Decoded::Waits`]): `schemas` keeps what the registry has said, and asks it (`client`, `answers`) once for each id. A registry
//! that does not answer is waited for; an id that it does not know is a bad message.
//!
//! What is written (`encode`) has the id of a schema that the columns make, or the user gives: `registration` has the registry tell it, once, before
//! the first row.

mod answers;
mod client;
mod encode;
mod formats;
mod framed;
mod options;
mod registration;
mod schemas;

#[cfg(test)]
mod tests;

pub use formats::{RegistryFactory, RegistryFormat, avro, debezium, json, protobuf};
