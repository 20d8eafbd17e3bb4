//! Running what the front end plans: jobs in epochs, exactly once, and batch queries.
//!
//! A [`Job`] runs in attempts. Each one recovers: it claims the next epoch, finishes the commits that are durable, removes litter, and goes
//! on from the last cut. Then epochs follow each other, each one a bounded plan between two cuts of the sources. [`StatusBoard`] tells what a
//! job does, and [`HttpEndpoint`] shows it.

mod attempt;
mod checkpoint;
mod committer;
mod epoch;
mod error;
mod http;
mod job;
mod lookup;
mod metrics;
mod monitor;
mod name_nodes;
mod query;
mod recovery;
mod restart;
mod status;
mod tally;
mod upkeep;

pub use error::RuntimeError;
pub use http::{BoundAddress, HttpEndpoint};
pub use job::{Job, JobEnvironment, JobOptions, JobReport};
pub use name_nodes::{EpochCalls, NameNodeStatus};
pub use query::run_query;
pub use recovery::{RecordedTarget, check_target, checkpointed_files, recorded_targets};
pub use status::{JobState, JobStatus, MemoryStatus, SinkStatus, SourceStatus, SplitStatus, StatusBoard, UpkeepStatus};

#[cfg(test)]
mod exactly_once_tests;
#[cfg(test)]
mod surface_tests;
#[cfg(test)]
mod testing;
