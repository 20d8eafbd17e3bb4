//! Reading a table as a stream: the rows that its commits add, in the order of the commits.

mod enumerator;
mod history;
mod options;
mod place;
mod planned;
mod reader;
mod shared;
mod source;
#[cfg(test)]
mod tests;

pub(in crate::iceberg) use options::pass_over;
pub use options::{STREAM_OPTIONS, is_streaming};
pub use source::{IcebergStream, StreamError};
