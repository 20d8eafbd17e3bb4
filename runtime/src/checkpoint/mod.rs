//! What a job makes durable: checkpoints, claims, committed marks and write intents, one directory a job.

mod intents;
mod names;
mod record;
mod store;

pub(crate) use intents::SinkIntents;
pub(crate) use names::IntentName;
#[cfg(test)]
pub(crate) use record::Intent;
pub(crate) use record::{Checkpoint, Entry, SinkRecord, StoredPath};
pub(crate) use store::{CheckpointStore, Claim, Listing, obsolete};
