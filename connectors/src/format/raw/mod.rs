//! The `raw` format: the whole message is the value of one column.

mod charset;
mod encode;
mod options;
mod read;

#[cfg(test)]
mod tests;

pub use options::{RawFactory, RawFormat};
