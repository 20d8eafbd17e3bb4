//! One epoch: a bounded plan, from the readers of the sources' splits to the writers of the sinks.
//!
//! The coordinator commands how far each split is read ([`credit`]); split tasks read and hand batches to the leaves of the plans
//! ([`reading`], [`leaf`]); each sink partition writes what it gets and ends with one row that says what it finished ([`sink_exec`]).

mod credit;
mod engine;
mod failure;
mod leaf;
mod memory;
mod reading;
mod registry;
mod route;
mod running;
mod seal;
mod sink_exec;
mod writers;

pub(crate) use engine::{Engine, EpochSpec, session_on};
pub(crate) use failure::Failure;
pub(crate) use leaf::leaf_properties;
pub(crate) use memory::MemoryGate;
pub(crate) use reading::Reading;
pub(crate) use registry::{ReaderRegistry, SplitGauges, SplitKey};
pub(crate) use running::{RunningEpoch, injected};
pub(crate) use seal::{EpochId, seal};
pub(crate) use writers::Writers;
