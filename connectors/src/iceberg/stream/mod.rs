//! Reading a table as a stream: the rows that its commits add, in the order of the commits.

mod changes;
mod enumerator;
mod history;
mod news;
mod options;
mod place;
mod planned;
mod reader;
mod registration;
mod shared;
mod source;
#[cfg(test)]
mod tests;

pub use changes::ROW_KIND;
pub(in crate::iceberg) use news::announce;
pub(in crate::iceberg) use options::{MONITOR_INTERVAL, SKIP_OVERWRITES, START_ID, START_TAG, pass_over};
pub use options::{STREAM_OPTIONS, is_streaming, tells_changes};
pub use source::{IcebergStream, StreamError};
