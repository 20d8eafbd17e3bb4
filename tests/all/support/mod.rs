//! What integration tests are written with. It knows servers, processes and files, and nothing of what Weir does with them.
//!
//! - `Servers`: the servers all tests share, or a set of one's own to stop, kill and pause;
//! - `Workdir`, `Launch`, `Running`: `weir` (or another program) run in a folder of the test, with deadlines everywhere;
//! - `Topic`: a Kafka topic of the test, with plain and transactional producers;
//! - `Proxy`: an HTTP server in front of a catalog or store that fails, delays or loses answers on command;
//! - `CarelessS3`: an S3 server in memory that ignores the conditions of a put;
//! - `Wire`: a connection to a NameNode that breaks or loses answers on command;
//! - `Table`: what an independent reader finds in an Iceberg table;
//! - `NameNodeCalls`: how often the NameNode was called, by operation;
//! - `until`: waiting for a condition.

mod careless;
mod kafka;
mod name_node;
mod process;
mod proxy;
mod reader;
mod servers;
mod wait;
mod wire;

pub(crate) use careless::CarelessS3;
pub(crate) use kafka::{Ending, Row, Topic};
pub(crate) use name_node::NameNodeCalls;
pub(crate) use process::{Launch, Running, Workdir, holds};
pub(crate) use proxy::{Fault, Proxy};
pub(crate) use reader::Table;
pub(crate) use servers::{Hdfs, Kafka, Kdc, S3, Servers, Warehouse};
pub(crate) use wait::until;
pub(crate) use wire::Wire;
