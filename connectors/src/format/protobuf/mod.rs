//! The `protobuf` format: a message is one in the binary encoding of Protocol Buffers, of a type that a descriptor set describes.
//!
//! `descriptor` finds the type in the set that `protoc --descriptor_set_out` has written, or that `compile` makes of the text that a
//! [`super::registry`] has (`known` are files that it need not have), where `indexed` finds the type of each message, and `derive` the type that columns make; `plan` decides once which of its fields get into which
//! columns; `wire` and `read` do it for each message. Fields that no column wants are passed over by their length.

mod compile;
mod derive;
mod descriptor;
mod encode;
mod indexed;
mod known;
mod options;
mod plan;
mod read;
mod wire;

#[cfg(test)]
mod tests;

pub(in crate::format) use compile::{Compiled, compile};
pub(in crate::format) use encode::WriteProtobuf;
pub(in crate::format) use indexed::ReadIndexed;
pub(in crate::format) use options::READ_DEFAULTS;
pub use options::{ProtobufFactory, ProtobufFormat};
pub(in crate::format) use plan::Choices;
