//! The `protobuf` format: a message is one in the binary encoding of Protocol Buffers, of a type that a descriptor set describes.
//!
//! `descriptor` finds the type in the set that `protoc --descriptor_set_out` has written; `plan` decides once which of its fields get into which
//! columns; `wire` and `read` do it for each message. Fields that no column wants are passed over by their length.

mod descriptor;
mod options;
mod plan;
mod read;
mod wire;

#[cfg(test)]
mod tests;

pub use options::{ProtobufFactory, ProtobufFormat};
