//! What integration tests are written with. It knows servers, processes and files, and nothing of what Weir does with them.
//!
//! - `Servers`: the servers all tests share, or a set of one's own to stop, kill and pause;
//! - `Workdir`, `Launch`, `Running`: `weir` (or another program) run in a folder of the test, with deadlines everywhere;
//! - `Topic`: a Kafka topic of the test, with plain and transactional producers;
//! - `Proxy`: an HTTP server in front of a catalog or store that fails, delays or loses answers on command, and remembers what it was asked;
//! - `SmallStore`: a careless S3 server, or one of Google's, in memory; `TlsFront`: TLS in front of a plain server;
//! - `Wire`: a connection to a NameNode that breaks or loses answers on command;
//! - `Table`: what independent readers find in an Iceberg table; `IcebergRows`: the same by Iceberg's own classes, which write deletes too;
//! - `NameNodeCalls`: how often the NameNode was called, by operation;
//! - `until`: waiting for a condition.

mod kafka;
mod name_node;
mod process;
mod proxy;
mod reader;
mod servers;
mod small_store;
mod tls;
mod wait;
mod wire;

pub(crate) use kafka::{Ending, Row, Topic};
pub(crate) use name_node::NameNodeCalls;
pub(crate) use process::{Launch, Output, Running, Workdir, holds};
pub(crate) use proxy::{Fault, Proxy};
pub(crate) use reader::{IcebergRows, Table};
pub(crate) use servers::{Azure, Hdfs, Kafka, Kdc, Redis, RedisCluster, S3, Servers, Warehouse};
pub(crate) use small_store::SmallStore;
pub(crate) use tls::TlsFront;
pub(crate) use wait::until;
pub(crate) use wire::Wire;
