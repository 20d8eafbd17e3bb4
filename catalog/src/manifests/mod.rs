//! Manifests whose entries are moved as they are written, byte by byte: a wide table's thousands of files have megabytes of metrics, which take ten times
//! that in the form in which the crate gives them.
//!
//! [`metrics`] keeps what a manifest says of a file's columns, `strip` makes a manifest without that, `take_out` one in which files are marked as
//! removed. What is unusual in a manifest takes the way through the crate.

mod metrics;
mod strip;
mod take_out;

pub use metrics::{FileMetrics, ReadMetrics};

pub(crate) use strip::strip;
pub(crate) use take_out::{TakenOut, take_out};

use std::sync::Arc;

use crate::avro::{Container, Node, Outcome, Unusual};

type Fields = [(String, Arc<Node>)];

/// The type of a manifest's entries.
fn entry_of(container: &Container<'_>) -> Outcome<Arc<Node>> {
    Node::parse(container.metadata.get("avro.schema").ok_or(Unusual("no schema"))?)
}

fn fields(node: &Node) -> Outcome<&Fields> {
    match node {
        Node::Record(fields) => Ok(fields),
        _ => Err(Unusual("no record")),
    }
}

/// Where in a union the branch is that `is_it` knows.
fn branch_of(node: &Node, is_it: fn(&Node) -> bool) -> Option<usize> {
    let Node::Union(branches) = node else { return None };
    branches.iter().position(|branch| is_it(branch))
}
