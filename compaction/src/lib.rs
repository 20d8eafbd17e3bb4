//! Small files made into large ones.
//!
//! [`policy`] decides, from facts in memory, which files of a table are worth rewriting and in which of two ways; [`simulation`] shows what its
//! rule comes to over a week of commits. [`copy`] makes one file of many without decoding a page. [`LiveTable`] is a snapshot as the policy
//! sees it, a [`Compactor`] carries plans out and commits them, and [`job`] does so in a job that goes on writing.

pub mod copy;
pub mod job;
pub mod pace;
pub mod policy;
pub mod simulation;

mod deletes;
mod names;
mod progress;
mod rewrite;
mod run;
mod sort;
mod table;
#[cfg(test)]
mod tests;

pub use progress::{Progress, Quiet};
pub use run::{Compactor, Failed, Plan, Report, Request};
pub use table::{LiveTable, PartitionKey};
pub use weir_connectors::iceberg::SortBy;
