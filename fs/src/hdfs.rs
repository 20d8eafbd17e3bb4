//! HDFS: an object store over the `hdfs-native` client.
//!
//! What the client lacks is done here. Every call has a deadline and runs as a task on threads of its own, so that a frozen NameNode, a
//! panic or a slow Kerberos library stays there. A file is written under a unique hidden name beside its target and renamed, so readers see
//! all of it or nothing and put-if-absent has one winner. When the answer of a rename is lost, the files themselves tell what happened.
//!
//! | file | owns |
//! |---|---|
//! | `configuration` | what the client is told, and as whom |
//! | `clients` | the clients of a user of a cluster, one for each order of its NameNodes, and their threads |
//! | `cluster` | calls with deadlines |
//! | `calls` | how many calls there are, by what is called |
//! | `kerberos` | why a secured cluster lets nobody in |
//! | `polls` | whether a Kerberos handshake holds a thread |
//! | `errors` | what the client's errors mean |
//! | `following` | how often a NameNode is asked for the next block of a file |
//! | `temporary` | the hidden names under which files are written |
//! | `writing` | files being written, uploads in parts |
//! | `reading` | opened files, ranges |
//! | `listing` | what is in a folder |
//! | `facts` | what a configuration means |
//! | `folders` | folders as things of their own |
//! | `store` | the object store made of these |

mod calls;
mod clients;
mod cluster;
mod configuration;
mod errors;
mod facts;
mod folders;
mod following;
mod kerberos;
mod listing;
mod polls;
mod reading;
mod store;
mod temporary;
mod writing;

pub use calls::{NameNodeCalls, name_node_calls};
pub(crate) use configuration::{DEFAULT_PORT, default_authority};
pub(crate) use facts::{Facts, facts};
pub(crate) use store::Hdfs;

use std::sync::Arc;

use crate::deadline::Limits;
use crate::environment::Environment;
use crate::error::FsError;
use crate::registry::StoreKey;

/// The store of the cluster that `key` names.
///
/// # Errors
/// A configuration that cannot be read or names no NameNode.
pub(crate) fn build(key: &StoreKey, environment: &Environment, limits: &Limits) -> Result<Arc<Hdfs>, FsError> {
    let identity = configuration::load(key, environment, limits)?;
    let cluster = cluster::Cluster::of(identity, *limits)?;
    Ok(Arc::new(Hdfs::new(cluster)))
}
