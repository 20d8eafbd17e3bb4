//! Recovery: from what is durable to where the job goes on. Decisions are pure; one shell reads the facts and carries them out.

mod checkpointed;
mod decide;
mod intents;
mod recover;
mod targets;
#[cfg(test)]
mod tests;

pub use checkpointed::checkpointed_files;
pub(crate) use decide::{SinkProgress, Start, at_most, shared_source, tell_lost};
pub(crate) use recover::{Recovered, Recovery, RecoverySink};
pub use targets::{RecordedTarget, check_target, recorded_targets};
