//! Connectors and formats. What a connector can be is said by the traits of [`source`], [`sink`], [`batch`] and [`lookup`]; which connectors there
//! are is known to one [`mod@registry`], and to nobody else by name.

pub mod batch;
pub mod blackhole;
pub mod datagen;
pub mod error;
pub mod filesystem;
pub mod format;
pub mod iceberg;
pub mod kafka;
pub mod letters;
pub mod lookup;
pub mod print;
pub mod redis;
pub mod registry;
pub mod sink;
pub mod source;
pub mod spill;
pub mod table;

pub use error::ConnectorError;
pub use registry::registry;
