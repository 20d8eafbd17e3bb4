//! Schemes to object stores: one function resolves every URI, one place builds stores.
//!
//! [`FileSystems::resolve`] turns a URI into a [`Location`]: a store and a path in it. Every store is wrapped in the same layers, from the
//! inside out: the root of an alias, faults on command ([`fault`]; from the environment in builds with debug assertions only), counters ([`counting`]), deadlines
//! and retries ([`deadline`]). [`transfer`] walks, copies, moves and removes whole trees, on and between any of them, and [`doctor`] says why a place cannot be
//! reached. Iceberg's metadata
//! takes the same road through [`FileSystems::file_io`]. A scheme is a built-in one or a name of one's own, an [`aliases`] entry.

pub mod aliases;
mod azure;
mod cloud;
pub mod conformance;
pub mod counting;
pub mod deadline;
pub mod doctor;
mod environment;
mod error;
pub mod fault;
mod file_systems;
mod folders;
mod gcs;
pub mod hadoop_xml;
mod hdfs;
mod iceberg_storage;
mod local;
mod mounts;
mod object_store_keys;
mod registry;
mod rooted;
mod s3;
pub mod transfer;
mod uri;

pub use cloud::{FirstPut, is_not_refusing};
pub use counting::{Counting, IoCounts, Operation};
pub use deadline::{Deadline, Limits};
pub use environment::Environment;
pub use error::{FsError, is_not_found, kind_of};
pub use fault::{FaultPlan, Faulty};
pub use file_systems::{FileSystems, Location};
pub use folders::{Access, Folders, Kind, Status, Usage};
pub use hdfs::{NameNodeCalls, name_node_calls};
